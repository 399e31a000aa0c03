// Frames as an upstream may send them, against a client with three requests under way. Checked: events in order, gauges back to
// zero, whole frames with header blocks that can be decoded. The same bytes cut anywhere are the same events.
//
// Input: a byte of options, a byte that seeds the cuts, then the stream.
#include <cstdint>

#include "tests/codecs/h2_harness.h"

namespace {

using namespace ringside;
using namespace ringside::h2_test;

// Pieces of `step` bytes; 0: all in one.
std::string run(std::string_view bytes, uint8_t options, size_t step) {
  H2Limits limits;
  limits.header_bytes_max = (options & 1) != 0 ? 150 : 60 * 1024;
  ClientEnd client(limits);
  client.auto_grant = (options & 2) != 0;
  if ((options & 4) != 0) client.feed(settings());
  client.ask("GET");
  client.ask((options & 8) != 0 ? "HEAD" : "GET");
  Recorder& upload = client.ask("POST", End::no);
  upload.stream->send_body(slice_of("an upload that goes on"), End::no);
  const size_t size = step == 0 ? bytes.size() : step;
  for (size_t at = 0; at < bytes.size(); at += size) client.feed(bytes.substr(at, size));
  std::string text = client.events() + client.flush();
  RS_CHECK(!client.dump.broken);
  if ((options & 16) != 0) client.codec.on_end();
  text += client.events();
  client.codec.abort({});
  RS_CHECK(client.stats.streams_active == 0 && client.stats.pending_send_bytes == 0);
  for (auto& response : client.responses) RS_CHECK(response->was_reset || response->ended);
  return text;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 3 || size > 4000) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 2, size - 2);
  const std::string whole = run(bytes, data[0], 0);
  RS_CHECK(run(bytes, data[0], 1) == whole);
  RS_CHECK(run(bytes, data[0], 2 + data[1] % 40u) == whole);
  return 0;
}
