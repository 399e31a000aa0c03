#include "proxy/tunnel.h"

#include <algorithm>
#include <utility>

#include "proxy/downstream.h"
#include "proxy/exchange.h"
#include "proxy/http_manager.h"
#include "proxy/listener/live_chain.h"
#include "proxy/shard.h"
#include "proxy/upstream/cluster.h"

namespace ringside {

Tunnel::Tunnel(Terms terms) : terms_(std::move(terms)) {}
Tunnel::~Tunnel() = default;
void Tunnel::on_retired() { terms_.listener->shard().free_tunnel(*this); }
Worker& Tunnel::worker() const { return terms_.listener->worker(); }

void Tunnel::start(Early early) {
  last_activity_ = worker().now();
  if (terms_.watch == nullptr && down_.raw() && up_.raw()) {
    if (down_.sends_piped()) up_.relay_all();
    if (up_.sends_piped()) down_.relay_all();
  }
  while (!early.from_client.empty()) pass(down_, early.from_client.pop_front());
  while (!early.from_upstream.empty()) pass(up_, early.from_upstream.pop_front());
  if (early.client_ended) down_.on_end();
  if (early.upstream_ended) up_.on_end();
  arm_timer();
}

// --- bytes -------------------------------------------------------------------------------------------------------------

void Tunnel::count_bytes(const TunnelEnd& from, size_t bytes) {
  const bool of_client = &from == &down_;
  (of_client ? from_client_bytes_ : from_upstream_bytes_) += bytes;
  if (of_client && down_.raw()) terms_.listener->http_stats().inc(HttpStat::downstream_cx_rx_bytes_total, bytes);
  if (!of_client && up_.raw()) terms_.cluster->stats().inc(ClusterStat::upstream_cx_rx_bytes_total, bytes);
}

void Tunnel::pass(TunnelEnd& from, Slice bytes, End end) {
  if (phase_ != Phase::relaying) return from.grant(bytes.size());
  last_activity_ = worker().now();
  count_bytes(from, bytes.size());
  if (terms_.watch == nullptr) return end == End::yes ? other(from).send_last(std::move(bytes)) : other(from).send(std::move(bytes));
  const TunnelSide side = &from == &down_ ? TunnelSide::client : TunnelSide::upstream;
  const TunnelWatch::Verdict verdict = terms_.watch->on_bytes(side, bytes.text());
  const size_t size = bytes.size();
  const size_t kept = std::min(verdict.pass_bytes, size);
  if (kept == size) end == End::yes && !verdict.ends ? other(from).send_last(std::move(bytes)) : other(from).send(std::move(bytes));
  else if (kept > 0) other(from).send(bytes.share(0, kept));
  from.grant(size - kept);
  if (verdict.ends) return this->end();
  if (terms_.watch->deadline() != Instant::max()) arm_timer();
}

void Tunnel::on_sent(TunnelEnd& end, size_t bytes) {
  last_activity_ = worker().now();
  if (&end == &down_ && down_.raw()) terms_.listener->http_stats().inc(HttpStat::downstream_cx_tx_bytes_total, bytes);
  if (&end == &up_ && up_.raw()) terms_.cluster->stats().inc(ClusterStat::upstream_cx_tx_bytes_total, bytes);
  other(end).grant(bytes);
}

// --- the end -----------------------------------------------------------------------------------------------------------

void Tunnel::on_ended(TunnelEnd& end) {
  if (phase_ == Phase::relaying && !by_client_ && !by_upstream_) (&end == &down_ ? by_client_ : by_upstream_) = true;
  if (terms_.watch != nullptr && phase_ == Phase::relaying)
    terms_.watch->on_end(&end == &down_ ? TunnelSide::client : TunnelSide::upstream);
  other(end).finish();
  on_gone();
}

// A transport has closed, or a stream is reset: by itself, or because we wanted it.
void Tunnel::on_broken(TunnelEnd& end, Error why) {
  if (phase_ == Phase::relaying) {
    phase_ = Phase::ending;
    broken_ = true;
    last_activity_ = worker().now();
    const bool client = &end == &down_;
    if (!by_client_ && !by_upstream_) (client ? by_client_ : by_upstream_) = true;
    flags_.set(client ? ResponseFlag::downstream_connection_termination : ResponseFlag::upstream_connection_termination);
    if (terms_.watch != nullptr) terms_.watch->on_end(client ? TunnelSide::client : TunnelSide::upstream);
    other(end).cut({ErrorCode::peer_reset, why.origin, Retry::never, "the other side broke off"});
    arm_timer();
  }
  on_gone();
}

// We end it: each side hears the watch's last word, and has a while to say goodbye.
void Tunnel::end() {
  if (phase_ != Phase::relaying) return;
  phase_ = Phase::ending;
  broken_ = true;
  last_activity_ = worker().now();
  if (terms_.watch != nullptr) {
    for (const TunnelSide side : {TunnelSide::client, TunnelSide::upstream}) {
      const std::string_view words = terms_.watch->farewell(side);
      if (!words.empty()) (side == TunnelSide::client ? down_ : up_).send(worker().output().copy(words));
    }
  }
  down_.finish();
  up_.finish();
  arm_timer();
  on_gone();
}

void Tunnel::close(Error why) {
  if (phase_ == Phase::gone) return;
  if (phase_ == Phase::relaying) broken_ = true;
  phase_ = Phase::ending;
  timer_.disarm();
  down_.close(why);
  up_.close(why);
  on_gone();
}

// Whether that was the last of it.
void Tunnel::on_gone() {
  if (phase_ == Phase::gone) return;
  const bool over = down_.ended() && up_.ended() && down_.finished() && up_.finished();
  if (over) {
    down_.close_when_sent();
    up_.close_when_sent();
    if (phase_ == Phase::relaying) {
      phase_ = Phase::ending;
      last_activity_ = worker().now();
      arm_timer();
    }
  }
  // The client's session need not outlive its stream.
  if (down_.gone() && terms_.session != nullptr) std::exchange(terms_.session, nullptr)->on_exchange_end(ExchangeEnd::clean);
  if (!down_.gone() || !up_.gone()) return;
  phase_ = Phase::gone;
  timer_.disarm();
  count_end();
  Link<Tunnel>::unlink();
  worker().retire(*this);
}

void Tunnel::count_end() {
  LiveChain& listener = *terms_.listener;
  const Instant now = worker().now();
  count_upstream_end();
  StatBlock<HttpStat>& stats = listener.http_stats();
  stats.dec(HttpStat::downstream_rq_active);
  stats.dec(HttpStat::downstream_cx_upgrades_active);
  if (broken_) stats.inc(HttpStat::downstream_rq_rx_reset);
  stats.inc(HttpStat::downstream_rq_completed);
  stats.inc(downstream_rq_class(terms_.status));
  listener.listener_http_stats().inc(ListenerHttpStat::downstream_rq_completed);
  listener.listener_http_stats().inc(listener_rq_class(terms_.status));
  stats.record(HttpStat::downstream_rq_time, static_cast<uint64_t>((now - terms_.started) / milliseconds(1)));
  if (terms_.log != nullptr)
    terms_.log->on_tunnel_over({.from_client_bytes = from_client_bytes_,
                                .from_upstream_bytes = from_upstream_bytes_,
                                .flags = flags_,
                                .details = timed_out_ ? "stream_idle_timeout" : nullptr,
                                .watch = terms_.watch.get()});
  if (!down_.raw()) return;
  listener.on_session_closed({.lived = now - terms_.session_started,
                              .protocol = SessionProtocol::http1,
                              .by_client = by_client_,
                              .cut_an_exchange = broken_});
}

void Tunnel::count_upstream_end() {
  const uint32_t index = worker().index();
  StatBlock<ClusterStat>& stats = terms_.cluster->stats();
  terms_.cluster->breaker().give(Resource::requests);
  stats.dec(ClusterStat::upstream_rq_active);
  stats.record(ClusterStat::upstream_rq_time,
               static_cast<uint64_t>((worker().now() - terms_.upstream_started) / milliseconds(1)));
  terms_.host->cells(index).subtract(HostStat::rq_active);
  if (!up_.raw()) return;
  terms_.cluster->breaker().give(Resource::connections);
  stats.dec(ClusterStat::upstream_cx_active);
  stats.inc(ClusterStat::upstream_cx_destroy);
  stats.inc(by_upstream_ ? ClusterStat::upstream_cx_destroy_remote : ClusterStat::upstream_cx_destroy_local);
  if (broken_) {
    stats.inc(ClusterStat::upstream_cx_destroy_with_active_rq);
    stats.inc(by_upstream_ ? ClusterStat::upstream_cx_destroy_remote_with_active_rq
                           : ClusterStat::upstream_cx_destroy_local_with_active_rq);
  }
  terms_.host->cells(index).subtract(HostStat::cx_active);
}

// --- time --------------------------------------------------------------------------------------------------------------

Instant Tunnel::next_deadline() const {
  if (phase_ != Phase::relaying)
    return last_activity_ + std::max<Duration>(terms_.listener->http().spec().delayed_close_timeout, milliseconds(1));
  Instant deadline = terms_.ends_at;
  if (terms_.idle_timeout > Duration::zero()) deadline = std::min(deadline, last_activity_ + terms_.idle_timeout);
  if (terms_.watch != nullptr) deadline = std::min(deadline, terms_.watch->deadline());
  return deadline;
}

void Tunnel::arm_timer() {
  if (phase_ != Phase::gone) worker().timers().arm_by(timer_, next_deadline());
}

void Tunnel::on_timer() {
  const Instant now = worker().now();
  if (phase_ == Phase::gone) return;
  if (now < next_deadline()) return arm_timer();
  if (phase_ == Phase::ending) return close({});
  if (terms_.watch != nullptr && now >= terms_.watch->deadline()) {
    if (terms_.watch->on_deadline(now).ends) return end();
    return arm_timer();
  }
  StatBlock<HttpStat>& stats = terms_.listener->http_stats();
  timed_out_ = true;
  if (now >= terms_.ends_at) {
    stats.inc(HttpStat::downstream_rq_max_duration_reached);
    flags_.set(ResponseFlag::duration_timeout);
  } else {
    stats.inc(HttpStat::downstream_rq_idle_timeout);
    flags_.set(ResponseFlag::stream_idle_timeout);
  }
  end();
}

}  // namespace ringside
