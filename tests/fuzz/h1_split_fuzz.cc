// The same bytes cut anywhere are the same events.
//
// Input: a byte of options, a byte that seeds the cuts, then the stream.
#include <cstdint>
#include <cstdio>

#include "tests/codecs/h1_harness.h"

namespace {

using namespace ringside;
using namespace ringside::h1_test;

// Sizes of the pieces: all in one, single bytes, or pseudo-random.
class Cuts {
 public:
  enum class Kind { whole, single, random };
  Cuts(Kind kind, uint8_t seed) : kind_(kind), state_(seed + 1u) {}
  size_t next(size_t left) {
    if (kind_ == Kind::whole) return left;
    if (kind_ == Kind::single) return 1;
    state_ = state_ * 1664525u + 1013904223u;
    return std::min<size_t>(left, 1 + (state_ >> 24) % 37);
  }

 private:
  Kind kind_;
  uint32_t state_;
};

H1Limits limits_of(uint8_t options) {
  H1Limits limits;
  limits.accept_http_10 = true;
  limits.enable_trailers = (options & 2) != 0;
  limits.header_bytes_max = (options & 4) != 0 ? 150 : 60 * 1024;
  return limits;
}

std::string requests(std::string_view bytes, uint8_t options, Cuts cuts) {
  ServerEnd server(limits_of(options));
  size_t answered = 0;
  while (!bytes.empty()) {
    const size_t size = cuts.next(bytes.size());
    server.feed(bytes.substr(0, size));
    bytes.remove_prefix(size);
    while (answered < server.requests.size() && server.requests[answered]->ended) {
      server.answer(204);
      ++answered;
      if (server.codec.held_bytes() > 0) server.codec.resume();
    }
  }
  server.codec.on_end();
  return server.events() + server.sink.text + std::to_string(server.error.seen ? 0 : server.granted);
}

std::string responses(std::string_view bytes, uint8_t options, Cuts cuts) {
  ClientEnd client(limits_of(options));
  client.ask((options & 8) != 0 ? "HEAD" : "GET");
  while (!bytes.empty() && client.idles == 0) {
    const size_t size = cuts.next(bytes.size());
    client.feed(bytes.substr(0, size));
    bytes.remove_prefix(size);
  }
  client.codec.on_end();
  return client.events();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2 || size > 4000) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 2, size - 2);
  const auto run = (data[0] & 1) != 0 ? responses : requests;
  const std::string whole = run(bytes, data[0], {Cuts::Kind::whole, data[1]});
  for (const Cuts::Kind kind : {Cuts::Kind::single, Cuts::Kind::random}) {
    const std::string cut = run(bytes, data[0], {kind, data[1]});
    if (cut != whole) std::fprintf(stderr, "--- whole\n%s\n--- cut\n%s\n", whole.c_str(), cut.c_str());
    RS_CHECK(cut == whole);
  }
  return 0;
}
