#include "proxy/listener/proxy_header.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

namespace ringside {
namespace {

constexpr std::string_view signature_v1 = "PROXY ";
constexpr std::string_view signature_v2("\r\n\r\n\0\r\nQUIT\n", 12);
constexpr size_t line_bytes_max = 107;  // with its end
constexpr size_t fixed_bytes_v2 = 16;
constexpr size_t tlv_head_bytes = 3;
constexpr size_t v4_bytes = 12, v6_bytes = 36;

bool may_be(std::string_view bytes, std::string_view signature) {
  return bytes.substr(0, signature.size()) == signature.substr(0, bytes.size());
}

uint16_t number_at(std::string_view bytes, size_t at) {
  return static_cast<uint16_t>(static_cast<uint8_t>(bytes[at]) << 8 | static_cast<uint8_t>(bytes[at + 1]));
}

// --- version 1 ---------------------------------------------------------------------------------------------------------

// As Envoy does, leading zeros are passed over.
std::optional<uint16_t> port_of(std::string_view word) {
  uint32_t value = 0;
  if (word.empty() || word.size() > 5) return std::nullopt;
  for (const char digit : word) {
    if (digit < '0' || digit > '9') return std::nullopt;
    value = value * 10 + static_cast<uint32_t>(digit - '0');
  }
  if (value > 65535) return std::nullopt;
  return static_cast<uint16_t>(value);
}

// Brackets are for URIs.
std::optional<Address> address_of(std::string_view word, std::string_view port, int family) {
  const std::optional<uint16_t> number = port_of(port);
  if (!number || word.starts_with('[')) return std::nullopt;
  std::optional<Address> address = Address::from_ip(word, *number);
  if (!address || address->family() != family) return std::nullopt;
  return address;
}

// "TCP4 1.2.3.4 5.6.7.8 1000 80": one space between words, and nothing else.
bool read_words(std::string_view text, ProxyHeader& header) {
  if (text == "UNKNOWN" || text.starts_with("UNKNOWN ")) return true;
  std::array<std::string_view, 5> words;
  for (size_t at = 0; at < words.size(); ++at) {
    const size_t space = text.find(' ');
    if ((at + 1 == words.size()) != (space == text.npos)) return false;
    words[at] = text.substr(0, space);
    text.remove_prefix(space == text.npos ? text.size() : space + 1);
  }
  if (words[0] != "TCP4" && words[0] != "TCP6") return false;
  const int family = words[0] == "TCP4" ? AF_INET : AF_INET6;
  const std::optional<Address> peer = address_of(words[1], words[3], family), local = address_of(words[2], words[4], family);
  if (!peer || !local) return false;
  header.peer = *peer;
  header.local = *local;
  return header.names_peer = true;
}

ProxyHeaderOutcome read_v1(std::string_view bytes, ProxyHeader& header) {
  header.version = 1;
  const std::string_view line = bytes.substr(0, line_bytes_max);
  const size_t end = line.find_first_of("\r\n");
  if (end == line.npos) return bytes.size() < line_bytes_max ? ProxyHeaderOutcome::more : ProxyHeaderOutcome::broken;
  if (line[end] == '\n') return ProxyHeaderOutcome::broken;
  if (end + 1 == line.size()) return bytes.size() < line_bytes_max ? ProxyHeaderOutcome::more : ProxyHeaderOutcome::broken;
  if (line[end + 1] != '\n') return ProxyHeaderOutcome::broken;
  header.size_bytes = end + 2;
  const std::string_view words = line.substr(signature_v1.size(), end - signature_v1.size());
  return read_words(words, header) ? ProxyHeaderOutcome::done : ProxyHeaderOutcome::broken;
}

// --- version 2 ---------------------------------------------------------------------------------------------------------

Address v4_at(std::string_view bytes, size_t address_at, size_t port_at) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  std::memcpy(&address.sin_addr, bytes.data() + address_at, sizeof address.sin_addr);
  address.sin_port = htons(number_at(bytes, port_at));
  return Address::from_sockaddr(reinterpret_cast<const sockaddr*>(&address), sizeof address);
}

Address v6_at(std::string_view bytes, size_t address_at, size_t port_at) {
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  std::memcpy(&address.sin6_addr, bytes.data() + address_at, sizeof address.sin6_addr);
  address.sin6_port = htons(number_at(bytes, port_at));
  return Address::from_sockaddr(reinterpret_cast<const sockaddr*>(&address), sizeof address);
}

// Of a whole header: nothing but additions that fill what the length left.
bool additions_fit(std::string_view bytes) {
  while (!bytes.empty()) {
    if (bytes.size() < tlv_head_bytes || bytes.size() - tlv_head_bytes < number_at(bytes, 1)) return false;
    bytes.remove_prefix(tlv_head_bytes + number_at(bytes, 1));
  }
  return true;
}

ProxyHeaderOutcome read_v2(std::string_view bytes, ProxyHeader& header) {
  header.version = 2;
  if (bytes.size() < fixed_bytes_v2) return ProxyHeaderOutcome::more;
  const auto command = static_cast<uint8_t>(bytes[12]), family = static_cast<uint8_t>(bytes[13]);
  const size_t length = number_at(bytes, 14);
  if (command != 0x20 && command != 0x21) return ProxyHeaderOutcome::broken;
  header.size_bytes = fixed_bytes_v2 + length;
  if (header.size_bytes > proxy_header_bytes_max) return ProxyHeaderOutcome::broken;
  const bool whole = bytes.size() >= header.size_bytes;
  if (command == 0x20) return whole ? ProxyHeaderOutcome::done : ProxyHeaderOutcome::more;  // its own: a health check
  const bool v4 = family == 0x11 || family == 0x12, v6 = family == 0x21 || family == 0x22;
  const size_t addresses = v4 ? v4_bytes : v6_bytes;
  if ((!v4 && !v6) || length < addresses) return ProxyHeaderOutcome::broken;
  if (!whole) return ProxyHeaderOutcome::more;
  header.names_peer = true;
  header.peer = v4 ? v4_at(bytes, 16, 24) : v6_at(bytes, 16, 48);
  header.local = v4 ? v4_at(bytes, 20, 26) : v6_at(bytes, 32, 50);
  const size_t behind = fixed_bytes_v2 + addresses;
  return additions_fit(bytes.substr(behind, header.size_bytes - behind)) ? ProxyHeaderOutcome::done : ProxyHeaderOutcome::broken;
}

}  // namespace

ProxyHeaderOutcome read_proxy_header(std::string_view bytes, ProxyHeader& header) {
  header = {};
  if (!may_be(bytes, signature_v1) && !may_be(bytes, signature_v2)) return ProxyHeaderOutcome::absent;
  if (bytes.size() < signature_v1.size()) return ProxyHeaderOutcome::more;
  if (bytes.starts_with(signature_v1)) return read_v1(bytes, header);
  if (bytes.size() < signature_v2.size()) return ProxyHeaderOutcome::more;
  return read_v2(bytes, header);
}

}  // namespace ringside
