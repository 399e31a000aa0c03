#include "proxy/health/health_checks.h"

#include <algorithm>
#include <utility>

#include "proxy/health/grpc_reply.h"
#include "proxy/health/host_check.h"

namespace ringside {
namespace {

constexpr Duration stats_interval = seconds(1);

HeaderEdit edit_of(const HealthCheckSpec& spec) {
  auto edit = HeaderEdit::build(spec.headers_remove, spec.headers_add);
  RS_CHECK(edit.has_value());  // Snapshot::build has tried
  return std::move(*edit);
}

}  // namespace

// One cluster.
class HealthChecks::ClusterChecks final : private HostCheckUser {
 public:
  ClusterChecks(HealthChecks& all, const ClusterEntry& entry)
      : all_(all),
        live_(all.worker_, entry.spec, std::make_shared<BreakerCells>(all.registry_.workers() + 1),
              all.registry_.control_cells().block(entry.stats),
              entry.spec->any_tls() ? all.registry_.control_cells().block(entry.tls_stats) : StatBlock<TlsStat>(), all.pools_),
        context_{.cluster = live_, .spec = *entry.spec->health_check, .headers = edit_of(*entry.spec->health_check)} {
    const ClusterSpec& spec = *entry.spec;
    const std::string& name = spec.alt_stat_name.empty() ? spec.name : spec.alt_stat_name;
    context_.stats = all.registry_.control_cells().block(all.registry_.group<HealthCheckStat>(cluster_health_scope(name)));
    if (context_.spec.kind == HealthCheckKind::grpc) context_.grpc_request = grpc_health_request(context_.spec.grpc_service);
    if (context_.spec.service_name_match && context_.spec.service_name_match->how == TextMatchHow::regex)
      context_.service_regex = std::make_shared<const re2::RE2>(context_.spec.service_name_match->text, re2::RE2::Quiet);
    if (context_.spec.http2) live_.h2_stats().attach(all.registry_, cluster_http2_scope(name), all.worker_.index());
  }

  void adopt(const HostSet& hosts);
  void adopt_tls(const TlsContextPtr& first, const TlsContextPtr& now) { live_.adopt_tls(first, now); }
  void stop() { hosts_.clear(); }
  bool quiet() const { return context_.probes == 0; }
  bool warm() const {
    return std::all_of(hosts_.begin(), hosts_.end(), [](const auto& check) { return check->checked(); });
  }
  const std::string& name() const { return live_.spec().name; }
  bool take_changed() { return std::exchange(changed_, false); }
  void publish_stats() { live_.h2_stats().publish(); }

 private:
  void on_host_checked(HealthChange change) override {
    changed_ |= change == HealthChange::changed;
    all_.worker_.flush_later(all_);
  }
  ClusterUse cluster_use() override {
    for (const auto& check : hosts_)
      if (use_ == ClusterUse::never && check->host()->total(HostStat::cx_total) > 0) use_ = ClusterUse::used;
    return use_;
  }

  HealthChecks& all_;
  Cluster live_;  // the control thread's: what connections are made of
  ProbeContext context_;
  std::vector<std::unique_ptr<HostCheck>> hosts_;
  ClusterUse use_ = ClusterUse::never;
  bool changed_ = false;
};

void HealthChecks::ClusterChecks::adopt(const HostSet& hosts) {
  static_cast<void>(cluster_use());  // before those that go are forgotten
  std::vector<std::unique_ptr<HostCheck>> next;
  std::vector<HostCheck*> fresh;
  HostCheckUser& user = *this;
  for (const std::shared_ptr<Host>& host : hosts.hosts) {
    if (host->health_spec().check_disabled) continue;
    const auto same = std::find_if(hosts_.begin(), hosts_.end(),
                                   [&](const auto& check) { return check != nullptr && check->host() == host; });
    if (same != hosts_.end()) {
      next.push_back(std::move(*same));
      continue;
    }
    next.push_back(std::make_unique<HostCheck>(context_, host, user));
    fresh.push_back(next.back().get());
  }
  hosts_ = std::move(next);
  for (HostCheck* check : fresh) check->start();
  all_.worker_.flush_later(all_);
}

// --- All of them ---------------------------------------------------------------------------------------------------------

HealthChecks::HealthChecks(Worker& worker, StatsRegistry& registry, HealthPort& port)
    : worker_(worker), registry_(registry), port_(port) {}

HealthChecks::~HealthChecks() { RS_CHECK(quiet()); }

void HealthChecks::start(const Snapshot& snapshot) {
  for (const std::shared_ptr<const ClusterEntry>& entry : snapshot.clusters)
    clusters_.push_back(entry->spec->health_check != nullptr ? std::make_unique<ClusterChecks>(*this, *entry) : nullptr);
  worker_.arm(stats_timer_, stats_interval);
}

void HealthChecks::adopt(uint32_t cluster, const HostSet& hosts) {
  if (stopped_ || clusters_[cluster] == nullptr) return;
  warm_told_ = false;
  clusters_[cluster]->adopt(hosts);
}

void HealthChecks::adopt_tls(const TlsContextPtr& first, const TlsContextPtr& now) {
  for (const auto& checks : clusters_)
    if (checks != nullptr) checks->adopt_tls(first, now);
}

bool HealthChecks::warm() const {
  return std::all_of(clusters_.begin(), clusters_.end(), [](const auto& checks) { return checks == nullptr || checks->warm(); });
}

std::vector<std::string> HealthChecks::unready() const {
  std::vector<std::string> names;
  for (const auto& checks : clusters_)
    if (checks != nullptr && !checks->warm()) names.push_back(checks->name());
  return names;
}

void HealthChecks::on_flush() {
  if (stopped_) return;
  for (uint32_t cluster = 0; cluster < clusters_.size(); ++cluster)
    if (clusters_[cluster] != nullptr && clusters_[cluster]->take_changed()) port_.on_health_changed(cluster);
  if (warm_told_ || !warm()) return;
  warm_told_ = true;
  port_.on_health_warm();
}

void HealthChecks::publish_stats() {
  for (const auto& checks : clusters_)
    if (checks != nullptr) checks->publish_stats();
  worker_.arm(stats_timer_, stats_interval);
}

void HealthChecks::stop() {
  stopped_ = true;
  stats_timer_.disarm();
  for (const auto& checks : clusters_)
    if (checks != nullptr) checks->stop();
}

bool HealthChecks::quiet() const {
  return std::all_of(clusters_.begin(), clusters_.end(), [](const auto& checks) { return checks == nullptr || checks->quiet(); });
}

}  // namespace ringside
