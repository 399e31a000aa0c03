#include "proxy/upstream/h2_upstream.h"

#include <utility>

#include "proxy/upstream/cluster.h"
#include "proxy/upstream/connection_pool.h"

namespace ringside {

H2Upstream::H2Upstream(ConnectionPool& pool)
    : UpstreamConnection(pool),
      codec_(*this, *this, pool.cluster().h2_limits(), pool.cluster().h2_pool(), pool.cluster().h2_stats().numbers()) {}

Stream& H2Upstream::open(StreamUser& user) {
  count_exchange();
  Stream& stream = codec_.open(user);
  check_exchanges_max();
  return stream;
}

void H2Upstream::abandon(Stream& stream, Error why) {
  cluster().stats().inc(ClusterStat::upstream_rq_tx_reset);
  stream.reset(why);
}

// --- idle --------------------------------------------------------------------------------------------------------------

void H2Upstream::on_idle() {
  if (!busy()) idle_since_ = worker_.now();
  worker_.flush_later(*this);
}

void H2Upstream::on_flush() {
  if (closing_) return;
  if (!busy() && (draining_ || by_peer_ || !codec_.reusable())) return leave({}, false);
  if (capacity() > 0) pool_.on_capacity(*this);
}

// --- the end -----------------------------------------------------------------------------------------------------------

void H2Upstream::abort_exchanges(Error why) {
  if (why.code == ErrorCode::peer_reset) why.code = ErrorCode::peer_closed;  // of the connection, not of a stream
  codec_.abort(why);
}

void H2Upstream::on_end() {
  by_peer_ = true;
  if (!busy()) return leave({}, false);
  codec_.on_end();
  worker_.flush_later(*this);
}

void H2Upstream::on_codec_error(Error why, uint16_t status) {
  static_cast<void>(status);
  if (why.code == ErrorCode::bad_message || why.code == ErrorCode::too_large)
    cluster().stats().inc(ClusterStat::upstream_cx_protocol_error);
  leave(why, true);
}

// --- bytes -------------------------------------------------------------------------------------------------------------

void H2Upstream::on_bytes(Slice bytes) {
  cluster().stats().inc(ClusterStat::upstream_cx_rx_bytes_total, bytes.size());
  codec_.decode(std::move(bytes));
  // SETTINGS may have made room, GOAWAY may have ended it.
  if (!closing_ && (ready ? !codec_.reusable() : capacity() > 0)) worker_.flush_later(*this);
}

void H2Upstream::on_sent(size_t bytes) {
  cluster().stats().inc(ClusterStat::upstream_cx_tx_bytes_total, bytes);
  codec_.on_sent(bytes);
}

}  // namespace ringside
