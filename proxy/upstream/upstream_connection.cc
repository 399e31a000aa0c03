#include "proxy/upstream/upstream_connection.h"

#include <utility>

#include "core/tcp_transport.h"
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
    : pool_(pool), worker_(pool.cluster().worker()), dialer_(worker_, *this) {}

Cluster& UpstreamConnection::cluster() const { return pool_.cluster(); }

void UpstreamConnection::dial() {
  started_ = worker_.now();
  dialer_.dial(pool_.endpoint().host().address(), pool_.cluster().spec().connect_timeout);
}

void UpstreamConnection::on_connected(int fd) {
  transport_ = std::make_unique<TcpTransport>(worker_, fd);
  transport_->start(*this, pool_.cluster().spec().connection_buffer_bytes_max);
  on_started();
  StatBlock<ClusterStat>& stats = pool_.cluster().stats();
  stats.record(ClusterStat::upstream_cx_connect_ms,
               static_cast<uint64_t>((worker_.now() - started_) / milliseconds(1)));
  started_ = worker_.now();
  idle_since_ = started_;
  // One timer for the life of the connection: it looks when it fires whether the time is really over.
  const Duration timeout = pool_.cluster().spec().protocol.idle_timeout;
  if (timeout > Duration::zero()) worker_.arm(idle_timer_, timeout);
  pool_.on_connected(*this);
}

void UpstreamConnection::on_connect_failed(Error why) {
  closing_ = true;
  pool_.on_connect_failed(*this, why);
  worker_.retire(*this);
}

// --- idle --------------------------------------------------------------------------------------------------------------

void UpstreamConnection::check_exchanges_max() {
  const uint32_t requests_max = pool_.cluster().spec().protocol.requests_per_connection_max;
  if (requests_max == 0 || exchanges_ < requests_max || draining_) return;
  pool_.cluster().stats().inc(ClusterStat::upstream_cx_max_requests);
  draining_ = true;
}

void UpstreamConnection::on_idle_timeout() {
  const Duration timeout = pool_.cluster().spec().protocol.idle_timeout;
  if (busy()) return worker_.arm(idle_timer_, timeout);
  const Duration left = idle_since_ + timeout - worker_.now();
  if (left > Duration::zero()) return worker_.arm(idle_timer_, left);
  pool_.cluster().stats().inc(ClusterStat::upstream_cx_idle_timeout);
  leave({}, false);
}

// --- the end -----------------------------------------------------------------------------------------------------------

void UpstreamConnection::drain() {
  if (dialing() || closing_) return;  // for somebody who waits
  draining_ = true;
  if (!busy()) leave({}, false);
}

void UpstreamConnection::close(Error why) {
  if (dialing()) return dialer_.cancel();
  leave(why, busy());
}

void UpstreamConnection::count_destroyed(bool cut) {
  StatBlock<ClusterStat>& stats = pool_.cluster().stats();
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
  if (!closing_) {  // the transport closed by itself: a reset
    closing_ = true;
    idle_timer_.disarm();
    by_peer_ = true;
    const bool cut = busy();
    count_destroyed(cut);
    pool_.on_gone(*this);
    why.origin = Origin::upstream;
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
