#pragma once
// A cluster as one worker lives it: endpoints, balancer, limits.
#include <memory>
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
#include "tls/tls_transport.h"

namespace ringside {

// Memory of one worker that the codecs of all its connections share.
struct CodecPools {
  H1ScratchPool h1;
  H2ScratchPool h2;
};

class Endpoint {
 public:
  Endpoint(Cluster& cluster, std::shared_ptr<Host> host, uint32_t worker)
      : host_(std::move(host)), cells_(host_->cells(worker)), pool_(cluster, *this) {}
  const Host& host() const { return *host_; }
  const std::shared_ptr<Host>& shared_host() const { return host_; }
  HostCells& cells() { return cells_; }
  ConnectionPool& pool() { return pool_; }
  int64_t round_robin_credit = 0;

 private:
  std::shared_ptr<Host> host_;
  HostCells& cells_;
  ConnectionPool pool_;
};

class Cluster {
 public:
  Cluster(Worker& worker, std::shared_ptr<const ClusterSpec> spec, std::shared_ptr<BreakerCells> breaker_cells,
          StatBlock<ClusterStat> stats, StatBlock<TlsStat> tls_stats, CodecPools& codec_pools);
  ~Cluster();

  // Endpoints that stay keep their connections; those that go drain.
  void adopt(const HostSet& hosts);
  // Weighted round robin; null when there is no endpoint.
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
  // For a connected socket: plain, or a TlsTransport whose `user` hears of its handshake where the cluster has TLS.
  std::unique_ptr<Transport> make_transport(int fd, const Host& host, TlsUser& user);
  const H1Limits& h1_limits() const { return h1_limits_; }
  const H2Limits& h2_limits() const { return h2_limits_; }
  H1ScratchPool& h1_scratch() { return codec_pools_.h1; }
  H2ScratchPool& h2_pool() { return codec_pools_.h2; }
  H2StatCells& h2_stats() { return h2_stats_; }
  // What filters count by method.
  GrpcMethods& grpc_methods(StatsRegistry& registry);

 private:
  void sweep();

  Worker& worker_;
  std::shared_ptr<const ClusterSpec> spec_;
  Breaker breaker_;
  StatBlock<ClusterStat> stats_;
  StatBlock<TlsStat> tls_stats_;
  std::unique_ptr<TlsSessions> tls_sessions_;  // null: none are resumed
  H1Limits h1_limits_;
  H2Limits h2_limits_;
  CodecPools& codec_pools_;
  H2StatCells h2_stats_;
  std::unique_ptr<GrpcMethods> grpc_methods_;  // null until a filter counts something
  std::vector<std::unique_ptr<Endpoint>> endpoints_;
  std::vector<std::unique_ptr<Endpoint>> leaving_;  // until their last connection is gone
  size_t next_ = 0;
  bool weighted_ = false;
};

}  // namespace ringside
