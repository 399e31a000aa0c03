#include "proxy/h2_session.h"

#include <algorithm>

#include "codecs/http2/h2_frame.h"
#include "core/log.h"
#include "proxy/exchange.h"
#include "proxy/http_manager.h"
#include "proxy/listener/live_chain.h"
#include "proxy/shard.h"

namespace ringside {
namespace {

// A client that has more to ask soon finds the tables of its headers warm.
constexpr Duration rest_after = seconds(3);

}  // namespace

H2Session::H2Session(LiveChain& listener, std::unique_ptr<Transport> transport, uint64_t id)
    : Downstream(listener, transport->peer_address(), id),
      transport_(std::move(transport)),
      codec_(*this, *this, listener.http().h2_limits(), listener.shard().h2_pool(), listener.shard().h2_stats()),
      started_(listener.worker().now()),
      since_(started_),
      budgets_until_(started_) {
  listener_.http_stats().inc(HttpStat::downstream_cx_http2_total);
  listener_.http_stats().inc(HttpStat::downstream_cx_http2_active);
}

H2Session::~H2Session() = default;

void H2Session::on_retired() { listener_.shard().free_h2_session(*this); }

void H2Session::start() {
  transport_->start(*this, listener_.spec().connection_buffer_bytes_max);
  start_codec();
  worker().timers().arm_by(timer_, next_deadline());
}

void H2Session::start_codec() {
  codec_.start();
  const std::optional<KeepaliveSpec>& keepalive = listener_.http().spec().http2.keepalive;
  if (!keepalive.has_value()) return;
  keepalive_ = std::make_unique<H2Keepalive>(worker(), codec_, *keepalive);
  keepalive_->start();
}

void H2Session::take_over(Instant started, size_t preface_seen_bytes, Slice bytes) {
  started_ = started;
  transport_->hand_over(*this);
  start_codec();
  if (preface_seen_bytes > 0) decode(worker().output().copy(h2::preface.substr(0, preface_seen_bytes)));
  if (!bytes.empty()) decode(std::move(bytes));
  if (phase_ == Phase::serving) worker().timers().arm_by(timer_, next_deadline());
}

// --- bytes -------------------------------------------------------------------------------------------------------------

void H2Session::on_bytes(Slice bytes) {
  listener_.http_stats().inc(HttpStat::downstream_cx_rx_bytes_total, bytes.size());
  decode(std::move(bytes));
}

void H2Session::decode(Slice bytes) {
  if (phase_ != Phase::serving) return transport_->grant(bytes.size());  // lingering: discarded
  // Budgets matter only to frames that come, so that they need no timer.
  const auto whole_seconds = (worker().now() - budgets_until_) / seconds(1);
  if (whole_seconds > 0) {
    budgets_until_ += seconds(whole_seconds);
    codec_.pass_time(static_cast<uint32_t>(std::min<int64_t>(whole_seconds, 3600)));
  }
  codec_.decode(std::move(bytes));
  if (codec_.take_wants_credit()) worker().ring().hurry();
  if (keepalive_ != nullptr) keepalive_->on_bytes();
  watch();
}

void H2Session::on_sent(size_t bytes) {
  listener_.http_stats().inc(HttpStat::downstream_cx_tx_bytes_total, bytes);
  codec_.on_sent(bytes);
  if (phase_ != Phase::lingering) return end_after_client();
  since_ = worker().now();
  if (transport_->unsent_bytes() > 0) return;
  if (ended_) return close({});
  worker().timers().arm_by(timer_, next_deadline());
}

// What was asked completely is still answered; the last answer closes.
void H2Session::on_end() {
  ended_ = true;
  if (phase_ == Phase::lingering && transport_->unsent_bytes() == 0) return close({});
  if (phase_ != Phase::serving) return;
  const uint32_t before = exchanges_;
  codec_.on_end();
  if (exchanges_ < before) cut_ = true;
  end_after_client();
}

// After its FIN no window opens any more: what did not go by now never will.
void H2Session::end_after_client() {
  if (phase_ == Phase::serving && ended_ && exchanges_ == 0 && transport_->unsent_bytes() == 0) linger();
}

void H2Session::on_grant(size_t wire_bytes) { transport_->grant(wire_bytes); }
void H2Session::write(Slice bytes) { transport_->send(std::move(bytes)); }
char* H2Session::reserve(size_t bytes) { return worker().output().reserve(bytes); }
void H2Session::commit(size_t bytes) { transport_->send(worker().output().commit(bytes)); }

// --- exchanges ---------------------------------------------------------------------------------------------------------

StreamUser& H2Session::on_stream(Stream& stream) {
  ++requests_;
  const uint32_t requests_max = listener_.http().spec().protocol.requests_per_connection_max;
  if (requests_max != 0 && requests_ >= requests_max) {
    if (requests_ == requests_max) listener_.http_stats().inc(HttpStat::downstream_cx_max_requests_reached);
    drain();
  }
  ++exchanges_;
  return listener_.shard().new_exchange(*this, stream)->request_side();
}

void H2Session::on_exchange_end(ExchangeEnd how) {
  static_cast<void>(how);  // a stream that broke off is no harm to the others
  RS_CHECK(exchanges_ > 0);
  --exchanges_;
  if (phase_ != Phase::serving || stalled_since_ != Instant{}) return;
  // What is queued of its answer may find a client that does not read.
  stalled_since_ = worker().now();
  worker().timers().arm_by(timer_, next_deadline());
}

// A stream ended.
void H2Session::on_idle() {
  if (phase_ != Phase::serving) return;
  if (codec_.streams_active() > 0) return;
  since_ = worker().now();
  if (ended_ || codec_.drained()) return linger();
  rests_ = false;
  // A timer that is armed looks again when it fires.
  if (!timer_.armed() || timer_.deadline() > since_ + rest_after) worker().timers().arm_by(timer_, next_deadline());
}

void H2Session::on_codec_error(Error why, uint16_t status) {
  static_cast<void>(status);
  if (why.code == ErrorCode::bad_message) listener_.http_stats().inc(HttpStat::downstream_cx_protocol_error);
  // Somebody will want to know whom to keep out.
  if (why.code == ErrorCode::too_large)
    RS_LOG_WARN(http, "listener {}: HTTP/2 connection of {} ended: {}", listener_.spec().name, peer_address().text(), why.detail);
  if (why.code == ErrorCode::timed_out) return close(why);  // nobody reads what lingering would wait for
  linger();
}

// --- ending ------------------------------------------------------------------------------------------------------------

void H2Session::drain() {
  if (draining_ || phase_ != Phase::serving) return;
  draining_ = true;
  since_ = worker().now();
  codec_.drain(H2Codec::Drain::gracefully);
  worker().timers().arm_by(timer_, next_deadline());
}

// As a session of HTTP/1: FIN after what is queued, and input is discarded until the client's FIN or the deadline.
void H2Session::linger() {
  if (phase_ != Phase::serving) return;
  phase_ = Phase::lingering;
  if (keepalive_ != nullptr) keepalive_->stop();
  left_ = !ended_;
  since_ = worker().now();
  transport_->finish();
  if (ended_ && transport_->unsent_bytes() == 0) return close({});
  worker().timers().arm_by(timer_, next_deadline());
}

void H2Session::close(Error why) {
  if (phase_ == Phase::closing) return;
  if (phase_ == Phase::serving) left_ = !ended_;
  phase_ = Phase::closing;
  timer_.disarm();
  if (keepalive_ != nullptr) keepalive_->stop();
  if (exchanges_ > 0) cut_ = true;
  codec_.abort(why);
  transport_->close(why);
}

void H2Session::on_closed(Error why) {
  phase_ = Phase::closing;
  timer_.disarm();
  if (keepalive_ != nullptr) keepalive_->stop();
  why.origin = Origin::downstream;
  if (exchanges_ > 0) cut_ = true;
  codec_.abort(why);
  listener_.on_session_closed({.lived = worker().now() - started_,
                               .protocol = SessionProtocol::http2,
                               .by_client = !left_,
                               .cut_an_exchange = cut_});
  Link<H2Session>::unlink();
  worker().retire(*this);
}

// --- time --------------------------------------------------------------------------------------------------------------

// After bytes came: has a header block begun, or ended?
void H2Session::watch() {
  if (phase_ != Phase::serving) return;
  // Also when the second GOAWAY has just gone, and nothing is under way.
  if (codec_.drained() && codec_.streams_active() == 0) return linger();
  const bool started = codec_.head_started();
  if (started == head_started_) return;
  head_started_ = started;
  head_since_ = worker().now();
  if (started) worker().timers().arm_by(timer_, next_deadline());
}

Instant H2Session::next_deadline() const {
  const HttpManagerSpec& spec = listener_.http().spec();
  if (phase_ == Phase::lingering) {
    if (transport_->unsent_bytes() > 0)
      return spec.stream_idle_timeout > Duration::zero() ? since_ + spec.stream_idle_timeout : Instant::max();
    return since_ + std::max<Duration>(spec.delayed_close_timeout, milliseconds(1));
  }
  Instant deadline = listener_.handshake_deadline(*transport_, started_);
  const auto at_most = [&](Instant from, Duration span) {
    if (span > Duration::zero()) deadline = std::min(deadline, from + span);
  };
  // Without a timeout of its own, a head that dribbles in is bounded by the idle timeout.
  if (head_started_)
    at_most(head_since_, spec.request_headers_timeout > Duration::zero() ? spec.request_headers_timeout
                                                                         : spec.protocol.idle_timeout);
  if (stalls()) at_most(stalled_since_, spec.stream_idle_timeout);
  if (draining_ && !codec_.drained()) at_most(since_, std::max<Duration>(spec.drain_timeout, milliseconds(1)));
  if (codec_.streams_active() == 0) {
    if (!draining_) at_most(since_, spec.protocol.idle_timeout);
    if (!rests_) at_most(since_, rest_after);
  } else {
    at_most(worker().now(), spec.protocol.idle_timeout);  // look again later
  }
  if (!draining_) at_most(started_, spec.protocol.connection_duration_max);
  return deadline;
}

void H2Session::on_timer() {
  if (phase_ == Phase::closing) return;
  if (phase_ == Phase::serving) {
    on_serving_timer();
  } else if (next_deadline() <= worker().now()) {
    listener_.http_stats().inc(HttpStat::downstream_cx_delayed_close_timeout);
    return close({});
  }
  if (phase_ != Phase::closing && !timer_.armed()) worker().timers().arm_by(timer_, next_deadline());
}

void H2Session::on_serving_timer() {
  const HttpManagerSpec& spec = listener_.http().spec();
  StatBlock<HttpStat>& stats = listener_.http_stats();
  const Instant now = worker().now();
  const auto over = [&](Instant from, Duration span) { return span > Duration::zero() && now >= from + span; };
  if (now >= listener_.handshake_deadline(*transport_, started_)) {
    listener_.stats().inc(ListenerStat::downstream_cx_transport_socket_connect_timeout);
    return close({ErrorCode::timed_out, Origin::downstream, Retry::never, "TLS handshake timeout"});
  }
  if (!draining_ && over(started_, spec.protocol.connection_duration_max)) {
    stats.inc(HttpStat::downstream_cx_max_duration_reached);
    drain();
  }
  if (draining_ && !codec_.drained() && over(since_, std::max<Duration>(spec.drain_timeout, milliseconds(1))))
    codec_.drain(H2Codec::Drain::now);
  // A head of which the rest does not come holds up every other stream of its connection.
  const bool of_head = spec.request_headers_timeout > Duration::zero();
  if (head_started_ && over(head_since_, of_head ? spec.request_headers_timeout : spec.protocol.idle_timeout)) {
    if (of_head) stats.inc(HttpStat::downstream_rq_header_timeout);
    codec_.drain(H2Codec::Drain::now);
    codec_.abort({ErrorCode::timed_out, Origin::downstream, Retry::never, "request header timeout"});
    return linger();
  }
  if (stalls() && over(stalled_since_, spec.stream_idle_timeout)) {
    stalled_since_ = now;
    codec_.reset_stalled();
    if (phase_ != Phase::serving) return;
  }
  if (!stalls()) stalled_since_ = {};
  if (codec_.streams_active() > 0) return;
  if (codec_.drained()) return linger();
  if (!rests_ && over(since_, rest_after)) {
    codec_.rest();
    rests_ = true;
  }
  if (draining_ || !over(since_, spec.protocol.idle_timeout)) return;
  stats.inc(HttpStat::downstream_cx_idle_timeout);
  codec_.drain(H2Codec::Drain::now);
  linger();
}

}  // namespace ringside
