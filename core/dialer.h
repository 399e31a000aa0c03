#pragma once
// Connects to an address within a deadline.
#include "core/address.h"
#include "core/op.h"
#include "core/worker.h"

namespace ringside {

class DialerUser {
 public:
  // Takes over the connected socket. The last call.
  virtual void on_connected(int fd) = 0;
  // The last call. Error::code is refused, timed_out, cancelled or overloaded.
  virtual void on_connect_failed(Error why) = 0;

 protected:
  ~DialerUser() = default;
};

class Dialer {
 public:
  Dialer(Worker& worker, DialerUser& user) : worker_(worker), user_(user) {}
  ~Dialer();
  // One of the user's calls follows, never from inside this one. `address` is copied.
  void dial(const Address& address, Duration timeout);
  // on_connect_failed(cancelled) follows.
  void cancel();
  bool dialing() const { return connect_.in_flight() || failed_.armed(); }

 private:
  void on_connect(Cqe cqe);
  void on_timeout();
  void on_failed();

  Worker& worker_;
  DialerUser& user_;
  Address address_;
  int fd_ = -1;
  Error error_{};
  OpFor<Dialer, &Dialer::on_connect> connect_{*this};
  TimerFor<Dialer, &Dialer::on_timeout> timeout_{*this};
  TimerFor<Dialer, &Dialer::on_failed> failed_{*this};
};

}  // namespace ringside
