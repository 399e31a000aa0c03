#include "control/dns_resolver.h"

#include <ares.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <utility>

#include "control/control_limits.h"
#include "core/log.h"

namespace ringside {

// One call of resolve(), from its start to the user's call. Owned by c-ares' callback argument, then by Impl::done.
struct DnsRunning {
  DnsResolver::Impl& resolver;
  DnsQuery* query;  // null: cancelled
  std::string host;
  int family;                      // AF_*, of the look-up that runs
  std::optional<int> then_family;  // to try when that finds nothing
  DnsAnswer answer;
};

namespace {

struct FamilyOrder {
  int first;
  std::optional<int> then;
};

FamilyOrder order_of(DnsFamily family) {
  switch (family) {
    case DnsFamily::v4_only: return {AF_INET, std::nullopt};
    case DnsFamily::v6_only: return {AF_INET6, std::nullopt};
    case DnsFamily::automatic: return {AF_INET6, AF_INET};
    case DnsFamily::v4_preferred: return {AF_INET, AF_INET6};
    case DnsFamily::all: return {AF_UNSPEC, std::nullopt};
  }
  std::unreachable();
}

// The library is told how to make and use sockets for one reason: it must not close one that the ring still polls.
ares_socket_t open_socket(int family, int type, int protocol, void*) {
  return ::socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
}
int connect_socket(ares_socket_t fd, const sockaddr* address, ares_socklen_t size, void*) {
  return ::connect(fd, address, size);
}
ares_ssize_t receive_from(ares_socket_t fd, void* data, size_t size, int flags, sockaddr* from,
                          ares_socklen_t* from_size, void*) {
  return ::recvfrom(fd, data, size, flags, from, from_size);
}
ares_ssize_t send_pieces(ares_socket_t fd, const iovec* pieces, int count, void*) {
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(pieces);
  message.msg_iovlen = static_cast<size_t>(count);
  return ::sendmsg(fd, &message, MSG_NOSIGNAL);
}

DnsStatus status_of(int ares_status) {
  if (ares_status == ARES_SUCCESS) return DnsStatus::ok;
  return ares_status == ARES_ENOTFOUND || ares_status == ARES_ENODATA ? DnsStatus::not_found : DnsStatus::failed;
}

DnsAnswer answer_of(int ares_status, const ares_addrinfo* found) {
  DnsAnswer answer{.status = status_of(ares_status), .error = ares_strerror(ares_status)};
  if (answer.status != DnsStatus::ok) return answer;
  Duration ttl = Duration::max();
  for (const ares_addrinfo_node* node = found->nodes; node != nullptr; node = node->ai_next) {
    if (answer.addresses.size() == limits::dns_addresses_max) break;
    if (node->ai_family != AF_INET && node->ai_family != AF_INET6) continue;
    Address address = Address::from_sockaddr(node->ai_addr, static_cast<socklen_t>(node->ai_addrlen));
    address.set_port(0);
    answer.addresses.push_back(address);
    ttl = std::min<Duration>(ttl, seconds(std::max(0, node->ai_ttl)));
  }
  if (answer.addresses.empty()) return {.status = DnsStatus::not_found, .error = "no address in the answer"};
  answer.ttl = ttl;
  return answer;
}

}  // namespace

// --- Sockets ---------------------------------------------------------------------------------------------------------------

struct DnsResolver::Impl {
  // A socket of the library: polled by the ring, closed when the poll has ended.
  class Socket final : public Retired {
   public:
    Socket(Impl& owner, int fd) : owner_(owner), fd_(fd) {}
    int fd() const { return fd_; }
    void want(uint32_t events);
    void close();
    // Lets the library read and write while there is something to do. False when it ran out of rounds.
    bool work();

   private:
    void on_poll(Cqe cqe);
    void end();
    Impl& owner_;
    int fd_;
    uint32_t wanted_ = 0;  // POLLIN, POLLOUT
    uint32_t polled_ = 0;
    bool closing_ = false;
    OpFor<Socket, &Socket::on_poll> poll_{*this};
  };

  Impl(Worker& w, Settings s) : worker(w), settings(std::move(s)) {}

  bool open_channel();
  void close_channel();
  void look_up(DnsRunning& running);
  void on_answer(DnsRunning& running, int ares_status, const ares_addrinfo* found);
  void finish(DnsRunning& running);
  void work_all();
  void arm_timeout();
  void deliver();
  Socket* find(int fd) {
    const auto at =
        std::find_if(sockets.begin(), sockets.end(), [&](const Socket* socket) { return socket->fd() == fd; });
    return at != sockets.end() ? *at : nullptr;
  }

  Worker& worker;
  const Settings settings;
  ares_channel channel = nullptr;
  bool channel_stale = false;    // its servers do not answer: read the system's again when nothing runs
  uint32_t asked = 0;            // look-ups inside the library
  std::vector<Socket*> sockets;  // retired when closed
  std::vector<std::unique_ptr<DnsRunning>> done;
  TimerFor<Impl, &Impl::work_all> timeout{*this};
  TimerFor<Impl, &Impl::deliver> delivery{*this};
};

void DnsResolver::Impl::Socket::want(uint32_t events) {
  wanted_ = events;
  if (closing_ || polled_ == events) return;
  if (poll_.in_flight()) return owner_.worker.ring().cancel(poll_);
  if (wanted_ == 0) return;
  polled_ = wanted_;
  owner_.worker.ring().poll_multishot(poll_, fd_, polled_);
}

void DnsResolver::Impl::Socket::on_poll(Cqe cqe) {
  if (!closing_ && cqe.result > 0) {
    if (!work())
      owner_.worker.arm(owner_.timeout, Duration::zero());
    else
      owner_.arm_timeout();
  }
  if (poll_.in_flight()) return;
  if (closing_) return end();
  polled_ = 0;
  // A poll that failed for any reason but ours is not tried again: the library's own timeout ends the query.
  if (cqe.result >= 0 || cqe.result == -ECANCELED) want(wanted_);
}

// The library takes one piece from a TCP socket at a time, and a poll tells of news only: so go on until nothing is left.
bool DnsResolver::Impl::Socket::work() {
  constexpr int rounds_max = 64;
  for (int round = 0; round < rounds_max; ++round) {
    if (closing_ || wanted_ == 0 || owner_.channel == nullptr) return true;
    pollfd ready{fd_, static_cast<short>(wanted_), 0};
    if (::poll(&ready, 1, 0) <= 0) return true;
    const bool readable = (ready.revents & (POLLIN | POLLERR | POLLHUP)) != 0;
    const bool writable = (ready.revents & POLLOUT) != 0;
    ares_process_fd(owner_.channel, readable ? fd_ : ARES_SOCKET_BAD, writable ? fd_ : ARES_SOCKET_BAD);
  }
  return false;
}

void DnsResolver::Impl::Socket::close() {
  closing_ = true;
  if (poll_.in_flight()) return owner_.worker.ring().cancel(poll_);
  end();
}

void DnsResolver::Impl::Socket::end() {
  if (fd_ < 0) return;  // closed from within its own poll
  std::erase(owner_.sockets, this);
  ::close(std::exchange(fd_, -1));
  owner_.worker.retire(*this);
}

// --- The channel -------------------------------------------------------------------------------------------------------------

bool DnsResolver::Impl::open_channel() {
  if (channel != nullptr && channel_stale && asked == 0) close_channel();
  if (channel != nullptr) return true;
  char file_and_servers[] = "fb", servers_only[] = "b";
  ares_options options{};
  options.timeout = static_cast<int>(settings.timeout / milliseconds(1));
  options.tries = static_cast<int>(settings.tries);
  options.lookups = settings.use_hosts_file ? file_and_servers : servers_only;
  options.sock_state_cb_data = this;
  options.sock_state_cb = [](void* self, ares_socket_t fd, int readable, int writable) {
    auto& impl = *static_cast<Impl*>(self);
    const auto events = static_cast<uint32_t>((readable != 0 ? POLLIN : 0) | (writable != 0 ? POLLOUT : 0));
    Socket* socket = impl.find(fd);
    if (socket == nullptr && events != 0) socket = impl.sockets.emplace_back(new Socket(impl, fd));
    if (socket != nullptr) socket->want(events);
  };
  const int mask = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB;
  if (ares_init_options(&channel, &options, mask) != ARES_SUCCESS) {
    channel = nullptr;
    return false;
  }
  static constexpr ares_socket_functions functions{
      .asocket = &open_socket,
      .aclose = [](ares_socket_t fd, void* self) -> int {
        Socket* socket = static_cast<Impl*>(self)->find(fd);
        if (socket == nullptr) return ::close(fd);
        socket->close();
        return 0;
      },
      .aconnect = &connect_socket,
      .arecvfrom = &receive_from,
      .asendv = &send_pieces,
  };
  ares_set_socket_functions(channel, &functions, this);
  channel_stale = false;
  if (!settings.servers.empty() && ares_set_servers_ports_csv(channel, settings.servers.c_str()) != ARES_SUCCESS) {
    close_channel();
    return false;
  }
  return true;
}

void DnsResolver::Impl::close_channel() {
  if (channel == nullptr) return;
  ares_channel ending = channel;
  channel = nullptr;
  ares_destroy(ending);
  timeout.disarm();
}

void DnsResolver::Impl::arm_timeout() {
  if (channel == nullptr) return;
  timeval wait{};
  if (ares_timeout(channel, nullptr, &wait) == nullptr) return timeout.disarm();
  // One more millisecond, because the library reads a finer clock than the wheel turns by.
  worker.arm(timeout, seconds(wait.tv_sec) + microseconds(wait.tv_usec) + milliseconds(1));
}

void DnsResolver::Impl::work_all() {
  const std::vector<Socket*> present = sockets;  // those that close meanwhile live to the end of the turn
  bool all = true;
  for (Socket* socket : present) all = socket->work() && all;
  if (channel == nullptr) return;
  ares_process_fd(channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
  if (all) return arm_timeout();
  worker.arm(timeout, Duration::zero());
}

// --- Queries -----------------------------------------------------------------------------------------------------------------

void DnsResolver::Impl::look_up(DnsRunning& running) {
  ares_addrinfo_hints hints{};
  hints.ai_family = running.family;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = ARES_AI_NOSORT;
  ++asked;
  ares_getaddrinfo(
      channel, running.host.c_str(), nullptr, &hints,
      [](void* argument, int status, int, ares_addrinfo* found) {
        auto& ended = *static_cast<DnsRunning*>(argument);
        ended.resolver.on_answer(ended, status, found);
        if (found != nullptr) ares_freeaddrinfo(found);
      },
      &running);
}

void DnsResolver::Impl::on_answer(DnsRunning& running, int ares_status, const ares_addrinfo* found) {
  --asked;
  if (channel == nullptr) {  // the end of everything
    if (running.query != nullptr) running.query->running_ = nullptr;
    delete &running;
    return;
  }
  if (ares_status == ARES_ECONNREFUSED || ares_status == ARES_ETIMEOUT) channel_stale = settings.servers.empty();
  running.answer = answer_of(ares_status, found);
  RS_LOG_DEBUG(dns, "{} family {}: {}, {} addresses", running.host, running.family, running.answer.error,
               running.answer.addresses.size());
  if (running.answer.status != DnsStatus::ok && running.then_family && running.query != nullptr) {
    running.family = *running.then_family;
    running.then_family.reset();
    return look_up(running);
  }
  finish(running);
}

void DnsResolver::Impl::finish(DnsRunning& running) {
  done.emplace_back(&running);
  worker.arm(delivery, Duration::zero());
}

void DnsResolver::Impl::deliver() {
  while (!done.empty()) {
    const std::unique_ptr<DnsRunning> running = std::move(done.front());
    done.erase(done.begin());
    DnsQuery* query = running->query;
    if (query == nullptr) continue;
    query->running_ = nullptr;
    query->user_.on_resolved(std::move(running->answer));
  }
}

// --- The outside -------------------------------------------------------------------------------------------------------------

DnsQuery::~DnsQuery() {
  if (running_ != nullptr) running_->query = nullptr;
}

DnsResolver::DnsResolver(Worker& worker, Settings settings)
    : impl_(std::make_unique<Impl>(worker, std::move(settings))) {
  RS_CHECK(ares_library_init(ARES_LIB_INIT_ALL) == ARES_SUCCESS);
}

DnsResolver::~DnsResolver() {
  RS_CHECK(quiet());
  ares_library_cleanup();
}

void DnsResolver::resolve(DnsQuery& query, const std::string& host, DnsFamily family) {
  RS_CHECK(!query.running());
  const FamilyOrder order = order_of(family);
  auto* running = new DnsRunning{*impl_, &query, host, order.first, order.then, {}};
  query.running_ = running;
  if (const std::optional<Address> literal = Address::from_ip(host, 0)) {
    running->answer = {.status = DnsStatus::ok, .addresses = {*literal}, .error = "literal"};
    return impl_->finish(*running);
  }
  if (!impl_->open_channel()) {
    running->answer.error = "the resolver could not be set up";
    return impl_->finish(*running);
  }
  impl_->look_up(*running);
  impl_->arm_timeout();
}

void DnsResolver::cancel(DnsQuery& query) {
  if (query.running_ == nullptr) return;
  query.running_->query = nullptr;
  query.running_ = nullptr;
}

void DnsResolver::close() {
  impl_->close_channel();
  for (const std::unique_ptr<DnsRunning>& running : impl_->done)
    if (running->query != nullptr) running->query->running_ = nullptr;
  impl_->done.clear();
  impl_->delivery.disarm();
}

bool DnsResolver::quiet() const { return impl_->channel == nullptr && impl_->sockets.empty() && impl_->done.empty(); }

}  // namespace ringside
