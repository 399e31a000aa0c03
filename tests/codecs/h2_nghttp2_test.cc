// Our codecs against an implementation that is not ours, both ways.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "tests/codecs/h2_harness.h"
#include "tests/codecs/nghttp2_peer.h"

namespace ringside::h2_test {
namespace {

using ::testing::HasSubstr;

std::string text_of_size(size_t size, char first) {
  std::string text(size, '\0');
  for (size_t at = 0; at < size; ++at) text[at] = static_cast<char>(first + at % 17);
  return text;
}

// Carries bytes both ways, in pieces of `piece_bytes`, until nothing moves; `act` in between says whether it did something.
template <class End, class Act>
void exchange(Nghttp2Peer& peer, End& end, size_t piece_bytes, Act act) {
  bool moved = true;
  while (moved) {
    moved = act();
    const std::string to_us = peer.take();
    for (size_t at = 0; at < to_us.size(); at += piece_bytes) end.feed(std::string_view(to_us).substr(at, piece_bytes));
    const std::string to_peer = end.sink.take();
    end.codec.on_sent(to_peer.size());
    for (size_t at = 0; at < to_peer.size(); at += piece_bytes)
      ASSERT_TRUE(peer.feed(std::string_view(to_peer).substr(at, piece_bytes)));
    moved = moved || !to_us.empty() || !to_peer.empty();
    ASSERT_FALSE(end.failed) << end.error.detail;
  }
  EXPECT_THAT(peer.complaints, testing::IsEmpty());
}

Nghttp2Peer::Fields request_of(int number, const std::string& method = "POST") {
  return {{":method", method},
          {":scheme", "http"},
          {":path", "/" + std::to_string(number)},
          {":authority", "a.example"},
          {"user-agent", "peer"},
          {"cookie", "a=1"},
          {"cookie", "b=2"},
          {"x-number", std::to_string(number)}};
}

class H2AgainstNghttp2 : public testing::TestWithParam<size_t> {};

TEST_P(H2AgainstNghttp2, ItsClientOurServer) {
  for (const uint32_t window : {100u, 65535u, 1u << 20}) {
    Nghttp2Peer peer(Nghttp2Peer::Role::client, window);
    ServerEnd server;
    server.auto_grant = true;
    const size_t sizes[] = {0, 1, 300, 20000, 400000};
    std::vector<int32_t> streams;
    for (int at = 0; at < 20; ++at)
      streams.push_back(peer.ask(request_of(at), text_of_size(sizes[static_cast<size_t>(at) % 5], 'a'), at % 3 == 0));
    peer.ping();
    exchange(peer, server, GetParam(), [&server] {
      bool acted = false;
      for (auto& request : server.requests) {
        if (!request->ended || request->answered) continue;
        const size_t size = request->body.size();
        server.answer(*request, 200, request->body.substr(0, size / 2) + text_of_size(size / 2, 'A'),
                      {{"x-size", std::to_string(size)}});
        acted = true;
      }
      return acted;
    });
    ASSERT_EQ(server.requests.size(), 20u);
    for (int at = 0; at < 20; ++at) {
      const PeerMessage& message = peer.message(streams[static_cast<size_t>(at)]);
      const std::string sent = text_of_size(sizes[static_cast<size_t>(at) % 5], 'a');
      EXPECT_TRUE(message.closed && message.close_code == 0);
      EXPECT_EQ(message.fields, ":status=200;x-size=" + std::to_string(sent.size()) + ";");
      EXPECT_TRUE(message.body == sent.substr(0, sent.size() / 2) + text_of_size(sent.size() / 2, 'A'));
      Recorder& request = *server.requests[static_cast<size_t>(at)];
      EXPECT_TRUE(request.body == sent);  // not printed
      EXPECT_THAT(request.log, HasSubstr("cookie=a=1; b=2;"));
      EXPECT_EQ(request.log.find("x-peer-trailer=t;") != std::string::npos, at % 3 == 0);
    }
    EXPECT_EQ(peer.pings_acknowledged, 1);
    EXPECT_EQ(server.codec.streams_active(), 0u);
  }
}

TEST_P(H2AgainstNghttp2, OurClientItsServer) {
  for (const uint32_t window : {100u, 65535u, 1u << 20}) {
    Nghttp2Peer peer(Nghttp2Peer::Role::server, window);
    ClientEnd client;
    client.auto_grant = true;
    // Settings first: nghttp2 takes bytes that came before its smaller window was acknowledged for too many.
    exchange(peer, client, GetParam(), [] { return false; });
    const size_t sizes[] = {0, 1, 300, 20000, 400000};
    for (int at = 0; at < 20; ++at) {
      const std::string body = text_of_size(sizes[at % 5], 'b');
      Recorder& response = client.ask("POST", End::no, {{"x-number", std::to_string(at)}});
      response.stream->send_body(slice_of(body), at % 3 == 0 ? End::no : End::yes);
      if (at % 3 != 0) continue;
      Arena arena(client.arena_pool);
      HeaderMap trailers(arena);
      trailers.add("x-our-trailer", "t");
      response.stream->send_trailers(trailers);
    }
    std::map<int32_t, bool> answered;
    exchange(peer, client, GetParam(), [&] {
      bool acted = false;
      for (auto& [stream_id, message] : peer.messages) {
        if (!message.ended || answered[stream_id]) continue;
        answered[stream_id] = acted = true;
        peer.answer(stream_id, {{":status", "201"}, {"x-size", std::to_string(message.body.size())}}, message.body,
                    stream_id % 4 == 1);
      }
      return acted;
    });
    for (int at = 0; at < 20; ++at) {
      const std::string body = text_of_size(sizes[at % 5], 'b');
      const int32_t stream_id = 1 + 2 * at;
      const PeerMessage& message = peer.message(stream_id);
      EXPECT_TRUE(message.body == body);  // not printed
      EXPECT_EQ(message.trailers, at % 3 == 0 ? "x-our-trailer=t;" : "");
      EXPECT_THAT(message.fields, HasSubstr(":path=/;:authority=up;x-number=" + std::to_string(at)));
      Recorder& response = *client.responses[static_cast<size_t>(at)];
      ASSERT_FALSE(response.was_reset) << response.reset_error.detail << ", stream " << stream_id << ", window "
                                       << window;
      EXPECT_TRUE(response.ended && !response.was_reset);
      EXPECT_TRUE(response.body == body);
      EXPECT_THAT(response.log, HasSubstr("head 201 {x-size=" + std::to_string(body.size())));
      EXPECT_EQ(response.log.find("x-peer-trailer=t;") != std::string::npos, stream_id % 4 == 1);
    }
    EXPECT_EQ(client.codec.streams_active(), 0u);
  }
}

INSTANTIATE_TEST_SUITE_P(Pieces, H2AgainstNghttp2, testing::Values(1, 13, 1000, 1 << 20));

TEST(H2AndNghttp2, ResetsAndGoaway) {
  Nghttp2Peer peer(Nghttp2Peer::Role::client, 65535);
  ServerEnd server;
  const int32_t first = peer.ask(request_of(1, "GET"), {}, false);
  const int32_t second = peer.ask(request_of(2, "GET"), {}, false);
  peer.ask(request_of(3, "GET"), {}, false);  // stays open, so that the peer does not leave at once
  const auto nothing = [] { return false; };
  exchange(peer, server, 100, nothing);
  peer.reset(first, 8);
  exchange(peer, server, 100, nothing);
  EXPECT_TRUE(server.requests[0]->was_reset);
  server.requests[1]->stream->reset({ErrorCode::cancelled, Origin::local, Retry::never, "test"});
  server.codec.drain(H2Codec::Drain::gracefully);
  exchange(peer, server, 100, nothing);
  EXPECT_EQ(peer.message(second).close_code, 8u);
  EXPECT_TRUE(peer.goaway_seen);
  EXPECT_TRUE(server.codec.drained());  // it answered our PING
}

// Table sizes other than the default, changed by both sides.
TEST(H2AndNghttp2, SmallHpackTables) {
  for (const uint32_t bytes : {0u, 100u, 20000u}) {
    H2Limits limits;
    limits.decoder_table_bytes = bytes;
    limits.encoder_table_bytes_max = bytes;
    Nghttp2Peer peer(Nghttp2Peer::Role::client, 65535);
    ServerEnd server(limits);
    std::vector<int32_t> streams;
    const auto answer = [&server] {
      bool acted = false;
      for (auto& request : server.requests) {
        if (request->answered) continue;
        server.answer(*request, 200, "x", {{"x-long", std::string(50, 'x')}, {"x-other", "y"}});
        acted = true;
      }
      return acted;
    };
    for (int at = 0; at < 10; ++at) {
      streams.push_back(peer.ask(request_of(at % 3, "GET"), {}, false));
      exchange(peer, server, 50, answer);
    }
    for (const int32_t stream_id : streams)
      EXPECT_EQ(peer.message(stream_id).fields, ":status=200;x-long=" + std::string(50, 'x') + ";x-other=y;");
    EXPECT_EQ(server.requests.size(), 10u);
  }
}

}  // namespace
}  // namespace ringside::h2_test
