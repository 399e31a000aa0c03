#include "core/sockets.h"

#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>

namespace ringside::sockets {
namespace {

bool is_ip(int family) { return family == AF_INET || family == AF_INET6; }

int type_of(Blocking blocking) {
  return SOCK_STREAM | SOCK_CLOEXEC | (blocking == Blocking::no ? SOCK_NONBLOCK : 0);
}

bool set_option(int fd, int level, int option, int value) {
  return setsockopt(fd, level, option, &value, sizeof value) == 0;
}

// A unix socket that a process left behind when it was killed: it answers connects with a refusal. A path that belongs to
// something else, or that somebody listens on, stays and makes bind() fail.
void remove_stale_path(const Address& address) {
  const char* path = reinterpret_cast<const sockaddr_un*>(address.data())->sun_path;
  if (path[0] == '\0') return;  // the abstract namespace leaves nothing behind
  struct stat status {};
  if (lstat(path, &status) != 0 || !S_ISSOCK(status.st_mode)) return;
  const int probe = ::socket(AF_UNIX, type_of(Blocking::no), 0);
  if (probe < 0) return;
  const bool refused = ::connect(probe, address.data(), address.size()) != 0 && errno == ECONNREFUSED;
  ::close(probe);
  if (refused) ::unlink(path);
}

bool prepare_listener(int fd, const Address& address, const ListenOptions& options) {
  if (is_ip(address.family())) {
    if (!set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1)) return false;
    if (options.reuse_port && !set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1)) return false;
    set_no_delay(fd);
  }
  if (address.family() == AF_INET6 && !set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, options.ipv4_too ? 0 : 1)) return false;
  if (address.family() == AF_UNIX) remove_stale_path(address);
  if (::bind(fd, address.data(), address.size()) != 0) return false;
  // The kernel cuts it down to net.core.somaxconn.
  const uint32_t backlog_max = std::numeric_limits<int>::max();
  const uint32_t backlog = options.backlog == 0 || options.backlog > backlog_max ? backlog_max : options.backlog;
  return ::listen(fd, static_cast<int>(backlog)) == 0;
}

using NameCall = int (*)(int, sockaddr*, socklen_t*);
Address name_of(int fd, NameCall call) {
  Address address;
  socklen_t size = Address::capacity;
  if (call(fd, address.data(), &size) != 0) return {};
  address.set_size(size < Address::capacity ? size : Address::capacity);
  return address;
}

}  // namespace

Result<int> open_stream(int family, Blocking blocking) {
  const int fd = ::socket(family, type_of(blocking), 0);
  if (fd < 0) return std::unexpected(error_from_errno(errno));
  if (is_ip(family)) set_no_delay(fd);
  return fd;
}

Result<int> listen_on(const Address& address, const ListenOptions& options, int* error_number, Blocking blocking) {
  const int fd = ::socket(address.family(), type_of(blocking), 0);
  if (fd >= 0 && prepare_listener(fd, address, options)) return fd;
  const int error = errno;
  if (fd >= 0) ::close(fd);
  if (error_number != nullptr) *error_number = error;
  return std::unexpected(error_from_errno(error));
}

Address original_destination(int fd) {
  constexpr int original_dst = 80;  // SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST, whose headers do not go with libc's
  const Address local = local_address(fd);
  if (!local.is_ip()) return {};
  Address address;
  socklen_t size = Address::capacity;
  if (getsockopt(fd, local.family() == AF_INET ? IPPROTO_IP : IPPROTO_IPV6, original_dst, address.data(), &size) != 0) return {};
  address.set_size(std::min(size, Address::capacity));
  return address == local ? Address() : address;
}

Address local_address(int fd) { return name_of(fd, &::getsockname); }
Address peer_address(int fd) { return name_of(fd, &::getpeername); }

void reset_on_close(int fd) {
  const linger at_once{.l_onoff = 1, .l_linger = 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

bool is_delivered(int fd) {
  int waiting_bytes = 0;
  return ioctl(fd, SIOCOUTQ, &waiting_bytes) != 0 || waiting_bytes == 0;
}

void shutdown_write(int fd) { ::shutdown(fd, SHUT_WR); }
void shutdown_both(int fd) { ::shutdown(fd, SHUT_RDWR); }

bool send_at_once(int fd, std::string_view bytes) {
  return ::send(fd, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size());
}

void set_no_delay(int fd) { set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1); }

}  // namespace ringside::sockets
