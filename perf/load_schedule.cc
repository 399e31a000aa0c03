#include "perf/load_schedule.h"

#include <cmath>

#include "core/check.h"

namespace ringside::perf {

ArrivalSchedule::ArrivalSchedule(Arrivals arrivals, double rate_per_second, uint64_t seed)
    : arrivals_(arrivals), gap_ns_(1e9 / rate_per_second), random_(seed) {
  RS_CHECK(rate_per_second > 0);
}

void ArrivalSchedule::start(Instant now) {
  start_ = now;
  offset_ns_ = 0;
  advance();
}

void ArrivalSchedule::advance() {
  double gaps = 1;
  if (arrivals_ == Arrivals::poisson) {
    // Our own inversion: the library's distribution differs between implementations, a seed should not.
    const double uniform = (static_cast<double>(random_() >> 11) + 0.5) * 0x1p-53;  // inside (0, 1)
    gaps = -std::log(uniform);
  }
  offset_ns_ += gaps * gap_ns_;
  due_ = start_ + Duration(std::llround(offset_ns_));
}

}  // namespace ringside::perf
