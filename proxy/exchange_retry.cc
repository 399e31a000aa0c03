// Attempts of one request: how long each may take, when another follows, and what it begins with.
#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "proxy/downstream.h"
#include "proxy/exchange.h"
#include "proxy/http_manager.h"
#include "proxy/listener/live_chain.h"
#include "proxy/route/route_table.h"
#include "proxy/shard.h"

namespace ringside {
namespace {

constexpr Error attempt_over{ErrorCode::cancelled, Origin::local, Retry::never, "attempt given up"};
// A piece that is smaller than this part of the block that it holds is copied.
constexpr size_t held_part_min = 4;

std::string_view number_text(uint32_t number, Arena& arena) {
  std::array<char, 10> digits;
  const auto end = std::to_chars(digits.begin(), digits.end(), number).ptr;
  return arena.copy({digits.begin(), static_cast<size_t>(end - digits.begin())});
}

}  // namespace

// --- an attempt begins -------------------------------------------------------------------------------------------------

void Exchange::prepare_attempts(const RouterWishes& wishes, const RouteTimeouts& timeouts) {
  const RouteSpec& spec = route_->spec();
  const VirtualHostSpec& host = route_->virtual_host().spec();
  const Duration upstream_duration = wishes.stream_duration.value_or(cluster_->spec().protocol.stream_duration_max);
  const bool needed = wishes.any || spec.retry != nullptr || spec.stream_duration || spec.grpc_timeout || host.tells_attempts_upstream ||
                      host.tells_attempts_downstream || upstream_duration > Duration::zero();
  if (!needed) return;
  attempts_ = AttemptsPtr(new (arena_.allocate(sizeof(Attempts), alignof(Attempts))) Attempts());
  attempts_->rules = RetryRules(spec.retry.get(), wishes, request_->fields);
  attempts_->timeouts = timeouts;
  attempts_->upstream_duration = upstream_duration;
  if (spec.stream_duration) {
    attempts_->stream_duration = stream_duration_of(*spec.stream_duration, request_->fields);
    if (is_grpc() && stream_duration_max() > Duration::zero()) set_grpc_timeout(request_->fields, stream_duration_max());
  }
  attempts_->body_bytes_max = spec.request_buffer.bytes_max;
  if (spec.request_buffer.within_connection)
    attempts_->body_bytes_max = std::min<uint64_t>(attempts_->body_bytes_max, session_.listener().spec().connection_buffer_bytes_max);
  attempts_->retries_left = attempts_->rules.retries_max();
  attempts_->count = 1;
  attempts_->live = attempts_->rules.any();
  attempts_->alternative_status = wishes.alternative_timeout_status;
  if (attempts_->live && !held_body_.empty()) hold_early_body();
}

void Exchange::begin_attempt() {
  phase_ = Phase::routing;
  if (attempts_ != nullptr) {
    ++attempts_->count;
    count_retry();
    tell_attempt();
  }
  lease_connection();
}

// As Envoy: a retry that never came to be, as the client left or time was up, is none.
void Exchange::count_retry() {
  StatBlock<ClusterStat>& stats = cluster_->stats();
  switch (std::exchange(attempts_->wait, Attempts::Wait::none)) {
    case Attempts::Wait::none: return;
    case Attempts::Wait::exponential: stats.inc(ClusterStat::upstream_rq_retry_backoff_exponential); break;
    case Attempts::Wait::asked: stats.inc(ClusterStat::upstream_rq_retry_backoff_ratelimited); break;
  }
  stats.inc(ClusterStat::upstream_rq_retry);
}

// What the upstream hears about the attempt.
void Exchange::tell_attempt() {
  const VirtualHostSpec& host = route_->virtual_host().spec();
  HeaderMap& fields = request_->fields;
  const bool again = attempts_->count > 1;
  const Duration elapsed = again && request_end_ ? worker_.now() - request_ended_ : Duration::zero();
  const Duration expected = expected_timeout(attempts_->timeouts, duration_cast<milliseconds>(elapsed));
  manager_.forwarding().on_upstream_request(*request_, expected);
  if (expected > Duration::zero() && route_->spec().grpc_timeout && is_grpc()) set_grpc_timeout(fields, expected);
  if (host.tells_attempts_upstream) fields.set(HeaderId::x_envoy_attempt_count, number_text(attempts_->count, arena_));
  if (host.tells_timeout_retry && again) fields.set("x-envoy-is-timeout-retry", attempts_->timed_out ? "true" : "false");
}

// What the client hears of them.
void Exchange::tell_attempts(Head& response) {
  if (attempts_ == nullptr || !route_->virtual_host().spec().tells_attempts_downstream) return;
  response.fields.set(HeaderId::x_envoy_attempt_count, number_text(attempts_->count, arena_));
}

// With previous_hosts another one than those before, if a few tries of the balancer find it.
Endpoint* Exchange::pick_endpoint() {
  const RetryRules& rules = attempts_->rules;
  if (!rules.avoids_previous_hosts()) return cluster_->pick();
  std::vector<const Host*>& tried = attempts_->tried;
  Endpoint* picked = cluster_->pick();
  const auto was_tried = [&] { return picked != nullptr && std::find(tried.begin(), tried.end(), &picked->host()) != tried.end(); };
  for (uint32_t tries = rules.host_attempts_max(); tries > 0 && was_tried(); --tries) picked = cluster_->pick();
  if (picked != nullptr) tried.push_back(&picked->host());
  return picked;
}

// --- the request's body ------------------------------------------------------------------------------------------------

// Keeps a piece for later attempts. False when the request ended over it.
bool Exchange::hold_body(const Slice& piece) {
  if (attempts_->body.size_bytes() + piece.size() > attempts_->body_bytes_max) {
    cluster_->stats().inc(ClusterStat::retry_or_shadow_abandoned);
    if (phase_ == Phase::backing_off) {
      reply({.status = 507,
             .body = "exceeded request buffer limit while retrying upstream",
             .details = "request_payload_exceeded_retry_buffer_limit",
             .charge = Charge::router});
      return false;
    }
    // Nothing of it went out in this attempt, so it is a body like any other; what went out before was granted then.
    if (up_stream_ == nullptr) {
      held_body_ = std::move(attempts_->body);
      attempts_->regranted_bytes = attempts_->granted_bytes;
    }
    abandon_retries();
    return true;
  }
  const bool is_small = piece.size() * held_part_min < piece.held_bytes();
  attempts_->body.append(is_small ? worker_.output().copy(piece.text()) : piece.share());
  return true;
}

// What filters let through before the route was known.
void Exchange::hold_early_body() {
  Buffer early = std::move(held_body_);
  while (!early.empty()) {
    Slice piece = early.pop_front();
    if (attempts_->live && !hold_body(piece)) return;
    if (!attempts_->live) held_body_.append(std::move(piece));
  }
}

void Exchange::send_held_body() {
  const Buffer& body = attempts_->body;
  attempts_->regranted_bytes = attempts_->granted_bytes;
  const size_t count = body.slice_count();
  for (size_t at = 0; at < count && up_stream_ != nullptr; ++at) {
    const bool last = request_end_ && at + 1 == count && request_trailers_ == nullptr;
    up_stream_->send_body(body.slice(at).share(), last ? End::yes : End::no);
  }
}

// How much of what was sent is news to the client.
size_t Exchange::take_regranted(size_t body_bytes) {
  const auto again = static_cast<size_t>(std::min<uint64_t>(body_bytes, attempts_->regranted_bytes));
  attempts_->regranted_bytes -= again;
  attempts_->granted_bytes += body_bytes - again;
  return body_bytes - again;
}

// --- an attempt ends ---------------------------------------------------------------------------------------------------

// Whether the client shall not see this response.
bool Exchange::retry_response(const Head& head, End end) {
  if (!attempts_->live) return false;
  if (!try_again(attempts_->rules.after_response(head.status, head.fields))) {
    abandon_retries();
    return false;
  }
  host_->cells(worker_.index()).add(HostStat::rq_error);
  cluster_->stats().record_code(ClusterStat::retry_upstream_rq_codes, head.status);
  if (end == End::yes && request_end_) {  // the connection goes back to its pool by itself
    connection_ = nullptr;
    up_stream_ = nullptr;
  }
  const std::optional<Duration> asked = attempts_->rules.wait_asked(head.fields, worker_.ring().wall_now());
  release_upstream(attempt_over);
  if (!asked) {
    back_off();
    return true;
  }
  attempts_->wait = Attempts::Wait::asked;
  const auto more = static_cast<uint64_t>(asked->count() / 2);
  wait_for_retry(*asked + Duration(static_cast<int64_t>(worker_.ring().random() % more)));
  return true;
}

bool Exchange::retry_reset(AttemptEnd end) {
  if (attempts_ == nullptr || !attempts_->live || response_started_) return false;
  const auto request = phase_ == Phase::forwarding ? RetryRules::Request::began : RetryRules::Request::waiting;
  if (!try_again(attempts_->rules.after_reset(end, request))) return false;
  release_upstream(attempt_over);
  back_off();
  return true;
}

// The upstream said that it did not look at the request (GOAWAY), which therefore may go elsewhere, whatever its method is
// (RFC 9113 8.7). No policy is needed for that; once, so that it ends.
bool Exchange::retry_unprocessed(Error why) {
  if (why.code != ErrorCode::peer_closed || why.retry != Retry::always || restarted_) return false;
  if (response_started_ || response_passed_) return false;
  const bool whole = (request_bytes_ == 0 && filters_ == nullptr) || (attempts_ != nullptr && attempts_->live);
  if (!whole) return false;
  restarted_ = true;
  release_upstream(attempt_over);
  wait_for_retry(Duration::zero());
  return true;
}

// Takes what another attempt costs. The counters are Envoy's, which calls an attempt that is followed by none a success.
bool Exchange::try_again(bool wanted) {
  StatBlock<ClusterStat>& stats = cluster_->stats();
  attempts_->timed_out = false;
  if (attempts_->holds_retry) {
    if (!wanted) stats.inc(ClusterStat::upstream_rq_retry_success);
    cluster_->breaker().give(Resource::retries);
    attempts_->holds_retry = false;
  }
  if (!wanted) return false;
  if (attempts_->retries_left == 0) {
    stats.inc(ClusterStat::upstream_rq_retry_limit_exceeded);
    flags_.set(ResponseFlag::upstream_retry_limit_exceeded);
    return false;
  }
  --attempts_->retries_left;
  if (!cluster_->breaker().try_take_retry()) {
    stats.inc(ClusterStat::upstream_rq_retry_overflow);
    flags_.set(ResponseFlag::upstream_overflow);
    return false;
  }
  attempts_->holds_retry = true;
  return true;
}

void Exchange::back_off() {
  attempts_->wait = Attempts::Wait::exponential;
  wait_for_retry(attempts_->rules.back_off(attempts_->back_offs++, worker_.ring().random()));
}

// At the earliest in the next turn: we may be inside of the codec whose stream has just ended.
void Exchange::wait_for_retry(Duration wait) {
  phase_ = Phase::backing_off;
  if (attempts_ != nullptr) attempts_->retry_at = worker_.now() + wait;
  arm_timer();
}

// From here on the present attempt is the last one.
void Exchange::abandon_retries() {
  attempts_->live = false;
  attempts_->body.clear();
  end_attempts();
}

void Exchange::end_attempts() {
  if (attempts_ == nullptr || !attempts_->holds_retry) return;
  attempts_->holds_retry = false;
  cluster_->breaker().give(Resource::retries);
}

// --- time --------------------------------------------------------------------------------------------------------------

// When the present attempt has taken too long, or the next one begins.
Instant Exchange::attempt_deadline() const {
  if (phase_ == Phase::backing_off) return attempts_ == nullptr ? last_activity_ : attempts_->retry_at;
  if (phase_ != Phase::forwarding) return Instant::max();
  Instant deadline = Instant::max();
  const auto at_most = [&](Instant from, Duration span) {
    if (span > Duration::zero()) deadline = std::min(deadline, from + span);
  };
  at_most(attempts_->began, attempts_->upstream_duration);
  if (!request_end_) return deadline;
  const Instant from = std::max(attempts_->began, request_ended_);
  if (!response_started_) at_most(from, attempts_->timeouts.per_try);
  at_most(std::max(from, last_activity_), attempts_->timeouts.per_try_idle);
  return deadline;
}

// Whether it was something about attempts that was due.
bool Exchange::on_attempt_timer(Instant now) {
  if ((attempts_ == nullptr && phase_ != Phase::backing_off) || attempt_deadline() > now) return false;
  if (phase_ == Phase::backing_off) {
    begin_attempt();
    return true;
  }
  StatBlock<ClusterStat>& stats = cluster_->stats();
  const Duration duration = attempts_->upstream_duration;
  if (duration > Duration::zero() && now >= attempts_->began + duration) {
    stats.inc(ClusterStat::upstream_rq_max_duration_reached);
    release_upstream(attempt_over);
    if (retry_reset(AttemptEnd::local_reset)) return true;
    flags_.set(ResponseFlag::upstream_stream_duration_reached);
    reply({.status = status_of_timeout(),
           .body = "upstream max stream duration reached",
           .details = "upstream_max_stream_duration_reached",
           .charge = Charge::router});
    return true;
  }
  const Instant from = std::max(attempts_->began, request_ended_);
  const Duration one = attempts_->timeouts.per_try;
  const bool whole = !response_started_ && one > Duration::zero() && now >= from + one;
  stats.inc(whole ? ClusterStat::upstream_rq_per_try_timeout : ClusterStat::upstream_rq_per_try_idle_timeout);
  host_->cells(worker_.index()).add(HostStat::rq_timeout);
  release_upstream(attempt_over);
  if (retry_reset(AttemptEnd::local_reset)) {
    attempts_->timed_out = true;
    return true;
  }
  reply_timeout(whole ? "upstream_per_try_timeout" : "upstream_per_try_idle_timeout", Charge::cluster);
  return true;
}

// The route's timeout, over all attempts.
bool Exchange::on_upstream_timeout(Instant now) {
  const bool over = request_end_ && cluster_ != nullptr && route_timeout_ > Duration::zero() && now >= request_ended_ + route_timeout_;
  if (!over) return false;
  if (phase_ == Phase::backing_off) {  // nothing upstream took too long
    reply_timeout("response_timeout", Charge::router);
    return true;
  }
  cluster_->stats().inc(ClusterStat::upstream_rq_timeout);
  if (host_ != nullptr) host_->cells(worker_.index()).add(HostStat::rq_timeout);
  reply_timeout("response_timeout", Charge::cluster);
  return true;
}

void Exchange::reply_timeout(const char* details, Charge charge) {
  flags_.set(ResponseFlag::upstream_request_timeout);
  // To a CONNECT 204 would be a tunnel.
  if (attempts_ != nullptr && attempts_->alternative_status && request_->method != "CONNECT")
    return reply({.status = 204, .body = {}, .details = details, .charge = charge});
  reply({.status = 504, .body = "upstream request timeout", .details = details, .charge = charge});
}

std::string_view Exchange::reset_body(std::string_view reason) {
  const bool again = attempts_ != nullptr && attempts_->count > 1;
  return arena_.concat("upstream connect error or disconnect/reset before headers. ", again ? "retried and the latest " : "", "reset reason: ",
                       reason);
}

}  // namespace ringside
