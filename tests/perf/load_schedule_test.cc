#include "perf/load_schedule.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "perf/load_request.h"

namespace ringside::perf {
namespace {

constexpr Instant start{seconds(100)};

TEST(ArrivalSchedule, UniformDoesNotDrift) {
  ArrivalSchedule schedule(Arrivals::uniform, 3000, 1);  // a gap that is no whole number of nanoseconds
  schedule.start(start);
  for (int count = 1; count < 300'000; ++count) schedule.advance();
  EXPECT_EQ(schedule.due(), start + seconds(100));
}

TEST(ArrivalSchedule, PoissonHasItsRateAndItsSpread) {
  ArrivalSchedule schedule(Arrivals::poisson, 10'000, 7);
  schedule.start(start);
  double sum = 0;
  double squares = 0;
  Instant last = start;
  constexpr int count = 100'000;
  for (int at = 0; at < count; ++at, schedule.advance()) {
    const double gap = static_cast<double>((schedule.due() - last).count());
    EXPECT_GE(gap, 0);
    sum += gap;
    squares += gap * gap;
    last = schedule.due();
  }
  const double mean = sum / count;
  EXPECT_NEAR(mean, 1e5, 1e3);
  EXPECT_NEAR(std::sqrt(squares / count - mean * mean), 1e5, 2e3);  // exponential: as wide as its mean
}

TEST(ArrivalSchedule, SameSeedSameGaps) {
  ArrivalSchedule one(Arrivals::poisson, 500, 42);
  ArrivalSchedule two(Arrivals::poisson, 500, 42);
  ArrivalSchedule other(Arrivals::poisson, 500, 43);
  for (ArrivalSchedule* schedule : {&one, &two, &other}) schedule->start(start);
  EXPECT_EQ(one.due(), two.due());
  EXPECT_NE(one.due(), other.due());
}

TEST(RequestTexts, OnePathOneHead) {
  RequestTexts texts({.host = "h", .path = "/a/10"});
  EXPECT_EQ(texts.next(), "GET /a/10 HTTP/1.1\r\nHost: h\r\nUser-Agent: ringside-load\r\nAccept: */*\r\n\r\n");
  EXPECT_EQ(texts.next(), texts.next());
}

TEST(RequestTexts, ManyPathsEachOnce) {
  RequestTexts texts({.path = "/svc-#/1", .path_count = 1000});
  std::vector<std::string> seen;
  for (int count = 0; count < 1000; ++count) seen.emplace_back(texts.next());
  EXPECT_NE(seen[1].find("/svc-0337/1"), std::string::npos) << seen[1];  // not the neighbour
  std::ranges::sort(seen);
  EXPECT_EQ(std::ranges::unique(seen).size(), 0U);
  EXPECT_NE(seen.back().find("/svc-0999/1"), std::string::npos);
}

TEST(RequestTexts, BodyAndClose) {
  RequestTexts texts({.path = "/up/16", .body_bytes = 65536, .reuse = Reuse::close});
  const std::string_view text = texts.next();
  EXPECT_TRUE(text.starts_with("POST /up/16 "));
  EXPECT_NE(text.find("Content-Length: 65536\r\n"), std::string_view::npos);
  EXPECT_NE(text.find("Connection: close\r\n"), std::string_view::npos);
}

TEST(RequestTexts, AnswerBytesOfPath) {
  EXPECT_EQ(answer_bytes_of_path("/a/b/1024"), 1024U);
  EXPECT_EQ(answer_bytes_of_path("/a/b/16?c=/7"), 16U);
  EXPECT_EQ(answer_bytes_of_path("/a/head"), 0U);
}

}  // namespace
}  // namespace ringside::perf
