#pragma once
// Multishot accept on one socket of one worker. At the limit of file descriptors it pauses instead of spinning.
#include <string>

#include "core/address.h"
#include "core/op.h"
#include "core/worker.h"

namespace ringside {

class ListenerUser {
 public:
  // Takes over the connected socket.
  virtual void on_accept(int fd) = 0;
  // Accepting stopped for want of file descriptors (or memory), or goes on again.
  virtual void on_accept_paused(bool paused) = 0;
  // The last call after close().
  virtual void on_listener_closed() = 0;

 protected:
  ~ListenerUser() = default;
};

class Listener {
 public:
  // Takes over the listening socket `fd`.
  Listener(Worker& worker, ListenerUser& user, int fd);
  ~Listener();

  void start();
  // Stops accepting; what the kernel had accepted by then is still delivered. on_listener_closed() follows.
  void close();
  bool paused() const { return retry_.armed(); }
  // A descriptor became free: try again now rather than at the next tick.
  void resume();

 private:
  void on_accept(Cqe cqe);
  void on_retry();
  void join();

  Worker& worker_;
  ListenerUser& user_;
  int fd_;
  bool closing_ = false;
  OpFor<Listener, &Listener::on_accept> accept_{*this};
  TimerFor<Listener, &Listener::on_retry> retry_{*this};
  TimerFor<Listener, &Listener::join> closed_{*this};
};

}  // namespace ringside
