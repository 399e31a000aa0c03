#include "control/dns_refresher.h"

#include <algorithm>

#include "core/log.h"
#include "proxy/observe/stat_names.h"

namespace ringside {

namespace {
// A TTL of zero would make every answer a question.
constexpr Duration refresh_min = seconds(1);
}  // namespace

// One endpoint: a name that is looked up again and again, or a literal address.
class DnsRefresher::Target final : private DnsUser {
 public:
  Target(DnsRefresher& refresher, Entry& entry, const EndpointSpec& spec)
      : refresher_(refresher), entry_(entry), spec_(spec) {
    if (!spec.address.empty()) addresses_.push_back(spec.address);
  }
  bool has_name() const { return spec_.address.empty(); }
  void resolve();
  void stop();
  void append_to(std::vector<ResolvedEndpoint>& endpoints) const;

 private:
  void on_resolved(DnsAnswer answer) override;
  void take(DnsAnswer& answer);

  DnsRefresher& refresher_;
  Entry& entry_;
  const EndpointSpec& spec_;
  std::vector<Address> addresses_;
  DnsQuery query_{*this};
  bool answered_ = false;  // once, well or not
  TimerFor<Target, &Target::resolve> refresh_{*this};
};

// One cluster.
class DnsRefresher::Entry {
 public:
  Entry(DnsRefresher& refresher, uint32_t index, const ClusterSpec& spec, StatsRegistry& registry)
      : refresher_(refresher),
        index_(index),
        spec_(spec),
        stats_(registry.control_cells().block(
            registry.group<ClusterStat>(cluster_scope(spec.alt_stat_name.empty() ? spec.name : spec.alt_stat_name)))) {
    for (const EndpointSpec& endpoint : spec.endpoints) {
      targets_.push_back(std::make_unique<Target>(refresher, *this, endpoint));
      if (targets_.back()->has_name()) ++waiting_for_;
    }
  }
  const ClusterSpec& spec() const { return spec_; }
  StatBlock<ClusterStat>& stats() { return stats_; }
  bool resolved() const { return waiting_for_ == 0; }

  void start() {
    if (resolved()) publish();
    for (const auto& target : targets_)
      if (target->has_name()) target->resolve();
  }
  void stop() {
    for (const auto& target : targets_) target->stop();
  }
  // Tells the data plane, unless nothing changed.
  void publish() {
    std::vector<ResolvedEndpoint> endpoints;
    for (const auto& target : targets_) target->append_to(endpoints);
    if (endpoints == published_) return stats_.inc(ClusterStat::update_no_rebuild);
    published_ = endpoints;
    RS_LOG_DEBUG(upstream, "cluster {}: {} endpoints", spec_.name, endpoints.size());
    refresher_.port_.publish_endpoints(index_, spec_.name, std::move(endpoints));
  }
  // A target's first result.
  void on_target_answered() {
    if (--waiting_for_ == 0) refresher_.on_entry_done();
  }

 private:
  DnsRefresher& refresher_;
  const uint32_t index_;
  const ClusterSpec& spec_;
  StatBlock<ClusterStat> stats_;
  std::vector<std::unique_ptr<Target>> targets_;
  std::vector<ResolvedEndpoint> published_;
  uint32_t waiting_for_ = 0;  // targets without a first result
};

// --- One endpoint ------------------------------------------------------------------------------------------------------------

void DnsRefresher::Target::resolve() {
  entry_.stats().inc(ClusterStat::update_attempt);
  refresher_.resolver_.resolve(query_, spec_.host, entry_.spec().dns_family);
}

void DnsRefresher::Target::on_resolved(DnsAnswer answer) {
  const ClusterSpec& cluster = entry_.spec();
  const bool use_ttl = cluster.respect_dns_ttl && answer.status == DnsStatus::ok && answer.ttl > Duration::zero();
  refresher_.worker_.arm(refresh_, std::max(refresh_min, use_ttl ? answer.ttl : cluster.dns_refresh_rate));
  take(answer);
  if (!answered_) {
    answered_ = true;
    entry_.on_target_answered();
  }
}

void DnsRefresher::Target::take(DnsAnswer& answer) {
  if (answer.status == DnsStatus::failed) {
    entry_.stats().inc(ClusterStat::update_failure);
    RS_LOG_WARN(dns, "cluster {}: cannot resolve '{}': {}; keeping {} addresses", entry_.spec().name, spec_.host,
                answer.error, addresses_.size());
    return;
  }
  entry_.stats().inc(ClusterStat::update_success);
  // That the name is gone is an answer like any other: its hosts are gone.
  if (answer.addresses.empty()) RS_LOG_WARN(dns, "cluster {}: '{}': {}", entry_.spec().name, spec_.host, answer.error);
  addresses_ = std::move(answer.addresses);
  // A server that rotates its answer has not changed it.
  std::sort(addresses_.begin(), addresses_.end(),
            [](const Address& a, const Address& b) { return a.text() < b.text(); });
  for (Address& address : addresses_) address.set_port(spec_.port);
  entry_.publish();
}

void DnsRefresher::Target::stop() {
  refresh_.disarm();
  refresher_.resolver_.cancel(query_);
}

void DnsRefresher::Target::append_to(std::vector<ResolvedEndpoint>& endpoints) const {
  for (const Address& address : addresses_) {
    const auto same = [&](const ResolvedEndpoint& present) { return present.address == address; };
    if (std::any_of(endpoints.begin(), endpoints.end(), same)) continue;
    std::string hostname = spec_.hostname;
    if (hostname.empty() && has_name()) hostname = spec_.host;
    endpoints.push_back(
        {.address = address, .hostname = std::move(hostname), .weight = spec_.weight, .socket = spec_.socket, .health = spec_.health});
  }
}

// --- All of them ---------------------------------------------------------------------------------------------------------------

DnsRefresher::DnsRefresher(Worker& worker, DnsResolver& resolver, StatsRegistry& registry, EndpointsPort& port,
                           const std::vector<ClusterSpec>& clusters, Settings settings)
    : worker_(worker), resolver_(resolver), port_(port), settings_(settings) {
  for (uint32_t index = 0; index < clusters.size(); ++index)
    if (clusters[index].kind == ClusterKind::strict_dns)
      entries_.push_back(std::make_unique<Entry>(*this, index, clusters[index], registry));
}

DnsRefresher::~DnsRefresher() = default;

void DnsRefresher::start() {
  for (const auto& entry : entries_)
    if (!entry->resolved()) ++waiting_for_;
  worker_.arm(initial_timer_, waiting_for_ == 0 ? Duration::zero() : settings_.initial_timeout);
  for (const auto& entry : entries_) entry->start();
}

void DnsRefresher::stop() {
  announced_ = true;
  initial_timer_.disarm();
  for (const auto& entry : entries_) entry->stop();
}

std::vector<std::string> DnsRefresher::unresolved() const {
  std::vector<std::string> names;
  for (const auto& entry : entries_)
    if (!entry->resolved()) names.push_back(entry->spec().name);
  return names;
}

void DnsRefresher::on_entry_done() {
  if (--waiting_for_ == 0) announce();
}

void DnsRefresher::on_initial_timeout() {
  if (waiting_for_ != 0) RS_LOG_WARN(dns, "{} clusters have no addresses yet; going on without them", waiting_for_);
  announce();
}

void DnsRefresher::announce() {
  initial_timer_.disarm();
  if (announced_) return;
  announced_ = true;
  port_.on_first_resolution();
}

}  // namespace ringside
