// The response's way through Exchange.
#include "proxy/exchange.h"
#include "proxy/http_manager.h"
#include "proxy/listener/live_chain.h"
#include "proxy/downstream.h"
#include "proxy/filter_run.h"
#include "proxy/shard.h"

namespace ringside {
void Exchange::on_response_informational(Head& head) {
  // 100 was answered by us, unless the operator wants it end to end.
  if (head.status == 100 && !(manager_.spec().proxy_100_continue && request_->expect_continue)) return;
  touch();
  if (attempts_ != nullptr) abandon_retries();  // the client has seen something of this attempt
  response_passed_ = true;
  down_stream_.send_informational(head);
}

void Exchange::on_response_head(Head& head, End end) {
  touch();
  if (attempts_ != nullptr && retry_response(head, end)) return;
  if (upgrade_ != nullptr && !take_upgrade_answer(head, end)) return;
  if (head.upgrade) end = End::no;
  response_from_upstream_ = true;
  count_upstream_code(head.status);
  host_->cells(worker_.index()).add(head.status < 500 ? HostStat::rq_success : HostStat::rq_error);
  record_.response_code_details = "via_upstream";
  record_.upstream_service_time = worker_.now() - upstream_started_;
  manager_.forwarding().on_upstream_response(head, record_.upstream_service_time);
  tell_attempts(head);
  edit_response_head(head);
  if (filters_ == nullptr) return pass_response_head(head, end);
  if (end == End::yes) on_upstream_end();
  filters_->on_response_head(head, end);
}

void Exchange::pass_response_head(Head& head, End end) {
  finish_response_head(head);
  response_started_ = true;
  down_stream_.send_head(head, end);
  if (phase_ == Phase::done) return;  // HTTP/2: the client takes no such head
  if (end == End::yes) return on_response_end();
  if (head.upgrade) {
    worker_.flush_later(*this);
    return arm_timer();
  }
  const bool looked_at = filters_ != nullptr && filters_->sees_response_body();
  if (session_.sends_piped() && !looked_at && connection_ != nullptr) connection_->relay_body();
  arm_timer();
}

// What the route changes, before filters see it.
void Exchange::edit_response_head(Head& head) {
  record_.response = &head;
  record_.response_code = head.status;
  if (route_ != nullptr) route_->edit_response(head, record_, session_.listener().shard().second_cache());
}

// The last changes before the response goes out, ours or the upstream's.
void Exchange::finish_response_head(Head& head) {
  response_ = &head;
  status_ = head.status;
  SecondCache& second = session_.listener().shard().second_cache();
  manager_.forwarding().on_response(head, *request_, second, worker_.ring().wall_now());
}

void Exchange::on_response_body(Slice piece, End end) {
  touch();
  if (upgrade_ != nullptr && upgrade_->agreed) {
    upgrade_->upstream_ended = end == End::yes;
    return upgrade_->early.append(std::move(piece));
  }
  if (filters_ == nullptr) return pass_response_body(std::move(piece), end);
  if (end == End::yes) on_upstream_end();
  filters_->on_response_body(std::move(piece), end);
}

void Exchange::pass_response_body(Slice piece, End end) {
  response_bytes_ += piece.size();
  down_stream_.send_body(std::move(piece), end);
  if (end == End::yes) on_response_end();
}

void Exchange::on_response_trailers(HeaderMap& fields) {
  record_.response_trailers = &fields;
  if (filters_ == nullptr) return pass_response_trailers(fields);
  on_upstream_end();
  filters_->on_response_trailers(fields);
}

void Exchange::pass_response_trailers(HeaderMap& fields) {
  down_stream_.send_trailers(fields);
  on_response_end();
}

// The upstream has said everything. With the request whole, its connection goes back to the pool by itself; otherwise the rest of
// the request has nowhere to go.
void Exchange::on_upstream_end() {
  if (upstream_end_) return;
  upstream_end_ = true;
  const auto elapsed_ms = static_cast<uint64_t>((worker_.now() - upstream_started_) / milliseconds(1));
  StatBlock<ClusterStat>& stats = cluster_->stats();
  stats.record(ClusterStat::upstream_rq_time, elapsed_ms);
  if (manager_.spec().dynamic_stats)
    stats.record(record_.is_internal ? ClusterStat::internal_upstream_rq_time : ClusterStat::external_upstream_rq_time,
                 elapsed_ms);
  // A request for an upgrade that was refused is whole to the upstream, whatever the client's stream is.
  const bool refused = upgrade_ != nullptr && upgrade_->refused;
  if (request_end_ || refused) {
    connection_ = nullptr;
    up_stream_ = nullptr;
  }
}

void Exchange::on_response_end() {
  if (phase_ == Phase::done) return;
  response_end_ = true;
  on_upstream_end();
  finish();
}

void Exchange::on_response_sent(size_t body_bytes) {
  if (phase_ == Phase::done) return;
  touch();
  grant_response(filters_ == nullptr ? body_bytes : filters_->on_response_sent(body_bytes));
}

void Exchange::grant_response(size_t body_bytes) {
  if (up_stream_ != nullptr && !upstream_end_) up_stream_->grant(body_bytes);
}

// The upstream's connection broke, or it spoke nonsense. Its connection closes by itself.
void Exchange::on_upstream_reset(Error why) {
  if (phase_ == Phase::done) return;
  connection_ = nullptr;
  up_stream_ = nullptr;
  if (upstream_end_) return;  // its answer is with a filter, whole
  if (upgrade_ != nullptr && upgrade_->agreed && upgrade_->upstream_ended) {
    upgrade_->upstream_gone = why;
    return;
  }
  host_->cells(worker_.index()).add(HostStat::rq_error);
  const bool protocol = why.code == ErrorCode::bad_message || why.code == ErrorCode::too_large;
  // What we ended ourselves, as we shut down, is not begun again.
  const bool ours = why.code == ErrorCode::cancelled && why.origin == Origin::local;
  if (!ours && (why.code == ErrorCode::peer_reset || why.code == ErrorCode::cancelled || why.retry == Retry::always))
    return on_upstream_stream_reset(why);
  if (!ours && retry_reset(protocol ? AttemptEnd::protocol_error : AttemptEnd::connection_termination)) return;
  flags_.set(protocol ? ResponseFlag::upstream_protocol_error : ResponseFlag::upstream_connection_termination);
  record_.upstream_transport_failure_reason = arena_.copy(why.detail);
  if (response_started_)
    return reply({.status = 0,
                  .body = {},
                  .details = protocol ? "upstream_reset_after_response_started{protocol_error}"
                                      : "upstream_reset_after_response_started{connection_termination}"});
  if (protocol)
    return reply({.status = 502,
                  .body = reset_body("protocol error"),
                  .details = "upstream_reset_before_response_started{protocol_error}"});
  reply({.status = 503,
         .body = reset_body("connection termination"),
         .details = "upstream_reset_before_response_started{connection_termination}"});
}

// HTTP/2: the upstream gave up this stream alone, or never looked at it.
void Exchange::on_upstream_stream_reset(Error why) {
  const bool refused = why.retry == Retry::always;
  cluster_->stats().inc(ClusterStat::upstream_rq_rx_reset);
  if (retry_unprocessed(why) || retry_reset(refused ? AttemptEnd::refused_stream : AttemptEnd::remote_reset)) return;
  flags_.set(ResponseFlag::upstream_remote_reset);
  record_.upstream_transport_failure_reason = {};
  // A server of gRPC cancels what its own clock calls too late. Its client knows what that means, as it would without us.
  const bool passed_on = why.code == ErrorCode::cancelled && session_.version() == HttpVersion::http2 && is_grpc();
  if (passed_on) {
    record_.response_code_details = response_started_ ? "upstream_reset_after_response_started{remote_reset}"
                                                      : "upstream_reset_before_response_started{remote_reset}";
    return finish();
  }
  if (response_started_) return reply({.status = 0, .body = {}, .details = "upstream_reset_after_response_started{remote_reset}"});
  if (refused)
    return reply({.status = 503,
                  .body = reset_body("remote refused stream reset"),
                  .details = "upstream_reset_before_response_started{remote_refused_stream_reset}"});
  reply({.status = 503,
         .body = reset_body("remote reset"),
         .details = "upstream_reset_before_response_started{remote_reset}"});
}

}  // namespace ringside
