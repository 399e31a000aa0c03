// Any bytes as the beginning of a connection from a load balancer. However they are cut, the outcome is the same; addresses are
// addresses, and no header is longer than what was given.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/check.h"
#include "proxy/listener/http_guess.h"
#include "proxy/listener/proxy_header.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ringside;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  ProxyHeader header;
  const ProxyHeaderOutcome outcome = read_proxy_header(bytes, header);
  if (outcome == ProxyHeaderOutcome::done) {
    RS_CHECK(header.size_bytes <= size && header.size_bytes <= proxy_header_bytes_max && header.size_bytes >= 15);
    RS_CHECK(!header.names_peer || (header.peer.is_ip() && header.local.family() == header.peer.family()));
    ProxyHeader again;
    RS_CHECK(read_proxy_header(bytes.substr(0, header.size_bytes), again) == outcome && again.peer == header.peer);
    RS_CHECK(read_proxy_header(bytes.substr(0, header.size_bytes - 1), again) == ProxyHeaderOutcome::more);
  }
  // Byte by byte it ends at the same.
  ProxyHeaderOutcome slow = ProxyHeaderOutcome::more;
  HttpGuess guess = HttpGuess::more;
  for (size_t at = 0; at <= size && slow == ProxyHeaderOutcome::more; ++at) slow = read_proxy_header(bytes.substr(0, at), header);
  RS_CHECK(slow == outcome);
  for (size_t at = 0; at <= size && guess == HttpGuess::more; ++at) guess = guess_http(bytes.substr(0, at));
  const HttpGuess whole = guess_http(bytes);
  RS_CHECK(whole == guess || size > guessed_line_bytes_max);
  return 0;
}
