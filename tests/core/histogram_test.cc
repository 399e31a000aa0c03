#include "core/histogram.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <thread>

namespace ringside {
namespace {

TEST(HistogramBucket, HasTwoSignificantDigits) {
  EXPECT_EQ(histogram_bucket(0), (HistogramBucket{0, 0}));
  EXPECT_EQ(histogram_bucket(1), (HistogramBucket{0, 10}));
  EXPECT_EQ(histogram_bucket(9), (HistogramBucket{0, 90}));
  EXPECT_EQ(histogram_bucket(10), (HistogramBucket{1, 10}));
  EXPECT_EQ(histogram_bucket(99), (HistogramBucket{1, 99}));
  EXPECT_EQ(histogram_bucket(100), (HistogramBucket{2, 10}));
  EXPECT_EQ(histogram_bucket(109), (HistogramBucket{2, 10}));
  EXPECT_EQ(histogram_bucket(110), (HistogramBucket{2, 11}));
  EXPECT_EQ(histogram_bucket(999), (HistogramBucket{2, 99}));
  EXPECT_EQ(histogram_bucket(1000), (HistogramBucket{3, 10}));
  EXPECT_EQ(histogram_bucket(std::numeric_limits<uint64_t>::max()), (HistogramBucket{19, 18}));
}

TEST(HistogramBucket, AgreesWithDigitsOfEveryMagnitude) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 200000; ++round) {
    const uint64_t value = random() >> (random() % 64);
    const std::string digits = std::to_string(value);
    HistogramBucket expected{};
    if (value != 0) {
      expected.decade = static_cast<uint8_t>(digits.size() - 1);
      expected.mantissa = static_cast<uint8_t>((digits[0] - '0') * 10 + (digits.size() > 1 ? digits[1] - '0' : 0));
    }
    ASSERT_EQ(histogram_bucket(value), expected) << value;
  }
  uint64_t power = 1;
  for (uint8_t decade = 0; decade < histogram_decades; ++decade, power *= 10) {
    EXPECT_EQ(histogram_bucket(power), (HistogramBucket{decade, 10}));
    if (decade == 0) continue;
    EXPECT_EQ(histogram_bucket(power - 1).decade, decade - 1);
  }
}

TEST(HistogramBucket, BoundsEncloseTheValue) {
  for (uint64_t value = 1; value < 2000000; value += 1 + value / 100) {
    const HistogramBucket bucket = histogram_bucket(value);
    const double lower = histogram_bucket_lower(bucket), width = histogram_bucket_width(bucket);
    EXPECT_LE(lower, static_cast<double>(value) * (1 + 1e-12));  // as circllhist rounds: 110 is 110.00000000000001
    EXPECT_GT(lower + width, static_cast<double>(value));
    EXPECT_LE(width, lower / 10 * (1 + 1e-12));
  }
}

HistogramCounts make(std::initializer_list<std::pair<uint64_t, uint64_t>> values) {
  HistogramCounts counts;
  for (const auto& [value, count] : values) counts.add(histogram_bucket(value), count);
  return counts;
}

std::array<double, 10> quantiles(const HistogramCounts& counts) {
  std::array<double, 10> out{};
  counts.quantiles(histogram_quantiles, out);
  return out;
}

// Distributions and figures read from the pages of a running Envoy 1.40 (histogram_buckets=detailed and Prometheus).
TEST(HistogramCounts, QuantilesAndSumsAreThoseOfEnvoy) {
  const HistogramCounts requests = make({{1, 1},
                                         {41, 1},
                                         {42, 1},
                                         {43, 36},
                                         {47, 3},
                                         {51, 2},
                                         {55, 1},
                                         {75, 1},
                                         {140, 1},
                                         {270, 1},
                                         {580, 1},
                                         {1200, 1}});
  EXPECT_EQ(quantiles(requests), (std::array<double, 10>{1.05, 43.270270270270274, 43.5945945945946, 43.945945945945944,
                                                         55.5, 275, 1250, 1250, 1250, 1250}));
  EXPECT_EQ(requests.sum(), 4279.9894441454898696974851191044);
  EXPECT_EQ(quantiles(make({{1, 2}, {2, 1}})),
            (std::array<double, 10>{1.0333333333333334, 1.0333333333333334, 1.0666666666666667, 2.05, 2.05, 2.05, 2.05,
                                    2.05, 2.05, 2.05}));
  EXPECT_EQ(quantiles(make({{1, 3}})),
            (std::array<double, 10>{1.025, 1.025, 1.05, 1.075, 1.075, 1.075, 1.075, 1.075, 1.075, 1.075}));
  EXPECT_EQ(quantiles(make({{0, 3}})), (std::array<double, 10>{}));
  EXPECT_EQ(make({{4200, 1}}).sum(), 4249.4117647058819784433580935001);
  EXPECT_EQ(make({{1, 3}}).sum(), 3.1428571428571432377907513000537);
}

TEST(HistogramCounts, ABoundCountsTheBucketItBegins) {
  const HistogramCounts counts = make({{0, 3}, {1, 2}, {5, 1}, {6, 1}, {50, 1}, {51, 1}, {3600000, 1}, {3700000, 1}});
  EXPECT_EQ(counts.count_up_to(0.5), 3u);
  EXPECT_EQ(counts.count_up_to(1), 5u);
  EXPECT_EQ(counts.count_up_to(5), 6u);
  EXPECT_EQ(counts.count_up_to(50), 8u);
  EXPECT_EQ(counts.count_up_to(3.6e6), 10u);
  EXPECT_EQ(counts.total(), 11u);
}

TEST(HistogramCounts, EmptyHasNoQuantiles) {
  for (double value : quantiles({})) EXPECT_TRUE(std::isnan(value));
  EXPECT_EQ(HistogramCounts{}.sum(), 0);
}

TEST(HistogramTotals, IntervalIsWhatCameSinceTheLastMerge) {
  HistogramCells one, two;
  const HistogramCells* const cells[] = {&one, nullptr, &two};
  HistogramTotals totals;
  totals.merge(cells);
  EXPECT_FALSE(totals.used());
  one.record(7);
  two.record(7);
  two.record(123);
  totals.merge(cells);
  EXPECT_EQ(totals.interval().total(), 3u);
  EXPECT_EQ(totals.cumulative().total(), 3u);
  one.record(0);
  one.record(124);
  totals.merge(cells);
  EXPECT_EQ(totals.interval().total(), 2u);
  EXPECT_EQ(totals.cumulative().total(), 5u);
  EXPECT_EQ(totals.cumulative().entries().size(), 3u);
  EXPECT_EQ(totals.cumulative().entries()[2].count, 2u);
  totals.merge(cells);
  EXPECT_TRUE(totals.interval().empty());
  EXPECT_EQ(totals.cumulative().total(), 5u);
}

TEST(HistogramCells, OneWriterAndAReaderAgreeInTheEnd) {
  HistogramCells cells;
  std::thread writer([&] {
    for (uint64_t i = 0; i < 100000; ++i) cells.record(i % 5000);
  });
  HistogramTotals totals;
  const HistogramCells* const all[] = {&cells};
  for (int i = 0; i < 20; ++i) totals.merge(all);
  writer.join();
  totals.merge(all);
  EXPECT_EQ(totals.cumulative().total(), 100000u);
}

}  // namespace
}  // namespace ringside
