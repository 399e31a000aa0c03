// Any bytes as the beginning of a connection. However they are cut, the outcome is the same; what was read stays in its bounds.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/check.h"
#include "tls/client_fingerprint.h"
#include "tls/client_hello.h"

namespace ringside {
namespace {

void check_hello(const ClientHello& hello, size_t size) {
  RS_CHECK(hello.server_name.size() <= 255 && hello.alpn.size() <= size && hello.extensions.size() * 4 <= size);
  for (const std::string& name : hello.alpn) RS_CHECK(!name.empty() && name.size() <= 255);
  RS_CHECK(ja3_fingerprint(hello).size() == 32);
  RS_CHECK(ja4_fingerprint(hello).size() == 36);
}

bool same(const ClientHello& left, const ClientHello& right) {
  return left.server_name == right.server_name && left.alpn == right.alpn && left.extensions == right.extensions &&
         left.cipher_suites == right.cipher_suites && left.versions == right.versions;
}

}  // namespace
}  // namespace ringside

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ringside;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  ClientHelloReader whole;
  const HelloOutcome outcome = whole.read(bytes);
  RS_CHECK((outcome == HelloOutcome::broken) == !whole.problem().empty());
  if (outcome == HelloOutcome::done) check_hello(whole.hello(), size);
  // Byte by byte it ends at the same, or earlier with what the whole also is: only bytes behind the hello make a difference.
  ClientHelloReader slow;
  for (size_t at = 0; at <= size && slow.outcome() == HelloOutcome::more; ++at) slow.read(bytes.substr(0, at));
  const bool behind = whole.problem() == "bytes behind the hello";
  RS_CHECK(slow.outcome() == outcome || behind);
  if (outcome == HelloOutcome::done) RS_CHECK(same(slow.hello(), whole.hello()));
  return 0;
}
