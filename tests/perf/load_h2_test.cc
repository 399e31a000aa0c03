#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "codecs/http2/h2_hpack.h"
#include "perf/load_h2_scanner.h"
#include "perf/load_h2_streams.h"
#include "perf/load_h2_text.h"

namespace ringside::perf {
namespace {

using testing::ElementsAre;
using testing::Pair;

struct FrameText {
  H2FrameType type = H2FrameType::data;
  uint8_t flags = 0;
  uint32_t stream_id = 0;
  std::string payload;
};

std::string frame(const FrameText& text) {
  std::string bytes(h2::frame_header_bytes, '\0');
  put_frame_header(bytes.data(), {static_cast<uint32_t>(text.payload.size()), text.stream_id, text.type, text.flags});
  return bytes + text.payload;
}

// Writes down what it is told.
class Recorder final : public H2FrameUser {
 public:
  std::vector<std::string> seen;
  size_t frames_max = 1000;

 private:
  bool on_data(const H2FrameHeader& header, std::string_view piece, uint32_t left_bytes) override {
    data_ += piece;
    if (left_bytes > 0) return true;
    return note(header, std::exchange(data_, {}));
  }
  bool on_frame(const H2FrameHeader& header, std::string_view payload) override { return note(header, payload); }
  bool note(const H2FrameHeader& header, std::string_view payload) {
    seen.push_back(fmt::format("{} {} {} {}", static_cast<int>(header.type), header.flags, header.stream_id, payload));
    return seen.size() < frames_max;
  }
  std::string data_;
};

bool feed_in_steps(H2Scanner& scanner, std::string_view text, size_t step, H2FrameUser& user) {
  for (size_t at = 0; at < text.size(); at += step) {
    const std::string piece(text.substr(at, step));  // a copy, so that a view that is kept too long shows under ASan
    if (!scanner.feed(piece, user)) return false;
  }
  return true;
}

TEST(H2Scanner, FramesAtEverySplit) {
  const std::string text =
      frame({H2FrameType::settings, 0, 0, ""}) + frame({H2FrameType::headers, h2::end_headers, 1, "block"}) +
      frame({H2FrameType::data, 0, 1, "some bytes"}) + frame({H2FrameType::data, h2::end_stream, 1, ""}) +
      frame({H2FrameType::ping, 0, 0, "12345678"}) +
      frame({H2FrameType::data, h2::padded, 3, std::string("\3body\0\0\0", 8)}) +
      frame({H2FrameType::headers, h2::priority | h2::padded, 5, std::string("\2pppppblock\0\0", 13)}) +
      frame({H2FrameType::window_update, 0, 5, "four"});
  for (size_t step = 1; step <= text.size(); ++step) {
    H2Scanner scanner;
    Recorder recorder;
    ASSERT_TRUE(feed_in_steps(scanner, text, step, recorder)) << step;
    ASSERT_THAT(recorder.seen, ElementsAre("4 0 0 ", "1 4 1 block", "0 0 1 some bytes", "0 1 1 ", "6 0 0 12345678",
                                           "0 8 3 body", "1 40 5 block", "8 0 5 four"))
        << step;
  }
}

TEST(H2Scanner, DataIsSeenWhereItCame) {
  H2Scanner scanner;
  struct : H2FrameUser {
    bool on_data(const H2FrameHeader&, std::string_view piece, uint32_t left_bytes) override {
      pieces.emplace_back(piece, left_bytes);
      return true;
    }
    bool on_frame(const H2FrameHeader&, std::string_view) override { return false; }
    std::vector<std::pair<std::string, uint32_t>> pieces;
  } user;
  const std::string text = frame({H2FrameType::data, 0, 1, "abcdef"});
  EXPECT_TRUE(scanner.feed(text.substr(0, 11), user));
  EXPECT_TRUE(scanner.feed(text.substr(11), user));
  EXPECT_THAT(user.pieces, ElementsAre(Pair("ab", 4U), Pair("cdef", 0U)));
}

TEST(H2Scanner, WhatIsWrongEndsIt) {
  const std::string large = frame({H2FrameType::data, 0, 1, std::string(H2Scanner::frame_bytes_max + 1, 'x')});
  const std::string padding = frame({H2FrameType::data, h2::padded, 1, "\5abcd"});
  const std::string priority = frame({H2FrameType::headers, h2::priority, 1, "abcd"});
  for (const std::string& text : {large, padding, priority}) {
    H2Scanner scanner;
    Recorder recorder;
    EXPECT_FALSE(scanner.feed(text, recorder));
    EXPECT_TRUE(recorder.seen.empty());
  }
}

TEST(H2Scanner, StopsWhenItsUserHasEnough) {
  H2Scanner scanner;
  Recorder recorder;
  recorder.frames_max = 2;
  const std::string one = frame({H2FrameType::data, 0, 1, "x"});
  EXPECT_FALSE(scanner.feed(one + one + one, recorder));
  EXPECT_EQ(recorder.seen.size(), 2U);
}

struct Fields final : HpackUser {
  std::vector<std::pair<std::string, std::string>> all;
  void on_field(std::string_view name, std::string_view value) override { all.emplace_back(name, value); }
};

TEST(H2BlockText, SaysTheSameToEveryDecoder) {
  RequestShape shape;
  const std::string path = "/" + std::string(300, 'p');  // a length that takes more than one byte
  std::string text = request_frame(shape, path, Scheme::https, Call::plain);
  set_stream(text.data(), 0x01020305);
  const H2FrameHeader header = parse_frame_header(text.data());
  EXPECT_EQ(header.length, text.size() - h2::frame_header_bytes);
  EXPECT_EQ(header.flags, h2::end_headers | h2::end_stream);
  EXPECT_EQ(header.stream_id, 0x01020305U);
  HpackDecoder decoder;
  for (int round = 0; round < 3; ++round) {  // nothing in it depends on what came before
    Fields fields;
    ASSERT_TRUE(decoder.decode(std::string_view(text).substr(h2::frame_header_bytes), HpackDecoder::Last::yes, fields));
    EXPECT_THAT(fields.all, ElementsAre(Pair(":method", "GET"), Pair(":scheme", "https"), Pair(":path", path),
                                        Pair(":authority", "bench.test"), Pair("user-agent", "ringside-load"),
                                        Pair("accept", "*/*")));
  }
}

TEST(H2BlockText, GrpcCallsHaveWhatTheProtocolAsksFor) {
  const std::string text = request_frame({}, grpc_path, Scheme::http, Call::grpc);
  EXPECT_EQ(parse_frame_header(text.data()).flags, h2::end_headers);
  HpackDecoder decoder;
  Fields fields;
  ASSERT_TRUE(decoder.decode(std::string_view(text).substr(h2::frame_header_bytes), HpackDecoder::Last::yes, fields));
  EXPECT_THAT(fields.all, ElementsAre(Pair(":method", "POST"), Pair(":scheme", "http"), Pair(":path", grpc_path),
                                      Pair(":authority", "bench.test"), Pair("te", "trailers"),
                                      Pair("content-type", "application/grpc"), Pair("user-agent", "ringside-load")));
}

TEST(LoadStreams, GrowsWithTheSpanOfWhatIsOpen) {
  LoadStreams<int> streams;
  std::map<uint32_t, int> expected;
  for (uint32_t stream_id = 1; stream_id < 4000; stream_id += 2) {
    streams.add(stream_id) = static_cast<int>(stream_id) * 3;
    expected[stream_id] = static_cast<int>(stream_id) * 3;
    if (stream_id % 50 != 1 && stream_id > 20) {  // most end soon, and in another order
      const uint32_t done = stream_id - 20 % stream_id;
      if (expected.erase(done) > 0) streams.remove(done);
    }
  }
  EXPECT_EQ(streams.count(), expected.size());
  for (const auto& [stream_id, value] : expected) {
    ASSERT_NE(streams.find(stream_id), nullptr);
    EXPECT_EQ(*streams.find(stream_id), value);
  }
  size_t visited = 0;
  streams.each([&](uint32_t stream_id, int value) {
    ++visited;
    EXPECT_EQ(expected.at(stream_id), value);
  });
  EXPECT_EQ(visited, expected.size());
  EXPECT_EQ(streams.find(3999 + 2), nullptr);
  streams.clear();
  EXPECT_EQ(streams.count(), 0U);
  EXPECT_EQ(streams.find(1), nullptr);
}

}  // namespace
}  // namespace ringside::perf
