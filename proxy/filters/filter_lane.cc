#include "proxy/filters/filter_lane.h"

#include <algorithm>
#include <utility>

namespace ringside {

const FilterHooks request_hooks{&FilterPart::on_request, &FilterPart::on_request_body, &FilterPart::on_request_trailers,
                                &FilterPart::sees_request_body, false};
const FilterHooks response_hooks{&FilterPart::on_response, &FilterPart::on_response_body, &FilterPart::on_response_trailers,
                                 &FilterPart::sees_response_body, true};

void FilterLane::on_head(Head& head, End end) {
  head_ = &head;
  held_.ended = end == End::yes;
  advance();
}

// The head goes on, and what is held with it, until a part waits or all have seen it.
void FilterLane::advance() {
  for (; passed_ < parts_.size(); ++passed_) {
    FilterPart& next = part(passed_);
    const bool whole = held_.ended && held_.body.empty() && held_.trailers == nullptr;
    in_hook_ = true;
    const Verdict verdict = (next.*hooks_.head)(*head_, whole ? End::yes : End::no);
    waiting_ = verdict == Verdict::wait;
    const size_t before = held_.body.size_bytes();
    if (!stopped_ && !whole && (before != 0 || held_.ended)) filter(passed_, size_t{passed_} + 1, held_);
    in_hook_ = false;
    if (stopped_) return;
    pending_bytes_ += held_.body.size_bytes() - before;
    settle(held_.ended);
    if (waiting_ || stopped_) return;
  }
  FilterPiece behind = std::move(held_);
  held_ = {};
  end_.pass_head(*std::exchange(head_, nullptr), behind);
}

void FilterLane::on_piece(FilterPiece piece) {
  if (stopped_) return;
  owed_bytes_ += piece.body.size_bytes();
  const bool behind_wait = head_ != nullptr;
  in_hook_ = true;
  filter(0, behind_wait ? size_t{passed_} + 1 : parts_.size(), piece);
  in_hook_ = false;
  if (stopped_) return;
  pending_bytes_ += piece.body.size_bytes();
  settle(piece.ended);
  if (stopped_) return;
  if (!behind_wait) return end_.pass_piece(piece);
  hold(piece);
  if (waiting_) return;
  ++passed_;
  advance();
}

// With nothing on its way, nothing else would bring the sender the credit for what parts took.
void FilterLane::settle(bool ended) {
  if (pending_bytes_ == 0 && owed_bytes_ != 0 && !ended) end_.grant(std::exchange(owed_bytes_, 0));
}

void FilterLane::resume() {
  if (!waiting_ || stopped_) return;
  waiting_ = false;
  if (in_hook_) return;  // on_piece() goes on
  ++passed_;
  advance();
}

void FilterLane::hold(FilterPiece& piece) {
  while (!piece.body.empty()) held_.body.append(piece.body.pop_front());
  held_.trailers = piece.trailers;
  held_.ended = piece.ended;
}

void FilterLane::filter(size_t first, size_t last, FilterPiece& piece) {
  for (size_t at = first; at < last && !stopped_; ++at) {
    FilterPart& next = part(at);
    const bool looks = (next.*hooks_.sees_body)();
    if (piece.trailers == nullptr) {
      if (looks) (next.*hooks_.body)(piece.body, piece.body_end());
      continue;
    }
    if (looks && !piece.body.empty()) (next.*hooks_.body)(piece.body, End::no);
    if (stopped_) return;
    Buffer before;
    (next.*hooks_.trailers)(piece.trailers, before);
    while (!before.empty()) piece.body.append(before.pop_front());
  }
}

bool FilterLane::sees_body() const {
  for (const FilterPart* each : parts_)
    if ((each->*hooks_.sees_body)()) return true;
  return false;
}

// A part may make a body longer or shorter: the credit for what came in is spread over what goes out.
size_t FilterLane::on_sent(size_t body_bytes) {
  const size_t sent = std::min(body_bytes, pending_bytes_);
  const size_t due = sent == pending_bytes_ ? owed_bytes_ : owed_bytes_ * sent / pending_bytes_;
  pending_bytes_ -= sent;
  owed_bytes_ -= due;
  return due;
}

}  // namespace ringside
