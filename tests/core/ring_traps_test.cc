// The traps that proxies on completion queues fell into, each with a test that fails without the cure; over all rings.
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "tests/core/ring_fixture.h"

namespace ringside::testing {
namespace {

class RingTrapsTest : public RingFixture {
 protected:
  struct Stream {
    Pair pair;
    std::unique_ptr<Receiver> receiver;
  };
  // Connections whose server ends receive.
  std::vector<Stream> streams(size_t count) {
    std::vector<Stream> made;
    for (const Pair pair : connected_pairs(count))
      made.push_back({pair, std::make_unique<Receiver>(ring(), pair.server)});
    return made;
  }
  void end(std::vector<Stream>& all) {
    for (Stream& stream : all) {
      stream.receiver->again = false;
      stream.receiver->held.clear();
      ring().cancel(stream.receiver->op);
    }
    EXPECT_TRUE(run_until([&] {
      return std::ranges::none_of(all, [](Stream& stream) { return stream.receiver->op.in_flight(); });
    }));
    for (Stream& stream : all) close_pair(stream.pair);
    all.clear();
  }
};
INSTANTIATE_OVER_RINGS(RingTrapsTest);

// --- blocks run out ----------------------------------------------------------------------------------------------------

TEST_P(RingTrapsTest, receives_wait_for_a_block_and_go_on) {
  use_pools(8, 2);
  if (ring_ == nullptr) return;
  std::vector<Stream> all = streams(12);
  for (Stream& stream : all) {
    stream.receiver->hold = true;
    stream.receiver->start_multishot();
    send_all(stream.pair.client, "bytes");
  }
  run_for(milliseconds(20));
  const auto served = [&] {
    return std::ranges::count_if(all, [](Stream& stream) { return stream.receiver->bytes == "bytes"; });
  };
  EXPECT_LE(served(), 8);
  EXPECT_GE(served(), 1);
  EXPECT_GT(ring().stats().receives_starved, 0U);
  for (Stream& stream : all) {
    EXPECT_TRUE(stream.receiver->op.in_flight() || stream.receiver->bytes == "bytes");
    for (const Cqe cqe : stream.receiver->op.seen()) EXPECT_NE(cqe.result, -ENOBUFS);
  }
  // Blocks come back one by one, and the others have their turn, without any event of the network.
  EXPECT_TRUE(run_until([&] {
    for (Stream& stream : all) stream.receiver->held.clear();
    return served() == 12;
  }));
  end(all);
}

TEST_P(RingTrapsTest, receives_into_large_blocks_wait_as_well) {
  use_pools(16, 2);
  if (ring_ == nullptr) return;
  std::vector<Stream> all = streams(5);
  for (Stream& stream : all) {
    stream.receiver->hold = true;
    stream.receiver->start_once(ReceiveSize::large);
    send_all(stream.pair.client, "bytes");
  }
  run_for(milliseconds(20));
  const auto served = [&] {
    return std::ranges::count_if(all, [](Stream& stream) { return stream.receiver->bytes == "bytes"; });
  };
  EXPECT_EQ(served(), 2);
  EXPECT_TRUE(run_until([&] {
    for (Stream& stream : all) stream.receiver->held.clear();
    return served() == 5;
  }));
  end(all);
}

// Whoever gives a block back and asks again at once must not have it again before those that have waited for it.
TEST_P(RingTrapsTest, a_receive_that_is_armed_again_waits_behind_the_starved) {
  use_pools(16, 1);
  if (ring_ == nullptr) return;
  std::vector<Stream> all = streams(4);
  for (Stream& stream : all) {
    stream.receiver->hold = true;
    stream.receiver->start_once(ReceiveSize::large);
    send_all(stream.pair.client, pattern(300'000));
  }
  // The order in which they are served, round after round; each asks again in the same breath in which it lets its block go.
  std::vector<size_t> order;
  EXPECT_TRUE(run_until([&] {
    for (size_t at = 0; at < all.size(); ++at) {
      Receiver& receiver = *all[at].receiver;
      if (receiver.held.empty()) continue;
      order.push_back(at);
      receiver.held.clear();
      receiver.start_once(ReceiveSize::large);
    }
    return order.size() >= 2 * all.size();
  }));
  for (size_t at = 1; at < order.size(); ++at) EXPECT_NE(order[at], order[at - 1]) << "twice in a row while others waited";
  for (size_t stream = 0; stream < all.size(); ++stream)
    EXPECT_GE(std::ranges::count(order, stream), 1) << stream << " must have its turn";
  for (Stream& stream : all)
    if (stream.receiver->op.in_flight()) ring().cancel(stream.receiver->op);
  EXPECT_TRUE(run_until([&] {
    return std::ranges::none_of(all, [](Stream& stream) { return stream.receiver->op.in_flight(); });
  }));
  end(all);
}

TEST_P(RingTrapsTest, large_blocks_grow_when_none_comes_back) {
  std::vector<Stream> all = streams(10);
  for (Stream& stream : all) {
    stream.receiver->hold = true;
    stream.receiver->start_once(ReceiveSize::large);
    send_all(stream.pair.client, "bytes");
  }
  EXPECT_TRUE(run_until([&] {
    return std::ranges::all_of(all, [](Stream& stream) { return stream.receiver->bytes == "bytes"; });
  }));
  end(all);
}

TEST_P(RingTrapsTest, a_starved_receive_can_be_cancelled) {
  use_pools(4, 2);
  if (ring_ == nullptr) return;
  std::vector<Stream> all = streams(8);
  for (Stream& stream : all) {
    stream.receiver->hold = true;
    stream.receiver->start_multishot();
    send_all(stream.pair.client, pattern(30'000));
  }
  run_for(milliseconds(20));
  for (Stream& stream : all)
    if (stream.receiver->op.in_flight()) ring().cancel(stream.receiver->op);
  EXPECT_TRUE(run_until([&] {
    return std::ranges::none_of(all, [](Stream& stream) { return stream.receiver->op.in_flight(); });
  }));
  end(all);
}

// The receive finds no block in the very call that carries its cancel.
TEST_P(RingTrapsTest, a_receive_that_starves_while_it_is_cancelled) {
  use_pools(4, 2);
  if (ring_ == nullptr) return;
  std::vector<Stream> hogs = streams(6);
  for (Stream& stream : hogs) {
    stream.receiver->hold = true;
    stream.receiver->start_multishot();
    send_all(stream.pair.client, pattern(30'000));
  }
  run_for(milliseconds(10));
  for (Stream& stream : hogs) ring().cancel(stream.receiver->op);
  EXPECT_TRUE(run_until([&] {
    return std::ranges::none_of(hogs, [](Stream& stream) { return stream.receiver->op.in_flight(); });
  }));
  std::vector<Stream> late = streams(1);
  send_all(late[0].pair.client, "bytes");
  run_for(milliseconds(2));
  late[0].receiver->start_multishot();
  ring().cancel(late[0].receiver->op);
  EXPECT_TRUE(run_until([&] { return late[0].receiver->op.done(); }));
  EXPECT_EQ(late[0].receiver->op.result(), -ECANCELED);
  EXPECT_EQ(late[0].receiver->bytes, "");
  end(hogs);
  end(late);
}

// --- one connection must not hurt another --------------------------------------------------------------------------------

// Peers that sent much and are not read: what they hold must be theirs, not the pool's.
TEST_P(RingTrapsTest, unread_connections_do_not_starve_the_others) {
  use_pools(8, 2);
  if (ring_ == nullptr) return;
  const std::vector<Pair> unread = connected_pairs(8);
  const std::string much = pattern(5'000'000);
  std::vector<std::unique_ptr<RecordedOp>> sends;
  Buffer buffer;
  buffer.append(Slice::of_static(much));
  for (const Pair pair : unread) {
    sends.push_back(std::make_unique<RecordedOp>());
    ring().send(*sends.back(), pair.client, buffer, Wake::lazy);
  }
  std::vector<Stream> healthy = streams(1);
  healthy[0].receiver->again = true;
  healthy[0].receiver->start_multishot();
  RecordedOp send;
  ring().send(send, healthy[0].pair.client, buffer, Wake::lazy);
  EXPECT_TRUE(run_until([&] { return healthy[0].receiver->bytes.size() == much.size(); }));
  EXPECT_TRUE(healthy[0].receiver->bytes == much);
  EXPECT_TRUE(run_until([&] { return send.done(); }));
  for (const auto& blocked : sends) ring().cancel(*blocked);
  EXPECT_TRUE(run_until([&] { return std::ranges::all_of(sends, [](auto& op) { return op->done(); }); }));
  for (const Pair pair : unread) close_pair(pair);
  end(healthy);
}

// A peer that sends without end gets its share of a turn, not the whole of it.
TEST_P(RingTrapsTest, an_endless_sender_leaves_turns_to_others) {
  std::vector<Stream> all = streams(2);
  const std::string much = pattern(3'000'000);
  Buffer buffer;
  buffer.append(Slice::of_static(much));
  RecordedOp send;
  all[0].receiver->again = all[1].receiver->again = true;
  ring().send(send, all[0].pair.client, buffer, Wake::lazy);
  run_for(milliseconds(5));
  all[0].receiver->start_multishot();
  all[1].receiver->start_multishot();
  send_all(all[1].pair.client, "mine");
  EXPECT_TRUE(run_until([&] { return all[1].receiver->bytes == "mine"; }));
  EXPECT_LT(all[0].receiver->bytes.size(), much.size());
  EXPECT_TRUE(run_until([&] { return all[0].receiver->bytes.size() == much.size() && send.done(); }));
  end(all);
}

TEST_P(RingTrapsTest, an_idle_connection_holds_no_block) {
  std::vector<Stream> few = streams(2);
  for (Stream& stream : few) stream.receiver->start_multishot();
  run_for(milliseconds(2));
  const uint32_t before = pools().small.used();
  std::vector<Stream> many = streams(150);
  for (Stream& stream : many) stream.receiver->start_multishot();
  run_for(milliseconds(2));
  EXPECT_EQ(pools().small.used(), before);
  EXPECT_EQ(pools().large.used(), 0U);
  end(few);
  end(many);
}

// --- descriptors run out -----------------------------------------------------------------------------------------------

TEST_P(RingTrapsTest, accept_reports_that_descriptors_ran_out) {
  const int listener = listen_any();
  const Address address = ring().local_address(listener);
  const int client = *ring().socket(AF_INET);
  RecordedOp connect;
  ring().connect(connect, client, address);
  EXPECT_TRUE(run_until([&] { return connect.done(); }));
  limit_descriptors(0);
  RecordedOp accept;
  ring().accept_multishot(accept, listener);
  EXPECT_TRUE(run_until([&] { return accept.done(); }));
  EXPECT_EQ(accept.result(), -EMFILE);
  EXPECT_EQ(accept.count(), 1U);
  // No spinning while nobody accepts: turns do wait.
  const uint64_t turns = ring().stats().turns;
  run_for(milliseconds(20));
  EXPECT_LT(ring().stats().turns - turns, 10U);
  restore_descriptors();
  RecordedOp again;
  ring().accept_multishot(again, listener);
  EXPECT_TRUE(run_until([&] { return again.count() == 1; }));
  EXPECT_GE(again.result(), 0);
  ring().cancel(again);
  const int server = again.result();
  EXPECT_TRUE(run_until([&] { return again.done(); }));
  ring().close(client);
  ring().close(server);
  ring().close(listener);
}

TEST_P(RingTrapsTest, a_socket_without_descriptor_is_an_error) {
  limit_descriptors(0);
  const Result<int> fd = ring().socket(AF_INET);
  ASSERT_FALSE(fd.has_value());
  EXPECT_EQ(fd.error().code, ErrorCode::overloaded);
}

// --- order of the end ----------------------------------------------------------------------------------------------------

// FIN must not overtake bytes, and a close that reaches the kernel before them would cut them off.
TEST_P(RingTrapsTest, bytes_before_the_end_arrive) {
  for (int round = 0; round < 10; ++round) {
    std::vector<Stream> all = streams(1);
    Stream& stream = all[0];
    stream.receiver->again = true;
    stream.receiver->start_multishot();
    const std::string text = pattern(1'000'000, static_cast<uint32_t>(round));
    Buffer buffer;
    buffer.append(Slice::of_static(text));
    RecordedOp send;
    ring().send(send, stream.pair.client, buffer, Wake::lazy);
    EXPECT_TRUE(run_until([&] { return send.done(); }));
    ring().close(stream.pair.client);
    EXPECT_TRUE(run_until([&] { return stream.receiver->op.done() && stream.receiver->op.result() <= 0; }));
    EXPECT_EQ(stream.receiver->op.result(), 0);
    EXPECT_TRUE(stream.receiver->bytes == text);
    ring().close(stream.pair.server);
  }
}

TEST_P(RingTrapsTest, a_message_that_broke_off_ends_with_a_reset) {
  std::vector<Stream> all = streams(1);
  all[0].receiver->again = true;
  all[0].receiver->start_multishot();
  send_all(all[0].pair.client, "half of it");
  ring().reset_on_close(all[0].pair.client);
  ring().close(all[0].pair.client);
  EXPECT_TRUE(run_until([&] { return all[0].receiver->op.done() && all[0].receiver->op.result() <= 0; }));
  EXPECT_EQ(all[0].receiver->op.result(), -ECONNRESET);
  ring().close(all[0].pair.server);
}

TEST_P(RingTrapsTest, close_sends_the_end_although_a_receive_was_armed) {
  const Pair pair = connected_pair();
  Receiver at_client(ring(), pair.client), at_server(ring(), pair.server);
  at_client.start_multishot();
  at_server.start_multishot();
  ring().turn(Duration::zero());
  ring().cancel(at_client.op);
  EXPECT_TRUE(run_until([&] { return at_client.op.done(); }));
  ring().close(pair.client);
  EXPECT_TRUE(run_until([&] { return at_server.op.done(); }));
  EXPECT_EQ(at_server.op.result(), 0);
  ring().close(pair.server);
}

// A restart must get its port back at once, although a ring is torn down in the background.
TEST_P(RingTrapsTest, the_port_is_free_when_the_ring_is_gone) {
  for (int round = 0; round < 5; ++round) {
    const int listener = listen_any({.reuse_port = false});
    const Address address = ring().local_address(listener);
    RecordedOp accept, connect;
    ring().accept_multishot(accept, listener);
    const int client = *ring().socket(AF_INET);
    ring().connect(connect, client, address);
    ASSERT_TRUE(run_until([&] { return connect.done() && accept.count() == 1; }));
    const int server = accept.result();
    ring().cancel(accept);
    ASSERT_TRUE(run_until([&] { return accept.done(); }));
    ring().close(listener);
    ring().close(client);
    ring().close(server);
    drop_ring();
    SetUp();
    if (ring_ == nullptr) return;
    int error = 0;
    const Result<int> again = ring().listen(address, {.reuse_port = false}, &error);
    ASSERT_TRUE(again.has_value()) << "round " << round << " errno " << error;
    ring().close(*again);
    ring().turn(Duration::zero());
  }
}

// --- unix sockets ------------------------------------------------------------------------------------------------------

TEST_P(RingTrapsTest, a_stale_path_is_taken_over_and_a_live_one_is_not) {
  if (simulated()) return;
  const std::string path = "/tmp/ring_traps_" + std::to_string(getpid()) + ".sock";
  const Address address = *Address::from_path(path);
  int error = 0;
  const Result<int> first = ring().listen(address, {}, &error);
  ASSERT_TRUE(first.has_value()) << error;
  EXPECT_FALSE(ring().listen(address, {}, &error).has_value());
  EXPECT_EQ(error, EADDRINUSE);
  ring().close(*first);
  ring().turn(Duration::zero());
  const Result<int> second = ring().listen(address, {}, &error);
  ASSERT_TRUE(second.has_value()) << error;
  // And it works.
  const int client = *ring().socket(AF_UNIX);
  RecordedOp connect, accept;
  ring().accept_multishot(accept, *second);
  ring().connect(connect, client, address);
  EXPECT_TRUE(run_until([&] { return connect.done() && accept.count() > 0; }));
  EXPECT_EQ(connect.result(), 0);
  const int server = accept.result();
  Receiver receiver(ring(), server);
  receiver.again = true;
  receiver.start_multishot();
  const std::string text = pattern(2'000'000);
  Buffer buffer;
  buffer.append(Slice::of_static(text));
  RecordedOp send;
  ring().send(send, client, buffer, Wake::lazy);
  EXPECT_TRUE(run_until([&] { return send.done() && receiver.bytes.size() == text.size(); }));
  EXPECT_TRUE(receiver.bytes == text);
  receiver.again = false;
  ring().cancel(accept);
  ring().cancel(receiver.op);
  EXPECT_TRUE(run_until([&] { return accept.done() && !receiver.op.in_flight(); }));
  for (const int fd : {*second, client, server}) ring().close(fd);
  unlink(path.c_str());
}

TEST_P(RingTrapsTest, ipv6_listeners_leave_ipv4_alone) {
  if (simulated()) return;
  int error = 0;
  const Result<int> v6 = ring().listen(*Address::from_ip("::", 0), {.reuse_port = false}, &error);
  if (!v6.has_value()) GTEST_SKIP() << "no IPv6 here: errno " << error;
  const uint16_t port = ring().local_address(*v6).port();
  const Result<int> v4 = ring().listen(*Address::from_ip("0.0.0.0", port), {.reuse_port = false}, &error);
  EXPECT_TRUE(v4.has_value()) << error;
  ring().close(*v6);
  if (v4) ring().close(*v4);
}

}  // namespace
}  // namespace ringside::testing
