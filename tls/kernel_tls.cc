#include "tls/kernel_tls.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

namespace ringside {
namespace {

constexpr int tcp_ulp = 31;  // TCP_ULP, which older headers lack

class Socket {
 public:
  explicit Socket(int fd) : fd_(fd) {}
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  ~Socket() {
    if (fd_ >= 0) ::close(fd_);
  }
  int fd() const { return fd_; }

 private:
  int fd_;
};

}  // namespace

bool kernel_has_tls() {
  const Socket listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const Socket client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (::bind(listener.fd(), generic, size) != 0 || ::listen(listener.fd(), 1) != 0) return false;
  if (::getsockname(listener.fd(), generic, &size) != 0 || ::connect(client.fd(), generic, size) != 0) return false;
  return ::setsockopt(client.fd(), IPPROTO_TCP, tcp_ulp, "tls", 3) == 0;  // the kernel takes a socket only when connected
}

}  // namespace ringside
