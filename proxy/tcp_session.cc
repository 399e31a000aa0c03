#include "proxy/tcp_session.h"

#include <utility>

#include "proxy/listener/live_chain.h"
#include "proxy/mongo/mongo_chain.h"
#include "proxy/mongo/mongo_filter.h"
#include "proxy/shard.h"
#include "proxy/upstream/cluster.h"

namespace ringside {

class TcpSession::MongoPart final : public MongoFilterUser {
 public:
  MongoPart(TcpSession& session, MongoChain& chain, const MongoPeer& peer) : filter(chain, *this, peer), session_(session) {}
  MongoFilter filter;

 private:
  Side& from(MongoSide way) { return way == MongoSide::requests ? session_.down_ : session_.up_; }
  void pass(MongoSide way, Slice bytes) override { session_.other(from(way)).send(std::move(bytes)); }
  void end(MongoSide way) override { session_.other(from(way)).finish(); }
  void consumed(MongoSide way, size_t bytes) override {
    if (Transport* transport = from(way).transport(); transport != nullptr && !session_.closing_) transport->grant(bytes);
  }
  bool draining() const override { return session_.listener_.draining(); }
  void close_after_flush() override { session_.down_.transport()->finish_and_close(); }
  void close_for(MongoSide culprit, Error why) override {
    if (why.code == ErrorCode::bad_message) {
      session_.flags_.set(culprit == MongoSide::requests ? ResponseFlag::downstream_protocol_error
                                                         : ResponseFlag::upstream_protocol_error);
    }
    session_.close(why);
  }

  TcpSession& session_;
};

TcpSession::TcpSession(LiveChain& listener, std::unique_ptr<Transport> transport)
    : listener_(listener),
      worker_(listener.worker()),
      down_(*this, up_),
      up_(*this, down_),
      dialer_(worker_, *this),
      started_(worker_.now()),
      last_activity_(started_),
      started_wall_(worker_.ring().wall_now()) {
  down_.attach(std::move(transport));
  if (listener_.has_access_logs()) peer_ = down_.transport()->peer_address();
}

TcpSession::~TcpSession() = default;

const TcpProxySpec& TcpSession::spec() const { return *listener_.chain_spec().tcp; }

MongoFilter* TcpSession::mongo() { return mongo_ != nullptr ? &mongo_->filter : nullptr; }

MongoSide TcpSession::way_from(const Side& side) const { return &side == &down_ ? MongoSide::requests : MongoSide::replies; }

void TcpSession::start_mongo() {
  MongoChain* const chain = listener_.mongo();
  if (chain == nullptr) return;
  MongoPeer peer;
  peer.connection_id = listener_.shard().next_connection_id();
  peer.client = down_.transport()->peer_address();
  if (chain->judge() != nullptr) peer.local = down_.transport()->local_address();
  mongo_ = std::make_unique<MongoPart>(*this, *chain, peer);
}

void TcpSession::start() {
  start_mongo();
  listener_.tcp_stats().inc(TcpStat::downstream_cx_total);
  down_.start(listener_.spec().connection_buffer_bytes_max);
  cluster_ = listener_.tcp_cluster();
  connect();
  arm_timer();
}

// --- connecting --------------------------------------------------------------------------------------------------------

void TcpSession::connect() {
  endpoint_ = cluster_ != nullptr ? cluster_->pick() : nullptr;
  if (endpoint_ == nullptr) {
    if (cluster_ == nullptr) {
      listener_.tcp_stats().inc(TcpStat::downstream_cx_no_route);
    } else {
      cluster_->stats().inc(ClusterStat::upstream_cx_none_healthy);
    }
    flags_.set(cluster_ == nullptr ? ResponseFlag::no_cluster_found : ResponseFlag::no_healthy_upstream);
    return close({ErrorCode::refused, Origin::local, Retry::never, "no healthy upstream"});
  }
  host_ = endpoint_->shared_host();
  if (!cluster_->breaker().try_take(Resource::connections)) {
    cluster_->stats().inc(ClusterStat::upstream_cx_overflow);
    flags_.set(ResponseFlag::upstream_overflow);
    return close({ErrorCode::overloaded, Origin::local, Retry::never, "upstream connections at their limit"});
  }
  ++attempts_;
  upstream_counted_ = true;
  cluster_->stats().inc(ClusterStat::upstream_cx_total);
  cluster_->stats().inc(ClusterStat::upstream_cx_active);
  cluster_->stats().inc(ClusterStat::upstream_rq_pending_total);
  host_->cells(worker_.index()).add(HostStat::cx_total);
  host_->cells(worker_.index()).add(HostStat::cx_active);
  dialing_since_ = worker_.now();
  dialer_.dial(host_->address(), cluster_->spec().connect_timeout);
}

void TcpSession::on_connected(int fd) {
  if (closing_) {
    worker_.ring().close(fd);
    return finish_if_gone();
  }
  ConnectionTerms terms;
  const bool on_terms = cluster_->wants_terms(*host_);
  if (on_terms) terms = {.peer = down_.transport()->peer_address(), .local = down_.transport()->local_address()};
  up_.attach(cluster_->make_transport(fd, *host_, *this, on_terms ? &terms : nullptr));
  if (!cluster_->has_tls(*host_)) return on_upstream_ready();
  up_.shaking_hands = true;
  up_.start(cluster_->spec().connection_buffer_bytes_max);
  arm_timer();
}

void TcpSession::on_handshake() {
  up_.shaking_hands = false;
  if (!closing_) on_upstream_ready();
}

void TcpSession::on_upstream_ready() {
  dialed_ = true;
  cluster_->stats().inc(ClusterStat::upstream_rq_total);
  if (mongo_ != nullptr) {
    mongo_->filter.set_upstream(host_->text());
  } else {
    if (down_.transport()->sends_piped()) up_.relay_all();
    if (up_.transport()->sends_piped()) down_.relay_all();
  }
  if (!cluster_->has_tls(*host_)) up_.start(cluster_->spec().connection_buffer_bytes_max);
  up_.release_held();
}

const TlsTransport* TcpSession::upstream_tls() {
  if (host_ == nullptr || !cluster_->has_tls(*host_)) return nullptr;
  return static_cast<const TlsTransport*>(up_.transport() != nullptr ? up_.transport() : spent_.get());
}

void TcpSession::on_connect_failed(Error why) {
  count_upstream_closed();
  if (closing_) return finish_if_gone();
  cluster_->stats().inc(ClusterStat::upstream_cx_connect_fail);
  cluster_->stats().inc(ClusterStat::upstream_rq_pending_failure_eject);
  if (why.code == ErrorCode::timed_out) cluster_->stats().inc(ClusterStat::upstream_cx_connect_timeout);
  host_->cells(worker_.index()).add(HostStat::cx_connect_fail);
  if (attempts_ < spec().connect_attempts_max) return connect();
  cluster_->stats().inc(ClusterStat::upstream_cx_connect_attempts_exceeded);
  flags_.set(ResponseFlag::upstream_connection_failure);
  close(why);
}

// The upstream place is given back once, however its connection ended.
void TcpSession::count_upstream_closed() {
  if (!upstream_counted_) return;
  upstream_counted_ = false;
  cluster_->breaker().give(Resource::connections);
  cluster_->stats().dec(ClusterStat::upstream_cx_active);
  cluster_->stats().inc(ClusterStat::upstream_cx_destroy);
  // To Envoy a relayed connection is a request that ends with it.
  const bool by_peer = up_.ended || up_broken_ || !dialed_;
  cluster_->stats().inc(by_peer ? ClusterStat::upstream_cx_destroy_remote : ClusterStat::upstream_cx_destroy_local);
  if (dialed_) {
    cluster_->stats().inc(ClusterStat::upstream_cx_destroy_with_active_rq);
    cluster_->stats().inc(by_peer ? ClusterStat::upstream_cx_destroy_remote_with_active_rq
                                  : ClusterStat::upstream_cx_destroy_local_with_active_rq);
  }
  host_->cells(worker_.index()).subtract(HostStat::cx_active);
}

// --- relaying ----------------------------------------------------------------------------------------------------------

void TcpSession::Side::send(Slice bytes) {
  if (transport_ == nullptr || shaking_hands) return held_.append(std::move(bytes));
  transport_->send(std::move(bytes));
}

void TcpSession::Side::finish() {
  if (transport_ == nullptr || shaking_hands) {
    finish_held_ = true;
    return;
  }
  transport_->finish();
}

void TcpSession::Side::release_held() {
  while (!held_.empty()) transport_->send(held_.pop_front());
  if (finish_held_) transport_->finish();
}

void TcpSession::Side::on_bytes(Slice bytes) {
  received_bytes += bytes.size();
  session_.last_activity_ = session_.worker_.now();
  if (MongoFilter* const mongo = session_.mongo()) return mongo->on_bytes(session_.way_from(*this), std::move(bytes));
  peer_.send(std::move(bytes));
}

// What went out at this side makes room at the other.
void TcpSession::Side::on_sent(size_t bytes) {
  session_.last_activity_ = session_.worker_.now();
  if (MongoFilter* const mongo = session_.mongo()) bytes = mongo->earned(session_.way_from(peer_), bytes);
  if (peer_.transport_ != nullptr) peer_.transport_->grant(bytes);
  session_.end_when_drained();
}

void TcpSession::Side::on_end() {
  ended = true;
  if (MongoFilter* const mongo = session_.mongo())
    mongo->on_end(session_.way_from(*this));
  else
    peer_.finish();
  session_.end_when_drained();
}

void TcpSession::Side::on_closed(Error why) {
  closed = true;
  session_.on_side_closed(*this, why);
}

void TcpSession::end_when_drained() {
  if (closing_ || !down_.ended || !up_.ended) return;
  if (mongo_ != nullptr && mongo_->filter.delays_requests()) return;
  if (down_.transport()->unsent_bytes() + up_.transport()->unsent_bytes() == 0) close({});
}

// --- ending ------------------------------------------------------------------------------------------------------------

void TcpSession::close(Error why) {
  if (closing_) return;
  closing_ = true;
  timer_.disarm();
  if (mongo_ != nullptr) mongo_->filter.stop(down_.ended || down_.closed ? MongoFilter::EndedBy::client : MongoFilter::EndedBy::other);
  dialer_.cancel();
  if (!down_.closed) down_.transport()->close(why);
  if (up_.transport() != nullptr && !up_.closed) up_.transport()->close(why);
}

void TcpSession::on_side_closed(Side& side, Error why) {
  if (&side == &up_ && std::exchange(up_.shaking_hands, false) && !closing_) {
    spent_ = up_.detach();  // it is calling us
    up_.closed = false;
    if (why.code != ErrorCode::timed_out) why.code = ErrorCode::refused;
    return on_connect_failed(why);
  }
  if (&side == &up_) {
    up_broken_ = !closing_;
    count_upstream_closed();
  }
  if (!closing_) {
    flags_.set(&side == &down_ ? ResponseFlag::downstream_connection_termination
                               : ResponseFlag::upstream_connection_termination);
    close(why);
  }
  finish_if_gone();
}

void TcpSession::finish_if_gone() {
  if (done_ || !down_.closed || dialer_.dialing() || (up_.transport() != nullptr && !up_.closed)) return;
  done_ = true;
  count_upstream_closed();
  log();
  mongo_.reset();  // it uses what our listener owns
  listener_.on_tcp_session_gone(worker_.now() - started_);
  Link<TcpSession>::unlink();
  worker_.retire(*this);
}

void TcpSession::log() {
  StatBlock<TcpStat>& stats = listener_.tcp_stats();
  stats.inc(TcpStat::downstream_cx_rx_bytes_total, down_.received_bytes);
  stats.inc(TcpStat::downstream_cx_tx_bytes_total, up_.received_bytes);
  if (cluster_ != nullptr) {
    cluster_->stats().inc(ClusterStat::upstream_cx_rx_bytes_total, up_.received_bytes);
    cluster_->stats().inc(ClusterStat::upstream_cx_tx_bytes_total, down_.received_bytes);
  }
  if (!listener_.has_access_logs()) return;
  AccessLogRecord record;
  Arena arena(worker_.arenas());
  listener_.describe_tls(*down_.transport(), record, arena);
  if (const auto* tls = upstream_tls()) record.upstream_transport_failure_reason = tls->failure_text();
  const Address peer = peer_;
  const ConnectionFacts* const facts = down_.transport()->facts_before();
  record.downstream_remote = &peer;
  record.downstream_direct_remote = facts != nullptr && !facts->direct_peer.empty() ? &facts->direct_peer : &peer;
  // The socket is closed by now: one that listens at any address has forgotten which it was.
  const Address& bound = listener_.spec().address;
  if (facts != nullptr && !facts->local.empty()) record.downstream_local = &facts->local;
  else if (!bound.is_wildcard()) record.downstream_local = &bound;
  record.filter_chain_name = listener_.chain_spec().name;
  record.listener_name = listener_.spec().name;
  record.start_time = started_wall_;
  record.bytes_received = down_.received_bytes;
  record.bytes_sent = up_.received_bytes;
  record.duration = worker_.now() - started_;
  record.flags = flags_;
  if (host_ != nullptr) record.upstream_host = host_->text();
  if (cluster_ != nullptr) record.upstream_cluster = cluster_->spec().name;
  listener_.write_access_logs(record);
}

// --- time --------------------------------------------------------------------------------------------------------------

// One timer: it looks when it fires whether the connection was really idle so long.
void TcpSession::arm_timer() {
  const Duration idle = spec().idle_timeout, life = spec().connection_duration_max;
  Instant deadline = Instant::max();
  if (idle > Duration::zero()) deadline = last_activity_ + idle;
  if (life > Duration::zero()) deadline = std::min(deadline, started_ + life);
  deadline = std::min(deadline, listener_.handshake_deadline(*down_.transport(), started_));
  if (up_.shaking_hands) deadline = std::min(deadline, dialing_since_ + cluster_->spec().connect_timeout);
  if (deadline != Instant::max()) worker_.arm(timer_, deadline - worker_.now());
}

void TcpSession::on_timer() {
  const Duration idle = spec().idle_timeout, life = spec().connection_duration_max;
  const Instant now = worker_.now();
  if (now >= listener_.handshake_deadline(*down_.transport(), started_)) {
    listener_.stats().inc(ListenerStat::downstream_cx_transport_socket_connect_timeout);
    return close({ErrorCode::timed_out, Origin::downstream, Retry::never, "TLS handshake timeout"});
  }
  if (up_.shaking_hands && now >= dialing_since_ + cluster_->spec().connect_timeout) {
    up_.transport()->close({ErrorCode::timed_out, Origin::upstream, Retry::never, "TLS handshake timeout"});
    return;  // on_side_closed goes on
  }
  if (life > Duration::zero() && now >= started_ + life) {
    listener_.tcp_stats().inc(TcpStat::max_downstream_connection_duration);
    flags_.set(ResponseFlag::duration_timeout);
    return close({ErrorCode::timed_out, Origin::local, Retry::never, "connection duration limit"});
  }
  if (idle > Duration::zero() && now >= last_activity_ + idle) {
    listener_.tcp_stats().inc(TcpStat::idle_timeout);
    return close({ErrorCode::timed_out, Origin::local, Retry::never, "idle timeout"});
  }
  arm_timer();
}

}  // namespace ringside
