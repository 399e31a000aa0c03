#include "proxy/upstream/h2_upstream.h"

#include <algorithm>
#include <utility>

#include "proxy/upstream/cluster.h"
#include "proxy/upstream/connection_pool.h"

namespace ringside {

H2Upstream::H2Upstream(ConnectionPool& pool)
    : UpstreamConnection(pool),
      codec_(*this, *this, pool.cluster().h2_limits(), pool.cluster().h2_pool(), pool.cluster().h2_stats().numbers()) {}

void H2Upstream::on_started() {
  codec_.start();
  budgets_until_ = worker_.now();
  const std::optional<KeepaliveSpec>& keepalive = cluster().spec().http2.keepalive;
  if (!keepalive.has_value()) return;
  keepalive_ = std::make_unique<H2Keepalive>(worker_, codec_, *keepalive);
  keepalive_->start();
}

bool H2Upstream::waits_for_settings() const { return cluster().spec().http2.allow_connect && !codec_.settings_seen(); }

uint32_t H2Upstream::capacity() const {
  return closing_ || draining_ || waits_for_settings() ? 0 : codec_.streams_available();
}

void H2Upstream::on_left() {
  if (keepalive_ != nullptr) keepalive_->stop();
}

Stream& H2Upstream::open(StreamUser& user) {
  count_exchange();
  if (keepalive_ != nullptr) keepalive_->before_request();
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
  leave(why, true, Unsent::sent);  // GOAWAY says to the upstream what it did
}

// --- bytes -------------------------------------------------------------------------------------------------------------

void H2Upstream::on_bytes(Slice bytes) {
  if (closing_) return transport_->grant(bytes.size());
  cluster().stats().inc(ClusterStat::upstream_cx_rx_bytes_total, bytes.size());
  const auto whole_seconds = (worker_.now() - budgets_until_) / seconds(1);
  if (whole_seconds > 0) {
    budgets_until_ += seconds(whole_seconds);
    codec_.pass_time(static_cast<uint32_t>(std::min<int64_t>(whole_seconds, 3600)));
  }
  codec_.decode(std::move(bytes));
  if (codec_.take_wants_credit()) worker_.ring().hurry();
  if (keepalive_ != nullptr) keepalive_->on_bytes();
  // SETTINGS may have made room, GOAWAY may have ended it.
  if (!closing_ && (ready ? !codec_.reusable() : capacity() > 0)) worker_.flush_later(*this);
}

void H2Upstream::on_sent(size_t bytes) {
  if (closing_) return;
  cluster().stats().inc(ClusterStat::upstream_cx_tx_bytes_total, bytes);
  codec_.on_sent(bytes);
}

}  // namespace ringside
