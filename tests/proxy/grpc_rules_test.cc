#include "proxy/grpc_rules.h"

#include <gtest/gtest.h>

namespace ringside {
namespace {

class GrpcRules : public testing::Test {
 protected:
  ArenaPool pool_;
  Arena arena_{pool_};
  Head head_{arena_};

  std::optional<Duration> timeout_of(std::string_view text) {
    head_.fields.set(HeaderId::grpc_timeout, text);
    return grpc_timeout_of(head_.fields);
  }
  std::string_view timeout_text(Duration timeout) {
    set_grpc_timeout(head_.fields, timeout);
    return head_.fields.value(HeaderId::grpc_timeout);
  }
};

TEST_F(GrpcRules, RequestsByContentType) {
  EXPECT_FALSE(is_grpc_request(head_));
  const auto is_grpc = [&](std::string_view type) {
    head_.fields.set(HeaderId::content_type, type);
    return is_grpc_request(head_);
  };
  EXPECT_TRUE(is_grpc("application/grpc"));
  EXPECT_TRUE(is_grpc("application/grpc+proto"));
  EXPECT_FALSE(is_grpc("application/grpc-web"));
  EXPECT_FALSE(is_grpc("application/grp"));
  EXPECT_FALSE(is_grpc("application/grpc;x"));
}

TEST_F(GrpcRules, AnswersAreEncoded) {
  set_grpc_answer(head_, GrpcStatus::unavailable, "50% \xc3\xa9~\n");
  EXPECT_EQ(head_.status, 200);
  EXPECT_EQ(head_.fields.value(HeaderId::content_type), "application/grpc");
  EXPECT_EQ(head_.fields.value(HeaderId::grpc_status), "14");
  ASSERT_NE(head_.fields.find("grpc-message"), nullptr);
  EXPECT_EQ(head_.fields.find("grpc-message")->value(), "50%25 %C3%A9%7E%0A");
}

TEST_F(GrpcRules, StatusOfFields) {
  EXPECT_FALSE(grpc_status_of(head_.fields));
  const auto status = [&](std::string_view text) {
    head_.fields.set(HeaderId::grpc_status, text);
    return grpc_status_of(head_.fields);
  };
  EXPECT_EQ(status("14"), GrpcStatus::unavailable);
  EXPECT_FALSE(status("17"));
  EXPECT_FALSE(status("1x"));
  EXPECT_FALSE(status(""));
}

TEST_F(GrpcRules, TimeoutsAreRead) {
  EXPECT_FALSE(grpc_timeout_of(head_.fields));
  EXPECT_EQ(timeout_of("3H"), hours(3));
  EXPECT_EQ(timeout_of("3M"), minutes(3));
  EXPECT_EQ(timeout_of("3S"), seconds(3));
  EXPECT_EQ(timeout_of("3m"), milliseconds(3));
  EXPECT_EQ(timeout_of("3001u"), milliseconds(4));
  EXPECT_EQ(timeout_of("1n"), milliseconds(1));
  EXPECT_EQ(timeout_of("0S"), Duration::zero());
  EXPECT_EQ(timeout_of("99999999S"), seconds(99'999'999));
  EXPECT_GT(timeout_of("99999999H"), hours(24 * 365 * 100));
  for (const char* wrong : {"", "S", "100000000S", "3", "3s", "-3S", " 3S", "3 S", "3.0S"}) EXPECT_FALSE(timeout_of(wrong)) << wrong;
}

TEST_F(GrpcRules, TimeoutsAreWritten) {
  EXPECT_EQ(timeout_text(milliseconds(250)), "250m");
  EXPECT_EQ(timeout_text(milliseconds(99'999'999)), "99999999m");
  EXPECT_EQ(timeout_text(milliseconds(100'000'000)), "100000S");
  EXPECT_EQ(timeout_text(seconds(100'000'000)), "1666666M");
  EXPECT_EQ(timeout_text(Duration::zero()), "0m");
}

}  // namespace
}  // namespace ringside
