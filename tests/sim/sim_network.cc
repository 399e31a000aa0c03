#include "tests/sim/sim_network.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "core/check.h"

namespace ringside::sim {
namespace {

constexpr Duration connect_retry_first = seconds(1);  // TCP's, doubled each time
constexpr int connect_attempts_max = 7;

// One fault in three is on, from rare to frequent.
uint32_t strength(Random& random, uint32_t most) {
  if (!random.chance(333'333)) return 0;
  const uint32_t levels[] = {most / 100, most / 10, most};
  return levels[random.below(3)];
}

}  // namespace

Faults Faults::swarm(Random& random) {
  Faults faults;
  if (random.chance(500'000)) {
    faults.latency_min = microseconds(random.between(1, 200));
    faults.latency_max = faults.latency_min + microseconds(random.below(5000));
  }
  if (random.chance(400'000)) faults.segment_bytes_max = static_cast<uint32_t>(random.between(1, 3000));
  if (random.chance(400'000)) faults.send_buffer_bytes = static_cast<uint32_t>(random.between(1000, 40'000));
  if (random.chance(400'000)) faults.receive_buffer_bytes = static_cast<uint32_t>(random.between(1000, 40'000));
  faults.tiny_segment = strength(random, 300'000);
  faults.reset = strength(random, 10'000);
  faults.reset_drops_input = strength(random, 1'000'000);
  faults.connect_refused = strength(random, 300'000);
  faults.connect_unanswered = strength(random, 100'000);
  faults.short_read = strength(random, 900'000);
  faults.short_write = strength(random, 900'000);
  faults.late_completion = strength(random, 500'000);
  faults.late_max = microseconds(random.between(1, 5000));
  faults.multishot_ends = strength(random, 300'000);
  faults.no_block = strength(random, 300'000);
  faults.fds_exhausted = strength(random, 100'000);
  faults.cancel_late = strength(random, 1'000'000);
  faults.empty_turn = strength(random, 300'000);
  faults.stall = strength(random, 50'000);
  faults.stall_max = milliseconds(random.between(1, 100));
  faults.short_file_write = strength(random, 500'000);
  faults.shuffle = random.chance(500'000);
  return faults;
}

// --- Socket ------------------------------------------------------------------------------------------------------------

void Socket::notify() {
  if (user_ != nullptr) user_->on_socket(*this);
}

size_t Socket::read(char* out, size_t size) {
  const size_t taken = std::min(size, input_.size());
  input_.view().copy(out, taken);
  input_.consume(taken);
  read_total_ += taken;
  if (const SocketPtr peer = peer_.lock(); peer != nullptr && taken > 0) peer->pump();  // the window opened
  return taken;
}

size_t Socket::writable_bytes() const {
  if (state_ != State::connected || finishing_ || error_ != 0) return 0;
  const size_t used = output_.size() + in_transit_;
  const size_t limit = network_.faults_.send_buffer_bytes;
  return used < limit ? limit - used : 0;
}

size_t Socket::write(std::string_view bytes) {
  const size_t taken = std::min(bytes.size(), writable_bytes());
  output_.append(bytes.substr(0, taken));
  written_total_ += taken;
  pump();
  return taken;
}

void Socket::finish() {
  if (state_ != State::connected || finishing_) return;
  finishing_ = true;
  pump();
}

void Socket::close() {
  if (state_ == State::closed) return;
  user_ = nullptr;
  if (state_ != State::connected || error_ != 0) {
    state_ = State::closed;
    return;
  }
  state_ = State::closed;
  if (!input_.empty()) return send_reset();
  finishing_ = true;
  network_.orphans_.push_back(shared_from_this());
  pump();
}

void Socket::reset() {
  if (state_ == State::closed) return;
  const bool tell = state_ == State::connected && error_ == 0;
  user_ = nullptr;
  state_ = State::closed;
  if (tell) send_reset();
}

Instant Socket::next_arrival(size_t bytes) {
  // In order, 1 GB/s, and five million segments a second.
  const Duration sending(static_cast<int64_t>(bytes) + 200);
  last_arrival_ = std::max(last_arrival_ + sending, network_.now_ + network_.latency() + sending);
  return last_arrival_;
}

void Socket::send_reset() {
  output_.clear();
  finishing_ = finished_ = true;
  if (const SocketPtr peer = peer_.lock(); peer != nullptr) {
    network_.at(next_arrival(0), [peer] { peer->arrive_reset(); });
  }
  network_.drop_orphan(*this);
}

// Sends what the peer's window takes.
void Socket::pump() {
  if (error_ != 0) return;
  const SocketPtr self = shared_from_this();
  const SocketPtr peer = peer_.lock();
  if (peer == nullptr) {
    // The other end is forgotten by its host, which answers everything with RST.
    if (output_.empty() || state_ != State::connected) return network_.drop_orphan(*this);
    return network_.after(2 * network_.latency(), [self] { self->arrive_reset(); });
  }
  Faults& faults = network_.faults_;
  while (!output_.empty()) {
    const size_t held = in_transit_ + peer->input_.size();
    // A closed peer reads nothing: it answers with RST.
    if (held >= faults.receive_buffer_bytes && peer->state_ != State::closed) return;
    if (network_.chance(faults.reset)) {
      // Something in the middle gives up on the connection: both ends are told.
      send_reset();
      network_.at(network_.now_ + network_.latency(), [self] { self->arrive_reset(); });
      return;
    }
    size_t size = std::min<size_t>(output_.size(), faults.segment_bytes_max);
    if (held < faults.receive_buffer_bytes) size = std::min<size_t>(size, faults.receive_buffer_bytes - held);
    if (network_.chance(faults.tiny_segment)) size = std::min<size_t>(size, network_.random_.between(1, 8));
    in_transit_ += size;
    network_.at(next_arrival(size), [self, peer, bytes = std::string(output_.view().substr(0, size))]() mutable {
      self->in_transit_ -= bytes.size();
      peer->arrive(std::move(bytes));
      if (self->state_ == State::connected) self->notify();  // there is room again
    });
    output_.consume(size);
  }
  if (!finishing_ || finished_) return;
  finished_ = true;
  network_.at(next_arrival(0), [peer] { peer->arrive_end(); });
  network_.drop_orphan(*this);
}

void Socket::arrive(std::string bytes) {
  if (error_ != 0) return;
  if (state_ == State::closed) return send_reset();
  input_.append(bytes);
  notify();
}

void Socket::arrive_end() {
  if (error_ != 0) return;
  input_ended_ = true;
  notify();
}

void Socket::arrive_reset() {
  if (error_ != 0) return;
  error_ = ECONNRESET;
  output_.clear();
  if (network_.chance(network_.faults_.reset_drops_input)) input_.clear();
  network_.drop_orphan(*this);
  notify();
}

// --- Network -----------------------------------------------------------------------------------------------------------

void Network::heal() {
  Faults healthy;
  // Sizes and latencies are how the network is, not what is wrong with it; windows must not shrink below what is in them.
  healthy.latency_min = faults_.latency_min;
  healthy.latency_max = faults_.latency_max;
  healthy.send_buffer_bytes = std::max(faults_.send_buffer_bytes, 16'384U);
  healthy.receive_buffer_bytes = std::max(faults_.receive_buffer_bytes, 16'384U);
  faults_ = healthy;
}

void Network::at(Instant when, std::function<void()> run) {
  events_.push({std::max(when, now_), order_++, std::move(run)});
}

bool Network::step(Instant limit) {
  if (events_.empty() || events_.top().when > limit) {
    if (limit != Instant::max()) now_ = std::max(now_, limit);
    return false;
  }
  // Its place in the queue depends on the other fields only.
  const std::function<void()> run = std::move(const_cast<Event&>(events_.top()).run);
  now_ = std::max(now_, events_.top().when);
  events_.pop();
  run();
  return true;
}

Duration Network::latency() {
  const auto span = static_cast<uint64_t>((faults_.latency_max - faults_.latency_min).count());
  return faults_.latency_min + (span == 0 ? Duration::zero() : Duration(static_cast<int64_t>(random_.below(span + 1))));
}

SocketPtr Network::make_socket() {
  ++sockets_open_;
  return {new Socket(*this), [this](Socket* socket) {
            --sockets_open_;
            delete socket;
          }};
}

void Network::connect(const SocketPtr& socket, const Address& address) {
  RS_CHECK(socket->state_ == Socket::State::fresh);
  socket->state_ = Socket::State::connecting;
  socket->remote_ = address;
  socket->local_ = *Address::from_ip(address.family() == AF_INET6 ? "fd00::1" : "10.1.1.1", next_port_++);
  if (next_port_ == 0) next_port_ = 10000;
  if (chance(faults_.connect_unanswered)) return refuse(socket, ETIMEDOUT);
  if (chance(faults_.connect_refused)) return refuse(socket, ECONNREFUSED);
  after(latency(), [this, socket, address] { syn(socket, address, 0); });
}

void Network::refuse(const SocketPtr& socket, int error) {
  const Duration delay = error == ETIMEDOUT ? Duration(seconds(127)) : latency();
  after(delay, [socket, error] {
    if (socket->state_ != Socket::State::connecting) return;
    socket->error_ = error;
    socket->notify();
  });
}

void Network::syn(const SocketPtr& socket, const Address& address, int attempt) {
  if (socket->state_ != Socket::State::connecting) return;
  const auto found = listeners_.find(address.text());
  if (found == listeners_.end() || found->second.sockets.empty()) return refuse(socket, ECONNREFUSED);
  const auto& sockets = found->second.sockets;
  const ListeningSocketPtr listener = sockets[random_.below(sockets.size())];
  if (listener->pending.size() >= listener->backlog) {
    if (attempt == connect_attempts_max) return refuse(socket, ETIMEDOUT);
    return after(connect_retry_first * (1 << attempt), [this, socket, address, attempt] { syn(socket, address, attempt + 1); });
  }
  const SocketPtr accepted = make_socket();
  accepted->state_ = Socket::State::connected;
  accepted->local_ = address;
  accepted->remote_ = socket->local_;
  accepted->peer_ = socket;
  socket->peer_ = accepted;
  // The client may send from the moment it learns, which is half a round trip after the server could accept.
  after(latency(), [socket, accepted] {
    if (socket->state_ != Socket::State::connecting) return accepted->arrive_reset();
    socket->state_ = Socket::State::connected;
    socket->notify();
    socket->pump();
  });
  listener->pending.push_back(accepted);
  if (listener->on_pending) listener->on_pending();
}

void Network::drop_orphan(const Socket& socket) {
  std::erase_if(orphans_, [&](const SocketPtr& orphan) { return orphan.get() == &socket; });
}

ListeningSocketPtr Network::listen(Address address, bool reuse_port) {
  if (address.is_ip() && address.port() == 0) {
    address.set_port(next_port_++);
  }
  Listeners& group = listeners_[address.text()];
  if (!group.sockets.empty() && !(group.reuse_port && reuse_port)) return nullptr;
  group.reuse_port = reuse_port;
  auto listener = std::make_shared<ListeningSocket>(address);
  group.sockets.push_back(listener);
  return listener;
}

void Network::unlisten(const ListeningSocketPtr& listener) {
  const auto found = listeners_.find(listener->address().text());
  if (found != listeners_.end()) {
    std::erase(found->second.sockets, listener);
    if (found->second.sockets.empty()) listeners_.erase(found);
  }
  listener->on_pending = nullptr;
  for (const SocketPtr& socket : listener->pending) socket->reset();
  listener->pending.clear();
}

}  // namespace ringside::sim
