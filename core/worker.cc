#include "core/worker.h"

#include <poll.h>

#include <algorithm>

#include "core/tcp_transport.h"

namespace ringside {
namespace {
constexpr size_t transports_spare_max = 512;
}

Worker::Worker(uint32_t index, Ring& ring, BlockPools& pools)
    : index_(index), ring_(ring), pools_(pools), timers_(ring.now()), output_(pools.small), bulk_output_(pools.large),
      transports_(std::make_unique<Slab<TcpTransport>>(transports_spare_max)) {}

Worker::~Worker() {
  unwatch_mailbox();
  free_retired();
}

void Worker::flush_all() {
  // on_flush may ask for further flushes (a close that finds nothing in flight, say): they run as well.
  while (Flushable* item = flushes_.pop_front()) item->on_flush();
}

void Worker::turn(Duration wait_max) {
  flush_all();
  ring_.turn(std::min(wait_max, timers_.until_next(ring_.now())));
  timers_.advance(ring_.now());
  free_retired();
}

void Worker::free_retired() {
  while (Retired* object = retired_.pop_front()) object->on_retired();
}

void Worker::run() {
  watch_mailbox();
  while (!stopping_) turn();
  unwatch_mailbox();
}

void Worker::watch_mailbox() {
  if (!mail_.in_flight()) ring_.poll_multishot(mail_, mailbox_.event_fd(), POLLIN);
}

void Worker::unwatch_mailbox() {
  if (!mail_.in_flight()) return;
  stopping_ = true;
  ring_.cancel(mail_);
  while (mail_.in_flight()) ring_.turn(milliseconds(100));
}

void Worker::on_mail(Cqe cqe) {
  if (cqe.result >= 0) mailbox_.deliver_all();
  if (!cqe.more() && !stopping_) watch_mailbox();
}

}  // namespace ringside
