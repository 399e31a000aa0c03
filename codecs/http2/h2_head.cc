#include "codecs/http2/h2_head.h"

#include <cstring>

#include "codecs/ascii.h"
#include "codecs/authority.h"
#include "codecs/http_text.h"

namespace ringside {
namespace {

// Of a connection of HTTP/1 (RFC 9113 8.2.2).
constexpr HeaderIdSet connection_specific =
    header_ids({HeaderId::connection, HeaderId::keep_alive, HeaderId::proxy_connection, HeaderId::transfer_encoding,
                HeaderId::upgrade});

constexpr uint8_t bit(H2Pseudo pseudo) { return static_cast<uint8_t>(1U << static_cast<uint8_t>(pseudo)); }

// One pass over the lines.
class LineReader {
 public:
  LineReader(H2Scratch& block, H2Meaning& meaning) : block_(block), meaning_(meaning) {}

  // Null, or what is wrong.
  const char* read() {
    for (H2Line& line : block_.lines()) {
      const char* wrong = line.pseudo != H2Pseudo::none ? read_pseudo(line) : read_field(line);
      if (wrong != nullptr) return wrong;
    }
    return nullptr;
  }
  bool has(H2Pseudo pseudo) const { return (seen_ & bit(pseudo)) != 0; }
  // Are there no others?
  bool only(std::initializer_list<H2Pseudo> allowed) const {
    uint8_t set = 0;
    for (const H2Pseudo pseudo : allowed) set |= bit(pseudo);
    return (seen_ & ~set) == 0;
  }
  std::string_view status() const { return status_; }
  std::optional<std::string_view> host() const { return host_; }
  void drop_length() {
    for (H2Line& line : block_.lines()) line.dropped = line.dropped || line.id == HeaderId::content_length;
    meaning_.length.reset();
  }

 private:
  const char* read_pseudo(H2Line& line) {
    line.dropped = true;
    if (has(line.pseudo)) return "pseudo-header field twice";
    seen_ |= bit(line.pseudo);
    const std::string_view value = block_.value(line);
    switch (line.pseudo) {
      case H2Pseudo::none: break;
      case H2Pseudo::method: meaning_.method = value; break;
      case H2Pseudo::scheme: meaning_.scheme = value; break;
      case H2Pseudo::authority: meaning_.authority = value; break;
      case H2Pseudo::path: meaning_.path = value; break;
      case H2Pseudo::protocol: meaning_.protocol = value; break;
      case H2Pseudo::status: status_ = value; break;
    }
    return nullptr;
  }

  const char* read_field(H2Line& line) {
    if (line.id == HeaderId::other) return nullptr;
    if (contains(connection_specific, line.id)) return "connection-specific field";
    const std::string_view value = block_.value(line);
    if (line.id == HeaderId::te) {
      if (!equals_any_case(value, "trailers")) return "te other than trailers";
    } else if (line.id == HeaderId::http2_settings) {
      line.dropped = true;
    } else if (line.id == HeaderId::host) {
      line.dropped = true;
      if (host_.has_value()) return "more than one host";
      host_ = value;
    } else if (line.id == HeaderId::content_length) {
      uint64_t length = 0;
      if (meaning_.length.has_value()) return "more than one content-length";
      if (!http::parse_content_length(value, length)) return "invalid content-length";
      meaning_.length = length;
    } else if (line.id == HeaderId::expect) {
      meaning_.expect_continue = equals_any_case(value, "100-continue");
    }
    return nullptr;
  }

  H2Scratch& block_;
  H2Meaning& meaning_;
  std::string_view status_;
  std::optional<std::string_view> host_;
  uint8_t seen_ = 0;
};

const char* check_authority(const LineReader& lines, H2Meaning& meaning) {
  if (lines.has(H2Pseudo::authority)) {
    if (lines.host().has_value() && !equals_any_case(*lines.host(), meaning.authority))
      return "host differs from :authority";
  } else {
    if (!lines.host().has_value()) return "missing :authority";
    meaning.authority = *lines.host();
  }
  return http::is_authority(meaning.authority) ? nullptr : "invalid :authority";
}

// RFC 9113 8.5
const char* check_connect(const LineReader& lines, H2Meaning& meaning) {
  if (lines.has(H2Pseudo::scheme) || lines.has(H2Pseudo::path)) return "CONNECT with :scheme or :path";
  if (!lines.has(H2Pseudo::authority)) return "missing :authority";
  if (meaning.authority.find(':') == std::string_view::npos || meaning.authority.back() == ']')
    return "CONNECT needs host and port";
  if (meaning.length.has_value()) return "CONNECT with a content-length";
  return check_authority(lines, meaning);
}

const char* check_path(const H2Meaning& meaning) {
  if (meaning.path.empty()) return "empty :path";
  if (!http::is_visible(meaning.path, '#')) return "invalid :path";
  if (meaning.path.front() == '/') return nullptr;
  return meaning.path == "*" && meaning.method == "OPTIONS" ? nullptr : "invalid :path";
}

}  // namespace

const char* check_request(H2Scratch& block, const H2Limits& limits, H2Meaning& meaning) {
  LineReader lines(block, meaning);
  if (const char* wrong = lines.read()) return wrong;
  if (lines.has(H2Pseudo::status)) return ":status in a request";
  if (!http::is_token(meaning.method)) return lines.has(H2Pseudo::method) ? "invalid :method" : "missing :method";
  if (lines.has(H2Pseudo::protocol)) {
    if (!limits.connect_protocol) return ":protocol, which was not offered";
    if (meaning.method != "CONNECT" || !http::is_token(meaning.protocol)) return "invalid :protocol";
    if (meaning.length.has_value()) return "CONNECT with a content-length";
  } else if (meaning.method == "CONNECT") {
    return check_connect(lines, meaning);
  }
  if (!lines.has(H2Pseudo::scheme)) return "missing :scheme";
  if (!lines.has(H2Pseudo::path)) return "missing :path";
  if (meaning.scheme != "http" && meaning.scheme != "https") return "unsupported :scheme";
  if (const char* wrong = check_path(meaning)) return wrong;
  return check_authority(lines, meaning);
}

const char* check_response(H2Scratch& block, H2Meaning& meaning) {
  LineReader lines(block, meaning);
  if (const char* wrong = lines.read()) return wrong;
  if (!lines.has(H2Pseudo::status)) return "missing :status";
  if (!lines.only({H2Pseudo::status})) return "pseudo-header field of a request in a response";
  const std::string_view text = lines.status();
  if (text.size() != 3) return "invalid :status";
  for (const char c : text)
    if (c < '0' || c > '9') return "invalid :status";
  meaning.status = static_cast<uint16_t>((text[0] - '0') * 100 + (text[1] - '0') * 10 + (text[2] - '0'));
  if (meaning.status < 100 || meaning.status > 599) return "invalid :status";
  if (meaning.status == 101) return "101, which HTTP/2 does not have";
  if (meaning.status < 200 || meaning.status == 204) {  // RFC 9110 8.6
    if (meaning.length.value_or(0) != 0) return "content-length in a response without body";
    lines.drop_length();
  }
  return nullptr;
}

const char* check_trailers(H2Scratch& block) {
  for (H2Line& line : block.lines()) {
    if (line.pseudo != H2Pseudo::none) return "pseudo-header field in trailers";
    if (contains(refused_in_trailers, line.id)) return "framing or routing field in trailers";
    if (contains(connection_specific, line.id)) return "connection-specific field";
    if (contains(dropped_in_trailers, line.id)) line.dropped = true;
  }
  return nullptr;
}

// --- Into the arena --------------------------------------------------------------------------------------------------------

namespace {

class Moved {
 public:
  Moved(H2Scratch& from, Arena& arena) : from_(from), to_(arena.allocate_text(from.text_size())) {
    if (from.text_size() > 0) std::memcpy(to_, from.text(), from.text_size());
  }
  std::string_view operator()(std::string_view view) const {
    return view.empty() ? std::string_view{} : std::string_view{to_ + (view.data() - from_.text()), view.size()};
  }
  std::string_view at(uint32_t offset, size_t size) const { return {to_ + offset, size}; }
  void add_fields(HeaderMap& fields) const {
    fields.reserve(from_.lines().size());
    size_t cookies = 0;
    for (const H2Line& line : from_.lines()) {
      if (line.dropped) continue;
      const std::string_view value = at(line.value, line.value_size);
      if (line.id == HeaderId::cookie && ++cookies > 1) continue;
      if (line.id != HeaderId::other) {
        fields.add(line.id, value);
      } else {
        fields.push({line.id, at(line.name, line.name_size), value});
      }
    }
    if (cookies > 1) fields.set(HeaderId::cookie, join_cookies(fields.arena()));
  }

 private:
  std::string_view join_cookies(Arena& arena) const {
    size_t size = 0;
    for (const H2Line& line : from_.lines())
      if (line.id == HeaderId::cookie) size += line.value_size + 2;
    char* const text = arena.allocate_text(size);
    char* out = text;
    for (const H2Line& line : from_.lines()) {
      if (line.id != HeaderId::cookie) continue;
      if (out != text) out = http::put(out, "; ");
      out = http::put(out, from_.value(line));
    }
    return {text, static_cast<size_t>(out - text)};
  }

  H2Scratch& from_;
  char* to_;
};

}  // namespace

Head& build_head(H2Scratch& block, const H2Meaning& meaning, Arena& arena) {
  const Moved moved(block, arena);
  Head& built = *arena.make<Head>(arena);
  built.version = HttpVersion::http2;
  built.status = meaning.status;
  built.upgrade = meaning.method == "CONNECT";
  built.expect_continue = meaning.expect_continue;
  built.method = meaning.protocol.empty() ? moved(meaning.method) : std::string_view("GET");
  built.scheme = moved(meaning.scheme);
  built.authority = moved(meaning.authority);
  built.path = moved(meaning.path);
  built.upgrade_protocol = moved(meaning.protocol);
  built.wire_bytes = block.wire_bytes;
  moved.add_fields(built.fields);
  return built;
}

HeaderMap& build_trailers(H2Scratch& block, Arena& arena) {
  const Moved moved(block, arena);
  HeaderMap& fields = *arena.make<HeaderMap>(arena);
  moved.add_fields(fields);
  return fields;
}

}  // namespace ringside
