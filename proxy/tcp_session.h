#pragma once
// One TCP connection relayed to an endpoint of a cluster: bytes pass without a copy, each direction on the other's credit,
// half-closes are carried through.
#include <memory>

#include "core/dialer.h"
#include "core/transport.h"
#include "core/worker.h"
#include "proxy/observe/access_log.h"
#include "proxy/observe/response_flags.h"
#include "proxy/specs.h"
#include "proxy/upstream/host.h"
#include "tls/tls_transport.h"

namespace ringside {

class Cluster;
class Endpoint;
class LiveChain;
class MongoFilter;
enum class MongoSide : uint8_t;

class TcpSession final : public Retired, public Link<TcpSession>, private DialerUser, private TlsUser {
 public:
  // On a fresh transport.
  TcpSession(LiveChain& listener, std::unique_ptr<Transport> transport);
  ~TcpSession() override;
  void start();
  // Ends at once, both sides.
  void close(Error why);
  // Of the present attempt; null before the first one.
  const Host* host() const { return host_.get(); }

 private:
  // One of the two connections; what it receives goes to its peer.
  class Side final : public TransportUser {
   public:
    Side(TcpSession& session, Side& peer) : session_(session), peer_(peer) {}
    void attach(std::unique_ptr<Transport> transport) { transport_ = std::move(transport); }
    Transport* transport() { return transport_.get(); }
    std::unique_ptr<Transport> detach() { return std::move(transport_); }
    void start(size_t credit_bytes) { transport_->start(*this, credit_bytes); }
    // All that comes here may be passed on unread: the other side's transport sends pieces of pipes.
    void relay_all() { transport_->relay(SIZE_MAX); }
    // Bytes for this side; kept while it has no connection yet.
    void send(Slice bytes);
    void finish();
    // Sends what waited for the connection.
    void release_held();
    bool ended = false;   // its peer sent FIN
    bool closed = false;
    bool shaking_hands = false;  // of TLS, with the endpoint: what comes for this side is kept
    uint64_t received_bytes = 0;

   private:
    void on_bytes(Slice bytes) override;
    void on_end() override;
    void on_sent(size_t bytes) override;
    void on_closed(Error why) override;
    TcpSession& session_;
    Side& peer_;
    std::unique_ptr<Transport> transport_;
    Buffer held_;
    bool finish_held_ = false;
  };

  // The connection as its MongoDB filter sees it. There only with the filter.
  class MongoPart;

  void start_mongo();
  MongoFilter* mongo();
  Side& other(Side& side) { return &side == &down_ ? up_ : down_; }
  // What a side sends goes this way.
  MongoSide way_from(const Side& side) const;
  void connect();
  void on_connected(int fd) override;
  void on_connect_failed(Error why) override;
  void on_handshake() override;
  void on_upstream_ready();
  // Of the last attempt; null without TLS.
  const TlsTransport* upstream_tls();
  void on_side_closed(Side& side, Error why);
  void end_when_drained();
  void on_timer();
  void arm_timer();
  void finish_if_gone();
  void count_upstream_closed();
  void log();
  const TcpProxySpec& spec() const;

  LiveChain& listener_;
  Worker& worker_;
  Cluster* cluster_ = nullptr;
  Endpoint* endpoint_ = nullptr;
  std::shared_ptr<Host> host_;
  Side down_, up_;
  std::unique_ptr<Transport> spent_;  // of an attempt whose handshake failed; at most until the next one does
  Dialer dialer_;
  TimerFor<TcpSession, &TcpSession::on_timer> timer_{*this};
  Instant started_{};
  Instant dialing_since_{};
  Instant last_activity_{};
  WallTime started_wall_{};
  std::unique_ptr<MongoPart> mongo_;
  Address peer_;  // for the log only
  ResponseFlags flags_{};
  uint32_t attempts_ = 0;
  bool upstream_counted_ = false;
  bool dialed_ = false;     // there was an upstream connection
  bool up_broken_ = false;  // it ended by itself, without a FIN
  bool closing_ = false;
  bool done_ = false;
};

}  // namespace ringside
