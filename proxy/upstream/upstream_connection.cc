#include "proxy/upstream/upstream_connection.h"

#include <algorithm>
#include <utility>

#include "proxy/upstream/cluster.h"
#include "proxy/upstream/connection_pool.h"
#include "proxy/upstream/h1_upstream.h"
#include "proxy/upstream/h2_upstream.h"

namespace ringside {

UpstreamConnection* UpstreamConnection::make(ConnectionPool& pool) {
  StatBlock<ClusterStat>& stats = pool.cluster().stats();
  const bool is_http2 = pool.cluster().spec().http2.has_value();
  stats.inc(is_http2 ? ClusterStat::upstream_cx_http2_total : ClusterStat::upstream_cx_http1_total);
  if (is_http2) return new H2Upstream(pool);
  return new H1Upstream(pool);
}

UpstreamConnection::UpstreamConnection(ConnectionPool& pool)
    : pool_(pool), cluster_(pool.cluster()), worker_(cluster_.worker()), dialer_(worker_, *this) {}

void UpstreamConnection::dial() {
  started_ = worker_.now();
  dialer_.dial(pool_.endpoint().host().address(), cluster_.spec().connect_timeout);
}

void UpstreamConnection::on_connected(int fd) {
  const ClusterSpec& spec = cluster_.spec();
  transport_ = cluster_.make_transport(fd, pool_.endpoint().host(), *this, pool_.terms());
  shaking_hands_ = cluster_.has_tls(pool_.endpoint().host());
  transport_->start(*this, spec.connection_buffer_bytes_max);
  if (!shaking_hands_) return on_ready();
  // The handshake has what is left of the time to connect.
  const Duration left = started_ + spec.connect_timeout - worker_.now();
  worker_.arm(idle_timer_, std::max<Duration>(left, milliseconds(1)));
}

void UpstreamConnection::on_handshake() {
  shaking_hands_ = false;
  idle_timer_.disarm();
  if (!closing_) on_ready();
}

// Told by on_closed, whatever the reason.
void UpstreamConnection::on_handshake_failed(Error why) {
  shaking_hands_ = false;
  idle_timer_.disarm();
  why.detail = detail_of(why);
  if (why.code != ErrorCode::timed_out && why.code != ErrorCode::cancelled) why.code = ErrorCode::refused;
  on_connect_failed(why);
}

const char* UpstreamConnection::detail_of(const Error& why) const {
  const TlsTransport* const tls = cluster_.tls_of(pool_.endpoint().host(), *transport_);
  if (tls == nullptr) return why.detail;
  const std::string& text = tls->failure_text();
  return text.empty() ? why.detail : text.c_str();
}

void UpstreamConnection::on_ready() {
  on_started();
  StatBlock<ClusterStat>& stats = cluster_.stats();
  stats.record(ClusterStat::upstream_cx_connect_ms,
               static_cast<uint64_t>((worker_.now() - started_) / milliseconds(1)));
  started_ = worker_.now();
  idle_since_ = started_;
  // One timer for the life of the connection: it looks when it fires whether the time is really over.
  const Duration timeout = idle_timeout();
  if (timeout > Duration::zero()) worker_.arm(idle_timer_, timeout);
  pool_.on_connected(*this);
}

void UpstreamConnection::on_connect_failed(Error why) {
  closing_ = true;
  pool_.on_connect_failed(*this, why);
  worker_.retire(*this);
}

// A client's own connection is of no use to others, and seldom to itself for long.
Duration UpstreamConnection::idle_timeout() const {
  constexpr Duration own_max = seconds(5);
  const Duration timeout = cluster_.spec().protocol.idle_timeout;
  const bool own = pool_.terms() != nullptr && !pool_.terms()->peer.empty();
  return own && (timeout > own_max || timeout <= Duration::zero()) ? own_max : timeout;
}

// --- idle --------------------------------------------------------------------------------------------------------------

void UpstreamConnection::check_exchanges_max() {
  const uint32_t requests_max = cluster_.spec().protocol.requests_per_connection_max;
  if (requests_max == 0 || exchanges_ < requests_max || draining_) return;
  cluster_.stats().inc(ClusterStat::upstream_cx_max_requests);
  draining_ = true;
}

void UpstreamConnection::on_idle_timeout() {
  if (shaking_hands_)
    return transport_->close({ErrorCode::timed_out, Origin::upstream, Retry::always, "TLS handshake timeout"});
  const Duration timeout = idle_timeout();
  if (busy()) return worker_.arm(idle_timer_, timeout);
  const Duration left = idle_since_ + timeout - worker_.now();
  if (left > Duration::zero()) return worker_.arm(idle_timer_, left);
  cluster_.stats().inc(ClusterStat::upstream_cx_idle_timeout);
  leave({}, false);
}

// --- the end -----------------------------------------------------------------------------------------------------------

void UpstreamConnection::drain() {
  if (dialing() || closing_) return;  // for somebody who waits
  draining_ = true;
  if (!busy()) leave({}, false);
}

void UpstreamConnection::close(Error why) {
  if (shaking_hands_) return transport_->close({ErrorCode::cancelled, Origin::local, why.retry, why.detail});
  if (dialing()) return dialer_.cancel();
  leave(why, busy());
}

void UpstreamConnection::count_destroyed(bool cut) {
  StatBlock<ClusterStat>& stats = cluster_.stats();
  stats.inc(by_peer_ ? ClusterStat::upstream_cx_destroy_remote : ClusterStat::upstream_cx_destroy_local);
  if (!cut) return;
  stats.inc(ClusterStat::upstream_cx_destroy_with_active_rq);
  stats.inc(by_peer_ ? ClusterStat::upstream_cx_destroy_remote_with_active_rq
                     : ClusterStat::upstream_cx_destroy_local_with_active_rq);
}

void UpstreamConnection::leave(Error why, bool cut) {
  if (closing_) return;
  closing_ = true;
  idle_timer_.disarm();
  count_destroyed(cut);
  pool_.on_gone(*this);
  transport_->close(why);
}

void UpstreamConnection::on_closed(Error why) {
  if (shaking_hands_) return on_handshake_failed(why);
  if (!closing_) {  // the transport closed by itself: a reset
    closing_ = true;
    idle_timer_.disarm();
    by_peer_ = true;
    const bool cut = busy();
    count_destroyed(cut);
    pool_.on_gone(*this);
    why.origin = Origin::upstream;
    why.detail = detail_of(why);
    if (why.code == ErrorCode::bad_message) why.code = ErrorCode::peer_reset;  // it is TLS that broke, not HTTP
    if (cut) abort_exchanges(why);
  }
  worker_.retire(*this);
}

// --- bytes -------------------------------------------------------------------------------------------------------------

void UpstreamConnection::on_grant(size_t wire_bytes) { transport_->grant(wire_bytes); }
void UpstreamConnection::write(Slice bytes) { transport_->send(std::move(bytes)); }
char* UpstreamConnection::reserve(size_t bytes) { return worker_.output().reserve(bytes); }
void UpstreamConnection::commit(size_t bytes) { transport_->send(worker_.output().commit(bytes)); }

// A client codec is never asked for a stream.
StreamUser& UpstreamConnection::on_stream(Stream& stream) {
  static_cast<void>(stream);
  check_failed("on_stream of a client codec");
}

}  // namespace ringside
