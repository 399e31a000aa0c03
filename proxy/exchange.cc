#include "proxy/exchange.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "proxy/http_manager.h"
#include "proxy/listener/live_chain.h"
#include "proxy/downstream.h"
#include "proxy/filter_run.h"
#include "proxy/shard.h"

namespace ringside {

Exchange::Exchange(Downstream& session, Stream& stream)
    : session_(session),
      chain_(session.listener()),
      worker_(session.worker()),
      down_stream_(stream),
      arena_(worker_.arenas()),
      manager_(session.listener().http()),
      started_(worker_.now()),
      last_activity_(started_),
      idle_timeout_(manager_.spec().stream_idle_timeout) {
  StatBlock<HttpStat>& stats = session_.listener().http_stats();
  stats.inc(HttpStat::downstream_rq_total);
  stats.inc(session_.version() == HttpVersion::http2 ? HttpStat::downstream_rq_http2_total
                                                     : HttpStat::downstream_rq_http1_total);
  stats.inc(HttpStat::downstream_rq_active);
}

Exchange::~Exchange() {
  if (filters_ != nullptr) filters_->~FilterRun();
}

void Exchange::on_retired() { chain_.shard().free_exchange(*this); }

// --- local replies -----------------------------------------------------------------------------------------------------

// Answers the client ourselves. When the response has begun already there is nothing left but to cut the connection, so that a
// half answer never looks whole. What came of it is still sent when its framing shows that the rest is missing; an answer that the
// connection's end completes (HTTP/1.0) takes a reset.
void Exchange::reply(const LocalReply& reply) {
  if (phase_ == Phase::done || response_end_) return;
  drop_upstream({ErrorCode::cancelled, Origin::local, Retry::never, reply.details});
  record_.response_code_details = reply.details;
  if (response_started_) {
    session_.listener().http_stats().inc(HttpStat::downstream_rq_tx_reset);
    cut_after_flush_ = request_->version != HttpVersion::http10;
    return finish();
  }
  phase_ = Phase::replying;
  // Envoy counts what the client was told instead of the upstream's answer as the upstream's.
  if (cluster_ != nullptr && !response_from_upstream_ && reply.charge == Charge::cluster) count_upstream_code(reply.status);
  Head& head = *arena_.make<Head>(arena_);
  std::string_view body = fill_reply(head, reply) == End::yes ? std::string_view() : reply.body;
  edit_response_head(head);
  if (filters_ != nullptr) body = filters_->on_local_reply(head, body);
  const bool bodiless = body.empty();
  // The rest of the request is not wanted, and without it the connection cannot go on.
  if (!request_end_) session_.forgo_reuse();
  if (reply.charge != Charge::nobody) tell_attempts(head);
  finish_response_head(head);
  response_started_ = true;
  response_end_ = true;
  down_stream_.send_head(head, bodiless ? End::yes : End::no);
  if (phase_ == Phase::done) return;  // HTTP/2: the client takes no such head
  if (!bodiless) {
    response_bytes_ += body.size();
    down_stream_.send_body(worker_.output().copy(body), End::yes);
  }
  finish();
}

// As the request came; a filter may have made one of it.
bool Exchange::is_grpc() const {
  if (filters_ != nullptr) return filters_->was_grpc();
  return request_ != nullptr && is_grpc_request(*request_);
}

// Returns whether the head is all. A client of gRPC reads grpc-status and no body.
End Exchange::fill_reply(Head& head, const LocalReply& reply) {
  head.status = reply.status;
  if (!reply.location.empty()) head.fields.add(HeaderId::location, reply.location);
  if (reply.overloaded && !manager_.spec().suppress_envoy_headers) head.fields.add(HeaderId::x_envoy_overloaded, "true");
  if (is_grpc()) {
    set_grpc_answer(head, reply.grpc.value_or(grpc_status_of_http(reply.status)), is_head_ ? std::string_view{} : reply.body);
    return End::yes;
  }
  if (!reply.body.empty()) {
    std::array<char, 20> digits;
    const auto end = std::to_chars(digits.begin(), digits.end(), reply.body.size()).ptr;
    head.fields.add(HeaderId::content_length, arena_.copy({digits.begin(), end}));
    head.fields.add(HeaderId::content_type, "text/plain");
  }
  return is_head_ || reply.body.empty() ? End::yes : End::no;
}

// --- the end -----------------------------------------------------------------------------------------------------------

void Exchange::on_refused(const Head& head, Error why) {
  if (phase_ == Phase::done) return;
  record_.response = response_ = &head;
  status_ = head.status;
  response_started_ = true;
  response_bytes_ = is_grpc() ? 0 : std::string_view(why.detail).size();
  finish();
}

void Exchange::drop_upstream(Error why) {
  release_upstream(why);
  held_body_.clear();
}

// A connection whose exchange is not over cannot be used again.
void Exchange::release_upstream(Error why) {
  give_up_lease();
  // Not a reset in the statistics: HTTP/1 has none, and Envoy counts the connection alone.
  if (connection_ != nullptr) connection_->abandon(*up_stream_, why);
  connection_ = nullptr;
  up_stream_ = nullptr;
  if (!leased_) return;
  leased_ = false;
  cluster_->breaker().give(Resource::requests);
  cluster_->stats().dec(ClusterStat::upstream_rq_active);
  host_->cells(worker_.index()).subtract(HostStat::rq_active);
}

// Both messages are over, or given up. Exactly once.
void Exchange::finish() {
  if (phase_ == Phase::done) return;
  // The stream of a client that ended it before its upgrade was answered is over with the answer.
  const bool asked = request_end_ || (upgrade_ != nullptr && upgrade_->client_ended);
  const bool clean = asked && response_end_;
  phase_ = Phase::done;
  timer_.disarm();
  drop_upstream({ErrorCode::cancelled, Origin::local, Retry::never, "exchange over"});
  end_attempts();
  // The codec must not come back to us with the rest of the request.
  // An answer that broke off is our failure (HTTP/2: INTERNAL_ERROR).
  const ErrorCode code = cut_after_flush_ ? ErrorCode::kernel : ErrorCode::cancelled;
  if (!clean) down_stream_.reset({code, Origin::local, Retry::never, "exchange over"});
  StatBlock<HttpStat>& stats = session_.listener().http_stats();
  stats.dec(HttpStat::downstream_rq_active);
  // As Envoy: whatever ends before both messages have, by whose doing ever.
  if (!clean) stats.inc(HttpStat::downstream_rq_rx_reset);
  if (!asked && (response_end_ || refused_)) stats.inc(HttpStat::downstream_rq_response_before_rq_complete);
  count_response();
  if (upgrade_ != nullptr) stats.dec(HttpStat::downstream_cx_upgrades_active);
  if (filters_ != nullptr) filters_->on_finish();
  log();
  ExchangeEnd how = ExchangeEnd::abort;
  if (clean) how = ExchangeEnd::clean;
  else if (refused_) how = ExchangeEnd::refused;
  else if (response_end_ || cut_after_flush_) how = ExchangeEnd::close_after_flush;
  session_.on_exchange_end(how);
  worker_.retire(*this);
}

void Exchange::count_upstream_code(uint16_t status) {
  StatBlock<ClusterStat>& stats = cluster_->stats();
  stats.record_code(ClusterStat::upstream_rq_codes, status);
  if (!manager_.spec().dynamic_stats) return;
  stats.record_code(record_.is_internal ? ClusterStat::internal_upstream_rq_codes : ClusterStat::external_upstream_rq_codes,
                    status);
}

void Exchange::count_response() {
  LiveChain& listener = session_.listener();
  if (!response_started_) return;
  listener.http_stats().inc(HttpStat::downstream_rq_completed);
  listener.http_stats().inc(downstream_rq_class(status_));
  listener.listener_http_stats().inc(ListenerHttpStat::downstream_rq_completed);
  listener.listener_http_stats().inc(listener_rq_class(status_));
  const auto elapsed_ms = static_cast<uint64_t>((worker_.now() - started_) / milliseconds(1));
  listener.http_stats().record(HttpStat::downstream_rq_time, elapsed_ms);
}

void Exchange::log() {
  if (!session_.listener().has_access_logs()) return;
  describe_for_log();
  write_log();
}

// What the connections tell, which a tunnel takes from us.
void Exchange::describe_for_log() {
  LiveChain& listener = session_.listener();
  const Address peer = session_.peer_address();
  record_.downstream_local = arena_.make<Address>(listener.logs_local_address() ? session_.local_address() : Address());
  record_.downstream_direct_remote = arena_.make<Address>(session_.direct_peer_address());
  record_.downstream_remote = client_.is_forwarded ? &client_.address : arena_.make<Address>(peer);
  record_.connection_id = session_.id();
  record_.listener_name = listener.spec().name;
  record_.filter_chain_name = listener.chain_spec().name;
  listener.describe_tls(session_.transport(), record_, arena_);
  if (host_ != nullptr) record_.upstream_host = host_->text();
  if (cluster_ != nullptr) record_.upstream_cluster = cluster_->spec().name;
}

void Exchange::write_log() {
  record_.start_time = started_wall_;
  record_.duration = worker_.now() - started_;
  record_.response_code = status_;
  record_.flags = flags_;
  record_.bytes_received = request_bytes_;
  record_.bytes_sent = response_bytes_;
  record_.request = request_;
  record_.response = response_;
  if (request_end_) record_.request_duration = request_ended_ - started_;
  if (response_from_upstream_) record_.response_duration = upstream_started_ + record_.upstream_service_time - started_;
  chain_.write_access_logs(record_);
}

// --- time --------------------------------------------------------------------------------------------------------------

Instant Exchange::next_deadline() const {
  Instant deadline = Instant::max();
  const auto at_most = [&](Instant from, Duration span) {
    if (span > Duration::zero()) deadline = std::min(deadline, from + span);
  };
  at_most(last_activity_, idle_timeout_);
  if (!request_end_) at_most(started_, manager_.spec().request_timeout);
  if (request_end_ && cluster_ != nullptr && !response_end_) at_most(request_ended_, route_timeout_);
  at_most(started_, stream_duration_max());
  if (attempts_ != nullptr || phase_ == Phase::backing_off) deadline = std::min(deadline, attempt_deadline());
  return deadline;
}

Duration Exchange::stream_duration_max() const {
  const Duration usual = manager_.spec().protocol.stream_duration_max;
  return attempts_ == nullptr ? usual : attempts_->stream_duration.value_or(usual);
}

void Exchange::arm_timer() {
  if (phase_ != Phase::done) worker_.timers().arm_by(timer_, next_deadline());
}

void Exchange::on_timer() {
  const Instant now = worker_.now();
  const HttpManagerSpec& spec = manager_.spec();
  StatBlock<HttpStat>& stats = session_.listener().http_stats();
  if (next_deadline() > now) return arm_timer();
  if (stream_duration_max() > Duration::zero() && now >= started_ + stream_duration_max()) {
    stats.inc(HttpStat::downstream_rq_max_duration_reached);
    return reply({.status = status_of_timeout(),
                  .body = "downstream duration timeout",
                  .details = "max_duration_timeout",
                  .charge = Charge::nobody,
                  .grpc = GrpcStatus::deadline_exceeded});
  }
  if (!request_end_ && spec.request_timeout > Duration::zero() && now >= started_ + spec.request_timeout) {
    stats.inc(HttpStat::downstream_rq_timeout);
    return reply({.status = 408, .body = "request timeout", .details = "request_overall_timeout", .charge = Charge::nobody});
  }
  if (on_upstream_timeout(now) || on_attempt_timer(now)) return;
  stats.inc(HttpStat::downstream_rq_idle_timeout);
  flags_.set(ResponseFlag::stream_idle_timeout);
  reply({.status = status_of_timeout(), .body = "stream timeout", .details = "stream_idle_timeout", .charge = Charge::nobody});
}

}  // namespace ringside
