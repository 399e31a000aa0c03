#pragma once
// Host and path of a request: checked, and brought into the one form that routing, policy and the upstream all see.
#include <cstdint>
#include <optional>
#include <string_view>

#include "codecs/http.h"
#include "proxy/specs.h"

namespace ringside {

// uri-host [":" port] (RFC 9110 4.2.3, RFC 3986 3.2.2). Views into the text that was parsed.
struct Authority {
  std::string_view host;  // with the brackets of an IPv6 literal
  std::optional<uint16_t> port;
  std::string_view port_text;  // with its colon; "" when there is none
};
// nullopt: userinfo, a bad port, an empty host, a character that no host has (space, control, non-ASCII, "/?#@\\"), a bad literal.
std::optional<Authority> parse_authority(std::string_view text);

// The path without query and fragment.
std::string_view path_without_query(std::string_view path);

enum class TargetAction : uint8_t { forward, redirect, reject };
struct TargetVerdict {
  TargetAction action = TargetAction::forward;
  const char* details = "";   // response code details
  std::string_view message;   // body of a rejection
  std::string_view location;  // of a redirect, in the arena
};

// What a connection manager does with host and path, compiled from its spec.
class TargetPolicy {
 public:
  explicit TargetPolicy(const HttpManagerSpec& spec);
  // Checks and rewrites head.authority and head.path; new text goes into the arena of head.fields. `local_port` is that of the
  // listener, for strip_matching_host_port. Order as Envoy: fragment, escaped slashes, normalization, merged slashes.
  TargetVerdict apply(Head& head, uint16_t local_port) const;

 private:
  bool apply_host(Head& head, uint16_t local_port) const;
  TargetVerdict apply_path(Head& head) const;

  EscapedSlashAction escaped_slashes_;
  bool normalize_, merge_;
  bool strip_matching_port_, strip_any_port_, strip_dot_;
};

// The single steps; all leave the query alone. The result is `path` itself when nothing changed, else text in the arena.
// %2F %2f %5C %5c become the characters that they stand for.
std::string_view unescape_slashes(std::string_view path, Arena& arena);
// Dot segments are resolved, unreserved characters are decoded, others encoded, backslashes become slashes (as Envoy's
// normalize_path). nullopt: the path has a NUL, or an escape of it, or does not begin with a slash.
std::optional<std::string_view> normalize_path(std::string_view path, Arena& arena);
std::string_view merge_slashes(std::string_view path, Arena& arena);
// The path with its first `matched_bytes` bytes replaced by `replacement`; the rest and the query are kept.
std::string_view rewrite_prefix(std::string_view path, size_t matched_bytes, std::string_view replacement,
                                Arena& arena);

}  // namespace ringside
