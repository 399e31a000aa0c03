#include "core/uring_ring.h"

#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <deque>
#include <vector>

#include "core/gathered_send.h"
#include "core/limits.h"
#include "core/random.h"
#include "core/sockets.h"

namespace ringside {
namespace {

// What an Op is, in the low bits of Op::ring_tag; the rest is the fd, or the index of the record of a send or piped receive.
enum class Kind : uint32_t { other, send, receive_piped, receive_multishot, receive_small, receive_large };
constexpr uint32_t kind_bits = 3;
constexpr uint32_t tag_cancelled = 1U << 31;  // of a receive: it must not wait for a block any more
uint32_t tag_of(Kind kind, uint32_t rest) { return (rest << kind_bits) | static_cast<uint32_t>(kind); }
Kind kind_of(const Op& op) { return static_cast<Kind>(op.ring_tag & ((1U << kind_bits) - 1)); }
uint32_t rest_of(const Op& op) { return (op.ring_tag & ~tag_cancelled) >> kind_bits; }
bool is_receive(Kind kind) { return kind >= Kind::receive_multishot; }

// What a completion's user data points to, in its low bits.
constexpr uint64_t data_op = 0, data_send = 1, data_receive = 2, data_piped = 3, data_mask = 7;
constexpr uint16_t group_small = 1, group_large = 2;

// One gathered send. Lives until its completion, which for a lazy one is the end of the submit that carried it.
struct SendRecord {
  Op* op = nullptr;
  int fd = -1;
  uint32_t index = 0;
  bool lazy = false;
  bool cancelled = false;
  bool polls = false;  // sends by itself when the socket has room: a pipe is not for the kernel's queue to send
  msghdr message{};
  GatheredSend bytes;
};

// One receive into a pipe: waits for the socket to be readable and moves by itself.
struct PipedRecord {
  Op* op = nullptr;
  int fd = -1;
  uint32_t index = 0;
  size_t bytes_max = 0;
  bool cancelled = false;
};

// Records by index, reused.
template <class Record>
class Records {
 public:
  Record& take() {
    if (free_.empty()) {
      all_.push_back(std::make_unique<Record>());
      all_.back()->index = static_cast<uint32_t>(all_.size() - 1);
      return *all_.back();
    }
    const uint32_t index = free_.back();
    free_.pop_back();
    return *all_[index];
  }
  void give(const Record& record) { free_.push_back(record.index); }
  Record& at(uint32_t index) { return *all_[index]; }

 private:
  std::vector<std::unique_ptr<Record>> all_;
  std::vector<uint32_t> free_;
};

// Blocks of one size, offered to the kernel as a provided-buffer ring.
class ProvidedBlocks {
 public:
  ProvidedBlocks(BlockPool& pool, uint16_t group, uint32_t entries) : pool_(pool), group_(group), entries_(entries) {}
  ~ProvidedBlocks() {
    // The ring is gone by now; what it still held goes back.
    for (uint32_t index = 0; index < lent_.size(); ++index)
      if (lent_[index]) pool_.give_back(pool_.at(index));
    if (memory_ != MAP_FAILED) munmap(memory_, entries_ * sizeof(io_uring_buf));
  }
  int open(io_uring* ring) {
    memory_ = mmap(nullptr, entries_ * sizeof(io_uring_buf), PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
    if (memory_ == MAP_FAILED) return -errno;
    io_uring_buf_reg registration{};
    registration.ring_addr = reinterpret_cast<uint64_t>(memory_);
    registration.ring_entries = entries_;
    registration.bgid = group_;
    buffers_ = static_cast<io_uring_buf_ring*>(memory_);
    const int result = io_uring_register_buf_ring(ring, &registration, 0);
    if (result == 0) io_uring_buf_ring_init(buffers_);
    return result;
  }
  // Tops the kernel's share up to the target from free blocks; makes blocks while there are fewer than that.
  void refill() {
    int added = 0;
    while (offered_ < target_) {
      Block* block = pool_.total() < target_ ? pool_.take_or_grow() : pool_.take();
      if (block == nullptr) break;
      offer(*block, added++);
    }
    if (added > 0) io_uring_buf_ring_advance(buffers_, added);
  }
  // Gives the kernel `count` blocks more, for good.
  void grow(uint32_t count) {
    target_ = std::min(target_ + count, std::min(entries_, pool_.options().max));
    while (pool_.free_count() + offered_ < target_ && pool_.grow()) {
    }
    refill();
  }
  Slice take(uint32_t id, size_t bytes) {
    Block& block = pool_.at(id);
    lent_[id] = false;
    --offered_;
    return {block, block.data, bytes};
  }
  uint32_t target() const { return target_; }
  uint32_t offered() const { return offered_; }

 private:
  void offer(Block& block, int place) {
    if (lent_.size() <= block.index) lent_.resize(block.index + 1);
    lent_[block.index] = true;
    ++offered_;
    io_uring_buf_ring_add(buffers_, block.data, block.capacity, static_cast<uint16_t>(block.index),
                          io_uring_buf_ring_mask(entries_), place);
  }
  BlockPool& pool_;
  const uint16_t group_;
  const uint32_t entries_;
  void* memory_ = MAP_FAILED;
  io_uring_buf_ring* buffers_ = nullptr;
  std::vector<bool> lent_;  // by block index: with the kernel
  uint32_t offered_ = 0;
  uint32_t target_ = 0;
};

class UringRing final : public Ring {
 public:
  explicit UringRing(BlockPools& pools)
      : pools_(pools), small_(pools.small, group_small, 4096), large_(pools.large, group_large, limits::large_blocks_max), random_(Random::seeded()) {
    now_ = read_clock();
  }
  ~UringRing() override {
    for (const Reaped& item : ready_)
      if (item.pipe != nullptr) pools_.pipes.give_back(*item.pipe);
    if (!open_) return;
    while (unsubmitted() > 0 && enter(0, Duration::zero()) > 0) {  // closes, above all: the sockets would stay open
    }
    io_uring_queue_exit(&ring_);
  }
  int open();

  std::string_view name() const override { return "io_uring"; }
  Result<int> socket(int family) override { return sockets::open_stream(family, sockets::Blocking::yes); }
  Result<int> listen(const Address& address, const ListenOptions& options, int* error_number) override {
    return sockets::listen_on(address, options, error_number);
  }
  Address original_destination(int fd) override { return sockets::original_destination(fd); }
  Address local_address(int fd) override { return sockets::local_address(fd); }
  Address peer_address(int fd) override { return sockets::peer_address(fd); }
  void shutdown_write(int fd) override { sockets::shutdown_write(fd); }
  void close(int fd) override;
  void reset_on_close(int fd) override { sockets::reset_on_close(fd); }
  bool is_delivered(int fd) const override { return sockets::is_delivered(fd); }

  void accept_multishot(Op& op, int listener_fd) override;
  void receive_multishot(Op& op, int fd) override { receive(op, fd, Kind::receive_multishot); }
  void receive_once(Op& op, int fd, ReceiveSize size) override {
    receive(op, fd, size == ReceiveSize::small ? Kind::receive_small : Kind::receive_large);
  }
  void receive_piped(Op& op, int fd, size_t bytes_max) override;
  Slice take_received(Cqe cqe) override;
  void send(Op& op, int fd, const Buffer& bytes, Wake wake) override;
  void connect(Op& op, int fd, const Address& address) override;
  void poll_multishot(Op& op, int fd, uint32_t events) override;
  void write(Op& op, int fd, const Buffer& bytes) override;
  void cancel(Op& target) override;
  void turn(Duration wait_max) override;

  Instant now() const override { return now_; }
  WallTime wall_now() const override;
  uint64_t random() override { return random_.next(); }
  const RingStats& stats() const override { return stats_; }

 private:
  struct Reaped {
    Op* op;
    Cqe cqe;
    Pipe* pipe = nullptr;  // with the bytes received
  };
  static Instant read_clock();
  io_uring_sqe* next_sqe();
  io_uring_sqe* prepare(Op& op, uint8_t opcode, int fd, uint64_t kind = data_op);
  void receive(Op& op, int fd, Kind kind);
  void arm_receive(Op& op);
  void submit_receive(Op& op);
  void submit_send(SendRecord& record);
  void poll_socket(int fd, uint32_t events, uint64_t data);
  void send_by_itself(SendRecord& record);
  bool copy_instead(PipedRecord& record);
  bool try_piped(PipedRecord& record, SocketState state, std::vector<Reaped>& to);
  void submit_now();
  int enter(uint32_t wait_completions, Duration wait_max);
  uint32_t unsubmitted() const { return ring_.sq.sqe_tail - *ring_.sq.khead; }
  bool work_is_waiting() const;
  void reap();
  void reap_one(const io_uring_cqe& cqe);
  void reap_send(SendRecord& record, int32_t result);
  void reap_receive(Op& op, Cqe cqe);
  void reap_piped(PipedRecord& record, int32_t result);
  void complete_lazy();
  void dispatch();
  void dispatch_one(const Reaped& item);
  void finish_send(SendRecord& record, int32_t result);
  void feed_starved();
  io_uring ring_{};
  bool open_ = false;
  uint32_t enter_flags_ = 0;
  BlockPools& pools_;
  ProvidedBlocks small_, large_;
  Records<SendRecord> sends_;
  Records<PipedRecord> piped_;
  std::vector<SendRecord*> lazy_;       // submitted or about to be, success not yet reported
  std::vector<SendRecord*> lazy_done_;  // being reported
  std::vector<Reaped> reaped_;
  std::vector<Reaped> ready_;           // completions that the ring itself makes
  std::deque<Op*> starved_small_, starved_large_;
  Instant large_starved_since_{};
  Kind dispatching_ = Kind::other;
  Pipe* received_pipe_ = nullptr;  // of the completion being handled
  Instant now_{};
  mutable WallTime wall_{};
  mutable bool wall_known_ = false;
  Random random_;
  RingStats stats_;
};

Instant UringRing::read_clock() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return Instant(seconds(time.tv_sec) + nanoseconds(time.tv_nsec));
}

WallTime UringRing::wall_now() const {
  if (!wall_known_) {
    timespec time{};
    clock_gettime(CLOCK_REALTIME, &time);
    wall_ = WallTime(seconds(time.tv_sec) + nanoseconds(time.tv_nsec));
    wall_known_ = true;
  }
  return wall_;
}

int UringRing::open() {
  io_uring_params parameters{};
  parameters.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE | IORING_SETUP_SUBMIT_ALL;
  parameters.cq_entries = limits::completions_max;
  int result = io_uring_queue_init_params(limits::submissions_max, &ring_, &parameters);
  if (result == -ENOMEM) {  // a small RLIMIT_MEMLOCK
    parameters.cq_entries = limits::completions_max / 8;
    result = io_uring_queue_init_params(limits::submissions_max / 4, &ring_, &parameters);
  }
  if (result < 0) return result;
  open_ = true;
  const uint32_t needed = IORING_FEAT_NODROP | IORING_FEAT_EXT_ARG | IORING_FEAT_CQE_SKIP | IORING_FEAT_SUBMIT_STABLE;
  if ((parameters.features & needed) != needed) return -EOPNOTSUPP;
  // We publish the tail ourselves, so every slot must name its own entry.
  for (uint32_t slot = 0; slot < ring_.sq.ring_entries; ++slot) ring_.sq.array[slot] = slot;
  if (io_uring_register_ring_fd(&ring_) == 1) enter_flags_ = IORING_ENTER_REGISTERED_RING;
  if (result = small_.open(&ring_); result < 0) return result;
  return large_.open(&ring_);
}

// --- submitting --------------------------------------------------------------------------------------------------------

io_uring_sqe* UringRing::next_sqe() {
  if (unsubmitted() >= ring_.sq.ring_entries) submit_now();
  io_uring_sqe* sqe = &ring_.sq.sqes[ring_.sq.sqe_tail & (ring_.sq.ring_entries - 1)];
  ++ring_.sq.sqe_tail;
  std::memset(sqe, 0, sizeof *sqe);
  return sqe;
}

io_uring_sqe* UringRing::prepare(Op& op, uint8_t opcode, int fd, uint64_t kind) {
  io_uring_sqe* sqe = next_sqe();
  sqe->opcode = opcode;
  sqe->fd = fd;
  sqe->user_data = reinterpret_cast<uint64_t>(&op) | kind;
  return sqe;
}

void UringRing::accept_multishot(Op& op, int listener_fd) {
  op.mark_submitted();
  op.ring_tag = tag_of(Kind::other, 0);
  io_uring_sqe* sqe = prepare(op, IORING_OP_ACCEPT, listener_fd);
  sqe->accept_flags = SOCK_CLOEXEC;
  sqe->ioprio = IORING_ACCEPT_MULTISHOT;
}

void UringRing::receive(Op& op, int fd, Kind kind) {
  op.mark_submitted();
  op.ring_tag = tag_of(kind, static_cast<uint32_t>(fd));
  arm_receive(op);
}

void UringRing::arm_receive(Op& op) {
  const Kind kind = kind_of(op);
  if (kind == Kind::receive_large && large_.target() == 0) large_.grow(limits::large_blocks_kept);
  // Behind those that wait for a block: whoever has just had one must not take the next one as well.
  std::deque<Op*>& starved = kind == Kind::receive_large ? starved_large_ : starved_small_;
  if (!starved.empty()) return starved.push_back(&op);
  submit_receive(op);
}

void UringRing::submit_receive(Op& op) {
  const Kind kind = kind_of(op);
  io_uring_sqe* sqe = prepare(op, IORING_OP_RECV, static_cast<int>(rest_of(op)), data_receive);
  sqe->flags = IOSQE_BUFFER_SELECT;
  sqe->buf_group = kind == Kind::receive_large ? group_large : group_small;
  sqe->ioprio = kind == Kind::receive_multishot ? IORING_RECV_MULTISHOT : 0;
}

void UringRing::send(Op& op, int fd, const Buffer& bytes, Wake wake) {
  op.mark_submitted();
  SendRecord& record = sends_.take();
  op.ring_tag = tag_of(Kind::send, record.index);
  record.op = &op;
  record.fd = fd;
  record.bytes.gather(bytes);
  // What remains goes out when this is reported.
  record.lazy = wake == Wake::lazy && record.bytes.total_bytes == bytes.size_bytes();
  record.cancelled = false;
  record.polls = record.bytes.piped.piped();
  if (record.polls) return send_by_itself(record);
  if (record.lazy) lazy_.push_back(&record);
  submit_send(record);
}

// A lazy send says nothing when the socket took all at once. MSG_WAITALL: the kernel goes on after a short send.
void UringRing::submit_send(SendRecord& record) {
  io_uring_sqe* sqe = next_sqe();
  sqe->fd = record.fd;
  sqe->user_data = reinterpret_cast<uint64_t>(&record) | data_send;
  sqe->msg_flags = MSG_NOSIGNAL | MSG_WAITALL;
  if (record.lazy) {
    sqe->msg_flags |= MSG_DONTWAIT;
    sqe->flags = IOSQE_CQE_SKIP_SUCCESS;
  }
  GatheredSend& bytes = record.bytes;
  if (bytes.pieces == 1) {
    sqe->opcode = IORING_OP_SEND;
    sqe->addr = reinterpret_cast<uint64_t>(bytes.vector[0].iov_base);
    sqe->len = static_cast<uint32_t>(bytes.vector[0].iov_len);
    return;
  }
  record.message.msg_iov = bytes.vector;
  record.message.msg_iovlen = bytes.pieces;
  sqe->opcode = IORING_OP_SENDMSG;
  sqe->addr = reinterpret_cast<uint64_t>(&record.message);
  sqe->len = 1;
}

// --- through pipes -----------------------------------------------------------------------------------------------------
// io_uring hands a splice to a thread of its own, which costs more than it saves: only the waiting is left to it.

void UringRing::poll_socket(int fd, uint32_t events, uint64_t data) {
  io_uring_sqe* sqe = next_sqe();
  sqe->opcode = IORING_OP_POLL_ADD;
  sqe->fd = fd;
  sqe->poll32_events = events;
  sqe->user_data = data;
}

void UringRing::send_by_itself(SendRecord& record) {
  const int result = record.bytes.send_now(record.fd, SocketWaits::yes);
  if (result == 0 && record.lazy) return lazy_.push_back(&record);
  if (result == -EAGAIN) {
    record.lazy = false;
    ++stats_.sends_short;
    return poll_socket(record.fd, POLLOUT, reinterpret_cast<uint64_t>(&record) | data_send);
  }
  ready_.push_back({record.op, {.result = result < 0 ? result : static_cast<int32_t>(record.bytes.total_bytes), .flags = 0}});
  record.bytes.piped = Slice();
  record.op->ring_tag = tag_of(Kind::other, 0);  // nothing in the kernel that could be cancelled
  sends_.give(record);
}

void UringRing::receive_piped(Op& op, int fd, size_t bytes_max) {
  PipedRecord& record = piped_.take();
  record = {.op = &op, .fd = fd, .index = record.index, .bytes_max = bytes_max};
  op.mark_submitted();
  op.ring_tag = tag_of(Kind::receive_piped, record.index);
  // Whoever asks for bulk has often had the beginning of it: no wait when the rest is there.
  if (!try_piped(record, SocketState::unknown, ready_)) poll_socket(fd, POLLIN, reinterpret_cast<uint64_t>(&record) | data_piped);
}

// Ends the record, with a completion in `to`, unless there is nothing yet.
bool UringRing::try_piped(PipedRecord& record, SocketState state, std::vector<Reaped>& to) {
  Op& op = *record.op;
  Pipe* pipe = pools_.pipes.take();
  if (pipe == nullptr) return copy_instead(record);
  const ssize_t moved = fill_pipe(*pipe, record.fd, record.bytes_max, state);
  if (moved <= 0) pools_.pipes.give_back(*pipe);
  if (splice_refused(moved)) pools_.pipes.give_up();
  if (splice_refused(moved) || moved == splice_stuck) return copy_instead(record);
  if (moved == -EAGAIN) return false;
  const uint32_t flags = moved > 0 ? Cqe::flag_buffer : 0;
  if (moved > 0) stats_.piped_bytes += static_cast<uint64_t>(moved);
  to.push_back({&op, {.result = static_cast<int32_t>(moved), .flags = flags}, moved > 0 ? pipe : nullptr});
  piped_.give(record);
  op.ring_tag = tag_of(Kind::other, 0);
  return true;
}

// The op goes on without its record, into a large block.
bool UringRing::copy_instead(PipedRecord& record) {
  record.op->ring_tag = tag_of(Kind::receive_large, static_cast<uint32_t>(record.fd));
  piped_.give(record);
  arm_receive(*record.op);
  return true;
}

void UringRing::reap_piped(PipedRecord& record, int32_t result) {
  if (record.cancelled) result = -ECANCELED;  // also when the cancel came too late for the poll
  if (result < 0) {
    reaped_.push_back({record.op, {.result = result, .flags = 0}});
    record.op->ring_tag = tag_of(Kind::other, 0);
    return piped_.give(record);
  }
  if (!try_piped(record, SocketState::readable, reaped_)) poll_socket(record.fd, POLLIN, reinterpret_cast<uint64_t>(&record) | data_piped);
}

// --- the others --------------------------------------------------------------------------------------------------------

void UringRing::connect(Op& op, int fd, const Address& address) {
  op.mark_submitted();
  op.ring_tag = tag_of(Kind::other, 0);
  io_uring_sqe* sqe = prepare(op, IORING_OP_CONNECT, fd);
  sqe->addr = reinterpret_cast<uint64_t>(address.data());
  sqe->off = address.size();
}

void UringRing::poll_multishot(Op& op, int fd, uint32_t events) {
  op.mark_submitted();
  op.ring_tag = tag_of(Kind::other, 0);
  io_uring_sqe* sqe = prepare(op, IORING_OP_POLL_ADD, fd);
  sqe->poll32_events = events;
  sqe->len = IORING_POLL_ADD_MULTI;
}

void UringRing::write(Op& op, int fd, const Buffer& bytes) {
  op.mark_submitted();
  op.ring_tag = tag_of(Kind::other, 0);
  const Slice& first = bytes.slice(0);
  io_uring_sqe* sqe = prepare(op, IORING_OP_WRITE, fd);
  sqe->addr = reinterpret_cast<uint64_t>(first.data());
  sqe->len = static_cast<uint32_t>(first.size());
  sqe->off = static_cast<uint64_t>(-1);  // the file's own position
}

void UringRing::close(int fd) {
  io_uring_sqe* sqe = next_sqe();
  sqe->opcode = IORING_OP_CLOSE;
  sqe->fd = fd;
  sqe->flags = IOSQE_CQE_SKIP_SUCCESS;
}

void UringRing::cancel(Op& target) {
  if (!target.in_flight()) return;
  const Kind kind = kind_of(target);
  if (is_receive(kind) && std::erase(starved_small_, &target) + std::erase(starved_large_, &target) > 0)
    return ready_.push_back({&target, {.result = -ECANCELED, .flags = 0}});
  uint64_t data = reinterpret_cast<uint64_t>(&target);
  if (kind == Kind::send) {
    SendRecord& record = sends_.at(rest_of(target));
    record.cancelled = true;
    data = reinterpret_cast<uint64_t>(&record) | data_send;
  }
  if (kind == Kind::receive_piped) {
    PipedRecord& record = piped_.at(rest_of(target));
    record.cancelled = true;
    data = reinterpret_cast<uint64_t>(&record) | data_piped;
  }
  if (is_receive(kind)) {
    target.ring_tag |= tag_cancelled;
    data |= data_receive;
  }
  io_uring_sqe* sqe = next_sqe();
  sqe->opcode = IORING_OP_ASYNC_CANCEL;
  sqe->fd = -1;
  sqe->addr = data;
  sqe->flags = IOSQE_CQE_SKIP_SUCCESS;
}

// The queue is full in the middle of a turn: hand over what is there. Completions stay in their queue.
void UringRing::submit_now() {
  while (unsubmitted() > 0)
    if (enter(0, Duration::zero()) == -EBUSY) reap();
}

int UringRing::enter(uint32_t wait_completions, Duration wait_max) {
  io_uring_smp_store_release(ring_.sq.ktail, ring_.sq.sqe_tail);
  uint32_t flags = enter_flags_;
  io_uring_getevents_arg arguments{};
  __kernel_timespec timeout{};
  if (wait_completions > 0 || wait_max != Duration::zero() || unsubmitted() == 0) flags |= IORING_ENTER_GETEVENTS;
  if (wait_completions > 0) {
    flags |= IORING_ENTER_EXT_ARG;
    if (wait_max != Duration::max()) {
      timeout.tv_sec = wait_max / seconds(1);
      timeout.tv_nsec = (wait_max % seconds(1)).count();
      arguments.ts = reinterpret_cast<uint64_t>(&timeout);
    }
    return io_uring_enter2(static_cast<unsigned>(ring_.enter_ring_fd), unsubmitted(), wait_completions, flags,
                           reinterpret_cast<sigset_t*>(&arguments), sizeof arguments);
  }
  return io_uring_enter2(static_cast<unsigned>(ring_.enter_ring_fd), unsubmitted(), 0, flags, nullptr, 0);
}

// --- one turn ----------------------------------------------------------------------------------------------------------

// The trap of skipped completions: whoever waits for a lazy send's credit would wait for ever, so then we do not sleep.
bool UringRing::work_is_waiting() const { return !ready_.empty() || (wants_lazy() && !lazy_.empty()); }

void UringRing::turn(Duration wait_max) {
  feed_starved();
  if (!starved_large_.empty()) wait_max = std::min<Duration>(wait_max, milliseconds(1));
  ++stats_.turns;
  uint32_t wait = 1;
  if (wait_max == Duration::zero() || work_is_waiting()) wait = 0;
  stats_.submissions += unsubmitted();
  // GETEVENTS always: deferred task work, and so every completion, happens only inside such a call.
  int result = enter(wait, wait == 0 ? Duration(1) : wait_max);
  while (unsubmitted() > 0 && (result >= 0 || result == -EINTR || result == -EBUSY || result == -EAGAIN)) {
    reap();
    result = enter(0, Duration(1));
  }
  RS_CHECK(result >= 0 || result == -ETIME || result == -EINTR || result == -EBUSY || result == -EAGAIN);
  now_ = read_clock();
  wall_known_ = false;
  hurried_ = false;
  reap();
  stats_.completions += reaped_.size();
  complete_lazy();
  dispatch();
}

void UringRing::reap() {
  io_uring_cq& cq = ring_.cq;
  for (;;) {
    uint32_t head = *cq.khead;
    const uint32_t tail = io_uring_smp_load_acquire(cq.ktail);
    while (head != tail) reap_one(cq.cqes[head++ & (cq.ring_entries - 1)]);
    io_uring_smp_store_release(cq.khead, head);
    if ((io_uring_smp_load_acquire(ring_.sq.kflags) & IORING_SQ_CQ_OVERFLOW) == 0) return;
    ++stats_.overflows;  // the kernel kept them: entering flushes them into the queue
    io_uring_enter2(static_cast<unsigned>(ring_.enter_ring_fd), 0, 0, enter_flags_ | IORING_ENTER_GETEVENTS, nullptr, 0);
  }
}

void UringRing::reap_one(const io_uring_cqe& cqe) {
  if (cqe.user_data == 0) return;
  const uint64_t pointer = cqe.user_data & ~data_mask;
  switch (cqe.user_data & data_mask) {
    case data_send:
      return reap_send(*reinterpret_cast<SendRecord*>(pointer), cqe.res);
    case data_receive:
      return reap_receive(*reinterpret_cast<Op*>(pointer), {.result = cqe.res, .flags = cqe.flags});
    case data_piped:
      return reap_piped(*reinterpret_cast<PipedRecord*>(pointer), cqe.res);
    default:
      reaped_.push_back({reinterpret_cast<Op*>(pointer), {.result = cqe.res, .flags = cqe.flags}});
  }
}

void UringRing::reap_send(SendRecord& record, int32_t result) {
  if (record.polls) {
    if (result >= 0) result = record.cancelled ? -ECANCELED : record.bytes.send_now(record.fd, SocketWaits::yes);
    if (result == -EAGAIN) return poll_socket(record.fd, POLLOUT, reinterpret_cast<uint64_t>(&record) | data_send);
    return finish_send(record, result < 0 ? result : static_cast<int32_t>(record.bytes.total_bytes));
  }
  if (record.lazy) {
    // It spoke up, so it did not do all at once.
    record.lazy = false;
    std::erase(lazy_, &record);
    ++stats_.sends_short;
    if (result == -EAGAIN) result = 0;
  } else if (result == -EAGAIN || result == -EINTR) {
    result = 0;
  }
  if (result < 0) return finish_send(record, result);
  record.bytes.skip(static_cast<size_t>(result));
  if (record.bytes.all_sent()) return finish_send(record, static_cast<int32_t>(record.bytes.total_bytes));
  // A cancelled send reports the part that it had done, which must not start the rest.
  if (record.cancelled) return finish_send(record, -ECANCELED);
  // The rest goes without haste: the kernel waits for the socket.
  submit_send(record);
}

void UringRing::finish_send(SendRecord& record, int32_t result) {
  record.op->ring_tag = tag_of(Kind::other, 0);  // the record may have another owner before this is reported
  reaped_.push_back({record.op, {.result = result, .flags = 0}});
  record.bytes.piped = Slice();
  sends_.give(record);
}

void UringRing::reap_receive(Op& op, Cqe cqe) {
  if (cqe.result != -ENOBUFS) return reaped_.push_back({&op, cqe});
  // The cancel came when this had ended already, and found nothing.
  if ((op.ring_tag & tag_cancelled) != 0) return reaped_.push_back({&op, {.result = -ECANCELED, .flags = 0}});
  // Waits here, in order, until a block is free. A multishot has ended with this completion.
  ++stats_.receives_starved;
  std::deque<Op*>& starved = kind_of(op) == Kind::receive_large ? starved_large_ : starved_small_;
  if (&starved == &starved_large_ && starved.empty()) large_starved_since_ = now_;
  starved.push_back(&op);
}

void UringRing::feed_starved() {
  // Small blocks are cheap: grow at once. Large ones come back as soon as their bytes are sent, and a pool that outgrows the
  // cache costs more than a short wait; grow only when nothing comes back.
  if (!starved_small_.empty()) small_.grow(limits::small_blocks_step);
  if (small_.target() == 0) small_.grow(limits::small_blocks_step);
  small_.refill();
  if (large_.target() > 0) large_.refill();
  for (size_t count = std::min<size_t>(starved_small_.size(), small_.offered()); count > 0; --count) {
    submit_receive(*starved_small_.front());
    starved_small_.pop_front();
  }
  if (starved_large_.empty()) return;
  if (large_.offered() == 0 && now_ - large_starved_since_ > milliseconds(1)) {
    large_.grow(limits::large_blocks_step);
    large_starved_since_ = now_;
  }
  for (size_t count = std::min<size_t>(starved_large_.size(), large_.offered()); count > 0; --count) {
    submit_receive(*starved_large_.front());
    starved_large_.pop_front();
  }
}

// All sends of this submit that did not speak up are done. Before the other handlers, so that these find the sockets free.
void UringRing::complete_lazy() {
  lazy_done_.swap(lazy_);
  for (SendRecord* record : lazy_done_) {
    Op* op = record->op;
    const auto total = static_cast<int32_t>(record->bytes.total_bytes);
    sends_.give(*record);
    op->complete({.result = total, .flags = 0});
  }
  lazy_done_.clear();
}

void UringRing::dispatch() {
  for (size_t at = 0; at < reaped_.size(); ++at) dispatch_one(Reaped(reaped_[at]));
  reaped_.clear();
  std::vector<Reaped> ready;
  ready.swap(ready_);
  for (const Reaped& item : ready) dispatch_one(item);
}

void UringRing::dispatch_one(const Reaped& item) {
  dispatching_ = kind_of(*item.op);
  received_pipe_ = item.pipe;
  item.op->complete(item.cqe);
  RS_CHECK(received_pipe_ == nullptr);  // the handler must take it
}

Slice UringRing::take_received(Cqe cqe) {
  RS_CHECK((cqe.flags & Cqe::flag_buffer) != 0);
  const auto bytes = static_cast<size_t>(cqe.result);
  if (Pipe* pipe = std::exchange(received_pipe_, nullptr)) return {*pipe, pipe->data, bytes};
  const uint32_t id = cqe.flags >> IORING_CQE_BUFFER_SHIFT;
  ProvidedBlocks& from = dispatching_ == Kind::receive_large ? large_ : small_;
  return from.take(id, bytes);
}

}  // namespace

std::unique_ptr<Ring> make_uring_ring(BlockPools& pools, std::string* why) {
  auto ring = std::make_unique<UringRing>(pools);
  const int result = ring->open();
  if (result >= 0) return ring;
  *why = std::strerror(-result);
  return nullptr;
}

UringProbe probe_uring() {
  BlockPools pools;
  UringProbe probe;
  utsname system{};
  uname(&system);
  probe.supported = make_uring_ring(pools, &probe.detail) != nullptr;
  if (probe.supported) probe.detail = std::string("kernel ") + system.release;
  return probe;
}

}  // namespace ringside
