#include "perf/load_h2_endpoint.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/epoll_ring.h"
#include "perf/load_h2_text.h"

namespace ringside::perf {
namespace {

using testing::ElementsAre;

constexpr uint32_t window_default = 65535;

// Writes down what it hears and says; `said` is to be taken by who plays the other end.
class Endpoint final : public H2Endpoint {
 public:
  Endpoint(Worker& worker, const Pattern& pattern) : H2Endpoint(worker, pattern) {}
  using H2Endpoint::drop_body;
  using H2Endpoint::feed;
  using H2Endpoint::greet;
  using H2Endpoint::peer_streams_max;
  using H2Endpoint::write_body;
  using H2Endpoint::write_frame;

  std::string said;
  std::vector<std::string> heard;
  std::string body;

 private:
  void write(Slice bytes) override { said += bytes.text(); }
  bool on_headers(uint32_t stream_id, std::string_view block, H2End end) override {
    return note("head", stream_id, block, end);
  }
  bool on_body(uint32_t stream_id, std::string_view piece, H2End end) override {
    body += piece;
    return end == H2End::no || note("body", stream_id, fmt::to_string(body.size()), end);
  }
  bool on_reset(uint32_t stream_id, uint32_t code) override {
    return note("reset", stream_id, fmt::to_string(code), H2End::no);
  }
  bool on_goaway(uint32_t last, uint32_t code) override {
    return note("goaway", last, fmt::to_string(code), H2End::no);
  }
  void on_greeted() override { note("greeted", 0, "", H2End::no); }
  bool note(std::string_view what, uint32_t stream_id, std::string_view text, H2End end) {
    heard.push_back(fmt::format("{} {} {}{}", what, stream_id, text, end == H2End::yes ? " end" : ""));
    return true;
  }
};

class LoadH2Endpoint : public testing::Test {
 protected:
  // What `from` said reaches `to`.
  static bool carry(Endpoint& from, Endpoint& to) { return to.feed(std::exchange(from.said, {})); }
  static std::string raw(const H2FrameHeader& header, std::string_view payload) {
    std::string bytes(h2::frame_header_bytes, '\0');
    put_frame_header(bytes.data(), header);
    return bytes.append(payload);
  }
  static std::string window_update(uint32_t stream_id, uint32_t bytes) {
    char payload[4];
    h2::put_u32(payload, bytes);
    return raw({4, stream_id, H2FrameType::window_update, 0}, {payload, 4});
  }
  static std::string initial_window(uint32_t bytes) {
    char payload[6];
    h2::put_u32(h2::put_u16(payload, static_cast<uint32_t>(H2Setting::initial_window_size)), bytes);
    return raw({6, 0, H2FrameType::settings, 0}, {payload, 6});
  }

  BlockPools pools_;
  EpollRing ring_{pools_};
  Worker worker_{0, ring_, pools_};
  Pattern pattern_;
  Endpoint one_{worker_, pattern_};
  Endpoint two_{worker_, pattern_};
};

TEST_F(LoadH2Endpoint, GreetsAndAcknowledges) {
  one_.greet(h2::preface, 0);
  two_.greet({}, 250);
  ASSERT_TRUE(one_.said.starts_with(h2::preface));
  one_.said.erase(0, h2::preface.size());
  EXPECT_TRUE(carry(one_, two_));
  EXPECT_TRUE(carry(two_, one_));
  EXPECT_TRUE(carry(one_, two_));  // the acknowledgement
  EXPECT_EQ(one_.peer_streams_max(), 250U);
  EXPECT_THAT(one_.heard, ElementsAre("greeted 0 "));
  EXPECT_THAT(two_.heard, ElementsAre("greeted 0 "));
  EXPECT_TRUE(two_.said.empty());
}

TEST_F(LoadH2Endpoint, BodyWaitsForBothWindows) {
  const std::string trailers = headers_frame(H2BlockText().add("grpc-status", "0"), h2::end_stream);
  one_.greet({}, 1);
  one_.said.clear();
  one_.write_body(1, {Slice::of_static("text first"), 199'990, trailers});
  ASSERT_TRUE(carry(one_, two_));
  EXPECT_EQ(two_.body.size(), window_default);
  one_.feed(window_update(0, 200'000));
  EXPECT_TRUE(one_.said.empty()) << "the stream's window is closed";
  one_.feed(window_update(1, 100'000));
  ASSERT_TRUE(carry(one_, two_));
  EXPECT_EQ(two_.body.size(), window_default + 100'000U);
  one_.feed(initial_window(window_default + 50'000));  // adds to the streams that are open
  ASSERT_TRUE(carry(one_, two_));
  EXPECT_EQ(two_.body.size(), 200'000U);
  EXPECT_EQ(two_.body.substr(0, 10), "text first");
  EXPECT_EQ(two_.body.substr(10, 60'000), pattern_.at(0, 60'000));
  EXPECT_TRUE(pattern_.matches(190'000, std::string_view(two_.body).substr(190'010)));
  ASSERT_EQ(two_.heard.size(), 1U);
  EXPECT_TRUE(two_.heard[0].starts_with("head 1 ") && two_.heard[0].ends_with(" end"));
}

TEST_F(LoadH2Endpoint, WaitingBodiesGoInTurnAndDroppedOnesDoNot) {
  one_.greet({}, 1);
  one_.said.clear();
  one_.write_body(1, {{}, window_default, {}});
  one_.write_body(3, {{}, 10, {}});
  one_.write_body(5, {{}, 20, {}});
  one_.write_body(7, {{}, 30, {}});
  ASSERT_TRUE(carry(one_, two_));
  one_.drop_body(5);
  one_.feed(window_update(0, 1000));
  ASSERT_TRUE(carry(one_, two_));
  EXPECT_THAT(two_.heard, ElementsAre("body 1 65535 end", "body 3 65545 end", "body 7 65575 end"));
}

TEST_F(LoadH2Endpoint, ReceiverGivesTheConnectionsWindowBack) {
  one_.greet({}, 1);
  one_.said.clear();
  const std::string data =
      raw({H2Scanner::frame_bytes_max, 1, H2FrameType::data, 0}, std::string(H2Scanner::frame_bytes_max, 'x'));
  for (size_t received = 0; received < h2_connection_window_bytes / 2 - H2Scanner::frame_bytes_max;
       received += H2Scanner::frame_bytes_max)
    one_.feed(data);
  EXPECT_TRUE(one_.said.empty());
  one_.feed(data);
  EXPECT_EQ(one_.said, window_update(0, h2_connection_window_bytes / 2));
}

TEST_F(LoadH2Endpoint, AnswersPingsAndTellsOfTheRest) {
  one_.greet({}, 1);
  one_.said.clear();
  EXPECT_TRUE(one_.feed(raw({8, 0, H2FrameType::ping, 0}, "pingpong")));
  EXPECT_EQ(one_.said, raw({8, 0, H2FrameType::ping, h2::ack}, "pingpong"));
  EXPECT_TRUE(one_.feed(raw({8, 0, H2FrameType::ping, h2::ack}, "pingpong")));
  EXPECT_TRUE(one_.feed(raw({4, 3, H2FrameType::reset, 0}, std::string("\0\0\0\7", 4))));
  EXPECT_TRUE(one_.feed(raw({8, 0, H2FrameType::goaway, 0}, std::string("\0\0\0\5\0\0\0\2", 8))));
  EXPECT_THAT(one_.heard, ElementsAre("reset 3 7", "goaway 5 2"));
  EXPECT_TRUE(one_.feed(raw({3, 0, static_cast<H2FrameType>(0x77), 0}, "any"))) << "extensions are ignored";
  EXPECT_FALSE(one_.feed(raw({5, 1, H2FrameType::headers, 0}, "block"))) << "no END_HEADERS";
  EXPECT_FALSE(one_.feed(raw({3, 0, H2FrameType::window_update, 0}, "abc")));
}

}  // namespace
}  // namespace ringside::perf
