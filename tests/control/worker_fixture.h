#pragma once
// A worker on a real ring, turned by the test's own thread; the tests of control run on both rings.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "core/block_pool.h"
#include "core/epoll_ring.h"
#include "core/uring_ring.h"
#include "core/worker.h"

namespace ringside {

inline std::vector<std::string> real_rings() {
  std::vector<std::string> names{"epoll"};
  if (probe_uring().supported) names.emplace_back("io_uring");
  return names;
}

class WorkerTest : public testing::TestWithParam<std::string> {
 protected:
  WorkerTest() {
    std::string why;
    if (GetParam() == "epoll")
      ring_ = std::make_unique<EpollRing>(pools_);
    else
      ring_ = make_uring_ring(pools_, &why);
    RS_CHECK(ring_ != nullptr);
    worker_ = std::make_unique<Worker>(0, *ring_, pools_);
  }
  // Turns until `condition` holds; false after `at_most`.
  template <class Condition>
  bool run_until(Condition condition, Duration at_most = seconds(10)) {
    const Instant end = ring_->now() + at_most;
    while (!condition()) {
      if (ring_->now() >= end) return false;
      worker_->turn(milliseconds(5));
    }
    return true;
  }

  BlockPools pools_;
  std::unique_ptr<Ring> ring_;
  std::unique_ptr<Worker> worker_;
};

}  // namespace ringside
