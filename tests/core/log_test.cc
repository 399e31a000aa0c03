#include "core/log.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <string>
#include <thread>
#include <vector>

#include "core/limits.h"

namespace ringside {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::MatchesRegex;

// Catches what is logged in a pipe, and puts the settings back.
class LogTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(pipe2(pipe_, O_CLOEXEC), 0);
    ASSERT_EQ(fcntl(pipe_[0], F_SETFL, O_NONBLOCK), 0);
    log_set_fd(pipe_[1]);
    log_set_format("%n|%l|%v");
  }
  void TearDown() override {
    log_set_fd(STDERR_FILENO);
    log_set_level(LogLevel::info);
    log_set_format(log_format_default);
    close(pipe_[0]);
    close(pipe_[1]);
  }
  std::string take() {
    std::string text;
    char piece[4096];
    ssize_t got;
    while ((got = read(pipe_[0], piece, sizeof piece)) > 0) text.append(piece, static_cast<size_t>(got));
    return text;
  }

  int pipe_[2] = {-1, -1};
};

int evaluated = 0;
int count_evaluation() { return ++evaluated; }

TEST_F(LogTest, ALevelThatIsOffCostsNoArguments) {
  for (size_t i = 0; i < static_cast<size_t>(LogComponent::count_); ++i)
    EXPECT_EQ(log_level(static_cast<LogComponent>(i)), LogLevel::info);
  RS_LOG_DEBUG(upstream, "{}", count_evaluation());
  EXPECT_EQ(take(), "");
  EXPECT_EQ(evaluated, 0);
  log_set_level(LogComponent::upstream, LogLevel::debug);
  RS_LOG_DEBUG(upstream, "value {}", count_evaluation());
  RS_LOG_DEBUG(http, "not this one");
  EXPECT_EQ(take(), "upstream|debug|value 1\n");
  log_set_level(LogLevel::off);
  RS_LOG_CRITICAL(main, "silence");
  EXPECT_EQ(take(), "");
}

TEST_F(LogTest, DefaultFormatIsEnvoys) {
  log_set_format(log_format_default);
  RS_LOG_WARN(conn_handler, "{} of {}", 1, "two");
  EXPECT_THAT(take(), MatchesRegex("\\[[0-9]+-[0-9]+-[0-9]+ [0-9]+:[0-9]+:[0-9]+\\.[0-9]+\\]\\[[0-9]+\\]\\[warning\\]"
                                   "\\[conn_handler\\] \\[tests/core/log_test.cc:[0-9]+\\] 1 of two\n"));
}

TEST_F(LogTest, EscapedMessages) {
  log_set_format("{\"m\":\"%j\"} %_ %%");
  RS_LOG_INFO(main, "a\"b\\\nc\x01\t");
  EXPECT_EQ(take(), "{\"m\":\"a\\\"b\\\\\\nc\\u0001\\t\"} a\"b\\\\nc\x01\t %\n");
}

TEST_F(LogTest, OneSiteIsCutAndSaysSo) {
  const uint64_t before = log_lines_suppressed();
  const uint32_t written = limits::log_lines_per_second_max;
  // Two seconds may pass under the loop's feet: at most two windows of lines.
  for (int i = 0; i < 1000; ++i) RS_LOG_ERROR(pool, "again");
  const std::string text = take();
  const auto lines = static_cast<uint32_t>(std::count(text.begin(), text.end(), '\n'));
  EXPECT_GE(lines, written);
  EXPECT_LE(lines, 3 * written);
  EXPECT_GE(log_lines_suppressed() - before, 1000 - 3 * written);
  RS_LOG_ERROR(pool, "another site");
  EXPECT_EQ(take(), "pool|error|another site\n");
  std::this_thread::sleep_for(std::chrono::milliseconds(1050));
  log_flush_suppressed();
  EXPECT_THAT(take(), MatchesRegex("pool\\|error\\|[0-9]+ more lines from here were not written\n"));
  log_flush_suppressed();
  EXPECT_EQ(take(), "");
}

TEST_F(LogTest, DebugAndListsAreNotCut) {
  log_set_level(LogLevel::debug);
  for (int i = 0; i < 50; ++i) RS_LOG_DEBUG(http, "x");
  for (int i = 0; i < 50; ++i) RS_LOG_EVERY(config, error, "y");
  const std::string text = take();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 100);
}

TEST_F(LogTest, AReaderThatDoesNotReadStopsNobody) {
  const std::string big(1000, 'x');
  const uint64_t before = log_lines_suppressed();
  for (int i = 0; i < 200; ++i) RS_LOG_EVERY(main, info, "{}", big);  // three times what the pipe holds
  EXPECT_GT(log_lines_suppressed(), before + 100);
  EXPECT_THAT(take(), EndsWith("x\n"));
}

TEST(LogLimiter, CountsPerSecond) {
  LogLimiter limiter;
  uint32_t missed = 0, admitted = 0;
  for (int i = 0; i < 25; ++i) admitted += limiter.admit(5000, &missed) ? 1 : 0;
  EXPECT_EQ(admitted, limits::log_lines_per_second_max);
  EXPECT_EQ(limiter.take_missed(5999), 0u);
  EXPECT_TRUE(limiter.admit(6000, &missed));
  EXPECT_EQ(missed, 25 - limits::log_lines_per_second_max);
  EXPECT_TRUE(limiter.admit(6001, &missed));
  EXPECT_EQ(missed, 0u);
}

TEST_F(LogTest, LevelsAndComponentsByName) {
  EXPECT_EQ(log_level_from("warn"), LogLevel::warning);
  EXPECT_EQ(log_level_from("warning"), LogLevel::warning);
  EXPECT_EQ(log_level_from("off"), LogLevel::off);
  EXPECT_EQ(log_level_from("loud"), std::nullopt);
  EXPECT_EQ(log_component_from("ring"), LogComponent::ring);
  EXPECT_EQ(log_component_from("rings"), std::nullopt);

  EXPECT_TRUE(log_set_component_levels("upstream:debug,misc:error,dns:off"));
  EXPECT_EQ(log_level(LogComponent::upstream), LogLevel::debug);
  EXPECT_EQ(log_level(LogComponent::dns), LogLevel::off);
  EXPECT_EQ(log_level(LogComponent::http), LogLevel::info);

  EXPECT_EQ(log_set_component_levels("http:debug,foo:debug").error(), "error: invalid component specified 'foo'");
  EXPECT_EQ(log_level(LogComponent::http), LogLevel::info);
  EXPECT_EQ(log_set_component_levels("upstream").error(),
            "error: component log level not correctly specified 'upstream'");
  EXPECT_EQ(log_set_component_levels("upstream:debug,").error(),
            "error: component log level not correctly specified ''");
  EXPECT_EQ(log_set_component_levels("upstream:xx").error(), "error: invalid log level specified 'xx'");
  EXPECT_EQ(log_set_component_levels("upstream:debug:x").error(),
            "error: component log level not correctly specified 'upstream:debug:x'");
}

// For ThreadSanitizer; no line is torn.
TEST_F(LogTest, ThreadsLogTogether) {
  std::vector<std::thread> threads;
  for (int worker = 0; worker < 3; ++worker) {
    threads.emplace_back([] {
      for (int i = 0; i < 30; ++i) RS_LOG_EVERY(http, info, "abcdefghij");
      for (int i = 0; i < 100; ++i) RS_LOG_INFO(http, "limited");
    });
  }
  log_set_format("%n|%l|%v");
  log_set_component_levels("http:debug").value();
  for (std::thread& thread : threads) thread.join();
  const std::string text = take();
  size_t lines = 0;
  for (size_t at = 0; at < text.size(); at = text.find('\n', at) + 1)
    lines += text.substr(at).starts_with("http|info|abcdefghij\n") ? 1 : 0;
  EXPECT_EQ(lines, 90u);
}

}  // namespace
}  // namespace ringside
