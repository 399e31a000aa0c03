#include "proxy/shard.h"

#include <algorithm>

namespace ringside {
namespace {

constexpr size_t exchanges_spare_max = 1024;
constexpr size_t sessions_spare_max = 256;
constexpr size_t h2_sessions_spare_max = 64;
constexpr size_t tunnels_spare_max = 64;
constexpr Duration stats_interval = seconds(1);

struct BuriedListener final : Retired {
  explicit BuriedListener(std::unique_ptr<Listener> listener) : listener_(std::move(listener)) {}
  std::unique_ptr<Listener> listener_;
};

}  // namespace

Shard::Shard(Worker& worker, StatsRegistry& registry, ShardOptions options)
    : worker_(worker),
      registry_(registry),
      options_(options),
      ringside_stats_(stat_cells().block(registry.group<RingsideStat>({.prefix = "ringside."}))),
      exchanges_(exchanges_spare_max),
      sessions_(sessions_spare_max),
      h2_sessions_(h2_sessions_spare_max),
      tunnels_(tunnels_spare_max) {
  ringside_stats_.set(worker.ring().name() == "io_uring" ? RingsideStat::ring_uring : RingsideStat::ring_epoll, 1);
  worker_.arm(stats_timer_, stats_interval);
}

Shard::~Shard() = default;

void Shard::adopt(std::shared_ptr<const Snapshot> snapshot, std::vector<int> listening_fds) {
  snapshot_ = std::move(snapshot);
  for (const std::shared_ptr<const ClusterEntry>& entry : snapshot_->clusters) {
    clusters_.push_back(std::make_unique<Cluster>(
        worker_, entry->spec, entry->breaker, stat_cells().block(entry->stats),
        entry->spec->any_tls() ? stat_cells().block(entry->tls_stats) : StatBlock<TlsStat>(), codec_pools_));
    for (const StatGroup<SocketMatchStat>& match : entry->match_stats)
      clusters_.back()->count_matches(stat_cells().block(match));
    if (entry->spec->upstream_protocol != UpstreamProtocol::http1) {
      const ClusterSpec& spec = *entry->spec;
      clusters_.back()->h2_stats().attach(
          registry_, cluster_http2_scope(spec.alt_stat_name.empty() ? spec.name : spec.alt_stat_name), worker_.index());
    }
    clusters_.back()->adopt(*entry->hosts);
  }
  for (size_t at = 0; at < snapshot_->listeners.size(); ++at) {
    listeners_.push_back(std::make_unique<ListenerGate>(*this, snapshot_->listeners[at], listening_fds[at]));
    listeners_.back()->start();
  }
  ringside_stats_.inc(RingsideStat::snapshots_adopted);
}

void Shard::adopt_hosts(uint32_t cluster, const HostSet& hosts) { clusters_[cluster]->adopt(hosts); }

ListenerGate* Shard::gate_of(const Address& address) {
  ListenerGate* any = nullptr;
  for (const std::unique_ptr<ListenerGate>& gate : listeners_) {
    const Address& own = gate->spec().address;
    if (own == address) return gate.get();
    if (any == nullptr && own.is_wildcard() && own.family() == address.family() && own.port() == address.port()) any = gate.get();
  }
  return any;
}

void Shard::adopt_tls(const TlsContextPtr& first, const TlsContextPtr& now) {
  tls_now_[first] = now;
  for (const std::unique_ptr<Cluster>& cluster : clusters_) cluster->adopt_tls(first, now);
}

void Shard::adopt_health(uint32_t cluster) {
  const std::vector<const Host*> failed = clusters_[cluster]->adopt_health();
  if (failed.empty() || !clusters_[cluster]->spec().close_on_health_failure) return;
  for (const std::unique_ptr<ListenerGate>& gate : listeners_) gate->close_sessions_with(failed);
}

LogFile& Shard::log_file(const std::string& path) {
  std::unique_ptr<LogFile>& file = log_files_[path];
  if (file == nullptr)
    file = std::make_unique<LogFile>(worker_, path, options_.logs,
                                     stat_cells().block(registry_.group<FilesystemStat>({.prefix = "filesystem."})));
  return *file;
}

// --- ending ------------------------------------------------------------------------------------------------------------

void Shard::stop_accepting() {
  for (const std::unique_ptr<ListenerGate>& listener : listeners_) listener->stop_accepting();
}

void Shard::drain() {
  for (const std::unique_ptr<ListenerGate>& listener : listeners_) listener->drain_sessions();
}

void Shard::close_all() {
  stats_timer_.disarm();
  const Error why{ErrorCode::cancelled, Origin::local, Retry::never, "shutting down"};
  for (const std::unique_ptr<ListenerGate>& listener : listeners_) {
    listener->stop_accepting();
    listener->close_sessions(why);
  }
  for (const std::unique_ptr<Cluster>& cluster : clusters_) cluster->close_all();
  flush_logs();
}

bool Shard::quiet() const {
  return std::all_of(listeners_.begin(), listeners_.end(), [](const auto& listener) { return listener->quiet(); }) &&
         std::all_of(clusters_.begin(), clusters_.end(), [](const auto& cluster) { return cluster->quiet(); }) &&
         std::all_of(log_files_.begin(), log_files_.end(), [](const auto& file) { return file.second->quiet(); }) &&
         exchanges_.live() == 0 && tunnels_.live() == 0;
}

uint32_t Shard::connections() const {
  uint32_t sum = 0;
  for (const std::unique_ptr<ListenerGate>& listener : listeners_) sum += listener->connections();
  return sum;
}

void Shard::flush_logs() {
  for (const auto& [path, file] : log_files_) file->flush();
}

void Shard::reopen_logs() {
  for (const auto& [path, file] : log_files_) file->reopen();
}

void Shard::bury(std::unique_ptr<Listener> listener) {
  worker_.retire(*new BuriedListener(std::move(listener)));  // deletes itself at the end of the turn
}

void Shard::on_descriptor_freed() {
  for (const std::unique_ptr<ListenerGate>& listener : listeners_) listener->resume_accepting();
}

void Shard::on_stats_timer() {
  const RingStats& now = worker_.ring().stats();
  ringside_stats_.inc(RingsideStat::turns, now.turns - ring_seen_.turns);
  ringside_stats_.inc(RingsideStat::sqes, now.submissions - ring_seen_.submissions);
  ringside_stats_.inc(RingsideStat::cqes, now.completions - ring_seen_.completions);
  ringside_stats_.inc(RingsideStat::recv_starved, now.receives_starved - ring_seen_.receives_starved);
  ringside_stats_.inc(RingsideStat::send_short, now.sends_short - ring_seen_.sends_short);
  ringside_stats_.inc(RingsideStat::cq_overflow, now.overflows - ring_seen_.overflows);
  ringside_stats_.inc(RingsideStat::piped_bytes, now.piped_bytes - ring_seen_.piped_bytes);
  ring_seen_ = now;
  h2_stats_.publish();
  for (const std::unique_ptr<Cluster>& cluster : clusters_) cluster->h2_stats().publish();
  worker_.pools().pipes.trim();
  ringside_stats_.set(RingsideStat::blocks_small, worker_.pools().small.total());
  ringside_stats_.set(RingsideStat::blocks_large, worker_.pools().large.total());
  worker_.arm(stats_timer_, stats_interval);
}

}  // namespace ringside
