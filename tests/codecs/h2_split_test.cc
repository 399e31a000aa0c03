// The same bytes cut anywhere are the same events and the same answers.
#include <gtest/gtest.h>

#include "tests/codecs/h2_harness.h"

namespace ringside::h2_test {
namespace {

std::string greeting() {
  return std::string(h2::preface) + settings(setting(H2Setting::initial_window_size, 7)) + settings_ack();
}

std::vector<std::string> scripts() {
  const std::string padded_body =
      data(1, std::string("\x03", 1) + "padded" + std::string(3, '\0'), h2::padded | h2::end_stream);
  const std::string block = block_of(request_fields("POST"));
  return {
      greeting() + request(1) + request(3) + ping(),
      greeting() + request(1, "POST", 0) + data(1, "hello ") + data(1, "world") + padded_body,
      greeting() + request(1, "POST", 0) + request(3, "POST", 0) + data(3, "three") + data(1, "one") +
          headers(3, {{"x", "y"}}) + data(1, "", h2::end_stream) + window_update(0, 100) + window_update(1, 100),
      greeting() +
          frame(H2FrameType::headers, h2::end_stream | h2::padded | h2::priority, 1,
                std::string("\x02", 1) + u32(0) + "\x01" + block.substr(0, 5) + std::string(2, '\0')) +
          frame(H2FrameType::continuation, 0, 1, block.substr(5, 9)) +
          frame(H2FrameType::continuation, h2::end_headers, 1, block.substr(14)),
      greeting() + headers(1, with(request_fields("POST"), "content-length", "3"), 0) + data(1, "abcd") + request(3),
      greeting() + headers(1, with(request_fields(), "X", "y")) + request(3) + reset(3, H2Code::cancel) +
          data(3, "late"),
      greeting() + request(1) + frame(static_cast<H2FrameType>(0x33), 0xff, 5, "unknown") +
          goaway(0, H2Code::no_error) + frame(H2FrameType::priority, 0, 9, u32(3) + "x"),
      greeting() + request(1, "POST", 0) + data(1, "x") + frame(H2FrameType::ping, 0, 1, "12345678"),
      greeting() + frame(H2FrameType::headers, h2::end_headers, 1, block + "\x80"),
      std::string(h2::preface) + ping(),
      "PRI * HTTP/2.0\r\n\r\nSM\r\n\rX",
  };
}

// Answers what is complete, as soon as it is.
std::string serve(const std::vector<std::string_view>& pieces) {
  ServerEnd server;
  server.auto_grant = true;
  std::string wrote;
  size_t fed = 0;
  for (const std::string_view piece : pieces) {
    server.feed(piece);
    fed += piece.size();
    for (auto& request : server.requests)
      if (request->ended && !request->answered && request->stream != nullptr)
        server.answer(*request, 200, "the answer");
  }
  EXPECT_EQ(server.granted, fed);
  return server.events() + server.flush();
}

// The order of frames of different streams may depend on when their bytes came; what each stream saw may not.
std::string events_only(const std::vector<std::string_view>& pieces) {
  ServerEnd server;
  for (const std::string_view piece : pieces) server.feed(piece);
  return server.events() + server.flush();
}

TEST(H2Split, EveryCutInTwo) {
  for (const std::string& script : scripts()) {
    const std::string_view text = script;
    const std::string whole = events_only({text});
    for (size_t cut = 1; cut < text.size(); ++cut)
      ASSERT_EQ(events_only({text.substr(0, cut), text.substr(cut)}), whole) << "cut at " << cut;
  }
}

TEST(H2Split, ByteByByte) {
  for (const std::string& script : scripts()) {
    std::vector<std::string_view> bytes;
    for (size_t at = 0; at < script.size(); ++at) bytes.push_back(std::string_view(script).substr(at, 1));
    ASSERT_EQ(events_only(bytes), events_only({script}));
    EXPECT_FALSE(serve(bytes).empty());
  }
}

TEST(H2Split, ResponsesByteByByte) {
  const std::string script = settings() + headers(1, {{":status", "103"}}, 0) +
                             headers(1, {{":status", "200"}, {"content-length", "5"}}, 0) + data(1, "he") +
                             data(3, "x") + data(1, "llo") + headers(1, {{"grpc-status", "0"}}) +
                             reset(3, H2Code::refused_stream);
  const auto run = [&script](size_t size) {
    ClientEnd client;
    client.ask();
    client.ask();
    for (size_t at = 0; at < script.size(); at += size) client.feed(std::string_view(script).substr(at, size));
    return client.events() + client.flush();
  };
  const std::string whole = run(script.size());
  for (size_t size = 1; size < 40; ++size) ASSERT_EQ(run(size), whole);
}

}  // namespace
}  // namespace ringside::h2_test
