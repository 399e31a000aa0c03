// Bytes that pass through a pipe of the kernel, over all rings: the same bytes in the same order, never waited for, never mixed up.
#include "core/pipe_pool.h"

#include <fcntl.h>
#include <sys/socket.h>

#include "tests/core/ring_fixture.h"

namespace ringside::testing {
namespace {

class RingPipeTest : public RingFixture {
 protected:
  // Receives from one socket and sends to another, one piece at a time.
  struct Relay {
    Relay(Ring& ring, int from, int to) : ring_(ring), from_(from), to_(to) {}
    void receive() { ring_.receive_piped(in, from_, bytes_max); }

    size_t bytes_max = 1'000'000;
    size_t relayed_bytes = 0;
    size_t pieces_piped = 0;
    bool forwards = true;
    Buffer buffer;
    RecordedOp in{[this](Cqe cqe) { on_receive(cqe); }};
    RecordedOp out{[this](Cqe cqe) { on_send(cqe); }};

   private:
    void on_receive(Cqe cqe) {
      if (cqe.result <= 0) return;
      Slice piece = ring_.take_received(cqe);
      EXPECT_LE(piece.size(), bytes_max);
      if (piece.piped()) ++pieces_piped;
      if (!forwards) return;
      buffer.append(std::move(piece));
      ring_.send(out, to_, buffer, Wake::prompt);
    }
    void on_send(Cqe cqe) {
      if (cqe.result <= 0) return;
      relayed_bytes += static_cast<size_t>(cqe.result);
      buffer.consume(static_cast<size_t>(cqe.result));
      if (!buffer.empty()) return ring_.send(out, to_, buffer, Wake::prompt);
      receive();
    }
    Ring& ring_;
    int from_, to_;
  };

  // client -> server is relayed to client of the second pair.
  Pair first_ = {}, second_ = {};
  Buffer source_;
  RecordedOp send_;
  void connect() {
    first_ = connected_pair();
    second_ = connected_pair();
  }
  // Into the first pair; what the sockets do not take waits.
  void send_from_client(std::string_view text) {
    source_.append(Slice::of_static(text));
    ring().send(send_, first_.client, source_, Wake::lazy);
  }
  // Until nothing has moved for a while, however slow the machine is.
  void run_until_stalled(Relay& relay) {
    size_t before = 0;
    do {
      before = relay.relayed_bytes;
      run_for(milliseconds(100));
    } while (relay.relayed_bytes != before || relay.relayed_bytes == 0);
  }
  // Ends the streams in order, and what still waits for them.
  void end(Receiver& receiver) {
    ring().shutdown_write(second_.client);
    receiver.again = true;
    if (!receiver.op.in_flight()) receiver.start_multishot();
    EXPECT_TRUE(run_until([&] { return receiver.op.done() && receiver.op.result() <= 0; }));
    receiver.again = false;
    close_pair(first_);
    close_pair(second_);
  }
};

// What the simulation has not: urgent data, and pipes that take descriptors.
class KernelPipeTest : public RingPipeTest {};

TEST_P(RingPipeTest, a_stream_passes_unchanged) {
  connect();
  const std::string text = pattern(5'000'000);
  send_from_client(text);
  Relay relay(ring(), first_.server, second_.client);
  relay.receive();
  Receiver receiver(ring(), second_.server);
  receiver.again = true;
  receiver.start_multishot();
  EXPECT_TRUE(run_until([&] { return receiver.bytes.size() == text.size(); }));
  EXPECT_TRUE(receiver.bytes == text);
  EXPECT_GT(relay.pieces_piped, 0U);
  EXPECT_GE(ring().stats().piped_bytes, text.size() / 2);
  ring().shutdown_write(first_.client);
  EXPECT_TRUE(run_until([&] { return relay.in.done() && relay.in.result() == 0; }));
  EXPECT_EQ(relay.relayed_bytes, text.size());
  receiver.again = false;
  end(receiver);
}

TEST_P(RingPipeTest, memory_in_front_and_behind_keeps_its_place) {
  connect();
  const std::string body = pattern(100'000);
  send_all(first_.client, body);
  Buffer buffer;
  buffer.append(Slice::of_static("head"));
  size_t received = 0;
  RecordedOp again([&](Cqe cqe) {
    ASSERT_GT(cqe.result, 0);
    Slice piece = ring().take_received(cqe);
    received += piece.size();
    buffer.append(std::move(piece));
  });
  while (received < body.size()) {
    const size_t before = received;
    ring().receive_piped(again, first_.server, body.size() - received);
    ASSERT_TRUE(run_until([&] { return received > before; }));
  }
  buffer.append(Slice::of_static("tail"));
  Receiver receiver(ring(), second_.server);
  receiver.start_multishot();
  while (!buffer.empty()) {
    RecordedOp send;
    ring().send(send, second_.client, buffer, Wake::lazy);
    ASSERT_TRUE(run_until([&] { return send.done(); }));
    ASSERT_GT(send.result(), 0);
    buffer.consume(static_cast<size_t>(send.result()));
  }
  EXPECT_TRUE(run_until([&] { return receiver.bytes.size() == body.size() + 8; }));
  EXPECT_TRUE(receiver.bytes == "head" + body + "tail");
  end(receiver);
}

TEST_P(RingPipeTest, an_empty_socket_is_waited_for) {
  connect();
  Relay relay(ring(), first_.server, second_.client);
  relay.receive();
  run_for(milliseconds(10));
  EXPECT_TRUE(relay.in.in_flight());
  EXPECT_EQ(relay.in.count(), 0U);
  send_all(first_.client, "late");
  Receiver receiver(ring(), second_.server);
  receiver.start_multishot();
  EXPECT_TRUE(run_until([&] { return receiver.bytes == "late"; }));
  ring().cancel(relay.in);
  EXPECT_TRUE(run_until([&] { return !relay.in.in_flight(); }));
  EXPECT_EQ(relay.in.result(), -ECANCELED);
  end(receiver);
}

TEST_P(RingPipeTest, no_more_than_asked_for_is_taken) {
  connect();
  send_all(first_.client, pattern(50'000));
  Relay relay(ring(), first_.server, second_.client);
  relay.forwards = false;
  relay.bytes_max = 20'000;
  relay.receive();
  EXPECT_TRUE(run_until([&] { return relay.in.done(); }));
  EXPECT_LE(relay.in.result(), 20'000);
  // The piece was dropped, and its bytes with it: the next ones are what follows.
  const auto dropped = static_cast<size_t>(relay.in.result());
  Receiver rest(ring(), first_.server);
  rest.again = true;
  rest.start_multishot();
  EXPECT_TRUE(run_until([&] { return rest.bytes.size() == 50'000 - dropped; }));
  EXPECT_TRUE(rest.bytes == pattern(50'000).substr(dropped));
  rest.again = false;
  ring().shutdown_write(first_.client);
  EXPECT_TRUE(run_until([&] { return rest.op.done(); }));
  Receiver receiver(ring(), second_.server);
  end(receiver);
}

TEST_P(RingPipeTest, bytes_that_were_dropped_do_not_turn_up_elsewhere) {
  connect();
  send_all(first_.client, std::string(30'000, 'a'));
  Relay relay(ring(), first_.server, second_.client);
  relay.forwards = false;
  while (ring().stats().piped_bytes < 30'000) {
    const size_t before = relay.in.count();
    relay.receive();
    ASSERT_TRUE(run_until([&] { return relay.in.count() > before; }));
  }
  relay.forwards = true;
  send_all(first_.client, std::string(30'000, 'b'));
  relay.receive();
  Receiver receiver(ring(), second_.server);
  receiver.again = true;
  receiver.start_multishot();
  EXPECT_TRUE(run_until([&] { return receiver.bytes.size() == 30'000; }));
  EXPECT_TRUE(receiver.bytes == std::string(30'000, 'b'));
  receiver.again = false;
  if (relay.in.in_flight()) ring().cancel(relay.in);
  EXPECT_TRUE(run_until([&] { return !relay.in.in_flight(); }));
  end(receiver);
}

TEST_P(RingPipeTest, a_reader_that_stalls_stalls_nobody_else) {
  connect();
  const std::string text = pattern(20'000'000);  // more than the sockets and a pipe take
  send_from_client(text);
  Relay relay(ring(), first_.server, second_.client);
  relay.receive();
  run_until_stalled(relay);
  EXPECT_TRUE(relay.out.in_flight());
  EXPECT_LT(time_of_turn(milliseconds(5)), seconds(1));  // does not wait in a system call
  Receiver receiver(ring(), second_.server);
  receiver.again = true;
  receiver.start_multishot();
  EXPECT_TRUE(run_until([&] { return receiver.bytes.size() == text.size(); }));
  EXPECT_TRUE(receiver.bytes == text);
  receiver.again = false;
  if (relay.in.in_flight()) ring().cancel(relay.in);
  EXPECT_TRUE(run_until([&] { return !relay.in.in_flight() && !relay.out.in_flight(); }));
  end(receiver);
}

TEST_P(RingPipeTest, a_stalled_send_can_be_cancelled) {
  connect();
  const std::string text = pattern(20'000'000);
  send_from_client(text);
  Relay relay(ring(), first_.server, second_.client);
  relay.receive();
  run_until_stalled(relay);
  ASSERT_TRUE(relay.out.in_flight());
  ring().cancel(relay.out);
  ring().cancel(send_);
  EXPECT_TRUE(run_until([&] { return !relay.out.in_flight() && !send_.in_flight(); }));
  EXPECT_EQ(relay.out.result(), -ECANCELED);
  relay.buffer.clear();
  if (relay.in.in_flight()) ring().cancel(relay.in);
  EXPECT_TRUE(run_until([&] { return !relay.in.in_flight(); }));
  Receiver receiver(ring(), second_.server);
  end(receiver);
}

// A send ends at a piece of a pipe: it must not be a lazy one then, or what is behind waits for an event that need not come.
TEST_P(RingPipeTest, what_is_behind_a_piped_piece_does_not_wait_for_others) {
  connect();
  send_all(first_.client, pattern(1000));
  Buffer buffer;
  RecordedOp in([&](Cqe cqe) {
    ASSERT_GT(cqe.result, 0);
    buffer.append(ring().take_received(cqe));
  });
  ring().receive_piped(in, first_.server, 1000);
  ASSERT_TRUE(run_until([&] { return in.done(); }));
  buffer.append(Slice::of_static("tail"));
  RecordedOp send;
  ring().turn(Duration::zero());
  const Instant start = ring().now();
  ring().send(send, second_.client, buffer, Wake::lazy);
  ring().turn(seconds(5));
  EXPECT_LT(ring().now() - start, seconds(2));
  EXPECT_TRUE(send.done());
  EXPECT_EQ(send.result(), 1000);
  Receiver receiver(ring(), second_.server);
  end(receiver);
}

TEST_P(KernelPipeTest, urgent_data_ends_nothing) {
  connect();
  send_all(first_.client, "aaaa");
  ASSERT_EQ(::send(first_.client, "U", 1, MSG_OOB), 1);
  send_all(first_.client, "bbbbbbbb");
  Relay relay(ring(), first_.server, second_.client);
  relay.receive();
  Receiver receiver(ring(), second_.server);
  receiver.again = true;
  receiver.start_multishot();
  EXPECT_TRUE(run_until([&] { return receiver.bytes == "aaaabbbbbbbb"; })) << receiver.bytes;
  EXPECT_TRUE(relay.in.in_flight());
  ring().cancel(relay.in);
  EXPECT_TRUE(run_until([&] { return !relay.in.in_flight(); }));
  receiver.again = false;
  end(receiver);
}

TEST_P(RingPipeTest, a_reset_is_an_error) {
  connect();
  Relay relay(ring(), first_.server, second_.client);
  relay.receive();
  ring().reset_on_close(first_.client);
  ring().close(first_.client);
  EXPECT_TRUE(run_until([&] { return relay.in.done(); }));
  EXPECT_LT(relay.in.result(), 0);
  ring().close(first_.server);
  ring().shutdown_write(second_.client);
  close_pair(second_);
}

TEST_P(KernelPipeTest, without_descriptors_a_block_serves) {
  connect();
  send_all(first_.client, "bytes");
  limit_descriptors(0);
  Receiver receiver(ring(), first_.server);
  ring().receive_piped(receiver.op, first_.server, 1000);
  EXPECT_TRUE(run_until([&] { return receiver.bytes == "bytes"; }));
  restore_descriptors();
  EXPECT_EQ(ring().stats().piped_bytes, 0U);
  Receiver other(ring(), second_.server);
  end(other);
}

INSTANTIATE_OVER_RINGS(RingPipeTest);
INSTANTIATE_TEST_SUITE_P(Rings, KernelPipeTest, ::testing::Values("io_uring", "epoll"), ring_test_name);

TEST(PipePool, keeps_empty_pipes_until_they_are_not_needed) {
  PipePool pool;
  Pipe* first = pool.take();
  ASSERT_NE(first, nullptr);
  const int fd = first->read_fd;
  pool.give_back(*first);
  pool.trim();  // was needed since the last time
  Pipe* again = pool.take();
  EXPECT_EQ(again->read_fd, fd);
  pool.give_back(*again);
  pool.trim();
  pool.trim();
  EXPECT_EQ(fcntl(fd, F_GETFD), -1);
}

TEST(PipePoolDeathTest, bytes_in_a_pipe_cannot_be_read) {
  PipePool pool;
  Pipe* pipe = pool.take();
  ASSERT_NE(pipe, nullptr);
  const Slice slice(*pipe, pipe->data, 10);
  EXPECT_TRUE(slice.piped());
  EXPECT_DEATH(EXPECT_EQ(slice.text()[0], 'x'), "");
}

}  // namespace
}  // namespace ringside::testing
