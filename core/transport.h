#pragma once
// A byte pipe with credit: TCP, or TLS, which owns one of these.
#include <cstddef>
#include <string>

#include "core/address.h"
#include "core/buffer.h"
#include "core/error.h"

namespace ringside {

// Implemented by whoever reads the bytes.
class TransportUser {
 public:
  virtual void on_bytes(Slice bytes) = 0;
  // The peer will send no more; sending may go on.
  virtual void on_end() = 0;
  // So many bytes of what was given to send() went to the kernel.
  virtual void on_sent(size_t bytes) = 0;
  // The last call, exactly once; never from inside close().
  virtual void on_closed(Error why) = 0;

 protected:
  ~TransportUser() = default;
};

// What was learned of a connection before its bytes went to whoever reads them now: from a header in front of them, or from a look
// at the first ones. Empty: nothing.
struct ConnectionFacts {
  Address peer, local;      // instead of the socket's own
  Address direct_peer;      // the socket's, where there is another
  std::string server_name;  // that the client asks for
  std::string ja3, ja4;     // what its offer of TLS looks like
};

class Transport {
 public:
  virtual ~Transport() = default;
  // Begins to receive; `credit_bytes` may be delivered before the first grant.
  virtual void start(TransportUser& user, size_t credit_bytes) = 0;
  // Always accepted; goes out with everything else of this turn in one gathered send.
  virtual void send(Slice bytes) = 0;
  // FIN when everything given to send() has gone.
  virtual void finish() = 0;
  // The same, and closes then, for a peer that will send nothing more: what it still sent would turn its answer into a reset.
  virtual void finish_and_close() = 0;
  // So many delivered bytes were consumed: as many more may be delivered.
  virtual void grant(size_t bytes) = 0;
  // Somebody else reads from now on: what was granted and announced holds. May be called from on_bytes.
  virtual void hand_over(TransportUser& user) = 0;
  // At least so many bytes are to come: lets a bulk transfer begin in large blocks.
  virtual void expect(size_t bytes) = 0;
  // The next so many bytes will only be counted and passed on to a transport that sends_piped(): they may come as pieces of a pipe
  // (Slice::piped). Holds until it is said anew; with 0, too, it means that large bodies are relayed here.
  virtual void relay(size_t bytes) = 0;
  // send() takes pieces of a pipe.
  virtual bool sends_piped() const = 0;
  // Drops what is unsent, stops everything; on_closed(why) follows in a later turn.
  virtual void close(Error why) = 0;
  // The same, and the peer sees a reset: for a message that broke off and must not look whole.
  virtual void abort(Error why) = 0;
  virtual size_t unsent_bytes() const = 0;
  // Nothing that was given to send() is on its way any more. A system call: not for every message.
  virtual bool is_delivered() const = 0;
  // As the facts tell it, else the socket.
  virtual Address local_address() const = 0;
  virtual Address peer_address() const = 0;
  // Null for most connections.
  virtual const ConnectionFacts* facts_before() const { return nullptr; }
};

}  // namespace ringside
