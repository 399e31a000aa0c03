#include "core/listener.h"

#include <unistd.h>

#include <cerrno>

namespace ringside {
namespace {
// EMFILE with a pending connection fails again at once, for ever: wait for a descriptor to come back.
constexpr Duration retry_after = milliseconds(50);
}  // namespace

Listener::Listener(Worker& worker, ListenerUser& user, int fd) : worker_(worker), user_(user), fd_(fd) {}

Listener::~Listener() {
  if (fd_ >= 0) worker_.ring().close(fd_);
}

void Listener::start() { worker_.ring().accept_multishot(accept_, fd_); }

void Listener::close() {
  if (closing_) return;
  closing_ = true;
  retry_.disarm();
  if (accept_.in_flight()) return worker_.ring().cancel(accept_);
  worker_.arm(closed_, Duration::zero());
}

void Listener::resume() {
  if (!retry_.armed()) return;
  retry_.disarm();
  on_retry();
}

void Listener::on_accept(Cqe cqe) {
  if (cqe.result >= 0) user_.on_accept(cqe.result);
  if (cqe.more()) return;
  if (closing_) return join();
  // Connections that died in the queue (ECONNABORTED and the like) say nothing about the next one.
  const int error = -cqe.result;
  if (error != EMFILE && error != ENFILE && error != ENOMEM && error != ENOBUFS) return start();
  worker_.arm(retry_, retry_after);
  user_.on_accept_paused(true);
}

void Listener::on_retry() {
  user_.on_accept_paused(false);
  start();
}

void Listener::join() {
  worker_.ring().close(fd_);
  fd_ = -1;
  user_.on_listener_closed();
}

}  // namespace ringside
