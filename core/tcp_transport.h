#pragma once
// Transport on a stream socket: multishot receive while messages are small, single receives into large blocks for bulk, one
// gathered send in flight, ordered teardown.
//
// Receiving: idle and small messages use one multishot receive. After limits::bulk_after_blocks full blocks in a row, or when
// expect() announces a large body, it is cancelled and single receives into large blocks follow, each armed when there is
// credit, until small messages come again. Bytes that are only passed on (relay()) come through pipes then, see core/pipe_pool.h,
// and what is between them, the heads of messages, into small blocks. A user that does not grant stops its own receive and nobody else's.
//
// Teardown: close() -> cancel what is in flight -> last completion -> close(fd) -> on_closed().
#include <memory>
#include <new>

#include "core/op.h"
#include "core/slab.h"
#include "core/transport.h"
#include "core/worker.h"

namespace ringside {

class TcpTransport final : public Transport, private Flushable, private OpIn<TcpTransport, 0>, private OpIn<TcpTransport, 1> {
 public:
  // Takes over the connected socket `fd`.
  TcpTransport(Worker& worker, int fd);
  // The same in memory of the worker, where connections lie side by side.
  static std::unique_ptr<TcpTransport> make(Worker& worker, int fd);
  ~TcpTransport() override;
  static void* operator new(size_t bytes) = delete;
  static void operator delete(TcpTransport* transport, std::destroying_delete_t);

  // Once more for the next user, who takes over what the one before was given and has not granted.
  void start(TransportUser& user, size_t credit_bytes) override;
  // To the user: bytes that the one before was given.
  void deliver(Slice bytes);
  // To be filled in before the user that they matter to.
  ConnectionFacts& facts();
  void send(Slice bytes) override;
  void finish() override;
  void finish_and_close() override;
  void grant(size_t bytes) override;
  void hand_over(TransportUser& user) override { user_ = &user; }
  void expect(size_t bytes) override;
  void relay(size_t bytes) override;
  bool sends_piped() const override { return true; }
  void close(Error why) override;
  void abort(Error why) override;
  size_t unsent_bytes() const override { return out_.size_bytes(); }
  bool is_delivered() const override { return out_.empty() && (fd_ < 0 || worker_.ring().is_delivered(fd_)); }
  Address local_address() const override;
  Address peer_address() const override;
  const ConnectionFacts* facts_before() const override { return facts_.get(); }
  // Where a rule of the kernel's took the connection from; empty when none did.
  Address original_destination() const { return worker_.ring().original_destination(fd_); }

 private:
  using ReceiveOp = OpIn<TcpTransport, 0>;
  using SendOp = OpIn<TcpTransport, 1>;
  friend ReceiveOp;
  friend SendOp;
  enum class ReceiveMode : uint8_t { multishot, bulk };
  struct Credit {
    int32_t bytes = 0;   // may still be delivered; below zero when a multishot overran
    int32_t window = 0;  // what was given at the start
  };
  Op& receive_op() { return static_cast<ReceiveOp&>(*this); }
  Op& send_op() { return static_cast<SendOp&>(*this); }
  bool sending() const { return static_cast<const SendOp&>(*this).in_flight(); }
  bool receiving() const { return static_cast<const ReceiveOp&>(*this).in_flight(); }
  void on_complete(ReceiveOp&, Cqe cqe) { on_receive(cqe); }
  void on_complete(SendOp&, Cqe cqe) { on_send(cqe); }
  void on_flush() override;
  void flush_soon();
  void on_receive(Cqe cqe);
  void on_send(Cqe cqe);
  void received(Slice bytes);
  void choose_mode(size_t bytes);
  void arm_receive();
  bool may_receive() const;
  int32_t held_bytes_max() const;
  bool pipes() const;
  void set_hungry(bool hungry);
  void join();

  // In the three bytes behind the last base.
  uint8_t streak_ : 4 = 0;       // full blocks in a row (multishot), small messages in a row (bulk)
  ErrorCode close_code_ : 4 = ErrorCode::none;
  Origin close_origin_ : 2 = Origin::local;
  Retry close_retry_ : 2 = Retry::never;
  ReceiveMode mode_ : 1 = ReceiveMode::multishot;
  bool cancelling_ : 1 = false;  // the receive in flight was cancelled, to pause or to change mode
  bool ended_ : 1 = false;       // FIN received
  bool finishing_ : 1 = false;   // FIN wanted
  bool finished_ : 1 = false;    // FIN sent
  bool closes_ : 1 = false;      // and the connection closed
  bool closing_ : 1 = false;
  bool hungry_ : 1 = false;
  bool relays_ : 1 = false;      // relay() was called
  bool dribbles_ : 1 = false;    // little came through the last pipe: one that many of these hold is one that others miss
  bool small_next_ : 1 = false;  // bulk: the bytes between two relayed bodies
  Worker& worker_;
  TransportUser* user_ = nullptr;
  std::unique_ptr<ConnectionFacts> facts_;
  Buffer out_;
  union {
    Credit credit_{};
    const char* close_detail_;  // once it closes
  };
  uint32_t relay_bytes_ = 0;  // of what comes next: nobody will look at them; relay_all: of all that ever comes
  int fd_;                    // -1: closed
};
static_assert(sizeof(TcpTransport) == 128, "an idle connection is to stay small");
static_assert(static_cast<uint32_t>(ErrorCode::kernel) < 16 && static_cast<uint32_t>(Origin::local) < 4 && static_cast<uint32_t>(Retry::always) < 4);

}  // namespace ringside
