// The same bytes cut anywhere are the same events; and what we write, we read back as it was.
#include <gtest/gtest.h>

#include "tests/codecs/h1_harness.h"

namespace ringside::h1_test {
namespace {

H1Limits limits() {
  H1Limits made;
  made.accept_http_10 = true;
  made.enable_trailers = true;
  made.header_bytes_max = 2000;
  return made;
}

const std::string requests[] = {
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "\r\nGET /some/path?x=1 HTTP/1.1\r\nHost: example.com:8080\r\nUser-Agent: test\r\nX-Unknown: \t v "
    "\r\nEmpty:\r\n\r\n",
    "POST / HTTP/1.1\r\nContent-Length: 11\r\nHost: a\r\n\r\nhello world",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n00a\r\n0123456789\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0;z\r\nX-T: 1\r\nx-unknown-too: "
    "2\r\n\r\n",
    "GET http://b:1/c HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, x-gone\r\nX-Gone: 1\r\nX-Kept: 2\r\n\r\n",
    "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab\r\nGET /2 HTTP/1.1\r\nHost: b\r\n\r\n"
    "POST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\r\n 2\r\n\r\n",
    "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\n\r\nbroken\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\n0\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX-Long: " + std::string(2000, 'l') + "\r\n\r\n",
};

const std::string responses[] = {
    "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nServer: s\r\n\r\nabc",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 x\r\nLink: <y>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\nX-T: 1\r\n\r\n",
    "HTTP/1.0 200 OK\r\nX-A:b\r\n\r\nuntil the end",
    "HTTP/1.1 404 \r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "HTTP/1.1 200 OK\nContent-Length: 3\r\n\r\nabc",
};

// Answers every request as soon as it is complete, and resumes.
std::string serve(const std::vector<std::string_view>& pieces) {
  ServerEnd server(limits());
  size_t fed = 0;
  size_t answered = 0;
  for (const std::string_view piece : pieces) {
    server.feed(piece);
    fed += piece.size();
    while (answered < server.requests.size() && server.requests[answered]->ended) {
      server.answer(204);
      ++answered;
      if (server.codec.held_bytes() > 0) server.codec.resume();
    }
  }
  EXPECT_TRUE(server.error.seen || server.granted == fed) << "credit is complete when all is answered";
  return server.events() + server.sink.text;
}

std::string ask(const std::vector<std::string_view>& pieces) {
  ClientEnd client(limits());
  client.ask();
  for (const std::string_view piece : pieces) client.feed(piece);
  client.codec.on_end();
  return client.events() + (client.codec.reusable() ? "reusable" : "");
}

template <class Run>
void check_splits(const std::string& bytes, Run run) {
  const std::string whole = run({bytes});
  std::vector<std::string_view> single;
  for (size_t at = 0; at < bytes.size(); ++at) single.push_back(std::string_view(bytes).substr(at, 1));
  EXPECT_EQ(run(single), whole);
  for (size_t cut = 1; cut < bytes.size(); ++cut) {
    const std::string_view view = bytes;
    EXPECT_EQ(run({view.substr(0, cut), view.substr(cut)}), whole) << "cut at " << cut;
  }
  for (size_t step = 2; step < 20; ++step) {
    std::vector<std::string_view> pieces;
    for (size_t at = 0; at < bytes.size(); at += step) pieces.push_back(std::string_view(bytes).substr(at, step));
    EXPECT_EQ(run(pieces), whole) << "in pieces of " << step;
  }
}

TEST(H1Split, Requests) {
  for (const std::string& request : requests) {
    SCOPED_TRACE(request.substr(0, 200));
    check_splits(request, serve);
  }
}

TEST(H1Split, Responses) {
  for (const std::string& response : responses) {
    SCOPED_TRACE(response);
    check_splits(response, ask);
  }
}

// --- round trips -----------------------------------------------------------------------------------------------------------

// A request that one server read goes out of a client and into another server, which must see the same.
TEST(H1RoundTrip, Requests) {
  for (const std::string& request : requests) {
    SCOPED_TRACE(request.substr(0, 200));
    ServerEnd first(limits());
    first.feed(request);
    if (first.error.seen || first.requests.empty() || !first.requests[0]->ended) continue;
    Recorder& seen = *first.requests[0];
    if (seen.last_head->version == HttpVersion::http10) continue;  // we speak 1.1
    const size_t body = seen.log.find("\nbody ");
    const std::string text = body == std::string::npos ? "" : seen.log.substr(body + 6, seen.body_bytes);
    ClientEnd client(limits());
    client.response = std::make_unique<Recorder>();
    client.codec.open(*client.response);
    client.codec.send_head(*seen.last_head, text.empty() ? End::yes : End::no);
    if (!text.empty()) client.codec.send_body(slice_of(text), End::yes);
    ServerEnd second(limits());
    second.feed(client.sink.text);
    ASSERT_EQ(second.requests.size(), 1u) << client.sink.text;
    const std::string trailers = "\ntrailers {";
    std::string expected = seen.log.substr(0, seen.log.find(trailers));
    if (expected != seen.log) expected += " END";
    // The scheme of an absolute target is the transport's to say.
    if (const size_t at = expected.find("[http]"); at != std::string::npos) expected.replace(at, 6, "[]");
    EXPECT_EQ(second.last().log, expected);
  }
}

TEST(H1RoundTrip, ChunksOfEverySize) {
  for (size_t size : {1u, 15u, 16u, 255u, 256u, 257u, 4095u, 4096u, 70000u}) {
    const std::string body(size, 'b');
    ServerEnd server(limits());
    server.feed("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    Arena arena(server.arena_pool);
    Head head(arena);
    head.status = 200;
    server.codec.send_head(head, End::no);
    server.codec.send_body(slice_of(body), End::no);
    server.codec.send_body(slice_of(body), End::yes);
    ClientEnd client(limits());
    client.ask();
    client.feed(server.sink.text);
    EXPECT_EQ(client.response->body_bytes, 2 * size);
    EXPECT_TRUE(client.response->ended);
    EXPECT_TRUE(client.codec.reusable());
  }
}

}  // namespace
}  // namespace ringside::h1_test
