#pragma once
// Which filter chain of a listener takes a connection. Compiled once per configuration; a look-up allocates nothing.
//
// Criteria are asked in Envoy's order: destination port, destination address, server name, transport protocol, application
// protocols, address of the socket's peer, kind of source, source address, source port. Each one picks the most specific entry
// that fits, and there is no way back: when a later criterion finds nothing, the connection is nobody's.
#include <cstdint>
#include <expected>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/address.h"
#include "proxy/specs.h"

namespace ringside {

// What is known of a connection when it has to be given to a chain.
struct ChainQuery {
  Address local = {}, peer = {}, direct_peer = {};
  std::string_view server_name = {};         // lower case; empty: none
  std::string_view transport_protocol = {};  // "tls" or "raw_buffer"
  std::span<const std::string> application_protocols = {};
};

class FilterChainTable {
 public:
  static constexpr uint32_t none = UINT32_MAX;
  // Two chains that the same connection would fit equally well; indices.
  struct Clash {
    uint32_t first = 0, second = 0;
  };

  FilterChainTable() = default;
  static std::expected<FilterChainTable, Clash> build(std::span<const FilterChainSpec> chains);

  // The index of the chain, or none.
  uint32_t find(const ChainQuery& query) const;
  // There is one chain, and it takes everything.
  bool trivial() const { return trivial_; }
  // Which addresses of the query matter: the kernel need not be asked for the others.
  bool asks_local() const { return asks_local_; }
  bool asks_peer() const { return asks_peer_; }

 private:
  // Criteria in their order; the node of a level has edges to nodes of the next one, and those of the last to chains.
  enum Level : uint8_t {
    destination_port,
    destination,
    server_name,
    transport_protocol,
    application_protocol,
    direct_source,
    source_type,
    source,
    source_port,
    levels,
  };
  // Ports and texts as they are, an address as its family and so many of its first bits. Empty: any.
  struct Edge {
    std::string key;
    uint32_t to = none;
  };
  struct Node {
    std::vector<Edge> edges;      // by key
    std::vector<uint8_t> bits;    // of addresses: the lengths of prefixes that occur, longest first
  };
  using Keys = std::vector<std::string>;

  static std::vector<Keys> keys_of(const FilterChainMatchSpec& match);
  uint32_t insert(uint32_t node, const std::vector<Keys>& keys, size_t level, uint32_t chain);
  uint32_t child(uint32_t node, std::string_view key) const;
  uint32_t exact_or_any(uint32_t node, std::string_view key) const;
  uint32_t by_address(uint32_t node, const Address& address) const;
  uint32_t by_server_name(uint32_t node, std::string_view name) const;
  uint32_t by_protocols(uint32_t node, std::span<const std::string> protocols) const;
  uint32_t by_source_type(uint32_t node, const ChainQuery& query) const;

  std::vector<Node> nodes_;
  bool trivial_ = false;
  bool asks_local_ = false;
  bool asks_peer_ = false;
};

}  // namespace ringside
