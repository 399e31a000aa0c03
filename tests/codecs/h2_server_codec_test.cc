// Requests in, responses out.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/codecs/h2_harness.h"

namespace ringside::h2_test {
namespace {

using ::testing::HasSubstr;

const Error cancelled{ErrorCode::cancelled, Origin::local, Retry::never, "test"};

TEST(H2Server, GreetsWithSettingsAndWindow) {
  ServerEnd server;
  EXPECT_EQ(server.flush(), "SETTINGS 3\nWINDOW_UPDATE 0 983041\n");
  server.feed(std::string(h2::preface) + settings());
  EXPECT_EQ(server.flush(), "SETTINGS ACK\n");
  EXPECT_FALSE(server.codec.settings_acknowledged());
  server.feed(settings_ack());
  EXPECT_TRUE(server.codec.settings_acknowledged());
}

TEST(H2Server, AnswersARequest) {
  ServerEnd server;
  server.greet();
  server.feed(headers(1, with(with(request_fields("GET", "/x?y"), "user-agent", "t"), "x-own", "v")));
  EXPECT_EQ(server.last().log, "head [GET] [http] [a] [/x?y] {user-agent=t;x-own=v;} END");
  EXPECT_EQ(server.codec.streams_active(), 1u);
  server.answer(server.last(), 200, "hello", {{"server", "r"}});
  EXPECT_EQ(server.flush(), "HEADERS 1 {:status=200;server=r;}\nDATA 1 hello (5) END\n");
  EXPECT_EQ(server.codec.streams_active(), 0u);
  EXPECT_EQ(server.idles, 1);
  EXPECT_EQ(server.stats.streams_active, 0u);
}

TEST(H2Server, RequestWithBodyAndTrailers) {
  ServerEnd server;
  server.greet();
  server.feed(request(1, "POST", 0) + data(1, "ab") + data(1, "cd"));
  server.feed(headers(1, {{"grpc-status", "0"}, {"cookie", "dropped"}}));
  EXPECT_EQ(server.last().log, "head [POST] [http] [a] [/] {}\nbody abcd\ntrailers {grpc-status=0;}");
  EXPECT_EQ(server.stats.trailers, 1u);
}

TEST(H2Server, PaddedFramesAndPriority) {
  ServerEnd server;
  server.greet();
  std::string payload = std::string("\x03", 1) + u32(0) + "\x10" + block_of(request_fields()) + std::string(3, '\0');
  server.feed(frame(H2FrameType::headers, h2::end_headers | h2::padded | h2::priority, 1, payload));
  server.feed(data(1, std::string("\x02", 1) + "abc" + std::string(2, '\0'), h2::padded));
  server.feed(data(1, std::string("\x01", 1) + std::string(1, '\0'), h2::padded | h2::end_stream));
  EXPECT_EQ(server.last().log, "head [GET] [http] [a] [/] {}\nbody abc END");
  server.feed(frame(H2FrameType::priority, 0, 7, u32(5) + "\x10"));
  EXPECT_FALSE(server.failed);
}

TEST(H2Server, CookieCrumbsAreJoined) {
  ServerEnd server;
  server.greet();
  server.feed(headers(
      1, with(with(with(with(request_fields(), "cookie", "a=1"), "x-y", "z"), "cookie", "b=2"), "cookie", "c")));
  EXPECT_EQ(server.last().log, "head [GET] [http] [a] [/] {cookie=a=1; b=2; c;x-y=z;} END");
}

TEST(H2Server, ResponseWithTrailersBehindAQueuedBody) {
  ServerEnd server;
  server.greet(setting(H2Setting::initial_window_size, 3));
  server.feed(request(1));
  Recorder& request = server.last();
  Arena arena(server.arena_pool);
  Head head(arena);
  head.status = 200;
  request.stream->send_head(head, End::no);
  request.stream->send_body(slice_of("hello"), End::no);
  {
    Arena shorter(server.arena_pool);
    HeaderMap trailers(shorter);
    trailers.add("grpc-status", shorter.copy("13"));
    request.stream->send_trailers(trailers);
  }
  EXPECT_EQ(server.flush(), "HEADERS 1 {:status=200;}\nDATA 1 hel (3)\n");
  EXPECT_EQ(server.stats.pending_send_bytes, 2u);
  EXPECT_EQ(server.idles, 0);
  server.feed(window_update(1, 10));
  EXPECT_EQ(server.flush(), "DATA 1 lo (2)\nHEADERS 1 {grpc-status=13;} END\n");
  EXPECT_EQ(server.stats.pending_send_bytes, 0u);
  EXPECT_EQ(server.idles, 1);
}

TEST(H2Server, HeadAnd204And304HaveNoBody) {
  for (const auto& [method, status] :
       std::vector<std::pair<std::string, uint16_t>>{{"HEAD", 200}, {"GET", 204}, {"GET", 304}}) {
    ServerEnd server;
    server.greet();
    server.feed(request(1, method));
    server.answer(server.last(), status, "never", {{"content-length", "5"}});
    EXPECT_EQ(server.flush(), "HEADERS 1 {:status=" + std::to_string(status) + ";content-length=5;} END\n");
    EXPECT_EQ(server.codec.streams_active(), 0u);
  }
}

TEST(H2Server, InformationalsThenAnswer) {
  ServerEnd server;
  server.greet();
  server.feed(headers(1, with(request_fields("POST"), "expect", "100-continue"), 0));
  EXPECT_THAT(server.last().log, HasSubstr(" expect"));
  Arena arena(server.arena_pool);
  Head head(arena);
  head.status = 100;
  server.last().stream->send_informational(head);
  head.status = 101;
  server.last().stream->send_informational(head);
  server.answer(server.last(), 200);
  EXPECT_EQ(server.flush(), "HEADERS 1 {:status=100;}\nHEADERS 1 {:status=200;} END\n");
}

TEST(H2Server, EarlyAnswerThenResetWithoutError) {
  ServerEnd server;
  server.greet(setting(H2Setting::initial_window_size, 2));
  server.feed(request(1, "POST", 0) + data(1, "part"));
  Recorder& request = server.last();
  server.answer(request, 413, "big");
  request.stream->reset(cancelled);
  EXPECT_EQ(server.flush(), "HEADERS 1 {:status=413;}\nDATA 1 bi (2)\n");
  server.feed(data(1, "more"));  // nobody wants it
  EXPECT_EQ(request.log, "head [POST] [http] [a] [/] {}\nbody part");
  server.feed(window_update(1, 2));
  EXPECT_EQ(server.flush(), "DATA 1 g (1) END\nRST_STREAM 1 0\n");
  server.feed(data(1, "late", h2::end_stream));
  EXPECT_FALSE(server.failed);
  EXPECT_EQ(server.codec.streams_active(), 0u);
}

TEST(H2Server, ResetsSayWhy) {
  const auto code_of = [](Error why, bool answered) {
    ServerEnd server;
    server.greet();
    server.feed(request(1, "POST", 0));
    if (answered) {
      Arena arena(server.arena_pool);
      Head head(arena);
      head.status = 200;
      server.last().stream->send_head(head, End::no);
      server.flush();
    }
    server.last().stream->reset(why);
    EXPECT_EQ(server.codec.streams_active(), 0u);
    return server.flush();
  };
  EXPECT_EQ(code_of(cancelled, false), "RST_STREAM 1 8\n");
  EXPECT_EQ(code_of({ErrorCode::peer_reset, Origin::upstream, Retry::never, ""}, true), "RST_STREAM 1 2\n");
  EXPECT_EQ(code_of({ErrorCode::overloaded, Origin::local, Retry::never, ""}, false), "RST_STREAM 1 7\n");
  EXPECT_EQ(code_of({ErrorCode::overloaded, Origin::local, Retry::never, ""}, true), "RST_STREAM 1 2\n");
}

TEST(H2Server, ClientResetEndsTheStream) {
  ServerEnd server;
  server.greet();
  server.feed(request(1, "POST", 0) + reset(1, H2Code::cancel));
  EXPECT_EQ(server.last().log, "head [POST] [http] [a] [/] {}\nreset: peer reset the stream: CANCEL");
  EXPECT_EQ(server.last().reset_error.origin, Origin::downstream);
  EXPECT_EQ(server.stats.rx_reset, 1u);
  EXPECT_EQ(server.idles, 1);
}

TEST(H2Server, UserResetsFromItsOwnCallback) {
  ServerEnd server;
  server.reset_on_head = true;
  server.greet();
  server.feed(request(1) + request(3, "POST", 0) + data(3, "x", h2::end_stream) + request(5));
  EXPECT_EQ(server.flush(), "RST_STREAM 1 8\nRST_STREAM 3 8\nRST_STREAM 5 8\n");
  EXPECT_FALSE(server.failed);
}

// --- Flow control --------------------------------------------------------------------------------------------------------------

TEST(H2Server, GrantsComeBackAtHalfAWindow) {
  H2Limits limits;
  limits.stream_window_bytes = 65535;
  limits.connection_window_bytes = 65535;
  ServerEnd server(limits);
  server.greet();
  server.feed(request(1, "POST", 0));
  const std::string piece(16000, 'x');
  server.feed(data(1, piece) + data(1, piece) + data(1, piece));
  EXPECT_EQ(server.flush(), "");
  server.last().stream->grant(32000);
  EXPECT_EQ(server.flush(), "");
  server.last().stream->grant(1000);
  EXPECT_EQ(server.flush(), "WINDOW_UPDATE 1 33000\nWINDOW_UPDATE 0 33000\n");
  server.feed(data(1, piece) + data(1, piece) + data(1, piece) + data(1, piece.substr(0, 65535 + 33000 - 6 * 16000)));
  EXPECT_FALSE(server.last().was_reset);
  server.feed(data(1, "x"));
  EXPECT_TRUE(server.failed);
  EXPECT_THAT(server.flush(), HasSubstr("GOAWAY 1 3 DATA beyond the connection's window"));
}

TEST(H2Server, WantsCreditWhenLessThanHalfAWindowIsLeft) {
  H2Limits limits;
  limits.stream_window_bytes = 65535;
  limits.connection_window_bytes = 1 << 20;
  ServerEnd server(limits);
  server.greet();
  server.feed(request(1, "POST", 0));
  server.feed(data(1, std::string(16000, 'x')) + data(1, std::string(16000, 'x')));
  EXPECT_FALSE(server.codec.take_wants_credit());
  server.feed(data(1, std::string(1000, 'x')));
  EXPECT_TRUE(server.codec.take_wants_credit());
  EXPECT_FALSE(server.codec.take_wants_credit());
  server.last().stream->grant(33000);
  server.feed(data(1, "x"));
  EXPECT_FALSE(server.codec.take_wants_credit());
}

TEST(H2Server, StreamWindowIsTheStreamsFault) {
  H2Limits limits;
  limits.stream_window_bytes = 65535;
  ServerEnd server(limits);
  server.greet();
  server.feed(request(1, "POST", 0));
  for (int at = 0; at < 4; ++at) server.feed(data(1, std::string(16000, 'x')));
  server.feed(data(1, std::string(1536, 'x')));
  EXPECT_THAT(server.last().log, HasSubstr("reset: DATA beyond its stream's window"));
  EXPECT_EQ(server.flush(), "RST_STREAM 1 3\n");
  EXPECT_FALSE(server.failed);
}

TEST(H2Server, WhatIsDiscardedIsGivenBack) {
  H2Limits limits;
  limits.connection_window_bytes = 65535;
  ServerEnd server(limits);
  server.greet();
  server.feed(request(1, "POST", 0));
  server.feed(data(1, std::string(16000, 'x')));
  server.last().stream->reset(cancelled);  // returns what it did not grant
  server.flush();
  server.feed(data(1, std::string(16384, 'x')) + data(1, std::string(384, 'x')));
  EXPECT_EQ(server.flush(), "WINDOW_UPDATE 0 32768\n");
  // A frame of padding costs its sender nothing but the frame.
  server.feed(request(3, "POST", 0));
  for (int at = 0; at < 200; ++at)
    server.feed(data(3, std::string(1, '\xff') + "x" + std::string(255, '\0'), h2::padded));
  EXPECT_EQ(server.flush(), "WINDOW_UPDATE 0 32768\n");
  EXPECT_EQ(server.last().body.size(), 200u);
}

TEST(H2Server, StreamsTakeTurnsWithinTheBudget) {
  H2Limits limits;
  limits.unsent_bytes_max = 40000;
  ServerEnd server(limits);
  server.greet(setting(H2Setting::initial_window_size, 1 << 20));
  server.feed(window_update(0, 1 << 20));
  server.feed(request(1) + request(3));
  const std::string body(50000, 'b');
  server.answer(*server.requests[0], 200, body);
  server.answer(*server.requests[1], 200, body);
  EXPECT_LE(server.sink.text.size(), 40000u + 16384 + 9);
  const size_t first = server.sink.text.size();
  EXPECT_EQ(server.stats.pending_send_bytes, 100000 - 3 * 16384u);
  server.wrote();
  server.codec.on_sent(first);
  EXPECT_THAT(server.flush(), HasSubstr("DATA 3 "));
  EXPECT_EQ(server.codec.streams_active(), 0u);
}

TEST(H2Server, OnSentTellsBodyBytesOfTheRightStream) {
  ServerEnd server;
  server.greet();
  server.feed(request(1, "POST", 0) + request(3, "POST", 0));
  Arena arena(server.arena_pool);
  Head head(arena);
  head.status = 200;
  for (auto& request : server.requests) request->stream->send_head(head, End::no);
  server.requests[0]->stream->send_body(slice_of(std::string(1000, 'a')), End::no);
  server.requests[1]->stream->send_body(slice_of(std::string(2000, 'b')), End::no);
  server.requests[0]->stream->send_body(slice_of(std::string(300, 'c')), End::no);
  const size_t all = server.sink.take().size();
  for (size_t at = 0; at < all; ++at) server.codec.on_sent(1);
  EXPECT_EQ(server.requests[0]->sent, 1300u);
  EXPECT_EQ(server.requests[1]->sent, 2000u);
  EXPECT_EQ(server.codec.unsent_bytes(), 0u);
}

TEST(H2Server, SmallerInitialWindowMayMakeWindowsNegative) {
  ServerEnd server;
  server.greet(setting(H2Setting::initial_window_size, 10));
  server.feed(request(1));
  server.answer(server.last(), 200, std::string(20, 'x'));
  EXPECT_EQ(server.flush(), "HEADERS 1 {:status=200;}\nDATA 1 xxxxxxxxxx (10)\n");
  server.feed(settings(setting(H2Setting::initial_window_size, 4)) + window_update(1, 6));
  EXPECT_EQ(server.flush(), "SETTINGS ACK\n");
  server.feed(settings(setting(H2Setting::initial_window_size, 7)));
  EXPECT_EQ(server.flush(), "SETTINGS ACK\nDATA 1 xxx (3)\n");
}

TEST(H2Server, StalledStreamsAreReset) {
  ServerEnd server;
  server.greet(setting(H2Setting::initial_window_size, 1));
  server.feed(request(1));
  server.answer(server.last(), 200, "body");
  server.flush();
  server.codec.reset_stalled();  // it moved since the last call
  EXPECT_EQ(server.flush(), "");
  server.codec.reset_stalled();
  EXPECT_EQ(server.flush(), "RST_STREAM 1 8\n");
  EXPECT_EQ(server.stats.tx_flush_timeout, 1u);
  EXPECT_EQ(server.codec.streams_active(), 0u);
}

// --- The end -------------------------------------------------------------------------------------------------------------------

TEST(H2Server, DrainsInTwoSteps) {
  ServerEnd server;
  server.greet();
  server.feed(request(1));
  server.codec.drain(H2Codec::Drain::gracefully);
  EXPECT_EQ(server.flush(), "GOAWAY 2147483647 0 \nPING drainage\n");
  server.feed(request(3));  // was on its way
  EXPECT_EQ(server.requests.size(), 2u);
  server.feed(frame(H2FrameType::ping, h2::ack, 0, "drainage"));
  EXPECT_EQ(server.flush(), "GOAWAY 3 0 \n");
  EXPECT_TRUE(server.codec.drained());
  server.feed(request(5, "POST", 0) + data(5, "x", h2::end_stream));
  EXPECT_EQ(server.requests.size(), 2u);
  for (auto& each : server.requests) server.answer(*each, 204);
  EXPECT_EQ(server.flush(), "HEADERS 1 {:status=204;} END\nHEADERS 3 {:status=204;} END\n");
  EXPECT_FALSE(server.failed);
  EXPECT_TRUE(server.codec.idle());
}

TEST(H2Server, HalfClosedClientGetsItsAnswers) {
  ServerEnd server;
  server.greet();
  server.feed(request(1) + request(3, "POST", 0));
  server.codec.on_end();
  EXPECT_THAT(server.requests[1]->log, HasSubstr("reset: peer closed in the middle of an exchange"));
  server.answer(*server.requests[0], 200, "x");
  EXPECT_EQ(server.flush(), "HEADERS 1 {:status=200;}\nDATA 1 x (1) END\n");
  EXPECT_FALSE(server.failed);
}

TEST(H2Server, PingsAreAnsweredAndOurs) {
  ServerEnd server;
  server.greet();
  server.feed(ping("abcdefgh"));
  EXPECT_EQ(server.flush(), "PING ACK abcdefgh\n");
  server.codec.ping();
  server.codec.ping();
  EXPECT_EQ(server.flush(), "PING ringside\n");
  EXPECT_TRUE(server.codec.ping_due());
  server.feed(frame(H2FrameType::ping, h2::ack, 0, "ringside"));
  EXPECT_FALSE(server.codec.ping_due());
  server.feed(request(1));
  server.codec.ping();
  server.codec.fail_keepalive();
  EXPECT_EQ(server.error.code, ErrorCode::timed_out);
  EXPECT_TRUE(server.last().was_reset);
  EXPECT_EQ(server.stats.keepalive_timeout, 1u);
}

TEST(H2Server, ExtendedConnectOnlyWhenOffered) {
  const Fields fields = {
      {":method", "CONNECT"}, {":protocol", "websocket"}, {":scheme", "http"}, {":path", "/chat"}, {":authority", "a"}};
  ServerEnd plain;
  plain.greet();
  plain.feed(headers(1, fields, 0));
  EXPECT_EQ(plain.flush(), "RST_STREAM 1 1\n");
  H2Limits limits;
  limits.connect_protocol = true;
  ServerEnd server(limits);
  server.greet();
  server.feed(headers(1, fields, 0));
  EXPECT_EQ(server.last().log, "head [GET] [http] [a] [/chat] upgrade=websocket {}");
  Arena arena(server.arena_pool);
  Head agreed(arena);
  agreed.status = 101;
  server.last().stream->send_head(agreed, End::no);
  EXPECT_EQ(server.flush(), "HEADERS 1 {:status=200;}\n");
  server.feed(headers(1, {{"x", "y"}}));  // RFC 9113 8.5
  EXPECT_EQ(server.flush(), "RST_STREAM 1 1\n");
  server.feed(headers(3, {{":method", "CONNECT"}, {":authority", "b:443"}}, 0));
  EXPECT_EQ(server.last().log, "head [CONNECT] [] [b:443] [] upgrade= {}");
}

TEST(H2Server, WhatCannotBeSentEndsTheStream) {
  const std::vector<std::pair<Fields, std::string>> cases = {
      {{{"Upper", "x"}}, "field name that cannot be sent"},
      {{{"x y", "x"}}, "field name that cannot be sent"},
      {{{"x", "a\r\nb: c"}}, "field value that cannot be sent"},
      {{{"content-length", "1"}, {"content-length", "1"}}, "message with a wrong content-length"},
      {{{"content-length", "3"}}, "body is shorter than its content-length"},
      {{{"content-length", "1"}}, "body is longer than its content-length"},
  };
  for (const auto& [fields, wrong] : cases) {
    ServerEnd server;
    server.greet();
    server.feed(request(1));
    server.answer(server.last(), 200, "ab", fields);
    EXPECT_THAT(server.last().log, HasSubstr("reset: " + wrong));
    EXPECT_THAT(server.flush(), HasSubstr("RST_STREAM 1 2"));
  }
}

TEST(H2Server, LargeHeadsAreContinued) {
  ServerEnd server;
  server.greet();
  server.feed(request(1));
  std::string random;
  for (uint32_t at = 0, state = 1; at < 40000; ++at) {
    state = state * 1664525 + 1013904223;
    random += static_cast<char>('!' + (state >> 24) % 94);
  }
  server.answer(server.last(), 200, {}, {{"x-large", random}, {"x-last", "1"}});
  const std::string bytes = server.sink.text;
  EXPECT_EQ(parse_frame_header(bytes.data()).length, 16384u);
  // A client codec puts it together again.
  H2Limits limits;
  ClientEnd client(limits);
  client.ask();
  client.flush();
  client.feed(settings() + bytes);
  EXPECT_THAT(client.responses[0]->log, HasSubstr("x-last=1;} END"));
  EXPECT_EQ(client.responses[0]->last_head->fields.find("x-large")->value(), random);
}

TEST(H2Server, RestsWithItsPeerInStep) {
  for (const uint32_t table_bytes : {0u, 100u, 4096u, 65536u}) {
    ServerEnd server;
    server.greet(setting(H2Setting::header_table_size, table_bytes));
    uint32_t stream_id = 1;
    for (int round = 0; round < 3; ++round) {
      for (int request_of_round = 0; request_of_round < 2; ++request_of_round, stream_id += 2) {
        server.feed(request(stream_id));
        server.answer(server.last(), 200, {}, {{"x-first", "a"}, {"x-second", "b"}});
        EXPECT_EQ(server.flush(),
                  "HEADERS " + std::to_string(stream_id) + " {:status=200;x-first=a;x-second=b;} END\n");
      }
      server.codec.rest();
      server.codec.rest();
    }
  }
}

// RFC 7541 4.2: the smallest size that a table had between two blocks is told, even if it grew again.
TEST(H2Server, TellsThatATableWasSmaller) {
  for (const bool smaller : {false, true}) {
    ServerEnd server;
    server.greet(smaller ? setting(H2Setting::header_table_size, 0) + setting(H2Setting::header_table_size, 4096) : std::string());
    server.sink.text.clear();
    server.feed(request(1));
    server.answer(server.last(), 200, {}, {{"x-first", "a"}});
    const std::string block = server.sink.text.substr(h2::frame_header_bytes);
    EXPECT_EQ(block[0] == 0x20, smaller);
  }
}

TEST(H2Server, MemoryOfAnIdleConnection) {
  EXPECT_LE(sizeof(H2ServerCodec), 640u);
  EXPECT_LE(sizeof(H2Stream), 256u);
  RecordProperty("codec_bytes", static_cast<int>(sizeof(H2ServerCodec)));
  RecordProperty("stream_bytes", static_cast<int>(sizeof(H2Stream)));
}

}  // namespace
}  // namespace ringside::h2_test
