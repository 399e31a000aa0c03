// The promises of core/ring.h, kept by all rings.
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "tests/core/ring_fixture.h"

namespace ringside::testing {
namespace {

class RingTest : public RingFixture {};
INSTANTIATE_OVER_RINGS(RingTest);

// --- connecting --------------------------------------------------------------------------------------------------------

TEST_P(RingTest, names_itself) { EXPECT_EQ(ring().name(), GetParam()); }

TEST_P(RingTest, both_ends_know_their_addresses) {
  const Pair pair = connected_pair();
  EXPECT_EQ(ring().local_address(pair.client), ring().peer_address(pair.server));
  EXPECT_EQ(ring().peer_address(pair.client), ring().local_address(pair.server));
  close_pair(pair);
}

TEST_P(RingTest, tcp_sockets_do_not_delay) {
  if (simulated()) return;
  const Pair pair = connected_pair();
  for (const int fd : {pair.client, pair.server}) {
    int value = 0;
    socklen_t size = sizeof value;
    ASSERT_EQ(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, &size), 0);
    EXPECT_EQ(value, 1);
    EXPECT_NE(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
  }
  close_pair(pair);
}

TEST_P(RingTest, one_accept_takes_many_connections) {
  std::vector<Pair> pairs = connected_pairs(20);
  for (const Pair pair : pairs) close_pair(pair);
}

TEST_P(RingTest, a_burst_of_connections_is_accepted) {
  const int listener = listen_any();
  const Address address = ring().local_address(listener);
  std::vector<int> accepted;
  RecordedOp accept([&](Cqe cqe) {
    if (cqe.result >= 0) accepted.push_back(cqe.result);
  });
  ring().accept_multishot(accept, listener);
  std::vector<std::unique_ptr<RecordedOp>> connects;
  std::vector<int> clients;
  for (int count = 0; count < 100; ++count) {
    clients.push_back(*ring().socket(AF_INET));
    connects.push_back(std::make_unique<RecordedOp>());
    ring().connect(*connects.back(), clients.back(), address);
  }
  EXPECT_TRUE(run_until([&] { return accepted.size() == 100; }));
  EXPECT_TRUE(run_until([&] { return std::ranges::all_of(connects, [](auto& op) { return op->done(); }); }));
  ring().cancel(accept);
  EXPECT_TRUE(run_until([&] { return accept.done(); }));
  for (const int fd : clients) ring().close(fd);
  for (const int fd : accepted) ring().close(fd);
  ring().close(listener);
}

TEST_P(RingTest, connect_is_refused) {
  const int listener = listen_any();
  const Address address = ring().local_address(listener);
  ring().close(listener);
  ring().turn(Duration::zero());
  const int fd = *ring().socket(AF_INET);
  RecordedOp connect;
  ring().connect(connect, fd, address);
  EXPECT_TRUE(run_until([&] { return connect.done(); }));
  EXPECT_EQ(connect.result(), -ECONNREFUSED);
  ring().close(fd);
}

TEST_P(RingTest, a_taken_address_is_an_error) {
  const int listener = listen_any({.reuse_port = false});
  int error = 0;
  const Result<int> second = ring().listen(ring().local_address(listener), {.reuse_port = false}, &error);
  EXPECT_FALSE(second.has_value());
  EXPECT_EQ(error, EADDRINUSE);
  ring().close(listener);
}

TEST_P(RingTest, listeners_share_a_port_when_asked) {
  const int first = listen_any();
  int error = 0;
  const Result<int> second = ring().listen(ring().local_address(first), {}, &error);
  ASSERT_TRUE(second.has_value()) << error;
  ring().close(first);
  ring().close(*second);
}

// --- receiving ---------------------------------------------------------------------------------------------------------

TEST_P(RingTest, multishot_receives_until_the_end) {
  const Pair pair = connected_pair();
  Receiver receiver(ring(), pair.server);
  receiver.start_multishot();
  for (int count = 1; count <= 5; ++count) {
    send_all(pair.client, "hello");
    EXPECT_TRUE(run_until([&] { return receiver.bytes.size() == 5U * static_cast<size_t>(count); }));
    EXPECT_TRUE(receiver.op.in_flight());
    EXPECT_TRUE(receiver.op.seen().back().more());
  }
  EXPECT_EQ(receiver.bytes, "hellohellohellohellohello");
  ring().shutdown_write(pair.client);
  EXPECT_TRUE(run_until([&] { return receiver.op.done(); }));
  EXPECT_EQ(receiver.op.result(), 0);
  close_pair(pair);
}

TEST_P(RingTest, bytes_and_end_that_came_before_the_receive) {
  const Pair pair = connected_pair();
  send_all(pair.client, "early");
  ring().shutdown_write(pair.client);
  run_for(milliseconds(5));
  Receiver receiver(ring(), pair.server);
  receiver.start_multishot();
  EXPECT_TRUE(run_until([&] { return receiver.op.done(); }));
  EXPECT_EQ(receiver.bytes, "early");
  EXPECT_EQ(receiver.op.result(), 0);
  close_pair(pair);
}

// A short read of an edge-triggered socket must not swallow the end that arrived with the bytes.
TEST_P(RingTest, bytes_and_end_that_come_together) {
  for (int round = 0; round < 20; ++round) {
    const Pair pair = connected_pair();
    Receiver receiver(ring(), pair.server);
    receiver.start_multishot();
    ring().turn(Duration::zero());
    send_all(pair.client, "late");
    ring().shutdown_write(pair.client);
    EXPECT_TRUE(run_until([&] { return receiver.op.done(); }));
    EXPECT_EQ(receiver.bytes, "late");
    EXPECT_EQ(receiver.op.result(), 0);
    close_pair(pair);
  }
}

TEST_P(RingTest, one_receive_takes_one_block_of_the_size_asked_for) {
  const Pair pair = connected_pair();
  const std::string text = pattern(100'000);
  send_all(pair.client, text);
  run_for(milliseconds(5));
  Receiver receiver(ring(), pair.server);
  receiver.start_once(ReceiveSize::small);
  EXPECT_TRUE(run_until([&] { return receiver.op.done(); }));
  EXPECT_EQ(receiver.bytes.size(), limits::small_block_bytes);
  while (receiver.bytes.size() < text.size()) {
    const size_t before = receiver.bytes.size();
    receiver.start_once(ReceiveSize::large);
    ASSERT_TRUE(run_until([&] { return !receiver.op.in_flight(); }));
    ASSERT_GT(receiver.bytes.size(), before);
  }
  EXPECT_EQ(receiver.bytes, text);
  EXPECT_GT(receiver.largest, limits::small_block_bytes);
  close_pair(pair);
}

TEST_P(RingTest, a_held_block_keeps_its_bytes) {
  const Pair pair = connected_pair();
  Receiver receiver(ring(), pair.server);
  receiver.hold = receiver.again = true;
  receiver.start_multishot();
  const std::string text = pattern(300'000);
  send_all(pair.client, text);
  EXPECT_TRUE(run_until([&] { return receiver.bytes.size() == text.size(); }));
  std::string again;
  for (const Slice& slice : receiver.held) again += slice.text();
  EXPECT_EQ(again, text);
  receiver.again = false;
  ring().shutdown_write(pair.client);
  EXPECT_TRUE(run_until([&] { return receiver.op.done(); }));
  receiver.held.clear();
  close_pair(pair);
}

TEST_P(RingTest, a_reset_is_an_error) {
  const Pair pair = connected_pair();
  Receiver receiver(ring(), pair.server);
  receiver.start_multishot();
  send_all(pair.server, "never read");
  run_for(milliseconds(2));
  ring().close(pair.client);  // with unread bytes: RST
  EXPECT_TRUE(run_until([&] { return receiver.op.done(); }));
  EXPECT_EQ(receiver.op.result(), -ECONNRESET);
  ring().close(pair.server);
}

TEST_P(RingTest, half_closed_sockets_go_on_the_other_way) {
  const Pair pair = connected_pair();
  Receiver at_server(ring(), pair.server), at_client(ring(), pair.client);
  at_server.start_multishot();
  at_client.start_multishot();
  ring().shutdown_write(pair.client);
  EXPECT_TRUE(run_until([&] { return at_server.op.done(); }));
  send_all(pair.server, "the answer");
  ring().shutdown_write(pair.server);
  EXPECT_TRUE(run_until([&] { return at_client.op.done(); }));
  EXPECT_EQ(at_client.bytes, "the answer");
  close_pair(pair);
}

// --- sending -----------------------------------------------------------------------------------------------------------

TEST_P(RingTest, a_big_send_completes_once_with_all_bytes) {
  const Pair pair = connected_pair();
  const std::string text = pattern(8'000'000);
  Buffer buffer;
  for (size_t at = 0; at < text.size(); at += 500'000) {  // separate slices
    char* bytes = nullptr;
    Slice slice = make_heap_slice(500'000, &bytes);
    text.copy(bytes, 500'000, at);
    buffer.append(std::move(slice));
  }
  RecordedOp send;
  ring().send(send, pair.client, buffer, Wake::lazy);
  run_for(milliseconds(20));
  EXPECT_TRUE(send.in_flight());  // nobody reads
  Receiver receiver(ring(), pair.server);
  receiver.again = true;
  receiver.start_multishot();
  EXPECT_TRUE(run_until([&] { return send.done() && receiver.bytes.size() == text.size(); }));
  EXPECT_EQ(send.count(), 1U);
  EXPECT_EQ(send.result(), static_cast<int>(text.size()));
  EXPECT_TRUE(receiver.bytes == text);
  EXPECT_GE(ring().stats().sends_short, 1U);
  EXPECT_EQ(buffer.size_bytes(), text.size());
  receiver.again = false;
  ring().shutdown_write(pair.client);
  EXPECT_TRUE(run_until([&] { return receiver.op.done(); }));
  close_pair(pair);
}

TEST_P(RingTest, a_send_gathers_a_bounded_number_of_pieces) {
  const Pair pair = connected_pair();
  const std::string text = pattern(200);
  Buffer buffer;
  for (size_t at = 0; at < 100; ++at) buffer.append(Slice::of_static(std::string_view(text).substr(2 * at, 2)));
  ASSERT_EQ(buffer.slice_count(), 100U);
  RecordedOp send;
  ring().send(send, pair.client, buffer, Wake::prompt);
  EXPECT_TRUE(run_until([&] { return send.done(); }));
  EXPECT_EQ(send.result(), 2 * static_cast<int>(limits::send_pieces_max));
  ring().shutdown_write(pair.client);
  Receiver receiver(ring(), pair.server);
  receiver.start_multishot();
  EXPECT_TRUE(run_until([&] { return receiver.op.done(); }));
  EXPECT_EQ(receiver.bytes, text.substr(0, static_cast<size_t>(send.result())));
  close_pair(pair);
}

TEST_P(RingTest, sending_to_a_closed_peer_fails_at_last) {
  const Pair pair = connected_pair();
  ring().close(pair.server);
  int result = 0;
  for (int count = 0; count < 100 && result >= 0; ++count) {
    Buffer buffer;
    buffer.append(Slice::of_static("x"));
    RecordedOp send;
    ring().send(send, pair.client, buffer, Wake::lazy);
    ASSERT_TRUE(run_until([&] { return send.done(); }));
    result = send.result();
    run_for(milliseconds(1));
  }
  EXPECT_TRUE(result == -EPIPE || result == -ECONNRESET) << result;
  ring().close(pair.client);
}

// --- waiting -----------------------------------------------------------------------------------------------------------

// A wait may be cut short (a signal, the end of an earlier ring), but not each time.
TEST_P(RingTest, a_wait_takes_its_time) {
  Duration waited{}, brief{};
  for (int attempt = 0; attempt < 5; ++attempt) {
    waited = std::max(waited, time_of_turn(milliseconds(20)));
    brief = std::max(brief, time_of_turn(microseconds(300)));
  }
  EXPECT_GE(waited, milliseconds(20));
  EXPECT_LT(waited, seconds(2));
  EXPECT_GE(brief, microseconds(300));
  EXPECT_LT(time_of_turn(Duration::zero()), seconds(1));
}

TEST_P(RingTest, handlers_run_in_the_next_turn_only) {
  const Pair pair = connected_pair();
  const int file = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  bool in_call = false;
  RecordedOp send([&](Cqe) { EXPECT_FALSE(in_call); });
  RecordedOp cancelled([&](Cqe) { EXPECT_FALSE(in_call); });
  RecordedOp connect([&](Cqe) { EXPECT_FALSE(in_call); });
  RecordedOp write([&](Cqe) { EXPECT_FALSE(in_call); });
  Buffer buffer;
  buffer.append(Slice::of_static("x"));
  const int fd = *ring().socket(AF_INET);
  const Address nobody = *Address::from_ip("127.0.0.1", 1);
  in_call = true;
  ring().send(send, pair.client, buffer, Wake::prompt);
  ring().receive_multishot(cancelled, pair.client);
  ring().cancel(cancelled);
  ring().connect(connect, fd, nobody);
  ring().write(write, file, buffer);
  in_call = false;
  EXPECT_TRUE(run_until([&] { return send.done() && cancelled.done() && connect.done() && write.done(); }));
  ring().close(file);
  ring().close(fd);
  close_pair(pair);
}

// A handler that starts a receive for which bytes are there must not be entered again from that call.
TEST_P(RingTest, a_handler_is_not_entered_again) {
  const Pair pair = connected_pair();
  const std::string text = pattern(40'000);
  send_all(pair.client, text);
  run_for(milliseconds(5));
  int depth = 0;
  std::string bytes;
  RecordedOp* again = nullptr;
  RecordedOp receive([&](Cqe cqe) {
    EXPECT_EQ(depth++, 0);
    if (cqe.result > 0) bytes += ring().take_received(cqe).text();
    if (bytes.size() < text.size()) ring().receive_once(*again, pair.server, ReceiveSize::small);
    --depth;
  });
  again = &receive;
  ring().receive_once(receive, pair.server, ReceiveSize::small);
  EXPECT_TRUE(run_until([&] { return bytes.size() == text.size(); }));
  EXPECT_EQ(bytes, text);
  close_pair(pair);
}

TEST_P(RingTest, a_prompt_send_ends_the_wait) {
  const Pair pair = connected_pair();
  Buffer buffer;
  buffer.append(Slice::of_static("x"));
  RecordedOp send;
  ring().turn(Duration::zero());
  const Instant start = ring().now();
  ring().send(send, pair.client, buffer, Wake::prompt);
  ring().turn(seconds(5));
  EXPECT_TRUE(send.done());
  EXPECT_LT(ring().now() - start, seconds(2));
  close_pair(pair);
}

TEST_P(RingTest, a_lazy_send_does_not_end_the_wait) {
  const Pair pair = connected_pair();
  Buffer buffer;
  buffer.append(Slice::of_static("x"));
  Duration waited{};
  for (int attempt = 0; attempt < 5 && waited < milliseconds(50); ++attempt) {  // see a_wait_takes_its_time
    RecordedOp send;
    ring().turn(Duration::zero());
    const Instant start = ring().now();
    ring().send(send, pair.client, buffer, Wake::lazy);
    ring().turn(milliseconds(50));
    waited = ring().now() - start;
    EXPECT_TRUE(send.done());
    EXPECT_EQ(send.result(), 1);
  }
  EXPECT_GE(waited, milliseconds(50));
  close_pair(pair);
}

TEST_P(RingTest, a_lazy_send_is_reported_with_the_next_event) {
  const Pair pair = connected_pair();
  Receiver receiver(ring(), pair.server);
  receiver.start_multishot();
  Buffer buffer;
  buffer.append(Slice::of_static("x"));
  RecordedOp send;
  ring().turn(Duration::zero());
  const Instant start = ring().now();
  ring().send(send, pair.client, buffer, Wake::lazy);
  ring().turn(seconds(5));
  EXPECT_LT(ring().now() - start, seconds(2));
  EXPECT_EQ(receiver.bytes, "x");
  EXPECT_TRUE(send.done());
  ring().shutdown_write(pair.client);
  EXPECT_TRUE(run_until([&] { return receiver.op.done(); }));
  close_pair(pair);
}

// The lost wake-up of skipped completions: somebody's source waits for the credit that this send brings.
TEST_P(RingTest, a_lazy_send_ends_the_wait_of_the_hungry) {
  const Pair pair = connected_pair();
  Buffer buffer;
  buffer.append(Slice::of_static("x"));
  RecordedOp send;
  ring().turn(Duration::zero());
  const Instant start = ring().now();
  ring().add_hungry(1);
  ring().send(send, pair.client, buffer, Wake::lazy);
  ring().turn(seconds(5));
  ring().add_hungry(-1);
  EXPECT_TRUE(send.done());
  EXPECT_LT(ring().now() - start, seconds(2));
  close_pair(pair);
}

TEST_P(RingTest, a_lazy_send_ends_the_wait_when_something_hurries) {
  const Pair pair = connected_pair();
  Buffer buffer;
  buffer.append(Slice::of_static("text"));
  RecordedOp send;
  ring().turn(Duration::zero());
  const Instant start = ring().now();
  ring().send(send, pair.client, buffer, Wake::lazy);
  ring().hurry();
  ring().turn(seconds(5));
  EXPECT_LT(ring().now() - start, seconds(2));
  EXPECT_TRUE(send.done());
  close_pair(pair);
}

TEST_P(RingTest, a_lazy_send_that_fails_ends_the_wait) {
  const Pair pair = connected_pair();
  send_all(pair.client, "never read");
  run_for(milliseconds(2));
  ring().close(pair.server);  // RST
  run_for(milliseconds(5));
  Buffer buffer;
  buffer.append(Slice::of_static("x"));
  RecordedOp send;
  ring().turn(Duration::zero());
  const Instant start = ring().now();
  ring().send(send, pair.client, buffer, Wake::lazy);
  ring().turn(seconds(5));
  EXPECT_TRUE(send.done());
  EXPECT_LT(send.result(), 0);
  EXPECT_LT(ring().now() - start, seconds(2));
  ring().close(pair.client);
}

// --- files and polls ---------------------------------------------------------------------------------------------------

TEST_P(RingTest, writes_are_appended_to_a_file) {
  char path[] = "/tmp/ring_test_XXXXXX";
  const int fd = mkostemp(path, O_APPEND | O_CLOEXEC);
  ASSERT_GE(fd, 0);
  std::string written;
  for (int round = 0; round < 3; ++round) {
    const std::string text = pattern(10'000, static_cast<uint32_t>(round));
    Buffer buffer;
    buffer.append(Slice::of_static(std::string_view(text).substr(0, 4000)));
    buffer.append(Slice::of_static(text).share(4000, 6000));
    while (!buffer.empty()) {
      RecordedOp write;
      ring().write(write, fd, buffer);
      ASSERT_TRUE(run_until([&] { return write.done(); }));
      ASSERT_GT(write.result(), 0);
      buffer.consume(static_cast<size_t>(write.result()));
    }
    written += text;
  }
  std::string read(written.size() + 1, '\0');
  read.resize(static_cast<size_t>(pread(fd, read.data(), read.size(), 0)));
  EXPECT_EQ(read, written);
  ring().close(fd);
  unlink(path);
}

TEST_P(RingTest, a_failing_write_is_an_error) {
  const int fd = ::open("/dev/full", O_WRONLY | O_CLOEXEC);
  Buffer buffer;
  buffer.append(Slice::of_static("x"));
  RecordedOp write;
  ring().write(write, fd, buffer);
  EXPECT_TRUE(run_until([&] { return write.done(); }));
  EXPECT_LT(write.result(), 0);
  ring().close(fd);
}

TEST_P(RingTest, a_poll_reports_again_and_again) {
  const int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  int woken = 0;
  RecordedOp poll([&](Cqe cqe) {
    if (cqe.result < 0) return;
    EXPECT_NE(cqe.result & POLLIN, 0);
    uint64_t value = 0;
    woken += ::read(fd, &value, sizeof value) == sizeof value ? 1 : 0;
  });
  ring().poll_multishot(poll, fd, POLLIN);
  for (int count = 1; count <= 3; ++count) {
    const uint64_t one = 1;
    ASSERT_EQ(::write(fd, &one, sizeof one), static_cast<ssize_t>(sizeof one));
    EXPECT_TRUE(run_until([&] { return woken == count; }));
  }
  EXPECT_TRUE(poll.in_flight());
  ring().cancel(poll);
  EXPECT_TRUE(run_until([&] { return poll.done(); }));
  EXPECT_EQ(poll.result(), -ECANCELED);
  ring().close(fd);
}

// Resolver libraries close their sockets themselves, right after they tell us to stop polling.
TEST_P(RingTest, a_polled_file_may_be_closed_by_its_owner_after_the_cancel) {
  for (int round = 0; round < 3; ++round) {
    const int first = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    RecordedOp poll_first;
    ring().poll_multishot(poll_first, first, POLLIN);
    ring().turn(Duration::zero());
    ring().cancel(poll_first);
    ::close(first);
    const int second = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    ASSERT_EQ(second, first);  // the number came back at once
    RecordedOp poll_second;
    ring().poll_multishot(poll_second, second, POLLIN);
    EXPECT_TRUE(run_until([&] { return poll_first.done(); }));
    EXPECT_EQ(poll_second.count(), 0U);
    const uint64_t one = 1;
    ASSERT_EQ(::write(second, &one, sizeof one), static_cast<ssize_t>(sizeof one));
    EXPECT_TRUE(run_until([&] { return poll_second.count() > 0; }));
    ring().cancel(poll_second);
    EXPECT_TRUE(run_until([&] { return poll_second.done(); }));
    ::close(second);
  }
}

TEST_P(RingTest, random_numbers_differ) {
  EXPECT_NE(ring().random(), ring().random());
  EXPECT_GT(ring().wall_now().time_since_epoch(), hours(24 * 365 * 50));
}

}  // namespace
}  // namespace ringside::testing
