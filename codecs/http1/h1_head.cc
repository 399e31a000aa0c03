#include "codecs/http1/h1_head.h"

#include <cstring>

#include "codecs/ascii.h"
#include "codecs/authority.h"
#include "codecs/http_text.h"

namespace ringside {
namespace {

// What Connection may list without effect: how a message is framed and routed is not the peer's to delete.
constexpr HeaderIdSet not_nominable =
    hop_by_hop_headers | header_ids({HeaderId::host, HeaderId::content_length, HeaderId::trailer, HeaderId::expect});

constexpr HeaderIdSet read_here =
    hop_by_hop_headers | header_ids({HeaderId::host, HeaderId::content_length, HeaderId::expect, HeaderId::trailer});

// One pass over the fields.
class FieldReader {
 public:
  FieldReader(H1Scratch& head, const H1Limits& limits, H1Part part)
      : head_(head), limits_(limits), te_settled_(part != H1Part::request) {}

  // Null, or what is wrong.
  const char* read() {
    for (H1Line& line : head_.lines()) {
      if (!contains(read_here, line.id)) continue;
      if (const char* wrong = read_line(line)) return wrong;
    }
    if (length_seen_ && chunked_) return "both content-length and transfer-encoding";
    if (nominated_count_ > 0) drop_nominated();
    return nullptr;
  }

  bool length_seen() const { return length_seen_; }
  bool chunked() const { return chunked_; }
  uint64_t length() const { return length_; }
  bool close() const { return close_; }
  bool keep_alive() const { return keep_alive_; }
  bool upgrade_listed() const { return upgrade_listed_; }
  bool expect_continue() const { return expect_continue_; }
  const H1Line* host() const { return host_; }
  std::string_view upgrade() const { return upgrade_; }
  void drop_length() {
    for (H1Line& line : head_.lines())
      if (line.id == HeaderId::content_length) line.dropped = true;
  }

 private:
  const char* read_line(H1Line& line) {
    const std::string_view value = head_.value(line);
    line.dropped = line.dropped || contains(hop_by_hop_headers, line.id);
    // Of the ids only these need more than being dropped.
    if (line.id == HeaderId::host) {
      line.dropped = true;
      if (host_ != nullptr) return "more than one host";
      host_ = &line;
    } else if (line.id == HeaderId::content_length) {
      if (length_seen_) return "more than one content-length";
      if (!http::parse_content_length(value, length_)) return "invalid content-length";
      length_seen_ = true;
    } else if (line.id == HeaderId::transfer_encoding) {
      if (chunked_ || !equals_any_case(value, "chunked")) return "transfer-encoding is not exactly chunked";
      chunked_ = true;
    } else if (line.id == HeaderId::connection) {
      return read_connection(value);
    } else if (line.id == HeaderId::upgrade) {
      if (!upgrade_.empty()) return "more than one upgrade";
      upgrade_ = value;
    } else if (line.id == HeaderId::expect) {
      expect_continue_ = equals_any_case(value, "100-continue");
    } else if (line.id == HeaderId::te) {
      keep_trailers_alone(line, value);
    } else if (line.id == HeaderId::trailer) {
      line.dropped = line.dropped || !limits_.enable_trailers;
    }
    return nullptr;
  }

  // Of TE only the willingness to take trailers says something to the next hop; codings are between us and the peer.
  void keep_trailers_alone(H1Line& line, std::string_view value) {
    while (!te_settled_ && !value.empty()) {
      const size_t comma = value.find(',');
      const std::string_view coding = http::trim(value.substr(0, comma));
      value = comma == std::string_view::npos ? std::string_view{} : value.substr(comma + 1);
      if (coding != "trailers") continue;
      line.value = static_cast<uint32_t>(coding.data() - head_.text());
      line.value_size = static_cast<uint32_t>(coding.size());
      line.dropped = false;
      te_settled_ = true;
    }
  }

  const char* read_connection(std::string_view value) {
    while (!value.empty()) {
      const size_t comma = value.find(',');
      const std::string_view option = http::trim(value.substr(0, comma));
      value = comma == std::string_view::npos ? std::string_view{} : value.substr(comma + 1);
      if (option.empty()) continue;
      if (!http::is_token(option)) return "invalid connection option";
      if (equals_any_case(option, "close")) {
        close_ = true;
      } else if (equals_any_case(option, "keep-alive")) {
        keep_alive_ = true;
      } else if (equals_any_case(option, "upgrade")) {
        upgrade_listed_ = true;
      } else if (equals_any_case(option.substr(0, 12), "x-forwarded-")) {
        return "connection lists a field of proxies";
      } else {
        if (nominated_count_ == h1::connection_tokens_max) return "too many connection options";
        nominated_[nominated_count_++] = {option.data(), option.size()};
      }
    }
    return nullptr;
  }

  void drop_nominated() {
    for (H1Line& line : head_.lines()) {
      if (contains(not_nominable, line.id)) continue;
      const std::string_view name = head_.name(line);
      for (size_t at = 0; at < nominated_count_; ++at)
        if (equals_any_case({nominated_[at].data, nominated_[at].size}, name)) line.dropped = true;
    }
  }

  // Not initialized: hardly any message lists more than close or keep-alive.
  struct Option {
    const char* data;
    size_t size;
  };

  H1Scratch& head_;
  const H1Limits& limits_;
  Option nominated_[h1::connection_tokens_max];
  size_t nominated_count_ = 0;
  uint64_t length_ = 0;
  const H1Line* host_ = nullptr;
  std::string_view upgrade_;
  bool length_seen_ = false;
  bool chunked_ = false;
  bool close_ = false;
  bool keep_alive_ = false;
  bool upgrade_listed_ = false;
  bool expect_continue_ = false;
  bool te_settled_;  // nothing more of TE is kept; a response has none
};

// Where the fields begin: the length of the start line with its CRLF.
uint32_t start_line_size(H1Scratch& head) { return head.lines().empty() ? head.size() - 2 : head.lines().front().name; }

bool refuse(H1Failure& failure, const char* detail, uint16_t status = 400) {
  failure = {detail, ErrorCode::bad_message, status};
  return false;
}

// "HTTP/1.0" or "HTTP/1.1".
bool read_version(std::string_view text, HttpVersion& version) {
  if (text == "HTTP/1.1") {
    version = HttpVersion::http11;
  } else if (text == "HTTP/1.0") {
    version = HttpVersion::http10;
  } else {
    return false;
  }
  return true;
}

// method SP target SP version CRLF, single spaces, nothing else.
bool read_request_line(H1Scratch& head, H1Meaning& meaning, H1Failure& failure) {
  const std::string_view line = head.view(0, start_line_size(head));
  const size_t target = head.target();
  const size_t target_end = target + head.target_size();
  if (target < 2 || head.target_size() == 0 || target_end > line.size() || line[target - 1] != ' ')
    return refuse(failure, "invalid request line");
  meaning.method = line.substr(0, target - 1);
  for (const char c : meaning.method)
    if ((c < 'A' || c > 'Z') && c != '-') return refuse(failure, "invalid request line");
  const std::string_view rest = line.substr(target_end);
  if (rest.size() != 11 || rest[0] != ' ' || !rest.starts_with(" HTTP/"))
    return refuse(failure, "invalid request line");
  if (!read_version(rest.substr(1, 8), meaning.version)) return refuse(failure, "unsupported HTTP version", 505);
  const char* wrong = h1::parse_target(meaning.method, line.substr(target, head.target_size()), meaning.target);
  return wrong == nullptr || refuse(failure, wrong);
}

// "h2c" is never forwarded nor offered to the owner, alone or in a list: another hop must not be talked into it.
bool offers_h2c(std::string_view upgrade) {
  while (!upgrade.empty()) {
    const size_t comma = upgrade.find(',');
    if (equals_any_case(http::trim(upgrade.substr(0, comma)), "h2c")) return true;
    upgrade = comma == std::string_view::npos ? std::string_view{} : upgrade.substr(comma + 1);
  }
  return false;
}

bool read_authority(H1Scratch& head, const FieldReader& fields, const H1Limits& limits, H1Meaning& meaning,
                    H1Failure& failure) {
  if (fields.host() != nullptr) {
    meaning.authority = head.value(*fields.host());
    if (!http::is_authority(meaning.authority)) return refuse(failure, "invalid host");
  } else if (meaning.version == HttpVersion::http10) {
    meaning.authority = limits.default_host_for_http_10;
  } else if (!meaning.target.authority.empty()) {
    return refuse(failure, "missing host");
  }  // else it has none, which its owner refuses
  if (meaning.target.authority.empty()) return true;
  if (!limits.allow_absolute_url && !meaning.target.scheme.empty()) return refuse(failure, "absolute request target");
  meaning.authority = meaning.target.authority;  // RFC 9112 3.2.2: Host is ignored
  return true;
}

}  // namespace

bool check_request_head(H1Scratch& head, const H1Limits& limits, H1Meaning& meaning, H1Failure& failure) {
  if (!read_request_line(head, meaning, failure)) return false;
  const bool http10 = meaning.version == HttpVersion::http10;
  if (http10 && !limits.accept_http_10) {
    failure = {"HTTP/1.0 is not accepted", ErrorCode::unsupported, 426};
    return false;
  }
  FieldReader fields(head, limits, H1Part::request);
  if (const char* wrong = fields.read()) return refuse(failure, wrong);
  if (!read_authority(head, fields, limits, meaning, failure)) return false;
  if (http10 && fields.chunked()) return refuse(failure, "transfer-encoding in HTTP/1.0");
  if (fields.chunked()) {
    meaning.framing = H1Framing::chunked;
  } else if (fields.length() > 0) {
    meaning.framing = H1Framing::length;
    meaning.length = fields.length();
  }
  meaning.persistent = !fields.close() && (!http10 || fields.keep_alive());
  meaning.expect_continue = !http10 && fields.expect_continue() && meaning.framing != H1Framing::none;
  if (meaning.method == "CONNECT") {
    if (fields.chunked() || fields.length_seen()) return refuse(failure, "CONNECT with a body");
    meaning.upgrade = true;
    meaning.persistent = false;  // what follows is not HTTP unless we refuse, and the client may not have waited
  } else if (!http10 && fields.upgrade_listed() && !fields.upgrade().empty() && !offers_h2c(fields.upgrade())) {
    meaning.upgrade = true;
    meaning.upgrade_protocol = fields.upgrade();
  }
  return true;
}

namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// version SP 3DIGIT [SP reason] CRLF
bool read_status_line(H1Scratch& head, H1Meaning& meaning, H1Failure& failure) {
  const std::string_view line = head.view(0, start_line_size(head));
  if (line.size() < 14 || line[8] != ' ') return refuse(failure, "invalid status line");
  if (!read_version(line.substr(0, 8), meaning.version)) return refuse(failure, "unsupported HTTP version");
  if (!is_digit(line[9]) || !is_digit(line[10]) || !is_digit(line[11]) || (line[12] != ' ' && line[12] != '\r'))
    return refuse(failure, "invalid status line");
  meaning.status = static_cast<uint16_t>((line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0'));
  if (meaning.status < 100 || meaning.status > 599) return refuse(failure, "invalid status code");
  return true;
}

}  // namespace

bool check_response_head(H1Scratch& head, const H1Limits& limits, H1AnswerTo to, H1Meaning& meaning,
                         H1Failure& failure) {
  if (!read_status_line(head, meaning, failure)) return false;
  const bool http10 = meaning.version == HttpVersion::http10;
  FieldReader fields(head, limits, H1Part::response);
  if (const char* wrong = fields.read()) return refuse(failure, wrong);
  if (http10 && fields.chunked()) return refuse(failure, "transfer-encoding in HTTP/1.0");
  meaning.persistent = !fields.close() && (!http10 || fields.keep_alive());
  if (meaning.status == 101) {
    if (to != H1AnswerTo::upgrade_request) return refuse(failure, "switched to a protocol that was not asked for");
    if (http10 || !fields.upgrade_listed() || fields.upgrade().empty())
      return refuse(failure, "switched protocols without saying to which");  // RFC 9110 7.8
    if (fields.chunked() || fields.length() != 0) return refuse(failure, "switched protocols with a body");
    fields.drop_length();
    meaning.upgrade = true;
    meaning.upgrade_protocol = fields.upgrade();
    return true;
  }
  if (to == H1AnswerTo::connect_request && meaning.status / 100 == 2) {  // RFC 9110 9.3.6: it has no body, whatever it says
    fields.drop_length();
    meaning.upgrade = true;
    return true;
  }
  const bool informational = meaning.status < 200;
  if (informational || meaning.status == 204) {  // RFC 9110 6.4.1, 8.6
    if (fields.chunked()) return refuse(failure, "transfer-encoding in a response without body");
    if (fields.length() != 0) return refuse(failure, "content-length in a response without body");
    fields.drop_length();
    if (informational && http10) return refuse(failure, "1xx in HTTP/1.0");
    return true;
  }
  if (to == H1AnswerTo::head_request || meaning.status == 304) return true;
  if (fields.chunked()) {
    meaning.framing = H1Framing::chunked;
  } else if (!fields.length_seen()) {
    meaning.framing = H1Framing::until_close;
    meaning.persistent = false;
  } else if (fields.length() > 0) {
    meaning.framing = H1Framing::length;
    meaning.length = fields.length();
  }
  return true;
}

bool check_trailers(H1Scratch& trailers, H1Failure& failure) {
  for (H1Line& line : trailers.lines()) {
    if (contains(refused_in_trailers, line.id)) return refuse(failure, "framing or routing field in trailers");
    if (contains(dropped_in_trailers, line.id)) line.dropped = true;
  }
  return true;
}

// --- Into the arena ------------------------------------------------------------------------------------------------------

namespace {

// Copies the head's text; views into the one become views into the other.
class Moved {
 public:
  Moved(H1Scratch& from, Arena& arena) : from_(from.text()), size_(from.size()), to_(arena.allocate_text(size_)) {
    std::memcpy(to_, from_, size_);
  }
  bool inside(std::string_view view) const { return view.data() >= from_ && view.data() < from_ + size_; }
  std::string_view operator()(std::string_view view) const {
    return inside(view) ? std::string_view{to_ + (view.data() - from_), view.size()} : view;
  }
  // Names in lower case: well-known ones as the static text, so that most need no work.
  void add_fields(H1Scratch& head, HeaderMap& fields) const {
    fields.reserve(head.lines().size());
    for (const H1Line& line : head.lines()) {
      if (line.dropped) continue;
      const std::string_view value{to_ + line.value, line.value_size};
      if (line.id != HeaderId::other) {
        fields.add(line.id, value);
        continue;
      }
      lower_in_place(to_ + line.name, line.name_size);
      fields.push({line.id, {to_ + line.name, line.name_size}, value});
    }
  }

 private:
  const char* from_;
  size_t size_;
  char* to_;
};

}  // namespace

Head& build_head(H1Scratch& head, const H1Meaning& meaning, Arena& arena) {
  const Moved moved(head, arena);
  Head& built = *arena.make<Head>(arena);
  built.version = meaning.version;
  built.status = meaning.status;
  built.upgrade = meaning.upgrade;
  built.expect_continue = meaning.expect_continue;
  built.until_close = meaning.framing == H1Framing::until_close;
  built.method = moved(meaning.method);
  built.scheme = meaning.target.scheme;
  built.authority = moved.inside(meaning.authority) ? moved(meaning.authority) : arena.copy(meaning.authority);
  built.upgrade_protocol = moved(meaning.upgrade_protocol);
  built.wire_bytes = head.size();
  const std::string_view path = meaning.target.path;
  if (meaning.status == 0 && !path.starts_with('/') && path != "*" && meaning.method != "CONNECT") {
    built.path = arena.concat("/", path);  // an absolute target without a path
  } else {
    built.path = moved(path);
  }
  moved.add_fields(head, built.fields);
  return built;
}

HeaderMap& build_trailers(H1Scratch& trailers, Arena& arena) {
  const Moved moved(trailers, arena);
  HeaderMap& fields = *arena.make<HeaderMap>(arena);
  moved.add_fields(trailers, fields);
  return fields;
}

}  // namespace ringside
