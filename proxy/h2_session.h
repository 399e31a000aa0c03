#pragma once
// One downstream HTTP/2 connection: a transport, a codec, and as many exchanges as it has streams.
//
//   serving -> lingering (FIN sent, input discarded) -> closing -> gone
//
// Draining takes two steps: GOAWAY without a last stream, then the one that names it, when the client has seen the first or
// drain_timeout is over; the connection ends with its last stream.
#include <memory>

#include "codecs/http2/h2_server_codec.h"
#include "core/transport.h"
#include "core/worker.h"
#include "proxy/downstream.h"
#include "proxy/h2_keepalive.h"

namespace ringside {

class H2Session final : public Downstream,
                        public Link<H2Session>,
                        private TransportUser,
                        private CodecSink,
                        private CodecUser {
 public:
  H2Session(LiveChain& listener, std::unique_ptr<Transport> transport, uint64_t id);
  ~H2Session() override;
  void on_retired() override;
  // On a fresh transport.
  void start();
  // On one that was read from before, as far as some bytes of the client's preface; `bytes` follow them.
  void take_over(Instant started, size_t preface_seen_bytes, Slice bytes);

  Address local_address() const override { return local_address_of(*transport_); }
  HttpVersion version() const override { return HttpVersion::http2; }
  void forgo_reuse() override {}
  void on_exchange_end(ExchangeEnd how) override;
  bool sends_piped() const override { return false; }
  const Transport& transport() const override { return *transport_; }

  // Takes no further request, and ends with those under way.
  void drain();
  // Ends the connection now; exchanges under way are reset.
  void close(Error why);

 private:
  enum class Phase : uint8_t { serving, lingering, closing };
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

  void decode(Slice bytes);
  void start_codec();
  void watch();
  void linger();
  void end_after_client();
  bool stalls() const { return codec_.streams_active() > exchanges_; }
  void on_timer();
  void on_serving_timer();
  Instant next_deadline() const;

  std::unique_ptr<Transport> transport_;
  H2ServerCodec codec_;
  std::unique_ptr<H2Keepalive> keepalive_;  // null: no PINGs of ours
  TimerFor<H2Session, &H2Session::on_timer> timer_{*this};
  Instant started_{};
  Instant since_{};          // no stream, or lingering, or draining
  Instant head_since_{};     // the header block under way
  Instant stalled_since_{};  // the last look for answers that nobody reads
  Instant budgets_until_{};  // budgets against abuse were refilled so far
  uint32_t exchanges_ = 0;
  uint32_t requests_ = 0;
  Phase phase_ = Phase::serving;
  bool draining_ : 1 = false;
  bool head_started_ : 1 = false;
  bool ended_ : 1 = false;  // the client sent FIN
  bool left_ : 1 = false;   // we ended it before the client did
  bool cut_ : 1 = false;    // ended in the middle of an exchange
  bool rests_ : 1 = true;   // idle for long, and holds no more than it must
};

}  // namespace ringside
