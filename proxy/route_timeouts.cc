#include "proxy/route_timeouts.h"

#include <algorithm>

#include "proxy/grpc_rules.h"

namespace ringside {
namespace {

// What grpc-timeout asks for within the limits of the configuration; zero is no limit in both.
Duration grpc_timeout(const GrpcTimeoutSpec& spec, const HeaderMap& fields) {
  Duration timeout = grpc_timeout_of(fields).value_or(Duration::zero());
  if (spec.offset < timeout) timeout -= spec.offset;
  const bool beyond = timeout == Duration::zero() || timeout > spec.timeout_max;
  return spec.timeout_max > Duration::zero() && beyond ? spec.timeout_max : timeout;
}

Duration whole_timeout(const RouteSpec& spec, const Head& head) {
  if (spec.stream_duration) return Duration::zero();
  if (spec.grpc_timeout && is_grpc_request(head)) return grpc_timeout(*spec.grpc_timeout, head.fields);
  return spec.timeout;
}

}  // namespace

RouteTimeouts route_timeouts(const RouteSpec& spec, const RouterWishes& wishes, const Head& head) {
  RouteTimeouts timeouts;
  timeouts.whole = wishes.timeout.value_or(whole_timeout(spec, head));
  if (spec.retry != nullptr) {
    timeouts.per_try = spec.retry->per_try_timeout;
    timeouts.per_try_idle = spec.retry->per_try_idle_timeout;
  }
  if (wishes.per_try_timeout) timeouts.per_try = *wishes.per_try_timeout;
  if (timeouts.whole > Duration::zero() && timeouts.per_try >= timeouts.whole) timeouts.per_try = Duration::zero();
  return timeouts;
}

std::optional<Duration> stream_duration_of(const StreamDurationSpec& spec, const HeaderMap& fields) {
  const std::optional<Duration> asked = grpc_timeout_of(fields);
  if (!asked || !spec.grpc_timeout_max) return spec.duration_max;
  Duration timeout = *asked;
  if (*spec.grpc_timeout_max > Duration::zero()) timeout = std::min(timeout, *spec.grpc_timeout_max);
  if (spec.grpc_timeout_offset) timeout -= std::min(timeout, *spec.grpc_timeout_offset);
  // Zero would be no limit: what has no time left ends at once.
  return std::max<Duration>(timeout, Duration(1));
}

Duration expected_timeout(const RouteTimeouts& timeouts, Duration elapsed) {
  const Duration expected = timeouts.per_try > Duration::zero() ? timeouts.per_try : timeouts.whole;
  if (expected == Duration::zero() || timeouts.whole == Duration::zero()) return expected;
  if (elapsed >= timeouts.whole) return milliseconds(1);  // the timer ends it any moment
  return std::min(expected, timeouts.whole - elapsed);
}

}  // namespace ringside
