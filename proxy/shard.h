#pragma once
// All proxy state of one worker: listeners, clusters, exchanges. Nothing in it is shared.
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/slab.h"
#include "core/stats.h"
#include "core/worker.h"
#include "proxy/exchange.h"
#include "proxy/listener/listener_gate.h"
#include "proxy/observe/h2_stat_cells.h"
#include "proxy/observe/websocket_cells.h"
#include "proxy/session.h"
#include "proxy/observe/log_file.h"
#include "proxy/snapshot.h"

namespace ringside {

struct ShardOptions {
  LogFileOptions logs;
};

class Shard {
 public:
  Shard(Worker& worker, StatsRegistry& registry, ShardOptions options);
  ~Shard();

  // Takes the snapshot and, one for each of its listeners, the listening sockets (-1: none).
  void adopt(std::shared_ptr<const Snapshot> snapshot, std::vector<int> listening_fds);
  void adopt_hosts(uint32_t cluster, const HostSet& hosts);
  // New connections begin with `now` where the snapshot says `first`; those that are there stay as they are.
  void adopt_tls(const TlsContextPtr& first, const TlsContextPtr& now);
  // What the snapshot's `first` is by now.
  const TlsContextPtr& tls_now(const TlsContextPtr& first) const {
    if (tls_now_.empty()) return first;
    const auto found = tls_now_.find(first);
    return found != tls_now_.end() ? found->second : first;
  }
  // The health of some of its hosts has changed.
  void adopt_health(uint32_t cluster);
  // Accepts no more.
  void stop_accepting();
  // Keep-alive connections end with their next answer.
  void drain();
  // Ends everything; quiet() becomes true some turns later.
  void close_all();
  bool quiet() const;
  bool accepting_stopped() const;
  uint32_t connections() const;
  void flush_logs();
  void reopen_logs();

  Worker& worker() { return worker_; }
  StatsRegistry& registry() { return registry_; }
  StatCells& stat_cells() { return registry_.cells(worker_.index()); }
  StatBlock<RingsideStat>& ringside_stats() { return ringside_stats_; }
  H1ScratchPool& h1_scratch() { return codec_pools_.h1; }
  H2ScratchPool& h2_pool() { return codec_pools_.h2; }
  // Of all connections from clients.
  H2Stats& h2_stats() { return h2_stats_.numbers(); }
  // Of inspected WebSockets; `name` is that of a route, say.
  StatBlock<WebSocketStat>& websocket_stats(std::string_view stat_prefix, std::string_view name) {
    return websocket_stats_.find(registry_, worker_.index(), stat_prefix, name);
  }
  // The listener of exactly this address, else of its port at any address; null: there is none.
  ListenerGate* gate_of(const Address& address);
  Cluster* cluster(uint32_t index) { return clusters_[index].get(); }
  LogFile& log_file(const std::string& path);
  SecondCache& second_cache() { return second_cache_; }
  uint64_t next_connection_id() { return ++connection_ids_; }

  Exchange* new_exchange(Downstream& session, Stream& stream) { return exchanges_.make(session, stream); }
  void free_exchange(Exchange& exchange) { exchanges_.destroy(&exchange); }
  Session* new_session(LiveChain& listener, std::unique_ptr<Transport> transport) {
    return sessions_.make(listener, std::move(transport));
  }
  void free_session(Session& session) { sessions_.destroy(&session); }
  H2Session* new_h2_session(LiveChain& listener, std::unique_ptr<Transport> transport, uint64_t id) {
    h2_stats_.attach(registry_, {.prefix = "http2."}, worker_.index());
    return h2_sessions_.make(listener, std::move(transport), id);
  }
  void free_h2_session(H2Session& session) { h2_sessions_.destroy(&session); }
  size_t exchanges_live() const { return exchanges_.live(); }
  // A listener's accept object has ended from within: keeps it to the end of the turn.
  void bury(std::unique_ptr<Listener> listener);
  void on_descriptor_freed();

 private:
  // Copies what the ring counted into the stats, now and then.
  void on_stats_timer();

  Worker& worker_;
  StatsRegistry& registry_;
  ShardOptions options_;
  StatBlock<RingsideStat> ringside_stats_;
  RingStats ring_seen_{};
  std::shared_ptr<const Snapshot> snapshot_;
  std::map<TlsContextPtr, TlsContextPtr> tls_now_;
  CodecPools codec_pools_;
  H2StatCells h2_stats_;
  WebSocketCells websocket_stats_;
  SecondCache second_cache_;
  Slab<Exchange> exchanges_;
  Slab<Session> sessions_;
  Slab<H2Session> h2_sessions_;
  std::map<std::string, std::unique_ptr<LogFile>> log_files_;
  std::vector<std::unique_ptr<Cluster>> clusters_;
  std::vector<std::unique_ptr<ListenerGate>> listeners_;
  uint64_t connection_ids_ = 0;
  TimerFor<Shard, &Shard::on_stats_timer> stats_timer_{*this};
};

}  // namespace ringside
