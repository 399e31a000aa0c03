#include "proxy/upstream/cluster.h"

#include <algorithm>
#include <utility>

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

std::unique_ptr<Transport> Cluster::make_transport(int fd, const Host& host, TlsUser& user,
                                                   const std::vector<std::string>& alpn) {
  auto plain = std::make_unique<TcpTransport>(worker_, fd);
  if (spec_->tls == nullptr) return plain;
  TlsConnectionOptions options{.user = &user, .stats = &tls_stats_, .sessions = tls_sessions_.get()};
  if (!alpn.empty()) options.alpn = alpn;
  if (spec_->tls_host_name) options.server_name = host.hostname();
  return std::make_unique<TlsTransport>(worker_, spec_->tls, std::move(plain), std::move(options));
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
  rebuild_choice();
  sweep();
}

void Cluster::sweep() {
  std::erase_if(leaving_, [](const std::unique_ptr<Endpoint>& endpoint) { return endpoint->pool().empty(); });
}

std::vector<const Host*> Cluster::adopt_health() {
  std::vector<const Host*> failed;
  for (const std::unique_ptr<Endpoint>& endpoint : endpoints_) {
    const bool fails = endpoint->host().health().has(HealthFlag::failed_active_hc);
    if (!std::exchange(endpoint->failed, fails) && fails) failed.push_back(&endpoint->host());
    if (!failed.empty() && failed.back() == &endpoint->host()) endpoint->pool().drain();
  }
  rebuild_choice();
  return failed;
}

void Cluster::rebuild_choice() {
  choice_.begin(spec_->panic_percent);
  for (const std::unique_ptr<Endpoint>& endpoint : endpoints_) choice_.add(*endpoint, endpoint->host().health());
  // Workers begin at different endpoints, so that few requests on many workers do not all meet the first one.
  choice_.end(worker_.ring().random());
}

Endpoint* Cluster::pick() {
  if (choice_.in_panic()) stats_.inc(ClusterStat::lb_healthy_panic);
  return choice_.pick(worker_.ring());
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
