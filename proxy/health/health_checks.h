#pragma once
// The active health checks of all clusters. They run on the control thread, once for all workers: results are flags of the shared
// hosts, and the workers are told when to look at them.
#include <memory>
#include <string>
#include <vector>

#include "core/stats.h"
#include "core/worker.h"
#include "proxy/snapshot.h"
#include "proxy/upstream/cluster.h"

namespace ringside {

class HealthPort {
 public:
  // Hosts of the cluster (by its index) became healthy or unhealthy, or the like: their flags say it already.
  virtual void on_health_changed(uint32_t cluster) = 0;
  // Every host that there was had its first result. May come again when hosts were added.
  virtual void on_health_warm() = 0;

 protected:
  ~HealthPort() = default;
};

class HealthChecks final : private Flushable {
 public:
  HealthChecks(Worker& worker, StatsRegistry& registry, HealthPort& port);
  ~HealthChecks();

  // Checks what the snapshot's clusters want checked; hosts come by adopt().
  void start(const Snapshot& snapshot);
  // These are the cluster's hosts now: those that stay go on, new ones count as failed until their first result.
  void adopt(uint32_t cluster, const HostSet& hosts);
  // As Shard::adopt_tls.
  void adopt_tls(const TlsContextPtr& first, const TlsContextPtr& now);
  // No host waits for its first result.
  bool warm() const;
  // Names of clusters with a host that does, for /init_dump.
  std::vector<std::string> unready() const;
  // Ends all checks; quiet() becomes true some turns later.
  void stop();
  bool quiet() const;

 private:
  class ClusterChecks;
  void on_flush() override;
  void publish_stats();

  Worker& worker_;
  StatsRegistry& registry_;
  HealthPort& port_;
  CodecPools pools_;
  std::vector<std::unique_ptr<ClusterChecks>> clusters_;  // by index; null: not checked
  bool warm_told_ = true;
  bool stopped_ = false;
  TimerFor<HealthChecks, &HealthChecks::publish_stats> stats_timer_{*this};
};

}  // namespace ringside
