#include "proxy/h2_keepalive.h"

#include <algorithm>

namespace ringside {

void H2Keepalive::start() {
  heard_ = worker_.now();
  wait();
}

// As Envoy: longer by a random part of the jitter, so that connections that began together do not ask together.
void H2Keepalive::wait() {
  asked_ = false;
  if (spec_.interval <= Duration::zero()) return timer_.disarm();
  const double part = static_cast<double>(worker_.ring().random() % 1024) / 1024;
  const double longer = static_cast<double>(spec_.interval.count()) * spec_.jitter_percent / 100 * part;
  worker_.arm(timer_, spec_.interval + Duration(static_cast<int64_t>(longer)));
}

void H2Keepalive::ask() {
  if (asked_ || codec_.dead()) return;
  asked_ = true;
  codec_.ping();
  worker_.arm(timer_, spec_.timeout);
}

void H2Keepalive::on_bytes() {
  heard_ = worker_.now();
  if (asked_ && !codec_.ping_due()) wait();
}

void H2Keepalive::before_request() {
  if (spec_.idle_interval > Duration::zero() && worker_.now() - heard_ > spec_.idle_interval) ask();
}

void H2Keepalive::on_timer() {
  if (codec_.dead()) return;
  if (!asked_) return ask();
  // A peer that sends something else in the meantime is only slow to answer.
  const Duration left = heard_ + spec_.timeout - worker_.now();
  if (left > Duration::zero()) return worker_.arm(timer_, left);
  codec_.fail_keepalive();
}

}  // namespace ringside
