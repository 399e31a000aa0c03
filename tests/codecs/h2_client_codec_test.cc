// Requests out, responses in.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/codecs/h2_harness.h"

namespace ringside::h2_test {
namespace {

using ::testing::HasSubstr;

const Error cancelled{ErrorCode::cancelled, Origin::local, Retry::never, "test"};

std::string response(uint32_t stream_id, std::string status = "200", uint8_t flags = h2::end_stream) {
  return headers(stream_id, {{":status", std::move(status)}}, flags);
}

TEST(H2Client, AsksAndIsAnswered) {
  ClientEnd client;
  EXPECT_EQ(client.flush(), "preface\nSETTINGS 3\nWINDOW_UPDATE 0 983041\n");
  client.feed(settings() + settings_ack());
  EXPECT_EQ(client.flush(), "SETTINGS ACK\n");
  Recorder& answer = client.ask("GET", End::yes, {{"x-a", "1"}, {"te", "trailers"}, {"connection", "close"}});
  EXPECT_EQ(client.flush(), "HEADERS 1 {:method=GET;:scheme=http;:path=/;:authority=up;x-a=1;te=trailers;} END\n");
  client.feed(headers(1, {{":status", "200"}, {"server", "s"}}, 0) + data(1, "hello") + data(1, "", h2::end_stream));
  EXPECT_EQ(answer.log, "head 200 {server=s;}\nbody hello END");
  EXPECT_EQ(client.idles, 1);
  EXPECT_EQ(client.codec.streams_active(), 0u);
}

TEST(H2Client, BodiesAndTrailersBothWays) {
  ClientEnd client;
  client.greet();
  Recorder& answer = client.ask("POST", End::no);
  answer.stream->send_body(slice_of("ab"), End::no);
  answer.stream->send_body(slice_of("cd"), End::no);
  Arena arena(client.arena_pool);
  HeaderMap trailers(arena);
  trailers.add("x-t", "1");
  answer.stream->send_trailers(trailers);
  EXPECT_THAT(client.flush(), HasSubstr("DATA 1 ab (2)\nDATA 1 cd (2)\nHEADERS 1 {x-t=1;} END\n"));
  client.feed(response(1, "103", 0) + response(1, "200", 0) + data(1, "x") + headers(1, {{"grpc-status", "0"}}));
  EXPECT_EQ(answer.log, "info 103 {}\nhead 200 {}\nbody x\ntrailers {grpc-status=0;}");
}

TEST(H2Client, NumbersRiseInTheOrderOfHeads) {
  Recorder first;
  Recorder second;
  ClientEnd client;
  client.greet();
  first.stream = &client.codec.open(first);
  second.stream = &client.codec.open(second);
  Arena arena(client.arena_pool);
  Head head(arena);
  head.method = "GET";
  head.authority = "a";
  head.path = "/second";
  EXPECT_EQ(client.codec.streams_active(), 2u);
  second.stream->send_head(head, End::yes);
  first.stream->reset(cancelled);  // the peer never hears of it
  EXPECT_EQ(client.flush(), "HEADERS 1 {:method=GET;:scheme=http;:path=/second;:authority=a;} END\n");
  EXPECT_EQ(client.codec.streams_active(), 1u);
}

TEST(H2Client, RespectsThePeersLimits) {
  H2Limits limits;
  limits.streams_max = 3;
  ClientEnd client(limits);
  EXPECT_EQ(client.codec.streams_available(), 3u);
  client.greet(setting(H2Setting::max_concurrent_streams, 2) + setting(H2Setting::max_header_list_size, 300));
  client.ask();
  EXPECT_EQ(client.codec.streams_available(), 1u);
  Recorder& large = client.ask("GET", End::yes, {{"x", std::string(300, 'x')}});
  EXPECT_THAT(large.log, HasSubstr("reset: head larger than the peer accepts"));
  client.feed(settings(setting(H2Setting::max_concurrent_streams, 0)));
  EXPECT_EQ(client.codec.streams_available(), 0u);
  EXPECT_TRUE(client.codec.reusable());
}

TEST(H2Client, GoawayTellsWhatMayBeTriedAgain) {
  ClientEnd client;
  client.greet();
  Recorder& first = client.ask();
  Recorder& second = client.ask();
  client.feed(goaway(1, H2Code::no_error));
  EXPECT_FALSE(first.was_reset);
  EXPECT_EQ(second.reset_error.retry, Retry::always);
  EXPECT_EQ(client.codec.streams_available(), 0u);
  EXPECT_FALSE(client.codec.reusable());
  client.feed(response(1));
  EXPECT_EQ(first.log, "head 200 {} END");
  EXPECT_FALSE(client.failed);
  client.feed(goaway(3, H2Code::no_error));
  EXPECT_TRUE(client.failed);
}

TEST(H2Client, RefusedStreamMayBeTriedAgain) {
  ClientEnd client;
  client.greet();
  Recorder& refused = client.ask();
  Recorder& broken = client.ask();
  client.feed(reset(1, H2Code::refused_stream) + reset(3, H2Code::internal_error));
  EXPECT_EQ(refused.reset_error.retry, Retry::always);
  EXPECT_EQ(broken.reset_error.retry, Retry::never);
  EXPECT_EQ(broken.reset_error.origin, Origin::upstream);
}

TEST(H2Client, ResetWithoutErrorAfterTheAnswer) {
  ClientEnd client;
  client.greet();
  Recorder& answer = client.ask("POST", End::no);
  client.feed(response(1, "413") + reset(1, H2Code::no_error));
  EXPECT_EQ(answer.log, "head 413 {} END\nreset: peer reset the stream: NO_ERROR");
  EXPECT_EQ(answer.reset_error.code, ErrorCode::none);
}

TEST(H2Client, CancelledStreamsAreForgottenInPeace) {
  ClientEnd client;
  client.greet();
  Recorder& answer = client.ask();
  client.feed(response(1, "200", 0) + data(1, "part"));
  answer.stream->reset(cancelled);
  EXPECT_THAT(client.flush(), HasSubstr("RST_STREAM 1 8\n"));
  client.feed(data(1, "late") + headers(1, {{"x", "late"}}) + window_update(1, 5));
  EXPECT_FALSE(client.failed);
  EXPECT_EQ(client.codec.streams_active(), 0u);
}

TEST(H2Client, EndOfConnection) {
  ClientEnd client;
  client.greet();
  Recorder& untouched = client.ask();
  Recorder& begun = client.ask();
  client.feed(response(3, "200", 0));
  client.codec.on_end();
  EXPECT_EQ(untouched.reset_error.retry, Retry::if_reused);
  EXPECT_EQ(begun.reset_error.retry, Retry::never);
  EXPECT_EQ(client.error.code, ErrorCode::peer_closed);
  ClientEnd idle;
  idle.greet();
  idle.codec.on_end();
  EXPECT_FALSE(idle.failed);
  EXPECT_EQ(idle.codec.streams_available(), 0u);
}

TEST(H2Client, BodyOfHeadAndShortBodies) {
  ClientEnd client;
  client.greet();
  Recorder& head = client.ask("HEAD");
  client.feed(headers(1, {{":status", "200"}, {"content-length", "10"}}));
  EXPECT_EQ(head.log, "head 200 {content-length=10;} END");
  Recorder& wrong = client.ask("HEAD");
  client.feed(response(3, "200", 0) + data(3, "x"));
  EXPECT_THAT(wrong.log, HasSubstr("reset: body is longer than its content-length"));
  Recorder& none = client.ask();
  client.feed(headers(5, {{":status", "200"}, {"content-length", "10"}}));
  EXPECT_THAT(none.log, HasSubstr("reset: body is shorter"));
  Recorder& some = client.ask();
  client.feed(headers(7, {{":status", "200"}, {"content-length", "10"}}, 0) + data(7, "x", h2::end_stream));
  EXPECT_THAT(some.log, HasSubstr("reset: body is shorter"));
}

TEST(H2Client, MalformedResponses) {
  const std::vector<std::pair<Fields, std::string>> cases = {
      {{{"server", "x"}}, "missing :status"},
      {{{":status", "20"}}, "invalid :status"},
      {{{":status", "2000"}}, "invalid :status"},
      {{{":status", "099"}}, "invalid :status"},
      {{{":status", "101"}}, "101, which HTTP/2 does not have"},
      {{{":status", "200"}, {":path", "/"}}, "pseudo-header field of a request in a response"},
      {{{":status", "200"}, {"connection", "close"}}, "connection-specific field"},
      {{{":status", "200"}, {"X", "y"}}, "invalid field name"},
      {{{":status", "204"}, {"content-length", "3"}}, "content-length in a response without body"},
      {{{":status", "103"}}, "informational response that ends its stream"},
  };
  for (const auto& [fields, wrong] : cases) {
    ClientEnd client;
    client.greet();
    Recorder& answer = client.ask();
    client.flush();
    client.feed(headers(1, fields));
    EXPECT_EQ(answer.log, "reset: " + wrong);
    EXPECT_EQ(client.flush(), "RST_STREAM 1 1\n") << wrong;
    EXPECT_FALSE(client.failed);
  }
}

TEST(H2Client, PushIsRefused) {
  ClientEnd client;
  client.greet();
  client.ask();
  client.flush();
  client.feed(frame(H2FrameType::push_promise, h2::end_headers, 1, u32(2) + block_of(request_fields())));
  EXPECT_THAT(client.flush(), HasSubstr("GOAWAY 0 1 PUSH_PROMISE"));
  ClientEnd second;
  second.feed(settings(setting(H2Setting::enable_push, 1)));
  EXPECT_TRUE(second.failed);
}

TEST(H2Client, ExtendedConnectOnlyWhenTaken) {
  H2Limits limits;
  limits.connect_protocol = true;
  ClientEnd client(limits);
  client.greet();
  const auto connect = [&client] {
    client.responses.push_back(std::make_unique<Recorder>());
    Recorder& answer = *client.responses.back();
    answer.stream = &client.codec.open(answer);
    Arena arena(client.arena_pool);
    Head head(arena);
    head.method = "GET";
    head.upgrade = true;
    head.authority = "up";
    head.path = "/chat";
    head.upgrade_protocol = "websocket";
    answer.stream->send_head(head, End::no);
    return answer.was_reset;
  };
  EXPECT_TRUE(connect());
  EXPECT_EQ(client.flush(), "");
  client.feed(settings(setting(H2Setting::enable_connect_protocol, 1)));
  client.flush();
  EXPECT_FALSE(connect());
  EXPECT_EQ(client.flush(),
            "HEADERS 1 {:method=CONNECT;:scheme=http;:path=/chat;:authority=up;:protocol=websocket;}\n");
  client.feed(headers(1, {{":status", "200"}, {"content-length", "5"}}, 0));
  EXPECT_EQ(client.responses.back()->log, "head 101 upgrade= {}");
  client.feed(data(1, "more than five"));
  EXPECT_EQ(client.responses.back()->log, "head 101 upgrade= {}\nbody more than five");
}

}  // namespace
}  // namespace ringside::h2_test
