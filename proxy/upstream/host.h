#pragma once
// One upstream address as all workers and the admin pages see it: immutable but for its counters, one set per worker, and its health.
#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/address.h"
#include "proxy/specs.h"

namespace ringside {

enum class HostStat : uint8_t { cx_active, cx_connect_fail, cx_total, rq_active, rq_error, rq_success, rq_timeout, rq_total, count_ };

class HostCells {
 public:
  void add(HostStat stat, uint64_t by = 1) {
    std::atomic<uint64_t>& cell = cells_[static_cast<size_t>(stat)];
    cell.store(cell.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
  }
  void subtract(HostStat stat) { add(stat, static_cast<uint64_t>(-1)); }
  uint64_t read(HostStat stat) const { return cells_[static_cast<size_t>(stat)].load(std::memory_order_relaxed); }

 private:
  std::array<std::atomic<uint64_t>, static_cast<size_t>(HostStat::count_)> cells_{};
};

class Host {
 public:
  // `socket` as in EndpointSpec.
  Host(const Address& address, std::string hostname, uint32_t weight, uint32_t workers, uint32_t socket = 0,
       EndpointHealthSpec health = {})
      : address_(address), text_(address.text()), hostname_(std::move(hostname)), weight_(weight), workers_(workers), socket_(socket),
        health_spec_(std::move(health)), flags_(health_spec_.flags.bits()), cells_(std::make_unique<HostCells[]>(workers)) {}
  const Address& address() const { return address_; }
  const std::string& text() const { return text_; }
  const std::string& hostname() const { return hostname_; }
  uint32_t weight() const { return weight_; }
  uint32_t socket() const { return socket_; }
  const EndpointHealthSpec& health_spec() const { return health_spec_; }
  // Written by the control thread only, which then tells the workers to look.
  HealthFlags health() const { return HealthFlags(flags_.load(std::memory_order_relaxed)); }
  void set_health(HealthFlags flags) { flags_.store(flags.bits(), std::memory_order_relaxed); }
  HostCells& cells(uint32_t worker) const { return cells_[worker]; }
  uint64_t total(HostStat stat) const {
    uint64_t sum = 0;
    for (uint32_t worker = 0; worker < workers_; ++worker) sum += cells_[worker].read(stat);
    return sum;
  }

 private:
  Address address_;
  std::string text_;
  std::string hostname_;
  uint32_t weight_;
  uint32_t workers_;
  uint32_t socket_;
  EndpointHealthSpec health_spec_;
  std::atomic<uint16_t> flags_;
  std::unique_ptr<HostCells[]> cells_;
};

struct HealthCounts {
  size_t total = 0, healthy = 0, degraded = 0, excluded = 0;
  void add(HealthFlags flags) {
    ++total;
    if (flags.health() == Health::healthy) ++healthy;
    if (flags.health() == Health::degraded) ++degraded;
    if (flags.excluded()) ++excluded;
  }
};

// All hosts of a cluster at one time. Immutable; a change makes a new one that shares the hosts that stay.
struct HostSet {
  std::vector<std::shared_ptr<Host>> hosts;
  HealthCounts counts() const {
    HealthCounts counts;
    for (const std::shared_ptr<Host>& host : hosts) counts.add(host->health());
    return counts;
  }
};

}  // namespace ringside
