// Cancellation, and descriptors that are closed and come back, over all rings.
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "tests/core/ring_fixture.h"

namespace ringside::testing {
namespace {

class RingCancelTest : public RingFixture {
 protected:
  // Runs on until `op` is over, and a little longer: it must not complete again.
  void expect_cancelled(RecordedOp& op) {
    ring().cancel(op);
    EXPECT_TRUE(op.in_flight());
    EXPECT_TRUE(run_until([&] { return op.done(); }));
    EXPECT_EQ(op.result(), -ECANCELED);
    EXPECT_EQ(op.count(), 1U);
    run_for(milliseconds(2));
    EXPECT_EQ(op.count(), 1U);
  }
};
INSTANTIATE_OVER_RINGS(RingCancelTest);

TEST_P(RingCancelTest, accept) {
  const int listener = listen_any();
  RecordedOp accept;
  ring().accept_multishot(accept, listener);
  ring().turn(Duration::zero());
  expect_cancelled(accept);
  ring().close(listener);
}

TEST_P(RingCancelTest, receives) {
  const Pair pair = connected_pair();
  for (int kind = 0; kind < 3; ++kind) {
    RecordedOp receive;
    if (kind == 0) ring().receive_multishot(receive, pair.server);
    if (kind == 1) ring().receive_once(receive, pair.server, ReceiveSize::small);
    if (kind == 2) ring().receive_once(receive, pair.server, ReceiveSize::large);
    ring().turn(Duration::zero());
    expect_cancelled(receive);
  }
  close_pair(pair);
}

TEST_P(RingCancelTest, before_the_first_turn) {
  const Pair pair = connected_pair();
  RecordedOp receive;
  ring().receive_multishot(receive, pair.server);
  expect_cancelled(receive);
  close_pair(pair);
}

TEST_P(RingCancelTest, a_send_that_waits_for_its_peer) {
  const Pair pair = connected_pair();
  const std::string text = pattern(20'000'000);
  Buffer buffer;
  buffer.append(Slice::of_static(text));
  for (const Wake wake : {Wake::prompt, Wake::lazy}) {
    RecordedOp send;
    ring().send(send, pair.client, buffer, wake);
    run_for(milliseconds(20));
    EXPECT_TRUE(send.in_flight());
    expect_cancelled(send);
  }
  close_pair(pair);
}

TEST_P(RingCancelTest, a_connect_that_nobody_answers) {
  if (simulated()) network_->faults().connect_unanswered = 1'000'000;
  // Its queue full, a listener lets further handshakes wait.
  const int listener = listen_any({.reuse_port = true, .backlog = 1});
  const Address address = ring().local_address(listener);
  std::vector<int> clients;
  std::vector<std::unique_ptr<RecordedOp>> connects;
  for (int count = 0; count < 6; ++count) {
    clients.push_back(*ring().socket(AF_INET));
    connects.push_back(std::make_unique<RecordedOp>());
    ring().connect(*connects.back(), clients.back(), address);
  }
  run_for(milliseconds(20));
  EXPECT_TRUE(connects.back()->in_flight());
  for (const auto& connect : connects) ring().cancel(*connect);
  EXPECT_TRUE(run_until([&] { return std::ranges::all_of(connects, [](auto& op) { return op->done(); }); }));
  EXPECT_EQ(connects.back()->result(), -ECANCELED);
  for (const int fd : clients) ring().close(fd);
  ring().close(listener);
}

TEST_P(RingCancelTest, what_is_not_in_flight_stays_as_it_is) {
  const Pair pair = connected_pair();
  RecordedOp never, send;
  ring().cancel(never);
  Buffer buffer;
  buffer.append(Slice::of_static("x"));
  ring().send(send, pair.client, buffer, Wake::prompt);
  EXPECT_TRUE(run_until([&] { return send.done(); }));
  ring().cancel(send);
  run_for(milliseconds(2));
  EXPECT_EQ(never.count(), 0U);
  EXPECT_EQ(send.count(), 1U);
  close_pair(pair);
}

TEST_P(RingCancelTest, twice_is_as_good_as_once) {
  const Pair pair = connected_pair();
  RecordedOp receive;
  ring().receive_multishot(receive, pair.server);
  ring().turn(Duration::zero());
  ring().cancel(receive);
  expect_cancelled(receive);
  close_pair(pair);
}

// Whoever wins, the operation ends once and no byte is lost: the next receive gets what this one did not.
TEST_P(RingCancelTest, racing_with_bytes) {
  for (int round = 0; round < 60; ++round) {
    const Pair pair = connected_pair();
    Receiver receiver(ring(), pair.server);
    const int kind = round % 3;
    if (kind == 0) receiver.start_multishot();
    if (kind == 1) receiver.start_once(ReceiveSize::small);
    if (kind == 2) receiver.start_once(ReceiveSize::large);
    ring().turn(Duration::zero());
    const std::string text = pattern(20'000, static_cast<uint32_t>(round));
    Buffer buffer;
    buffer.append(Slice::of_static(text));
    RecordedOp send;
    ring().send(send, pair.client, buffer, Wake::prompt);
    if (round % 2 == 0) ring().turn(Duration::zero());
    if (receiver.op.in_flight()) ring().cancel(receiver.op);
    EXPECT_TRUE(run_until([&] { return !receiver.op.in_flight() && send.done(); }));
    EXPECT_FALSE(receiver.op.seen().back().more());
    ring().shutdown_write(pair.client);
    while (receiver.bytes.size() < text.size()) {
      receiver.start_once(ReceiveSize::large);
      ASSERT_TRUE(run_until([&] { return !receiver.op.in_flight(); }));
      ASSERT_GE(receiver.op.result(), 0);
    }
    EXPECT_EQ(receiver.bytes, text);
    close_pair(pair);
  }
}

TEST_P(RingCancelTest, from_the_handler_of_the_same_operation) {
  const Pair pair = connected_pair();
  RecordedOp* self = nullptr;
  size_t bytes = 0;
  RecordedOp receive([&](Cqe cqe) {
    if (cqe.result > 0) bytes += ring().take_received(cqe).size();
    if (cqe.more()) ring().cancel(*self);
  });
  self = &receive;
  send_all(pair.client, pattern(100'000));
  run_for(milliseconds(2));
  ring().receive_multishot(receive, pair.server);
  EXPECT_TRUE(run_until([&] { return receive.done(); }));
  EXPECT_GT(bytes, 0U);
  EXPECT_LE(bytes, 100'000U);
  close_pair(pair);
}

TEST_P(RingCancelTest, from_the_handler_of_another_operation) {
  const Pair first = connected_pair(), second = connected_pair();
  RecordedOp victim([&](Cqe cqe) {
    if (cqe.result > 0) ring().take_received(cqe);
  });
  RecordedOp killer([&](Cqe cqe) {
    if (cqe.result > 0) ring().take_received(cqe);
    ring().cancel(victim);
  });
  ring().receive_multishot(victim, second.server);
  ring().receive_once(killer, first.server, ReceiveSize::small);
  ring().turn(Duration::zero());
  send_all(first.client, "x");
  send_all(second.client, "x");
  EXPECT_TRUE(run_until([&] { return victim.done() && killer.done(); }));
  close_pair(first);
  close_pair(second);
}

// --- descriptors that come back ------------------------------------------------------------------------------------------

TEST_P(RingCancelTest, a_reused_descriptor_hears_nothing_of_its_past) {
  for (int round = 0; round < 50; ++round) {
    const Pair pair = connected_pair();
    Receiver receiver(ring(), pair.server);
    receiver.start_multishot();
    const std::string text = pattern(1000, static_cast<uint32_t>(round));
    send_all(pair.client, text);
    EXPECT_TRUE(run_until([&] { return receiver.bytes.size() >= text.size(); }));
    EXPECT_EQ(receiver.bytes, text);
    // Bytes that nobody will read, and a cancel, just before the number goes.
    send_all(pair.client, "left over");
    ring().cancel(receiver.op);
    EXPECT_TRUE(run_until([&] { return receiver.op.done(); }));
    close_pair(pair);
  }
}

// The handler of one event closes the socket of another event of the same turn, and the number comes back at once.
TEST_P(RingCancelTest, a_descriptor_closed_and_reused_within_a_turn) {
  const std::vector<Pair> pairs = connected_pairs(2);
  send_all(pairs[0].client, "x");
  send_all(pairs[1].client, "x");
  int fresh = -1;
  RecordedOp on_fresh([&](Cqe cqe) {
    if (cqe.result > 0) ring().take_received(cqe);
  });
  RecordedOp closer([&](Cqe cqe) {
    ring().take_received(cqe);
    ring().close(pairs[1].server);  // readable, but nobody waits for it
    fresh = *ring().socket(AF_INET);
  });
  ring().receive_once(closer, pairs[0].server, ReceiveSize::small);
  EXPECT_TRUE(run_until([&] { return closer.done(); }));
  EXPECT_GE(fresh, 0);
  RecordedOp connect;
  const Address nobody = *Address::from_ip("127.0.0.1", 1);
  ring().connect(connect, fresh, nobody);
  EXPECT_TRUE(run_until([&] { return connect.done(); }));
  EXPECT_EQ(connect.result(), -ECONNREFUSED);
  ring().close(fresh);
  ring().close(pairs[0].client);
  ring().close(pairs[0].server);
  ring().close(pairs[1].client);
}

}  // namespace
}  // namespace ringside::testing
