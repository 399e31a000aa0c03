// What counting costs on the request path.
#include "core/stats.h"
#include "perf/micro_bench.h"

namespace ringside::perf {
namespace {

enum class BenchStat : uint16_t { requests, active, time, codes, count_ };
constexpr std::array<StatDef, 4> bench_defs = {{{"requests", StatKind::counter},
                                                {"active", StatKind::gauge},
                                                {"time", StatKind::histogram},
                                                {"codes", StatKind::response_codes}}};
constexpr std::span<const StatDef> stat_defs(BenchStat) { return bench_defs; }

void run() {
  StatsRegistry registry(1);
  const StatGroup<BenchStat> group = registry.group<BenchStat>({.prefix = "bench."});
  StatBlock<BenchStat> stats = registry.cells(0).block(group);
  micro_bench("counter, one up", [&] { stats.inc(BenchStat::requests); });
  micro_bench("gauge, one up and one down", [&] {
    stats.inc(BenchStat::active);
    stats.dec(BenchStat::active);
  });
  uint64_t value = 1;
  micro_bench("histogram, one value", [&] {
    value = (value * 25214903917 + 11) & 0xfffff;
    stats.record(BenchStat::time, value);
  });
  micro_bench("response code", [&] { stats.record_code(BenchStat::codes, 200); });
}

}  // namespace
}  // namespace ringside::perf

int main() { ringside::perf::run(); }
