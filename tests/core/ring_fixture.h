#pragma once
// One suite over all rings: what tests of ring.h's contract share.
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/block_pool.h"
#include "core/limits.h"
#include "core/ring.h"
#include "tests/sim/sim_ring.h"

namespace ringside::testing {

// An operation that keeps what it was told.
class RecordedOp final : public Op {
 public:
  RecordedOp() : Op(&run) {}
  explicit RecordedOp(std::function<void(Cqe)> then) : Op(&run), then_(std::move(then)) {}

  const std::vector<Cqe>& seen() const { return seen_; }
  size_t count() const { return seen_.size(); }
  bool done() const { return !seen_.empty() && !seen_.back().more(); }
  // The result of the last completion.
  int result() const { return seen_.empty() ? 0 : seen_.back().result; }

 private:
  static void run(Op& op, Cqe cqe) {
    auto& self = static_cast<RecordedOp&>(op);
    self.seen_.push_back(cqe);
    if (self.then_) self.then_(cqe);
  }
  std::vector<Cqe> seen_;
  std::function<void(Cqe)> then_;
};

// A receive that collects what comes. Keeps the slices when told to, which holds their blocks.
class Receiver {
 public:
  Receiver(Ring& ring, int fd) : ring_(ring), fd_(fd) {}
  void start_multishot() { ring_.receive_multishot(op, fd_); }
  void start_once(ReceiveSize size) { ring_.receive_once(op, fd_, size); }

  bool hold = false;
  bool again = false;  // starts the next multishot when one ends with bytes
  std::string bytes;
  std::vector<Slice> held;
  size_t largest = 0;
  RecordedOp op{[this](Cqe cqe) { on_receive(cqe); }};

 private:
  void on_receive(Cqe cqe);
  Ring& ring_;
  int fd_;
};

// The parameter is the ring's name. Each test has a ring and pools of its own.
class RingFixture : public ::testing::TestWithParam<const char*> {
 protected:
  struct Pair {
    int client = -1;
    int server = -1;
  };

  void SetUp() override;
  void TearDown() override;
  // Makes the ring again, with other pools.
  void use_pools(uint32_t small_blocks_max, uint32_t large_blocks_max);
  void drop_ring();
  Ring& ring() { return *ring_; }
  BlockPools& pools() { return *pools_; }
  bool simulated() const { return std::string_view(GetParam()) == "simulation"; }
  sim::SimRing& simulation() { return static_cast<sim::SimRing&>(*ring_); }

  // Turns until `condition` holds; false when it does not within ten seconds.
  bool run_until(const std::function<bool()>& condition);
  // Turns for a while, without a condition.
  void run_for(Duration time);
  // A listener on a free port of the loopback.
  int listen_any(ListenOptions options = {});
  // Two connected sockets. The listener is closed again.
  Pair connected_pair();
  std::vector<Pair> connected_pairs(size_t count);
  void close_pair(Pair pair);
  // Sends `text` and waits until the kernel has it.
  void send_all(int fd, std::string_view text);
  // How long one turn takes that may wait for `wait_max`.
  Duration time_of_turn(Duration wait_max);
  // Allows so many descriptors more than are open now; restored at the end.
  void limit_descriptors(size_t spare);
  void restore_descriptors();

  std::unique_ptr<sim::Network> network_;
  std::unique_ptr<BlockPools> pools_;
  std::unique_ptr<Ring> ring_;

 private:
  void make_ring();
  uint64_t descriptors_before_ = 0;
};

// Text in which every position is recognizable.
std::string pattern(size_t size, uint32_t seed = 0);

std::string ring_test_name(const ::testing::TestParamInfo<const char*>& info);

#define INSTANTIATE_OVER_RINGS(suite) \
  INSTANTIATE_TEST_SUITE_P(Rings, suite, ::testing::Values("io_uring", "epoll", "simulation"), ring_test_name)

}  // namespace ringside::testing
