#pragma once
// Typed time. Monotonic instants come from Ring::now(), never from a clock directly, so that a simulation can replay them.
#include <chrono>
#include <cstdint>

namespace ringside {

using Duration = std::chrono::nanoseconds;

struct RingClock {
  using rep = int64_t;
  using period = std::nano;
  using duration = Duration;
  using time_point = std::chrono::time_point<RingClock, Duration>;
  static constexpr bool is_steady = true;
};
// Monotonic; its zero is arbitrary (0 in a simulation).
using Instant = RingClock::time_point;
// Wall clock, nanoseconds since the Unix epoch; for logs and dates only.
using WallTime = std::chrono::sys_time<Duration>;

using std::chrono::duration_cast;
using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::nanoseconds;
using std::chrono::seconds;

}  // namespace ringside
