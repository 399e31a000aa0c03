#include "codecs/websocket/ws_frame_reader.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/codecs/ws_harness.h"
#include "tests/codecs/wslay_peer.h"

namespace ringside {
namespace {

using namespace ws_test;
using Op = WsOpcode;

constexpr WsFrameReader::Rules from_client{.sender = WsSender::client};
constexpr WsFrameReader::Rules from_server{.sender = WsSender::server};
constexpr WsFrameReader::Rules deflated{.sender = WsSender::client, .deflate = true};

// Whole, cut everywhere, and by wslay: all the same.
void expect_read(const std::string& bytes, const std::string& wanted, WsFrameReader::Rules rules = from_client) {
  EXPECT_EQ(read_all(bytes, rules), wanted);
  for (const size_t piece : {1, 2, 3, 5, 7, 64}) EXPECT_EQ(read_all(bytes, rules, piece), wanted) << "in pieces of " << piece;
  EXPECT_EQ(wslay_reads(bytes, rules), wanted) << "wslay";
}

WsFault fault_of(const std::string& bytes, WsFrameReader::Rules rules = from_client) {
  Reading reading(rules);
  reading.feed(bytes);
  return reading.reader.fault();
}

std::string join(std::initializer_list<Frame> frames) {
  std::string out;
  for (const Frame& frame : frames) out += bytes_of(frame);
  return out;
}

TEST(WsFrameReader, ReadsEverySizeOfLength) {
  for (const size_t size : {0u, 1u, 125u, 126u, 127u, 65535u, 65536u, 100000u}) {
    const std::string expected = "2+(" + std::to_string(size) + ")";
    expect_read(bytes_of({.opcode = Op::binary, .payload = std::string(size, '\xff')}), expected);
    expect_read(bytes_of({.opcode = Op::text, .payload = std::string(size, 'a')}), "1+(" + std::to_string(size) + ")");
  }
}

TEST(WsFrameReader, PassesOverALengthOfSixtyThreeBits) {
  Reading reading(from_server);
  reading.feed(header_of(0x82, INT64_MAX, false));
  reading.feed(std::string(1 << 20, 'x'));
  EXPECT_EQ(reading.text(), "2+(9223372036854775807");
  EXPECT_TRUE(reading.reader.within_frame());
}

TEST(WsFrameReader, ControlFramesMayStandInsideOfAMessage) {
  expect_read(join({{.opcode = Op::text, .payload = "Hel", .final = false},
                    {.opcode = Op::ping, .payload = "?"},
                    {.opcode = Op::continuation, .payload = "lo", .final = false},
                    {.opcode = Op::pong},
                    {.opcode = Op::continuation, .payload = ""},
                    {.opcode = Op::binary}}),
              "1-(3)9+(1)0-(2)10+(0)0+(0)2+(0)");
}

TEST(WsFrameReader, MessageBytesAreThoseOfAllItsFrames) {
  Reading reading(from_client);
  reading.feed(join({{.opcode = Op::text, .payload = "Hel", .final = false}, {.opcode = Op::ping, .payload = "12345"},
                     {.opcode = Op::continuation, .payload = "lo"}, {.opcode = Op::binary, .payload = "x"}}));
  EXPECT_EQ(reading.message_sizes, (std::vector<uint64_t>{5, 1}));
}

TEST(WsFrameReader, CloseHasACodeOrNone) {
  expect_read(bytes_of({.opcode = Op::close}), "8+(0) closed 1005");
  expect_read(bytes_of({.opcode = Op::close, .payload = close_payload(1000)}), "8+(2) closed 1000");
  expect_read(bytes_of({.opcode = Op::close, .payload = close_payload(4999, "p\xc3\xa4r")}), "8+(6) closed 4999");
  expect_read(bytes_of({.opcode = Op::close, .payload = close_payload(3000, std::string(123, 'r'))}), "8+(125) closed 3000");
}

TEST(WsFrameReader, NothingBehindACloseIsRead) {
  const std::string bytes = bytes_of({.opcode = Op::close}) + "\xff\xff\xff\xff";
  EXPECT_EQ(read_all(bytes, from_client), "8+(0) closed 1005");
  EXPECT_EQ(read_all(bytes, from_client, 1), "8+(0) closed 1005");
}

TEST(WsFrameReader, CloseCodesThatMayNotBeSent) {
  for (const unsigned code : {0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535})
    EXPECT_EQ(fault_of(bytes_of({.opcode = Op::close, .payload = close_payload(static_cast<uint16_t>(code))})), WsFault::bad_close_code) << code;
  for (const unsigned code : {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999})
    EXPECT_EQ(fault_of(bytes_of({.opcode = Op::close, .payload = close_payload(static_cast<uint16_t>(code))})), WsFault::none) << code;
  EXPECT_EQ(fault_of(bytes_of({.opcode = Op::close, .payload = "\x03"})), WsFault::bad_close_code);  // wslay takes it
  expect_read(bytes_of({.opcode = Op::close, .payload = close_payload(1000, "\xff")}), "8+(3 1007");
  expect_read(bytes_of({.opcode = Op::close, .payload = close_payload(1000, "\xe2\x82")}), "8+(4 1007");
}

TEST(WsFrameReader, MaskingIsForClients) {
  EXPECT_EQ(fault_of(bytes_of({.masked = false})), WsFault::not_masked);
  EXPECT_EQ(fault_of(bytes_of({.masked = true}), from_server), WsFault::masked);
  EXPECT_EQ(fault_of(bytes_of({.masked = false}), from_server), WsFault::none);
  expect_read(bytes_of({.masked = false}), " 1002");
  expect_read(bytes_of({.masked = true}), " 1002", from_server);
  expect_read(bytes_of({.payload = "gr\xc3\xbc\xc3\x9f dich", .masked = false}), "1+(11)", from_server);
}

TEST(WsFrameReader, ReservedBitsAreForExtensions) {
  for (const int rsv : {0x10, 0x20, 0x40, 0x70}) {
    EXPECT_EQ(fault_of(bytes_of({.rsv = static_cast<uint8_t>(rsv)})), WsFault::reserved_bits);
    EXPECT_EQ(fault_of(bytes_of({.opcode = Op::ping, .rsv = static_cast<uint8_t>(rsv)}), deflated), WsFault::reserved_bits);
    EXPECT_EQ(fault_of(bytes_of({.rsv = static_cast<uint8_t>(rsv)}), {.deflate = true, .other_extension = true}), WsFault::none);
  }
  EXPECT_EQ(fault_of(bytes_of({.rsv = 0x20}), deflated), WsFault::reserved_bits);
  expect_read(bytes_of({.rsv = 0x40}), " 1002");
}

TEST(WsFrameReader, CompressedTextIsNotReadAsText) {
  const std::string noise = "\xff\xfe\xfd";
  expect_read(bytes_of({.payload = noise, .rsv = 0x40}), "1+(3)", deflated);
  expect_read(bytes_of({.payload = noise}), "1+(3 1007", deflated);
  // RSV1 stands on the first frame only.
  expect_read(join({{.payload = noise, .final = false, .rsv = 0x40}, {.opcode = Op::continuation, .payload = noise}, {.payload = "a"}}),
              "1-(3)0+(3)1+(1)", deflated);
  EXPECT_EQ(fault_of(join({{.final = false, .rsv = 0x40}, {.opcode = Op::continuation, .rsv = 0x40}}), deflated), WsFault::reserved_bits);
}

TEST(WsFrameReader, UnknownOpcodesAreRefused) {
  for (const int opcode : {3, 4, 5, 6, 7, 11, 12, 13, 14, 15})
    EXPECT_EQ(fault_of(bytes_of({.opcode = static_cast<Op>(opcode)})), WsFault::unknown_opcode) << opcode;
}

TEST(WsFrameReader, ControlFramesAreShortAndWhole) {
  for (const Op opcode : {Op::close, Op::ping, Op::pong}) {
    EXPECT_EQ(fault_of(bytes_of({.opcode = opcode, .payload = close_payload(1000), .final = false})), WsFault::fragmented_control_frame);
    EXPECT_EQ(fault_of(bytes_of({.opcode = opcode, .payload = std::string(126, 'a')})), WsFault::long_control_frame);
  }
  expect_read(bytes_of({.opcode = Op::ping, .payload = std::string(125, '\xff')}), "9+(125)");
  expect_read(bytes_of({.opcode = Op::ping, .payload = std::string(126, 'a')}), " 1002");
}

TEST(WsFrameReader, FragmentsHaveAnOrder) {
  EXPECT_EQ(fault_of(bytes_of({.opcode = Op::continuation})), WsFault::nothing_to_continue);
  EXPECT_EQ(fault_of(join({{.final = false}, {.opcode = Op::text}})), WsFault::message_not_ended);
  EXPECT_EQ(fault_of(join({{.opcode = Op::text}, {.opcode = Op::continuation}})), WsFault::nothing_to_continue);
  expect_read(join({{.final = false}, {.opcode = Op::binary}}), "1-(0) 1002");
}

TEST(WsFrameReader, LengthsAreAsShortAsTheyCanBe) {
  const std::string mask(4, '\0');
  EXPECT_EQ(fault_of(std::string("\x82\xfe\x00\x7d", 4) + mask), WsFault::length_not_minimal);
  EXPECT_EQ(fault_of(std::string("\x82\xff\x00\x00\x00\x00\x00\x00\xff\xff", 10) + mask), WsFault::length_not_minimal);
  EXPECT_EQ(fault_of(std::string("\x82\xff\x80\x00\x00\x00\x00\x00\x00\x00", 10) + mask), WsFault::length_too_large);
  EXPECT_EQ(fault_of(std::string("\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff", 10) + mask), WsFault::length_too_large);
}

TEST(WsFrameReader, CharactersMayBeCutByFrames) {
  const std::string text = "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5 \xf0\x9f\x92\xa9 \xed\x9f\xbf \xf4\x8f\xbf\xbf";
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    const std::string bytes = join({{.payload = text.substr(0, cut), .final = false},
                                    {.opcode = Op::ping, .payload = "\xff"},
                                    {.opcode = Op::continuation, .payload = text.substr(cut)}});
    EXPECT_EQ(fault_of(bytes), WsFault::none) << cut;
    EXPECT_EQ(wslay_reads(bytes, from_client), read_all(bytes, from_client));
  }
  // Cut off at the end of the message.
  EXPECT_EQ(fault_of(bytes_of({.payload = text.substr(0, text.size() - 1)})), WsFault::not_utf8);
  // A message begins anew.
  expect_read(join({{.payload = text}, {.payload = "\xba"}}), "1+(" + std::to_string(text.size()) + ")1+(1 1007");
}

TEST(WsFrameReader, BrokenTextIsFoundAtItsFirstByte) {
  Reading reading(from_client);
  std::string bytes = bytes_of({.payload = "hello \xed\xa0\x80 and much more that never comes"});
  reading.feed(std::string_view(bytes).substr(0, 6 + 6 + 1));
  EXPECT_EQ(reading.reader.fault(), WsFault::none);
  reading.feed(std::string_view(bytes).substr(6 + 6 + 1, 1));
  EXPECT_EQ(reading.reader.fault(), WsFault::not_utf8);
}

TEST(WsFrameReader, TextIsAnythingWhenNobodyAsks) {
  EXPECT_EQ(fault_of(bytes_of({.payload = "\xff"}), {.check_utf8 = false}), WsFault::none);
  EXPECT_EQ(fault_of(bytes_of({.opcode = Op::close, .payload = close_payload(1000, "\xff")}), {.check_utf8 = false}), WsFault::none);
  EXPECT_EQ(fault_of(bytes_of({.payload = "\xff"}), {.other_extension = true}), WsFault::none);
}

TEST(WsFrameReader, DigestTellsPayloadsApart) {
  const auto digest = [](const Frame& frame, WsFrameReader::Rules rules) {
    Reading reading(rules);
    reading.feed(bytes_of(frame));
    return reading.reader.digest();
  };
  const uint32_t ping = digest({.opcode = Op::ping, .payload = "abcdef"}, from_client);
  EXPECT_EQ(digest({.opcode = Op::pong, .payload = "abcdef", .masked = false}, from_server), ping);
  EXPECT_NE(digest({.opcode = Op::pong, .payload = "abcdeg", .masked = false}, from_server), ping);
  EXPECT_NE(digest({.opcode = Op::pong, .payload = "abcde", .masked = false}, from_server), ping);
}

TEST(WsFrameReader, IsWithinAFrameUntilItsLastByte) {
  WsFrameReader reader(from_client);
  const std::string bytes = bytes_of({.payload = "ab"});
  EXPECT_FALSE(reader.within_frame());
  for (size_t at = 0; at + 1 < bytes.size(); ++at) {
    std::string_view one(bytes.data() + at, 1);
    while (reader.read(one).event != WsFrameReader::Event::none) one = {};
    EXPECT_TRUE(reader.within_frame()) << at;
  }
  EXPECT_EQ(reader.read(std::string_view(bytes).substr(bytes.size() - 1)).event, WsFrameReader::Event::frame_end);
  EXPECT_FALSE(reader.within_frame());
}

TEST(WsCloseFrame, IsWhatReadersRead) {
  EXPECT_EQ(read_all(WsCloseFrame(1009, "message too big").bytes(), from_server), "8+(17) closed 1009");
  EXPECT_EQ(read_all(WsCloseFrame(1001, "idle", 0xdeadbeef).bytes(), from_client), "8+(6) closed 1001");
  EXPECT_EQ(wslay_reads(WsCloseFrame(1001, std::string(200, 'a'), 0x01020304).bytes(), from_client), "8+(42) closed 1001");
}

}  // namespace
}  // namespace ringside
