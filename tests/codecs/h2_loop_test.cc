// Our client against our server over a wire that cuts, delays and limits at random: every message arrives whole, in order and on
// its own stream, credit never runs out for good, and at the end nothing is left.
#include <gtest/gtest.h>

#include <map>

#include "core/random.h"
#include "tests/codecs/h2_harness.h"

namespace ringside::h2_test {
namespace {

// What one stream is to say is made from its number, so that both sides can check it.
std::string body_of(uint64_t key, size_t size) {
  std::string body(size, '\0');
  for (size_t at = 0; at < size; ++at) body[at] = static_cast<char>('a' + (key * 7 + at) % 26);
  return body;
}

// One message being sent: pieces at random, never more than its credit in the codec.
struct Outgoing {
  Recorder* peer = nullptr;  // whose stream it is sent on
  std::string body;
  size_t given = 0;
  bool done = false;
  bool with_trailers = false;
};

class Loop {
 public:
  explicit Loop(uint64_t seed)
      : random_(seed), client_(limits(random_)), server_(limits(random_)), requests_left_(5 + random_.below(40)) {}

  void run() {
    for (int step = 0; step < 400000 && !over(); ++step) act();
    ASSERT_TRUE(over()) << client_.events().size();
    check();
  }

 private:
  static constexpr size_t credit_bytes = 30000;

  static H2Limits limits(Random& random) {
    H2Limits limits;
    limits.streams_max = static_cast<uint32_t>(random.between(1, 12));
    limits.unsent_bytes_max = static_cast<uint32_t>(random.between(1, 60000));
    limits.stream_window_bytes = static_cast<uint32_t>(random.between(65535, 100000));
    limits.connection_window_bytes = static_cast<uint32_t>(random.between(65535, 200000));
    limits.decoder_table_bytes = random.chance(500'000) ? 4096 : static_cast<uint32_t>(random.below(8192));
    limits.encoder_table_bytes_max = random.chance(500'000) ? 4096 : static_cast<uint32_t>(random.below(8192));
    limits.other_frames_burst = 1'000'000;
    limits.window_updates_per_data_frame = 1000;
    return limits;
  }

  bool over() const {
    if (requests_left_ > 0 || !to_server_.empty() || !to_client_.empty() || !client_.sink.text.empty() ||
        !server_.sink.text.empty())
      return false;
    return client_.codec.streams_active() == 0 && server_.codec.streams_active() == 0;
  }

  void act() {
    switch (random_.below(8)) {
      case 0: return begin_request();
      case 1: return carry(client_, to_server_);
      case 2: return carry(server_, to_client_);
      case 3: return deliver(to_server_, server_);
      case 4: return deliver(to_client_, client_);
      case 5: return answer();
      case 6: return grant(random_.chance(500'000) ? client_.responses : server_.requests);
      default: return send_more();
    }
  }

  void begin_request() {
    // Before the server's settings came, more streams than it takes could be opened, and would be refused.
    if (requests_left_ == 0 || !client_.codec.settings_acknowledged() || client_.codec.streams_available() == 0) return;
    --requests_left_;
    const size_t number = client_.responses.size();
    const bool with_body = random_.chance(600'000);
    Fields fields = {{"x-number", std::to_string(number)}};
    const std::string body = body_of(number, with_body ? random_.below(random_.chance(200'000) ? 300000 : 3000) : 0);
    if (with_body && random_.chance(500'000)) fields.emplace_back("content-length", std::to_string(body.size()));
    if (random_.chance(100'000)) fields.emplace_back("x-large", std::string(random_.below(40000), 'l'));
    Recorder& response = client_.ask("POST", with_body ? End::no : End::yes, fields);
    sending_.push_back({&response, body, 0, !with_body, random_.chance(300'000)});
    request_bodies_.push_back(body);
  }

  // Some bytes leave an end; a part of them at a time.
  template <class From>
  void carry(From& from, std::string& wire) {
    const std::string bytes = from.sink.take();
    wire += bytes;
    size_t sent = 0;
    while (sent < bytes.size()) {
      const size_t part = 1 + random_.below(bytes.size() - sent);
      from.codec.on_sent(part);  // may write more, which waits in the sink
      sent += part;
    }
  }

  template <class To>
  void deliver(std::string& wire, To& to) {
    if (wire.empty()) return;
    const size_t size = 1 + random_.below(random_.chance(500'000) ? wire.size() : std::min<size_t>(wire.size(), 20));
    const std::string piece = wire.substr(0, size);
    wire.erase(0, size);
    to.feed(piece);
    ASSERT_FALSE(to.failed) << to.error.detail;
  }

  void answer() {
    for (auto& request : server_.requests) {
      if (request->last_head == nullptr || request->answered || request->was_reset) continue;
      if (!request->ended && random_.chance(700'000)) continue;
      const size_t number = std::stoul(std::string(request->last_head->fields.find("x-number")->value()));
      const bool with_body = random_.chance(700'000);
      Arena arena(server_.arena_pool);
      Head head(arena);
      head.status = 200;
      head.fields.add("x-number", arena.copy(std::to_string(number)));
      const std::string body =
          body_of(number + 1000, with_body ? random_.below(random_.chance(200'000) ? 300000 : 3000) : 0);
      request->answered = true;
      response_bodies_.resize(std::max(response_bodies_.size(), number + 1));
      response_bodies_[number] = body;
      request->stream->send_head(head, with_body ? End::no : End::yes);
      sending_.push_back({request.get(), body, 0, !with_body, random_.chance(300'000)});
      return;
    }
  }

  void send_more() {
    if (sending_.empty()) return;
    Outgoing& out = sending_[random_.below(sending_.size())];
    if (out.done) return;
    const size_t credit = credit_bytes - (out.given - out.peer->sent);
    const size_t size = std::min({credit, out.body.size() - out.given, static_cast<size_t>(random_.below(20000))});
    const bool last = out.given + size == out.body.size();
    out.given += size;
    out.done = last;
    const std::string piece = out.body.substr(out.given - size, size);
    if (!last || !out.with_trailers) return out.peer->stream->send_body(slice_of(piece), last ? End::yes : End::no);
    out.peer->stream->send_body(slice_of(piece), End::no);
    Arena arena(client_.arena_pool);
    HeaderMap trailers(arena);
    trailers.add("x-trailer", "t");
    out.peer->stream->send_trailers(trailers);
  }

  void grant(std::vector<std::unique_ptr<Recorder>>& ends) {
    if (ends.empty()) return;
    Recorder& end = *ends[random_.below(ends.size())];
    size_t& granted = granted_[&end];
    if (end.ended || end.stream == nullptr || granted == end.body.size()) return;
    const size_t size = 1 + random_.below(end.body.size() - granted);
    granted += size;
    end.stream->grant(size);
  }

  void check() {
    for (const auto& response : client_.responses) ASSERT_FALSE(response->was_reset) << response->log;
    ASSERT_EQ(server_.requests.size(), client_.responses.size());
    for (size_t at = 0; at < client_.responses.size(); ++at) {
      const Recorder& request = *server_.requests[at];
      const Recorder& response = *client_.responses[at];
      ASSERT_TRUE(request.ended && response.ended && !request.was_reset && !response.was_reset);
      EXPECT_EQ(request.body, request_bodies_[at]);
      EXPECT_EQ(response.body, response_bodies_[at]);
    }
    for (const H2Stats* stats : {&client_.stats, &server_.stats}) {
      EXPECT_EQ(stats->pending_send_bytes, 0u);
      EXPECT_EQ(stats->streams_active, 0u);
      EXPECT_EQ(stats->tx_reset, 0u);
    }
    EXPECT_EQ(client_.codec.unsent_bytes() + server_.codec.unsent_bytes(), 0u);
  }

  Random random_;
  ClientEnd client_;
  ServerEnd server_;
  std::string to_server_;
  std::string to_client_;
  std::deque<Outgoing> sending_;
  std::vector<std::string> request_bodies_;
  std::vector<std::string> response_bodies_;
  std::map<Recorder*, size_t> granted_;
  size_t requests_left_;
};

TEST(H2Loop, RandomSchedules) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Loop(seed).run();
    if (testing::Test::HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace ringside::h2_test
