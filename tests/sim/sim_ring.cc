#include "tests/sim/sim_ring.h"

#include <poll.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "core/limits.h"

namespace ringside::sim {
namespace {

constexpr Duration turn_cost = microseconds(1);  // so that no chain of turns stays at one instant for ever
constexpr uint32_t receive_blocks_max = 8;
constexpr Duration receive_again_after = microseconds(1);
constexpr size_t garbage_bytes_max = 4096;

size_t checksum_of(const std::vector<std::string_view>& pieces) {
  size_t sum = 0;
  for (const std::string_view piece : pieces) sum = sum * 31 + std::hash<std::string_view>()(piece);
  return sum;
}

}  // namespace

SimRing::SimRing(Network& network, BlockPools& pools) : network_(network), pools_(pools), now_(network.now()) {}

SimRing::~SimRing() {
  for (const Completion& completion : completions_)
    if (completion.block != nullptr) completion.block->owner->recycle(*completion.block);
  for (auto& [fd, item] : files_) {
    if (item.listener != nullptr) network_.unlisten(item.listener);
    if (item.socket != nullptr) item.socket->close();
  }
}

WallTime SimRing::wall_now() const {
  return WallTime(std::chrono::sys_days(std::chrono::year(2024) / 1 / 1)) + (now_ - Instant());
}

// Runs inside a later turn, of whichever ring on this network comes first.
template <class Run>
void SimRing::later(Duration delay, Run run) {
  network_.after(delay, [alive = std::weak_ptr<bool>(alive_), run] {
    if (!alive.expired()) run();
  });
}

Duration SimRing::some_delay() {
  return Duration(static_cast<int64_t>(network_.random().below(static_cast<uint64_t>(network_.faults().late_max.count()) + 1)));
}

// --- sockets -----------------------------------------------------------------------------------------------------------

int SimRing::allocate_fd(File item) {
  if (files_.size() >= fds_max_ || network_.chance(network_.faults().fds_exhausted)) return -EMFILE;
  int fd = first_fd;  // the lowest free one, as a kernel does: numbers come back at once
  while (files_.contains(fd)) ++fd;
  if (item.socket != nullptr) {
    item.socket->set_user(this);
    fds_[item.socket.get()] = fd;
  }
  files_.emplace(fd, std::move(item));
  return fd;
}

SimRing::File& SimRing::file(int fd) {
  const auto found = files_.find(fd);
  RS_CHECK(found != files_.end());
  return found->second;
}

int SimRing::open_file(std::string& sink) {
  File item;
  item.sink = &sink;
  return allocate_fd(std::move(item));
}

Result<int> SimRing::socket(int) {
  File item;
  item.socket = network_.make_socket();
  const int fd = allocate_fd(std::move(item));
  if (fd < 0) return std::unexpected(error_from_errno(-fd));
  return fd;
}

Result<int> SimRing::listen(const Address& address, const ListenOptions& options, int* error_number) {
  File item;
  item.listener = network_.listen(address, options.reuse_port);
  if (item.listener == nullptr) {
    if (error_number != nullptr) *error_number = EADDRINUSE;
    return std::unexpected(error_from_errno(EADDRINUSE));
  }
  if (options.backlog != 0) item.listener->backlog = options.backlog;
  const ListeningSocketPtr listener = item.listener;
  const int fd = allocate_fd(std::move(item));
  if (fd < 0) {
    network_.unlisten(listener);
    if (error_number != nullptr) *error_number = -fd;
    return std::unexpected(error_from_errno(-fd));
  }
  listener->on_pending = [this, fd] {
    if (const uint32_t number = file(fd).input; number != 0) attempt(number);
  };
  return fd;
}

Address SimRing::local_address(int fd) {
  const File& item = file(fd);
  return item.listener != nullptr ? item.listener->address() : item.socket->local();
}
Address SimRing::peer_address(int fd) { return file(fd).socket->remote(); }
void SimRing::shutdown_write(int fd) { file(fd).socket->finish(); }

void SimRing::close(int fd) {
  if (fd < first_fd) {
    ::close(fd);
    return;
  }
  File& item = file(fd);
  RS_CHECK(item.input == 0 && item.output == 0);
  if (item.listener != nullptr) network_.unlisten(item.listener);
  if (item.socket != nullptr) {
    fds_.erase(item.socket.get());
    if (item.resets) item.socket->reset();
    item.socket->close();
  }
  files_.erase(fd);
}

// --- operations --------------------------------------------------------------------------------------------------------

SimRing::Operation& SimRing::start(Op& op, Kind kind, int fd) {
  op.mark_submitted();
  const uint32_t number = next_operation_++;
  op.ring_tag = number;
  ++stats_.submissions;
  if (kind != Kind::write && kind != Kind::poll) {
    File& item = file(fd);
    uint32_t& slot = kind == Kind::send || kind == Kind::connect ? item.output : item.input;
    RS_CHECK(slot == 0);  // one operation per direction
    slot = number;
  }
  Operation& operation = operations_[number];
  operation.op = &op;
  operation.number = number;
  operation.kind = kind;
  operation.fd = fd;
  operation.reported_until = network_.now();
  attempt_later(number, Duration::zero());
  return operation;
}

SimRing::Operation* SimRing::find(uint32_t number) {
  const auto found = operations_.find(number);
  return found != operations_.end() ? &found->second : nullptr;
}

void SimRing::accept_multishot(Op& op, int listener_fd) { start(op, Kind::accept, listener_fd); }
void SimRing::receive_multishot(Op& op, int fd) { start(op, Kind::receive_multishot, fd); }
void SimRing::receive_once(Op& op, int fd, ReceiveSize size) {
  start(op, size == ReceiveSize::small ? Kind::receive_small : Kind::receive_large, fd);
}

void SimRing::receive_piped(Op& op, int fd, size_t bytes_max) {
  start(op, Kind::receive_piped, fd).piped_max = std::min<size_t>(bytes_max, limits::piped_bytes_max);
}

void SimRing::send(Op& op, int fd, const Buffer& bytes, Wake wake) {
  Operation& operation = start(op, Kind::send, fd);
  operation.lazy = wake == Wake::lazy;
  const size_t count = std::min<size_t>(bytes.slice_count(), limits::send_pieces_max);
  for (size_t at = 0; at < count && operation.piped.empty(); ++at) {
    const Slice& slice = bytes.slice(at);
    operation.total_bytes += slice.size();
    if (slice.piped()) {
      operation.piped = slice.share();
      const auto& pipe = static_cast<const Pipe&>(*slice.block());
      RS_CHECK(slice.data() == pipe.data + pipe.drained_bytes);  // a pipe gives its bytes in order
      operation.pieces.push_back(std::string_view(pipe.bytes).substr(pipe.drained_bytes, slice.size()));
    } else {
      operation.pieces.push_back(slice.text());
    }
  }
  operation.lazy = operation.lazy && operation.total_bytes == bytes.size_bytes();
  operation.checksum = checksum_of(operation.pieces);
}

void SimRing::connect(Op& op, int fd, const Address& address) { start(op, Kind::connect, fd).address = &address; }

void SimRing::poll_multishot(Op& op, int fd, uint32_t events) {
  RS_CHECK(fd < first_fd);  // eventfds of mailboxes: real ones
  start(op, Kind::poll, fd).poll_events = events;
}

void SimRing::write(Op& op, int fd, const Buffer& bytes) {
  Operation& operation = start(op, Kind::write, fd);
  for (size_t at = 0; at < std::min<size_t>(bytes.slice_count(), limits::send_pieces_max); ++at) {
    operation.pieces.push_back(bytes.slice(at).text());
    operation.total_bytes += bytes.slice(at).size();
  }
}

void SimRing::cancel(Op& target) {
  if (!target.in_flight()) return;
  const uint32_t number = target.ring_tag;
  RS_CHECK(find(number) != nullptr && find(number)->op == &target);
  find(number)->cancelling = true;
  const bool late = network_.chance(network_.faults().cancel_late);
  later(late ? some_delay() : Duration::zero(), [this, number] {
    Operation* operation = find(number);
    if (operation == nullptr || operation->ended) return;  // it won the race
    complete(*operation, -ECANCELED, More::no);
  });
}

// --- what the kernel would do ------------------------------------------------------------------------------------------

void SimRing::attempt_later(uint32_t number, Duration delay) {
  later(delay, [this, number] { attempt(number); });
}

void SimRing::on_socket(Socket& socket) {
  const auto found = fds_.find(&socket);
  if (found == fds_.end()) return;
  const int fd = found->second;
  if (const uint32_t number = file(fd).output; number != 0) attempt(number);
  if (const uint32_t number = file(fd).input; number != 0) attempt(number);
}

void SimRing::attempt(uint32_t number) {
  Operation* operation = find(number);
  if (operation == nullptr || operation->ended || operation->starved) return;
  switch (operation->kind) {
    case Kind::accept:
      return attempt_accept(*operation);
    case Kind::receive_multishot:
    case Kind::receive_small:
    case Kind::receive_large:
    case Kind::receive_piped:
      return attempt_receive(*operation);
    case Kind::send:
      return attempt_send(*operation);
    case Kind::connect:
      return attempt_connect(*operation);
    case Kind::write:
      return attempt_write(*operation);
    case Kind::poll:
      return;  // looked at in each turn
  }
}

void SimRing::attempt_accept(Operation& operation) {
  std::deque<SocketPtr>& pending = file(operation.fd).listener->pending;
  while (!pending.empty() && !operation.ended) {
    File accepted;
    accepted.socket = pending.front();
    const int fd = allocate_fd(std::move(accepted));
    if (fd < 0) return complete(operation, fd, More::no);
    pending.pop_front();
    complete(operation, fd, network_.chance(network_.faults().multishot_ends) ? More::no : More::yes);
  }
}

void SimRing::attempt_receive(Operation& operation) {
  Socket& socket = *file(operation.fd).socket;
  if (socket.state() == Socket::State::connecting) return;
  const bool multishot = operation.kind == Kind::receive_multishot;
  const bool into_large = operation.kind == Kind::receive_large || operation.kind == Kind::receive_piped;
  BlockPool& pool = into_large ? pools_.large : pools_.small;
  for (uint32_t count = 0; socket.readable(); ++count) {
    if (socket.readable_bytes() == 0) return complete(operation, socket.error() != 0 ? -socket.error() : 0, More::no);
    // A kernel may still have had a batch when the cancel came, but not an endless stream.
    if (operation.raced) return;
    if (count == receive_blocks_max) return attempt_later(operation.number, receive_again_after);
    if (operation.kind == Kind::receive_piped && attempt_piped(operation, socket)) return;
    Block* block = network_.chance(network_.faults().no_block) ? nullptr : pool.take_or_grow();
    if (block == nullptr) return starve(operation);
    size_t size = std::min<size_t>(block->capacity, socket.readable_bytes());
    if (network_.chance(network_.faults().short_read)) size = network_.random().between(1, size);
    socket.read(block->data, size);
    // Whoever reads behind the end finds no old bytes that happen to be right.
    std::memset(block->data + size, 0xA5, std::min(garbage_bytes_max, block->capacity - size));
    const bool more = multishot && !network_.chance(network_.faults().multishot_ends);
    complete(operation, static_cast<int>(size), more ? More::yes : More::no, block);
    if (!more) return;
  }
  operation.raced = operation.cancelling;
}

// False when there is no pipe to be had.
bool SimRing::attempt_piped(Operation& operation, Socket& socket) {
  if (network_.chance(network_.faults().no_block)) return false;
  size_t size = std::min(operation.piped_max, socket.readable_bytes());
  if (network_.chance(network_.faults().short_read)) size = network_.random().between(1, size);
  auto* pipe = new Pipe;
  pipe->data = const_cast<char*>(piped_bytes_base());
  pipe->owner = &pipes_;
  pipe->piped = true;
  ++pipes_.used;
  pipe->bytes.resize(size);
  socket.read(pipe->bytes.data(), size);
  stats_.piped_bytes += size;
  complete(operation, static_cast<int>(size), More::no, pipe);
  return true;
}

void SimRing::attempt_send(Operation& operation) {
  Socket& socket = *file(operation.fd).socket;
  if (socket.error() != 0) return complete(operation, -socket.error(), More::no);
  const bool first = !std::exchange(operation.started, true);
  size_t allowed = operation.total_bytes - operation.done_bytes;
  const bool cut = network_.chance(network_.faults().short_write);
  if (cut) allowed = network_.random().between(1, allowed);
  std::string bytes;
  size_t skip = operation.done_bytes;
  for (const std::string_view piece : operation.pieces) {
    const size_t skipped = std::min(skip, piece.size());
    skip -= skipped;
    bytes += piece.substr(skipped, allowed - bytes.size());
  }
  operation.done_bytes += socket.write(bytes);
  if (operation.done_bytes == operation.total_bytes) {
    RS_CHECK(checksum_of(operation.pieces) == operation.checksum);  // untouched until completion
    if (!operation.piped.empty()) static_cast<Pipe&>(*operation.piped.block()).drained_bytes += operation.piped.size();
    operation.piped = Slice();
    operation.lazy = operation.lazy && first;
    return complete(operation, static_cast<int>(operation.total_bytes), More::no);
  }
  if (first) ++stats_.sends_short;
  if (cut) attempt_later(operation.number, some_delay());  // a full buffer tells by itself when it has room
}

void SimRing::attempt_connect(Operation& operation) {
  const SocketPtr socket = file(operation.fd).socket;
  if (!std::exchange(operation.started, true)) network_.connect(socket, *operation.address);
  if (socket->error() != 0) return complete(operation, -socket->error(), More::no);
  if (socket->state() == Socket::State::connected) complete(operation, 0, More::no);
}

void SimRing::attempt_write(Operation& operation) {
  size_t allowed = operation.total_bytes;
  if (allowed > 1 && network_.chance(network_.faults().short_file_write)) allowed = network_.random().between(1, allowed);
  size_t written = 0;
  for (std::string_view piece : operation.pieces) {
    piece = piece.substr(0, allowed - written);
    if (operation.fd >= first_fd) {
      file(operation.fd).sink->append(piece);
    } else if (!piece.empty() && ::write(operation.fd, piece.data(), piece.size()) != static_cast<ssize_t>(piece.size())) {
      return complete(operation, -EIO, More::no);
    }
    written += piece.size();
  }
  complete(operation, static_cast<int>(written), More::no);
}

void SimRing::poll_real_files() {
  for (auto& [number, operation] : operations_) {
    if (operation.kind != Kind::poll || operation.ended) continue;
    pollfd item{.fd = operation.fd, .events = static_cast<short>(operation.poll_events), .revents = 0};
    if (::poll(&item, 1, 0) == 1) complete(operation, item.revents, More::yes);
  }
}

// --- completions -------------------------------------------------------------------------------------------------------

void SimRing::complete(Operation& operation, int result, More more, Block* block) {
  Completion completion{.operation = operation.number, .cqe = {.result = result, .flags = 0}, .block = block};
  if (more == More::yes) completion.cqe.flags |= Cqe::flag_more;
  if (block != nullptr) completion.cqe.flags |= Cqe::flag_buffer;
  operation.ended = more == More::no;
  if (operation.starved) std::erase(starved_, operation.number);
  const bool late = network_.chance(network_.faults().late_completion);
  const Instant when = std::max(operation.reported_until, network_.now() + (late ? some_delay() : Duration::zero()));
  operation.reported_until = when;
  if (when > network_.now()) operation.lazy = false;  // what was not done at once is told at once
  if (when == network_.now() && operation.unreported == 0) return report(completion);
  ++operation.unreported;
  later(when - network_.now(), [this, completion] {
    --find(completion.operation)->unreported;
    report(completion);
  });
}

void SimRing::report(const Completion& completion) {
  const Operation& operation = *find(completion.operation);
  const bool lazy = operation.lazy && completion.cqe.result > 0;
  (lazy ? lazy_ : completions_).push_back(completion);
}

void SimRing::starve(Operation& operation) {
  operation.starved = true;
  starved_.push_back(operation.number);
  ++stats_.receives_starved;
  woken_ = true;  // the kernel tells the ring, which tries again in its next turn
}

void SimRing::feed_starved() {
  std::vector<uint32_t> waiting;
  waiting.swap(starved_);
  for (const uint32_t number : waiting) {
    Operation* operation = find(number);
    if (operation == nullptr || operation->ended) continue;
    operation->starved = false;
    attempt(number);
  }
}

// --- one turn ----------------------------------------------------------------------------------------------------------

bool SimRing::ends_wait() const { return woken_ || !completions_.empty() || (wants_lazy() && !lazy_.empty()); }

void SimRing::turn(Duration wait_max) {
  ++stats_.turns;
  woken_ = false;
  const Faults& faults = network_.faults();
  if (network_.chance(faults.stall)) {
    network_.spend(Duration(static_cast<int64_t>(network_.random().below(static_cast<uint64_t>(faults.stall_max.count())))));
  }
  if (network_.chance(faults.empty_turn)) wait_max = Duration::zero();
  feed_starved();
  poll_real_files();
  wait(wait_max);
  network_.spend(turn_cost);
  now_ = network_.now();
  hurried_ = false;
  dispatch();
}

void SimRing::wait(Duration wait_max) {
  stuck_ = false;
  const Instant start = network_.now();
  const Instant limit = wait_max > Instant::max() - start ? Instant::max() : start + wait_max;
  while (!ends_wait()) {
    if (network_.step(limit)) continue;
    stuck_ = limit == Instant::max() && lazy_.empty();
    return;
  }
  while (network_.step(network_.now())) {  // what happens at the same instant comes in the same batch
  }
}

// Any order across operations; of one operation, the order in which they happened.
void SimRing::shuffle(std::vector<Completion>& batch) {
  std::vector<uint32_t> order;
  std::map<uint32_t, std::deque<Completion>> queues;
  for (const Completion& completion : batch) {
    order.push_back(completion.operation);
    queues[completion.operation].push_back(completion);
  }
  for (size_t left = order.size(); left > 1; --left) std::swap(order[left - 1], order[network_.random().below(left)]);
  for (size_t at = 0; at < batch.size(); ++at) {
    std::deque<Completion>& queue = queues[order[at]];
    batch[at] = queue.front();
    queue.pop_front();
  }
}

void SimRing::dispatch() {
  batch_.swap(lazy_);
  batch_.insert(batch_.end(), completions_.begin(), completions_.end());
  completions_.clear();
  if (network_.faults().shuffle) shuffle(batch_);
  for (size_t at = 0; at < batch_.size(); ++at) dispatch_one(batch_[at]);
  batch_.clear();
}

void SimRing::dispatch_one(const Completion& completion) {
  ++stats_.completions;
  Operation& operation = *find(completion.operation);
  Op& op = *operation.op;
  if (!completion.cqe.more()) {
    RS_CHECK(operation.ended && operation.unreported == 0);
    if (operation.fd >= first_fd && operation.kind != Kind::write) {
      File& item = file(operation.fd);
      if (item.input == completion.operation) item.input = 0;
      if (item.output == completion.operation) item.output = 0;
    }
    operations_.erase(completion.operation);
  }
  received_ = completion.block;
  op.complete(completion.cqe);
  RS_CHECK(received_ == nullptr);  // the handler must take it
}

Slice SimRing::take_received(Cqe cqe) {
  RS_CHECK(received_ != nullptr && cqe.result > 0);
  Block& block = *std::exchange(received_, nullptr);
  return {block, block.data, static_cast<size_t>(cqe.result)};
}

}  // namespace ringside::sim
