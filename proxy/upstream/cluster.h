#pragma once
// A cluster as one worker lives it: endpoints, balancer, limits.
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "codecs/http1/h1_limits.h"
#include "codecs/http1/h1_parser.h"
#include "codecs/http2/h2_limits.h"
#include "codecs/http2/h2_pool.h"
#include "core/stats.h"
#include "core/worker.h"
#include "proxy/observe/grpc_methods.h"
#include "proxy/observe/h2_stat_cells.h"
#include "proxy/observe/stat_names.h"
#include "proxy/specs.h"
#include "proxy/upstream/breaker.h"
#include "proxy/upstream/connection_pool.h"
#include "proxy/upstream/host.h"
#include "proxy/upstream/upstream_socket.h"
#include "proxy/upstream/host_choice.h"
#include "tls/tls_transport.h"

namespace ringside {

// Memory of one worker that the codecs of all its connections share.
struct CodecPools {
  H1ScratchPool h1;
  H2ScratchPool h2;
};

class Endpoint {
 public:
  Endpoint(Cluster& cluster, std::shared_ptr<Host> host, uint32_t worker);
  const Host& host() const { return *host_; }
  const std::shared_ptr<Host>& shared_host() const { return host_; }
  HostCells& cells() { return cells_; }
  // For a request that came by `version`.
  ConnectionPool& pool(HttpVersion version) {
    return http2_pool_ != nullptr && version == HttpVersion::http2 ? *http2_pool_ : pool_;
  }
  // The one for connections on terms of their own.
  ConnectionPool& pool_on(ConnectionTerms terms, HttpVersion version);
  // All pools.
  void drain();
  void close_all(Error why);
  bool quiet();
  int64_t round_robin_credit = 0;
  bool failed = false;  // its checks, when we last looked

 private:
  struct OwnPools {
    std::map<std::string, std::unique_ptr<ConnectionPool>> by_key;
    size_t sweep_at = 16;  // pools
  };
  template <class Action>
  void for_each_pool(Action action);
  std::shared_ptr<Host> host_;
  HostCells& cells_;
  ConnectionPool pool_;
  std::unique_ptr<ConnectionPool> http2_pool_;  // where requests go on in what they came by
  std::unique_ptr<OwnPools> own_pools_;         // null: never asked for
};

class Cluster {
 public:
  Cluster(Worker& worker, std::shared_ptr<const ClusterSpec> spec, std::shared_ptr<BreakerCells> breaker_cells,
          StatBlock<ClusterStat> stats, StatBlock<TlsStat> tls_stats, CodecPools& codec_pools);
  ~Cluster();

  // Endpoints that stay keep their connections; those that go drain.
  void adopt(const HostSet& hosts);
  // As Shard::adopt_tls.
  void adopt_tls(const TlsContextPtr& first, const TlsContextPtr& now) {
    for (UpstreamSocket& socket : sockets_) socket.adopt_tls(first, now);
  }
  // The health of some host has changed. Connections to those that fail their checks from now on drain; returns these.
  std::vector<const Host*> adopt_health();
  // Weighted round robin among those that are well, see HostChoice; null when there is none.
  Endpoint* pick();
  // Closes idle connections, the busy ones close when they are done.
  void drain();
  // Closes every connection now.
  void close_all();
  bool quiet() const;

  const ClusterSpec& spec() const { return *spec_; }
  Worker& worker() { return worker_; }
  Breaker& breaker() { return breaker_; }
  StatBlock<ClusterStat>& stats() { return stats_; }
  // For a connected socket: plain, or a TlsTransport whose `user` hears of its handshake where the host has TLS.
  // `alpn` replaces what the transport socket offers where it is not empty.
  std::unique_ptr<Transport> make_transport(int fd, const Host& host, TlsUser& user, const ConnectionTerms* terms = nullptr,
                                            std::vector<std::string> alpn = {});
  bool has_tls(const Host& host) const { return sockets_[host.socket()].has_tls(); }
  // What make_transport() made, as what it is; null without TLS.
  const TlsTransport* tls_of(const Host& host, const Transport& transport) const {
    return has_tls(host) ? static_cast<const TlsTransport*>(&transport) : nullptr;
  }
  // Whether what is spoken decides what is offered by ALPN: the configuration of TLS does not say.
  bool chooses_alpn(const Host& host) const { return has_tls(host) && !sockets_[host.socket()].spec().tls_alpn_set; }
  // Whether requests to `host` share a connection only on the same terms.
  bool wants_terms(const Host& host) const;
  // The terms of a request that came by a connection from `peer` to `local`.
  ConnectionTerms terms_of(const Host& host, const Head& request, const Address& peer, const Address& local) const;
  // The counter of the next transport socket match. Before hosts are adopted.
  void count_matches(StatBlock<SocketMatchStat> stats) { match_stats_.push_back(std::move(stats)); }
  const H1Limits& h1_limits() const { return h1_limits_; }
  const H2Limits& h2_limits() const { return h2_limits_; }
  H1ScratchPool& h1_scratch() { return codec_pools_.h1; }
  H2ScratchPool& h2_pool() { return codec_pools_.h2; }
  H2StatCells& h2_stats() { return h2_stats_; }
  // What filters count by method.
  GrpcMethods& grpc_methods(StatsRegistry& registry);

 private:
  void sweep();
  void count_match(const Host& host);
  void rebuild_choice();

  Worker& worker_;
  std::shared_ptr<const ClusterSpec> spec_;
  Breaker breaker_;
  StatBlock<ClusterStat> stats_;
  StatBlock<TlsStat> tls_stats_;
  std::vector<StatBlock<SocketMatchStat>> match_stats_;
  std::vector<UpstreamSocket> sockets_;  // the cluster's own, then those of the matches
  H1Limits h1_limits_;
  H2Limits h2_limits_;
  CodecPools& codec_pools_;
  H2StatCells h2_stats_;
  std::unique_ptr<GrpcMethods> grpc_methods_;  // null until a filter counts something
  std::vector<std::unique_ptr<Endpoint>> endpoints_;
  std::vector<std::unique_ptr<Endpoint>> leaving_;  // until their last connection is gone
  HostChoice choice_;
};

}  // namespace ringside
