#include "tests/core/ring_fixture.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>

#include "core/epoll_ring.h"
#include "core/uring_ring.h"

namespace ringside::testing {
namespace {

constexpr Duration patience = seconds(10);

// The number that the next descriptor would get.
rlim_t lowest_free_descriptor() {
  const int fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  RS_CHECK(fd >= 0);
  ::close(fd);
  return static_cast<rlim_t>(fd);
}

}  // namespace

void Receiver::on_receive(Cqe cqe) {
  if (cqe.result <= 0) return;
  Slice slice = ring_.take_received(cqe);
  bytes += slice.text();
  largest = std::max(largest, slice.size());
  if (hold) held.push_back(std::move(slice));
  if (again && !cqe.more()) start_multishot();
}

void RingFixture::SetUp() {
  pools_ = std::make_unique<BlockPools>();
  network_ = std::make_unique<sim::Network>(1);
  make_ring();
}

void RingFixture::make_ring() {
  const std::string_view kind = GetParam();
  if (kind == "epoll") {
    ring_ = std::make_unique<EpollRing>(*pools_);
  } else if (kind == "simulation") {
    ring_ = std::make_unique<sim::SimRing>(*network_, *pools_);
  } else {
    std::string why;
    ring_ = make_uring_ring(*pools_, &why);
    if (ring_ == nullptr) GTEST_SKIP() << "this kernel refuses io_uring: " << why;
  }
}

void RingFixture::TearDown() {
  if (ring_ == nullptr) return;
  restore_descriptors();
  // Everything must be over by now; the sockets of a test that failed are left to the end of the process.
  drop_ring();
  EXPECT_EQ(pools_->small.used(), 0U);
  EXPECT_EQ(pools_->large.used(), 0U);
}

void RingFixture::use_pools(uint32_t small_blocks_max, uint32_t large_blocks_max) {
  if (ring_ == nullptr) return;
  ring_.reset();
  pools_ = std::make_unique<BlockPools>(
      BlockPool::Options{limits::small_block_bytes, std::min(4U, small_blocks_max), 4, small_blocks_max},
      BlockPool::Options{limits::large_block_bytes, std::min(2U, large_blocks_max), 2, large_blocks_max});
  make_ring();
}

void RingFixture::drop_ring() { ring_.reset(); }

bool RingFixture::run_until(const std::function<bool()>& condition) {
  const Instant end = ring().now() + patience;
  while (!condition()) {
    if (ring().now() > end) return false;
    ring().turn(milliseconds(5));
  }
  return true;
}

void RingFixture::run_for(Duration time) {
  const Instant end = ring().now() + time;
  while (ring().now() < end) ring().turn(end - ring().now());
}

int RingFixture::listen_any(ListenOptions options) {
  int error = 0;
  const Result<int> fd = ring().listen(*Address::from_ip("127.0.0.1", 0), options, &error);
  EXPECT_TRUE(fd.has_value()) << "errno " << error;
  return fd.value_or(-1);
}

RingFixture::Pair RingFixture::connected_pair() { return connected_pairs(1)[0]; }

std::vector<RingFixture::Pair> RingFixture::connected_pairs(size_t count) {
  const int listener = listen_any();
  const Address address = ring().local_address(listener);
  RecordedOp accept;
  ring().accept_multishot(accept, listener);
  std::vector<Pair> pairs(count);
  for (Pair& pair : pairs) {
    RecordedOp connect;
    pair.client = *ring().socket(AF_INET);
    ring().connect(connect, pair.client, address);
    const size_t before = accept.count();
    EXPECT_TRUE(run_until([&] { return connect.done() && accept.count() > before; }));
    EXPECT_EQ(connect.result(), 0);
    pair.server = accept.result();
    EXPECT_GE(pair.server, 0);
  }
  ring().cancel(accept);
  EXPECT_TRUE(run_until([&] { return accept.done(); }));
  ring().close(listener);
  return pairs;
}

void RingFixture::close_pair(Pair pair) {
  ring().close(pair.client);
  ring().close(pair.server);
}

void RingFixture::send_all(int fd, std::string_view text) {
  Buffer buffer;
  buffer.append(Slice::of_static(text));
  RecordedOp send;
  ring().send(send, fd, buffer, Wake::prompt);
  EXPECT_TRUE(run_until([&] { return send.done(); }));
  EXPECT_EQ(send.result(), static_cast<int>(text.size()));
}

Duration RingFixture::time_of_turn(Duration wait_max) {
  ring().turn(Duration::zero());
  const Instant start = ring().now();
  ring().turn(wait_max);
  return ring().now() - start;
}

void RingFixture::limit_descriptors(size_t spare) {
  if (simulated()) return simulation().set_fds_max(simulation().fds_open() + spare);
  rlimit limit{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  if (descriptors_before_ == 0) descriptors_before_ = limit.rlim_cur;
  limit.rlim_cur = lowest_free_descriptor() + spare;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

void RingFixture::restore_descriptors() {
  if (simulated()) return simulation().set_fds_max(1'000'000);
  if (descriptors_before_ == 0) return;
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = std::exchange(descriptors_before_, 0);
  setrlimit(RLIMIT_NOFILE, &limit);
}

std::string pattern(size_t size, uint32_t seed) {
  std::string text(size, '\0');
  uint32_t state = seed * 2654435761U + 12345;
  for (char& byte : text) {
    state = state * 1664525U + 1013904223U;
    byte = static_cast<char>('a' + (state >> 24) % 26);
  }
  return text;
}

std::string ring_test_name(const ::testing::TestParamInfo<const char*>& info) { return info.param; }

}  // namespace ringside::testing
