#include "proxy/upstream/cluster.h"

#include <algorithm>

#include "core/tcp_transport.h"
#include "proxy/h2_options.h"

namespace ringside {

Cluster::Cluster(Worker& worker, std::shared_ptr<const ClusterSpec> spec, std::shared_ptr<BreakerCells> breaker_cells,
                 StatBlock<ClusterStat> stats, StatBlock<TlsStat> tls_stats, CodecPools& codec_pools)
    : worker_(worker),
      spec_(std::move(spec)),
      breaker_(std::move(breaker_cells), worker.index(), spec_->thresholds),
      stats_(std::move(stats)),
      tls_stats_(std::move(tls_stats)),
      codec_pools_(codec_pools) {
  h1_limits_.enable_trailers = spec_->enable_trailers;
  h1_limits_.header_count_max = spec_->protocol.headers_count_max;
  if (spec_->http2.has_value()) h2_limits_ = h2_limits_of(*spec_->http2);
  h2_limits_.header_count_max = spec_->protocol.headers_count_max;
  if (spec_->tls != nullptr && spec_->tls_sessions_max > 0)
    tls_sessions_ = std::make_unique<TlsSessions>(spec_->tls, spec_->tls_sessions_max);
}

Cluster::~Cluster() = default;

std::unique_ptr<Transport> Cluster::make_transport(int fd, const Host& host, TlsUser& user) {
  auto plain = std::make_unique<TcpTransport>(worker_, fd);
  if (spec_->tls == nullptr) return plain;
  TlsConnectionOptions options{.user = &user, .stats = &tls_stats_, .sessions = tls_sessions_.get()};
  if (spec_->tls_host_name) options.server_name = host.hostname();
  return std::make_unique<TlsTransport>(worker_, spec_->tls, std::move(plain), std::move(options));
}

GrpcMethods& Cluster::grpc_methods(StatsRegistry& registry) {
  if (grpc_methods_ == nullptr)
    grpc_methods_ = std::make_unique<GrpcMethods>(registry, worker_.index(), spec_->alt_stat_name.empty() ? spec_->name : spec_->alt_stat_name);
  return *grpc_methods_;
}

void Cluster::adopt(const HostSet& hosts) {
  std::vector<std::unique_ptr<Endpoint>> next;
  for (const std::shared_ptr<Host>& host : hosts.hosts) {
    auto same = std::find_if(endpoints_.begin(), endpoints_.end(), [&](const std::unique_ptr<Endpoint>& endpoint) {
      return endpoint != nullptr && endpoint->shared_host() == host;
    });
    // As Envoy counts them: once for each host that appears, not for each worker.
    if (same == endpoints_.end() && worker_.index() == 0) stats_.inc(ClusterStat::default_total_match_count);
    next.push_back(same != endpoints_.end() ? std::move(*same) : std::make_unique<Endpoint>(*this, host, worker_.index()));
  }
  for (std::unique_ptr<Endpoint>& endpoint : endpoints_) {
    if (endpoint == nullptr) continue;
    endpoint->pool().drain();
    leaving_.push_back(std::move(endpoint));
  }
  endpoints_ = std::move(next);
  weighted_ = std::any_of(endpoints_.begin(), endpoints_.end(), [&](const auto& endpoint) {
    return endpoint->host().weight() != endpoints_.front()->host().weight();
  });
  // Workers begin at different endpoints, so that few requests on many workers do not all meet the first one.
  next_ = endpoints_.empty() ? 0 : worker_.ring().random() % endpoints_.size();
  sweep();
}

void Cluster::sweep() {
  std::erase_if(leaving_, [](const std::unique_ptr<Endpoint>& endpoint) { return endpoint->pool().empty(); });
}

Endpoint* Cluster::pick() {
  if (endpoints_.empty()) return nullptr;
  if (!weighted_) {
    next_ = next_ + 1 < endpoints_.size() ? next_ + 1 : 0;
    return endpoints_[next_].get();
  }
  // Smooth weighted round robin: everybody earns its weight, the richest pays the total.
  Endpoint* best = nullptr;
  int64_t total = 0;
  for (const std::unique_ptr<Endpoint>& endpoint : endpoints_) {
    const auto weight = static_cast<int64_t>(endpoint->host().weight());
    endpoint->round_robin_credit += weight;
    total += weight;
    if (best == nullptr || endpoint->round_robin_credit > best->round_robin_credit) best = endpoint.get();
  }
  best->round_robin_credit -= total;
  return best;
}

void Cluster::drain() {
  for (const std::unique_ptr<Endpoint>& endpoint : endpoints_) endpoint->pool().drain();
}

void Cluster::close_all() {
  const Error why{ErrorCode::cancelled, Origin::local, Retry::never, "shutting down"};
  for (const std::unique_ptr<Endpoint>& endpoint : endpoints_) endpoint->pool().close_all(why);
  for (const std::unique_ptr<Endpoint>& endpoint : leaving_) endpoint->pool().close_all(why);
}

bool Cluster::quiet() const {
  const auto is_quiet = [](const std::unique_ptr<Endpoint>& endpoint) { return endpoint->pool().empty(); };
  return std::all_of(endpoints_.begin(), endpoints_.end(), is_quiet) &&
         std::all_of(leaving_.begin(), leaving_.end(), is_quiet);
}

}  // namespace ringside
