#include "perf/load_counts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ringside::perf {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(LoadCounts, OnlyTheWindowCounts) {
  LoadCounts counts;
  counts.answered(microseconds(1), 10);
  counts.measure(true);
  for (int value = 1; value <= 100; ++value) counts.answered(microseconds(value), 10);
  counts.measure(false);
  counts.answered(seconds(1), 10);
  EXPECT_EQ(counts.requests(), 100U);
  EXPECT_EQ(counts.bytes(), 1000U);
  EXPECT_EQ(counts.latency_max(), microseconds(100));
  EXPECT_EQ(counts.latency_ns().total(), 100U);
}

TEST(LoadCounts, JsonHasQuantilesInMicroseconds) {
  LoadCounts counts;
  counts.measure(true);
  for (int value = 1; value <= 1000; ++value) counts.answered(microseconds(value), 0);
  const std::string json = counts.json_members();
  EXPECT_THAT(json, HasSubstr("\"requests\":1000"));
  EXPECT_THAT(json, HasSubstr("\"max\":1000.0"));
  const size_t at = json.find("\"p50\":");
  ASSERT_NE(at, std::string::npos);
  EXPECT_NEAR(std::stod(json.substr(at + 6)), 500, 15);
}

TEST(LoadCounts, FailuresAlwaysCount) {
  LoadCounts counts;
  counts.failed(Failure::bad_status, "status 503");
  counts.failed(Failure::reset, "late \"quoted\"");
  EXPECT_EQ(counts.failures(), 2U);
  EXPECT_EQ(counts.failures(Failure::bad_status), 1U);
  const std::string json = counts.json_members();
  EXPECT_THAT(json, HasSubstr("\"bad_status\":1"));
  EXPECT_THAT(json, HasSubstr("\"first_failure\":\"bad_status: status 503\""));
  EXPECT_THAT(json, Not(HasSubstr("latency_us")));
}

TEST(LoadCounts, JsonStrings) { EXPECT_EQ(json_string("a\"b\\c\n"), R"("a\"b\\c\u000a")"); }

}  // namespace
}  // namespace ringside::perf
