#pragma once
// Budgets against peers that make us work without working themselves. A kind of event spends, honest use in between earns; time
// earns too, when the owner tells it.
#include <algorithm>
#include <array>
#include <cstdint>

#include "codecs/http2/h2_limits.h"

namespace ringside {

enum class H2Event : uint8_t { reset, priority, window_update, other };

class H2Guard {
 public:
  explicit H2Guard(const H2Limits& limits)
      : budgets_{limits.resets_burst, limits.priority_frames_per_stream, 10 * limits.window_updates_per_data_frame,
                 limits.other_frames_burst} {}
  // False: used up.
  bool spend(H2Event event) {
    uint32_t& budget = budgets_[static_cast<size_t>(event)];
    if (budget == 0) return false;
    --budget;
    return true;
  }
  void on_stream_opened(const H2Limits& limits) {
    earn(H2Event::priority, limits.priority_frames_per_stream);
    earn(H2Event::window_update, 2);
  }
  void on_data_sent(const H2Limits& limits) { earn(H2Event::window_update, limits.window_updates_per_data_frame); }
  // A message or its body moved on: what goes with it is paid for.
  void on_progress() { earn(H2Event::other, 1); }
  void on_stream_completed(const H2Limits& limits) { earn_up_to(H2Event::reset, 1, limits.resets_burst); }
  void on_time(const H2Limits& limits, uint32_t seconds_passed) {
    seconds_passed = std::min<uint32_t>(seconds_passed, 3600);
    earn_up_to(H2Event::reset, seconds_passed * limits.resets_per_second, limits.resets_burst);
    earn_up_to(H2Event::other, seconds_passed * limits.other_frames_per_second, limits.other_frames_burst);
  }
  // Frames without content, in a row. False: too many.
  bool on_frame(bool empty, const H2Limits& limits) {
    empty_frames_ = empty ? empty_frames_ + 1 : 0;
    return empty_frames_ <= limits.empty_frames_max;
  }

 private:
  void earn(H2Event event, uint32_t count) { earn_up_to(event, count, h2::budget_max); }
  void earn_up_to(H2Event event, uint32_t count, uint32_t budget_max) {
    uint32_t& budget = budgets_[static_cast<size_t>(event)];
    if (budget < budget_max) budget = static_cast<uint32_t>(std::min<uint64_t>(uint64_t{budget} + count, budget_max));
  }
  std::array<uint32_t, 4> budgets_;
  uint32_t empty_frames_ = 0;
};

}  // namespace ringside
