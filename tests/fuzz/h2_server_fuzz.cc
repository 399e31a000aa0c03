// Frames as a client may send them, against an owner that answers, grants and resets in the ways the input says. Checked: every
// stream's events come in order and end once (the recorder), credit adds up, gauges come back to zero, what is written is whole
// frames with header blocks that can be decoded, and what was accepted can be sent on (a strict server takes it again).
//
// Input: a byte of options, then actions: a byte says which, and for bytes to be received a length follows.
#include <cstdint>

#include "tests/codecs/h2_harness.h"

namespace {

using namespace ringside;
using namespace ringside::h2_test;

H2Limits limits_of(uint8_t options) {
  H2Limits limits;
  limits.streams_max = (options & 1) != 0 ? 2 : 100;
  limits.header_bytes_max = (options & 2) != 0 ? 200 : 60 * 1024;
  limits.header_count_max = (options & 4) != 0 ? 6 : 100;
  limits.underscore = static_cast<H2Underscore>((options >> 3) % 3);
  limits.connect_protocol = (options & 32) != 0;
  limits.unsent_bytes_max = (options & 64) != 0 ? 50 : 256 * 1024;
  limits.decoder_table_bytes = (options & 128) != 0 ? 100 : 4096;
  return limits;
}

class Fuzzed {
 public:
  explicit Fuzzed(uint8_t options) : server_(limits_of(options)) {
    server_.auto_grant = (options & 16) != 0;
    if ((options & 8) != 0) receive(std::string(h2::preface) + settings());
  }

  void receive(std::string_view bytes) {
    fed_ += bytes.size();
    server_.feed(bytes);
    RS_CHECK(server_.granted == fed_);
  }
  void act(uint8_t what) {
    if (server_.requests.empty()) return;
    Recorder& request = *server_.requests[(what >> 3) % server_.requests.size()];
    switch (what % 8) {
      case 0: return answer(request, 200, "a body of some length that is sent");
      case 1: return answer(request, 404, {});
      case 2: return reset(request);
      case 3: return flush();
      case 4: return server_.codec.drain((what & 64) != 0 ? H2Codec::Drain::now : H2Codec::Drain::gracefully);
      case 5: return server_.codec.reset_stalled();
      case 6: return server_.codec.pass_time(1);
      default: return server_.codec.on_end();
    }
  }
  void end() {
    for (auto& request : server_.requests)
      if (request->last_head != nullptr) forward(*request->last_head);
    flush();
    server_.codec.abort({});
    RS_CHECK(server_.stats.streams_active == 0 && server_.stats.pending_send_bytes == 0);
    for (auto& request : server_.requests) RS_CHECK(request->was_reset || request->ended || request->was_let_go);
  }

 private:
  void answer(Recorder& request, uint16_t status, std::string_view body) {
    if (request.answered || request.stream == nullptr || server_.failed) return;
    const bool over = request.ended;
    server_.answer(request, status, body);
    if (over) request.let_go();
  }
  void reset(Recorder& request) {
    if (request.stream == nullptr || server_.failed) return;
    request.stream->reset({ErrorCode::cancelled, Origin::local, Retry::never, "fuzz"});
    request.let_go();
  }
  void flush() {
    server_.flush();
    RS_CHECK(!server_.dump.broken);
  }
  // What one codec accepted, the other writes, and a strict server takes again.
  static void forward(const Head& head) {
    if (head.method == "CONNECT") return;
    H2Limits wide;
    wide.header_bytes_max = 1 << 20;
    wide.header_count_max = 200;
    wide.connect_protocol = true;
    ClientEnd client(wide);
    if (head.upgrade) client.feed(settings(setting(H2Setting::enable_connect_protocol, 1)));
    Recorder response;
    response.stream = &client.codec.open(response);
    response.stream->send_head(head, head.upgrade || head.fields.has(HeaderId::content_length) ? End::no : End::yes);
    RS_CHECK(!response.was_reset);
    ServerEnd again(wide);
    again.feed(client.sink.text);
    RS_CHECK(!again.failed && again.requests.size() == 1);
    const Head& copy = *again.last().last_head;
    RS_CHECK(copy.path == head.path && copy.method == head.method && copy.authority == head.authority);
    RS_CHECK(text_of(copy.fields) == text_of(head.fields));
    client.codec.abort({});
  }

  ServerEnd server_;
  size_t fed_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0 || size > 20000) return 0;
  Fuzzed fuzzed(data[0]);
  std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  while (!rest.empty()) {
    const auto what = static_cast<uint8_t>(rest[0]);
    rest.remove_prefix(1);
    if (what < 128 || rest.empty()) {
      fuzzed.act(what);
      continue;
    }
    const size_t length = std::min<size_t>(rest.size() - 1, static_cast<uint8_t>(rest[0]) + 256u * (what & 7u));
    fuzzed.receive(rest.substr(1, length));
    rest.remove_prefix(1 + length);
  }
  fuzzed.end();
  return 0;
}
