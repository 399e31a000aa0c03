#pragma once
// One message on its way through the parts of one exchange: which of them have seen its head, and what waits behind it.
#include <span>

#include "proxy/filters/http_filter.h"

namespace ringside {

// The hooks of one direction.
struct FilterHooks {
  Verdict (FilterPart::*head)(Head&, End);
  void (FilterPart::*body)(Buffer&, End);
  void (FilterPart::*trailers)(HeaderMap*&, Buffer&);
  bool (FilterPart::*sees_body)() const;
  bool backwards;
};
extern const FilterHooks request_hooks, response_hooks;

// Some of a message behind its head. `ended`: nothing follows.
struct FilterPiece {
  Buffer body;
  HeaderMap* trailers = nullptr;
  bool ended = false;
  End body_end() const { return ended && trailers == nullptr ? End::yes : End::no; }
};

// Where a lane leads to. Any call may end the exchange; the lane then hears of it by stop().
class LaneEnd {
 public:
  virtual void pass_head(Head& head, FilterPiece& behind) = 0;
  virtual void pass_piece(FilterPiece& piece) = 0;
  // So much of what the sender sent was consumed here.
  virtual void grant(size_t body_bytes) = 0;

 protected:
  ~LaneEnd() = default;
};

class FilterLane {
 public:
  FilterLane(const FilterHooks& hooks, LaneEnd& end) : hooks_(hooks), end_(end) {}
  // Before anything comes. They outlive the lane.
  void set_parts(std::span<FilterPart* const> parts) { parts_ = parts; }

  void on_head(Head& head, End end);
  void on_piece(FilterPiece piece);
  // The part that waits is ready.
  void resume();
  // The exchange is over, or answers by itself: what comes is dropped.
  void stop() { stopped_ = true; }
  bool sees_body() const;
  // So much of what came out was sent: how much of what went in is to be granted for that.
  size_t on_sent(size_t body_bytes);

 private:
  FilterPart& part(size_t at) const { return *parts_[hooks_.backwards ? parts_.size() - 1 - at : at]; }
  void advance();
  // Through the parts [first, last).
  void filter(size_t first, size_t last, FilterPiece& piece);
  void hold(FilterPiece& piece);
  void settle(bool ended);

  const FilterHooks& hooks_;
  std::span<FilterPart* const> parts_;
  LaneEnd& end_;
  Head* head_ = nullptr;  // null: not come, or gone through
  FilterPiece held_;      // has passed the part that waits
  size_t owed_bytes_ = 0;     // came in, not granted yet
  size_t pending_bytes_ = 0;  // came out, not sent yet
  uint8_t passed_ = 0;        // parts through which the head went
  bool waiting_ = false;
  bool in_hook_ = false;
  bool stopped_ = false;
};

}  // namespace ringside
