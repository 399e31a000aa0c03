// The message of a gRPC health check, whole, in pieces, and what is none; and the bytes that a TCP check looks for.
#include "proxy/health/grpc_reply.h"

#include <gtest/gtest.h>

#include "proxy/health/tcp_probe.h"

namespace ringside {
namespace {

using namespace std::string_view_literals;

struct Outcome {
  bool taken, serving;
  bool operator==(const Outcome&) const = default;
};

Outcome read(std::string_view bytes) {
  GrpcReply reply;
  const bool taken = reply.feed(bytes);
  return {taken, reply.serving()};
}

TEST(GrpcReply, Statuses) {
  EXPECT_EQ(read("\0\0\0\0\2\x08\x01"sv), (Outcome{true, true}));
  EXPECT_EQ(read("\0\0\0\0\2\x08\x02"sv), (Outcome{true, false}));
  EXPECT_EQ(read("\0\0\0\0\2\x08\x00"sv), (Outcome{true, false}));
  EXPECT_EQ(read("\0\0\0\0\4\x08\x02\x08\x01"sv), (Outcome{true, true}));  // the last one counts
}

TEST(GrpcReply, NothingIsNotServing) {
  EXPECT_EQ(read(""), (Outcome{true, false}));
  EXPECT_EQ(read("\0\0\0\0\0"sv), (Outcome{true, false}));
  EXPECT_EQ(read("\0\0\0\0\2\x08"sv), (Outcome{true, false}));
  EXPECT_EQ(read("\0\0\0\0\2\x08\x01\0\0"sv), (Outcome{true, false}));  // and the beginning of another
}

TEST(GrpcReply, OneByteAtATime) {
  GrpcReply reply;
  for (const char byte : "\0\0\0\0\0\0\0\0\0\2\x08\x01"sv) {
    EXPECT_FALSE(reply.serving());
    EXPECT_TRUE(reply.feed({&byte, 1}));
  }
  EXPECT_TRUE(reply.serving());
}

TEST(GrpcReply, UnknownFieldsArePassedOver) {
  EXPECT_EQ(read("\0\0\0\0\x06\x12\x02hi\x08\x01"sv), (Outcome{true, true}));
  EXPECT_EQ(read("\0\0\0\0\x07\x1d""1234\x08\x01"sv), (Outcome{true, true}));
  EXPECT_EQ(read("\0\0\0\0\x0b\x11""12345678\x08\x01"sv), (Outcome{true, true}));
}

TEST(GrpcReply, WhatIsNoReply) {
  EXPECT_FALSE(read("\1\0\0\0\2\x08\x01"sv).taken);          // compressed
  EXPECT_FALSE(read("\2\0\0\0\0"sv).taken);                  // no such flag
  EXPECT_FALSE(read("\0\xff\xff\xff\xff"sv).taken);          // too large
  EXPECT_FALSE(read("\0\0\0\0\1\x08"sv).taken);              // a number is missing
  EXPECT_FALSE(read("\0\0\0\0\2\x12\x05"sv).taken);          // a text is cut
  EXPECT_FALSE(read("\0\0\0\0\2\x0b\x01"sv).taken);          // a group
  EXPECT_FALSE(read("\0\0\0\0\2\x00\x01"sv).taken);          // field 0
  EXPECT_FALSE(read("\0\0\0\0\2\x08\x01\0\0\0\0\2\x08\x01"sv).taken);  // two messages
}

TEST(GrpcReply, Request) {
  EXPECT_EQ(grpc_health_request(""), "\0\0\0\0\0"sv);
  EXPECT_EQ(grpc_health_request("ab"), "\0\0\0\0\4\x0a\x02""ab"sv);
  const std::string request = grpc_health_request(std::string(200, 'x'));
  EXPECT_EQ(request.substr(0, 8), "\0\0\0\0\xcb\x0a\xc8\x01"sv);
}

TEST(TcpProbe, PartsInOrder) {
  EXPECT_TRUE(contains_in_order("", {}));
  EXPECT_TRUE(contains_in_order("+PONG\r\n", {"PONG"}));
  EXPECT_TRUE(contains_in_order("a1b2c3", {"a", "b", "c3"}));
  EXPECT_FALSE(contains_in_order("ba", {"a", "b"}));
  EXPECT_FALSE(contains_in_order("ab", {"ab", "b"}));  // what one part took is not there for the next
  EXPECT_FALSE(contains_in_order("", {"a"}));
}

}  // namespace
}  // namespace ringside
