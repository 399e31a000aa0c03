#include "core/tcp_transport.h"

#include <algorithm>

#include "core/limits.h"

namespace ringside {
namespace {
constexpr size_t credit_bytes_most = 1U << 30;
constexpr uint32_t relay_all = UINT32_MAX;
}  // namespace

TcpTransport::TcpTransport(Worker& worker, int fd) : worker_(worker), fd_(fd) {}

std::unique_ptr<TcpTransport> TcpTransport::make(Worker& worker, int fd) {
  return std::unique_ptr<TcpTransport>(worker.transports().make(worker, fd));
}

void TcpTransport::operator delete(TcpTransport* transport, std::destroying_delete_t) {
  transport->worker_.transports().destroy(transport);
}

TcpTransport::~TcpTransport() {
  set_hungry(false);
  if (fd_ >= 0) worker_.ring().close(fd_);
}

Address TcpTransport::local_address() const {
  return facts_ != nullptr && !facts_->local.empty() ? facts_->local : worker_.ring().local_address(fd_);
}

Address TcpTransport::peer_address() const {
  return facts_ != nullptr && !facts_->peer.empty() ? facts_->peer : worker_.ring().peer_address(fd_);
}

ConnectionFacts& TcpTransport::facts() {
  if (facts_ == nullptr) facts_ = std::make_unique<ConnectionFacts>();
  return *facts_;
}

void TcpTransport::start(TransportUser& user, size_t credit_bytes) {
  user_ = &user;
  if (closing_) return;
  const int32_t held_bytes = credit_.window - credit_.bytes;
  credit_.window = static_cast<int32_t>(std::min<size_t>(credit_bytes, credit_bytes_most));
  credit_.bytes = credit_.window - held_bytes;
  arm_receive();
}

void TcpTransport::deliver(Slice bytes) {
  if (!closing_) user_->on_bytes(std::move(bytes));
}

// --- receiving ---------------------------------------------------------------------------------------------------------

// A multishot knows nothing of our queues, so it stops earlier than the credit says: small blocks held are dear.
// Neither does a pipe get far ahead of its reader: the socket's own queue holds the rest.
bool TcpTransport::may_receive() const {
  return credit_.bytes > 0 && credit_.window - credit_.bytes < held_bytes_max();
}

int32_t TcpTransport::held_bytes_max() const {
  if (mode_ == ReceiveMode::multishot) return limits::multishot_held_bytes_max;
  return pipes() ? limits::piped_held_bytes_max : credit_.window;
}

bool TcpTransport::pipes() const {
  return mode_ == ReceiveMode::bulk && !dribbles_ && relay_bytes_ >= limits::piped_bytes_min;
}

void TcpTransport::arm_receive() {
  if (closing_ || ended_ || receiving()) return;
  if (!may_receive()) return set_hungry(true);
  set_hungry(false);
  cancelling_ = false;
  if (mode_ == ReceiveMode::multishot) return worker_.ring().receive_multishot(receive_op(), fd_);
  if (pipes())
    return worker_.ring().receive_piped(receive_op(), fd_, std::min(relay_bytes_, static_cast<uint32_t>(credit_.bytes)));
  worker_.ring().receive_once(receive_op(), fd_, small_next_ ? ReceiveSize::small : ReceiveSize::large);
}

void TcpTransport::set_hungry(bool hungry) {
  if (hungry_ == hungry) return;
  hungry_ = hungry;
  worker_.ring().add_hungry(hungry ? 1 : -1);
}

void TcpTransport::on_receive(Cqe cqe) {
  if (cqe.result > 0) {
    Slice bytes = worker_.ring().take_received(cqe);
    if (!closing_) received(std::move(bytes));
  } else if (cqe.result == 0) {
    ended_ = true;
    if (!closing_) user_->on_end();
  } else if (cqe.result != -ECANCELED && !closing_) {
    close(error_from_errno(-cqe.result));
  }
  if (closing_) return join();
  if (receiving() && !cancelling_ && !may_receive()) {
    cancelling_ = true;
    worker_.ring().cancel(receive_op());
  }
  arm_receive();
}

void TcpTransport::received(Slice bytes) {
  const size_t size = bytes.size();
  credit_.bytes -= static_cast<int32_t>(size);
  if (relay_bytes_ != relay_all) relay_bytes_ -= std::min(relay_bytes_, static_cast<uint32_t>(size));
  if (bytes.piped() || size >= limits::piped_bytes_min) dribbles_ = size < limits::piped_bytes_min;
  // A connection with one large body will have another, whose head must not bring half of it into memory.
  if (relays_)
    small_next_ = bytes.piped() || size >= limits::piped_bytes_min || (small_next_ && size < limits::small_block_bytes);
  choose_mode(size);
  // A few bytes must not hold a large block while they wait in a queue.
  if (size < limits::copy_below_bytes && bytes.held_bytes() > limits::small_block_bytes)
    bytes = worker_.output().copy(bytes.text());
  user_->on_bytes(std::move(bytes));
}

void TcpTransport::choose_mode(size_t bytes) {
  if (mode_ == ReceiveMode::multishot) {
    streak_ = bytes == limits::small_block_bytes ? (streak_ + 1) & 0xf : 0;
    if (streak_ < limits::bulk_after_blocks) return;
    mode_ = ReceiveMode::bulk;
    streak_ = 0;
    if (!receiving() || cancelling_) return;
    cancelling_ = true;
    return worker_.ring().cancel(receive_op());
  }
  streak_ = bytes < limits::small_block_bytes ? (streak_ + 1) & 0xf : 0;
  if (streak_ < 4) return;
  mode_ = ReceiveMode::multishot;
  streak_ = 0;
}

void TcpTransport::expect(size_t bytes) {
  if (closing_) return;
  if (bytes < limits::bulk_body_bytes || mode_ == ReceiveMode::bulk) {
    if (bytes >= limits::bulk_body_bytes) streak_ = 0;
    return;
  }
  mode_ = ReceiveMode::bulk;
  streak_ = 0;
  if (!receiving() || cancelling_) return;
  cancelling_ = true;
  worker_.ring().cancel(receive_op());
}

void TcpTransport::relay(size_t bytes) {
  if (bytes > relay_bytes_) dribbles_ = false;  // another body
  relay_bytes_ = static_cast<uint32_t>(std::min<size_t>(bytes, relay_all));
  relays_ = true;
}

void TcpTransport::grant(size_t bytes) {
  if (closing_) return;
  credit_.bytes += static_cast<int32_t>(bytes);
  // Re-armed at half the window, so that a slow reader does not make us arm and cancel for every send.
  if (!receiving() && !ended_ && user_ != nullptr && hungry_) {
    const int32_t span = std::min(credit_.window, held_bytes_max());
    if (credit_.window - credit_.bytes <= span / 2) arm_receive();
  }
}

// --- sending -----------------------------------------------------------------------------------------------------------

void TcpTransport::send(Slice bytes) {
  if (closing_ || finishing_) return;
  out_.append(std::move(bytes));
  flush_soon();
}

// Behind a send in flight its completion goes on, which must come soon then.
void TcpTransport::flush_soon() {
  if (sending()) return worker_.ring().hurry();
  worker_.flush_later(*this);
}

void TcpTransport::finish() {
  if (finishing_ || closing_) return;
  finishing_ = true;
  flush_soon();
}

void TcpTransport::finish_and_close() {
  closes_ = true;
  finish();
}

void TcpTransport::on_flush() {
  if (closing_) return join();
  if (sending()) return;
  if (!out_.empty()) {
    worker_.ring().send(send_op(), fd_, out_, finishing_ ? Wake::prompt : Wake::lazy);
    return;
  }
  if (closes_) return close({});
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
  close_code_ = why.code;
  close_origin_ = why.origin;
  close_retry_ = why.retry;
  close_detail_ = why.detail;
  set_hungry(false);
  worker_.ring().cancel(receive_op());
  worker_.ring().cancel(send_op());
  worker_.flush_later(*this);  // on_closed never comes from inside this call, even when nothing is in flight
}

void TcpTransport::abort(Error why) {
  if (!closing_) worker_.ring().reset_on_close(fd_);
  close(why);
}

void TcpTransport::join() {
  if (fd_ < 0 || receiving() || sending()) return;
  out_.clear();
  worker_.ring().close(fd_);
  fd_ = -1;
  if (user_ != nullptr) user_->on_closed({close_code_, close_origin_, close_retry_, close_detail_});
}

}  // namespace ringside
