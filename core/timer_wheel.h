#pragma once
// Timers of one worker: a hierarchical wheel of milliseconds, so that arming and disarming are a few pointer moves.
#include <array>
#include <cstdint>

#include "core/intrusive_list.h"
#include "core/time.h"

namespace ringside {

class TimerWheel;

// One deadline, embedded in its waiter. Fires once; arming an armed timer moves it. Never early, late by less than
// 1/64 of its span (1 ms below 64 ms).
class Timer : public Link<Timer> {
 public:
  using Handler = void (*)(Timer&);
  explicit Timer(Handler handler) : handler_(handler) {}
  ~Timer() { unlink(); }
  bool armed() const { return linked(); }
  Instant deadline() const { return deadline_; }
  void disarm() { unlink(); }

 private:
  friend class TimerWheel;
  Handler handler_;
  Instant deadline_{};
};

template <class Owner>
class TimerBase : public Timer {
 public:
  TimerBase(Owner& owner, Handler handler) : Timer(handler), owner_(owner) {}
  Owner& owner() const { return owner_; }

 private:
  Owner& owner_;
};

template <class Owner, auto method>
class TimerFor final : public TimerBase<Owner> {
 public:
  explicit TimerFor(Owner& owner) : TimerBase<Owner>(owner, &run) {}

 private:
  static void run(Timer& timer) { (static_cast<TimerFor&>(timer).owner().*method)(); }
};

class TimerWheel {
 public:
  // The wheel starts at `now`.
  explicit TimerWheel(Instant now) : origin_(now) {}
  void arm(Timer& timer, Instant deadline);
  // For a waiter that looks again when it fires: an armed timer that is early enough stays, so that most deadlines cost nothing.
  // Instant::max() arms nothing.
  void arm_by(Timer& timer, Instant deadline) {
    if (deadline == Instant::max() || (timer.armed() && timer.deadline() <= deadline)) return;
    arm(timer, deadline);
  }
  // Runs what is due. Handlers may arm and disarm any timer.
  void advance(Instant now);
  // How long a wait may last; Duration::max() when no timer is armed. May be early (a level's edge), never late.
  Duration until_next(Instant now) const;
  bool empty() const;

 private:
  static constexpr uint32_t slot_bits = 6;
  static constexpr uint32_t slots = 1U << slot_bits;
  static constexpr uint32_t levels = 6;  // 64^6 ms: over two years
  struct Level {
    std::array<List<Timer, Timer>, slots> lists;
    uint64_t occupied = 0;  // a bit may outlive its last timer
  };
  uint64_t tick_of(Instant when) const;
  void place(Timer& timer, uint64_t tick);
  void cascade(uint32_t level, uint32_t slot);
  void run_slot(uint32_t slot);

  Instant origin_;
  uint64_t current_tick_ = 0;  // every tick up to here has run
  std::array<Level, levels> levels_;
};

}  // namespace ringside
