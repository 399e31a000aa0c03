#include "proxy/listener/listener_gate.h"

#include "core/log.h"
#include "proxy/listener/inspection.h"
#include "proxy/shard.h"

namespace ringside {

ListenerGate::ListenerGate(Shard& shard, std::shared_ptr<const ListenerEntry> entry, int listening_fd)
    : shard_(shard), worker_(shard.worker()), entry_(std::move(entry)) {
  stats_ = shard.stat_cells().block(entry_->stats);
  worker_stats_ = shard.stat_cells().block(
      shard.registry().group<ListenerWorkerStat>(listener_worker_scope(entry_->stat_address, worker_.index())));
  if (listening_fd >= 0) accept_ = std::make_unique<Listener>(worker_, static_cast<ListenerUser&>(*this), listening_fd);
  attach_filter_stats();
  for (const ChainEntry& chain : entry_->chains) chains_.push_back(std::make_unique<LiveChain>(*this, *entry_, chain));
}

ListenerGate::~ListenerGate() = default;

void ListenerGate::attach_filter_stats() {
  StatCells& cells = shard_.stat_cells();
  if (entry_->tls_inspector_stats) tls_inspector_stats_ = cells.block(entry_->tls_inspector_stats);
  if (entry_->http_inspector_stats) http_inspector_stats_ = cells.block(entry_->http_inspector_stats);
  if (!entry_->proxy_protocol_stats) return;
  proxy_protocol_stats_ = cells.block(entry_->proxy_protocol_stats);
  proxy_protocol_errors_ = cells.block(entry_->proxy_protocol_errors);
}

void ListenerGate::start() {
  if (accept_ != nullptr) accept_->start();
}

// --- connections -------------------------------------------------------------------------------------------------------

void ListenerGate::on_accept(int fd) {
  auto socket = TcpTransport::make(worker_, fd);
  if (!entry_->spec.filters.empty()) return inspect(std::move(socket), {});
  LiveChain* const chain = entry_->table.trivial() ? chains_.front().get() : choose(*socket, {.transport_protocol = "raw_buffer"});
  if (chain != nullptr) admit(*chain, std::move(socket), {});
}

void ListenerGate::inspect(std::unique_ptr<TcpTransport> socket, Slice first_bytes) {
  ++connections_;
  stats_.inc(ListenerStat::downstream_pre_cx_active);
  auto* inspection = new Inspection(*this, std::move(socket));  // retires itself when it is over
  inspections_.push_back(*inspection);
  inspection->start(std::move(first_bytes));
}

ListenerGate* ListenerGate::original_listener(const TcpTransport& socket) {
  const ConnectionFacts* const facts = socket.facts_before();
  if (!entry_->spec.use_original_destination || facts == nullptr || facts->local.empty()) return nullptr;
  ListenerGate* const gate = shard_.gate_of(facts->local);
  return gate != this ? gate : nullptr;
}

LiveChain* ListenerGate::choose(const TcpTransport& socket, ChainQuery seen) {
  const FilterChainTable& table = entry_->table;
  if (table.asks_local()) seen.local = socket.local_address();
  if (table.asks_peer()) {
    seen.peer = seen.direct_peer = socket.peer_address();
    if (const ConnectionFacts* facts = socket.facts_before(); facts != nullptr && !facts->direct_peer.empty())
      seen.direct_peer = facts->direct_peer;
  }
  const uint32_t index = table.find(seen);
  if (index != FilterChainTable::none) return chains_[index].get();
  if (entry_->spec.default_chain != nullptr) return chains_.back().get();
  stats_.inc(ListenerStat::no_filter_chain_match);
  return nullptr;
}

void ListenerGate::admit(LiveChain& chain, std::unique_ptr<TcpTransport> socket, Slice first_bytes) {
  ++connections_;
  stats_.inc(ListenerStat::downstream_cx_total);
  stats_.inc(ListenerStat::downstream_cx_active);
  worker_stats_.inc(ListenerWorkerStat::downstream_cx_total);
  worker_stats_.inc(ListenerWorkerStat::downstream_cx_active);
  chain.take(std::move(socket), std::move(first_bytes));
}

void ListenerGate::on_inspection_over() {
  --connections_;
  stats_.dec(ListenerStat::downstream_pre_cx_active);
}

void ListenerGate::on_connection_gone(Duration lived) {
  --connections_;
  stats_.dec(ListenerStat::downstream_cx_active);
  stats_.inc(ListenerStat::downstream_cx_destroy);
  stats_.record(ListenerStat::downstream_cx_length_ms, static_cast<uint64_t>(lived / milliseconds(1)));
  worker_stats_.dec(ListenerWorkerStat::downstream_cx_active);
  shard_.on_descriptor_freed();
}

void ListenerGate::on_accept_paused(bool paused) {
  if (!paused) return;
  shard_.ringside_stats().inc(RingsideStat::accept_paused);
  RS_LOG_WARN(connection, "listener {}: out of file descriptors, accepting pauses until one is free (see ulimit -n)",
              entry_->spec.name);
}

void ListenerGate::resume_accepting() {
  if (accept_ != nullptr && accept_->paused()) accept_->resume();
}

void ListenerGate::stop_accepting() {
  if (accept_ != nullptr) accept_->close();
}

void ListenerGate::on_listener_closed() {
  // Called by the object itself: it goes at the end of the turn, with us or later.
  shard_.bury(std::move(accept_));
}

void ListenerGate::drain_sessions() {
  draining_ = true;
  for (const std::unique_ptr<LiveChain>& chain : chains_) chain->drain_sessions();
}

void ListenerGate::close_sessions(Error why) {
  inspections_.for_each([&](Inspection& inspection) { inspection.close(why); });
  for (const std::unique_ptr<LiveChain>& chain : chains_) chain->close_sessions(why);
}

void ListenerGate::close_sessions_with(const std::vector<const Host*>& hosts) {
  for (const std::unique_ptr<LiveChain>& chain : chains_) chain->close_sessions_with(hosts);
}

}  // namespace ringside
