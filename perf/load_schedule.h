#pragma once
// When the requests of an open loop are due, whatever the answers do.
#include <cstdint>
#include <random>

#include "core/time.h"

namespace ringside::perf {

enum class Arrivals : uint8_t { poisson, uniform };

class ArrivalSchedule {
 public:
  // The same seed gives the same gaps.
  ArrivalSchedule(Arrivals arrivals, double rate_per_second, uint64_t seed);
  // The first request is due one gap after `now`.
  void start(Instant now);
  // When the next request is due.
  Instant due() const { return due_; }
  // On to the one after it.
  void advance();

 private:
  Arrivals arrivals_;
  double gap_ns_;
  double offset_ns_ = 0;  // kept apart from the instant, so that rounding does not add up
  Instant start_{};
  Instant due_{};
  std::mt19937_64 random_;
};

}  // namespace ringside::perf
