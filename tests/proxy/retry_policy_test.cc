#include "proxy/retry_policy.h"

#include <gtest/gtest.h>

#include "proxy/header_match.h"

namespace ringside {
namespace {

using Request = RetryRules::Request;

class Retries : public testing::Test {
 protected:
  ArenaPool pool_;
  Arena arena_{pool_};
  Head request_{arena_};
  Head response_{arena_};
  RetryPolicySpec policy_;
  RouterWishes wishes_;

  RetryRules rules() { return RetryRules(&policy_, wishes_, request_.fields); }
  bool after(uint16_t status) { return rules().after_response(status, response_.fields); }
  bool after(AttemptEnd end, Request request = Request::began) { return rules().after_reset(end, request); }
};

TEST_F(Retries, WordsAreConditions) {
  EXPECT_EQ(retry_condition("5xx"), RetryOn::server_error);
  EXPECT_EQ(retry_condition("unavailable"), RetryOn::unavailable);
  EXPECT_FALSE(retry_condition("503"));
  EXPECT_FALSE(retry_condition(""));
}

TEST_F(Retries, NothingWithoutAPolicy) {
  EXPECT_FALSE(RetryRules().any());
  EXPECT_FALSE(RetryRules(nullptr, wishes_, request_.fields).any());
  EXPECT_FALSE(after(503));
  EXPECT_FALSE(after(AttemptEnd::connect_failure));
}

TEST_F(Retries, Statuses) {
  policy_.conditions.add(RetryOn::gateway_error);
  EXPECT_TRUE(after(502) && after(503) && after(504));
  EXPECT_FALSE(after(500) || after(505) || after(200));
  policy_.conditions.add(RetryOn::server_error);
  EXPECT_TRUE(after(500) && after(599));
  EXPECT_FALSE(after(600) || after(409));
  policy_.conditions.add(RetryOn::retriable_4xx);
  EXPECT_TRUE(after(409));
  EXPECT_FALSE(after(404));
  policy_.conditions.add(RetryOn::status_codes);
  policy_.status_codes = {404};
  wishes_.status_codes = "418, 425,x";
  EXPECT_TRUE(after(404) && after(418) && after(425));
  EXPECT_FALSE(after(426));
}

TEST_F(Retries, ResetsByTheirKind) {
  policy_.conditions.add(RetryOn::connect_failure);
  EXPECT_TRUE(after(AttemptEnd::connect_failure, Request::waiting));
  EXPECT_FALSE(after(AttemptEnd::connection_termination));
  policy_.conditions.add(RetryOn::refused_stream);
  EXPECT_TRUE(after(AttemptEnd::refused_stream));
  EXPECT_FALSE(after(AttemptEnd::remote_reset));
  policy_.conditions.add(RetryOn::reset_before_request);
  EXPECT_TRUE(after(AttemptEnd::local_reset, Request::waiting));
  EXPECT_FALSE(after(AttemptEnd::local_reset));
  policy_.conditions.add(RetryOn::reset);
  EXPECT_TRUE(after(AttemptEnd::local_reset) && after(AttemptEnd::protocol_error));
  EXPECT_FALSE(after(AttemptEnd::overflow)) << "that would only add to it";
}

TEST_F(Retries, GrpcStatuses) {
  policy_.conditions.add(RetryOn::unavailable);
  EXPECT_FALSE(after(200));
  response_.fields.set(HeaderId::grpc_status, "14");
  EXPECT_TRUE(after(200));
  response_.fields.set(HeaderId::grpc_status, "4");
  EXPECT_FALSE(after(200));
}

TEST_F(Retries, RateLimitedAnswersOnlyByTheirOwnCondition) {
  policy_.conditions.add(RetryOn::server_error);
  response_.fields.add("x-envoy-ratelimited", "true");
  EXPECT_FALSE(after(503));
  policy_.conditions.add(RetryOn::ratelimited);
  EXPECT_TRUE(after(503) && after(429));
}

TEST_F(Retries, WishesOfTheClient) {
  wishes_.retry_on = " 5xx ,unavailable,,nonsense";
  wishes_.retries_max = "7";
  EXPECT_TRUE(after(500));
  EXPECT_EQ(rules().retries_max(), 7U);
  response_.fields.set(HeaderId::grpc_status, "14");
  EXPECT_FALSE(after(200)) << "gRPC has a field of its own";
  wishes_.retry_grpc_on = "5xx,unavailable";
  EXPECT_TRUE(after(200));
  wishes_.retries_max = "x";
  EXPECT_EQ(rules().retries_max(), 1U);
}

TEST_F(Retries, OnlySomeRequests) {
  policy_.conditions.add(RetryOn::server_error);
  policy_.request_headers = {{.name = "x-a", .text = "yes", .how = HeaderMatchSpec::How::exact}, {.name = "x-b", .text = ""}};
  EXPECT_FALSE(rules().any());
  request_.fields.add("x-b", "");
  EXPECT_TRUE(rules().any());
}

TEST_F(Retries, WaitsDoubleUpToTheirMaximum) {
  policy_.back_off_base = milliseconds(10);
  policy_.back_off_max = milliseconds(35);
  const RetryRules rules = this->rules();
  const auto longest = [&](uint32_t number) {
    Duration most{};
    for (uint64_t random = 0; random < 50'000'000; random += 99'991) most = std::max(most, rules.back_off(number, random));
    return most;
  };
  const Duration expected[] = {milliseconds(10), milliseconds(20), milliseconds(35), milliseconds(35)};
  for (uint32_t number = 0; number < std::size(expected); ++number) {
    EXPECT_LT(longest(number), expected[number]);
    EXPECT_GT(longest(number), expected[number] - milliseconds(1));
  }
  EXPECT_EQ(rules.back_off(1'000'000'000, 0), Duration::zero()) << "no overflow, no long way";
}

TEST_F(Retries, WaitsThatTheResponseAsksFor) {
  using Format = RetryResetHeaderSpec::Format;
  policy_.reset_headers = {{.name = "x-reset", .format = Format::unix_timestamp}, {.name = "retry-after"}};
  policy_.reset_max = seconds(20);
  const WallTime now(seconds(1000));
  const auto wait = [&] { return rules().wait_asked(response_.fields, now); };
  EXPECT_FALSE(wait());
  response_.fields.set("retry-after", "7");
  EXPECT_EQ(wait(), seconds(7));
  response_.fields.set("x-reset", "1003");
  EXPECT_EQ(wait(), seconds(3));
  response_.fields.set("x-reset", "999");
  EXPECT_EQ(wait(), seconds(7)) << "the past says nothing";
  for (const char* odd : {"21", "0", "x", "-1", ""}) {
    response_.fields.set("retry-after", odd);
    EXPECT_FALSE(wait()) << odd;
  }
}

TEST_F(Retries, HeaderConditions) {
  using How = HeaderMatchSpec::How;
  const auto holds = [&](const HeaderMatchSpec& spec) { return matches(spec, response_.fields); };
  EXPECT_FALSE(holds({.name = "x-a", .text = ""}));
  EXPECT_TRUE(holds({.name = "x-a", .text = "", .invert = true}));
  EXPECT_FALSE(holds({.name = "x-a", .text = "b", .how = How::exact, .invert = true})) << "nothing to compare";
  EXPECT_TRUE(holds({.name = "x-a", .text = "", .how = How::exact, .missing_is_empty = true}));
  response_.fields.add("x-a", "One");
  response_.fields.add("x-a", "two");
  EXPECT_TRUE(holds({.name = "x-a", .text = "One,two", .how = How::exact}));
  EXPECT_TRUE(holds({.name = "x-a", .text = "one", .how = How::prefix, .ignore_case = true}));
  EXPECT_TRUE(holds({.name = "x-a", .text = "two", .how = How::suffix}));
  EXPECT_TRUE(holds({.name = "x-a", .text = "e,t", .how = How::contains}));
  EXPECT_FALSE(holds({.name = "x-a", .text = "", .how = How::range, .range_start = 0, .range_end = 10}));
  response_.fields.set("x-a", "9");
  EXPECT_TRUE(holds({.name = "x-a", .text = "", .how = How::range, .range_start = 9, .range_end = 10}));
  EXPECT_FALSE(holds({.name = "x-a", .text = "", .how = How::range, .range_start = 0, .range_end = 9}));
}

// --- timeouts of routes ------------------------------------------------------------------------------------------------

TEST_F(Retries, TimeoutsOfARoute) {
  RouteSpec spec;
  spec.timeout = seconds(5);
  EXPECT_EQ(route_timeouts(spec, wishes_, request_).whole, seconds(5));
  auto retry = std::make_shared<RetryPolicySpec>();
  retry->per_try_timeout = seconds(2);
  spec.retry = retry;
  EXPECT_EQ(route_timeouts(spec, wishes_, request_).per_try, seconds(2));
  wishes_.timeout = seconds(1);
  EXPECT_EQ(route_timeouts(spec, wishes_, request_).whole, seconds(1));
  EXPECT_EQ(route_timeouts(spec, wishes_, request_).per_try, Duration::zero()) << "it would never fire";
  wishes_.timeout.reset();
  spec.grpc_timeout = GrpcTimeoutSpec{.timeout_max = seconds(3), .offset = seconds(1)};
  request_.fields.set(HeaderId::grpc_timeout, "3S");
  EXPECT_EQ(route_timeouts(spec, wishes_, request_).whole, seconds(5)) << "not gRPC";
  request_.fields.set(HeaderId::content_type, "application/grpc");
  EXPECT_EQ(route_timeouts(spec, wishes_, request_).whole, seconds(2));
  spec.stream_duration.emplace();
  EXPECT_EQ(route_timeouts(spec, wishes_, request_).whole, Duration::zero());
}

TEST_F(Retries, StreamDurations) {
  StreamDurationSpec spec;
  EXPECT_FALSE(stream_duration_of(spec, request_.fields));
  spec.duration_max = seconds(9);
  request_.fields.set(HeaderId::grpc_timeout, "5S");
  EXPECT_EQ(stream_duration_of(spec, request_.fields), seconds(9));
  spec.grpc_timeout_max = Duration::zero();
  EXPECT_EQ(stream_duration_of(spec, request_.fields), seconds(5));
  spec.grpc_timeout_max = seconds(3);
  EXPECT_EQ(stream_duration_of(spec, request_.fields), seconds(3));
  spec.grpc_timeout_offset = seconds(1);
  EXPECT_EQ(stream_duration_of(spec, request_.fields), seconds(2));
  spec.grpc_timeout_offset = seconds(4);
  EXPECT_EQ(stream_duration_of(spec, request_.fields), Duration(1)) << "over at once, not endless";
}

TEST_F(Retries, WhatTheUpstreamMayExpect) {
  EXPECT_EQ(expected_timeout({}, Duration::zero()), Duration::zero());
  const RouteTimeouts timeouts{.whole = seconds(5), .per_try = seconds(2)};
  EXPECT_EQ(expected_timeout(timeouts, Duration::zero()), seconds(2));
  EXPECT_EQ(expected_timeout(timeouts, seconds(4)), seconds(1));
  EXPECT_EQ(expected_timeout(timeouts, seconds(6)), milliseconds(1));
}

}  // namespace
}  // namespace ringside
