#include "core/address.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "core/check.h"

namespace ringside {
namespace {

char* write_decimal(char* out, uint32_t value) {
  char digits[10];
  char* at = digits + sizeof digits;
  do {
    *--at = static_cast<char>('0' + value % 10);
    value /= 10;
  } while (value != 0);
  const size_t size = static_cast<size_t>(digits + sizeof digits - at);
  std::memcpy(out, at, size);
  return out + size;
}

char* write_v4(char* out, uint32_t network_order) {
  uint8_t bytes[4];
  std::memcpy(bytes, &network_order, sizeof bytes);
  for (int i = 0; i < 4; ++i) {
    if (i > 0) *out++ = '.';
    const uint32_t byte = bytes[i];
    if (byte >= 100) *out++ = static_cast<char>('0' + byte / 100);
    if (byte >= 10) *out++ = static_cast<char>('0' + byte / 10 % 10);
    *out++ = static_cast<char>('0' + byte % 10);
  }
  return out;
}

char* write_v6(char* out, const in6_addr& address) {
  RS_CHECK(inet_ntop(AF_INET6, &address, out, INET6_ADDRSTRLEN) != nullptr);
  return out + std::strlen(out);
}

// Decimal numbers below 256 without leading zeros, three dots: nothing of inet_aton's octal, hex and short forms.
bool parse_v4(std::string_view text, in_addr& out) {
  uint8_t bytes[4];
  size_t at = 0;
  for (int i = 0; i < 4; ++i) {
    if (i > 0 && (at >= text.size() || text[at++] != '.')) return false;
    uint32_t value = 0;
    size_t digits = 0;
    while (at < text.size() && text[at] >= '0' && text[at] <= '9' && digits < 4) {
      value = value * 10 + static_cast<uint32_t>(text[at++] - '0');
      ++digits;
    }
    if (digits == 0 || value > 255 || (digits > 1 && text[at - digits] == '0')) return false;
    bytes[i] = static_cast<uint8_t>(value);
  }
  if (at != text.size()) return false;
  std::memcpy(&out, bytes, sizeof bytes);
  return true;
}

bool parse_v6(std::string_view text, in6_addr& out) {
  char copy[INET6_ADDRSTRLEN + 1];
  if (text.empty() || text.size() >= sizeof copy || text.find('\0') != std::string_view::npos) return false;
  std::memcpy(copy, text.data(), text.size());
  copy[text.size()] = '\0';
  return inet_pton(AF_INET6, copy, &out) == 1;  // takes no zone
}

constexpr size_t path_offset = offsetof(sockaddr_un, sun_path);

}  // namespace

std::optional<Address> Address::from_ip(std::string_view text, uint16_t port) {
  Address address;
  if (text.size() >= 2 && text.front() == '[' && text.back() == ']') {
    text = text.substr(1, text.size() - 2);
    if (text.find(':') == std::string_view::npos) return std::nullopt;  // brackets are for IPv6
  }
  if (parse_v4(text, address.storage_.v4.sin_addr)) {
    address.storage_.v4.sin_family = AF_INET;
    address.storage_.v4.sin_port = htons(port);
    address.size_ = sizeof(sockaddr_in);
    return address;
  }
  if (!parse_v6(text, address.storage_.v6.sin6_addr)) return std::nullopt;
  address.storage_.v6.sin6_family = AF_INET6;
  address.storage_.v6.sin6_port = htons(port);
  address.size_ = sizeof(sockaddr_in6);
  return address;
}

std::optional<Address> Address::from_path(std::string_view path) {
  const bool abstract = path.starts_with('@');
  // A name in the file system ends with a NUL; one in the abstract namespace is counted.
  const size_t room = sizeof(sockaddr_un::sun_path) - (abstract ? 0 : 1);
  if (path.empty() || path.size() > room || path.find('\0') != std::string_view::npos) return std::nullopt;
  Address address;
  address.storage_.path.sun_family = AF_UNIX;
  std::memcpy(address.storage_.path.sun_path, path.data(), path.size());
  if (abstract) address.storage_.path.sun_path[0] = '\0';
  address.size_ = static_cast<socklen_t>(path_offset + path.size() + (abstract ? 0 : 1));
  return address;
}

Address Address::from_sockaddr(const sockaddr* address, socklen_t size) {
  Address copy;
  copy.size_ = std::min<socklen_t>(size, capacity);
  std::memcpy(&copy.storage_, address, copy.size_);
  if (copy.size_ < sizeof(sa_family_t)) copy.storage_.any.sa_family = AF_UNSPEC;
  return copy;
}

uint16_t Address::port() const {
  if (family() == AF_INET) return ntohs(storage_.v4.sin_port);
  if (family() == AF_INET6) return ntohs(storage_.v6.sin6_port);
  return 0;
}

void Address::set_port(uint16_t port) {
  if (family() == AF_INET) storage_.v4.sin_port = htons(port);
  if (family() == AF_INET6) storage_.v6.sin6_port = htons(port);
}

bool Address::is_wildcard() const {
  if (family() == AF_INET) return storage_.v4.sin_addr.s_addr == 0;
  return family() == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&storage_.v6.sin6_addr);
}

bool Address::is_loopback() const {
  if (family() == AF_INET) return ntohl(storage_.v4.sin_addr.s_addr) >> 24 == 127;
  return family() == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&storage_.v6.sin6_addr);
}

bool Address::is_internal() const {
  if (is_loopback()) return true;
  if (family() == AF_INET) {
    const uint32_t ip = ntohl(storage_.v4.sin_addr.s_addr);
    return ip >> 24 == 10 || ip >> 20 == (172 << 4 | 1) || ip >> 16 == (192 << 8 | 168);
  }
  return family() == AF_INET6 && (storage_.v6.sin6_addr.s6_addr[0] & 0xfe) == 0xfc;
}

bool Address::is_within(const Address& base, uint32_t prefix_bits) const {
  if (family() != base.family() || !is_ip()) return false;
  const auto* mine = reinterpret_cast<const uint8_t*>(&storage_.v4.sin_addr);
  const auto* theirs = reinterpret_cast<const uint8_t*>(&base.storage_.v4.sin_addr);
  uint32_t bits = 32;
  if (family() == AF_INET6) {
    mine = storage_.v6.sin6_addr.s6_addr;
    theirs = base.storage_.v6.sin6_addr.s6_addr;
    bits = 128;
  }
  const uint32_t compared = std::min(prefix_bits, bits);
  if (std::memcmp(mine, theirs, compared / 8) != 0) return false;
  const uint32_t left = compared % 8;
  return left == 0 || ((mine[compared / 8] ^ theirs[compared / 8]) >> (8 - left)) == 0;
}

size_t Address::write_ip(char* out) const {
  if (family() == AF_INET) return static_cast<size_t>(write_v4(out, storage_.v4.sin_addr.s_addr) - out);
  if (family() == AF_INET6) return static_cast<size_t>(write_v6(out, storage_.v6.sin6_addr) - out);
  return 0;
}

size_t Address::write_text(char* out) const {
  char* at = out;
  if (family() == AF_INET) {
    at = write_v4(at, storage_.v4.sin_addr.s_addr);
  } else if (family() == AF_INET6) {
    *at++ = '[';
    at = write_v6(at, storage_.v6.sin6_addr);
    *at++ = ']';
  } else if (family() == AF_UNIX) {
    if (size_ <= path_offset) return 0;  // a client's unnamed socket
    size_t size = size_ - path_offset;
    const char* path = storage_.path.sun_path;
    if (path[0] != '\0') size = strnlen(path, size);
    std::memcpy(out, path, size);
    if (path[0] == '\0') out[0] = '@';
    return size;
  } else {
    return 0;
  }
  *at++ = ':';
  at = write_decimal(at, port());
  return static_cast<size_t>(at - out);
}

std::string Address::text() const {
  char out[text_bytes_max];
  return {out, write_text(out)};
}

std::string Address::ip_text() const {
  char out[text_bytes_max];
  return {out, write_ip(out)};
}

// Beyond the family only what names the peer counts: not IPv6's flow and padding.
bool Address::operator==(const Address& other) const {
  if (family() != other.family()) return false;
  if (family() == AF_INET)
    return storage_.v4.sin_addr.s_addr == other.storage_.v4.sin_addr.s_addr && port() == other.port();
  if (family() == AF_INET6)
    return IN6_ARE_ADDR_EQUAL(&storage_.v6.sin6_addr, &other.storage_.v6.sin6_addr) && port() == other.port() &&
           storage_.v6.sin6_scope_id == other.storage_.v6.sin6_scope_id;
  return size_ == other.size_ && std::memcmp(&storage_.path, &other.storage_.path, size_) == 0;
}

}  // namespace ringside
