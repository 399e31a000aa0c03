#pragma once
// The header of the PROXY protocol, versions 1 and 2: in front of everything else, a load balancer says for whom it connects.
// Sans-I/O and strict.
#include <cstdint>
#include <string_view>

#include "core/address.h"

namespace ringside {

struct ProxyHeader {
  uint8_t version = 0;      // 1 or 2, as soon as that is known
  bool names_peer = false;  // else the balancer connects for itself, or does not know: the socket's addresses hold
  Address peer, local;
  size_t size_bytes = 0;    // with the additions (TLVs) behind the addresses
};

enum class ProxyHeaderOutcome : uint8_t {
  more,    // a beginning of one
  done,
  absent,  // no header begins like this
  broken,  // begins like one, and is none
};

// A header of version 2 that is larger is `broken`.
inline constexpr size_t proxy_header_bytes_max = 16 * 1024;

// `bytes` is the beginning of the connection.
ProxyHeaderOutcome read_proxy_header(std::string_view bytes, ProxyHeader& header);

}  // namespace ringside
