#pragma once
// Host and :authority (RFC 9110 7.2, RFC 9113 8.3.1).
#include <string_view>

namespace ringside::http {

// uri-host [":" port], stricter than RFC 3986: letters, digits and "-._~", or an IPv6 address in brackets; a port of 1 to
// 65535. No userinfo, no percent-encoding, no zone.
bool is_authority(std::string_view text);

}  // namespace ringside::http
