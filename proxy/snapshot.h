#pragma once
// The configuration compiled: an immutable table of shared immutable resources. Workers adopt one by a pointer; running
// exchanges keep what they use alive through it.
#include <expected>
#include <memory>
#include <string>
#include <vector>

#include "core/stats.h"
#include "proxy/http_manager.h"
#include "proxy/listener/filter_chain_table.h"
#include "proxy/observe/stat_names.h"
#include "proxy/specs.h"
#include "proxy/upstream/breaker.h"
#include "proxy/upstream/host.h"
#include "tls/tls_stats.h"

namespace ringside {

struct ClusterEntry {
  std::shared_ptr<const ClusterSpec> spec;
  StatGroup<ClusterStat> stats;
  StatGroup<TlsStat> tls_stats;  // with TLS only
  std::vector<StatGroup<SocketMatchStat>> match_stats;  // of each transport socket match
  std::shared_ptr<BreakerCells> breaker;
  std::shared_ptr<const HostSet> hosts;  // at the time of the snapshot; changes travel by themselves
};

struct MongoChainStats;

struct ChainEntry {
  const FilterChainSpec* spec = nullptr;    // of the listener's entry
  std::shared_ptr<const HttpManager> http;  // null for TCP
  uint32_t tcp_cluster = 0;                 // index, for TCP
  StatGroup<HttpStat> http_stats;
  StatGroup<ListenerHttpStat> listener_http_stats;
  StatGroup<TcpStat> tcp_stats;
  StatGroup<TlsStat> tls_stats;  // with TLS only
  std::shared_ptr<const MongoChainStats> mongo_stats;  // with its filter only
};

struct ListenerEntry {
  ListenerSpec spec;
  std::string stat_address;        // as it stands in stat names
  std::vector<ChainEntry> chains;  // as in the spec, then the default one if there is one
  FilterChainTable table;          // without the default one
  StatGroup<ListenerStat> stats;
  // Of the listener filters that there are.
  StatGroup<TlsInspectorStat> tls_inspector_stats;
  StatGroup<HttpInspectorStat> http_inspector_stats;
  StatGroup<ProxyProtocolStat> proxy_protocol_stats;
  StatGroup<ProxyProtocolErrorStat> proxy_protocol_errors;
};

struct Snapshot {
  std::vector<std::shared_ptr<const ClusterEntry>> clusters;
  std::vector<std::shared_ptr<const ListenerEntry>> listeners;

  // Compiles specs that control/ has checked; the text of an error says what it missed. `workers` is the number of cells.
  static std::expected<std::shared_ptr<const Snapshot>, std::string> build(const Specs& specs, StatsRegistry& stats,
                                                                            uint32_t workers);
};

}  // namespace ringside
