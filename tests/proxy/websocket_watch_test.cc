// The inspection of WebSockets between two peers that are strings: what each one gets, what is counted, and what the log says.
#include "proxy/filters/websocket_watch.h"

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <random>
#include <string>

#include "tests/codecs/ws_harness.h"
#include "tests/sim/sim_world.h"

namespace ringside {
namespace {

using namespace ws_test;
using Op = WsOpcode;
using Stat = WebSocketStat;
constexpr TunnelSide client = TunnelSide::client, upstream = TunnelSide::upstream;

// What a tunnel does with a watch.
class Tunnel {
 public:
  explicit Tunnel(const WebSocketSpec& spec, WebSocketWatch::Agreed agreed = {}) : spec_(spec) {
    watch_ = std::make_unique<WebSocketWatch>(world.worker, stats_, spec_, agreed);
  }

  // In pieces of so many bytes.
  void send(TunnelSide from, std::string_view bytes, size_t piece = SIZE_MAX) {
    std::string& to = from == client ? to_upstream : to_client;
    for (; !bytes.empty() && !ended; bytes.remove_prefix(std::min(piece, bytes.size()))) {
      const TunnelWatch::Verdict verdict = watch_->on_bytes(from, bytes.substr(0, piece));
      ASSERT_LE(verdict.pass_bytes, std::min(piece, bytes.size()));
      ASSERT_TRUE(verdict.ends || verdict.pass_bytes == std::min(piece, bytes.size()));
      to += bytes.substr(0, verdict.pass_bytes);
      if (verdict.ends) finish();
    }
  }
  void send(TunnelSide from, Frame frame) {
    frame.masked = from == client;
    send(from, bytes_of(frame));
  }
  void wait(Duration time) {
    world.run_for(time);
    if (!ended && watch_->deadline() <= world.worker.now() && watch_->on_deadline(world.worker.now()).ends) finish();
  }
  void end(TunnelSide by) { watch_->on_end(by); }
  Instant deadline() const { return watch_->deadline(); }
  // Closes; what the access log says.
  std::string close() {
    AccessLogRecord record;
    watch_->describe(record);
    const WebSocketRecord& seen = *record.websocket;
    std::string text = std::to_string(seen.close_code) + " " + std::string(seen.closed_by) + " " + std::to_string(seen.messages_received) +
                       "/" + std::to_string(seen.bytes_received) + " " + std::to_string(seen.messages_sent) + "/" +
                       std::to_string(seen.bytes_sent);
    if (!record.connection_termination_details.empty()) text += " " + std::string(record.connection_termination_details);
    watch_.reset();
    return text;
  }
  int64_t count(Stat stat) const { return stats_.local(stat); }
  uint64_t recorded(Stat stat) {
    registry_.merge_histograms();
    uint64_t found = 0;
    registry_.read_histogram(*group_, static_cast<size_t>(stat), [&found](const HistogramTotals& totals) { found = totals.cumulative().total(); });
    return found;
  }
  // Frames that came out whole.
  std::string client_reads() const { return read_all(to_client, {.sender = WsSender::server}); }
  std::string upstream_reads() const { return read_all(to_upstream, {.sender = WsSender::client}); }

  sim::World world{1};
  std::string to_client, to_upstream;
  bool ended = false;

 private:
  void finish() {
    ended = true;
    to_client += watch_->farewell(client);
    to_upstream += watch_->farewell(upstream);
  }

  StatsRegistry registry_{1};
  StatGroup<Stat> group_ = registry_.group<Stat>(websocket_scope("ingress", "chat"));
  StatBlock<Stat> stats_ = registry_.cells(0).block(group_);
  WebSocketSpec spec_;
  std::unique_ptr<WebSocketWatch> watch_;
};

TEST(WebSocketWatch, PassesAndCounts) {
  Tunnel tunnel({});
  EXPECT_EQ(tunnel.count(Stat::cx_active), 1);
  tunnel.send(client, {.payload = "hello"});
  tunnel.send(client, {.opcode = Op::binary, .payload = std::string(70000, '\xff')});
  tunnel.send(client, {.payload = "a\xc3", .final = false});
  tunnel.send(client, {.opcode = Op::ping, .payload = "12"});
  tunnel.send(client, {.opcode = Op::continuation, .payload = "\xa4"});
  tunnel.send(upstream, {.opcode = Op::pong, .payload = "12"});
  tunnel.send(upstream, {.payload = "world!"});
  tunnel.send(upstream, {.opcode = Op::close, .payload = close_payload(1000)});
  tunnel.send(client, {.opcode = Op::close, .payload = close_payload(1000)});
  tunnel.end(upstream);
  EXPECT_EQ(tunnel.upstream_reads(), "1+(5)2+(70000)1-(2)9+(2)0+(1)8+(2) closed 1000");
  EXPECT_EQ(tunnel.client_reads(), "10+(2)1+(6)8+(2) closed 1000");
  EXPECT_EQ(tunnel.count(Stat::downstream_text_messages), 2);
  EXPECT_EQ(tunnel.count(Stat::downstream_text_bytes), 8);
  EXPECT_EQ(tunnel.count(Stat::downstream_binary_messages), 1);
  EXPECT_EQ(tunnel.count(Stat::downstream_binary_bytes), 70000);
  EXPECT_EQ(tunnel.count(Stat::downstream_continuation_frames), 1);
  EXPECT_EQ(tunnel.count(Stat::downstream_pings), 1);
  EXPECT_EQ(tunnel.count(Stat::downstream_ping_bytes), 2);
  EXPECT_EQ(tunnel.count(Stat::downstream_closes), 1);
  EXPECT_EQ(tunnel.count(Stat::upstream_pongs), 1);
  EXPECT_EQ(tunnel.count(Stat::upstream_text_messages), 1);
  EXPECT_EQ(tunnel.count(Stat::upstream_text_bytes), 6);
  EXPECT_EQ(tunnel.count(Stat::upstream_close_bytes), 2);
  EXPECT_EQ(tunnel.close(), "1000 upstream 3/70008 1/6");
  EXPECT_EQ(tunnel.count(Stat::cx_active), 0);
  EXPECT_EQ(tunnel.count(Stat::closed_by_upstream), 1);
  EXPECT_EQ(tunnel.count(Stat::close_1000), 1);
}

TEST(WebSocketWatch, AnyCutCountsTheSame) {
  std::string bytes;
  for (const size_t size : {0u, 1u, 125u, 126u, 300u, 65536u}) bytes += bytes_of({.payload = std::string(size, 'a')});
  for (const size_t piece : {size_t{1}, size_t{7}, size_t{100}, SIZE_MAX}) {
    Tunnel tunnel({});
    tunnel.send(client, bytes, piece);
    EXPECT_EQ(tunnel.to_upstream, bytes);
    EXPECT_EQ(tunnel.close(), "1006 proxy 6/66088 0/0");
  }
}

TEST(WebSocketWatch, AnEndWithoutACloseFrame) {
  Tunnel tunnel({});
  tunnel.send(client, {.payload = "hello"});
  tunnel.end(client);
  tunnel.end(upstream);
  EXPECT_EQ(tunnel.close(), "1006 downstream 1/5 0/0");
  EXPECT_EQ(tunnel.count(Stat::close_1006), 1);
  EXPECT_EQ(tunnel.count(Stat::closed_by_downstream), 1);
}

TEST(WebSocketWatch, CodesOfApplicationsAreCountedTogether) {
  for (const unsigned code : {3000u, 3999u, 4000u, 4999u}) {
    Tunnel tunnel({});
    tunnel.send(client, {.opcode = Op::close, .payload = close_payload(static_cast<uint16_t>(code))});
    EXPECT_EQ(tunnel.close(), std::to_string(code) + " downstream 0/0 0/0");
    EXPECT_EQ(tunnel.count(code < 4000 ? Stat::close_3xxx : Stat::close_4xxx), 1);
  }
  Tunnel tunnel({});
  tunnel.send(client, {.opcode = Op::close});
  EXPECT_EQ(tunnel.close(), "1005 downstream 0/0 0/0");
  EXPECT_EQ(tunnel.count(Stat::close_1005), 1);
}

// --- limits

TEST(WebSocketWatch, AMessageThatIsTooBigIsNotBegun) {
  WebSocketSpec spec;
  spec.message_bytes_max = 100;
  Tunnel tunnel(spec);
  std::string bytes = bytes_of({.payload = std::string(100, 'a')});
  tunnel.send(client, bytes + bytes_of({.payload = std::string(101, 'b')}));
  EXPECT_TRUE(tunnel.ended);
  EXPECT_EQ(tunnel.upstream_reads(), "1+(100)8+(17) closed 1009");
  EXPECT_EQ(tunnel.client_reads(), "8+(17) closed 1009");
  EXPECT_EQ(tunnel.count(Stat::limit_message_bytes), 1);
  EXPECT_EQ(tunnel.close(), "1009 proxy 1/100 0/0 message too big");
  EXPECT_EQ(tunnel.count(Stat::closed_by_proxy), 1);
  EXPECT_EQ(tunnel.count(Stat::close_1009), 1);
}

TEST(WebSocketWatch, FragmentsAreOneMessage) {
  WebSocketSpec spec;
  spec.message_bytes_max = 100;
  Tunnel tunnel(spec);
  tunnel.send(upstream, {.payload = std::string(60, 'a'), .final = false});
  tunnel.send(upstream, {.opcode = Op::continuation, .payload = std::string(40, 'a'), .final = false});
  tunnel.send(upstream, {.opcode = Op::continuation, .payload = "a"});
  EXPECT_EQ(tunnel.client_reads(), "1-(60)0-(40)8+(17) closed 1009");
  EXPECT_EQ(tunnel.close(), "1009 proxy 0/0 0/100 message too big");
}

TEST(WebSocketWatch, AFrameThatIsTooBig) {
  WebSocketSpec spec;
  spec.frame_bytes_max = 10;
  Tunnel tunnel(spec);
  tunnel.send(client, {.opcode = Op::ping, .payload = std::string(100, 'p')});  // of no message
  tunnel.send(client, {.payload = std::string(10, 'a'), .final = false});
  EXPECT_FALSE(tunnel.ended);
  tunnel.send(client, {.opcode = Op::continuation, .payload = std::string(11, 'a'), .final = false});
  EXPECT_EQ(tunnel.upstream_reads(), "9+(100)1-(10)8+(15) closed 1009");
  EXPECT_EQ(tunnel.count(Stat::limit_frame_bytes), 1);
}

// A Close frame inside of a frame would be read as its payload.
TEST(WebSocketWatch, NoCloseFrameInsideOfAFrame) {
  WebSocketSpec spec;
  spec.message_bytes_max = 100;
  Tunnel tunnel(spec);
  const std::string big = bytes_of({.payload = std::string(101, 'b')});
  tunnel.send(client, big, 1);
  EXPECT_EQ(tunnel.to_upstream, big.substr(0, 5));  // of a header of six bytes
  EXPECT_EQ(tunnel.client_reads(), "8+(17) closed 1009");
  Tunnel other(spec);
  other.send(upstream, header_of(0x82, 100, false) + "only a part");
  other.send(client, big);
  EXPECT_EQ(other.client_reads(), "2+(100");
  EXPECT_EQ(other.upstream_reads(), "8+(17) closed 1009");
}

TEST(WebSocketWatch, NoCloseFrameBehindAnother) {
  WebSocketSpec spec;
  spec.message_bytes_max = 100;
  Tunnel tunnel(spec);
  tunnel.send(upstream, {.opcode = Op::close, .payload = close_payload(1001)});
  tunnel.send(client, {.payload = std::string(101, 'b')});
  EXPECT_EQ(tunnel.client_reads(), "8+(2) closed 1001");
  EXPECT_EQ(tunnel.to_client.size(), 4u);
  EXPECT_EQ(tunnel.upstream_reads(), "8+(17) closed 1009");
  EXPECT_EQ(tunnel.close(), "1001 upstream 0/0 0/0 message too big");
}

TEST(WebSocketWatch, ClientsHaveARate) {
  WebSocketSpec spec;
  spec.client_messages_per_second = 10;
  spec.client_message_burst = 3;
  Tunnel tunnel(spec);
  for (int at = 0; at < 3; ++at) tunnel.send(client, {.payload = "x"});
  for (int at = 0; at < 50; ++at) tunnel.send(upstream, {.payload = "y"});
  for (int at = 0; at < 20; ++at) {
    tunnel.wait(milliseconds(100));
    tunnel.send(client, {.payload = "x", .final = at % 2 == 0});
    if (at % 2 != 0) tunnel.send(client, {.opcode = Op::continuation, .payload = "x"});  // no message of its own
    tunnel.send(client, {.opcode = Op::ping});
  }
  EXPECT_FALSE(tunnel.ended);
  tunnel.send(client, {.payload = "x"});
  EXPECT_TRUE(tunnel.ended);
  EXPECT_EQ(tunnel.count(Stat::limit_message_rate), 1);
  EXPECT_EQ(tunnel.close(), "1008 proxy 23/33 50/50 too many messages");
}

TEST(WebSocketWatch, ABurstFillsAgain) {
  WebSocketSpec spec;
  spec.client_messages_per_second = 10;
  spec.client_message_burst = 3;
  Tunnel tunnel(spec);
  for (int round = 0; round < 3; ++round) {
    for (int at = 0; at < 3; ++at) tunnel.send(client, {.payload = "x"});
    EXPECT_FALSE(tunnel.ended);
    tunnel.wait(milliseconds(300));
  }
  for (int at = 0; at < 4; ++at) tunnel.send(client, {.payload = "x"});
  EXPECT_TRUE(tunnel.ended);
}

TEST(WebSocketWatch, SilenceEnds) {
  WebSocketSpec spec;
  spec.idle_timeout = seconds(10);
  Tunnel tunnel(spec);
  for (int at = 0; at < 5; ++at) {
    tunnel.wait(seconds(9));
    tunnel.send(at % 2 == 0 ? client : upstream, {.payload = "x"});
  }
  tunnel.wait(seconds(5));
  tunnel.send(client, {.opcode = Op::ping});
  tunnel.send(upstream, {.opcode = Op::pong});
  EXPECT_FALSE(tunnel.ended);
  tunnel.wait(seconds(5));
  EXPECT_TRUE(tunnel.ended);
  EXPECT_EQ(tunnel.client_reads(), "1+(1)1+(1)10+(0)8+(6) closed 1001");
  EXPECT_EQ(tunnel.upstream_reads(), "1+(1)1+(1)1+(1)9+(0)8+(6) closed 1001");
  EXPECT_EQ(tunnel.count(Stat::limit_idle), 1);
  EXPECT_EQ(tunnel.deadline(), Instant::max());
}

TEST(WebSocketWatch, PingsMayKeepAlive) {
  WebSocketSpec spec;
  spec.idle_timeout = seconds(10);
  spec.pings_keep_alive = true;
  Tunnel tunnel(spec);
  for (int at = 0; at < 5; ++at) {
    tunnel.wait(seconds(9));
    tunnel.send(client, {.opcode = Op::ping});
  }
  EXPECT_FALSE(tunnel.ended);
}

TEST(WebSocketWatch, AMessageUnderWayIsNoSilence) {
  WebSocketSpec spec;
  spec.idle_timeout = seconds(10);
  Tunnel tunnel(spec);
  const std::string bytes = bytes_of({.payload = std::string(20, 'a')});
  for (const char byte : bytes) {
    tunnel.send(client, {&byte, 1});
    tunnel.wait(seconds(9));
  }
  EXPECT_FALSE(tunnel.ended);
  EXPECT_EQ(Tunnel({}).deadline(), Instant::max());
}

// --- the protocol

TEST(WebSocketWatch, WhoBreaksTheProtocolIsClosed) {
  Tunnel tunnel({});
  tunnel.send(client, bytes_of({.payload = "good"}) + bytes_of({.payload = "not masked", .masked = false}));
  EXPECT_EQ(tunnel.upstream_reads(), "1+(4)8+(18) closed 1002");
  EXPECT_EQ(tunnel.client_reads(), "8+(18) closed 1002");
  EXPECT_EQ(tunnel.count(Stat::downstream_protocol_error), 1);
  EXPECT_EQ(tunnel.count(Stat::upstream_protocol_error), 0);
  EXPECT_EQ(tunnel.close(), "1002 proxy 1/4 0/0 frame not masked");
}

TEST(WebSocketWatch, BrokenTextIsClosed) {
  Tunnel tunnel({});
  tunnel.send(upstream, {.payload = "\xc3", .final = false});
  tunnel.send(upstream, {.opcode = Op::continuation, .payload = "("});
  EXPECT_EQ(tunnel.client_reads(), "1-(1)8+(19) closed 1007");
  EXPECT_EQ(tunnel.upstream_reads(), "8+(19) closed 1007");
  EXPECT_EQ(tunnel.count(Stat::upstream_invalid_utf8), 1);
}

TEST(WebSocketWatch, CompressedMessagesPassWhereAgreed) {
  Tunnel tunnel({}, {.deflate = true});
  tunnel.send(client, {.payload = "\xff\xfe", .rsv = 0x40});
  tunnel.send(upstream, {.payload = "\xff\xfe", .rsv = 0x40});
  EXPECT_FALSE(tunnel.ended);
  tunnel.send(client, {.payload = "\xff\xfe", .rsv = 0x20});
  EXPECT_TRUE(tunnel.ended);
}

TEST(WebSocketWatch, ErrorsMayBeCountedOnly) {
  WebSocketSpec spec;
  spec.on_protocol_error = WebSocketSpec::OnProtocolError::count;
  Tunnel tunnel(spec);
  const std::string bytes = bytes_of({.payload = "a"}) + "\xff\xff and whatever follows";
  tunnel.send(client, bytes);
  tunnel.send(client, {.payload = "b"});
  tunnel.send(upstream, {.payload = "c"});
  EXPECT_FALSE(tunnel.ended);
  EXPECT_EQ(tunnel.to_upstream, bytes + bytes_of({.payload = "b"}));
  EXPECT_EQ(tunnel.count(Stat::downstream_protocol_error), 1);
  EXPECT_EQ(tunnel.close(), "1006 proxy 1/1 1/1");
}

TEST(WebSocketWatch, WhatIsUnreadIsNoSilence) {
  WebSocketSpec spec;
  spec.on_protocol_error = WebSocketSpec::OnProtocolError::count;
  spec.idle_timeout = seconds(10);
  Tunnel tunnel(spec);
  tunnel.send(client, "\xff\xff\xff\xff");
  for (int at = 0; at < 5; ++at) {
    tunnel.wait(seconds(9));
    tunnel.send(client, "x");
  }
  EXPECT_FALSE(tunnel.ended);
  tunnel.wait(seconds(10));
  EXPECT_TRUE(tunnel.ended);
  EXPECT_EQ(tunnel.to_upstream, "\xff\xff\xff\xffxxxxx");  // who knows where a frame ends
}

TEST(WebSocketWatch, RoundTripsOfPings) {
  Tunnel tunnel({});
  tunnel.send(client, {.opcode = Op::ping, .payload = "one"});
  tunnel.wait(milliseconds(20));
  tunnel.send(upstream, {.opcode = Op::pong, .payload = "other"});  // answers nothing
  tunnel.send(upstream, {.opcode = Op::pong, .payload = "one"});
  tunnel.send(upstream, {.opcode = Op::pong, .payload = "one"});  // once
  EXPECT_EQ(tunnel.recorded(Stat::upstream_ping_rtt_us), 1u);
  EXPECT_EQ(tunnel.recorded(Stat::downstream_ping_rtt_us), 0u);
  tunnel.send(upstream, {.opcode = Op::ping});
  tunnel.send(client, {.opcode = Op::pong});
  EXPECT_EQ(tunnel.recorded(Stat::downstream_ping_rtt_us), 1u);
}

// Whatever comes, however it is cut: what is not the end passes untouched, and who gets a Close frame from us can read it.
TEST(WebSocketWatch, NoiseNeverTearsAFrame) {
  std::mt19937 random(11);
  WebSocketSpec spec;
  spec.message_bytes_max = 300;
  spec.frame_bytes_max = 200;
  for (int round = 0; round < 2000; ++round) {
    Tunnel tunnel(spec);
    std::string sent[2];
    for (int piece = 0; piece < 12 && !tunnel.ended; ++piece) {
      const TunnelSide from = random() % 2 == 0 ? client : upstream;
      std::string bytes = bytes_of({.opcode = random() % 3 == 0 ? Op::ping : Op::text, .payload = std::string(random() % 220, 'a'), .masked = from == client});
      if (random() % 8 == 0) bytes[random() % bytes.size()] = static_cast<char>(random());
      sent[static_cast<int>(from)] += bytes;
      tunnel.send(from, bytes, 1 + random() % 150);
    }
    for (const TunnelSide from : {client, upstream}) {
      const std::string& got = from == client ? tunnel.to_upstream : tunnel.to_client;
      const std::string& was = sent[static_cast<int>(from)];
      const auto same = static_cast<size_t>(std::mismatch(got.begin(), got.end(), was.begin(), was.end()).first - got.begin());
      if (same == got.size()) continue;
      const std::string text = read_all(got, {.sender = from == client ? WsSender::client : WsSender::server});
      ASSERT_NE(text.find(" closed 10"), text.npos) << text;
    }
  }
}

}  // namespace
}  // namespace ringside
