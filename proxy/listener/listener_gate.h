#pragma once
// A listener as one worker lives it: accepts, and gives each connection to the filter chain that takes it.
#include <memory>
#include <vector>

#include "core/listener.h"
#include "proxy/listener/live_chain.h"
#include "proxy/snapshot.h"

namespace ringside {

class Shard;

class Inspection;

class ListenerGate final : private ListenerUser {
 public:
  // `listening_fd` is taken over; -1 for a listener that does not bind.
  ListenerGate(Shard& shard, std::shared_ptr<const ListenerEntry> entry, int listening_fd);
  ~ListenerGate();

  void start();
  // Accepts no more; what was accepted lives on.
  void stop_accepting();
  void drain_sessions();
  void close_sessions(Error why);
  // As LiveChain's.
  void close_sessions_with(const std::vector<const Host*>& hosts);
  // A descriptor was freed.
  void resume_accepting();
  bool quiet() const { return connections_ == 0 && accept_ == nullptr; }
  bool draining() const { return draining_; }
  uint32_t connections() const { return connections_; }

  Shard& shard() { return shard_; }
  Worker& worker() { return worker_; }
  const ListenerSpec& spec() const { return entry_->spec; }
  StatBlock<ListenerStat>& stats() { return stats_; }
  // A connection of one of the chains is no more.
  void on_connection_gone(Duration lived);

  // Looks at a connection, perhaps one that another listener has looked at before, and lets a chain take it.
  void inspect(std::unique_ptr<TcpTransport> socket, Slice first_bytes);

  // For inspections. The chain that takes the connection; null, and counted, when none does.
  LiveChain* choose(const TcpTransport& socket, ChainQuery seen);
  void admit(LiveChain& chain, std::unique_ptr<TcpTransport> socket, Slice first_bytes);
  void on_inspection_over();
  // The listener of the address that the connection went to at first; null: it stays here.
  ListenerGate* original_listener(const TcpTransport& socket);
  StatBlock<TlsInspectorStat>& tls_inspector_stats() { return tls_inspector_stats_; }
  StatBlock<HttpInspectorStat>& http_inspector_stats() { return http_inspector_stats_; }
  StatBlock<ProxyProtocolStat>& proxy_protocol_stats() { return proxy_protocol_stats_; }
  void count_proxy_protocol_error() { proxy_protocol_errors_.inc(ProxyProtocolErrorStat::downstream_cx_proxy_proto_error); }

 private:
  void on_accept(int fd) override;
  void on_accept_paused(bool paused) override;
  void on_listener_closed() override;
  void attach_filter_stats();

  Shard& shard_;
  Worker& worker_;
  std::shared_ptr<const ListenerEntry> entry_;
  std::unique_ptr<Listener> accept_;
  StatBlock<ListenerStat> stats_;
  StatBlock<ListenerWorkerStat> worker_stats_;
  // Of the filters that there are.
  StatBlock<TlsInspectorStat> tls_inspector_stats_;
  StatBlock<HttpInspectorStat> http_inspector_stats_;
  StatBlock<ProxyProtocolStat> proxy_protocol_stats_;
  StatBlock<ProxyProtocolErrorStat> proxy_protocol_errors_;
  std::vector<std::unique_ptr<LiveChain>> chains_;  // as in the entry
  List<Inspection, Inspection> inspections_;
  uint32_t connections_ = 0;
  bool draining_ = false;
};

}  // namespace ringside
