#include "tests/sim/sim_peer.h"

#include <algorithm>
#include <utility>

#include "core/check.h"

namespace ringside::sim {
namespace {
constexpr size_t everything = static_cast<size_t>(-1);
}

Peer::~Peer() {
  if (socket_ != nullptr) socket_->reset();
}

void Peer::connect(const Address& address) {
  RS_CHECK(socket_ == nullptr);
  socket_ = network_.make_socket();
  socket_->set_user(this);
  network_.connect(socket_, address);
  start_ticking();
}

void Peer::adopt(SocketPtr socket) {
  RS_CHECK(socket_ == nullptr);
  socket_ = std::move(socket);
  socket_->set_user(this);
  // What came before us is looked at like what comes now.
  later(Duration::zero(), [this] {
    if (socket_ != nullptr) on_socket(*socket_);
  });
}

void Peer::send(std::string_view bytes) {
  output_.append(bytes);
  write_out();
}

void Peer::finish() {
  finishing_ = true;
  write_out();
}

void Peer::reset() {
  if (socket_ == nullptr) return;
  std::exchange(socket_, nullptr)->reset();
  output_.clear();
}

void Peer::close() {
  if (socket_ == nullptr) return;
  std::exchange(socket_, nullptr)->close();
  output_.clear();
}

void Peer::read_slowly(size_t bytes, Duration tick_time) {
  read_bytes_ = bytes;
  read_tick_ = tick_time;
  allowance_ = 0;
  start_ticking();
}

void Peer::start_ticking() {
  if (socket_ == nullptr || read_bytes_ == everything || read_bytes_ == 0 || std::exchange(ticking_, true)) return;
  later(read_tick_, [this] { tick(); });
}

void Peer::read_freely() {
  read_bytes_ = everything;
  if (socket_ != nullptr) later(Duration::zero(), [this] { read_in(); });
}

void Peer::tick() {
  ticking_ = false;
  allowance_ = read_bytes_;
  start_ticking();
  if (ticking_) read_in();
}

void Peer::on_socket(Socket& socket) {
  if (&socket != socket_.get()) return;
  if (!connected_ && socket.state() == Socket::State::connected) {
    connected_ = true;
    on_connected();
  }
  write_out();
  read_in();
}

void Peer::write_out() {
  if (socket_ == nullptr || socket_->state() != Socket::State::connected) return;
  if (!output_.empty()) output_.consume(socket_->write(output_.view()));
  if (output_.empty() && finishing_) socket_->finish();
}

void Peer::read_in() {
  char bytes[16384];
  while (socket_ != nullptr && socket_->readable_bytes() > 0) {
    size_t size = sizeof bytes;
    if (read_bytes_ != everything) size = std::min(size, allowance_);
    if (size == 0) return;
    size = socket_->read(bytes, size);
    if (read_bytes_ != everything) allowance_ -= size;
    on_bytes({bytes, size});
  }
  if (socket_ == nullptr) return;
  if (socket_->error() != 0) {
    const int error = socket_->error();
    std::exchange(socket_, nullptr)->close();
    return on_failed(error);
  }
  if (socket_->ended() && !std::exchange(ended_, true)) on_end();
}

}  // namespace ringside::sim
