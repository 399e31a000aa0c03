#include "tests/control/dns_test_server.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/check.h"

namespace ringside {
namespace {

constexpr uint16_t type_a = 1, type_aaaa = 28;

void put16(std::string& out, uint32_t value) {
  out += static_cast<char>(value >> 8);
  out += static_cast<char>(value);
}

sockaddr_in loopback(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

std::string record_of(const std::string& text, uint16_t type) {
  char bytes[16];
  const int family = type == type_a ? AF_INET : AF_INET6;
  if (inet_pton(family, text.c_str(), bytes) != 1) return {};
  return {bytes, type == type_a ? 4U : 16U};
}

}  // namespace

DnsTestServer::DnsTestServer() {
  // One port number for both: UDP chooses, TCP follows, again if another program has it.
  for (int attempt = 0; attempt < 20; ++attempt) {
    udp_ = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    tcp_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = loopback(0);
    socklen_t size = sizeof address;
    RS_CHECK(bind(udp_, reinterpret_cast<sockaddr*>(&address), size) == 0);
    RS_CHECK(getsockname(udp_, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    port_ = ntohs(address.sin_port);
    if (bind(tcp_, reinterpret_cast<sockaddr*>(&address), size) == 0 && listen(tcp_, 16) == 0) break;
    close(udp_);
    close(tcp_);
    tcp_ = -1;
  }
  RS_CHECK(tcp_ >= 0);
  stop_ = eventfd(0, EFD_CLOEXEC);
  thread_ = std::thread([this] { serve(); });
}

DnsTestServer::~DnsTestServer() {
  const uint64_t one = 1;
  RS_CHECK(write(stop_, &one, sizeof one) == sizeof one);
  thread_.join();
  for (const int fd : {udp_, tcp_, stop_}) close(fd);
}

void DnsTestServer::set(const std::string& name, DnsTestName entry) {
  const std::lock_guard lock(mutex_);
  names_[name] = std::move(entry);
}

void DnsTestServer::serve() {
  while (true) {
    pollfd ready[] = {{stop_, POLLIN, 0}, {udp_, POLLIN, 0}, {tcp_, POLLIN, 0}};
    if (poll(ready, 3, -1) < 0) continue;
    if (ready[0].revents != 0) return;
    if (ready[1].revents != 0) {
      char bytes[2048];
      sockaddr_in from{};
      socklen_t size = sizeof from;
      const ssize_t got = recvfrom(udp_, bytes, sizeof bytes, 0, reinterpret_cast<sockaddr*>(&from), &size);
      if (got < 12) continue;
      ++udp_questions_;
      const std::string reply = reply_to({bytes, static_cast<size_t>(got)}, Via::udp);
      if (!reply.empty()) sendto(udp_, reply.data(), reply.size(), 0, reinterpret_cast<sockaddr*>(&from), size);
    }
    if (ready[2].revents != 0) {
      const int connection = accept(tcp_, nullptr, nullptr);
      if (connection < 0) continue;
      timeval wait{.tv_sec = 2, .tv_usec = 0};
      setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
      serve_tcp(connection);
      close(connection);
    }
  }
}

void DnsTestServer::serve_tcp(int connection) {
  while (true) {
    unsigned char length[2];
    if (recv(connection, length, 2, MSG_WAITALL) != 2) return;
    std::string question(static_cast<size_t>(length[0]) << 8 | length[1], '\0');
    if (recv(connection, question.data(), question.size(), MSG_WAITALL) != static_cast<ssize_t>(question.size()))
      return;
    ++tcp_questions_;
    const std::string reply = reply_to(question, Via::tcp);
    if (reply.empty()) return;
    std::string framed;
    put16(framed, static_cast<uint32_t>(reply.size()));
    framed += reply;
    // In pieces, because a receiver must not count on one.
    for (size_t at = 0; at < framed.size(); at += 1000)
      if (send(connection, framed.data() + at, std::min<size_t>(1000, framed.size() - at), MSG_NOSIGNAL) < 0) return;
  }
}

std::string DnsTestServer::reply_to(const std::string& question, Via via) {
  std::string name;
  size_t at = 12;
  while (at < question.size() && question[at] != 0) {
    const auto size = static_cast<unsigned char>(question[at]);
    if (!name.empty()) name += '.';
    name += question.substr(at + 1, size);
    at += size + 1U;
  }
  const auto type = static_cast<uint16_t>(static_cast<unsigned char>(question[at + 2]));
  const std::lock_guard lock(mutex_);
  const auto found = names_.find(name);
  const DnsTestName entry = found != names_.end() ? found->second : DnsTestName{.rcode = 3};
  if (entry.silent) return {};

  std::string records;
  uint32_t count = 0;
  for (const std::string& text : entry.addresses) {
    const std::string data = record_of(text, type);
    if (data.empty()) continue;
    ++count;
    put16(records, 0xc00c);  // the question's name
    put16(records, type);
    put16(records, 1);
    put16(records, entry.ttl_s >> 16);
    put16(records, entry.ttl_s & 0xffff);
    put16(records, static_cast<uint32_t>(data.size()));
    records += data;
  }
  const bool truncated = entry.truncate_udp && via == Via::udp;
  std::string reply = question.substr(0, 2);
  reply += static_cast<char>(0x81 | (truncated ? 0x02 : 0));  // response, recursion desired
  reply += static_cast<char>(0x80 | entry.rcode);
  put16(reply, 1);
  put16(reply, !entry.garbage.empty() ? 7 : truncated ? 0 : count);
  put16(reply, 0);
  put16(reply, 0);
  reply += question.substr(12, at + 5 - 12);
  if (!entry.garbage.empty()) return reply + entry.garbage;
  return truncated ? reply : reply + records;
}

}  // namespace ringside
