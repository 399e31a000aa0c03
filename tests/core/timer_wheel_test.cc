#include "core/timer_wheel.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "core/random.h"

namespace ringside {
namespace {

constexpr Instant origin = Instant(seconds(1000));

class Alarm {
 public:
  explicit Alarm(const Instant& now) : now_(now) {}
  void on_timer() {
    ++fired;
    fired_at = now_;
  }
  int fired = 0;
  Instant fired_at{};
  TimerFor<Alarm, &Alarm::on_timer> timer{*this};

 private:
  const Instant& now_;
};

class TimerWheelTest : public ::testing::Test {
 protected:
  Instant now_ = origin;
  TimerWheel wheel_{origin};
  void advance(Duration by) {
    now_ += by;
    wheel_.advance(now_);
  }
};

TEST_F(TimerWheelTest, fires_once_and_not_early) {
  Alarm alarm(now_);
  wheel_.arm(alarm.timer, now_ + milliseconds(5));
  EXPECT_TRUE(alarm.timer.armed());
  advance(milliseconds(4));
  EXPECT_EQ(alarm.fired, 0);
  advance(milliseconds(1));
  EXPECT_EQ(alarm.fired, 1);
  EXPECT_FALSE(alarm.timer.armed());
  advance(seconds(10));
  EXPECT_EQ(alarm.fired, 1);
}

TEST_F(TimerWheelTest, a_timer_that_is_early_enough_stays) {
  Alarm alarm(now_);
  wheel_.arm_by(alarm.timer, Instant::max());
  EXPECT_FALSE(alarm.timer.armed());
  wheel_.arm_by(alarm.timer, now_ + milliseconds(10));
  wheel_.arm_by(alarm.timer, now_ + milliseconds(20));
  EXPECT_EQ(alarm.timer.deadline(), now_ + milliseconds(10));
  wheel_.arm_by(alarm.timer, now_ + milliseconds(5));
  advance(milliseconds(5));
  EXPECT_EQ(alarm.fired, 1);
}

TEST_F(TimerWheelTest, a_deadline_that_has_passed_fires_at_the_next_occasion) {
  Alarm alarm(now_);
  advance(milliseconds(500));
  wheel_.arm(alarm.timer, now_ - seconds(1));
  EXPECT_EQ(alarm.fired, 0);  // never from inside arm()
  advance(milliseconds(1));
  EXPECT_EQ(alarm.fired, 1);
}

TEST_F(TimerWheelTest, disarmed_timers_stay_silent_and_armed_ones_move) {
  Alarm silent(now_), moved(now_);
  wheel_.arm(silent.timer, now_ + milliseconds(10));
  wheel_.arm(moved.timer, now_ + milliseconds(10));
  silent.timer.disarm();
  wheel_.arm(moved.timer, now_ + milliseconds(300));
  advance(milliseconds(299));
  EXPECT_EQ(moved.fired, 0);
  advance(milliseconds(10));
  EXPECT_EQ(moved.fired, 1);
  EXPECT_EQ(silent.fired, 0);
}

TEST_F(TimerWheelTest, knows_how_long_to_wait) {
  EXPECT_EQ(wheel_.until_next(now_), Duration::max());
  EXPECT_TRUE(wheel_.empty());
  Alarm alarm(now_);
  wheel_.arm(alarm.timer, now_ + milliseconds(20));
  EXPECT_FALSE(wheel_.empty());
  EXPECT_EQ(wheel_.until_next(now_), milliseconds(20));
  alarm.timer.disarm();
  advance(wheel_.until_next(now_));  // a slot may be looked at in vain, once
  EXPECT_EQ(wheel_.until_next(now_), Duration::max());
  EXPECT_EQ(alarm.fired, 0);
}

// A handler re-arms itself and disarms another that is due at the same instant.
TEST_F(TimerWheelTest, handlers_may_change_the_wheel) {
  struct Chain {
    Chain(TimerWheel& on, const Instant& at) : wheel(on), now(at) {}
    void on_timer() {
      ++fired;
      victim.disarm();
      if (fired < 3) wheel.arm(timer, now + milliseconds(1));
    }
    void on_victim() { ++victims; }
    TimerWheel& wheel;
    const Instant& now;
    int fired = 0, victims = 0;
    TimerFor<Chain, &Chain::on_timer> timer{*this};
    TimerFor<Chain, &Chain::on_victim> victim{*this};
  };
  Chain chain(wheel_, now_);
  wheel_.arm(chain.timer, now_ + milliseconds(2));
  wheel_.arm(chain.victim, now_ + milliseconds(2));
  for (int tick = 0; tick < 10; ++tick) advance(milliseconds(1));
  EXPECT_EQ(chain.fired, 3);
  EXPECT_EQ(chain.victims, 0);
}

// Deadlines of all sizes, waits of all sizes: never early, late by the promised share at most when the wheel is turned as often
// as it asks for.
TEST_F(TimerWheelTest, keeps_its_promise_for_random_deadlines) {
  Random random(3);
  for (int round = 0; round < 20; ++round) {
    std::vector<std::unique_ptr<Alarm>> alarms;
    std::vector<Instant> armed_at;
    for (int count = 0; count < 200; ++count) {
      alarms.push_back(std::make_unique<Alarm>(now_));
      const Duration span(static_cast<int64_t>(random.below(1ULL << random.between(10, 46))));
      wheel_.arm(alarms.back()->timer, now_ + span);
      armed_at.push_back(now_);
      if (random.chance(300'000)) advance(Duration(static_cast<int64_t>(random.below(3'000'000))));
    }
    while (!wheel_.empty()) {
      const Duration wait = wheel_.until_next(now_);
      ASSERT_NE(wait, Duration::max());
      advance(wait);
    }
    for (size_t at = 0; at < alarms.size(); ++at) {
      const Alarm& alarm = *alarms[at];
      ASSERT_EQ(alarm.fired, 1);
      const Instant deadline = alarm.timer.deadline();
      const Duration allowed = std::max<Duration>(milliseconds(2), (deadline - armed_at[at]) / 64 + milliseconds(2)) + milliseconds(3);
      ASSERT_GE(alarm.fired_at, deadline);
      ASSERT_LE(alarm.fired_at - deadline, allowed);
    }
  }
}

// After any jump, every timer that is due has fired, and no other.
TEST_F(TimerWheelTest, survives_jumps) {
  Random random(5);
  for (int round = 0; round < 50; ++round) {
    std::vector<std::unique_ptr<Alarm>> alarms;
    for (int count = 0; count < 100; ++count) {
      alarms.push_back(std::make_unique<Alarm>(now_));
      wheel_.arm(alarms.back()->timer, now_ + Duration(static_cast<int64_t>(random.below(1ULL << random.between(10, 42)))));
    }
    for (int jump = 0; jump < 20; ++jump) {
      advance(Duration(static_cast<int64_t>(random.below(1ULL << random.between(10, 42)))));
      for (const auto& alarm : alarms) {
        if (alarm->timer.deadline() > now_) { ASSERT_EQ(alarm->fired, 0); }
        if (alarm->timer.deadline() + milliseconds(1) <= now_) { ASSERT_EQ(alarm->fired, 1); }
      }
    }
  }
}

// The wait that the wheel asks for is never longer than to its next deadline.
TEST_F(TimerWheelTest, never_asks_to_sleep_too_long) {
  Random random(9);
  for (int round = 0; round < 2000; ++round) {
    Alarm near(now_), far(now_);
    const Duration span(static_cast<int64_t>(random.below(1ULL << random.between(1, 44))));
    wheel_.arm(near.timer, now_ + span);
    wheel_.arm(far.timer, now_ + 2 * span + seconds(1));
    ASSERT_LE(wheel_.until_next(now_), span + milliseconds(1));
    advance(Duration(static_cast<int64_t>(random.below(5'000'000))));
    if (near.timer.armed()) { ASSERT_LE(now_ + wheel_.until_next(now_), near.timer.deadline() + milliseconds(1)); }
  }
}

}  // namespace
}  // namespace ringside
