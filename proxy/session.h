#pragma once
// One downstream HTTP/1.1 connection: a transport, a codec, and at most one exchange at a time.
//
//   accepted -> (sniffing) -> serving (idle <-> exchange) -> lingering (FIN sent, input discarded) -> closing -> gone
//                   `-> HTTP/2: an H2Session takes the transport over, and this one retires
#include <memory>

#include "codecs/http.h"
#include "codecs/http1/h1_server_codec.h"
#include "core/transport.h"
#include "core/worker.h"
#include "proxy/downstream.h"
#include "proxy/raw_connection.h"

namespace ringside {

class Session final : public Downstream,
                      public Link<Session>,
                      private TransportUser,
                      private CodecSink,
                      private CodecUser {
 public:
  // On a fresh transport.
  Session(LiveChain& listener, std::unique_ptr<Transport> transport);
  ~Session() override;
  void on_retired() override;
  void start();

  Address local_address() const override { return local_address_of(*transport_); }
  HttpVersion version() const override { return HttpVersion::http11; }
  void forgo_reuse() override { drain(); }
  // The next answer says "connection: close", and ends the connection.
  void drain();
  bool draining() const { return draining_; }
  // Ends the connection now; an exchange under way is reset.
  void close(Error why);
  void on_exchange_end(ExchangeEnd how) override;
  // The exchange has agreed to leave HTTP, and the connection goes on without us. Whoever gets it tells the listener when it ends.
  RawConnection leave();
  Instant started() const { return started_; }
  bool sends_piped() const override { return transport_->sends_piped(); }
  const Transport& transport() const override { return *transport_; }

 private:
  enum class Phase : uint8_t { sniffing, serving, lingering, closing };
  // TransportUser
  void on_bytes(Slice bytes) override;
  void on_end() override;
  void on_sent(size_t bytes) override;
  void on_closed(Error why) override;
  // CodecSink
  void write(Slice bytes) override;
  char* reserve(size_t bytes) override;
  void commit(size_t bytes) override;
  // CodecUser
  StreamUser& on_stream(Stream& stream) override;
  void on_codec_error(Error why, uint16_t status) override;
  void on_idle() override;
  void on_grant(size_t wire_bytes) override;
  // Retired: pipelined bytes are parsed here, outside of any codec call.
  void on_flush() override;

  void sniff(Slice bytes);
  void decode(Slice bytes);
  void begin_serving();
  void hand_over(Slice bytes);
  void on_timer();
  Instant next_deadline() const;
  Duration idle_timeout() const;
  void watch_head();
  void announce_body(size_t came_bytes);
  void end_of_input();
  bool crowded() const;
  void linger();
  void refuse(Error why, uint16_t status);
  Head& make_refusal(Arena& arena, Error why, uint16_t status);
  Head& make_grpc_refusal(Arena& arena, Error why, uint16_t status);
  Head& finish_refusal(Head& head);
  void note_cut_head();

  std::unique_ptr<Transport> transport_;
  Exchange* exchange_ = nullptr;
  std::unique_ptr<Buffer> waiting_;  // input that comes while too much output waits
  H1ServerCodec codec_;
  TimerFor<Session, &Session::on_timer> timer_{*this};
  Instant started_{};
  Instant since_{};      // idle, or the head's first byte, or lingering: since then
  uint32_t requests_ = 0;
  Phase phase_ = Phase::sniffing;
  uint8_t preface_seen_bytes_ = 0;  // of HTTP/2's, and nothing else yet
  bool draining_ : 1 = false;
  bool head_started_ : 1 = false;
  bool announced_ : 1 = false;  // a body, to the transport
  bool ended_ : 1 = false;  // the client sent FIN
  bool left_ : 1 = false;   // we ended it before the client did
  bool counted_ : 1 = false;  // as a connection of HTTP/1
  bool cut_ : 1 = false;    // ended in the middle of an exchange
};

}  // namespace ringside
