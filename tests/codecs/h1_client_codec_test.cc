#include "codecs/http1/h1_client_codec.h"

#include <gtest/gtest.h>

#include "tests/codecs/h1_harness.h"

namespace ringside::h1_test {
namespace {

constexpr std::string_view ok = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";

class H1Client : public testing::Test {
 protected:
  H1Client() : client_(limits()) {}
  static H1Limits limits() {
    H1Limits made;
    made.enable_trailers = true;
    return made;
  }
  // Asks with one more field and gives what was written.
  std::string request(std::string_view method, std::string_view name, std::string_view value, End end) {
    client_.response = std::make_unique<Recorder>();
    client_.codec.open(*client_.response);
    Head& head = *arena_.make<Head>(arena_);
    head.method = method;
    head.authority = "up:80";
    head.path = "/p?q";
    if (!name.empty()) head.fields.add(name, value);
    client_.codec.send_head(head, end);
    return client_.sink.take();
  }
  // The events of one exchange.
  std::string exchange(std::string_view response, std::string_view method = "GET") {
    client_.ask(method);
    client_.feed(response);
    return client_.events();
  }

  ArenaPool pool_;
  Arena arena_{pool_};
  ClientEnd client_;
};

// --- what may pass unread --------------------------------------------------------------------------------------------------

// After every byte: what is announced as due is exactly what comes as body before the next byte that is looked at.
TEST_F(H1Client, BodyBytesDue) {
  client_.ask("GET");
  client_.feed("HTTP/1.1 200 OK\r\nContent-Length: 300\r\n\r");
  EXPECT_EQ(client_.codec.body_bytes_due(), 0U);
  client_.feed("\n");
  EXPECT_EQ(client_.codec.body_bytes_due(), 300U);
  client_.feed(std::string(299, 'x'));
  EXPECT_EQ(client_.codec.body_bytes_due(), 1U);
  client_.feed("x");
  EXPECT_EQ(client_.codec.body_bytes_due(), 0U);
}

TEST_F(H1Client, BodyBytesDueOfChunks) {
  client_.ask("GET");
  client_.feed("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
  for (const std::string_view piece : {"1", "0", ";e", "\r"}) {
    client_.feed(piece);
    EXPECT_EQ(client_.codec.body_bytes_due(), 0U) << piece;  // the number may go on
  }
  client_.feed("\n");
  EXPECT_EQ(client_.codec.body_bytes_due(), 16U);
  client_.feed("0123456789abcdef");
  EXPECT_EQ(client_.codec.body_bytes_due(), 0U);
  client_.feed("\r\n0\r\n\r\n");
  EXPECT_EQ(client_.codec.body_bytes_due(), 0U);
}

TEST_F(H1Client, BodyBytesDueUntilClose) {
  client_.ask("GET");
  client_.feed("HTTP/1.1 200 OK\r\n\r\nabc");
  EXPECT_EQ(client_.codec.body_bytes_due(), SIZE_MAX);
}

// --- requests --------------------------------------------------------------------------------------------------------------

TEST_F(H1Client, RequestHead) {
  EXPECT_EQ(request("GET", "x-a", "1", End::yes), "GET /p?q HTTP/1.1\r\nhost: up:80\r\nx-a: 1\r\n\r\n");
}

TEST_F(H1Client, BodyWithLength) {
  EXPECT_EQ(request("POST", "content-length", "3", End::no),
            "POST /p?q HTTP/1.1\r\nhost: up:80\r\ncontent-length: 3\r\n\r\n");
  client_.codec.send_body(slice_of("abc"), End::yes);
  EXPECT_EQ(client_.sink.text, "abc");
}

TEST_F(H1Client, BodyWithoutLengthIsChunked) {
  EXPECT_EQ(request("POST", "", "", End::no),
            "POST /p?q HTTP/1.1\r\nhost: up:80\r\ntransfer-encoding: chunked\r\n\r\n");
  client_.codec.send_body(slice_of("abc"), End::yes);
  EXPECT_EQ(client_.sink.text, "3\r\nabc\r\n0\r\n\r\n");
}

TEST_F(H1Client, NoBodyWhereOneIsExpected) {
  EXPECT_EQ(request("PUT", "", "", End::yes), "PUT /p?q HTTP/1.1\r\nhost: up:80\r\ncontent-length: 0\r\n\r\n");
}

TEST_F(H1Client, HostAndHopByHopFieldsComeFromTheHeadOnly) {
  EXPECT_EQ(request("GET", "host", "other", End::yes), "GET /p?q HTTP/1.1\r\nhost: up:80\r\n\r\n");
  client_.feed(ok);
  EXPECT_EQ(request("GET", "transfer-encoding", "chunked", End::yes), "GET /p?q HTTP/1.1\r\nhost: up:80\r\n\r\n");
}

TEST_F(H1Client, RefusesARequestThatWouldBeTwo) {
  struct Bad {
    std::string_view method, authority, path;
  };
  for (const Bad& bad : {Bad{"GET", "a", "/ HTTP/1.1\r\nx: y"}, Bad{"GET", "a", "/a b"}, Bad{"GET", "a", ""},
                         Bad{"GET", "a", "b"}, Bad{"GET", "a\r\nx: y", "/"}, Bad{"GET", "a b", "/"},
                         Bad{"GET /x HTTP/1.1\r\n", "a", "/"}, Bad{"", "a", "/"}, Bad{"CONNECT", "a:1", "/"}}) {
    ClientEnd client(limits());
    Recorder response;
    client.codec.open(response);
    Head& head = *arena_.make<Head>(arena_);
    head.method = bad.method;
    head.authority = bad.authority;
    head.path = bad.path;
    client.codec.send_head(head, End::yes);
    EXPECT_EQ(client.sink.text, "");
    EXPECT_TRUE(response.was_reset);
    EXPECT_TRUE(client.error.seen);
    EXPECT_FALSE(client.codec.reusable());
  }
}

// --- responses -------------------------------------------------------------------------------------------------------------

TEST_F(H1Client, LengthFramed) {
  EXPECT_EQ(exchange(ok), "head 200 1.1 {content-length=3;}\nbody abc END\n");
  EXPECT_EQ(client_.idles, 1);
  EXPECT_TRUE(client_.codec.reusable());
  EXPECT_EQ(client_.granted, ok.size());
}

TEST_F(H1Client, HopByHopFieldsGoNoFurther) {
  EXPECT_EQ(exchange("HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Gone\r\nX-Gone: 1\r\nKeep-Alive: timeout=5\r\n"
                     "Upgrade: h2c\r\nTrailer: X-T\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-T: 1\r\n\r\n"),
            "head 200 1.1 {trailer=X-T;}\ntrailers {x-t=1;}\n");
  EXPECT_TRUE(client_.codec.reusable());
}

TEST_F(H1Client, AnswersWithoutBody) {
  EXPECT_EQ(exchange("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", "HEAD"), "head 200 1.1 {content-length=9;} END\n");
  EXPECT_EQ(exchange("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HEAD"), "head 200 1.1 {} END\n");
  EXPECT_EQ(exchange("HTTP/1.1 200 OK\r\n\r\n", "HEAD"), "head 200 1.1 {} END\n");
  EXPECT_EQ(exchange("HTTP/1.1 204 No Content\r\n\r\n"), "head 204 1.1 {} END\n");
  EXPECT_EQ(exchange("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"),
            "head 304 1.1 {content-length=9;} END\n");
  EXPECT_EQ(client_.idles, 5);
  EXPECT_TRUE(client_.codec.reusable());
}

TEST_F(H1Client, UntilClose) {
  EXPECT_EQ(exchange("HTTP/1.1 200 OK\r\n\r\nabc"), "head 200 1.1 until-close {}\nbody abc\n");
  EXPECT_EQ(client_.idles, 0);
  client_.codec.on_end();
  EXPECT_EQ(client_.events(), "head 200 1.1 until-close {}\nbody abc END\n");
  EXPECT_EQ(client_.idles, 1);
  EXPECT_FALSE(client_.codec.reusable());
}

TEST_F(H1Client, Informational) {
  EXPECT_EQ(exchange("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + std::string(ok)),
            "info 103 {link=x;}\nhead 200 1.1 {content-length=3;}\nbody abc END\n");
}

TEST_F(H1Client, Persistence) {
  const std::pair<std::string_view, bool> cases[] = {
      {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", true},
      {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", false},
      {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive, close\r\n\r\n", false},
      {"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", false},
      {"HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n", true},
  };
  for (const auto& [response, reusable] : cases) {
    ClientEnd client(limits());
    client.ask();
    client.feed(response);
    EXPECT_EQ(client.idles, 1);
    EXPECT_EQ(client.codec.reusable(), reusable) << response;
  }
}

// --- exchanges -------------------------------------------------------------------------------------------------------------

TEST_F(H1Client, SurplusAfterAResponse) {
  client_.ask();
  client_.feed(std::string(ok) + "HTTP/1.1 200 OK\r\n");
  EXPECT_TRUE(client_.response->ended) << "the response itself is good";
  EXPECT_EQ(client_.idles, 1);
  EXPECT_FALSE(client_.codec.reusable());
}

TEST_F(H1Client, BytesWithoutARequest) {
  client_.feed("HTTP/1.1 408 Request Timeout\r\n\r\n");
  EXPECT_STREQ(client_.error.why.detail, "bytes without a request");
  EXPECT_FALSE(client_.codec.reusable());
}

TEST_F(H1Client, BytesBeforeTheRequestIsSent) {
  Recorder response;
  client_.codec.open(response);
  client_.feed(ok);
  EXPECT_TRUE(response.was_reset);
  EXPECT_TRUE(client_.error.seen);
}

TEST_F(H1Client, EarlyResponse) {
  client_.ask("POST", End::no);
  client_.feed(ok);
  EXPECT_TRUE(client_.response->ended);
  EXPECT_EQ(client_.idles, 0);
  client_.codec.send_body(slice_of("x"), End::yes);
  EXPECT_EQ(client_.idles, 1);
  EXPECT_TRUE(client_.codec.reusable());
}

TEST_F(H1Client, SurplusAfterAnEarlyResponse) {
  client_.ask("POST", End::no);
  client_.feed(ok);
  client_.feed("x");
  client_.codec.send_body(Slice(), End::yes);
  EXPECT_EQ(client_.idles, 1);
  EXPECT_FALSE(client_.codec.reusable());
}

TEST_F(H1Client, ClosedBeforeAnAnswerMayBeTriedAgain) {
  client_.ask();
  client_.codec.on_end();
  EXPECT_EQ(client_.response->reset_error.retry, Retry::if_reused);
  EXPECT_EQ(client_.response->reset_error.code, ErrorCode::peer_closed);
  EXPECT_EQ(client_.response->reset_error.origin, Origin::upstream);
}

TEST_F(H1Client, ClosedWithinAnAnswer) {
  for (const std::string_view part :
       {"H", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", "HTTP/1.1 100 Continue\r\n\r\n"}) {
    ClientEnd client(limits());
    client.ask();
    client.feed(part);
    client.codec.on_end();
    EXPECT_TRUE(client.response->was_reset) << part;
    EXPECT_FALSE(client.response->ended) << part;
    EXPECT_EQ(client.response->reset_error.retry, Retry::never) << part;
    EXPECT_TRUE(client.error.seen);
  }
}

TEST_F(H1Client, ClosedWhenIdle) {
  client_.ask();
  client_.feed(ok);
  client_.codec.on_end();
  EXPECT_FALSE(client_.error.seen);
  EXPECT_FALSE(client_.codec.reusable());
}

TEST_F(H1Client, ResetMakesTheConnectionUseless) {
  client_.ask();
  client_.codec.reset({});
  EXPECT_FALSE(client_.response->was_reset);
  EXPECT_FALSE(client_.codec.reusable());
  client_.feed(ok);
  EXPECT_EQ(client_.events(), "\n");
}

TEST_F(H1Client, ErrorsNameTheUpstream) {
  client_.ask();
  client_.feed("nonsense");
  EXPECT_EQ(client_.error.why.origin, Origin::upstream);
  EXPECT_EQ(client_.error.why.code, ErrorCode::bad_message);
}

// --- leaving HTTP ----------------------------------------------------------------------------------------------------------

class H1ClientUpgrade : public H1Client {
 protected:
  void ask() {
    client_.response = std::make_unique<Recorder>();
    client_.codec.open(*client_.response);
    Head& head = *arena_.make<Head>(arena_);
    head.method = "GET";
    head.authority = "up";
    head.path = "/chat";
    head.upgrade = true;
    head.upgrade_protocol = "websocket";
    client_.codec.send_head(head, End::no);
  }
};

TEST_F(H1ClientUpgrade, AgreesAndLeaves) {
  ask();
  EXPECT_EQ(client_.sink.take(), "GET /chat HTTP/1.1\r\nhost: up\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
  client_.feed("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\nA: b\r\n\r\nearly");
  EXPECT_EQ(client_.events(), "head 101 1.1 upgrade=WebSocket {a=b;}\n");
  client_.feed(" bytes");
  client_.codec.on_end();
  const size_t granted = client_.granted;
  H1Codec::Left left = client_.codec.leave();
  EXPECT_EQ(left.early.size_bytes(), 11U);
  EXPECT_TRUE(left.peer_ended);
  EXPECT_EQ(client_.granted, granted);  // what is handed on is not granted
  EXPECT_EQ(client_.events(), "head 101 1.1 upgrade=WebSocket {a=b;}\n");
}

TEST_F(H1ClientUpgrade, IsRefusedAndGoesOn) {
  ask();
  client_.feed("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
  EXPECT_EQ(client_.idles, 1);
  EXPECT_TRUE(client_.codec.reusable());
  client_.ask();
  client_.feed("HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
  EXPECT_TRUE(client_.error.seen);  // this one did not ask
}

TEST_F(H1ClientUpgrade, MustSayToWhat) {
  for (const char* wrong : {"HTTP/1.1 101 x\r\n\r\n", "HTTP/1.1 101 x\r\nUpgrade: websocket\r\n\r\n",
                            "HTTP/1.1 101 x\r\nConnection: upgrade\r\n\r\n",
                            "HTTP/1.0 101 x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
                            "HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 3\r\n\r\n"}) {
    ClientEnd client(limits());
    client.response = std::make_unique<Recorder>();
    client.codec.open(*client.response);
    Head& head = *arena_.make<Head>(arena_);
    head.method = "GET";
    head.authority = "up";
    head.path = "/";
    head.upgrade = true;
    head.upgrade_protocol = "websocket";
    client.codec.send_head(head, End::no);
    client.feed(wrong);
    EXPECT_TRUE(client.error.seen) << wrong;
  }
}

}  // namespace
}  // namespace ringside::h1_test
