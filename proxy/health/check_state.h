#pragma once
// What the results of a host's checks make of its health: thresholds, and how soon to ask again.
#include <cstdint>

#include "proxy/health_flags.h"
#include "proxy/specs.h"

namespace ringside {

enum class CheckResult : uint8_t {
  success,
  degraded,   // a success, and the host says that others should be preferred
  failed,     // it says that it is not well
  retriable,  // likewise, in a way that may pass
  network,    // it could not be asked
  timed_out,
};
inline bool is_success(CheckResult result) { return result == CheckResult::success || result == CheckResult::degraded; }
inline bool is_network(CheckResult result) { return result == CheckResult::network || result == CheckResult::timed_out; }

enum class HealthChange : uint8_t {
  none,
  pending,  // more results like this one will change its health
  changed,
};

class CheckState {
 public:
  // `spec` lives longer.
  explicit CheckState(const HealthCheckSpec& spec) : spec_(spec) {}
  // `flags` are the host's, and are changed.
  HealthChange apply(CheckResult result, HealthFlags& flags);
  // There was a result.
  bool checked() const { return checked_; }

 private:
  HealthChange succeed(bool degraded, HealthFlags& flags);
  HealthChange fail(CheckResult result, HealthFlags& flags);

  const HealthCheckSpec& spec_;
  uint32_t successes_ = 0;  // in a row, while unhealthy
  uint32_t failures_ = 0;   // in a row, while healthy
  bool checked_ = false;
};

// From a result to the next check, without jitter. A cluster that was never used is asked less often.
enum class ClusterUse : bool { never, used };
Duration pause_after(const HealthCheckSpec& spec, CheckResult result, HealthChange change, ClusterUse use);
// With jitter; `random` are any two numbers. Never zero.
Duration jittered(Duration base, Duration jitter_max, uint32_t jitter_percent, const uint64_t (&random)[2]);

}  // namespace ringside
