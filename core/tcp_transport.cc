#include "core/tcp_transport.h"

#include <algorithm>

#include "core/limits.h"

namespace ringside {

TcpTransport::TcpTransport(Worker& worker, int fd) : worker_(worker), fd_(fd) {}

TcpTransport::~TcpTransport() {
  set_hungry(false);
  if (fd_ >= 0) worker_.ring().close(fd_);
}

Address TcpTransport::local_address() const { return worker_.ring().local_address(fd_); }
Address TcpTransport::peer_address() const { return worker_.ring().peer_address(fd_); }

void TcpTransport::start(TransportUser& user, size_t credit_bytes) {
  user_ = &user;
  credit_bytes_ = window_bytes_ = static_cast<int64_t>(credit_bytes);
  arm_receive();
}

// --- receiving ---------------------------------------------------------------------------------------------------------

// A multishot knows nothing of our queues, so it stops earlier than the credit says: small blocks held are dear.
bool TcpTransport::may_receive() const {
  if (credit_bytes_ <= 0) return false;
  if (mode_ == ReceiveMode::bulk) return true;
  return window_bytes_ - credit_bytes_ < static_cast<int64_t>(limits::multishot_held_bytes_max);
}

void TcpTransport::arm_receive() {
  if (closing_ || ended_ || receive_.in_flight()) return;
  if (!may_receive()) return set_hungry(true);
  set_hungry(false);
  cancelling_ = false;
  if (mode_ == ReceiveMode::multishot) return worker_.ring().receive_multishot(receive_, fd_);
  worker_.ring().receive_once(receive_, fd_, ReceiveSize::large);
}

void TcpTransport::set_hungry(bool hungry) {
  if (hungry_ == hungry) return;
  hungry_ = hungry;
  worker_.ring().add_hungry(hungry ? 1 : -1);
}

void TcpTransport::on_receive(Cqe cqe) {
  if (cqe.result > 0) {
    Slice bytes = worker_.ring().take_received(cqe);
    if (!closing_) received(std::move(bytes), cqe);
  } else if (cqe.result == 0) {
    ended_ = true;
    if (!closing_) user_->on_end();
  } else if (cqe.result != -ECANCELED && !closing_) {
    close(error_from_errno(-cqe.result));
  }
  if (closing_) return join();
  if (receive_.in_flight() && !cancelling_ && !may_receive()) {
    cancelling_ = true;
    worker_.ring().cancel(receive_);
  }
  arm_receive();
}

void TcpTransport::received(Slice bytes, Cqe cqe) {
  const size_t size = bytes.size();
  credit_bytes_ -= static_cast<int64_t>(size);
  choose_mode(size);
  // A few bytes must not hold a large block while they wait in a queue.
  if (size < limits::copy_below_bytes && bytes.held_bytes() > limits::small_block_bytes)
    bytes = worker_.output().copy(bytes.text());
  static_cast<void>(cqe);
  user_->on_bytes(std::move(bytes));
}

void TcpTransport::choose_mode(size_t bytes) {
  if (mode_ == ReceiveMode::multishot) {
    streak_ = bytes == limits::small_block_bytes ? static_cast<uint8_t>(streak_ + 1) : uint8_t{0};
    if (streak_ < limits::bulk_after_blocks) return;
    mode_ = ReceiveMode::bulk;
    streak_ = 0;
    if (!receive_.in_flight() || cancelling_) return;
    cancelling_ = true;
    return worker_.ring().cancel(receive_);
  }
  streak_ = bytes < limits::small_block_bytes ? static_cast<uint8_t>(streak_ + 1) : uint8_t{0};
  if (streak_ < 4) return;
  mode_ = ReceiveMode::multishot;
  streak_ = 0;
}

void TcpTransport::expect(size_t bytes) {
  if (bytes < limits::bulk_body_bytes || mode_ == ReceiveMode::bulk) {
    if (bytes >= limits::bulk_body_bytes) streak_ = 0;
    return;
  }
  mode_ = ReceiveMode::bulk;
  streak_ = 0;
  if (!receive_.in_flight() || cancelling_) return;
  cancelling_ = true;
  worker_.ring().cancel(receive_);
}

void TcpTransport::grant(size_t bytes) {
  credit_bytes_ += static_cast<int64_t>(bytes);
  // Re-armed at half the window, so that a slow reader does not make us arm and cancel for every send.
  if (!receive_.in_flight() && !ended_ && !closing_ && user_ != nullptr && hungry_) {
    const int64_t span = mode_ == ReceiveMode::bulk
                             ? window_bytes_
                             : std::min<int64_t>(window_bytes_, limits::multishot_held_bytes_max);
    if (window_bytes_ - credit_bytes_ <= span / 2) arm_receive();
  }
}

// --- sending -----------------------------------------------------------------------------------------------------------

void TcpTransport::send(Slice bytes) {
  if (closing_ || finishing_) return;
  out_.append(std::move(bytes));
  if (!send_.in_flight()) worker_.flush_later(*this);
}

void TcpTransport::finish() {
  if (finishing_ || closing_) return;
  finishing_ = true;
  if (!send_.in_flight()) worker_.flush_later(*this);
}

void TcpTransport::on_flush() {
  if (closing_) return join();
  if (send_.in_flight()) return;
  if (!out_.empty()) {
    const bool all = out_.slice_count() <= limits::send_pieces_max;
    worker_.ring().send(send_, fd_, out_, all && !finishing_ ? Wake::lazy : Wake::prompt);
    return;
  }
  if (finishing_ && !finished_) {
    finished_ = true;
    worker_.ring().shutdown_write(fd_);
  }
}

void TcpTransport::on_send(Cqe cqe) {
  if (closing_) return join();
  if (cqe.result < 0) return close(error_from_errno(-cqe.result));
  const auto sent_bytes = static_cast<size_t>(cqe.result);
  out_.consume(sent_bytes);
  user_->on_sent(sent_bytes);
  if (closing_) return;
  if (!out_.empty() || finishing_) worker_.flush_later(*this);
}

// --- teardown ----------------------------------------------------------------------------------------------------------

void TcpTransport::close(Error why) {
  if (closing_) return;
  closing_ = true;
  close_reason_ = why;
  set_hungry(false);
  worker_.ring().cancel(receive_);
  worker_.ring().cancel(send_);
  worker_.flush_later(*this);  // on_closed never comes from inside this call, even when nothing is in flight
}

void TcpTransport::abort(Error why) {
  if (!closing_) worker_.ring().reset_on_close(fd_);
  close(why);
}

void TcpTransport::join() {
  if (closed_ || receive_.in_flight() || send_.in_flight()) return;
  closed_ = true;
  out_.clear();
  worker_.ring().close(fd_);
  fd_ = -1;
  if (user_ != nullptr) user_->on_closed(close_reason_);
}

}  // namespace ringside
