#include "core/timer_wheel.h"

#include <algorithm>
#include <bit>

namespace ringside {
namespace {
constexpr Duration tick_span = milliseconds(1);
}

uint64_t TimerWheel::tick_of(Instant when) const {
  // Rounded up: a timer is never early.
  const auto since = when - origin_;
  if (since <= Duration::zero()) return 0;
  return static_cast<uint64_t>((since + tick_span - Duration(1)) / tick_span);
}

void TimerWheel::arm(Timer& timer, Instant deadline) {
  timer.unlink();
  timer.deadline_ = deadline;
  place(timer, std::max(tick_of(deadline), current_tick_ + 1));
}

// Level n holds ticks whose difference from now shows first in digit n (base 64).
void TimerWheel::place(Timer& timer, uint64_t tick) {
  constexpr uint64_t span_max = (1ULL << (slot_bits * levels)) - 1;
  tick = std::min(tick, current_tick_ | span_max);
  const uint64_t difference = tick ^ current_tick_;
  const uint32_t level = difference == 0 ? 0 : static_cast<uint32_t>(63 - std::countl_zero(difference)) / slot_bits;
  const uint32_t slot = static_cast<uint32_t>(tick >> (slot_bits * level)) & (slots - 1);
  levels_[level].lists[slot].push_back(timer);
  levels_[level].occupied |= 1ULL << slot;
}

void TimerWheel::cascade(uint32_t level, uint32_t slot) {
  Level& from = levels_[level];
  from.occupied &= ~(1ULL << slot);
  List<Timer, Timer> moving;
  moving.splice_back(from.lists[slot]);
  while (Timer* timer = moving.pop_front()) place(*timer, std::max(tick_of(timer->deadline_), current_tick_));
}

void TimerWheel::run_slot(uint32_t slot) {
  Level& level = levels_[0];
  level.occupied &= ~(1ULL << slot);
  List<Timer, Timer> due;
  due.splice_back(level.lists[slot]);
  // A handler may disarm a timer that is still in `due`: it unlinks itself from there.
  while (Timer* timer = due.pop_front()) timer->handler_(*timer);
}

void TimerWheel::advance(Instant now) {
  const auto since = now - origin_;
  const uint64_t target = since <= Duration::zero() ? 0 : static_cast<uint64_t>(since / tick_span);
  while (current_tick_ < target) {
    // The next tick of interest within this turn of level 0, or its edge, where higher levels come down.
    const uint32_t position = static_cast<uint32_t>(current_tick_) & (slots - 1);
    const uint64_t later = position == slots - 1 ? 0 : levels_[0].occupied >> (position + 1);
    uint64_t next = (current_tick_ | (slots - 1)) + 1;
    if (later != 0) next = current_tick_ + 1 + static_cast<uint64_t>(std::countr_zero(later));
    if (next > target) {
      current_tick_ = target;
      return;
    }
    current_tick_ = next;
    for (uint32_t level = 1; level < levels; ++level) {
      if ((current_tick_ & ((1ULL << (slot_bits * level)) - 1)) != 0) break;
      cascade(level, static_cast<uint32_t>(current_tick_ >> (slot_bits * level)) & (slots - 1));
    }
    run_slot(static_cast<uint32_t>(current_tick_) & (slots - 1));
  }
}

Duration TimerWheel::until_next(Instant now) const {
  for (uint32_t level = 0; level < levels; ++level) {
    const uint64_t position = (current_tick_ >> (slot_bits * level)) & (slots - 1);
    const uint64_t later = position == slots - 1 ? 0 : levels_[level].occupied >> (position + 1);
    if (later == 0) continue;
    const uint64_t digit = position + 1 + static_cast<uint64_t>(std::countr_zero(later));
    const uint64_t base = current_tick_ & ~((1ULL << (slot_bits * (level + 1))) - 1);
    const uint64_t tick = base + (digit << (slot_bits * level));
    const Instant when = origin_ + static_cast<int64_t>(tick) * tick_span;
    return std::max(when - now, Duration::zero());
  }
  return Duration::max();
}

bool TimerWheel::empty() const { return until_next(origin_) == Duration::max(); }

}  // namespace ringside
