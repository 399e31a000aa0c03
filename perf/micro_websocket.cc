// What reading frames costs: one echo message is two of them, one masked. Beside it the same by wslay.
#include <string>

#include "perf/micro_bench.h"
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
  bench_wslay("wslay: text of 64 bytes, masked", {.payload = ascii}, client);
  bench_wslay("wslay: text of 64 bytes, not masked", {.payload = ascii, .masked = false}, server);
  bench_wslay("wslay: text of 64 KiB, masked", {.payload = long_ascii}, client);
}

}  // namespace
}  // namespace ringside::perf

int main() { ringside::perf::run(); }
