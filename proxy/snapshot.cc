#include "proxy/snapshot.h"

#include <unordered_map>

namespace ringside {
namespace {

std::shared_ptr<const HostSet> fixed_hosts(const ClusterSpec& spec, uint32_t workers) {
  auto hosts = std::make_shared<HostSet>();
  for (const EndpointSpec& endpoint : spec.endpoints)
    if (!endpoint.address.empty())
      hosts->hosts.push_back(std::make_shared<Host>(endpoint.address, endpoint.hostname, endpoint.weight, workers, endpoint.health));
  return hosts;
}

std::shared_ptr<const ClusterEntry> build_cluster(const ClusterSpec& spec, StatsRegistry& stats, uint32_t workers) {
  auto entry = std::make_shared<ClusterEntry>();
  entry->spec = std::make_shared<const ClusterSpec>(spec);
  const StatScope scope = cluster_scope(spec.alt_stat_name.empty() ? spec.name : spec.alt_stat_name);
  entry->stats = stats.group<ClusterStat>(scope);
  if (spec.tls != nullptr) entry->tls_stats = stats.group<TlsStat>(scope);
  entry->breaker = std::make_shared<BreakerCells>(workers);
  entry->hosts = fixed_hosts(spec, workers);
  return entry;
}

}  // namespace

std::expected<std::shared_ptr<const Snapshot>, std::string> Snapshot::build(const Specs& specs, StatsRegistry& stats,
                                                                             uint32_t workers) {
  auto snapshot = std::make_shared<Snapshot>();
  ClusterNames index;
  for (const ClusterSpec& spec : specs.clusters) {
    if (const HealthCheckSpec* check = spec.health_check.get())
      if (auto edit = HeaderEdit::build(check->headers_remove, check->headers_add); !edit)
        return std::unexpected(check->where + ": " + edit.error());
    index.emplace(spec.name, static_cast<uint32_t>(snapshot->clusters.size()));
    snapshot->clusters.push_back(build_cluster(spec, stats, workers));
  }
  for (const ListenerSpec& spec : specs.listeners) {
    auto entry = std::make_shared<ListenerEntry>();
    entry->spec = spec;
    entry->stat_address = spec.stat_prefix.empty() ? spec.address.text() : spec.stat_prefix;
    entry->stats = stats.group<ListenerStat>(listener_scope(entry->stat_address));
    if (spec.tls != nullptr) entry->tls_stats = stats.group<TlsStat>(listener_scope(entry->stat_address));
    if (spec.http != nullptr) {
      auto manager = HttpManager::build(spec.http, specs.node, index);
      if (!manager) return std::unexpected(spec.where + ": " + manager.error());
      entry->http = *manager;
      entry->http_stats = stats.group<HttpStat>(http_scope(spec.http->stat_prefix));
      entry->listener_http_stats =
          stats.group<ListenerHttpStat>(listener_http_scope(entry->stat_address, spec.http->stat_prefix));
    } else if (spec.tcp != nullptr) {
      const auto found = index.find(spec.tcp->cluster);
      if (found == index.end()) return std::unexpected(spec.where + ": unknown cluster " + spec.tcp->cluster);
      entry->tcp_cluster = found->second;
      entry->tcp_stats = stats.group<TcpStat>(tcp_scope(spec.tcp->stat_prefix));
    }
    snapshot->listeners.push_back(std::move(entry));
  }
  return snapshot;
}

}  // namespace ringside
