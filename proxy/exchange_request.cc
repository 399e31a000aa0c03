// The request's way through Exchange: target, route, connection, body.
#include "proxy/exchange.h"
#include "proxy/http_manager.h"
#include "proxy/listener/live_chain.h"
#include "proxy/downstream.h"
#include "proxy/filter_run.h"
#include "proxy/shard.h"

namespace ringside {

void Exchange::on_request_head(Head& head, End end) {
  request_ = &head;
  record_.request = &head;
  record_.version = head.version;
  is_head_ = head.method == "HEAD";
  request_end_ = end == End::yes;
  request_ended_ = started_;
  if (session_.listener().has_access_logs()) started_wall_ = worker_.ring().wall_now();
  // Set first, so that a reply from here on may end us: nothing below touches the exchange after it.
  if (head.authority.empty() && head.version == HttpVersion::http11) {
    session_.forgo_reuse();
    return reply({.status = 400, .body = {}, .details = "missing_host_header"});
  }
  const bool connect = head.method == "CONNECT";  // it has a host and no path
  if (!connect && !prepare_target(head)) return;
  if (head.expect_continue && !manager_.spec().proxy_100_continue) {
    Head interim(arena_);
    interim.status = 100;
    down_stream_.send_informational(interim);
    head.fields.remove(HeaderId::expect);
  }
  route_request(head);
}

// Host and path in the one form that routing and the upstream see.
bool Exchange::prepare_target(Head& head) {
  const TargetVerdict verdict = manager_.target().apply(head, session_.listener().local_port());
  switch (verdict.action) {
    case TargetAction::forward:
      return true;
    case TargetAction::redirect:
      session_.listener().http_stats().inc(HttpStat::downstream_rq_redirected_with_normalized_path);
      reply({.status = 307, .body = {}, .details = verdict.details, .location = verdict.location});
      return false;
    case TargetAction::reject:
      session_.listener().http_stats().inc(HttpStat::downstream_rq_failed_path_normalization);
      session_.forgo_reuse();
      reply({.status = 400, .body = verdict.message, .details = verdict.details});
      return false;
  }
  return false;
}

void Exchange::route_request(Head& head) {
  LiveChain& listener = session_.listener();
  Ring& ring = worker_.ring();
  const ForwardingPolicy& forwarding = manager_.forwarding();
  client_ = forwarding.on_request(head,
                                  {.peer = session_.peer_address(),
                                   .tls = session_.listener().has_tls(),
                                   .client_cert = forwarding.looks_at_client_cert() ? session_.client_cert() : nullptr},
                                             {.high = ring.random(), .low = ring.random()});
  record_.is_internal = client_.is_internal;
  if (listener.headers_tell_tls()) listener.describe_tls(session_.transport(), record_, arena_);
  const bool connect = head.method == "CONNECT";
  const RouteMatch match =
      connect ? manager_.routes().match_connect(head.authority) : manager_.routes().match(head.authority, head.path);
  route_ = match.route;
  if (route_ != nullptr) record_.route_name = route_->spec().name;
  if (head.upgrade && !take_upgrade(head)) return;
  listener.http_stats().inc(HttpStat::rq_total);
  if (const FilterChain* chain = manager_.filters(); chain != nullptr)
    filters_ = FilterRun::start(*this, *chain, head);
  if (filters_ != nullptr) return filters_->on_request_head(head, request_end_ ? End::yes : End::no);
  take_route();
}

// What the route says, after the filters.
void Exchange::take_route() {
  StatBlock<HttpStat>& stats = session_.listener().http_stats();
  if (route_ == nullptr) {
    stats.inc(HttpStat::no_route);
    flags_.set(ResponseFlag::no_route_found);
    return reply({.status = 404, .body = {}, .details = "route_not_found"});
  }
  if (const auto& direct = route_->spec().direct_response; direct.has_value()) {
    stats.inc(HttpStat::rq_direct_response);
    return reply({.status = direct->status, .body = direct->body, .details = "direct_response"});
  }
  if (route_->spec().idle_timeout.has_value()) idle_timeout_ = *route_->spec().idle_timeout;
  cluster_ = route_cluster();
  const RouterWishes wishes = manager_.forwarding().take_wishes(*request_);
  const RouteTimeouts timeouts = route_timeouts(route_->spec(), wishes, *request_);
  route_timeout_ = timeouts.whole;
  prepare_attempts(wishes, timeouts);
  start_upstream();
}

Cluster* Exchange::route_cluster() const {
  if (route_ == nullptr || route_->spec().direct_response.has_value()) return nullptr;
  return session_.listener().shard().cluster(route_->cluster_index());
}

void Exchange::start_upstream() {
  // As Envoy: whether the request finds an upstream changes nothing about what the log shows of it.
  finish_request_head();
  lease_connection();
}

void Exchange::lease_connection() {
  endpoint_ = attempts_ == nullptr ? cluster_->pick() : pick_endpoint();
  if (endpoint_ == nullptr) {
    StatBlock<ClusterStat>& stats = cluster_->stats();
    stats.inc(ClusterStat::upstream_cx_none_healthy);
    flags_.set(ResponseFlag::no_healthy_upstream);
    return reply({.status = 503, .body = "no healthy upstream", .details = "no_healthy_upstream"});
  }
  host_ = endpoint_->shared_host();
  phase_ = Phase::waiting;
  ConnectionPool& pool = pool_of_endpoint();
  const Result<UpstreamConnection*> lease = pool.lease(*this);
  if (!lease) {
    host_.reset();  // it never came to that
    return on_lease_failed(lease.error());
  }
  if (*lease == nullptr) return arm_timer();
  if (on_lease(**lease) == Taken::no) pool.give_back(**lease);
}

ConnectionPool& Exchange::pool_of_endpoint() {
  if (upgrade_ != nullptr && upgrade_->terminates) {
    ConnectionTerms terms;
    if (cluster_->wants_terms(*host_))
      terms = cluster_->terms_of(*host_, *request_, session_.peer_address(), session_.local_address());
    terms.raw = true;
    return endpoint_->pool_on(std::move(terms), session_.version());
  }
  if (!cluster_->wants_terms(*host_)) return endpoint_->pool(session_.version());
  return endpoint_->pool_on(cluster_->terms_of(*host_, *request_, session_.peer_address(), session_.local_address()),
                            session_.version());
}

void Exchange::on_lease_failed(Error why) {
  phase_ = Phase::routing;
  if (why.code == ErrorCode::overloaded) return reply_overflow();
  host_->cells(worker_.index()).add(HostStat::rq_error);
  record_.upstream_transport_failure_reason = arena_.copy(why.detail);  // the connection may have made it up
  // What we ended ourselves, as we shut down, is not begun again.
  if (why.code != ErrorCode::cancelled && retry_reset(AttemptEnd::connect_failure)) return;
  flags_.set(ResponseFlag::upstream_connection_failure);
  if (why.code == ErrorCode::timed_out)
    return reply({.status = 503,
                  .body = reset_body("connection timeout"),
                  .details = "upstream_reset_before_response_started{connection_timeout}"});
  reply({.status = 503,
         .body = reset_body("remote connection failure"),
         .details = "upstream_reset_before_response_started{remote_connection_failure}"});
}

void Exchange::reply_overflow() {
  static_cast<void>(retry_reset(AttemptEnd::overflow));
  flags_.set(ResponseFlag::upstream_overflow);
  reply({.status = 503,
         .body = reset_body("overflow"),
         .details = "upstream_reset_before_response_started{overflow}",
         .overloaded = true});
}

// Requests are limited here, as in Envoy: those under way, whatever waits for a connection.
LeaseUser::Taken Exchange::on_lease(UpstreamConnection& connection) {
  if (!cluster_->breaker().try_take(Resource::requests)) {
    cluster_->stats().inc(ClusterStat::upstream_rq_active_overflow);
    phase_ = Phase::routing;
    reply_overflow();
    return Taken::no;
  }
  connection_ = &connection;
  phase_ = Phase::forwarding;
  if (attempts_ == nullptr || attempts_->count == 1) upstream_started_ = worker_.now();
  if (attempts_ != nullptr) attempts_->began = worker_.now();
  record_.upstream_transport_failure_reason = {};
  leased_ = true;
  cluster_->stats().inc(ClusterStat::upstream_rq_total);
  cluster_->stats().inc(ClusterStat::upstream_rq_active);
  host_->cells(worker_.index()).add(HostStat::rq_total);
  host_->cells(worker_.index()).add(HostStat::rq_active);
  touch();
  if (session_.listener().logs_upstream_local_address())
    record_.upstream_local = arena_.make<Address>(connection.local_address());
  if (upgrade_ != nullptr && upgrade_->terminates) {
    connect_raw();
  } else {
    up_stream_ = &connection.open(up_);
    send_request();
  }
  arm_timer();
  return Taken::yes;
}

// What there is of it so far.
void Exchange::send_request() {
  if (upgrade_ != nullptr) return send_upgrade_request();
  const bool held = attempts_ != nullptr && attempts_->live && !attempts_->body.empty();
  const bool nothing_held = held_body_.empty() && !held && request_trailers_ == nullptr;
  up_stream_->send_head(*request_, request_end_ && nothing_held ? End::yes : End::no);
  if (held) send_held_body();
  while (!held_body_.empty() && up_stream_ != nullptr) {
    Slice piece = held_body_.pop_front();
    const bool last = request_end_ && held_body_.empty() && request_trailers_ == nullptr;
    up_stream_->send_body(std::move(piece), last ? End::yes : End::no);
  }
  if (request_trailers_ != nullptr && up_stream_ != nullptr) up_stream_->send_trailers(*request_trailers_);
}

bool Exchange::relays_request_body() const {
  if (filters_ != nullptr && filters_->sees_request_body()) return false;
  return connection_ != nullptr && connection_->sends_piped() && (attempts_ == nullptr || !attempts_->live);
}

// The last changes before the request goes out. Nothing of it waits for the connection.
void Exchange::finish_request_head() {
  if (attempts_ != nullptr) tell_attempt();
  else manager_.forwarding().on_upstream_request(*request_, route_timeout_);
  route_->edit_request(*request_, record_, session_.listener().shard().second_cache());
  route_->rewrite_target(*request_, manager_.spec().suppress_envoy_headers ? Route::OriginalPath::suppress
                                                                           : Route::OriginalPath::keep);
}

void Exchange::on_request_body(Slice piece, End end) {
  if (phase_ == Phase::done) return;
  touch();
  if (upgrade_ != nullptr) return hold_early(std::move(piece), end);
  request_bytes_ += piece.size();
  if (end == End::yes) on_request_end();
  if (filters_ != nullptr) return filters_->on_request_body(std::move(piece), end);
  pass_request_body(std::move(piece), end);
}

void Exchange::pass_request_body(Slice piece, End end) {
  if (attempts_ != nullptr && attempts_->live && !hold_body(piece)) return;
  if (up_stream_ != nullptr) return up_stream_->send_body(std::move(piece), end);
  if (attempts_ != nullptr && attempts_->live) return;  // it is held already
  // The client has no more credit than its window, so this is bounded.
  held_body_.append(std::move(piece));
}

void Exchange::on_request_trailers(HeaderMap& fields) {
  if (phase_ == Phase::done) return;
  ForwardingPolicy::on_request_trailers(fields);
  on_request_end();
  if (filters_ != nullptr) return filters_->on_request_trailers(fields);
  pass_request_trailers(fields);
}

void Exchange::pass_request_trailers(HeaderMap& fields) {
  request_trailers_ = &fields;
  if (up_stream_ != nullptr) up_stream_->send_trailers(fields);
}

void Exchange::on_request_end() {
  request_end_ = true;
  request_ended_ = worker_.now();
  arm_timer();
}

void Exchange::on_request_sent(size_t body_bytes) {
  if (phase_ == Phase::done) return;
  touch();
  if (attempts_ != nullptr) body_bytes = take_regranted(body_bytes);
  grant_request(filters_ == nullptr ? body_bytes : filters_->on_request_sent(body_bytes));
}

void Exchange::grant_request(size_t body_bytes) {
  // A stream of HTTP/2 owes the credit of its whole body to the others.
  if (!request_end_ || session_.version() == HttpVersion::http2) down_stream_.grant(body_bytes);
}

// The client went away, or its body is no HTTP: the upstream need not go on. In the second case the client is still there, and
// the session answers it when the codec asks for that.
void Exchange::on_client_reset(Error why) {
  if (phase_ == Phase::done) return;
  const bool protocol = why.code == ErrorCode::bad_message || why.code == ErrorCode::too_large;
  if (protocol && why.origin == Origin::local) flags_.set(ResponseFlag::upstream_protocol_error);  // its answer cannot be sent
  else flags_.set(protocol ? ResponseFlag::downstream_protocol_error : ResponseFlag::downstream_connection_termination);
  record_.response_code_details = protocol ? why.detail : "downstream_remote_disconnect";
  if (phase_ == Phase::waiting) cluster_->stats().inc(ClusterStat::upstream_rq_cancelled);
  drop_upstream({ErrorCode::cancelled, Origin::downstream, Retry::never, "client gone"});
  // HTTP/2 has ended the stream itself, and says no more.
  refused_ = protocol && why.origin == Origin::downstream && !response_started_ && session_.version() != HttpVersion::http2;
  if (!refused_) finish();
}

}  // namespace ringside
