#pragma once
// Socket addresses (IPv4, IPv6, unix) and their text form.
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ringside {

class Address {
 public:
  Address() { storage_.any.sa_family = AF_UNSPEC; }
  // A literal such as "10.0.0.1" or "::1" (brackets allowed); nullopt when it is not one.
  static std::optional<Address> from_ip(std::string_view text, uint16_t port);
  // A path, or "@name" for the abstract namespace; nullopt when it is too long.
  static std::optional<Address> from_path(std::string_view path);
  static Address from_sockaddr(const sockaddr* address, socklen_t size);

  int family() const { return storage_.any.sa_family; }
  bool is_ip() const { return family() == AF_INET || family() == AF_INET6; }
  bool empty() const { return family() == AF_UNSPEC; }
  uint16_t port() const;
  void set_port(uint16_t port);
  // 0.0.0.0 or ::
  bool is_wildcard() const;
  bool is_loopback() const;
  // RFC 1918, RFC 4193 and loopback.
  bool is_internal() const;
  // The first `prefix_bits` bits are those of `base`; false for addresses of different families.
  bool is_within(const Address& base, uint32_t prefix_bits) const;
  const sockaddr* data() const { return &storage_.any; }
  sockaddr* data() { return &storage_.any; }
  socklen_t size() const { return size_; }
  void set_size(socklen_t size) { size_ = size; }
  static constexpr socklen_t capacity = sizeof(sockaddr_un);

  // "1.2.3.4:80", "[::1]:80", or the path. `out` has text_bytes_max bytes; returns the size.
  static constexpr size_t text_bytes_max = 128;
  size_t write_text(char* out) const;
  size_t write_ip(char* out) const;  // without the port; nothing for unix sockets
  std::string text() const;
  std::string ip_text() const;
  bool operator==(const Address& other) const;

 private:
  union {
    sockaddr any;
    sockaddr_in v4;
    sockaddr_in6 v6;
    sockaddr_un path;
  } storage_{};
  socklen_t size_ = 0;
};

}  // namespace ringside
