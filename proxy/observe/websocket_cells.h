#pragma once
// Statistics of the inspected WebSockets of one worker, by name; made when the first one comes.
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "core/stats.h"
#include "proxy/observe/stat_names.h"

namespace ringside {

class WebSocketCells {
 public:
  // Names are those of routes, but routes come and go: what comes after so many is counted as "other".
  static constexpr size_t names_max = 1000;
  // Lives as long as this.
  StatBlock<WebSocketStat>& find(StatsRegistry& registry, uint32_t worker, std::string_view stat_prefix, std::string_view name);

 private:
  std::string key_;  // of the look-up under way
  std::map<std::string, std::unique_ptr<StatBlock<WebSocketStat>>, std::less<>> blocks_;
};

}  // namespace ringside
