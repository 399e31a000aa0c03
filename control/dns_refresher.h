#pragma once
// Keeps the addresses of STRICT_DNS clusters true: resolves every endpoint at the start and again after dns_refresh_rate (or
// after the answer's TTL), and tells the data plane what it found. A failed look-up keeps the last good answer.
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "control/dns_resolver.h"
#include "core/address.h"
#include "core/stats.h"
#include "core/worker.h"
#include "proxy/specs.h"

namespace ringside {

struct ResolvedEndpoint {
  Address address = {};       // with its port
  std::string hostname = {};  // endpoint.hostname if set, else the DNS name
  uint32_t weight = 1;
  uint32_t socket = 0;        // as in EndpointSpec
  EndpointHealthSpec health = {};
  bool operator==(const ResolvedEndpoint&) const = default;
};

// Implemented by whoever hands addresses to the workers; called on the control thread.
class EndpointsPort {
 public:
  // All addresses of the cluster from here on, without duplicates, in the order of its endpoints; called only when they changed.
  // `cluster` is the index in the specs.
  virtual void publish_endpoints(uint32_t cluster, const std::string& name,
                                 std::vector<ResolvedEndpoint> endpoints) = 0;
  // Every cluster was resolved once, or failed, or the initial timeout passed. Exactly once after start(), also when there is
  // nothing to resolve; never from inside start().
  virtual void on_first_resolution() = 0;

 protected:
  ~EndpointsPort() = default;
};

class DnsRefresher {
 public:
  struct Settings {
    Duration initial_timeout = seconds(5);
  };
  // `clusters` lives as long as the refresher; those that are not STRICT_DNS are passed over.
  DnsRefresher(Worker& worker, DnsResolver& resolver, StatsRegistry& registry, EndpointsPort& port,
               const std::vector<ClusterSpec>& clusters, Settings settings);
  ~DnsRefresher();
  DnsRefresher(const DnsRefresher&) = delete;
  DnsRefresher& operator=(const DnsRefresher&) = delete;

  void start();
  // Cancels what is running. Nothing is published any more.
  void stop();
  // Names of clusters without a first answer: for /init_dump.
  std::vector<std::string> unresolved() const;

 private:
  class Target;  // one endpoint with a name
  class Entry;   // one cluster
  void on_entry_done();
  void on_initial_timeout();
  void announce();

  Worker& worker_;
  DnsResolver& resolver_;
  EndpointsPort& port_;
  const Settings settings_;
  std::vector<std::unique_ptr<Entry>> entries_;
  uint32_t waiting_for_ = 0;  // entries without a first result
  bool announced_ = false;
  TimerFor<DnsRefresher, &DnsRefresher::on_initial_timeout> initial_timer_{*this};
};

}  // namespace ringside
