#include "core/epoll_ring.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>

#include "core/pipe_pool.h"
#include "core/sockets.h"

namespace ringside {
namespace {

constexpr int events_max = 256;
// What one socket may take of a turn before the others have theirs.
constexpr uint32_t receive_blocks_max = 8;
constexpr uint32_t accept_burst_max = 32;
// A pool of large blocks that outgrows the cache costs more than a short wait for a block to come back.
constexpr Duration large_growth_after = milliseconds(1);
constexpr uint32_t records_kept = 16;
constexpr size_t entries_step = 1024;
constexpr uint32_t kind_bits = 4;

Instant read_clock() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return Instant(seconds(time.tv_sec) + nanoseconds(time.tv_nsec));
}

}  // namespace

EpollRing::EpollRing(BlockPools& pools)
    : pools_(pools), epoll_fd_(epoll_create1(EPOLL_CLOEXEC)), now_(read_clock()), random_(Random::seeded()) {
  RS_CHECK(epoll_fd_ >= 0);
}

EpollRing::~EpollRing() { ::close(epoll_fd_); }

WallTime EpollRing::wall_now() const {
  if (!wall_known_) {
    timespec time{};
    clock_gettime(CLOCK_REALTIME, &time);
    wall_ = WallTime(seconds(time.tv_sec) + nanoseconds(time.tv_nsec));
    wall_known_ = true;
  }
  return wall_;
}

// --- sockets -----------------------------------------------------------------------------------------------------------

Result<int> EpollRing::socket(int family) {
  const Result<int> fd = sockets::open_stream(family, sockets::Blocking::no);
  if (fd) forget(*fd);
  return fd;
}

Result<int> EpollRing::listen(const Address& address, const ListenOptions& options, int* error_number) {
  const Result<int> fd = sockets::listen_on(address, options, error_number, sockets::Blocking::no);
  if (fd) forget(*fd);
  return fd;
}

Address EpollRing::original_destination(int fd) { return sockets::original_destination(fd); }
Address EpollRing::local_address(int fd) { return sockets::local_address(fd); }
Address EpollRing::peer_address(int fd) { return sockets::peer_address(fd); }
void EpollRing::shutdown_write(int fd) { sockets::shutdown_write(fd); }

void EpollRing::reset_on_close(int fd) { sockets::reset_on_close(fd); }
bool EpollRing::is_delivered(int fd) const { return sockets::is_delivered(fd); }

void EpollRing::close(int fd) {
  forget(fd);
  ::close(fd);  // which ends the registration
}

// The number is about to mean another file, or does so already.
void EpollRing::forget(int fd) {
  if (static_cast<size_t>(fd) >= entries_.size()) return;
  Entry& item = entries_[static_cast<size_t>(fd)];
  RS_CHECK(item.input == nullptr && item.output == nullptr);
  const bool queued = item.queued;  // the number stays in ready_, where its next owner may find it
  item = Entry{};
  item.queued = queued;
}

// --- registration ------------------------------------------------------------------------------------------------------

uint32_t EpollRing::tag_of(Kind kind, int fd) {
  return (static_cast<uint32_t>(fd) << kind_bits) | static_cast<uint32_t>(kind);
}
EpollRing::Kind EpollRing::kind_of(const Op& op) { return static_cast<Kind>(op.ring_tag & ((1U << kind_bits) - 1)); }
int EpollRing::fd_of(const Op& op) { return static_cast<int>(op.ring_tag >> kind_bits); }

EpollRing::Entry& EpollRing::entry(int fd) {
  const auto index = static_cast<size_t>(fd);
  if (index >= entries_.size()) {
    const size_t size = (index / entries_step + 1) * entries_step;
    entries_.reserve(size);  // exactly, where resize alone would double
    entries_.resize(size);
  }
  return entries_[index];
}

bool EpollRing::add(int fd, uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.fd = fd;
  return epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd, &event) == 0;
}

void EpollRing::remove(int fd) {
  epoll_event unused{};
  epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, fd, &unused);
  Entry& removed = entry(fd);
  removed.registered = removed.readable = removed.ended = false;
}

void EpollRing::start(Op& op, Kind kind, int fd) {
  op.mark_submitted();
  op.ring_tag = tag_of(kind, fd);
  ++stats_.submissions;
}

// The result is there; it is reported in the next turn.
void EpollRing::finish_later(Op& op, int result) {
  op.ring_tag = tag_of(Kind::done, 0);
  prompt_.push_back({&op, result});
}

// The first wait on a socket registers it for all its life. What is ready by then comes as an event as well.
bool EpollRing::add_socket(Op& op, int fd) {
  if (entry(fd).registered) return true;
  if (!add(fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)) {
    finish_later(op, -errno);
    return false;
  }
  entry(fd).registered = true;
  return true;
}

void EpollRing::make_ready(int fd) {
  Entry& item = entry(fd);
  if (item.queued) return;
  item.queued = true;
  ready_.push_back(fd);
}

// --- operations --------------------------------------------------------------------------------------------------------

void EpollRing::accept_multishot(Op& op, int listener_fd) {
  start(op, Kind::accept, listener_fd);
  RS_CHECK(entry(listener_fd).input == nullptr);
  // A listener that workers share may be empty by the time we accept.
  const int flags = fcntl(listener_fd, F_GETFL);
  if ((flags & O_NONBLOCK) == 0) fcntl(listener_fd, F_SETFL, flags | O_NONBLOCK);
  // Level-triggered, so that a single connection does not cost a second accept to see that there is none.
  if (!add(listener_fd, EPOLLIN | EPOLLEXCLUSIVE)) return finish_later(op, -errno);
  entry(listener_fd).registered = true;
  entry(listener_fd).input = &op;
}

void EpollRing::receive_multishot(Op& op, int fd) { receive(op, fd, Kind::receive_multishot); }

void EpollRing::receive_once(Op& op, int fd, ReceiveSize size) {
  receive(op, fd, size == ReceiveSize::small ? Kind::receive_small : Kind::receive_large);
}

void EpollRing::receive_piped(Op& op, int fd, size_t bytes_max) {
  receive(op, fd, Kind::receive_piped);
  entry(fd).piped_max = static_cast<uint32_t>(std::min<size_t>(bytes_max, limits::piped_bytes_max)) & 0xffffff;
}

void EpollRing::receive(Op& op, int fd, Kind kind) {
  start(op, kind, fd);
  RS_CHECK(entry(fd).input == nullptr);
  if (!add_socket(op, fd)) return;
  Entry& item = entry(fd);
  item.input = &op;
  if (item.readable) make_ready(fd);
}

void EpollRing::send(Op& op, int fd, const Buffer& bytes, Wake wake) {
  start(op, Kind::send, fd);
  RS_CHECK(entry(fd).output == nullptr);
  const uint32_t index = new_record();
  GatheredSend& record = *records_[index];
  record.gather(bytes);
  const int result = record.send_now(fd, SocketWaits::no);
  if (result != -EAGAIN) {
    const auto total_bytes = static_cast<int32_t>(record.total_bytes);
    // What remains goes out when this is reported.
    const bool lazy = wake == Wake::lazy && record.total_bytes == bytes.size_bytes();
    free_record(index);
    if (result < 0) return finish_later(op, result);
    op.ring_tag = tag_of(Kind::done, 0);
    (lazy ? lazy_ : prompt_).push_back({&op, total_bytes});
    return;
  }
  ++stats_.sends_short;
  entry(fd).writable = false;  // an edge from before says nothing about now
  if (!add_socket(op, fd)) return free_record(index);
  entry(fd).output = &op;
  entry(fd).extra = index;
}

void EpollRing::connect(Op& op, int fd, const Address& address) {
  start(op, Kind::connect, fd);
  RS_CHECK(entry(fd).output == nullptr);
  int result = 0;
  do {
    result = ::connect(fd, address.data(), address.size()) == 0 ? 0 : -errno;
  } while (result == -EINTR);
  // A unix listener whose queue is full says this, and nothing will tell when it has room.
  if (result == -EAGAIN) result = -ECONNREFUSED;
  if (result != -EINPROGRESS) return finish_later(op, result);
  if (add_socket(op, fd)) entry(fd).output = &op;
}

void EpollRing::poll_multishot(Op& op, int fd, uint32_t events) {
  start(op, Kind::poll, fd);
  // The number may have belonged to a socket that its owner closed behind our back: such a registration is gone.
  Entry& item = entry(fd);
  RS_CHECK(item.input == nullptr && item.output == nullptr);
  if (!add(fd, events)) return finish_later(op, -errno);
  item.registered = true;
  item.readable = item.ended = false;
  item.input = &op;
  item.extra = 0;
}

void EpollRing::write(Op& op, int fd, const Buffer& bytes) {
  start(op, Kind::done, fd);
  GatheredSend gathered;
  gathered.gather(bytes);
  ssize_t written = 0;
  do {
    written = ::writev(fd, gathered.vector, static_cast<int>(gathered.pieces));
  } while (written < 0 && errno == EINTR);
  finish_later(op, written < 0 ? -errno : static_cast<int>(written));
}

void EpollRing::cancel(Op& target) {
  if (!target.in_flight() || kind_of(target) == Kind::done) return;
  const Kind kind = kind_of(target);
  const int fd = fd_of(target);
  Entry& item = entry(fd);
  if (kind == Kind::send || kind == Kind::connect) {
    if (kind == Kind::send) free_record(item.extra);
    item.output = nullptr;
  } else {
    if (item.starved) std::erase(starved_of(kind), fd);
    item.starved = false;
    item.input = nullptr;
    // At once: the owner may close the fd next, and the number may come back with another file.
    if (kind == Kind::poll || kind == Kind::accept) remove(fd);
  }
  finish_later(target, -ECANCELED);
}

uint32_t EpollRing::new_record() {
  if (records_free_.empty()) {
    records_.push_back(nullptr);
    records_free_.push_back(static_cast<uint32_t>(records_.size() - 1));
  }
  const uint32_t index = records_free_.back();
  records_free_.pop_back();
  if (records_[index] == nullptr) records_[index] = std::make_unique<GatheredSend>();
  return index;
}

void EpollRing::free_record(uint32_t index) {
  records_[index]->piped = Slice();
  if (records_free_.size() >= records_kept) records_[index].reset();
  records_free_.push_back(index);
}

// --- one turn ----------------------------------------------------------------------------------------------------------

void EpollRing::turn(Duration wait_max) {
  if (work_is_waiting()) {
    wait_max = Duration::zero();
  } else if (!starved_large_.empty() && pools_.large.total() < pools_.large.options().max) {
    wait_max = std::min<Duration>(wait_max, large_growth_after);
  }
  std::array<epoll_event, events_max> events;
  const int count = wait(events.data(), wait_max);
  ++stats_.turns;
  now_ = read_clock();
  wall_known_ = false;
  hurried_ = false;
  // All marks first: a handler may close a later fd of this batch, or reuse its number.
  for (int at = 0; at < count; ++at) mark(events[static_cast<size_t>(at)]);
  report_done();
  feed_starved();
  serve_ready();
}

int EpollRing::wait(epoll_event* events, Duration wait_max) {
  int count = -1;
  if (has_wait_in_nanoseconds_) {
    timespec timeout{};
    timeout.tv_sec = wait_max / seconds(1);
    timeout.tv_nsec = (wait_max % seconds(1)).count();
    count = epoll_pwait2(epoll_fd_, events, events_max, wait_max == Duration::max() ? nullptr : &timeout, nullptr);
    if (count >= 0) return count;
    has_wait_in_nanoseconds_ = errno != ENOSYS && errno != EPERM;  // before Linux 5.11, or refused by a filter
  }
  if (!has_wait_in_nanoseconds_) {
    const int64_t longest_ms = 24 * 3600 * 1000;
    const int64_t wait_ms = std::min(longest_ms, (wait_max - Duration(1)) / milliseconds(1) + 1);  // rounded up
    count = epoll_wait(epoll_fd_, events, events_max, static_cast<int>(wait_max == Duration::zero() ? 0 : wait_ms));
  }
  RS_CHECK(count >= 0 || errno == EINTR);
  return std::max(count, 0);
}

// Results that a lazy sender can wait for do not end the wait, unless somebody's source waits for the credit in them.
bool EpollRing::work_is_waiting() const {
  if (!ready_.empty() || !prompt_.empty() || (wants_lazy() && !lazy_.empty())) return true;
  const BlockPool& small = pools_.small;
  if (!starved_small_.empty() && (small.free_count() > 0 || small.total() < small.options().max)) return true;
  return !starved_large_.empty() && pools_.large.free_count() > 0;
}

void EpollRing::mark(const epoll_event& event) {
  Entry& item = entry(event.data.fd);
  constexpr uint32_t ends = EPOLLRDHUP | EPOLLHUP | EPOLLERR;
  if ((event.events & ends) != 0) item.ended = true;
  if ((event.events & (EPOLLIN | ends)) != 0) item.readable = true;
  if ((event.events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0) item.writable = true;
  if (item.input != nullptr && kind_of(*item.input) == Kind::poll) {
    item.extra = event.events;
    item.readable = true;
  }
  const bool input = item.input != nullptr && item.readable && !item.starved;
  if (input || (item.output != nullptr && item.writable)) make_ready(event.data.fd);
}

void EpollRing::complete(Op& op, int result, uint32_t flags) {
  ++stats_.completions;
  op.complete({.result = result, .flags = flags});
}

// Before everything else, so that the handlers of what was received find their sockets free for the next send.
void EpollRing::report_done() {
  reporting_.swap(lazy_);
  reporting_.insert(reporting_.end(), prompt_.begin(), prompt_.end());
  prompt_.clear();
  for (size_t at = 0; at < reporting_.size(); ++at) complete(*reporting_[at].op, reporting_[at].result, 0);
  reporting_.clear();
}

void EpollRing::serve_ready() {
  serving_.swap(ready_);
  for (size_t at = 0; at < serving_.size(); ++at) {
    const int fd = serving_[at];
    entry(fd).queued = false;
    serve_output(fd);
    serve_input(fd);
  }
  serving_.clear();
}

// --- sending -----------------------------------------------------------------------------------------------------------

void EpollRing::serve_output(int fd) {
  Entry& item = entry(fd);
  if (item.output == nullptr || !item.writable) return;
  item.writable = false;
  if (kind_of(*item.output) == Kind::connect) return finish_connect(fd);
  continue_send(fd);
}

void EpollRing::finish_connect(int fd) {
  int error = 0;
  socklen_t size = sizeof error;
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
  Op& op = *std::exchange(entry(fd).output, nullptr);
  complete(op, -error, 0);
}

void EpollRing::continue_send(int fd) {
  Entry& item = entry(fd);
  const uint32_t index = item.extra;
  GatheredSend& record = *records_[index];
  int result = record.send_now(fd, SocketWaits::no);
  if (result == -EAGAIN) return;
  if (result == 0) result = static_cast<int>(record.total_bytes);
  free_record(index);
  Op& op = *std::exchange(item.output, nullptr);
  complete(op, result, 0);
}

// --- receiving and accepting -------------------------------------------------------------------------------------------

void EpollRing::serve_input(int fd) {
  Entry& item = entry(fd);
  if (item.input == nullptr || !item.readable || item.starved) return;
  const Kind kind = kind_of(*item.input);
  if (kind == Kind::accept) return serve_accept(fd);
  if (kind != Kind::poll) return serve_receive(fd, receive_blocks_max, From::ready);
  item.readable = false;
  complete(*item.input, static_cast<int>(std::exchange(item.extra, 0)), Cqe::flag_more);
}

// One connection per turn while they are rare, which saves the accept that finds none; more and more while they queue up.
void EpollRing::serve_accept(int fd) {
  entry(fd).readable = false;
  const bool queueing = accept_turn_ + 1 == stats_.turns;
  accept_burst_ = queueing ? std::min(accept_burst_ * 2, accept_burst_max) : 1;
  accept_turn_ = stats_.turns;
  for (uint32_t count = 0; count < accept_burst_; ++count) {
    const int accepted = ::accept4(fd, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (accepted >= 0) {
      forget(accepted);
      complete_input(fd, accepted, Cqe::flag_more);
      if (entry(fd).input == nullptr) return;  // cancelled by its handler
      continue;
    }
    if (errno == EAGAIN) {
      accept_burst_ = 1;
      return;
    }
    // Connections that died in the queue say nothing about the next one; the rest is for the listener to decide.
    if (errno == EINTR || errno == ECONNABORTED || errno == EPROTO || errno == EPERM) continue;
    const int error = errno;
    remove(fd);  // level-triggered: it would wake us all the time
    return complete_input(fd, -error, 0);
  }
}

// Without flag_more the operation leaves the socket first, so that its handler can start the next one.
void EpollRing::complete_input(int fd, int result, uint32_t flags) {
  Entry& item = entry(fd);
  Op& op = *item.input;
  if ((flags & Cqe::flag_more) == 0) item.input = nullptr;
  complete(op, result, flags);
}

void EpollRing::serve_receive(int fd, uint32_t blocks_max, From from) {
  for (uint32_t count = 0; count < blocks_max; ++count) {
    Entry& item = entry(fd);  // a handler may have changed anything, and moved the table
    if (item.input == nullptr || !item.readable || item.starved) return;
    const Kind kind = kind_of(*item.input);
    if (count > 0 && kind != Kind::receive_multishot) break;
    if (kind == Kind::receive_piped && serve_piped(fd)) return;
    Block* block = take_block(kind, from);
    if (block == nullptr) return starve(fd);
    ssize_t size = 0;
    do {
      size = ::recv(fd, block->data, block->capacity, MSG_DONTWAIT);
    } while (size < 0 && errno == EINTR);
    const int error = errno;
    if (size <= 0) {
      BlockPool& pool = into_large(kind) ? pools_.large : pools_.small;
      pool.give_back(*block);
      if (size == 0) return complete_input(fd, 0, 0);
      item.readable = error != EAGAIN;
      if (error == EAGAIN) return;
      return complete_input(fd, -error, 0);
    }
    // A short read took all there was: what comes later brings its own edge. An end that was announced does not.
    const bool drained = static_cast<uint32_t>(size) < block->capacity && !item.ended;
    item.readable = !drained;
    uint32_t flags = Cqe::flag_buffer;
    if (kind == Kind::receive_multishot) flags |= Cqe::flag_more;
    if (!drained) flags |= Cqe::flag_socket_nonempty;
    received_ = block;
    complete_input(fd, static_cast<int>(size), flags);
    RS_CHECK(received_ == nullptr);  // the handler must take it
  }
  if (entry(fd).input != nullptr && entry(fd).readable) make_ready(fd);
}

// False when there is no pipe, or splice does not get on: a large block does.
bool EpollRing::serve_piped(int fd) {
  Pipe* pipe = pools_.pipes.take();
  if (pipe == nullptr) return false;
  const ssize_t moved = fill_pipe(*pipe, fd, entry(fd).piped_max, SocketState::readable);
  if (moved <= 0) {
    pools_.pipes.give_back(*pipe);
    if (splice_refused(moved)) pools_.pipes.give_up();
    if (splice_refused(moved) || moved == splice_stuck) return false;
    if (moved == -EAGAIN) entry(fd).readable = false;
    else complete_input(fd, static_cast<int>(moved), 0);
    return true;
  }
  // Whether there is more, nobody said: the next receive asks.
  stats_.piped_bytes += static_cast<uint64_t>(moved);
  received_ = pipe;
  complete_input(fd, static_cast<int>(moved), Cqe::flag_buffer);
  RS_CHECK(received_ == nullptr);
  return true;
}

Slice EpollRing::take_received(Cqe cqe) {
  RS_CHECK(received_ != nullptr && cqe.result > 0);
  Block& block = *std::exchange(received_, nullptr);
  return {block, block.data, static_cast<size_t>(cqe.result)};
}

Block* EpollRing::take_block(Kind kind, From from) {
  // Whoever starves already is before us.
  if (from == From::ready && !starved_of(kind).empty()) return nullptr;
  if (!into_large(kind)) return pools_.small.take_or_grow();
  BlockPool& large = pools_.large;
  return large.total() < large.options().kept ? large.take_or_grow() : large.take();
}

std::deque<int>& EpollRing::starved_of(Kind kind) {
  return into_large(kind) ? starved_large_ : starved_small_;
}

void EpollRing::starve(int fd) {
  Entry& item = entry(fd);
  const Kind kind = kind_of(*item.input);
  if (into_large(kind) && starved_large_.empty()) large_starved_since_ = now_;
  item.starved = true;
  starved_of(kind).push_back(fd);
  ++stats_.receives_starved;
}

// One block each, in the order in which they came. Who still has bytes after that queues up with the others.
void EpollRing::feed_starved() {
  if (!starved_large_.empty() && pools_.large.free_count() == 0 && now_ - large_starved_since_ >= large_growth_after) {
    pools_.large.grow();
    large_starved_since_ = now_;
  }
  for (const Kind kind : {Kind::receive_small, Kind::receive_large}) {
    BlockPool& pool = kind == Kind::receive_large ? pools_.large : pools_.small;
    std::deque<int>& waiting = starved_of(kind);
    for (size_t count = waiting.size(); count > 0 && !waiting.empty(); --count) {
      if (pool.free_count() == 0 && (kind == Kind::receive_large || !pool.grow())) break;
      const int fd = waiting.front();
      waiting.pop_front();
      entry(fd).starved = false;
      serve_receive(fd, 1, From::starved);
    }
  }
}

}  // namespace ringside
