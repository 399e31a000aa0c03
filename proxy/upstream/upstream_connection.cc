#include "proxy/upstream/upstream_connection.h"

#include <algorithm>
#include <utility>

#include "proxy/upstream/cluster.h"
#include "proxy/upstream/connection_pool.h"
#include "proxy/upstream/h1_upstream.h"
#include "proxy/upstream/h2_upstream.h"

namespace ringside {
namespace {

// For last words to an upstream that does not take them.
constexpr Duration unsent_patience = seconds(1);

// As Envoy, where the configuration of TLS does not say otherwise.
std::vector<std::string> alpn_of(UpstreamProtocol protocol) {
  switch (protocol) {
    case UpstreamProtocol::http2: return {"h2"};
    case UpstreamProtocol::by_alpn: return {"h2", "http/1.1"};
    case UpstreamProtocol::http1:
    case UpstreamProtocol::as_downstream: break;
  }
  return {"http/1.1"};
}

}  // namespace

UpstreamConnection* UpstreamConnection::make(ConnectionPool& pool) {
  StatBlock<ClusterStat>& stats = pool.cluster().stats();
  switch (pool.protocol()) {
    case UpstreamProtocol::by_alpn: return new H2Upstream(pool);
    case UpstreamProtocol::http2: stats.inc(ClusterStat::upstream_cx_http2_total); return new H2Upstream(pool);
    case UpstreamProtocol::http1:
    case UpstreamProtocol::as_downstream: break;  // the second is nothing that a pool speaks
  }
  stats.inc(ClusterStat::upstream_cx_http1_total);
  return new H1Upstream(pool);
}

UpstreamConnection::UpstreamConnection(ConnectionPool& pool)
    : pool_(pool), cluster_(pool.cluster()), worker_(cluster_.worker()), dialer_(worker_, *this) {}

bool UpstreamConnection::is_raw() const { return pool_.terms() != nullptr && pool_.terms()->raw; }

void UpstreamConnection::dial() {
  started_ = worker_.now();
  dialer_.dial(pool_.endpoint().host().address(), cluster_.spec().connect_timeout);
}

void UpstreamConnection::on_connected(int fd) {
  const ClusterSpec& spec = cluster_.spec();
  const Host& host = pool_.endpoint().host();
  shaking_hands_ = cluster_.has_tls(host);
  transport_ = cluster_.make_transport(fd, host, *this, pool_.terms(),
                                       cluster_.chooses_alpn(host) && !is_raw() ? alpn_of(pool_.protocol()) : std::vector<std::string>());
  transport_->start(*this, spec.connection_buffer_bytes_max);
  if (!shaking_hands_) return on_agreed();
  // The handshake has what is left of the time to connect.
  const Duration left = started_ + spec.connect_timeout - worker_.now();
  worker_.arm(idle_timer_, std::max<Duration>(left, milliseconds(1)));
}

void UpstreamConnection::on_handshake() {
  shaking_hands_ = false;
  idle_timer_.disarm();
  if (closing_) return;
  on_agreed();
}

// What both sides speak is known.
void UpstreamConnection::on_agreed() {
  if (pool_.protocol() != UpstreamProtocol::by_alpn) return on_ready();
  const TlsTransport* const tls = cluster().tls_of(pool_.endpoint().host(), *transport_);
  const bool http2 = tls != nullptr && tls->alpn() == "h2";
  pool_.on_agreed(http2);
  cluster().stats().inc(http2 ? ClusterStat::upstream_cx_http2_total : ClusterStat::upstream_cx_http1_total);
  http2 ? on_ready() : become_http1();
}

// Another takes the transport and our place.
void UpstreamConnection::become_http1() {
  UpstreamConnection& other = *new H1Upstream(pool_);
  other.transport_ = std::move(transport_);
  other.transport_->hand_over(other);
  other.started_ = started_;
  closing_ = true;
  pool_.replace(*this, other);
  worker_.retire(*this);
  other.on_ready();
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
  if (closing_) return transport_->close({});
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

void UpstreamConnection::leave(Error why, bool cut, Unsent unsent) {
  if (closing_) return;
  closing_ = true;
  idle_timer_.disarm();
  count_destroyed(cut);
  on_left();
  pool_.on_gone(*this);
  if (unsent == Unsent::dropped || transport_->unsent_bytes() == 0) return transport_->close(why);
  transport_->finish_and_close();
  worker_.arm(idle_timer_, unsent_patience);
}

RawConnection UpstreamConnection::give_away(Buffer early, size_t unsent_bytes) {
  closing_ = true;
  idle_timer_.disarm();
  pool_.on_left(*this);
  worker_.retire(*this);
  return {.transport = std::move(transport_), .early = std::move(early), .unsent_bytes = unsent_bytes, .ended = by_peer_};
}

void UpstreamConnection::on_closed(Error why) {
  if (shaking_hands_) return on_handshake_failed(why);
  if (!closing_) {  // the transport closed by itself: a reset
    closing_ = true;
    idle_timer_.disarm();
    by_peer_ = true;
    const bool cut = busy();
    count_destroyed(cut);
    on_left();
    pool_.on_gone(*this);
    why.origin = Origin::upstream;
    why.detail = detail_of(why);
    if (why.code == ErrorCode::bad_message) why.code = ErrorCode::peer_reset;  // it is TLS that broke, not HTTP
    if (cut) abort_exchanges(why);
  }
  idle_timer_.disarm();
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
