#include "proxy/filter_run.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "proxy/downstream.h"
#include "proxy/exchange.h"
#include "proxy/listener/live_chain.h"
#include "proxy/shard.h"

namespace ringside {

FilterRun::FilterRun(Exchange& exchange, const Head& request)
    : exchange_(exchange),
      request_end_(exchange),
      response_end_(exchange),
      request_(request_hooks, request_end_),
      response_(response_hooks, response_end_),
      was_grpc_(is_grpc_request(request)) {}

FilterRun* FilterRun::start(Exchange& exchange, const FilterChain& chain, const Head& request) {
  const Route* const route = exchange.route_;
  const FilterChain::Mask off = route != nullptr ? route->filters_off() : chain.off();
  if (off == chain.all()) return nullptr;
  const FilterSettings* const settings = route != nullptr ? route->filter_settings() : nullptr;
  Arena& arena = exchange.arena_;
  const auto filters = chain.filters();
  auto* const parts = static_cast<FilterPart**>(arena.allocate(filters.size() * sizeof(FilterPart*), alignof(FilterPart*)));
  auto* const run = new (arena.allocate(sizeof(FilterRun), alignof(FilterRun))) FilterRun(exchange, request);
  size_t count = 0;
  for (size_t at = 0; at < filters.size(); ++at) {
    if ((off >> at & 1) != 0) continue;
    const HttpFilter* filter = settings != nullptr ? settings->find(at) : nullptr;
    if (filter == nullptr) filter = filters[at].get();
    if (FilterPart* part = filter->start(*run, request); part != nullptr) parts[count++] = part;
  }
  if (count == 0) {
    run->~FilterRun();
    return nullptr;
  }
  run->parts_ = {parts, count};
  run->request_.set_parts(run->parts_);
  run->response_.set_parts(run->parts_);
  return run;
}

FilterRun::~FilterRun() {
  for (FilterPart* part : parts_) part->~FilterPart();
}

FilterPiece FilterRun::piece_of(Slice body, End end) {
  FilterPiece piece;
  piece.body.append(std::move(body));
  piece.ended = end == End::yes;
  return piece;
}

FilterPiece FilterRun::piece_of(HeaderMap& trailers) {
  FilterPiece piece;
  piece.trailers = &trailers;
  piece.ended = true;
  return piece;
}

// --- what comes in ---------------------------------------------------------------------------------------------------

void FilterRun::on_request_head(Head& head, End end) {
  request_.on_head(head, end);
  exchange_.arm_timer();  // a filter may wait
}

std::string_view FilterRun::on_local_reply(Head& head, std::string_view text) {
  response_.stop();
  Buffer body;
  if (!text.empty()) body.append(exchange_.worker_.output().copy(text));
  for (size_t at = parts_.size(); at-- > 0;) {
    parts_[at]->on_response(head, text.empty() ? End::yes : End::no);
    if (!text.empty() && parts_[at]->sees_response_body()) parts_[at]->on_response_body(body, End::yes);
  }
  if (text.empty() || !sees_response_body()) return text;
  char* const out = exchange_.arena_.allocate_text(body.size_bytes());
  size_t size = 0;
  for (; !body.empty(); body.pop_front()) {
    const std::string_view piece = body.slice(0).text();
    std::copy(piece.begin(), piece.end(), out + size);
    size += piece.size();
  }
  std::array<char, 20> digits;
  const auto end = std::to_chars(digits.begin(), digits.end(), size).ptr;
  head.fields.set(HeaderId::content_length, exchange_.arena_.copy({digits.begin(), end}));
  return {out, size};
}

void FilterRun::on_finish() {
  request_.stop();
  response_.stop();
  for (FilterPart* part : parts_) part->on_finish();
}

// --- what comes through ------------------------------------------------------------------------------------------------

void FilterRun::RequestEnd::pass_head(Head&, FilterPiece& behind) {
  pass_piece(behind);  // kept until there is a connection
  if (!exchange_.is_done()) exchange_.take_route();
}

void FilterRun::RequestEnd::pass_piece(FilterPiece& piece) {
  const bool body_ends = piece.body_end() == End::yes;
  if (piece.body.empty() && body_ends) return exchange_.pass_request_body(Slice(), End::yes);
  while (!piece.body.empty() && !exchange_.is_done()) {
    Slice next = piece.body.pop_front();
    exchange_.pass_request_body(std::move(next), body_ends && piece.body.empty() ? End::yes : End::no);
  }
  if (piece.trailers != nullptr && !exchange_.is_done()) exchange_.pass_request_trailers(*piece.trailers);
}

void FilterRun::RequestEnd::grant(size_t body_bytes) { exchange_.grant_request(body_bytes); }

void FilterRun::ResponseEnd::pass_head(Head& head, FilterPiece& behind) {
  const bool whole = behind.body.empty() && behind.body_end() == End::yes;
  exchange_.pass_response_head(head, whole ? End::yes : End::no);
  if (!whole && !exchange_.is_done()) pass_piece(behind);
}

void FilterRun::ResponseEnd::pass_piece(FilterPiece& piece) {
  const bool body_ends = piece.body_end() == End::yes;
  if (piece.body.empty() && body_ends) return exchange_.pass_response_body(Slice(), End::yes);
  while (!piece.body.empty() && !exchange_.is_done()) {
    Slice next = piece.body.pop_front();
    exchange_.pass_response_body(std::move(next), body_ends && piece.body.empty() ? End::yes : End::no);
  }
  if (piece.trailers != nullptr && !exchange_.is_done()) exchange_.pass_response_trailers(*piece.trailers);
}

void FilterRun::ResponseEnd::grant(size_t body_bytes) { exchange_.grant_response(body_bytes); }

// --- what filters ask for ------------------------------------------------------------------------------------------------

Arena& FilterRun::arena() { return exchange_.arena_; }
Worker& FilterRun::worker() { return exchange_.worker_; }
Shard& FilterRun::shard() { return exchange_.session_.listener().shard(); }
HttpVersion FilterRun::downstream_version() const { return exchange_.request_->version; }
Cluster* FilterRun::cluster() { return exchange_.route_cluster(); }
Instant FilterRun::upstream_sent() const {
  const bool sent = exchange_.request_end_ && exchange_.upstream_started_ != Instant{};
  return sent ? std::max(exchange_.upstream_started_, exchange_.request_ended_) : Instant{};
}
size_t FilterRun::kept_bytes_max() const { return exchange_.session_.listener().spec().connection_buffer_bytes_max; }
FilterHost::Place FilterRun::place() const {
  Place place{.stat_prefix = exchange_.manager_.spec().stat_prefix, .virtual_host = {}, .route = {}};
  if (exchange_.route_ == nullptr) return place;
  place.virtual_host = exchange_.route_->virtual_host().spec().name;
  place.route = exchange_.route_->spec().name;
  return place;
}
// Until upgrades are passed on, there is no tunnel to watch.
void FilterRun::watch_tunnel(std::unique_ptr<TunnelWatch>) {}
void FilterRun::answer(const Answer& answer) {
  exchange_.reply({.status = answer.status, .body = answer.body, .details = answer.details, .charge = Exchange::Charge::nobody});
}

}  // namespace ringside
