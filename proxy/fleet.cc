#include "proxy/fleet.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

#include "core/log.h"
#include "core/sockets.h"
#include "proxy/fleet_worker.h"

namespace ringside {
namespace {

// The kernel takes an io_uring down after its process has gone, so that an address stays busy for moments after the exit of a
// predecessor that was killed.
Result<int> listen_patiently(const Address& address, const ListenOptions& options, int* error_number) {
  constexpr auto pause = std::chrono::milliseconds(20);
  for (int attempts = 50; attempts > 1; --attempts) {
    const Result<int> fd = sockets::listen_on(address, options, error_number);
    if (fd || *error_number != EADDRINUSE) return fd;
    std::this_thread::sleep_for(pause);
  }
  return sockets::listen_on(address, options, error_number);
}

}  // namespace

Fleet::Fleet(FleetOptions options, StatsRegistry& registry) : options_(std::move(options)), registry_(registry) {}

Fleet::~Fleet() { stop(); }

std::expected<void, std::string> Fleet::bind_all(const Snapshot& snapshot, std::vector<std::vector<int>>* fds) {
  for (const std::shared_ptr<const ListenerEntry>& entry : snapshot.listeners) {
    const ListenerSpec& spec = entry->spec;
    Address address = spec.address;
    for (uint32_t worker = 0; worker < options_.workers; ++worker) {
      std::vector<int>& own = (*fds)[worker];
      if (!spec.bind_to_port) {
        own.push_back(-1);
        continue;
      }
      const bool reuse = spec.enable_reuse_port && address.is_ip();
      if (worker > 0 && !reuse) {  // one socket, accepted from by all
        own.push_back(fcntl((*fds)[0].back(), F_DUPFD_CLOEXEC, 0));
        continue;
      }
      int error_number = 0;
      const Result<int> fd = listen_patiently(
          address, {.reuse_port = reuse, .backlog = spec.tcp_backlog, .ipv4_too = spec.ipv4_compat}, &error_number);
      if (!fd) return std::unexpected("cannot bind '" + address.text() + "': " + std::strerror(error_number));
      own.push_back(*fd);
      if (address.is_ip() && address.port() == 0) address = sockets::local_address(*fd);
    }
    bound_.push_back(address);
  }
  return {};
}

std::expected<void, std::string> Fleet::start(std::shared_ptr<const Snapshot> snapshot) {
  std::vector<std::vector<int>> fds(options_.workers);
  if (auto bound = bind_all(*snapshot, &fds); !bound) {
    for (const std::vector<int>& own : fds)
      for (const int fd : own)
        if (fd >= 0) ::close(fd);
    return bound;
  }
  for (uint32_t worker = 0; worker < options_.workers; ++worker) {
    const int cpu = options_.cpus.empty() ? -1 : options_.cpus[worker % options_.cpus.size()];
    workers_.push_back(std::make_unique<FleetWorker>(FleetWorker::Start{.index = worker,
                                                                        .ring = options_.ring,
                                                                        .cpu = cpu,
                                                                        .shard = options_.shard,
                                                                        .snapshot = snapshot,
                                                                        .listening_fds = fds[worker]},
                                                     registry_));
  }
  for (const std::unique_ptr<FleetWorker>& worker : workers_) {
    std::string why;
    if (!worker->wait_ready(&why)) return std::unexpected(why);
  }
  return {};
}

template <class Action>
void Fleet::post_to_all(Action action) {
  for (const std::unique_ptr<FleetWorker>& worker : workers_) worker->post(action);
}

void Fleet::publish_hosts(uint32_t cluster, std::shared_ptr<const HostSet> hosts) {
  post_to_all([cluster, hosts](Shard& shard) { shard.adopt_hosts(cluster, *hosts); });
}
void Fleet::publish_tls(TlsContextPtr first, TlsContextPtr now) {
  post_to_all([first, now](Shard& shard) { shard.adopt_tls(first, now); });
}
void Fleet::publish_health(uint32_t cluster) {
  post_to_all([cluster](Shard& shard) { shard.adopt_health(cluster); });
}
void Fleet::stop_accepting() {
  post_to_all([](Shard& shard) { shard.stop_accepting(); });
}
void Fleet::drain() {
  post_to_all([](Shard& shard) { shard.drain(); });
}
void Fleet::reopen_logs() {
  post_to_all([](Shard& shard) { shard.reopen_logs(); });
}
void Fleet::flush_logs() {
  post_to_all([](Shard& shard) { shard.flush_logs(); });
}

uint32_t Fleet::connections() const {
  uint32_t sum = 0;
  for (const std::unique_ptr<FleetWorker>& worker : workers_) sum += worker->connections();
  return sum;
}

void Fleet::stop() {
  for (const std::unique_ptr<FleetWorker>& worker : workers_) worker->stop();
  workers_.clear();
}

}  // namespace ringside
