#pragma once
// What every kind of load offers to the loop that drives it.
#include "core/time.h"
#include "perf/load_counts.h"

namespace ringside::perf {

class Load {
 public:
  virtual ~Load() = default;
  // Opens the connections.
  virtual void start() = 0;
  // All connections are there (and idle ones have had their request): the warm-up may begin.
  virtual bool ready() const = 0;
  // From the first call on requests go out. Does what is due at `now`; returns how long until the next thing is.
  virtual Duration drive(Instant now) = 0;
  // Counts as failures what has waited longer than `patience`. Once, at the end.
  virtual void check_stalled(Instant now, Duration patience) = 0;

  LoadCounts counts;
};

}  // namespace ringside::perf
