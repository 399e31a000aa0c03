#include "proxy/upstream/cluster.h"

#include <algorithm>
#include <utility>

#include "codecs/ascii.h"
#include "proxy/h2_options.h"
#include "proxy/http_target.h"

namespace ringside {
namespace {

UpstreamProtocol protocol_for(const Cluster& cluster, HttpVersion version) {
  const UpstreamProtocol protocol = cluster.spec().upstream_protocol;
  if (protocol != UpstreamProtocol::as_downstream) return protocol;
  return version == HttpVersion::http2 ? UpstreamProtocol::http2 : UpstreamProtocol::http1;
}

}  // namespace

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
  h2_limits_ = h2_limits_of(spec_->http2);
  h2_limits_.header_count_max = spec_->protocol.headers_count_max;
  sockets_.emplace_back(spec_->socket);
  for (const UpstreamSocketSpec& socket : spec_->socket_matches) sockets_.emplace_back(socket);
}

Cluster::~Cluster() = default;

// --- transport sockets -------------------------------------------------------------------------------------------------

std::unique_ptr<Transport> Cluster::make_transport(int fd, const Host& host, TlsUser& user, const ConnectionTerms* terms,
                                                   std::vector<std::string> alpn) {
  return sockets_[host.socket()].make_transport(
      worker_, {.fd = fd, .host = host, .user = user, .stats = tls_stats_, .terms = terms, .alpn = std::move(alpn)});
}

bool Cluster::wants_terms(const Host& host) const {
  const UpstreamSocket& socket = sockets_[host.socket()];
  return socket.spec().proxy_protocol != ProxyProtocol::none ||
         (socket.has_tls() && (spec_->auto_names.sni || spec_->auto_names.validation));
}

ConnectionTerms Cluster::terms_of(const Host& host, const Head& request, const Address& peer, const Address& local) const {
  ConnectionTerms terms;
  const UpstreamSocket& socket = sockets_[host.socket()];
  if (socket.spec().proxy_protocol != ProxyProtocol::none) {
    terms.peer = peer;
    terms.local = local;
  }
  const AutoNamesSpec& names = spec_->auto_names;
  if (!socket.has_tls() || (!names.sni && !names.validation)) return terms;
  std::string_view name = request.authority;
  if (const HeaderField* field = names.header.empty() ? nullptr : request.fields.find(names.header);
      field != nullptr && !field->value().empty())
    name = field->value();
  if (const auto authority = parse_authority(name)) name = authority->host;
  if (name.starts_with('[') && name.ends_with(']')) name = name.substr(1, name.size() - 2);
  std::string asked(name);
  lower_in_place(asked.data(), asked.size());
  // An address is nothing to ask for by SNI, but the certificate may be for it.
  if (names.sni && !Address::from_ip(asked, 0)) terms.server_name = asked;
  if (names.validation) terms.certificate_name = asked;
  return terms;
}

// As Envoy counts them: once for each host that appears, not for each worker.
void Cluster::count_match(const Host& host) {
  if (worker_.index() != 0) return;
  if (host.socket() == 0) return stats_.inc(ClusterStat::default_total_match_count);
  match_stats_[host.socket() - 1].inc(SocketMatchStat::total_match_count);
}

// --- endpoints ---------------------------------------------------------------------------------------------------------

Endpoint::Endpoint(Cluster& cluster, std::shared_ptr<Host> host, uint32_t worker)
    : failed(host->health().has(HealthFlag::failed_active_hc)),
      host_(std::move(host)),
      cells_(host_->cells(worker)),
      pool_(cluster, *this, protocol_for(cluster, HttpVersion::http11)) {
  if (cluster.spec().upstream_protocol == UpstreamProtocol::as_downstream)
    http2_pool_ = std::make_unique<ConnectionPool>(cluster, *this, UpstreamProtocol::http2);
}

// Pools whose connections have gone are let go of now and then.
ConnectionPool& Endpoint::pool_on(ConnectionTerms terms, HttpVersion version) {
  if (own_pools_ == nullptr) own_pools_ = std::make_unique<OwnPools>();
  auto& by_key = own_pools_->by_key;
  const UpstreamProtocol protocol = terms.raw ? UpstreamProtocol::http1 : protocol_for(pool_.cluster(), version);
  std::string key = terms.key() + static_cast<char>(protocol);
  if (const auto found = by_key.find(key); found != by_key.end()) return *found->second;
  if (by_key.size() >= own_pools_->sweep_at) {
    std::erase_if(by_key, [](const auto& each) { return each.second->forgotten(); });
    own_pools_->sweep_at = 2 * by_key.size() + 16;
  }
  auto pool = std::make_unique<ConnectionPool>(pool_.cluster(), *this, protocol,
                                               std::make_unique<const ConnectionTerms>(std::move(terms)));
  return *by_key.emplace(std::move(key), std::move(pool)).first->second;
}

template <class Action>
void Endpoint::for_each_pool(Action action) {
  action(pool_);
  if (http2_pool_ != nullptr) action(*http2_pool_);
  if (own_pools_ == nullptr) return;
  for (const auto& [key, pool] : own_pools_->by_key) action(*pool);
}

void Endpoint::drain() {
  for_each_pool([](ConnectionPool& pool) { pool.drain(); });
}

void Endpoint::close_all(Error why) {
  for_each_pool([&](ConnectionPool& pool) { pool.close_all(why); });
}

bool Endpoint::quiet() {
  bool quiet = true;
  for_each_pool([&](const ConnectionPool& pool) { quiet = quiet && pool.empty(); });
  return quiet;
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
    if (same == endpoints_.end()) count_match(*host);
    next.push_back(same != endpoints_.end() ? std::move(*same) : std::make_unique<Endpoint>(*this, host, worker_.index()));
  }
  for (std::unique_ptr<Endpoint>& endpoint : endpoints_) {
    if (endpoint == nullptr) continue;
    endpoint->drain();
    leaving_.push_back(std::move(endpoint));
  }
  endpoints_ = std::move(next);
  rebuild_choice();
  sweep();
}

void Cluster::sweep() {
  std::erase_if(leaving_, [](const std::unique_ptr<Endpoint>& endpoint) { return endpoint->quiet(); });
}

std::vector<const Host*> Cluster::adopt_health() {
  std::vector<const Host*> failed;
  for (const std::unique_ptr<Endpoint>& endpoint : endpoints_) {
    const bool fails = endpoint->host().health().has(HealthFlag::failed_active_hc);
    if (!std::exchange(endpoint->failed, fails) && fails) failed.push_back(&endpoint->host());
    if (!failed.empty() && failed.back() == &endpoint->host()) endpoint->drain();
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
  for (const std::unique_ptr<Endpoint>& endpoint : endpoints_) endpoint->drain();
}

void Cluster::close_all() {
  const Error why{ErrorCode::cancelled, Origin::local, Retry::never, "shutting down"};
  for (const std::unique_ptr<Endpoint>& endpoint : endpoints_) endpoint->close_all(why);
  for (const std::unique_ptr<Endpoint>& endpoint : leaving_) endpoint->close_all(why);
}

bool Cluster::quiet() const {
  const auto is_quiet = [](const std::unique_ptr<Endpoint>& endpoint) { return endpoint->quiet(); };
  return std::all_of(endpoints_.begin(), endpoints_.end(), is_quiet) &&
         std::all_of(leaving_.begin(), leaving_.end(), is_quiet);
}

}  // namespace ringside
