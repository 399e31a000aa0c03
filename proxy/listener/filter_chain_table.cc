#include "proxy/listener/filter_chain_table.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "core/check.h"

namespace ringside {
namespace {

constexpr size_t address_bytes_max = 16;
// A family, a length, and so many bytes.
using AddressKey = std::array<char, 2 + address_bytes_max>;

size_t bits_max(int family) { return family == AF_INET ? 32 : 128; }

// Writes the key of the first `bits` bits of an address; returns its size.
size_t write_key(const Address& address, size_t bits, AddressKey& out) {
  const size_t bytes = (bits + 7) / 8;
  const char* const from = address.family() == AF_INET
                               ? reinterpret_cast<const char*>(&reinterpret_cast<const sockaddr_in*>(address.data())->sin_addr)
                               : reinterpret_cast<const char*>(&reinterpret_cast<const sockaddr_in6*>(address.data())->sin6_addr);
  out[0] = address.family() == AF_INET ? '4' : '6';
  out[1] = static_cast<char>(bits);
  std::memcpy(out.data() + 2, from, bytes);
  if (bits % 8 != 0) out[1 + bytes] = static_cast<char>(static_cast<uint8_t>(out[1 + bytes]) & (0xff << (8 - bits % 8)));
  return 2 + bytes;
}

std::vector<std::string> address_keys(const std::vector<CidrSpec>& ranges) {
  if (ranges.empty()) return {std::string("4\0", 2), std::string("6\0", 2)};
  std::vector<std::string> keys;
  for (const CidrSpec& range : ranges) {
    AddressKey key;
    keys.emplace_back(key.data(), write_key(range.base, std::min<size_t>(range.prefix_bits, bits_max(range.base.family())), key));
  }
  return keys;
}

std::array<char, 2> port_key(uint16_t port) { return {static_cast<char>(port >> 8), static_cast<char>(port & 0xff)}; }
std::string port_text(uint16_t port) {
  const auto key = port_key(port);
  return {key.data(), key.size()};
}

// Without criteria there is one entry, which takes anything.
std::vector<std::string> or_any(std::vector<std::string> keys) {
  if (keys.empty()) keys.emplace_back();
  return keys;
}

std::vector<std::string> server_name_keys(const std::vector<std::string>& names) {
  std::vector<std::string> keys;
  for (const std::string& name : names) keys.push_back(name.starts_with("*.") ? name.substr(1) : name);
  return or_any(std::move(keys));
}

std::string_view source_type_key(SourceType type) {
  switch (type) {
    case SourceType::any: return "";
    case SourceType::same_ip_or_loopback: return "l";
    case SourceType::external: return "e";
  }
  return "";
}

// Of IPv4, Envoy takes 127.0.0.1 alone for the loopback.
bool is_local(const Address& peer, const Address& local) {
  if (!peer.is_ip()) return true;
  static const Address loopback = *Address::from_ip("127.0.0.1", 0);
  if (peer.family() == AF_INET ? peer.is_within(loopback, 32) : peer.is_loopback()) return true;
  return peer.is_within(local, bits_max(peer.family()) & 0xff);
}

}  // namespace

// --- building ----------------------------------------------------------------------------------------------------------

std::vector<FilterChainTable::Keys> FilterChainTable::keys_of(const FilterChainMatchSpec& match) {
  std::vector<Keys> keys(levels);
  keys[destination_port] = {match.destination_port ? port_text(*match.destination_port) : std::string()};
  keys[destination] = address_keys(match.destinations);
  keys[server_name] = server_name_keys(match.server_names);
  keys[transport_protocol] = {match.transport_protocol};
  keys[application_protocol] = or_any(match.application_protocols);
  keys[direct_source] = address_keys(match.direct_sources);
  keys[source_type] = {std::string(source_type_key(match.source_type))};
  keys[source] = address_keys(match.sources);
  Keys ports;
  for (const uint16_t port : match.source_ports) ports.push_back(port_text(port));
  keys[source_port] = or_any(std::move(ports));
  return keys;
}

// The chain that stands already where `chain` would have to, or none.
uint32_t FilterChainTable::insert(uint32_t node, const std::vector<Keys>& keys, size_t level, uint32_t chain) {
  const bool addresses = level == destination || level == direct_source || level == source;
  for (const std::string& key : keys[level]) {
    std::vector<Edge>& edges = nodes_[node].edges;
    auto at = std::ranges::lower_bound(edges, key, {}, &Edge::key);
    const bool known = at != edges.end() && at->key == key;
    if (level + 1 == levels) {
      if (known && at->to != chain) return at->to;
      if (!known) edges.insert(at, Edge{key, chain});
      continue;
    }
    if (!known) {
      at = edges.insert(at, Edge{key, static_cast<uint32_t>(nodes_.size())});
      if (addresses) nodes_[node].bits.push_back(static_cast<uint8_t>(key[1]));
    }
    const uint32_t to = at->to;
    if (!known) nodes_.emplace_back();  // invalidates `edges`
    if (const uint32_t other = insert(to, keys, level + 1, chain); other != none) return other;
  }
  return none;
}

std::expected<FilterChainTable, FilterChainTable::Clash> FilterChainTable::build(std::span<const FilterChainSpec> chains) {
  FilterChainTable table;
  table.nodes_.emplace_back();
  for (uint32_t at = 0; at < chains.size(); ++at) {
    const FilterChainMatchSpec& match = chains[at].match;
    const bool by_kind = match.source_type != SourceType::any;
    table.asks_local_ |= match.destination_port.has_value() || !match.destinations.empty() || by_kind;
    table.asks_peer_ |= !match.direct_sources.empty() || !match.sources.empty() || !match.source_ports.empty() || by_kind;
    const uint32_t other = table.insert(0, keys_of(match), 0, at);
    if (other != none) return std::unexpected(Clash{other, at});
  }
  for (Node& node : table.nodes_) {
    std::ranges::sort(node.bits, std::greater());
    node.bits.erase(std::ranges::unique(node.bits).begin(), node.bits.end());
  }
  table.trivial_ = chains.size() == 1 && keys_of(chains[0].match) == keys_of({});
  return table;
}

// --- looking up --------------------------------------------------------------------------------------------------------

uint32_t FilterChainTable::child(uint32_t node, std::string_view key) const {
  const std::vector<Edge>& edges = nodes_[node].edges;
  const auto at = std::ranges::lower_bound(edges, key, {}, [](const Edge& edge) { return std::string_view(edge.key); });
  return at != edges.end() && at->key == key ? at->to : none;
}

uint32_t FilterChainTable::exact_or_any(uint32_t node, std::string_view key) const {
  const uint32_t exact = child(node, key);
  return exact != none || key.empty() ? exact : child(node, {});
}

// A peer without an address, of a unix socket, is within "any" only.
uint32_t FilterChainTable::by_address(uint32_t node, const Address& address) const {
  if (!address.is_ip()) return child(node, std::string_view("4\0", 2));
  for (const uint8_t bits : nodes_[node].bits) {
    if (bits > bits_max(address.family())) continue;
    AddressKey key;
    const uint32_t found = child(node, {key.data(), write_key(address, bits, key)});
    if (found != none) return found;
  }
  return none;
}

// The name itself, then what follows each of its dots, then any.
uint32_t FilterChainTable::by_server_name(uint32_t node, std::string_view name) const {
  if (const uint32_t exact = child(node, name); exact != none) return exact;
  for (size_t dot = name.find('.', 1); dot != name.npos && dot + 1 < name.size(); dot = name.find('.', dot + 1))
    if (const uint32_t wildcard = child(node, name.substr(dot)); wildcard != none) return wildcard;
  return child(node, {});
}

uint32_t FilterChainTable::by_protocols(uint32_t node, std::span<const std::string> protocols) const {
  for (const std::string& protocol : protocols)
    if (const uint32_t found = child(node, protocol); found != none) return found;
  return child(node, {});
}

uint32_t FilterChainTable::by_source_type(uint32_t node, const ChainQuery& query) const {
  const uint32_t local = child(node, source_type_key(SourceType::same_ip_or_loopback));
  const uint32_t external = child(node, source_type_key(SourceType::external));
  if (local != none || external != none) {
    const uint32_t found = is_local(query.peer, query.local) ? local : external;
    if (found != none) return found;
  }
  return child(node, {});
}

uint32_t FilterChainTable::find(const ChainQuery& query) const {
  if (trivial_) return 0;
  if (nodes_.empty()) return none;
  const auto local_port = port_key(query.local.port());
  const auto peer_port = port_key(query.peer.port());
  uint32_t at = 0;
  for (uint8_t level = 0; level < levels && at != none; ++level) {
    switch (static_cast<Level>(level)) {
      case destination_port: at = exact_or_any(at, query.local.is_ip() ? std::string_view(local_port.data(), 2) : ""); break;
      case destination: at = by_address(at, query.local); break;
      case server_name: at = by_server_name(at, query.server_name); break;
      case transport_protocol: at = exact_or_any(at, query.transport_protocol); break;
      case application_protocol: at = by_protocols(at, query.application_protocols); break;
      case direct_source: at = by_address(at, query.direct_peer); break;
      case source_type: at = by_source_type(at, query); break;
      case source: at = by_address(at, query.peer); break;
      case source_port: at = exact_or_any(at, std::string_view(peer_port.data(), 2)); break;
      case levels: break;
    }
  }
  return at;
}

}  // namespace ringside
