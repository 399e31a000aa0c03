#pragma once
// One kernel operation, embedded by value in the object that waits for it.
#include <cstdint>

#include "core/check.h"

namespace ringside {

// A completion. `result` is what the system call would have returned, or a negative errno. `flags` are the ring's own:
// the owner passes the whole Cqe back to Ring::take_received and looks at nothing but more().
struct Cqe {
  static constexpr uint32_t flag_buffer = 1U << 0;  // same bits as the kernel's
  static constexpr uint32_t flag_more = 1U << 1;
  static constexpr uint32_t flag_socket_nonempty = 1U << 2;
  int32_t result = 0;
  uint32_t flags = 0;
  // A multishot operation goes on; no further completion comes once this is false.
  bool more() const { return (flags & flag_more) != 0; }
  bool socket_nonempty() const { return (flags & flag_socket_nonempty) != 0; }
};

// Its address is the kernel's user data, so an Op neither moves nor dies while in flight. A multishot operation stays in
// flight while the kernel says that more is coming.
class Op {
 public:
  using Handler = void (*)(Op&, Cqe);
  explicit Op(Handler handler) : handler_(handler) {}
  Op(const Op&) = delete;
  Op& operator=(const Op&) = delete;
  ~Op() { RS_CHECK(!in_flight_); }

  bool in_flight() const { return in_flight_; }

  // For Ring implementations only.
  void mark_submitted() {
    RS_CHECK(!in_flight_);
    in_flight_ = true;
  }
  void complete(Cqe cqe) {
    RS_CHECK(in_flight_);
    in_flight_ = cqe.more();
    handler_(*this, cqe);
  }

 private:
  Handler handler_;

 public:
  // Ring implementations may keep a number with an operation in flight (a record index, say).
  uint32_t ring_tag = 0;

 private:
  bool in_flight_ = false;  // last: an owner that derives goes on right behind it
};

// An Op as a base of the object that waits, which needs no pointer then: where there are many of them. `number` tells several apart.
// The owner has on_complete(OpIn<Owner, number>&, Cqe), and befriends it where the base is private.
template <class Owner, int number>
class OpIn : public Op {
 protected:
  OpIn() : Op(&run) {}

 private:
  static void run(Op& op, Cqe cqe) {
    OpIn& self = static_cast<OpIn&>(op);
    static_cast<Owner&>(self).on_complete(self, cqe);
  }
};

// An Op bound to a member function: `OpFor<TcpTransport, &TcpTransport::on_recv> recv_{*this};`
template <class Owner>
class OpBase : public Op {
 public:
  OpBase(Owner& owner, Handler handler) : Op(handler), owner_(owner) {}
  Owner& owner() const { return owner_; }

 private:
  Owner& owner_;
};

template <class Owner, auto method>
class OpFor final : public OpBase<Owner> {
 public:
  explicit OpFor(Owner& owner) : OpBase<Owner>(owner, &run) {}

 private:
  static void run(Op& op, Cqe cqe) { (static_cast<OpFor&>(op).owner().*method)(cqe); }
};

}  // namespace ringside
