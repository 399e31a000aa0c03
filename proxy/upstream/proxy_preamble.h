#pragma once
// The header of the PROXY protocol that a connection to an endpoint begins with: whose bytes follow.
#include <string>

#include "core/address.h"
#include "proxy/specs.h"

namespace ringside {

// From `peer`, which connected to `local`. Addresses that are not both of IP give UNKNOWN (v1) or LOCAL (v2).
std::string proxy_preamble(ProxyProtocol version, const Address& peer, const Address& local);

}  // namespace ringside
