#include "proxy/http_target.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "core/address.h"
#include "core/check.h"

namespace ringside {
namespace {

// What a byte is in a path. Several may hold.
enum PathByte : uint8_t {
  forbidden = 1,   // never in a request target: control, space, DEL, non-ASCII
  escaped = 2,     // written as %XX in a normalized path
  unreserved = 4,  // RFC 3986 2.3: written as itself
  dot = 8,
  backslash = 16,
  percent = 32,
  query = 64,
  fragment = 128,
};

constexpr bool is_letter_or_digit(unsigned char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

constexpr std::array<uint8_t, 256> make_path_bytes() {
  std::array<uint8_t, 256> table{};
  for (unsigned c = 0; c < 256; ++c) {
    if (c <= 0x20 || c >= 0x7f) table[c] = forbidden | escaped;
    if (is_letter_or_digit(static_cast<unsigned char>(c))) table[c] = unreserved;
  }
  for (const char c : {'-', '_', '~'}) table[static_cast<unsigned char>(c)] = unreserved;
  for (const char c : {'"', '<', '>', '^', '`', '{', '|', '}'}) table[static_cast<unsigned char>(c)] = escaped;
  table['.'] = unreserved | dot;
  table['\\'] = escaped | backslash;
  table['%'] = percent;
  table['?'] = escaped | query;
  table['#'] = escaped | fragment;
  return table;
}
constexpr std::array<uint8_t, 256> path_bytes = make_path_bytes();
uint8_t kind(char c) { return path_bytes[static_cast<unsigned char>(c)]; }

// Not zero for bytes that no host name has (RFC 3986 reg-name without percent-encoding: nobody decodes it the same way).
constexpr std::array<uint8_t, 256> make_host_bytes() {
  std::array<uint8_t, 256> table{};
  for (unsigned c = 0; c < 256; ++c) table[c] = !is_letter_or_digit(static_cast<unsigned char>(c));
  for (const char c : std::string_view("-._~!$&'()*+,;=")) table[static_cast<unsigned char>(c)] = 0;
  return table;
}
constexpr std::array<uint8_t, 256> bad_host_bytes = make_host_bytes();

// What `table` says of all bytes of `text`, four at a time: this runs over every byte of every request target.
uint8_t all_of(std::string_view text, const std::array<uint8_t, 256>& table) {
  const auto* at = reinterpret_cast<const unsigned char*>(text.data());
  const auto* const end = at + text.size();
  uint8_t seen = 0;
  for (; end - at >= 4; at += 4) {
    const int first = table[at[0]] | table[at[1]], second = table[at[2]] | table[at[3]];
    seen = static_cast<uint8_t>(seen | first | second);
  }
  for (; at != end; ++at) seen |= table[*at];
  return seen;
}

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// The byte that the escape at the beginning of `text` stands for, -1 when it is none.
int decoded(std::string_view text) {
  if (text.size() < 3 || text[0] != '%') return -1;
  const int high = hex_value(text[1]), low = hex_value(text[2]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

struct PathAndQuery {
  std::string_view path, query;  // the query with its question mark
};

PathAndQuery split_query(std::string_view target) {
  const size_t mark = target.find('?');
  if (mark == std::string_view::npos) return {target, {}};
  return {target.substr(0, mark), target.substr(mark)};
}

// Writes a normalized path. The output never outgrows its room: each input byte adds three at most.
class PathWriter {
 public:
  explicit PathWriter(char* out) : begin_(out), at_(out) {}

  void put(char c) {
    *at_++ = c;
    // A percent sign that began no escape must not begin one now, or who decodes once more sees something else.
    if (at_ - 3 != stray_percent_ || hex_value(at_[-1]) < 0 || hex_value(at_[-2]) < 0) return;
    std::memmove(at_, at_ - 2, 2);
    std::memcpy(at_ - 2, "25", 2);
    at_ += 2;
    stray_percent_ = nullptr;
  }
  void put_stray_percent() {
    stray_percent_ = at_;
    *at_++ = '%';
  }
  void put_escaped(char c) {
    constexpr char digits[] = "0123456789ABCDEF";
    const auto byte = static_cast<unsigned char>(c);
    *at_++ = '%';
    *at_++ = digits[byte >> 4];
    *at_++ = digits[byte & 15];
  }
  void copy_escape(std::string_view three) {
    std::memcpy(at_, three.data(), 3);
    at_ += 3;
  }
  bool after_slash() const { return at_ != begin_ && at_[-1] == '/'; }
  // Ends with a slash; takes away the segment before it, but never the first slash.
  void drop_segment() {
    if (at_ - begin_ <= 1) return;
    --at_;
    while (at_[-1] != '/') --at_;
  }
  std::string_view text() const { return {begin_, static_cast<size_t>(at_ - begin_)}; }
  char* end() { return at_; }

 private:
  char* begin_;
  char* at_;
  const char* stray_percent_ = nullptr;
};

// Bytes of the dot at the beginning of `text`, plain or escaped; 0 when there is none.
size_t dot_bytes(std::string_view text) {
  if (text.starts_with('.')) return 1;
  return decoded(text) == '.' ? 3 : 0;
}

struct DotSegment {
  size_t bytes = 0;  // with its parameters and its slash; 0: this is none
  bool up = false;
};

// "." or ".." as a whole segment. Parameters (";v=1") do not make it a name: servers that know them cut them off first.
DotSegment dot_segment(std::string_view text) {
  size_t at = dot_bytes(text);
  if (at == 0) return {};
  const size_t second = dot_bytes(text.substr(at));
  at += second;
  if (at < text.size() && text[at] == ';') {
    const size_t slash = text.find('/', at);
    at = slash == std::string_view::npos ? text.size() : slash;
  }
  if (at == text.size()) return {at, second > 0};
  if (text[at] == '/' || text[at] == '\\') return {at + 1, second > 0};
  return {};
}

// One percent sign of the input, with what follows it. Returns the bytes used, 0 for an escaped NUL.
size_t put_percent(PathWriter& writer, std::string_view text) {
  const int byte = decoded(text);
  if (byte == 0) return 0;
  if (byte < 0) return writer.put_stray_percent(), 1;
  if (kind(static_cast<char>(byte)) & unreserved)
    writer.put(static_cast<char>(byte));
  else
    writer.copy_escape(text);
  return 3;
}

bool write_normalized(PathWriter& writer, std::string_view path) {
  for (size_t at = 0; at < path.size();) {
    const std::string_view rest = path.substr(at);
    if (writer.after_slash()) {
      if (const DotSegment segment = dot_segment(rest); segment.bytes > 0) {
        if (segment.up) writer.drop_segment();
        at += segment.bytes;
        continue;
      }
    }
    const char c = path[at];
    const uint8_t is = kind(c);
    if (is & percent) {
      const size_t used = put_percent(writer, rest);
      if (used == 0) return false;
      at += used;
      continue;
    }
    if (c == '\0') return false;
    if (is & backslash)
      writer.put('/');
    else if (is & escaped)
      writer.put_escaped(c);
    else
      writer.put(c);
    ++at;
  }
  return true;
}

// Of which kinds there are bytes in `text`.
uint8_t kinds_in(std::string_view text) { return all_of(text, path_bytes); }

// Nothing that normalization would touch. `seen` are the kinds in the path, or in more than it.
bool is_normal(std::string_view path, uint8_t seen) {
  if (seen & (escaped | percent)) return false;
  return !(seen & dot) || path.find("/.") == std::string_view::npos;
}

}  // namespace

std::optional<Authority> parse_authority(std::string_view text) {
  Authority parsed;
  size_t host_end;
  if (text.starts_with('[')) {
    const size_t bracket = text.find(']');
    if (bracket == std::string_view::npos) return std::nullopt;
    host_end = bracket + 1;
    if (!Address::from_ip(text.substr(0, host_end), 0).has_value()) return std::nullopt;
  } else {
    host_end = std::min(text.find(':'), text.size());
    const std::string_view host = text.substr(0, host_end);
    if (all_of(host, bad_host_bytes) != 0) return std::nullopt;
    if (host.find_first_not_of('.') == std::string_view::npos) return std::nullopt;  // only dots, or nothing at all
  }
  parsed.host = text.substr(0, host_end);
  if (host_end == text.size()) return parsed;
  parsed.port_text = text.substr(host_end);
  if (parsed.port_text[0] != ':' || parsed.port_text.size() < 2 || parsed.port_text.size() > 6) return std::nullopt;
  uint32_t port = 0;
  for (const char c : parsed.port_text.substr(1)) {
    if (c < '0' || c > '9') return std::nullopt;
    port = port * 10 + static_cast<uint32_t>(c - '0');
  }
  if (port > 65535) return std::nullopt;
  parsed.port = static_cast<uint16_t>(port);
  return parsed;
}

std::string_view path_without_query(std::string_view path) {
  // Two passes of memchr are faster than one of find_first_of.
  path = path.substr(0, path.find('?'));
  return path.substr(0, path.find('#'));
}

std::string_view unescape_slashes(std::string_view target, Arena& arena) {
  const auto [path, rest] = split_query(target);
  size_t escape = path.find('%');
  while (escape != std::string_view::npos) {
    const int byte = decoded(path.substr(escape));
    if (byte == '/' || byte == '\\') break;
    escape = path.find('%', escape + 1);
  }
  if (escape == std::string_view::npos) return target;
  char* out = arena.allocate_text(target.size());
  char* at = out;
  for (size_t from = 0; from < path.size();) {
    const int byte = path[from] == '%' ? decoded(path.substr(from)) : -1;
    const bool slash = byte == '/' || byte == '\\';
    *at++ = slash ? static_cast<char>(byte) : path[from];
    from += slash ? 3 : 1;
  }
  if (!rest.empty()) std::memcpy(at, rest.data(), rest.size());
  return {out, static_cast<size_t>(at - out) + rest.size()};
}

std::optional<std::string_view> normalize_path(std::string_view target, Arena& arena) {
  const auto [path, rest] = split_query(target);
  if (!path.starts_with('/') && !path.starts_with('\\')) return std::nullopt;
  if (is_normal(path, kinds_in(path))) return target;
  PathWriter writer(arena.allocate_text(path.size() * 3 + rest.size()));
  if (!write_normalized(writer, path)) return std::nullopt;
  if (!rest.empty()) std::memcpy(writer.end(), rest.data(), rest.size());
  return std::string_view(writer.text().data(), writer.text().size() + rest.size());
}

std::string_view merge_slashes(std::string_view target, Arena& arena) {
  const auto [path, rest] = split_query(target);
  if (path.find("//") == std::string_view::npos) return target;
  char* out = arena.allocate_text(target.size());
  char* at = out;
  for (const char c : path)
    if (c != '/' || at == out || at[-1] != '/') *at++ = c;
  if (!rest.empty()) std::memcpy(at, rest.data(), rest.size());
  return {out, static_cast<size_t>(at - out) + rest.size()};
}

std::string_view rewrite_prefix(std::string_view path, size_t matched_bytes, std::string_view replacement,
                                Arena& arena) {
  RS_CHECK(matched_bytes <= path.size());
  return arena.concat(replacement, path.substr(matched_bytes));
}

TargetPolicy::TargetPolicy(const HttpManagerSpec& spec)
    : escaped_slashes_(spec.escaped_slashes),
      normalize_(spec.normalize_path),
      merge_(spec.merge_slashes),
      strip_matching_port_(spec.strip_matching_host_port),
      strip_any_port_(spec.strip_any_host_port),
      strip_dot_(spec.strip_trailing_host_dot) {}

TargetVerdict TargetPolicy::apply(Head& head, uint16_t local_port) const {
  if (head.authority.empty())
    return {.action = TargetAction::reject, .details = "missing_host_header", .message = {}, .location = {}};
  if (!apply_host(head, local_port))
    return {.action = TargetAction::reject, .details = "invalid_host_header", .message = {}, .location = {}};
  return apply_path(head);
}

bool TargetPolicy::apply_host(Head& head, uint16_t local_port) const {
  const std::optional<Authority> parsed = parse_authority(head.authority);
  if (!parsed) return false;
  std::string_view host = parsed->host, port = parsed->port_text;
  if (strip_any_port_ || (strip_matching_port_ && parsed->port == local_port)) port = {};
  const bool dot_goes = strip_dot_ && host.ends_with('.');
  if (dot_goes) host.remove_suffix(1);
  if (dot_goes && !port.empty())
    head.authority = head.fields.arena().concat(host, port);
  else
    head.authority = head.authority.substr(0, host.size() + port.size());
  return true;
}

TargetVerdict TargetPolicy::apply_path(Head& head) const {
  constexpr TargetVerdict refused{
      .action = TargetAction::reject, .details = "path_normalization_failed", .message = {}, .location = {}};
  if (head.path == "*" && head.method == "OPTIONS") return {};
  const auto [bare, rest] = split_query(head.path);
  const uint8_t seen = kinds_in(bare);
  // A fragment is the client's own business (RFC 9112 3.2); policy and upstream would disagree about where the path ends.
  if (!bare.starts_with('/') || ((seen | kinds_in(rest)) & (forbidden | fragment))) return refused;
  Arena& arena = head.fields.arena();
  std::string_view path = head.path;
  bool redirect = false;
  if (escaped_slashes_ != EscapedSlashAction::keep_unchanged && (seen & percent)) {
    path = unescape_slashes(path, arena);
    const bool found = path.data() != head.path.data();
    if (found && escaped_slashes_ == EscapedSlashAction::reject_request) return refused;
    redirect = found && escaped_slashes_ == EscapedSlashAction::unescape_and_redirect;
  }
  if (normalize_ && !is_normal(bare, seen)) {
    const std::optional<std::string_view> normal = normalize_path(path, arena);
    if (!normal) return refused;
    path = *normal;
  }
  if (merge_) path = merge_slashes(path, arena);
  if (redirect) {
    // "//host" would send the client to another server; "/.//host" is the same path (RFC 3986 4.2).
    if (path.starts_with("//") || path.starts_with("/\\")) path = arena.concat("/.", path);
    return {.action = TargetAction::redirect, .details = "path_normalization_failed", .message = {}, .location = path};
  }
  head.path = path;
  return {};
}

}  // namespace ringside
