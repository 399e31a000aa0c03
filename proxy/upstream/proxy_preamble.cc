#include "proxy/upstream/proxy_preamble.h"

#include <netinet/in.h>

#include <cstring>
#include <string_view>

namespace ringside {
namespace {

constexpr std::string_view signature("\r\n\r\n\0\r\nQUIT\n", 12);
constexpr char version_2_local = 0x20, version_2_proxy = 0x21;
constexpr char tcp_over_ipv4 = 0x11, tcp_over_ipv6 = 0x21;

std::string version_1(const Address& peer, const Address& local) {
  const bool v4 = peer.family() == AF_INET && local.family() == AF_INET;
  // A pair of both kinds is written in the wider one.
  const auto text = [v4](const Address& address) {
    return !v4 && address.family() == AF_INET ? "::ffff:" + address.ip_text() : address.ip_text();
  };
  return std::string("PROXY ") + (v4 ? "TCP4 " : "TCP6 ") + text(peer) + " " + text(local) + " " + std::to_string(peer.port()) + " " +
         std::to_string(local.port()) + "\r\n";
}

void append(std::string& out, const void* bytes, size_t size) { out.append(static_cast<const char*>(bytes), size); }

void append_number(std::string& out, uint16_t number) {
  out += static_cast<char>(number >> 8);
  out += static_cast<char>(number & 255);
}

void append_ip(std::string& out, const Address& address, bool v4) {
  if (address.family() == AF_INET) {
    if (!v4) out.append(10, '\0').append(2, '\xff');
    return append(out, &reinterpret_cast<const sockaddr_in*>(address.data())->sin_addr, sizeof(in_addr));
  }
  append(out, &reinterpret_cast<const sockaddr_in6*>(address.data())->sin6_addr, sizeof(in6_addr));
}

std::string version_2(const Address& peer, const Address& local) {
  const bool v4 = peer.family() == AF_INET && local.family() == AF_INET;
  std::string out(signature);
  out += version_2_proxy;
  out += v4 ? tcp_over_ipv4 : tcp_over_ipv6;
  append_number(out, v4 ? 12 : 36);
  append_ip(out, peer, v4);
  append_ip(out, local, v4);
  append_number(out, peer.port());
  append_number(out, local.port());
  return out;
}

std::string nobodys(ProxyProtocol version) {
  if (version == ProxyProtocol::v1) return "PROXY UNKNOWN\r\n";
  return std::string(signature) + version_2_local + std::string(3, '\0');
}

}  // namespace

std::string proxy_preamble(ProxyProtocol version, const Address& peer, const Address& local) {
  if (!peer.is_ip() || !local.is_ip()) return nobodys(version);
  return version == ProxyProtocol::v1 ? version_1(peer, local) : version_2(peer, local);
}

}  // namespace ringside
