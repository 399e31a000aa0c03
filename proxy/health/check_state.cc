#include "proxy/health/check_state.h"

#include <algorithm>

namespace ringside {

HealthChange CheckState::apply(CheckResult result, HealthFlags& flags) {
  HealthChange change = is_success(result) ? succeed(result == CheckResult::degraded, flags) : fail(result, flags);
  checked_ = true;
  if (flags.has(HealthFlag::pending_active_hc)) {  // it counts from now on, well or not
    flags.clear(HealthFlag::pending_active_hc);
    change = HealthChange::changed;
  }
  return change;
}

HealthChange CheckState::succeed(bool degraded, HealthFlags& flags) {
  failures_ = 0;
  HealthChange change = HealthChange::none;
  if (flags.has(HealthFlag::failed_active_hc)) {
    // The first result decides alone, so that a start is quick.
    if (!checked_ || ++successes_ >= spec_.healthy_threshold) {
      flags.clear(HealthFlag::failed_active_hc);
      flags.clear(HealthFlag::active_hc_timeout);
      successes_ = 0;
      change = HealthChange::changed;
    } else {
      change = HealthChange::pending;
    }
  }
  if (degraded == flags.has(HealthFlag::degraded_active_hc)) return change;
  flags.put(HealthFlag::degraded_active_hc, degraded);
  return change == HealthChange::pending ? change : HealthChange::changed;
}

HealthChange CheckState::fail(CheckResult result, HealthFlags& flags) {
  successes_ = 0;
  HealthChange change = HealthChange::none;
  if (!flags.has(HealthFlag::failed_active_hc)) {
    // A host that says itself that it is not well is believed at once.
    if (result == CheckResult::failed || ++failures_ >= spec_.unhealthy_threshold) {
      flags.set(HealthFlag::failed_active_hc);
      failures_ = 0;
      change = HealthChange::changed;
    } else {
      change = HealthChange::pending;
    }
  }
  flags.put(HealthFlag::active_hc_timeout, result == CheckResult::timed_out && flags.has(HealthFlag::failed_active_hc));
  return change;
}

Duration pause_after(const HealthCheckSpec& spec, CheckResult result, HealthChange change, ClusterUse use) {
  const bool pending = change == HealthChange::pending;
  if (use == ClusterUse::never)
    return is_success(result) && !pending ? spec.no_traffic_healthy_interval : spec.no_traffic_interval;
  if (is_success(result)) return pending ? spec.healthy_edge_interval : spec.interval;
  return pending ? spec.unhealthy_edge_interval : spec.unhealthy_interval;
}

Duration jittered(Duration base, Duration jitter_max, uint32_t jitter_percent, const uint64_t (&random)[2]) {
  const auto share_ms = static_cast<uint64_t>(base / milliseconds(1)) * jitter_percent / 100;
  const auto max_ms = static_cast<uint64_t>(jitter_max / milliseconds(1));
  if (share_ms > 0) base += milliseconds(static_cast<int64_t>(random[0] % share_ms));
  if (max_ms > 0) base += milliseconds(static_cast<int64_t>(random[1] % max_ms));
  return std::max<Duration>(base, milliseconds(1));
}

}  // namespace ringside
