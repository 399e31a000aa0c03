// Any bytes as frames: however they are cut, the events are the same, and wslay says the same of them.
//
// Input: a byte of options, then the stream.
#include <cstdint>
#include <cstdio>

#include "tests/codecs/ws_harness.h"
#include "tests/codecs/wslay_peer.h"

namespace {

using namespace ringside;
using namespace ringside::ws_test;

// wslay refuses the close codes that were registered after RFC 6455 and takes half a code for none; it reads the reason before the code.
// At the end of the stream, it has judged half of a header already, and not yet the last one before its payload begins.
bool differs_rightly(const std::string& ours, const std::string& wslays) {
  if (ours + " 1002" == wslays || wslays + " 1002" == ours) return true;
  if (ours.starts_with(wslays) && !ours.ends_with(')') && ours.find_first_of(") ", wslays.size()) == ours.npos) return true;
  for (const char* code : {" closed 1012", " closed 1013", " closed 1014"})
    if (ours.ends_with(code)) return true;
  if (!ours.ends_with(" 1002")) return false;
  const std::string events = ours.substr(0, ours.size() - 5);
  const size_t last = events.rfind(')') + 1;
  if (events.compare(last, 3, "8+(") == 0 && wslays == events + " 1007") return true;
  return wslays == events + "8+(1) closed 1005";
}

void require_same(const std::string& ours, const std::string& other, const char* what) {
  if (ours != other) std::fprintf(stderr, "--- whole\n%s\n--- %s\n%s\n", ours.c_str(), what, other.c_str());
  RS_CHECK(ours == other);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const uint8_t options = data[0];
  WsFrameReader::Rules rules{.sender = (options & 1) != 0 ? WsSender::server : WsSender::client, .deflate = (options & 2) != 0};
  const std::string whole = read_all(bytes, rules);
  require_same(whole, read_all(bytes, rules, 1), "single");
  require_same(whole, read_all(bytes, rules, 2 + options / 4), "cut");
  const std::string wslays = wslay_reads(bytes, rules);
  if (!differs_rightly(whole, wslays)) require_same(whole, wslays, "wslay");
  rules.other_extension = true;
  require_same(read_all(bytes, rules), read_all(bytes, rules, 3), "with an extension, cut");
  return 0;
}
