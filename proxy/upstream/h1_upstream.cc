#include "proxy/upstream/h1_upstream.h"

#include <utility>

#include "core/limits.h"
#include "proxy/upstream/cluster.h"
#include "proxy/upstream/connection_pool.h"

namespace ringside {

H1Upstream::H1Upstream(ConnectionPool& pool)
    : UpstreamConnection(pool), codec_(*this, *this, pool.cluster().h1_limits(), pool.cluster().h1_scratch()) {}

Stream& H1Upstream::open(StreamUser& user) {
  RS_CHECK(!busy_ && !closing_);
  busy_ = true;
  relays_ = false;
  count_exchange();
  codec_.open(user);
  return codec_;
}

Stream& H1Upstream::open_raw(StreamUser& user) {
  Stream& stream = open(user);
  codec_.skip_http();
  return stream;
}

void H1Upstream::on_idle() {
  busy_ = false;
  check_exchanges_max();
  if (!codec_.reusable() || draining_ || closing_) return leave({}, false);
  idle_since_ = worker_.now();
  pool_.on_capacity(*this);
}

void H1Upstream::abandon(Stream& stream, Error why) {
  stream.reset(why);
  busy_ = false;
  leave(why, true);
}

RawConnection H1Upstream::leave_http() {
  busy_ = false;
  H1Codec::Left left = codec_.leave();
  return give_away(std::move(left.early), left.unsent_bytes);
}

void H1Upstream::abort_exchanges(Error why) {
  busy_ = false;
  if (codec_.in_framed_response()) {  // it broke off, which is the same however it did
    why.code = ErrorCode::bad_message;
    cluster().stats().inc(ClusterStat::upstream_cx_protocol_error);
  } else if (why.code == ErrorCode::peer_reset) {
    why.code = ErrorCode::peer_closed;  // of the connection, not of a stream
  }
  codec_.abort(why);
}

void H1Upstream::on_end() {
  by_peer_ = true;
  if (!busy_) return leave({}, false);
  codec_.on_end();  // the end of an until-close body, or an error for the exchange
  if (!closing_ && !busy_) leave({}, false);
}

void H1Upstream::on_codec_error(Error why, uint16_t status) {
  static_cast<void>(status);
  const bool cut = std::exchange(busy_, false);
  if (why.code == ErrorCode::bad_message || why.code == ErrorCode::too_large)
    cluster().stats().inc(ClusterStat::upstream_cx_protocol_error);
  leave(why, cut);
}

// --- bytes -------------------------------------------------------------------------------------------------------------

void H1Upstream::on_bytes(Slice bytes) {
  cluster().stats().inc(ClusterStat::upstream_cx_rx_bytes_total, bytes.size());
  const size_t size = bytes.size();
  codec_.decode(std::move(bytes));
  announce_body(size);
}

void H1Upstream::announce_body(size_t came_bytes) {
  const size_t due = codec_.body_bytes_due();
  if (due == 0 && !announced_ && came_bytes < limits::piped_bytes_min) return;
  announced_ = due > 0;
  transport_->relay(relays_ ? due : 0);
  transport_->expect(due);
}

void H1Upstream::on_sent(size_t bytes) {
  cluster().stats().inc(ClusterStat::upstream_cx_tx_bytes_total, bytes);
  codec_.on_sent(bytes);
}

}  // namespace ringside
