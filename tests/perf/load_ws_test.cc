#include "perf/load_ws.h"

#include <gtest/gtest.h>

#include "perf/load_scanner.h"

namespace ringside::perf {
namespace {

const Pattern pattern;

std::string masked(WsOpcode opcode, std::string_view payload, WsMask mask) {
  std::string frame(ws_head_bytes_max + payload.size(), '\0');
  const size_t head = write_ws_masked_head(frame.data(), opcode, payload.size(), mask);
  apply_ws_mask(frame.data() + head, payload, mask, 0);
  frame.resize(head + payload.size());
  return frame;
}

std::string plain(WsOpcode opcode, std::string_view payload) {
  std::string frame(ws_head_bytes_max, '\0');
  frame.resize(write_ws_head(frame.data(), opcode, payload.size()));
  return frame.append(payload);
}

// The payload without its mask, fed in pieces of `step`; what is left over stays.
std::string read_in_steps(WsScanner& scanner, std::string_view bytes, size_t step) {
  std::string found;
  for (size_t used = 0; used < bytes.size() && scanner.state() < WsScanState::done;) {
    const std::string piece(bytes.substr(used, step));
    used += scanner.feed(piece);
    std::string clear(scanner.payload().size(), '\0');
    apply_ws_mask(clear.data(), scanner.payload(), scanner.mask(), scanner.payload_offset());
    found += clear;
  }
  return found;
}

// The examples of RFC 6455 5.7.
TEST(WsFrames, ExamplesOfTheStandard) {
  EXPECT_EQ(plain(WsOpcode::text, "Hello"), "\x81\x05Hello");
  EXPECT_EQ(masked(WsOpcode::text, "Hello", 0x3d21fa37), "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");
  EXPECT_EQ(plain(WsOpcode::binary, std::string(256, 'x')).substr(0, 4), std::string("\x82\x7e\x01\x00", 4));
  EXPECT_EQ(plain(WsOpcode::binary, std::string(65536, 'x')).substr(0, 10),
            std::string("\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00", 10));
}

TEST(WsFrames, EverySizeAtManySplits) {
  for (const size_t size : {0, 1, 7, 64, 125, 126, 65535, 65536, 70000}) {
    std::string payload(pattern.at(3, std::min(size, size_t{Pattern::period_bytes})));
    payload.resize(size, 'z');
    const std::string frame = masked(WsOpcode::text, payload, 0x1f2e3d4c);
    for (const size_t step : {size_t{1}, size_t{3}, size_t{5}, size_t{64}, frame.size(), frame.size() + 9}) {
      WsScanner scanner(WsSender::client);
      ASSERT_EQ(read_in_steps(scanner, frame + "next", step), payload) << size << " in steps of " << step;
      ASSERT_EQ(scanner.state(), WsScanState::done);
      ASSERT_EQ(scanner.frame_bytes(), size);
    }
  }
}

TEST(WsFrames, OneAfterTheOther) {
  WsScanner scanner(WsSender::server);
  const std::string bytes = plain(WsOpcode::text, "one") + plain(WsOpcode::pong, "");
  const size_t used = scanner.feed(bytes);
  EXPECT_EQ(scanner.payload(), "one");
  scanner.reset();
  EXPECT_EQ(scanner.feed(std::string_view(bytes).substr(used)), 2U);
  EXPECT_EQ(scanner.state(), WsScanState::done);
  EXPECT_EQ(scanner.opcode(), WsOpcode::pong);
}

TEST(WsFrames, WhatIsWrongFails) {
  using namespace std::literals;
  const auto state_of = [](WsSender sender, std::string_view bytes) {
    WsScanner scanner(sender);
    read_in_steps(scanner, bytes, 1);
    return scanner.state();
  };
  EXPECT_EQ(state_of(WsSender::server, masked(WsOpcode::text, "Hello", 1)), WsScanState::failed);  // a server masks nothing
  EXPECT_EQ(state_of(WsSender::client, plain(WsOpcode::text, "Hello")), WsScanState::failed);
  EXPECT_EQ(state_of(WsSender::server, "\x01\x01x"sv), WsScanState::failed);           // a fragment
  EXPECT_EQ(state_of(WsSender::server, "\xc1\x01x"sv), WsScanState::failed);           // RSV1
  EXPECT_EQ(state_of(WsSender::server, "\x83\x01x"sv), WsScanState::failed);           // an opcode that is not
  EXPECT_EQ(state_of(WsSender::server, "\x81\x7e\x00\x7dx"sv), WsScanState::failed);   // 125 in the long form
  EXPECT_EQ(state_of(WsSender::server, "\x89\x7e\x00\x7ex"sv), WsScanState::failed);   // a long ping
  EXPECT_EQ(state_of(WsSender::server, "\x81\x7f\xff\0\0\0\0\1\0\0"sv), WsScanState::failed);
}

TEST(WsMessages, EachHasItsMaskAndItsText) {
  for (const size_t size : {1, 64, 5000, 200'000}) {
    const WsMessages messages(pattern, size);
    std::string last;
    for (uint64_t number = 0; number < 5; ++number) {
      WsScanner scanner(WsSender::client);
      const std::string payload = read_in_steps(scanner, messages.frame(number), 4096);
      ASSERT_EQ(payload.size(), size);
      EXPECT_TRUE(messages.matches(number, 0, payload));
      EXPECT_TRUE(messages.matches(number, size / 2, std::string_view(payload).substr(size / 2)));
      EXPECT_FALSE(size > 1 && messages.matches(number + 1, 0, payload));
      EXPECT_NE(messages.frame(number), last);
      last = messages.frame(number);
    }
  }
}

TEST(WsHandshake, RefusalsAreTold) {
  const std::string agreed =
      "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nServer: x\r\nUPGRADE:WebSocket\r\n"
      "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
  EXPECT_EQ(refusal_of_ws(agreed), "");
  for (const std::string_view part : {"101", "upgrade\r", "WebSocket\r", "s3pPL"}) {
    std::string other = agreed;
    other.replace(other.find(part), 1, "2");
    EXPECT_NE(refusal_of_ws(other), "") << part;
  }
  const std::string request = ws_request({});
  HttpScanner scanner(pattern);
  EXPECT_EQ(scanner.feed(request), request.size());
  EXPECT_TRUE(scanner.head().websocket);
  EXPECT_EQ(header_of(scanner.head_text(), "sec-websocket-key"), ws_key);
  EXPECT_EQ(header_of(scanner.head_text(), "sec-websocket"), "");
}

}  // namespace
}  // namespace ringside::perf
