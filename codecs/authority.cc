#include "codecs/authority.h"

#include <array>
#include <cstdint>

namespace ringside::http {
namespace {

constexpr size_t host_bytes_max = 255;

enum HostClass : uint8_t { none = 0, name = 1, ipv6 = 2 };

constexpr std::array<uint8_t, 256> host_chars = [] {
  std::array<uint8_t, 256> table{};
  for (size_t c = 0; c < 256; ++c) {
    const bool digit = c >= '0' && c <= '9';
    const bool upper = c >= 'A' && c <= 'Z';
    const bool lower = c >= 'a' && c <= 'z';
    if (digit || upper || lower || c == '-' || c == '.' || c == '_' || c == '~') table[c] |= HostClass::name;
    if (digit || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || c == ':' || c == '.') table[c] |= HostClass::ipv6;
  }
  return table;
}();

bool all_of_class(std::string_view text, HostClass wanted) {
  uint8_t common = wanted;
  for (const char c : text) common = static_cast<uint8_t>(common & host_chars[static_cast<unsigned char>(c)]);
  return common != 0;
}

bool is_port(std::string_view text) {
  if (text.empty() || text.size() > 5) return false;
  uint32_t port = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return false;
    port = port * 10 + static_cast<uint32_t>(c - '0');
  }
  return port > 0 && port <= 65535;
}

// The form only: what resolves or routes it decides whether the address exists.
bool is_ipv6(std::string_view text) {
  if (text.size() < 2 || text.size() > 45 || !all_of_class(text, HostClass::ipv6)) return false;
  size_t colons = 0;
  for (const char c : text) colons += c == ':';
  return colons >= 2 && colons <= 8;
}

}  // namespace

bool is_authority(std::string_view text) {
  if (text.empty() || text.size() > host_bytes_max + 6) return false;
  std::string_view rest;
  if (text.front() == '[') {
    const size_t close = text.find(']');
    if (close == std::string_view::npos || !is_ipv6(text.substr(1, close - 1))) return false;
    rest = text.substr(close + 1);
  } else {
    size_t size = 0;
    while (size < text.size() && (host_chars[static_cast<unsigned char>(text[size])] & HostClass::name) != 0) ++size;
    if (size == 0 || size > host_bytes_max) return false;
    rest = text.substr(size);
  }
  return rest.empty() || (rest.front() == ':' && is_port(rest.substr(1)));
}

}  // namespace ringside::http
