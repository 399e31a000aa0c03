#include "core/dialer.h"

namespace ringside {

Dialer::~Dialer() {
  if (fd_ >= 0) worker_.ring().close(fd_);
}

void Dialer::dial(const Address& address, Duration timeout) {
  RS_CHECK(!dialing());
  address_ = address;
  error_ = {};
  Result<int> fd = worker_.ring().socket(address.family());
  if (!fd) {
    error_ = fd.error();
    return worker_.arm(failed_, Duration::zero());
  }
  fd_ = *fd;
  worker_.ring().connect(connect_, fd_, address_);
  worker_.arm(timeout_, timeout);
}

void Dialer::cancel() {
  if (!connect_.in_flight()) return;
  if (error_.code == ErrorCode::none) error_ = {ErrorCode::cancelled, Origin::local, Retry::never, "connect cancelled"};
  timeout_.disarm();
  worker_.ring().cancel(connect_);
}

void Dialer::on_timeout() {
  error_ = {ErrorCode::timed_out, Origin::upstream, Retry::always, "connect timeout"};
  cancel();
}

void Dialer::on_connect(Cqe cqe) {
  timeout_.disarm();
  const int fd = fd_;
  fd_ = -1;
  // A connect that won the race against its cancel is a failure all the same: the deadline has been told.
  if (cqe.result >= 0 && error_.code == ErrorCode::none) return user_.on_connected(fd);
  worker_.ring().close(fd);
  if (error_.code == ErrorCode::none) error_ = error_from_errno(-cqe.result, Origin::upstream);
  user_.on_connect_failed(error_);
}

void Dialer::on_failed() { user_.on_connect_failed(error_); }

}  // namespace ringside
