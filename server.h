#pragma once
// The running program: wires the control thread's parts to the fleet. Everything here happens on the control thread.
#include <expected>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "control/admin_port.h"
#include "control/control.h"
#include "control/dns_refresher.h"
#include "control/options.h"
#include "control/tls_watch.h"
#include "core/stats.h"
#include "core/worker.h"
#include "proxy/fleet.h"
#include "proxy/health/health_checks.h"
#include "proxy/specs.h"

namespace ringside {

class Server final : private AdminPort, private EndpointsPort, private TlsPort, private HealthPort {
 public:
  // `worker` is the control thread's own, and index `options.concurrency`.
  Server(const Options& options, Specs specs, Worker& worker, StatsRegistry& registry, RingKind ring, Instant started);
  ~Server();
  // Serves until told to stop. An error's text is for the operator.
  std::expected<void, std::string> run();

 private:
  // AdminPort
  ServerState state() const override;
  Duration uptime() const override { return worker_.now() - started_; }
  const Options& options() const override { return options_; }
  const NodeSpec& node() const override { return specs_.node; }
  std::string_view ring_name() const override { return ring_ == RingKind::uring ? "io_uring" : "epoll"; }
  std::vector<ClusterStatus> clusters() const override;
  std::vector<ListenerStatus> listeners() const override;
  uint64_t connections() const override { return fleet_.connections(); }
  std::vector<std::string> unready_targets() const override;
  void shutdown(ShutdownCause cause) override;
  void drain_listeners(DrainRequest request) override;
  void set_healthy(bool healthy) override;
  void reopen_logs() override { fleet_.reopen_logs(); }
  // EndpointsPort
  void publish_endpoints(uint32_t cluster, const std::string& name, std::vector<ResolvedEndpoint> endpoints) override;
  void on_first_resolution() override;
  // TlsPort
  void publish_tls(TlsContextPtr first, TlsContextPtr now) override;
  // HealthPort
  void on_health_changed(uint32_t cluster) override;
  void on_health_warm() override { start_when_warm(); }

  std::expected<void, std::string> try_access_logs() const;
  void start_when_warm();
  void start_fleet();
  void replace_hosts(uint32_t cluster, std::shared_ptr<HostSet> hosts);
  void keep_healthy(uint32_t cluster, HostSet& next) const;
  void on_drained_timer();
  void finish();
  void count_members(uint32_t cluster);
  FleetOptions fleet_options() const;

  const Options& options_;
  const Specs specs_;
  Worker& worker_;
  StatsRegistry& registry_;
  const RingKind ring_;
  const Instant started_;
  std::shared_ptr<const Snapshot> snapshot_;
  std::map<TlsContextPtr, TlsContextPtr> tls_now_;  // of contexts that were made anew
  std::vector<std::shared_ptr<const HostSet>> hosts_;  // by cluster, as last published
  StatBlock<ListenerManagerStat> listener_stats_;
  StatBlock<ClusterManagerStat> cluster_stats_;
  StatBlock<ServerStat> server_stats_;
  Fleet fleet_;
  HealthChecks health_;
  Control control_;
  std::string failure_;
  bool resolved_ = false;
  bool live_ = false;
  bool healthy_ = true;
  bool draining_ = false;
  bool shutting_down_ = false;
  bool quit_when_drained_ = false;
  Instant drain_deadline_{};
  TimerFor<Server, &Server::on_drained_timer> drained_timer_{*this};
};

}  // namespace ringside
