#pragma once
// One connection to an endpoint: dialing, or with as many exchanges as its protocol allows. What both protocols have in common.
#include <memory>

#include "codecs/http.h"
#include "core/dialer.h"
#include "core/transport.h"
#include "core/worker.h"
#include "proxy/raw_connection.h"
#include "tls/tls_transport.h"

namespace ringside {

class Cluster;
class ConnectionPool;

class UpstreamConnection : public Retired,
                           public Link<UpstreamConnection>,
                           protected TransportUser,
                           protected CodecSink,
                           protected CodecUser,
                           private DialerUser,
                           private TlsUser {
 public:
  // Of what the pool speaks: HTTP/1.1 or HTTP/2. Retires itself when it has closed.
  static UpstreamConnection* make(ConnectionPool& pool);

  // The pool hears on_connected or on_connect_failed.
  void dial();
  // How many exchanges may begin now.
  virtual uint32_t capacity() const = 0;
  // Begins one; only with capacity. The response comes to `user`.
  virtual Stream& open(StreamUser& user) = 0;
  // Begins a tunnel, without HTTP; only on terms that say so. leave_http() follows.
  virtual Stream& open_raw(StreamUser& user) = 0;
  // The exchange of this stream gives up in the middle: nothing more comes to its user. HTTP/1: the connection closes.
  virtual void abandon(Stream& stream, Error why) = 0;
  // Nobody looks at the body of this response: see Transport::relay.
  virtual void relay_body() = 0;
  virtual bool sends_piped() const = 0;
  // Of what it speaks; known when it has capacity.
  virtual HttpVersion version() const = 0;
  // HTTP/1: the exchange has agreed to leave HTTP, and the connection goes on without us and the pool. It counts as the cluster's
  // until whoever gets it says that it has ended.
  virtual RawConnection leave_http() = 0;
  // Closes it, or ends the dialing.
  void close(Error why);
  // No further exchange after the present ones.
  void drain();

  // Also while TLS shakes hands.
  bool dialing() const { return transport_ == nullptr || shaking_hands_; }
  Address local_address() const { return transport_->local_address(); }
  // It has left its pool, and is about to close.
  bool gone() const { return closing_; }
  // The pool's: it is among those that take exchanges.
  bool ready = false;
  // The pool's: it has not taken an exchange yet, and one of those that wait is waited for by it.
  bool awaited = true;

 protected:
  explicit UpstreamConnection(ConnectionPool& pool);
  // What a connection begins with.
  virtual void on_started() = 0;
  virtual bool busy() const = 0;
  // The connection is gone: exchanges end by on_reset.
  virtual void abort_exchanges(Error why) = 0;
  void on_sent(size_t bytes) override = 0;
  // The connection counts no more, and is about to close.
  virtual void on_left() {}
  // What happens to output that the kernel has not taken.
  enum class Unsent : uint8_t { dropped, sent };
  // `cut`: in the middle of an exchange. Nothing of the pool or of its cluster may be used afterwards.
  void leave(Error why, bool cut, Unsent unsent = Unsent::dropped);
  // Out of the pool, with the transport.
  RawConnection give_away(Buffer early, size_t unsent_bytes);
  // Counts an exchange, and drains after the last one that a connection may have.
  void count_exchange() { ++exchanges_; }
  void check_exchanges_max();
  bool is_raw() const;
  Cluster& cluster() const { return cluster_; }

  // CodecSink and CodecUser
  void write(Slice bytes) override;
  char* reserve(size_t bytes) override;
  void commit(size_t bytes) override;
  StreamUser& on_stream(Stream& stream) override;
  void on_grant(size_t wire_bytes) override;

  ConnectionPool& pool_;  // until on_gone: it may be let go of before us
  Cluster& cluster_;
  Worker& worker_;
  std::unique_ptr<Transport> transport_;
  Instant idle_since_{};
  bool draining_ = false;
  bool closing_ = false;
  bool by_peer_ = false;  // its FIN or RST came before we left

 private:
  void on_closed(Error why) override;
  void on_connected(int fd) override;
  void on_connect_failed(Error why) override;
  void on_handshake() override;
  void on_handshake_failed(Error why);
  void on_agreed();
  void on_ready();
  void become_http1();
  // Why, in the words of TLS if it has any; they live as long as we do.
  const char* detail_of(const Error& why) const;
  void on_idle_timeout();
  Duration idle_timeout() const;
  void count_destroyed(bool cut);

  Dialer dialer_;
  TimerFor<UpstreamConnection, &UpstreamConnection::on_idle_timeout> idle_timer_{*this};
  Instant started_{};
  uint64_t exchanges_ = 0;
  bool shaking_hands_ = false;
};

}  // namespace ringside
