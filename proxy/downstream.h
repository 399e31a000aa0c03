#pragma once
// What an exchange knows of the connection that its request came by, whatever protocol that speaks.
#include <netinet/in.h>

#include <cstdint>
#include <memory>
#include <string>

#include "codecs/http.h"
#include "core/address.h"
#include "core/worker.h"

namespace ringside {

class Exchange;
class LiveChain;
class Transport;

// How an exchange ended. `clean`: both messages ended; otherwise a connection of HTTP/1 cannot go on: what was sent still goes out
// (close_after_flush), or not even that (abort). `refused`: the codec found the body wrong, and the answer to that is under way.
enum class ExchangeEnd : uint8_t { clean, close_after_flush, refused, abort };

class Downstream : public Retired {
 public:
  // The filter chain of the listener that took it.
  LiveChain& listener() { return listener_; }
  Worker& worker() const;
  Address peer_address() const;
  // Of the socket, whoever a PROXY header says that it speaks for.
  Address direct_peer_address() const;
  virtual Address local_address() const = 0;
  uint64_t id() const { return id_; }
  virtual HttpVersion version() const = 0;
  // The connection takes no further request where the rest of the present one would stand in its way; other streams go on.
  virtual void forgo_reuse() = 0;
  // The exchange is over, and unlinks itself here.
  virtual void on_exchange_end(ExchangeEnd how) = 0;
  virtual bool sends_piped() const = 0;
  virtual const Transport& transport() const = 0;
  // The client's certificate as an element of x-forwarded-client-cert, made once; null when it showed none. Lives as long as we do.
  const std::string* client_cert();

 protected:
  Downstream(LiveChain& listener, const Address& peer, uint64_t id);
  // A socket is only asked when the listener takes connections to any address, or something else said where it went.
  Address local_address_of(const Transport& transport) const;

  LiveChain& listener_;

 private:
  uint64_t id_;
  std::unique_ptr<const std::string> client_cert_;
  sockaddr_in6 peer_{};  // large enough for IPv4 as well; a unix peer has no name worth keeping
};

}  // namespace ringside
