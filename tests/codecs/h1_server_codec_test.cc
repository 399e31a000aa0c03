#include "codecs/http1/h1_server_codec.h"

#include <gtest/gtest.h>

#include "tests/codecs/h1_harness.h"

namespace ringside::h1_test {
namespace {

constexpr std::string_view get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

H1Limits all_features() {
  H1Limits limits;
  limits.accept_http_10 = true;
  limits.enable_trailers = true;
  return limits;
}

class H1Server : public testing::Test {
 protected:
  // A response head in the arena of the test.
  Head& response(uint16_t status) {
    Head& head = *arena_.make<Head>(arena_);
    head.status = status;
    return head;
  }
  std::string head_of(std::string_view request) {
    server_.feed(request);
    return server_.requests.empty() ? "" : server_.last().log;
  }

  ArenaPool pool_;
  Arena arena_{pool_};
  ServerEnd server_{all_features()};
};

// --- requests --------------------------------------------------------------------------------------------------------------

TEST_F(H1Server, NamesInLowerCaseValuesTrimmedOrderKept) {
  const std::string_view request =
      "GET /a?b HTTP/1.1\r\nX-Zed:\t z  \r\nHOST: Ex.Com:80\r\nUSER-AGENT: A b\tc\r\nX-Zed: 2\r\nempty:\r\n\r\n";
  EXPECT_EQ(head_of(request), "head [GET] [] [Ex.Com:80] [/a?b] 1.1 {x-zed=z;user-agent=A b\tc;x-zed=2;empty=;} END");
  EXPECT_EQ(server_.last().last_head->wire_bytes, request.size());
}

TEST_F(H1Server, AbsoluteTargets) {
  const auto get_of = [](std::string_view target) {
    return "GET " + std::string(target) + " HTTP/1.1\r\nHost: a\r\n\r\n";
  };
  ServerEnd one(all_features());
  one.feed(get_of("HTTP://b:8080/c?d"));
  EXPECT_EQ(one.last().log, "head [GET] [http] [b:8080] [/c?d] 1.1 {} END");
  ServerEnd two(all_features());
  two.feed(get_of("https://b"));
  EXPECT_EQ(two.last().log, "head [GET] [https] [b] [/] 1.1 {} END");
  ServerEnd three(all_features());
  three.feed(get_of("http://b?c=d"));
  EXPECT_EQ(three.last().log, "head [GET] [http] [b] [/?c=d] 1.1 {} END");
  ServerEnd four(all_features());
  four.feed("OPTIONS http://b HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(four.last().log, "head [OPTIONS] [http] [b] [*] 1.1 {} END");
}

TEST_F(H1Server, HopByHopFieldsGoNoFurther) {
  EXPECT_EQ(head_of("GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, X-Mine ,\r\nX-MINE: 1\r\nKeep-Alive: 5\r\n"
                    "Proxy-Connection: keep-alive\r\nTE: gzip\r\nHTTP2-Settings: x\r\nX-Kept: 1\r\n\r\n"),
            "head [GET] [] [a] [/] 1.1 {x-kept=1;} END");
}

TEST_F(H1Server, OfTeOnlyTrailersGoOn) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"TE: trailers", "te=trailers;"},
      {"TE: gzip;q=0.5 ,\ttrailers , x", "te=trailers;"},
      {"TE: gzip\r\nTE: trailers\r\nTE: trailers", "te=trailers;"},
      {"TE: trailers\r\nConnection: te", "te=trailers;"},
      {"TE: trailers;q=0.5", ""},
      {"TE: Trailers", ""},
      {"TE:", ""}};
  for (const auto& [lines, kept] : cases) {
    SCOPED_TRACE(lines);
    ServerEnd server(all_features());
    server.feed("GET / HTTP/1.1\r\nHost: a\r\n" + std::string(lines) + "\r\n\r\n");
    EXPECT_EQ(server.last().log, "head [GET] [] [a] [/] 1.1 {" + std::string(kept) + "} END");
  }
}

TEST_F(H1Server, ConnectionDoesNotDeleteFramingOrHost) {
  EXPECT_EQ(
      head_of("POST / HTTP/1.1\r\nHost: a\r\nConnection: host, content-length, expect\r\nContent-Length: 1\r\n\r\nx"),
      "head [POST] [] [a] [/] 1.1 {content-length=1;}\nbody x END");
}

TEST_F(H1Server, UpgradeIsSeenAndNotForwarded) {
  EXPECT_EQ(head_of("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"),
            "head [GET] [] [a] [/] 1.1 upgrade=websocket {} END");
}

TEST_F(H1Server, UpgradeNeedsToBeListed) {
  EXPECT_EQ(head_of("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n"), "head [GET] [] [a] [/] 1.1 {} END");
}

TEST_F(H1Server, H2cIsIgnored) {
  EXPECT_EQ(head_of("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: x, H2C\r\n"
                    "HTTP2-Settings: AAMAAABk\r\n\r\n"),
            "head [GET] [] [a] [/] 1.1 {} END");
}

TEST_F(H1Server, NoUpgradeInHttp10) {
  EXPECT_EQ(head_of("GET / HTTP/1.0\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"),
            "head [GET] [] [] [/] 1.0 {} END");
}

TEST_F(H1Server, ConnectEndsTheConnectionWhateverFollows) {
  server_.feed("CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\nearly");
  EXPECT_EQ(server_.last().log, "head [CONNECT] [] [b:443] [] 1.1 upgrade= {} END");
  server_.answer(501);
  EXPECT_NE(server_.sink.take().find("connection: close"), std::string::npos);
  EXPECT_FALSE(server_.codec.reusable());
  EXPECT_EQ(server_.requests.size(), 1u);
}

TEST_F(H1Server, ExpectIsFlagged) {
  EXPECT_EQ(head_of("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\n"),
            "head [POST] [] [a] [/] 1.1 expect {expect=100-Continue;content-length=1;}");
  server_.codec.send_informational(response(100));
  EXPECT_EQ(server_.sink.take(), "HTTP/1.1 100 Continue\r\n\r\n");
  server_.feed("x");
  EXPECT_TRUE(server_.last().ended);
}

TEST_F(H1Server, TrailersAreDeliveredAndCleaned) {
  EXPECT_EQ(head_of("POST / HTTP/1.1\r\nHost: a\r\nTrailer: X-T\r\nTransfer-Encoding: chunked\r\n\r\n"
                    "3\r\nabc\r\n0\r\nX-T: 1\r\nConnection: close\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n"),
            "head [POST] [] [a] [/] 1.1 {trailer=X-T;}\nbody abc\ntrailers {x-t=1;}");
}

TEST_F(H1Server, TrailersAreDroppedUnlessEnabled) {
  ServerEnd server{H1Limits{}};
  server.feed(
      "POST / HTTP/1.1\r\nHost: a\r\nTrailer: X-T\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: "
      "1\r\n\r\n");
  EXPECT_EQ(server.last().log, "head [POST] [] [a] [/] 1.1 {}\nbody abc END");
}

TEST_F(H1Server, DefaultHostForHttp10) {
  H1Limits limits = all_features();
  limits.default_host_for_http_10 = "fallback";
  ServerEnd server(limits);
  server.feed("GET / HTTP/1.0\r\n\r\n");
  EXPECT_EQ(server.last().log, "head [GET] [] [fallback] [/] 1.0 {} END");
}

// --- responses -------------------------------------------------------------------------------------------------------------

TEST_F(H1Server, ContentLengthIsKept) {
  server_.feed(get);
  Head& head = response(200);
  head.fields.add(HeaderId::content_length, "3");
  head.fields.add("x-a", "1");
  server_.codec.send_head(head, End::no);
  server_.codec.send_body(slice_of("ab"), End::no);
  server_.codec.send_body(slice_of("c"), End::yes);
  EXPECT_EQ(server_.sink.text, "HTTP/1.1 200 OK\r\ncontent-length: 3\r\nx-a: 1\r\n\r\nabc");
  EXPECT_EQ(server_.idles, 1);
  EXPECT_TRUE(server_.codec.reusable());
}

TEST_F(H1Server, BodyWithoutLengthIsChunked) {
  server_.feed(get);
  server_.codec.send_head(response(200), End::no);
  server_.codec.send_body(slice_of("abc"), End::no);
  server_.codec.send_body(Slice(), End::no);
  server_.codec.send_body(slice_of(std::string(300, 'x')), End::no);
  server_.codec.send_body(Slice(), End::yes);
  EXPECT_EQ(server_.sink.text, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n12c\r\n" +
                                   std::string(300, 'x') + "\r\n0\r\n\r\n");
}

TEST_F(H1Server, LastChunkGoesWithTheEnd) {
  server_.feed(get);
  server_.codec.send_head(response(200), End::no);
  server_.sink.take();
  server_.codec.send_body(slice_of(std::string(257, 'x')), End::yes);
  EXPECT_EQ(server_.sink.text, "101\r\n" + std::string(257, 'x') + "\r\n0\r\n\r\n");
}

TEST_F(H1Server, TrailersAreWritten) {
  server_.feed(get);
  server_.codec.send_head(response(200), End::no);
  server_.sink.take();
  HeaderMap trailers(arena_);
  trailers.add("grpc-status", "0");
  trailers.add("content-length", "5");
  server_.codec.send_trailers(trailers);
  EXPECT_EQ(server_.sink.text, "0\r\ngrpc-status: 0\r\n\r\n");
  EXPECT_EQ(server_.idles, 1);
}

TEST_F(H1Server, NoBodyGetsLengthZero) {
  server_.feed(get);
  server_.answer(404);
  EXPECT_EQ(server_.sink.text, "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n");
}

TEST_F(H1Server, HeadKeepsTheLengthAndSendsNoBody) {
  server_.feed("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
  Head& head = response(200);
  head.fields.add(HeaderId::content_length, "300");
  server_.codec.send_head(head, End::no);
  server_.codec.send_body(slice_of("stray"), End::yes);
  EXPECT_EQ(server_.sink.text, "HTTP/1.1 200 OK\r\ncontent-length: 300\r\n\r\n");
  EXPECT_TRUE(server_.codec.reusable());
}

TEST_F(H1Server, NoContentHasNoFraming) {
  server_.feed(get);
  Head& head = response(204);
  head.fields.add(HeaderId::content_length, "0");
  server_.codec.send_head(head, End::yes);
  EXPECT_EQ(server_.sink.text, "HTTP/1.1 204 No Content\r\n\r\n");
}

TEST_F(H1Server, NotModifiedKeepsTheLength) {
  server_.feed(get);
  Head& head = response(304);
  head.fields.add(HeaderId::content_length, "10");
  server_.codec.send_head(head, End::yes);
  EXPECT_EQ(server_.sink.text, "HTTP/1.1 304 Not Modified\r\ncontent-length: 10\r\n\r\n");
  EXPECT_TRUE(server_.codec.reusable());
}

TEST_F(H1Server, Http10BodyWithoutLengthEndsWithTheConnection) {
  server_.feed("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  server_.codec.send_informational(response(103));  // not for this client
  server_.codec.send_head(response(200), End::no);
  server_.codec.send_body(slice_of("abc"), End::yes);
  EXPECT_EQ(server_.sink.text, "HTTP/1.0 200 OK\r\nconnection: close\r\n\r\nabc");
  EXPECT_FALSE(server_.codec.reusable());
}

TEST_F(H1Server, Http10KeepsAliveWhenAsked) {
  server_.feed("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n");
  server_.answer(404);
  EXPECT_EQ(server_.sink.take(), "HTTP/1.0 404 Not Found\r\ncontent-length: 0\r\nconnection: keep-alive\r\n\r\n");
  EXPECT_TRUE(server_.codec.reusable());
  server_.feed("GET / HTTP/1.0\r\n\r\n");
  server_.answer(404);
  EXPECT_EQ(server_.sink.take(), "HTTP/1.0 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
  EXPECT_FALSE(server_.codec.reusable());
}

TEST_F(H1Server, ConnectionCloseOfTheClient) {
  server_.feed("GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, CLOSE\r\n\r\n");
  server_.answer(404);
  EXPECT_EQ(server_.sink.take(), "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
  EXPECT_FALSE(server_.codec.reusable());
  server_.feed(get);  // too late
  EXPECT_EQ(server_.requests.size(), 1u);
}

TEST_F(H1Server, DrainSaysClose) {
  server_.feed(get);
  server_.codec.drain();
  server_.answer(404);
  EXPECT_NE(server_.sink.text.find("connection: close\r\n"), std::string::npos);
  EXPECT_FALSE(server_.codec.reusable());
}

TEST_F(H1Server, HopByHopFieldsAreNotWritten) {
  server_.feed(get);
  Head& head = response(200);
  for (const std::string_view name :
       {"connection", "keep-alive", "transfer-encoding", "upgrade", "te", "proxy-connection"})
    head.fields.add(name, "x");
  server_.codec.send_head(head, End::yes);
  EXPECT_EQ(server_.sink.text, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
}

// What would be read as more than one field is not sent: the exchange fails instead.
TEST_F(H1Server, RefusesToSendInjectedLines) {
  const std::pair<std::string_view, std::string_view> bad[] = {
      {"x-a", "1\r\nx-b: 2"}, {"x-a", "1\n"},  {"x-a", {"\0", 1}},     {"x a", "1"}, {"x:a", "1"}, {"", "1"},
      {"x\r\n", "1"},         {"x-a", "\x7f"}, {"content-length", "x"}};
  for (const auto& [name, value] : bad) {
    SCOPED_TRACE(name);
    ServerEnd server(all_features());
    server.feed(get);
    Head& head = response(200);
    head.fields.add(name, value);
    server.codec.send_head(head, End::yes);
    EXPECT_EQ(server.sink.text, "");
    EXPECT_TRUE(server.last().was_reset);
    EXPECT_EQ(server.error.status, 500);
    EXPECT_EQ(server.error.why.origin, Origin::local);
  }
}

TEST_F(H1Server, BodyMustFitItsLength) {
  for (const std::string_view body : {"ab", "abcd"}) {
    ServerEnd server(all_features());
    server.feed(get);
    Head& head = response(200);
    head.fields.add(HeaderId::content_length, "3");
    server.codec.send_head(head, End::no);
    server.codec.send_body(slice_of(body), End::yes);
    EXPECT_TRUE(server.error.seen);
    EXPECT_EQ(server.error.status, 0) << "a response has begun";
    EXPECT_FALSE(server.codec.reusable());
  }
}

TEST_F(H1Server, ErrorAnswer) {
  server_.feed("nonsense\r\n\r\n");
  EXPECT_EQ(server_.error.status, 400);
  Head& head = response(400);
  head.fields.add("content-length", "4");
  head.fields.add("server", "me");
  server_.codec.send_error(head, "text");
  EXPECT_EQ(server_.sink.text,
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 4\r\nserver: me\r\nconnection: close\r\n\r\ntext");
}

// That there must be a Host is its owner's to say, who logs the request line.
TEST_F(H1Server, ARequestWithoutHostHasNoAuthority) {
  EXPECT_EQ(head_of("GET / HTTP/1.1\r\nX: 1\r\n\r\n"), "head [GET] [] [] [/] 1.1 {x=1;} END");
}

// --- exchanges -------------------------------------------------------------------------------------------------------------

TEST_F(H1Server, PipelinedRequestsAreHeldUntilResume) {
  std::string all;
  for (const char name : {'a', 'b', 'c'}) all += std::string("GET /") + name + " HTTP/1.1\r\nHost: a\r\n\r\n";
  server_.feed(all.substr(0, 40));
  server_.feed(all.substr(40));
  EXPECT_EQ(server_.requests.size(), 1u);
  EXPECT_EQ(server_.codec.held_bytes(), all.size() - all.size() / 3);
  EXPECT_EQ(server_.granted, all.size() / 3);
  server_.answer(404);
  EXPECT_EQ(server_.requests.size(), 1u) << "not before resume";
  server_.codec.resume();
  EXPECT_EQ(server_.requests.size(), 2u);
  EXPECT_EQ(server_.codec.held_bytes(), all.size() / 3);
  server_.answer(404);
  server_.codec.resume();
  server_.answer(404);
  EXPECT_EQ(server_.codec.held_bytes(), 0u);
  EXPECT_EQ(server_.granted, all.size());
  EXPECT_EQ(server_.idles, 3);
  EXPECT_EQ(server_.requests[2]->log, "head [GET] [] [a] [/c] 1.1 {} END");
}

TEST_F(H1Server, AnErrorInAHeldRequestComesWithItsTurn) {
  server_.feed(std::string(get) + "bad\r\n\r\n");
  EXPECT_FALSE(server_.error.seen);
  server_.answer(404);
  server_.codec.resume();
  EXPECT_EQ(server_.error.status, 400);
  EXPECT_EQ(server_.requests[0]->was_reset, false);
}

TEST_F(H1Server, HalfCloseStillGetsTheAnswer) {
  server_.feed(get);
  server_.codec.on_end();
  EXPECT_FALSE(server_.error.seen);
  server_.answer(404);
  EXPECT_NE(server_.sink.text.find("connection: close\r\n"), std::string::npos);
  EXPECT_EQ(server_.idles, 1);
  EXPECT_FALSE(server_.codec.reusable());
}

TEST_F(H1Server, HalfCloseAfterPipelinedRequestsAnswersAll) {
  server_.feed(std::string(get) + std::string(get));
  server_.codec.on_end();
  server_.answer(404);
  EXPECT_TRUE(server_.codec.reusable());
  server_.codec.resume();
  ASSERT_EQ(server_.requests.size(), 2u);
  server_.answer(404);
  EXPECT_FALSE(server_.codec.reusable());
}

TEST_F(H1Server, EndInTheMiddle) {
  for (const std::string_view part : {"GET / HT", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab",
                                      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"}) {
    ServerEnd server(all_features());
    server.feed(part);
    server.codec.on_end();
    EXPECT_EQ(server.error.why.code, ErrorCode::peer_closed);
    EXPECT_EQ(server.error.status, 0);
    for (const auto& request : server.requests) EXPECT_TRUE(request->was_reset);
  }
}

TEST_F(H1Server, EndWhenIdle) {
  server_.codec.on_end();
  EXPECT_FALSE(server_.error.seen);
  EXPECT_FALSE(server_.codec.reusable());
}

TEST_F(H1Server, EarlyResponse) {
  server_.feed("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab");
  server_.answer(403);
  EXPECT_EQ(server_.idles, 0) << "the request is not over";
  server_.feed("cde");
  EXPECT_EQ(server_.idles, 1);
  EXPECT_TRUE(server_.codec.reusable());
  EXPECT_EQ(server_.last().body_bytes, 5u);
}

TEST_F(H1Server, ErrorAfterTheResponseBeganHasNoStatus) {
  server_.feed("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
  server_.codec.send_head(response(200), End::no);
  server_.feed("zz\r\n");
  EXPECT_TRUE(server_.error.seen);
  EXPECT_EQ(server_.error.status, 0);
  EXPECT_TRUE(server_.last().was_reset);
}

TEST_F(H1Server, AbortTellsTheExchangeResetDoesNot) {
  server_.feed(get);
  server_.codec.abort({ErrorCode::timed_out, Origin::downstream, Retry::never, "why"});
  EXPECT_TRUE(server_.last().was_reset);
  EXPECT_FALSE(server_.error.seen);
  ServerEnd other(all_features());
  other.feed(get);
  other.codec.reset({});
  EXPECT_FALSE(other.last().was_reset);
  EXPECT_FALSE(other.codec.reusable());
}

TEST_F(H1Server, HeadStarted) {
  EXPECT_FALSE(server_.codec.head_started());
  server_.feed("\r\n");
  EXPECT_FALSE(server_.codec.head_started());
  server_.feed("G");
  EXPECT_TRUE(server_.codec.head_started());
  EXPECT_FALSE(server_.codec.idle());
  server_.feed("ET / HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_FALSE(server_.codec.head_started());
}

// --- credit ----------------------------------------------------------------------------------------------------------------

TEST_F(H1Server, BodyIsGrantedByTheExchangeTheRestAtOnce) {
  const std::string head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
  server_.feed(head + "5\r\nabcde\r\n");
  EXPECT_EQ(server_.granted, head.size() + 5);
  server_.codec.grant(2);
  EXPECT_EQ(server_.granted, head.size() + 7);
  server_.feed("0\r\n\r\n");
  server_.answer(404);
  EXPECT_EQ(server_.granted, head.size() + 15) << "what is left comes with the end";
}

TEST_F(H1Server, OnSentCountsBodyOnly) {
  server_.feed(get);
  Head& head = response(200);
  head.fields.add(HeaderId::content_length, "10");
  server_.codec.send_head(head, End::no);
  const size_t head_bytes = server_.sink.text.size();
  server_.codec.send_body(slice_of("abcde"), End::no);
  server_.codec.on_sent(head_bytes - 1);
  EXPECT_EQ(server_.last().sent, 0u);
  server_.codec.on_sent(3);
  EXPECT_EQ(server_.last().sent, 2u);
  server_.codec.on_sent(3);
  EXPECT_EQ(server_.last().sent, 5u);
}

TEST_F(H1Server, OnSentOfAnEarlierResponseIsNotCreditForThisOne) {
  server_.feed(get);
  server_.answer(200, "first");
  const size_t first = server_.sink.take().size();
  server_.feed(get);
  server_.codec.send_head(response(200), End::no);
  server_.codec.send_body(slice_of("second"), End::no);
  server_.codec.on_sent(first);
  EXPECT_EQ(server_.last().sent, 0u);
  server_.codec.on_sent(server_.sink.text.size());
  EXPECT_EQ(server_.last().sent, 6u);
}

// --- leaving HTTP ----------------------------------------------------------------------------------------------------------

constexpr std::string_view upgrade_request = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

TEST(H1ServerUpgrade, HoldsWhatComesBehindTheRequest) {
  ServerEnd server{H1Limits{}};
  server.feed(std::string(upgrade_request) + "early");
  const size_t granted = server.granted;
  Arena arena(server.arena_pool);
  Head head(arena);
  head.status = 101;
  head.upgrade_protocol = "websocket";
  server.codec.send_head(head, End::no);
  EXPECT_EQ(server.sink.text, "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
  server.feed(" bytes");
  server.codec.on_sent(10);
  H1Codec::Left left = server.codec.leave();
  EXPECT_EQ(left.early.size_bytes(), 11U);
  EXPECT_EQ(left.unsent_bytes, server.sink.text.size() - 10);
  EXPECT_EQ(server.granted, granted);
}

TEST(H1ServerUpgrade, WhatFollowsARefusalIsNoRequest) {
  ServerEnd server{H1Limits{}};
  server.feed(std::string(upgrade_request) + "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n");
  server.answer(403);
  EXPECT_NE(server.sink.text.find("connection: close"), std::string::npos);
  EXPECT_FALSE(server.codec.reusable());
  server.codec.resume();
  EXPECT_EQ(server.requests.size(), 1U);
}

TEST(H1ServerUpgrade, NobodySwitchesUnasked) {
  for (const char* plain : {"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
                            "POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\nContent-Length: 2\r\n\r\n"}) {
    ServerEnd server{H1Limits{}};
    server.feed(plain);
    Arena arena(server.arena_pool);
    Head head(arena);
    head.status = 101;
    head.upgrade_protocol = "x";
    server.codec.send_head(head, End::no);
    EXPECT_TRUE(server.error.seen) << plain;
  }
}

}  // namespace
}  // namespace ringside::h1_test
