// What the results of checks make of a host's health: thresholds, edges, the first result, jitter.
#include "proxy/health/check_state.h"

#include <gtest/gtest.h>

#include <vector>

namespace ringside {
namespace {

HealthFlags unchecked() {
  HealthFlags flags;
  flags.set(HealthFlag::failed_active_hc);
  return flags;
}

HealthCheckSpec spec_of(uint32_t unhealthy, uint32_t healthy) {
  HealthCheckSpec spec;
  spec.unhealthy_threshold = unhealthy;
  spec.healthy_threshold = healthy;
  return spec;
}

// A host that passed its first check.
struct Checked {
  explicit Checked(HealthCheckSpec given) : spec(std::move(given)) { state.apply(CheckResult::success, flags); }
  HealthCheckSpec spec;
  HealthFlags flags = unchecked();
  CheckState state{spec};
};

TEST(CheckState, FirstSuccessIsEnough) {
  const HealthCheckSpec spec = spec_of(3, 5);
  HealthFlags flags = unchecked();
  CheckState state(spec);
  EXPECT_FALSE(state.checked());
  EXPECT_EQ(state.apply(CheckResult::success, flags), HealthChange::changed);
  EXPECT_TRUE(state.checked());
  EXPECT_EQ(flags.health(), Health::healthy);
}

TEST(CheckState, FirstFailureLeavesItUnhealthyAndThenTheThresholdCounts) {
  const HealthCheckSpec spec = spec_of(2, 3);
  HealthFlags flags = unchecked();
  CheckState state(spec);
  EXPECT_EQ(state.apply(CheckResult::network, flags), HealthChange::none);
  EXPECT_EQ(state.apply(CheckResult::success, flags), HealthChange::pending);
  EXPECT_EQ(state.apply(CheckResult::success, flags), HealthChange::pending);
  EXPECT_EQ(flags.health(), Health::unhealthy);
  EXPECT_EQ(state.apply(CheckResult::success, flags), HealthChange::changed);
  EXPECT_EQ(flags.health(), Health::healthy);
  EXPECT_EQ(state.apply(CheckResult::success, flags), HealthChange::none);
}

TEST(CheckState, SuccessesMustBeInARow) {
  const HealthCheckSpec spec = spec_of(1, 2);
  HealthFlags flags = unchecked();
  CheckState state(spec);
  state.apply(CheckResult::network, flags);
  EXPECT_EQ(state.apply(CheckResult::success, flags), HealthChange::pending);
  EXPECT_EQ(state.apply(CheckResult::timed_out, flags), HealthChange::none);
  EXPECT_EQ(state.apply(CheckResult::success, flags), HealthChange::pending);
  EXPECT_EQ(state.apply(CheckResult::success, flags), HealthChange::changed);
}

TEST(CheckState, FailuresMustBeInARow) {
  Checked host(spec_of(3, 1));
  EXPECT_EQ(host.state.apply(CheckResult::network, host.flags), HealthChange::pending);
  EXPECT_EQ(host.state.apply(CheckResult::retriable, host.flags), HealthChange::pending);
  EXPECT_EQ(host.state.apply(CheckResult::success, host.flags), HealthChange::none);
  EXPECT_EQ(host.state.apply(CheckResult::network, host.flags), HealthChange::pending);
  EXPECT_EQ(host.state.apply(CheckResult::timed_out, host.flags), HealthChange::pending);
  EXPECT_EQ(host.flags.health(), Health::healthy);
  EXPECT_EQ(host.state.apply(CheckResult::network, host.flags), HealthChange::changed);
  EXPECT_EQ(host.flags.health(), Health::unhealthy);
}

TEST(CheckState, AnAnswerThatSaysSoIsBelievedAtOnce) {
  Checked host(spec_of(3, 1));
  EXPECT_EQ(host.state.apply(CheckResult::failed, host.flags), HealthChange::changed);
  EXPECT_EQ(host.flags.health(), Health::unhealthy);
}

TEST(CheckState, TimeoutIsToldApartWhileUnhealthy) {
  Checked host(spec_of(2, 1));
  host.state.apply(CheckResult::timed_out, host.flags);
  EXPECT_FALSE(host.flags.has(HealthFlag::active_hc_timeout));
  host.state.apply(CheckResult::timed_out, host.flags);
  EXPECT_TRUE(host.flags.has(HealthFlag::active_hc_timeout));
  host.state.apply(CheckResult::network, host.flags);
  EXPECT_FALSE(host.flags.has(HealthFlag::active_hc_timeout));
  host.state.apply(CheckResult::timed_out, host.flags);
  host.state.apply(CheckResult::success, host.flags);
  EXPECT_TRUE(host.flags.none());
}

TEST(CheckState, Degraded) {
  Checked host(spec_of(2, 2));
  EXPECT_EQ(host.state.apply(CheckResult::degraded, host.flags), HealthChange::changed);
  EXPECT_EQ(host.flags.health(), Health::degraded);
  EXPECT_EQ(host.state.apply(CheckResult::degraded, host.flags), HealthChange::none);
  EXPECT_EQ(host.state.apply(CheckResult::success, host.flags), HealthChange::changed);
  EXPECT_EQ(host.flags.health(), Health::healthy);
  host.state.apply(CheckResult::failed, host.flags);
  EXPECT_EQ(host.state.apply(CheckResult::degraded, host.flags), HealthChange::pending);  // it is not well yet
  EXPECT_EQ(host.state.apply(CheckResult::degraded, host.flags), HealthChange::changed);
  EXPECT_EQ(host.flags.health(), Health::degraded);
}

TEST(CheckState, TheFirstResultMakesItCount) {
  const HealthCheckSpec spec = spec_of(2, 2);
  HealthFlags flags = unchecked();
  flags.set(HealthFlag::pending_active_hc);
  EXPECT_TRUE(flags.excluded());
  CheckState state(spec);
  EXPECT_EQ(state.apply(CheckResult::network, flags), HealthChange::changed);
  EXPECT_FALSE(flags.excluded());
  EXPECT_EQ(flags.health(), Health::unhealthy);
}

TEST(CheckState, PauseDependsOnResultEdgeAndUse) {
  HealthCheckSpec spec;
  spec.interval = seconds(1);
  spec.unhealthy_interval = seconds(2);
  spec.unhealthy_edge_interval = seconds(3);
  spec.healthy_edge_interval = seconds(4);
  spec.no_traffic_interval = seconds(5);
  spec.no_traffic_healthy_interval = seconds(6);
  struct Case {
    CheckResult result;
    HealthChange change;
    Duration used, unused;
  };
  const std::vector<Case> cases = {
      {CheckResult::success, HealthChange::none, seconds(1), seconds(6)},
      {CheckResult::degraded, HealthChange::changed, seconds(1), seconds(6)},
      {CheckResult::success, HealthChange::pending, seconds(4), seconds(5)},
      {CheckResult::network, HealthChange::none, seconds(2), seconds(5)},
      {CheckResult::failed, HealthChange::changed, seconds(2), seconds(5)},
      {CheckResult::timed_out, HealthChange::pending, seconds(3), seconds(5)},
  };
  for (const Case& each : cases) {
    EXPECT_EQ(pause_after(spec, each.result, each.change, ClusterUse::used), each.used);
    EXPECT_EQ(pause_after(spec, each.result, each.change, ClusterUse::never), each.unused);
  }
}

TEST(CheckState, JitterIsAddedAndNothingIsZero) {
  EXPECT_EQ(jittered(Duration::zero(), Duration::zero(), 0, {1, 1}), milliseconds(1));
  EXPECT_EQ(jittered(milliseconds(100), milliseconds(50), 0, {7, 49}), milliseconds(149));
  EXPECT_EQ(jittered(milliseconds(100), milliseconds(50), 0, {7, 50}), milliseconds(100));
  EXPECT_EQ(jittered(milliseconds(100), Duration::zero(), 20, {19, 3}), milliseconds(119));
  EXPECT_EQ(jittered(milliseconds(100), milliseconds(10), 20, {20, 9}), milliseconds(109));
}

}  // namespace
}  // namespace ringside
