#include "server.h"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/log.h"
#include "core/start_pages.h"

namespace ringside {
namespace {

constexpr Duration drained_check_interval = milliseconds(50);

std::vector<int> allowed_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> cpus;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
    if (CPU_ISSET(static_cast<size_t>(cpu), &set)) cpus.push_back(cpu);
  return cpus;
}

// Empty when it can be written.
std::string try_access_log(const std::string& path) {
  if (path == "/dev/stdout" || path == "/dev/stderr") return {};
  const int fd = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) return "unable to open file '" + path + "': " + std::strerror(errno);
  ::close(fd);
  return {};
}

}  // namespace

Server::Server(const Options& options, Specs specs, Worker& worker, StatsRegistry& registry, RingKind ring, Instant started)
    : options_(options),
      specs_(std::move(specs)),
      worker_(worker),
      registry_(registry),
      ring_(ring),
      started_(started),
      listener_stats_(registry.control_cells().block(registry.group<ListenerManagerStat>({.prefix = "listener_manager."}))),
      cluster_stats_(registry.control_cells().block(registry.group<ClusterManagerStat>({.prefix = "cluster_manager."}))),
      server_stats_(registry.control_cells().block(registry.group<ServerStat>({.prefix = "server."}))),
      fleet_(fleet_options(), registry),
      health_(worker, registry, *this),
      control_(worker, registry, *this, *this, *this, specs_) {}

Server::~Server() = default;

FleetOptions Server::fleet_options() const {
  FleetOptions fleet;
  fleet.workers = options_.concurrency;
  fleet.ring = ring_;
  if (options_.affinity.kind == AffinityKind::list) fleet.cpus = options_.affinity.cpus;
  if (options_.affinity.kind == AffinityKind::automatic) fleet.cpus = allowed_cpus();
  fleet.shard.logs.flush_interval = options_.file_flush_interval;
  fleet.shard.logs.flush_bytes = size_t{options_.file_flush_min_size_kb} * 1024;
  return fleet;
}

// --- starting ----------------------------------------------------------------------------------------------------------

std::expected<void, std::string> Server::run() {
  auto snapshot = Snapshot::build(specs_, registry_, options_.concurrency);
  if (!snapshot) return std::unexpected(snapshot.error());
  snapshot_ = *snapshot;
  if (auto opened = try_access_logs(); !opened) return opened;
  for (uint32_t cluster = 0; cluster < snapshot_->clusters.size(); ++cluster) {
    hosts_.push_back(snapshot_->clusters[cluster]->hosts);
    count_members(cluster);
    registry_.control_cells().block(snapshot_->clusters[cluster]->stats).inc(ClusterStat::membership_change);
  }
  cluster_stats_.inc(ClusterManagerStat::cluster_added, snapshot_->clusters.size());
  cluster_stats_.set(ClusterManagerStat::active_clusters, static_cast<int64_t>(snapshot_->clusters.size()));
  server_stats_.set(ServerStat::concurrency, options_.concurrency);
  if (auto started = control_.start(); !started) return started;
  health_.start(*snapshot_);
  for (uint32_t cluster = 0; cluster < hosts_.size(); ++cluster) {
    health_.adopt(cluster, *hosts_[cluster]);
    count_members(cluster);
  }
  control_.start_dns();
  control_.run();
  health_.stop();
  while (!health_.quiet()) worker_.turn(milliseconds(10));
  fleet_.stop();
  if (!failure_.empty()) return std::unexpected(failure_);
  return {};
}

// A log that cannot be written is said now, not with the first request.
std::expected<void, std::string> Server::try_access_logs() const {
  for (const auto& listener : snapshot_->listeners) {
    for (const ChainEntry& chain : listener->chains) {
      const FilterChainSpec& spec = *chain.spec;
      for (const AccessLogSpec& log : spec.http != nullptr ? spec.http->access_logs : spec.tcp->access_logs) {
        if (std::string problem = try_access_log(log.path); !problem.empty()) return std::unexpected(std::move(problem));
      }
    }
  }
  return {};
}

void Server::on_first_resolution() {
  resolved_ = true;
  start_when_warm();
}

// As soon as every name was resolved and every host was checked once, the listeners may open.
void Server::start_when_warm() {
  if (resolved_ && !live_ && !shutting_down_ && failure_.empty() && health_.warm()) start_fleet();
}

void Server::start_fleet() {
  // Addresses that were resolved meanwhile are part of what the workers start with.
  auto warm = std::make_shared<Snapshot>(*snapshot_);
  for (size_t cluster = 0; cluster < hosts_.size(); ++cluster) {
    auto entry = std::make_shared<ClusterEntry>(*warm->clusters[cluster]);
    entry->hosts = hosts_[cluster];
    warm->clusters[cluster] = entry;
  }
  if (auto started = fleet_.start(warm); !started) {
    failure_ = started.error();
    return control_.stop();
  }
  live_ = true;
  for (const auto& [first, now] : tls_now_) fleet_.publish_tls(first, now);
  listener_stats_.inc(ListenerManagerStat::listener_added, specs_.listeners.size());
  listener_stats_.inc(ListenerManagerStat::listener_create_success, specs_.listeners.size() * options_.concurrency);
  listener_stats_.set(ListenerManagerStat::total_listeners_active, static_cast<int64_t>(specs_.listeners.size()));
  listener_stats_.set(ListenerManagerStat::workers_started, 1);
  server_stats_.record(ServerStat::initialization_time_ms, static_cast<uint64_t>(uptime() / milliseconds(1)));
  RS_LOG_INFO(main, "all clusters initialized; {} workers accept on {} listeners", options_.concurrency,
              specs_.listeners.size());
  drop_start_pages();
}

// --- endpoints ---------------------------------------------------------------------------------------------------------

void Server::publish_endpoints(uint32_t cluster, const std::string& name, std::vector<ResolvedEndpoint> endpoints) {
  static_cast<void>(name);
  auto next = std::make_shared<HostSet>();
  for (const ResolvedEndpoint& endpoint : endpoints) {
    // A host that stays keeps its counters, and on the workers its connections.
    const auto& present = hosts_[cluster]->hosts;
    const auto same = std::find_if(present.begin(), present.end(), [&](const std::shared_ptr<Host>& host) {
      return host->address() == endpoint.address && host->hostname() == endpoint.hostname && host->weight() == endpoint.weight &&
             host->socket() == endpoint.socket &&
             host->health_spec() == endpoint.health;
    });
    next->hosts.push_back(same != present.end() ? *same
                                                : std::make_shared<Host>(endpoint.address, endpoint.hostname, endpoint.weight,
                                                                         options_.concurrency, endpoint.socket, endpoint.health));
  }
  keep_healthy(cluster, *next);
  registry_.control_cells().block(snapshot_->clusters[cluster]->stats).inc(ClusterStat::membership_change);
  replace_hosts(cluster, std::move(next));
}

void Server::publish_tls(TlsContextPtr first, TlsContextPtr now) {
  tls_now_[first] = now;
  health_.adopt_tls(first, now);
  if (live_) fleet_.publish_tls(std::move(first), std::move(now));
}

// Its checks are better evidence of a host than a name is: one that passes them stays until it does not.
void Server::keep_healthy(uint32_t cluster, HostSet& next) const {
  const ClusterSpec& spec = *snapshot_->clusters[cluster]->spec;
  if (spec.health_check == nullptr || spec.ignore_health_on_removal) return;
  const auto mark = [](Host& host, bool leaving) {
    HealthFlags flags = host.health();
    flags.put(HealthFlag::pending_dynamic_removal, leaving);
    host.set_health(flags);
  };
  for (const std::shared_ptr<Host>& host : next.hosts) mark(*host, false);
  for (const std::shared_ptr<Host>& host : hosts_[cluster]->hosts) {
    if (std::find(next.hosts.begin(), next.hosts.end(), host) != next.hosts.end()) continue;
    if (host->health_spec().check_disabled || host->health().health() == Health::unhealthy) continue;
    mark(*host, true);
    next.hosts.push_back(host);
  }
}

void Server::replace_hosts(uint32_t cluster, std::shared_ptr<HostSet> hosts) {
  health_.adopt(cluster, *hosts);
  hosts_[cluster] = std::move(hosts);
  count_members(cluster);
  if (live_) fleet_.publish_hosts(cluster, hosts_[cluster]);
}

void Server::on_health_changed(uint32_t cluster) {
  auto rest = std::make_shared<HostSet>(*hosts_[cluster]);
  const auto is_leaving = [](const std::shared_ptr<Host>& host) {
    return host->health().has(HealthFlag::pending_dynamic_removal) && host->health().has(HealthFlag::failed_active_hc);
  };
  if (std::erase_if(rest->hosts, is_leaving) > 0) {
    registry_.control_cells().block(snapshot_->clusters[cluster]->stats).inc(ClusterStat::membership_change);
    return replace_hosts(cluster, std::move(rest));
  }
  count_members(cluster);
  if (live_) fleet_.publish_health(cluster);
}

void Server::count_members(uint32_t cluster) {
  StatBlock<ClusterStat> stats = registry_.control_cells().block(snapshot_->clusters[cluster]->stats);
  const HealthCounts counts = hosts_[cluster]->counts();
  stats.set(ClusterStat::membership_total, static_cast<int64_t>(counts.total));
  stats.set(ClusterStat::membership_healthy, static_cast<int64_t>(counts.healthy));
  stats.set(ClusterStat::membership_degraded, static_cast<int64_t>(counts.degraded));
  stats.set(ClusterStat::membership_excluded, static_cast<int64_t>(counts.excluded));
}

// --- what the admin pages show -----------------------------------------------------------------------------------------

ServerState Server::state() const {
  if (draining_ || !healthy_) return ServerState::draining;
  return live_ ? ServerState::live : ServerState::initializing;
}

std::vector<ClusterStatus> Server::clusters() const {
  std::vector<ClusterStatus> result;
  for (size_t cluster = 0; cluster < hosts_.size(); ++cluster) {
    const ClusterSpec& spec = *snapshot_->clusters[cluster]->spec;
    ClusterStatus status{.name = spec.name,
                         .observability_name = spec.alt_stat_name,
                         .thresholds = spec.thresholds,
                         .thresholds_high = spec.thresholds_high};
    for (const std::shared_ptr<Host>& host : hosts_[cluster]->hosts)
      status.hosts.push_back({.address = host->address(),
                              .hostname = host->hostname(),
                              .weight = host->weight(),
                              .health = host->health(),
                              .cx_active = host->total(HostStat::cx_active),
                              .cx_connect_fail = host->total(HostStat::cx_connect_fail),
                              .cx_total = host->total(HostStat::cx_total),
                              .rq_active = host->total(HostStat::rq_active),
                              .rq_error = host->total(HostStat::rq_error),
                              .rq_success = host->total(HostStat::rq_success),
                              .rq_timeout = host->total(HostStat::rq_timeout),
                              .rq_total = host->total(HostStat::rq_total)});
    result.push_back(std::move(status));
  }
  std::sort(result.begin(), result.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return result;
}

std::vector<ListenerStatus> Server::listeners() const {
  std::vector<ListenerStatus> result;
  for (size_t at = 0; at < specs_.listeners.size(); ++at)
    result.push_back({.name = specs_.listeners[at].name,
                      .address = at < fleet_.bound_addresses().size() ? fleet_.bound_addresses()[at]
                                                                      : specs_.listeners[at].address});
  return result;
}

std::vector<std::string> Server::unready_targets() const {
  if (live_) return {};
  std::vector<std::string> targets = control_.unresolved_clusters();
  for (std::string& name : health_.unready()) targets.push_back(std::move(name));
  return targets;
}

// --- draining and stopping ---------------------------------------------------------------------------------------------

void Server::set_healthy(bool healthy) { healthy_ = healthy; }

void Server::drain_listeners(DrainRequest request) {
  if (!live_) return;
  draining_ = !request.inbound_only;
  fleet_.drain();
  if (request.skip_exit) return;
  if (!request.graceful) {
    fleet_.stop_accepting();
    listener_stats_.inc(ListenerManagerStat::listener_stopped, specs_.listeners.size() * options_.concurrency);
    return;
  }
  drain_deadline_ = worker_.now() + options_.drain_time;
  worker_.arm(drained_timer_, options_.drain_time);
}

// SIGTERM and /quitquitquit end the program at once, as Envoy does; with --drain-on-sigterm the sockets close first and what was
// accepted is served to its end. A second signal does not wait.
void Server::shutdown(ShutdownCause cause) {
  if (shutting_down_ || cause == ShutdownCause::admin || !options_.drain_on_sigterm || !live_) return finish();
  shutting_down_ = true;
  draining_ = true;
  quit_when_drained_ = true;
  RS_LOG_INFO(main, "draining: {} connections, at most {} s", fleet_.connections(), options_.drain_time / seconds(1));
  fleet_.stop_accepting();
  fleet_.drain();
  drain_deadline_ = worker_.now() + options_.drain_time;
  worker_.arm(drained_timer_, 4 * drained_check_interval);  // the counts are a moment old
}

void Server::on_drained_timer() {
  if (!quit_when_drained_) return fleet_.stop_accepting();
  if (fleet_.connections() == 0 || worker_.now() >= drain_deadline_) return finish();
  worker_.arm(drained_timer_, drained_check_interval);
}

void Server::finish() {
  shutting_down_ = true;
  drained_timer_.disarm();
  control_.stop();
}

}  // namespace ringside
