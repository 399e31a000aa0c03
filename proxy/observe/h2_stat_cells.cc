#include "proxy/observe/h2_stat_cells.h"

namespace ringside {

void H2StatCells::attach(StatsRegistry& registry, StatScope scope, uint32_t worker) {
  if (cells_.attached()) return;
  cells_ = registry.cells(worker).block(registry.group<Http2Stat>(std::move(scope)));
}

void H2StatCells::publish() {
  if (!cells_.attached()) return;
#define RS_H2_COUNTER(id) cells_.inc(Http2Stat::id, numbers_.id - published_.id);
#define RS_H2_GAUGE(id) cells_.set(Http2Stat::id, static_cast<int64_t>(numbers_.id));
#define RS_H2_OTHER(id)
#define RS_H2_NAMED(id, kind, show, name)
  RS_HTTP2_STATS(RS_H2_COUNTER, RS_H2_GAUGE, RS_H2_OTHER, RS_H2_NAMED)
#undef RS_H2_COUNTER
#undef RS_H2_GAUGE
#undef RS_H2_OTHER
#undef RS_H2_NAMED
  published_ = numbers_;
}

}  // namespace ringside
