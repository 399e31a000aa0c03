#include "core/stats.h"

#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

namespace ringside {
namespace {

enum class PoolStat : uint16_t { total, active, ms, rare, codes, count_ };
constexpr StatDef pool_defs[] = {
    {"total", StatKind::counter},
    {"active", StatKind::gauge},
    {"ms", StatKind::histogram},
    {"rare", StatKind::gauge, StatShow::when_used},
    {"rq", StatKind::response_codes, StatShow::when_used},
};
constexpr std::span<const StatDef> stat_defs(PoolStat) { return pool_defs; }

enum class OtherStat : uint16_t { total, count_ };
constexpr StatDef other_defs[] = {{"other", StatKind::counter}};
constexpr std::span<const StatDef> stat_defs(OtherStat) { return other_defs; }

TEST(Stats, ReaderSumsTheWorkers) {
  StatsRegistry registry(2);
  const auto group = registry.group<PoolStat>({.prefix = "pool.a."});
  auto one = registry.cells(0).block(group);
  auto two = registry.cells(1).block(group);
  auto control = registry.control_cells().block(group);
  one.inc(PoolStat::total);
  two.inc(PoolStat::total, 41);
  one.inc(PoolStat::active, 5);
  two.dec(PoolStat::active, 7);  // opened on one worker, closed on another
  control.inc(PoolStat::active, 3);
  EXPECT_EQ(registry.total(group, PoolStat::total), 42);
  EXPECT_EQ(registry.total(group, PoolStat::active), 1);
  EXPECT_EQ(two.local(PoolStat::active), -7);
  EXPECT_EQ(registry.value("pool.a.total"), 42);
  EXPECT_EQ(registry.value("pool.a.none"), std::nullopt);
}

TEST(Stats, GaugeRemembersThatItWasTouched) {
  StatsRegistry registry(1);
  const auto group = registry.group<PoolStat>({.prefix = "pool.a."});
  auto stats = registry.cells(0).block(group);
  EXPECT_FALSE(registry.read(*group, 1).used);
  stats.inc(PoolStat::active);
  stats.dec(PoolStat::active);
  EXPECT_EQ(registry.read(*group, 1).value, 0);
  EXPECT_TRUE(registry.read(*group, 1).used);
  EXPECT_EQ(registry.value("pool.a.rare"), std::nullopt);
  stats.set(PoolStat::rare, 0);
  EXPECT_EQ(registry.value("pool.a.rare"), 0);
  stats.set(PoolStat::rare, -3);
  EXPECT_EQ(registry.value("pool.a.rare"), -3);
}

TEST(Stats, ResponseCodesAreCountersByCodeAndClass) {
  StatsRegistry registry(2);
  const auto group = registry.group<PoolStat>({.prefix = "pool.a."});
  auto one = registry.cells(0).block(group);
  auto two = registry.cells(1).block(group);
  one.record_code(PoolStat::codes, 200);
  two.record_code(PoolStat::codes, 200);
  two.record_code(PoolStat::codes, 204);
  two.record_code(PoolStat::codes, 599);
  two.record_code(PoolStat::codes, 600);  // not a status
  two.record_code(PoolStat::codes, 99);
  EXPECT_EQ(registry.value("pool.a.rq_200"), 2);
  EXPECT_EQ(registry.value("pool.a.rq_204"), 1);
  EXPECT_EQ(registry.value("pool.a.rq_2xx"), 3);
  EXPECT_EQ(registry.value("pool.a.rq_599"), 1);
  EXPECT_EQ(registry.value("pool.a.rq_5xx"), 1);
  EXPECT_EQ(registry.value("pool.a.rq_completed"), 4);
  EXPECT_EQ(registry.value("pool.a.rq_404"), std::nullopt);
}

TEST(Stats, ResetCountersKeepsGaugesAndUse) {
  StatsRegistry registry(1);
  const auto group = registry.group<PoolStat>({.prefix = "pool.a."});
  auto stats = registry.cells(0).block(group);
  for (int round = 0; round < 2; ++round) {
    stats.inc(PoolStat::total, 7);
    stats.inc(PoolStat::active);
    stats.record_code(PoolStat::codes, 200);
    registry.reset_counters();
    EXPECT_EQ(registry.read(*group, 0).value, 0);
    EXPECT_TRUE(registry.read(*group, 0).used);
    EXPECT_EQ(registry.value("pool.a.active"), round + 1);
    EXPECT_EQ(registry.value("pool.a.rq_200"), std::nullopt);
    stats.inc(PoolStat::total);
    stats.record_code(PoolStat::codes, 200);
    EXPECT_EQ(registry.value("pool.a.total"), 1);
    EXPECT_EQ(registry.value("pool.a.rq_200"), 1);
  }
}

TEST(Stats, HistogramsAppearWithTheMerge) {
  StatsRegistry registry(2);
  const auto group = registry.group<PoolStat>({.prefix = "pool.a."});
  auto one = registry.cells(0).block(group);
  auto two = registry.cells(1).block(group);
  const auto counts = [&] {
    std::pair<uint64_t, uint64_t> result{};
    registry.read_histogram(*group, 2, [&](const HistogramTotals& totals) {
      result = {totals.interval().total(), totals.cumulative().total()};
    });
    return result;
  };
  registry.merge_histograms();
  EXPECT_FALSE(registry.read_histogram(*group, 2, [](const HistogramTotals&) {}));
  one.record(PoolStat::ms, 12);
  two.record(PoolStat::ms, 12);
  EXPECT_EQ(counts(), (std::pair<uint64_t, uint64_t>{0, 0}));
  registry.merge_histograms();
  EXPECT_EQ(counts(), (std::pair<uint64_t, uint64_t>{2, 2}));
  two.record(PoolStat::ms, 0);
  registry.merge_histograms();
  EXPECT_EQ(counts(), (std::pair<uint64_t, uint64_t>{1, 3}));
}

TEST(Stats, SamePrefixAndTableIsTheSameGroup) {
  StatsRegistry registry(1);
  const auto first = registry.group<PoolStat>({.prefix = "pool.a."});
  const auto second = registry.group<PoolStat>({.prefix = "pool.a."});
  const auto table = registry.group<OtherStat>({.prefix = "pool.a."});
  EXPECT_EQ(&*first, &*second);
  EXPECT_EQ(registry.groups().size(), 2u);
  registry.cells(0).block(second).inc(PoolStat::total);
  registry.cells(0).block(table).inc(OtherStat::total, 9);
  EXPECT_EQ(registry.value("pool.a.total"), 1);
  EXPECT_EQ(registry.value("pool.a.other"), 9);
}

TEST(Stats, AGroupLivesWhileABlockHoldsItAndItsSlotsComeBackClean) {
  StatsRegistry registry(1);
  auto group = registry.group<PoolStat>({.prefix = "pool.a."});
  auto stats = registry.cells(0).block(group);
  group = {};
  stats.inc(PoolStat::total);
  stats.inc(PoolStat::active);
  stats.record(PoolStat::ms, 5);
  stats.record_code(PoolStat::codes, 200);
  registry.merge_histograms();
  registry.reset_counters();
  EXPECT_EQ(registry.groups().size(), 1u);
  stats = {};
  EXPECT_TRUE(registry.groups().empty());
  const auto next = registry.group<PoolStat>({.prefix = "pool.b."});
  const auto fresh = registry.cells(0).block(next);
  EXPECT_EQ(fresh.local(PoolStat::total), 0);
  EXPECT_EQ(fresh.local(PoolStat::active), 0);
  EXPECT_FALSE(registry.read(*next, 1).used);
  EXPECT_FALSE(registry.read_histogram(*next, 2, [](const HistogramTotals&) {}));
  EXPECT_EQ(registry.snapshot().size(), 2u);
}

TEST(Stats, ThousandsOfGroupsCrossSegments) {
  StatsRegistry registry(1);
  std::vector<StatBlock<PoolStat>> blocks;
  for (int i = 0; i < 10000; ++i) {
    blocks.push_back(registry.cells(0).block(registry.group<PoolStat>({.prefix = "pool." + std::to_string(i) + "."})));
    blocks.back().inc(PoolStat::total, static_cast<uint64_t>(i));
  }
  for (int i = 0; i < 10000; i += 997) EXPECT_EQ(registry.value("pool." + std::to_string(i) + ".total"), i);
}

TEST(Stats, SnapshotIsSortedByName) {
  StatsRegistry registry(1);
  const auto b = registry.group<PoolStat>({.prefix = "b."});
  const auto a = registry.group<PoolStat>({.prefix = "a."});
  const auto nested = registry.group<PoolStat>({.prefix = "a.b."});
  std::vector<std::string> names;
  for (const StatSample& sample : registry.snapshot()) names.push_back(sample.name);
  EXPECT_EQ(names, (std::vector<std::string>{"a.active", "a.b.active", "a.b.total", "a.total", "b.active", "b.total"}));
}

TEST(StatsDeathTest, TheKindIsChecked) {
  StatsRegistry registry(1);
  const auto group = registry.group<PoolStat>({.prefix = "pool.a."});
  auto stats = registry.cells(0).block(group);
  EXPECT_DEATH(stats.inc(PoolStat::ms), "kind");
  EXPECT_DEATH(stats.dec(PoolStat::total), "kind");
  EXPECT_DEATH(stats.record(PoolStat::total, 1), "kind");
}

// For ThreadSanitizer: workers write, make and drop groups while the control thread merges and reads.
TEST(Stats, ThreadsShareNothingButTheRegistry) {
  constexpr uint32_t workers = 3;
  constexpr int rounds = 2000;
  StatsRegistry registry(workers);
  const auto shared = registry.group<PoolStat>({.prefix = "pool.shared."});
  std::atomic<uint32_t> running{workers};
  std::vector<std::thread> threads;
  for (uint32_t worker = 0; worker < workers; ++worker) {
    threads.emplace_back([&, worker] {
      auto stats = registry.cells(worker).block(shared);
      for (int i = 0; i < rounds; ++i) {
        stats.inc(PoolStat::total);
        stats.inc(PoolStat::active);
        stats.record(PoolStat::ms, static_cast<uint64_t>(i));
        stats.record_code(PoolStat::codes, 200 + static_cast<uint32_t>(i % 300));
        stats.dec(PoolStat::active);
        // Every worker finds, uses and drops the same few names: creation and removal meet.
        auto passing =
            registry.cells(worker).block(registry.group<PoolStat>({.prefix = "pool." + std::to_string(i % 3) + "."}));
        passing.inc(PoolStat::total);
        passing.record(PoolStat::ms, 1);
      }
      running.fetch_sub(1);
    });
  }
  while (running.load() != 0) {
    registry.merge_histograms();
    for (const StatSample& sample : registry.snapshot()) {
      EXPECT_TRUE(sample.kind == StatKind::gauge || sample.value >= 0) << sample.name;
    }
  }
  for (std::thread& thread : threads) thread.join();
  registry.merge_histograms();
  EXPECT_EQ(registry.total(shared, PoolStat::total), workers * rounds);
  EXPECT_EQ(registry.total(shared, PoolStat::active), 0);
  EXPECT_EQ(registry.value("pool.shared.rq_completed"), workers * rounds);
  registry.read_histogram(
      *shared, 2, [&](const HistogramTotals& totals) { EXPECT_EQ(totals.cumulative().total(), workers * rounds); });
  EXPECT_EQ(registry.groups().size(), 1u);
}

}  // namespace
}  // namespace ringside
