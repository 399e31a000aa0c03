#pragma once
// What the codecs of HTTP/2 count, on its way into the statistics.
#include <cstdint>

#include "codecs/http2/h2_stats.h"
#include "core/stats.h"
#include "proxy/observe/stat_names.h"

namespace ringside {

// One worker's; made before the first codec, seen on the pages from then on.
class H2StatCells {
 public:
  // No effect but the first time.
  void attach(StatsRegistry& registry, StatScope scope, uint32_t worker);
  // For the codecs to count in.
  H2Stats& numbers() { return numbers_; }
  // Now and then.
  void publish();

 private:
  H2Stats numbers_;
  H2Stats published_;
  StatBlock<Http2Stat> cells_;
};

}  // namespace ringside
