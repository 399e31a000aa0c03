#pragma once
// How long a request may take: what its route says, what its client asks for, and grpc-timeout.
#include "codecs/http.h"
#include "proxy/forwarding_headers.h"
#include "proxy/specs.h"

namespace ringside {

// Zero: none.
struct RouteTimeouts {
  Duration whole{0};         // from the end of the request to the end of the response
  Duration per_try{0};       // from the end of the request, or the attempt's beginning, to the response's head
  Duration per_try_idle{0};
};

RouteTimeouts route_timeouts(const RouteSpec& spec, const RouterWishes& wishes, const Head& head);
// From the request's head to the response's end; nullopt: the connection manager's. Zero: none.
std::optional<Duration> stream_duration_of(const StreamDurationSpec& spec, const HeaderMap& fields);
// How long the upstream may expect to have, `elapsed` after the end of the request. Zero: no limit.
Duration expected_timeout(const RouteTimeouts& timeouts, Duration elapsed);

}  // namespace ringside
