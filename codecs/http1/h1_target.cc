#include "codecs/http1/h1_target.h"

#include "codecs/ascii.h"
#include "codecs/authority.h"
#include "codecs/http_text.h"

namespace ringside::h1 {

const char* parse_target(std::string_view method, std::string_view text, Target& target) {
  if (!http::is_visible(text, '#')) {
    return http::is_visible(text) ? "fragment in the request target" : "invalid character in the request target";
  }
  if (method == "CONNECT") {
    if (!http::is_authority(text) || text.find(':') == std::string_view::npos || text.back() == ']')
      return "CONNECT needs host and port";
    target.authority = text;
    return nullptr;
  }
  if (text.empty()) return "empty request target";
  if (text.front() == '/') {
    target.path = text;
    return nullptr;
  }
  if (text == "*") {
    if (method != "OPTIONS") return "the target * is for OPTIONS";
    target.path = text;
    return nullptr;
  }
  const size_t scheme_end = text.find("://");
  if (scheme_end == std::string_view::npos) return "invalid request target";
  const std::string_view scheme = text.substr(0, scheme_end);
  if (equals_any_case(scheme, "http")) {
    target.scheme = "http";
  } else if (equals_any_case(scheme, "https")) {
    target.scheme = "https";
  } else {
    return "unsupported scheme in the request target";
  }
  const std::string_view rest = text.substr(scheme_end + 3);
  const size_t authority_end = rest.find_first_of("/?");
  target.authority = rest.substr(0, authority_end);
  if (!http::is_authority(target.authority)) return "invalid authority in the request target";
  if (authority_end != std::string_view::npos) target.path = rest.substr(authority_end);
  if (target.path.empty() && method == "OPTIONS") target.path = "*";  // RFC 9112 3.2.4
  return nullptr;
}

}  // namespace ringside::h1
