#pragma once
// The pages of /stats: text, JSON and Prometheus, in Envoy's order and formats. A page is made piece by piece, so that 200,000
// stats need neither a buffer for all of them nor one long pause of the control thread.
#include <cstddef>
#include <memory>
#include <string>

#include "core/stats.h"
#include "proxy/observe/stats_query.h"

namespace ringside {

class StatsPage {
 public:
  virtual ~StatsPage() = default;
  // Appends until `out` has grown by about `bytes`, or to the end of the page. False: that was the end.
  virtual bool render(std::string& out, size_t bytes) = 0;
};

// `registry` outlives the page. The groups of this moment are held until the page is gone; values are read while it is made.
std::unique_ptr<StatsPage> make_stats_page(const StatsRegistry& registry, StatsQuery query);

// The whole page at once.
std::string render_stats(const StatsRegistry& registry, StatsQuery query);

}  // namespace ringside
