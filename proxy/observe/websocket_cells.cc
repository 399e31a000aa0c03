#include "proxy/observe/websocket_cells.h"

namespace ringside {

StatBlock<WebSocketStat>& WebSocketCells::find(StatsRegistry& registry, uint32_t worker, std::string_view stat_prefix,
                                               std::string_view name) {
  constexpr std::string_view other = "other";
  key_.assign(stat_prefix).append(1, '\0').append(name);
  if (const auto found = blocks_.find(key_); found != blocks_.end()) return *found->second;
  if (blocks_.size() >= names_max && name != other) return find(registry, worker, stat_prefix, other);
  auto block = registry.cells(worker).block(registry.group<WebSocketStat>(websocket_scope(stat_prefix, name)));
  return *blocks_.emplace(key_, std::make_unique<StatBlock<WebSocketStat>>(std::move(block))).first->second;
}

}  // namespace ringside
