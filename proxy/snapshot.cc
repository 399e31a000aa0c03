#include "proxy/snapshot.h"

#include <unordered_map>

#include "proxy/mongo/mongo_stats.h"

namespace ringside {
namespace {

std::shared_ptr<const HostSet> fixed_hosts(const ClusterSpec& spec, uint32_t workers) {
  auto hosts = std::make_shared<HostSet>();
  for (const EndpointSpec& endpoint : spec.endpoints)
    if (!endpoint.address.empty())
      hosts->hosts.push_back(std::make_shared<Host>(endpoint.address, endpoint.hostname, endpoint.weight, workers, endpoint.socket,
                                                    endpoint.health));
  return hosts;
}

const std::string& cluster_stat_name(const ClusterSpec& spec) {
  return spec.alt_stat_name.empty() ? spec.name : spec.alt_stat_name;
}

std::shared_ptr<const ClusterEntry> build_cluster(const ClusterSpec& spec, StatsRegistry& stats, uint32_t workers) {
  auto entry = std::make_shared<ClusterEntry>();
  entry->spec = std::make_shared<const ClusterSpec>(spec);
  const StatScope scope = cluster_scope(cluster_stat_name(spec));
  entry->stats = stats.group<ClusterStat>(scope);
  if (spec.any_tls()) entry->tls_stats = stats.group<TlsStat>(scope);
  for (const UpstreamSocketSpec& socket : spec.socket_matches)
    entry->match_stats.push_back(stats.group<SocketMatchStat>(cluster_match_scope(cluster_stat_name(spec), socket.name)));
  entry->breaker = std::make_shared<BreakerCells>(workers);
  entry->hosts = fixed_hosts(spec, workers);
  return entry;
}

struct BuildContext {
  const NodeSpec& node;
  const ClusterNames& index;
  StatsRegistry& stats;
};

std::expected<ChainEntry, std::string> build_chain(const FilterChainSpec& spec, const std::string& stat_address,
                                                   const BuildContext& context) {
  ChainEntry entry;
  entry.spec = &spec;
  if (spec.tls != nullptr) entry.tls_stats = context.stats.group<TlsStat>(listener_scope(stat_address));
  if (spec.http != nullptr) {
    auto manager = HttpManager::build(spec.http, context.node, context.index);
    if (!manager) return std::unexpected(spec.where + ": " + manager.error());
    entry.http = *manager;
    entry.http_stats = context.stats.group<HttpStat>(http_scope(spec.http->stat_prefix));
    entry.listener_http_stats =
        context.stats.group<ListenerHttpStat>(listener_http_scope(stat_address, spec.http->stat_prefix));
  } else if (spec.tcp != nullptr) {
    const auto found = context.index.find(spec.tcp->cluster);
    if (found == context.index.end()) return std::unexpected(spec.where + ": unknown cluster " + spec.tcp->cluster);
    entry.tcp_cluster = found->second;
    entry.tcp_stats = context.stats.group<TcpStat>(tcp_scope(spec.tcp->stat_prefix));
    if (spec.tcp->mongo != nullptr) entry.mongo_stats = MongoChainStats::make(*spec.tcp->mongo, context.stats);
  }
  return entry;
}

void add_filter_stats(const ListenerFilterSpec& filter, StatsRegistry& stats, ListenerEntry& entry) {
  switch (filter.kind) {
    case ListenerFilterKind::original_dst: return;
    case ListenerFilterKind::tls_inspector:
      entry.tls_inspector_stats = stats.group<TlsInspectorStat>({.prefix = "tls_inspector."});
      return;
    case ListenerFilterKind::http_inspector:
      entry.http_inspector_stats = stats.group<HttpInspectorStat>({.prefix = "http_inspector."});
      return;
    case ListenerFilterKind::proxy_protocol:
      entry.proxy_protocol_stats = stats.group<ProxyProtocolStat>(proxy_protocol_scope(filter.stat_prefix));
      entry.proxy_protocol_errors = stats.group<ProxyProtocolErrorStat>({.prefix = ""});
      return;
  }
}

std::expected<std::shared_ptr<const ListenerEntry>, std::string> build_listener(const ListenerSpec& spec,
                                                                                const BuildContext& context) {
  auto entry = std::make_shared<ListenerEntry>();
  entry->spec = spec;
  entry->stat_address = spec.stat_prefix.empty() ? spec.address.text() : spec.stat_prefix;
  entry->stats = context.stats.group<ListenerStat>(listener_scope(entry->stat_address));
  for (const ListenerFilterSpec& filter : spec.filters) add_filter_stats(filter, context.stats, *entry);
  auto table = FilterChainTable::build(entry->spec.chains);
  if (!table) return std::unexpected(spec.where + ": two filter chains match the same connections");
  entry->table = *std::move(table);
  std::vector<const FilterChainSpec*> chains;
  for (const FilterChainSpec& chain : entry->spec.chains) chains.push_back(&chain);
  if (entry->spec.default_chain != nullptr) chains.push_back(entry->spec.default_chain.get());
  for (const FilterChainSpec* chain : chains) {
    auto built = build_chain(*chain, entry->stat_address, context);
    if (!built) return std::unexpected(built.error());
    entry->chains.push_back(*std::move(built));
  }
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
    auto entry = build_listener(spec, {.node = specs.node, .index = index, .stats = stats});
    if (!entry) return std::unexpected(entry.error());
    snapshot->listeners.push_back(*std::move(entry));
  }
  return snapshot;
}

}  // namespace ringside
