#pragma once
// One HTTP/1.1 connection to an endpoint: dialing, busy with one exchange, or idle in its pool.
#include <memory>

#include "codecs/http.h"
#include "codecs/http1/h1_client_codec.h"
#include "core/dialer.h"
#include "core/transport.h"
#include "core/worker.h"
#include "tls/tls_transport.h"

namespace ringside {

class ConnectionPool;

class UpstreamConnection final : public Retired,
                                 public Link<UpstreamConnection>,
                                 private TransportUser,
                                 private CodecSink,
                                 private CodecUser,
                                 private DialerUser,
                                 private TlsUser {
 public:
  explicit UpstreamConnection(ConnectionPool& pool);

  // The pool hears on_connected or on_connect_failed.
  void dial();
  // Begins one exchange; only when idle. The response comes to `user`.
  Stream& open(StreamUser& user);
  // The exchange gives up in the middle: nothing more comes to its user, the connection closes.
  void abandon(Error why);
  // Closes an idle connection, or one still dialing.
  void close(Error why);
  // No further exchange after the present one.
  void retire_when_idle() { draining_ = true; }
  // Nobody looks at the body of this response: see Transport::relay.
  void relay_body() { relays_ = true; }
  bool sends_piped() const { return transport_->sends_piped(); }

  // Also while TLS shakes hands.
  bool dialing() const { return transport_ == nullptr || shaking_hands_; }
  bool busy() const { return busy_; }
  // Has it carried an exchange before? Then a reset may mean no more than that the upstream had closed it.
  bool used_before() const { return exchanges_ > 1; }
  Address local_address() const { return transport_->local_address(); }

 private:
  void on_bytes(Slice bytes) override;
  void on_end() override;
  void on_sent(size_t bytes) override;
  void on_closed(Error why) override;
  void write(Slice bytes) override;
  char* reserve(size_t bytes) override;
  void commit(size_t bytes) override;
  StreamUser& on_stream(Stream& stream) override;
  void on_codec_error(Error why, uint16_t status) override;
  void on_idle() override;
  void on_grant(size_t wire_bytes) override;
  void on_connected(int fd) override;
  void on_connect_failed(Error why) override;
  void on_handshake() override;
  void on_handshake_failed(Error why);
  void on_ready();
  // Why, in the words of TLS if it has any; they live as long as we do.
  const char* detail_of(const Error& why) const;
  void on_idle_timeout();
  // `cut`: in the middle of an exchange.
  void announce_body(size_t came_bytes);
  void leave(Error why, bool cut);
  void count_destroyed(bool cut);

  ConnectionPool& pool_;
  Worker& worker_;
  std::unique_ptr<Transport> transport_;
  H1ClientCodec codec_;
  Dialer dialer_;
  TimerFor<UpstreamConnection, &UpstreamConnection::on_idle_timeout> idle_timer_{*this};
  Instant started_{};
  Instant idle_since_{};
  uint64_t exchanges_ = 0;
  bool busy_ = false;
  bool draining_ = false;
  bool closing_ = false;
  bool shaking_hands_ = false;
  bool relays_ = false;     // the present response's body
  bool announced_ = false;  // a body, to the transport
  bool by_peer_ = false;  // its FIN or RST came before we left
};

}  // namespace ringside
