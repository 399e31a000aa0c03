// What inspecting WebSockets costs: reading frames, beside the same by wslay, and one echo message with all that is counted.
#include <string>

#include "core/block_pool.h"
#include "core/epoll_ring.h"
#include "core/worker.h"
#include "perf/micro_bench.h"
#include "proxy/filters/websocket_watch.h"
#include "tests/codecs/ws_harness.h"
#include "tests/codecs/wslay_peer.h"

namespace ringside::perf {
namespace {

using namespace ws_test;

// One frame after the other, from a buffer that holds many.
void bench_reader(const char* name, const Frame& frame, WsFrameReader::Rules rules) {
  const std::string bytes = bytes_of(frame);
  WsFrameReader reader(rules);
  uint64_t frames = 0;
  micro_bench(name, [&] {
    std::string_view rest = bytes;
    while (!rest.empty()) {
      const WsFrameReader::Step step = reader.read(rest);
      rest.remove_prefix(step.bytes);
      if (step.event == WsFrameReader::Event::frame_end) ++frames;
      if (step.event == WsFrameReader::Event::frame && reader.frame_bytes() == 0) reader.read({});
    }
  });
  keep(frames);
}

void bench_wslay(const char* name, const Frame& frame, WsFrameReader::Rules rules) {
  const std::string bytes = bytes_of(frame);
  WslayPeer peer(rules);
  micro_bench(name, [&] {
    peer.feed(bytes);
    peer.forget_events();
  });
}

// Both ways of one message.
void bench_watch(const char* name, const WebSocketSpec& spec, std::string_view payload) {
  BlockPools pools;
  EpollRing ring(pools);
  Worker worker(0, ring, pools);
  StatsRegistry registry(1);
  const StatGroup<WebSocketStat> group = registry.group<WebSocketStat>(websocket_scope("bench", "echo"));
  StatBlock<WebSocketStat> stats = registry.cells(0).block(group);
  WebSocketWatch watch(worker, stats, spec, {});
  TunnelWatch& tunnel = watch;
  const std::string ask = bytes_of({.payload = std::string(payload)}), answer = bytes_of({.payload = std::string(payload), .masked = false});
  micro_bench(name, [&] {
    keep(tunnel.on_bytes(TunnelSide::client, ask).pass_bytes);
    keep(tunnel.on_bytes(TunnelSide::upstream, answer).pass_bytes);
  });
}

std::string repeated(std::string_view piece, size_t size) {
  std::string out;
  while (out.size() < size) out += piece;
  return out;
}

void run() {
  constexpr WsFrameReader::Rules client{.sender = WsSender::client}, server{.sender = WsSender::server};
  const std::string ascii(64, 'a'), long_ascii(64 * 1024, 'a');
  const std::string greek = repeated("\xce\xba", 64), long_greek = repeated("\xce\xba\xe2\x82\xac ", 64 * 1024);
  bench_reader("text of 64 bytes, masked", {.payload = ascii}, client);
  bench_reader("text of 64 bytes, not masked", {.payload = ascii, .masked = false}, server);
  bench_reader("binary of 64 bytes, masked", {.opcode = WsOpcode::binary, .payload = ascii}, client);
  bench_reader("greek of 64 bytes, masked", {.payload = greek}, client);
  bench_reader("text of 64 KiB, masked", {.payload = long_ascii}, client);
  bench_reader("greek of 64 KiB, masked", {.payload = long_greek}, client);
  bench_reader("binary of 64 KiB, masked", {.opcode = WsOpcode::binary, .payload = long_ascii}, client);
  bench_reader("ping of 4 bytes, masked", {.opcode = WsOpcode::ping, .payload = "ping"}, client);
  bench_watch("echo of 64 bytes, watched", {}, ascii);
  WebSocketSpec limited;
  limited.message_bytes_max = limited.frame_bytes_max = 1 << 20;
  limited.client_messages_per_second = 1'000'000'000;
  limited.client_message_burst = 1'000'000'000;
  limited.idle_timeout = seconds(60);
  bench_watch("echo of 64 bytes, all limits", limited, ascii);
  bench_watch("echo of 64 bytes of greek, watched", {}, greek);
  bench_wslay("wslay: text of 64 bytes, masked", {.payload = ascii}, client);
  bench_wslay("wslay: text of 64 bytes, not masked", {.payload = ascii, .masked = false}, server);
  bench_wslay("wslay: text of 64 KiB, masked", {.payload = long_ascii}, client);
}

}  // namespace
}  // namespace ringside::perf

int main() { ringside::perf::run(); }
