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

namespace {
// A peer that is quick has acknowledged what it was sent by then, even if it delays that.
constexpr Duration acknowledged_time = milliseconds(60);

uint32_t whole_milliseconds(Duration time) {
  return static_cast<uint32_t>(std::clamp<int64_t>(time / milliseconds(1), 0, UINT32_MAX));
}
}  // namespace

Tunnel::Tunnel(Terms terms)
    : Timer([](Timer& timer) { static_cast<Tunnel&>(timer).on_timer(); }),
      connect_(terms.status != 101),
      listener_(*terms.listener),
      cluster_(*terms.cluster),
      host_(std::move(terms.host)),
      started_(terms.started),
      idle_timeout_ms_(whole_milliseconds(terms.idle_timeout + milliseconds(1) - nanoseconds(1))),
      upstream_age_ms_(whole_milliseconds(terms.upstream_started - terms.started)) {
  if (terms.watch != nullptr || terms.log != nullptr || terms.ends_at != Instant::max()) {
    rare_ = std::make_unique<Rare>();
    rare_->watch = std::move(terms.watch);
    rare_->log = terms.log;
    rare_->ends_at = terms.ends_at;
    rare_->cluster_ends_it = terms.cluster_ends_it;
  }
  if (terms.session != nullptr) session_ = terms.session;
  else session_started_ = terms.session_started;
}

Tunnel::~Tunnel() = default;
void Tunnel::on_retired() { listener_.shard().free_tunnel(*this); }
Worker& Tunnel::worker() const { return listener_.worker(); }

void Tunnel::start(Early early) {
  last_activity_ = worker().now();
  if (watch() == nullptr && down().raw() && up().raw()) {
    if (down().sends_piped()) up().relay_all();
    if (up().sends_piped()) down().relay_all();
  }
  pass_early(down(), early.from_client);
  pass_early(up(), early.from_upstream);
  if (early.client_ended) down().on_end();
  if (early.upstream_ended) up().on_end();
  if (early.upstream_gone) early.upstream_gone->code == ErrorCode::none ? on_sated() : on_broken(up(), *early.upstream_gone);
  arm_timer();
}

// --- bytes -------------------------------------------------------------------------------------------------------------

void Tunnel::pass_early(TunnelEnd& from, Buffer& bytes) {
  while (!bytes.empty()) relay(from, bytes.pop_front(), End::no);
}

void Tunnel::pass(TunnelEnd& from, Slice bytes, End end) {
  const bool of_client = is_down(from);
  if (of_client && down().raw()) listener_.http_stats().inc(HttpStat::downstream_cx_rx_bytes_total, bytes.size());
  if (!of_client && up().raw()) cluster_.stats().inc(ClusterStat::upstream_cx_rx_bytes_total, bytes.size());
  relay(from, std::move(bytes), end);
}

// Of bytes that the connection has counted as received.
void Tunnel::relay(TunnelEnd& from, Slice bytes, End end) {
  if (phase_ != Phase::relaying) return from.grant(bytes.size());
  last_activity_ = worker().now();
  if (rare_ != nullptr) (is_down(from) ? rare_->from_client_bytes : rare_->from_upstream_bytes) += bytes.size();
  if (watch() == nullptr) return end == End::yes ? other(from).send_last(std::move(bytes)) : other(from).send(std::move(bytes));
  const TunnelSide side = is_down(from) ? TunnelSide::client : TunnelSide::upstream;
  const TunnelWatch::Verdict verdict = watch()->on_bytes(side, bytes.text());
  const size_t size = bytes.size();
  const size_t kept = std::min(verdict.pass_bytes, size);
  if (kept == size) end == End::yes && !verdict.ends ? other(from).send_last(std::move(bytes)) : other(from).send(std::move(bytes));
  else if (kept > 0) other(from).send(bytes.share(0, kept));
  from.grant(size - kept);
  if (verdict.ends) return this->end();
  if (watch()->deadline() != Instant::max()) arm_timer();
}

void Tunnel::on_sent(TunnelEnd& end, size_t bytes, size_t of_head) {
  last_activity_ = worker().now();
  if (is_down(end) && down().raw()) listener_.http_stats().inc(HttpStat::downstream_cx_tx_bytes_total, bytes);
  if (&end == &up() && up().raw()) cluster_.stats().inc(ClusterStat::upstream_cx_tx_bytes_total, bytes);
  // Of what goes out at the end some is our own, for which nobody has credit.
  if (bytes > of_head && !said_farewell_) other(end).grant(bytes - of_head);
}

// --- the end -----------------------------------------------------------------------------------------------------------

void Tunnel::on_ended(TunnelEnd& end) {
  if (phase_ == Phase::relaying && !by_client_ && !by_upstream_) (is_down(end) ? by_client_ : by_upstream_) = true;
  if (watch() != nullptr && phase_ == Phase::relaying)
    watch()->on_end(is_down(end) ? TunnelSide::client : TunnelSide::upstream);
  other(end).finish();
  on_gone();
}

// A transport has closed, or a stream is reset: by itself, or because we wanted it.
void Tunnel::on_broken(TunnelEnd& end, Error why) {
  if (phase_ == Phase::relaying) {
    phase_ = Phase::ending;
    broken_ = true;
    last_activity_ = worker().now();
    const bool client = is_down(end);
    if (!by_client_ && !by_upstream_) (client ? by_client_ : by_upstream_) = true;
    note(client ? ResponseFlag::downstream_connection_termination : ResponseFlag::upstream_connection_termination);
    if (watch() != nullptr) watch()->on_end(client ? TunnelSide::client : TunnelSide::upstream);
    other(end).cut({ErrorCode::peer_reset, why.origin, Retry::never, "the other side broke off"});
    arm_timer();
  }
  on_gone();
}

// One side had said its last and takes no more: what the other still says is for nobody.
void Tunnel::on_sated() {
  if (phase_ == Phase::relaying) {
    phase_ = Phase::ending;
    last_activity_ = worker().now();
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
  if (watch() != nullptr) {
    said_farewell_ = true;
    for (const TunnelSide side : {TunnelSide::client, TunnelSide::upstream}) {
      const std::string_view words = watch()->farewell(side);
      if (!words.empty()) (side == TunnelSide::client ? down() : up()).send(worker().output().copy(words));
    }
  }
  down().finish();
  up().finish();
  arm_timer();
  on_gone();
}

void Tunnel::close(Error why) {
  if (phase_ == Phase::gone) return;
  if (phase_ == Phase::relaying) broken_ = true;
  phase_ = Phase::ending;
  disarm();
  down().close(why);
  up().close(why);
  on_gone();
}

// Whether that was the last of it.
void Tunnel::on_gone() {
  if (phase_ == Phase::gone) return;
  const bool over = down().ended() && up().ended() && down().finished() && up().finished();
  if (over) {
    down().close_when_sent();
    up().close_when_sent();
    if (phase_ == Phase::relaying) {
      phase_ = Phase::ending;
      last_activity_ = worker().now();
      arm_timer();
    }
  }
  // The client's session need not outlive its stream.
  if (down().gone() && !down().raw() && session_ != nullptr) std::exchange(session_, nullptr)->on_exchange_end(ExchangeEnd::clean);
  if (!down().gone() || !up().gone()) return;
  phase_ = Phase::gone;
  disarm();
  count_end();
  Link<Tunnel>::unlink();
  worker().retire(*this);
}

void Tunnel::count_end() {
  LiveChain& listener = listener_;
  const Instant now = worker().now();
  count_upstream_end();
  StatBlock<HttpStat>& stats = listener.http_stats();
  stats.dec(HttpStat::downstream_rq_active);
  stats.dec(HttpStat::downstream_cx_upgrades_active);
  if (broken_) stats.inc(HttpStat::downstream_rq_rx_reset);
  stats.inc(HttpStat::downstream_rq_completed);
  const uint16_t status = connect_ ? 200 : 101;  // their classes are what counts
  stats.inc(downstream_rq_class(status));
  listener.listener_http_stats().inc(ListenerHttpStat::downstream_rq_completed);
  listener.listener_http_stats().inc(listener_rq_class(status));
  stats.record(HttpStat::downstream_rq_time, static_cast<uint64_t>((now - started_) / milliseconds(1)));
  if (rare_ != nullptr && rare_->log != nullptr)
    rare_->log->on_tunnel_over({.from_client_bytes = rare_->from_client_bytes,
                                .from_upstream_bytes = rare_->from_upstream_bytes,
                                .flags = rare_->flags,
                                .details = rare_->details,
                                .watch = watch()});
  if (!down().raw()) return;
  listener.on_session_closed({.lived = now - session_started_,
                              .protocol = SessionProtocol::http1,
                              .by_client = by_client_,
                              .cut_an_exchange = broken_});
}

void Tunnel::count_upstream_end() {
  const uint32_t index = worker().index();
  StatBlock<ClusterStat>& stats = cluster_.stats();
  cluster_.breaker().give(Resource::requests);
  stats.dec(ClusterStat::upstream_rq_active);
  stats.record(ClusterStat::upstream_rq_time,
               static_cast<uint64_t>((worker().now() - started_ - milliseconds(upstream_age_ms_)) / milliseconds(1)));
  host_->cells(index).subtract(HostStat::rq_active);
  if (!up().raw()) return;
  cluster_.breaker().give(Resource::connections);
  stats.dec(ClusterStat::upstream_cx_active);
  stats.inc(ClusterStat::upstream_cx_destroy);
  stats.inc(by_upstream_ ? ClusterStat::upstream_cx_destroy_remote : ClusterStat::upstream_cx_destroy_local);
  if (broken_) {
    stats.inc(ClusterStat::upstream_cx_destroy_with_active_rq);
    stats.inc(by_upstream_ ? ClusterStat::upstream_cx_destroy_remote_with_active_rq
                           : ClusterStat::upstream_cx_destroy_local_with_active_rq);
  }
  host_->cells(index).subtract(HostStat::cx_active);
}

// --- time --------------------------------------------------------------------------------------------------------------

Instant Tunnel::next_deadline() const {
  if (down().cuts() || up().cuts()) return last_activity_ + acknowledged_time;
  if (phase_ != Phase::relaying)
    return last_activity_ + std::max<Duration>(listener_.http().spec().delayed_close_timeout, milliseconds(1));
  Instant deadline = rare_ != nullptr ? rare_->ends_at : Instant::max();
  if (idle_timeout_ms_ > 0) deadline = std::min(deadline, last_activity_ + milliseconds(idle_timeout_ms_));
  if (watch() != nullptr) deadline = std::min(deadline, watch()->deadline());
  return deadline;
}

void Tunnel::arm_timer() {
  if (phase_ != Phase::gone) worker().timers().arm_by(*this, next_deadline());
}

void Tunnel::on_timer() {
  const Instant now = worker().now();
  if (phase_ == Phase::gone) return;
  if (now < next_deadline()) return arm_timer();
  if (down().cuts() || up().cuts()) {
    down().cut_behind_the_rest();
    up().cut_behind_the_rest();
    return arm_timer();
  }
  if (phase_ == Phase::ending) {
    // Bytes that were accepted get the time that a slow reader has at any other moment.
    const Instant patience_ends = idle_timeout_ms_ > 0 ? last_activity_ + milliseconds(idle_timeout_ms_) : Instant::max();
    if ((down().waits_for_reader() || up().waits_for_reader()) && now < patience_ends)
      return worker().timers().arm(*this, std::min(patience_ends, now + seconds(1)));
    // What is unsent is lost, and must not look whole.
    if (down().waits_for_reader()) down().abort();
    if (up().waits_for_reader()) up().abort();
    return close({});
  }
  if (watch() != nullptr && now >= watch()->deadline()) {
    if (watch()->on_deadline(now).ends) return end();
    return arm_timer();
  }
  StatBlock<HttpStat>& stats = listener_.http_stats();
  const char* details = nullptr;
  if (rare_ != nullptr && now >= rare_->ends_at && rare_->cluster_ends_it) {
    cluster_.stats().inc(ClusterStat::upstream_rq_max_duration_reached);
    note(ResponseFlag::upstream_stream_duration_reached);
    details = "upstream_max_stream_duration_reached";
  } else if (rare_ != nullptr && now >= rare_->ends_at) {
    stats.inc(HttpStat::downstream_rq_max_duration_reached);
    note(ResponseFlag::duration_timeout);
    details = "max_duration_timeout";
  } else {
    stats.inc(HttpStat::downstream_rq_idle_timeout);
    note(ResponseFlag::stream_idle_timeout);
    details = "stream_idle_timeout";
  }
  if (rare_ != nullptr) rare_->details = details;
  end();
}

}  // namespace ringside
