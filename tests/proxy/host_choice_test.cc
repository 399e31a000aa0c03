// How requests are shared out among hosts that are well, degraded or neither. The numbers are those of Envoy's balancer.
#include "proxy/upstream/host_choice.h"

#include <gtest/gtest.h>

namespace ringside {
namespace {

HealthShares shares(size_t healthy, size_t degraded, size_t total, uint32_t panic_percent = 50, size_t excluded = 0) {
  return share_out({.total = total, .healthy = healthy, .degraded = degraded, .excluded = excluded}, panic_percent);
}

constexpr HealthShares all_healthy{};
constexpr HealthShares panic{.panic = true};

TEST(HostChoice, AllWell) {
  EXPECT_EQ(shares(1, 0, 1), all_healthy);
  EXPECT_EQ(shares(5, 0, 5), all_healthy);
}

TEST(HostChoice, SomeUnhealthy) {
  EXPECT_EQ(shares(1, 0, 2), all_healthy);  // 50 % is not below 50 %
  EXPECT_EQ(shares(49, 0, 100), panic);
  EXPECT_EQ(shares(1, 0, 3), panic);
  EXPECT_EQ(shares(1, 0, 3, 33), all_healthy);
  EXPECT_EQ(shares(1, 0, 3, 34), panic);
}

TEST(HostChoice, NoneWell) {
  EXPECT_EQ(shares(0, 0, 3), panic);
  EXPECT_EQ(shares(0, 0, 3, 1), panic);
  EXPECT_EQ(shares(0, 0, 3, 0), all_healthy);  // no panic: there is nobody, which is an answer as well
  EXPECT_EQ(shares(0, 0, 0), panic);           // as Envoy counts an empty cluster
}

TEST(HostChoice, EnoughCapacityIsNoPanicWhateverTheThreshold) {
  EXPECT_EQ(shares(8, 0, 10, 100), all_healthy);  // 8 of 10 can do it
  EXPECT_EQ(shares(7, 0, 10, 100), panic);        // 98 %
}

TEST(HostChoice, DegradedTakeWhatTheOthersCannot) {
  EXPECT_EQ(shares(3, 1, 4), all_healthy);
  EXPECT_EQ(shares(1, 2, 3), (HealthShares{.healthy_percent = 46, .degraded_percent = 54}));
  EXPECT_EQ(shares(1, 1, 4), (HealthShares{.healthy_percent = 50, .degraded_percent = 50}));
  EXPECT_EQ(shares(0, 1, 1), (HealthShares{.healthy_percent = 0, .degraded_percent = 100}));
  EXPECT_EQ(shares(0, 2, 4), (HealthShares{.healthy_percent = 0, .degraded_percent = 100}));
  EXPECT_EQ(shares(0, 1, 4), panic);
}

TEST(HostChoice, ExcludedHostsDoNotCount) {
  EXPECT_EQ(shares(1, 0, 3, 50, 2), all_healthy);
  EXPECT_EQ(shares(1, 1, 5, 50, 1), (HealthShares{.healthy_percent = 50, .degraded_percent = 50}));
  EXPECT_EQ(shares(0, 0, 2, 50, 2), panic);
}

}  // namespace
}  // namespace ringside
