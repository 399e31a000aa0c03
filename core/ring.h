#pragma once
// The kernel and the clock as one worker sees them. UringRing and EpollRing in production, SimRing in tests: same code above.
//
// Contract, the same for all:
// - An operation's handler runs only inside turn(), never inside the call that starts it.
// - An operation completes exactly once with !more(), unless the process ends. cancel() makes that soon; data may still win.
// - -ENOBUFS is never seen above: a receive that finds no block waits for one inside the ring, in order of arrival.
// - send() completes once, with all bytes or with an error: short sends are continued inside the ring.
// - close(fd) requires that no operation on fd is in flight.
#include <cstdint>
#include <string>
#include <string_view>

#include "core/address.h"
#include "core/buffer.h"
#include "core/error.h"
#include "core/op.h"
#include "core/time.h"

namespace ringside {

class BlockPools;

// Which block a single receive takes when bytes are there; nothing is held while it waits.
enum class ReceiveSize : uint8_t { small, large };

// lazy: when the send takes all that is there, its success may be reported with the next event of any kind, so that a send alone does not end the wait. Errors are prompt.
// prompt: the completion ends the wait, for a sender that has something to do next.
enum class Wake : uint8_t { lazy, prompt };

struct ListenOptions {
  bool reuse_port = true;
  uint32_t backlog = 0;  // 0: the system's maximum
  bool ipv4_too = false;  // a wildcard address of IPv6 takes IPv4 clients as well
};

// What the ring has done since its start. Plain numbers, read by its own worker.
struct RingStats {
  uint64_t turns = 0;         // times the kernel was entered to wait
  uint64_t completions = 0;
  uint64_t submissions = 0;
  uint64_t receives_starved = 0;  // receives that had to wait for a block
  uint64_t sends_short = 0;       // sends that the socket did not take at once
  uint64_t overflows = 0;         // completion queue overflows
  uint64_t piped_bytes = 0;       // received through pipes, not copied
};

class Ring {
 public:
  virtual ~Ring() = default;

  // "io_uring", "epoll" or "simulation".
  virtual std::string_view name() const = 0;

  // Sockets: synchronous and cheap. Errors carry errno as error_from_errno gives it.
  virtual Result<int> socket(int family) = 0;  // stream; TCP_NODELAY is set
  // On failure `*error_number` has the errno.
  virtual Result<int> listen(const Address& address, const ListenOptions& options, int* error_number) = 0;
  virtual Address local_address(int fd) = 0;
  virtual Address peer_address(int fd) = 0;
  // Before netfilter redirected it to us; empty when it did not.
  virtual Address original_destination(int fd) {
    static_cast<void>(fd);
    return {};
  }
  virtual void shutdown_write(int fd) = 0;
  virtual void close(int fd) = 0;
  // close() will reset the connection instead of ending it: for a message that must not look whole.
  virtual void reset_on_close(int fd) { static_cast<void>(fd); }
  // Whether the peer has all that was sent: a reset would destroy the rest.
  virtual bool is_delivered(int fd) const {
    static_cast<void>(fd);
    return true;
  }

  // Result: a new socket, with TCP_NODELAY when it is TCP. Multishot.
  virtual void accept_multishot(Op& op, int listener_fd) = 0;
  // Result: bytes in take_received(), 0 at the peer's FIN. Small blocks. Multishot.
  virtual void receive_multishot(Op& op, int fd) = 0;
  virtual void receive_once(Op& op, int fd, ReceiveSize size) = 0;
  // As receive_once, for bytes that are only passed on: what comes may be a piece of a pipe (Slice::piped), of `bytes_max` bytes at
  // most. Falls back to a large block when there is no pipe to be had.
  virtual void receive_piped(Op& op, int fd, size_t bytes_max) = 0;
  // The bytes of a receive with result > 0. Must be called inside the handler, once, before anything else is asked of the ring.
  virtual Slice take_received(Cqe cqe) = 0;
  // Gathers from the front of `bytes` as many slices as one send takes; they stay in the buffer, untouched, until completion.
  // The result is the number of bytes gathered, or an error. One send in flight per socket. A piece of a pipe is the last one taken.
  virtual void send(Op& op, int fd, const Buffer& bytes, Wake wake) = 0;
  // `address` lives until completion.
  virtual void connect(Op& op, int fd, const Address& address) = 0;
  // `events` as poll(2). Multishot; the result has the events.
  virtual void poll_multishot(Op& op, int fd, uint32_t events) = 0;
  // Appends to a file what one write takes from the front of `bytes`. The result may be short.
  virtual void write(Op& op, int fd, const Buffer& bytes) = 0;
  // The target still completes, with -ECANCELED or with what it had done. No effect on one that is not in flight.
  virtual void cancel(Op& target) = 0;

  // Submits all, waits at most `wait_max` (Duration::max(): for ever), runs the handlers of what completed.
  virtual void turn(Duration wait_max) = 0;

  virtual Instant now() const = 0;        // read once per turn
  virtual WallTime wall_now() const = 0;  // read once per turn, when first asked for
  virtual uint64_t random() = 0;
  virtual const RingStats& stats() const = 0;

  // For workers: senders whose source waits for their credit. While there are any, lazy sends are reported promptly.
  void add_hungry(int change) { hungry_ += change; }
  // Something waits behind a lazy send: before the next wait, lazy sends are reported promptly.
  void hurry() { hurried_ = true; }

 protected:
  bool wants_lazy() const { return hungry_ > 0 || hurried_; }
  int hungry_ = 0;
  bool hurried_ = false;  // until the end of the turn
};

}  // namespace ringside
