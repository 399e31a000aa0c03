#pragma once
// One connection to the admin server: one exchange at a time, its reply made as fast as the client reads.
#include <memory>
#include <string>

#include "codecs/http1/h1_server_codec.h"
#include "control/admin_page.h"
#include "core/intrusive_list.h"
#include "core/tcp_transport.h"
#include "core/worker.h"

namespace ringside {

class AdminServer;

class AdminSession final : public Retired,
                           public Link<AdminSession>,
                           private TransportUser,
                           private CodecSink,
                           private CodecUser {
 public:
  // Takes over the accepted socket.
  AdminSession(AdminServer& server, int fd);
  ~AdminSession() override;
  void start();
  void close(Error why);
  // Kept alive, with nothing asked and nothing owed.
  bool idle() const { return phase_ == Phase::serving && stream_ == nullptr && !codec_.head_started(); }

 private:
  enum class Phase : uint8_t { serving, lingering, closing };

  // Receives the request of the exchange under way.
  class Request final : public StreamUser {
   public:
    explicit Request(AdminSession& session) : session_(session) {}
    Arena& arena() override { return session_.arena_; }
    void on_head(Head& head, End end) override { session_.on_request_head(head, end); }
    void on_informational(Head&) override {}
    void on_body(Slice piece, End end) override { session_.on_request_body(piece.size(), end); }
    void on_trailers(HeaderMap&) override { session_.respond(); }
    void on_sent(size_t) override {}
    void on_reset(Error) override { session_.on_request_reset(); }

   private:
    AdminSession& session_;
  };

  void on_request_head(const Head& head, End end);
  void on_request_body(size_t bytes, End end);
  void on_request_reset() { end_exchange(); }
  void end_exchange();
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
  // Flushable: a pipelined request is parsed here, outside of any codec call.
  void on_flush() override;

  void respond();
  void send_reply_head();
  // Makes and sends as much of the reply as the client is to have in front of it.
  void pump();
  bool crowded() const;
  void refuse(uint16_t status, std::string_view text);
  void linger();
  void shut_down_if_due();
  Instant deadline() const;
  void arm();
  void on_timer();

  AdminServer& server_;
  Worker& worker_;
  std::unique_ptr<Transport> transport_;
  H1ServerCodec codec_;
  Arena arena_;
  Request incoming_{*this};
  AdminRequest request_;
  AdminReply reply_;
  Stream* stream_ = nullptr;  // of the exchange under way
  Buffer waiting_;            // input that came while too much output waited
  size_t body_bytes_ = 0;
  Instant asked_{};     // the first bytes of the request
  Instant progress_{};  // the last sign of life
  Phase phase_ = Phase::serving;
  bool ended_ = false;      // the client sent FIN
  bool shut_down_ = false;  // the program ends once everything has gone
  TimerFor<AdminSession, &AdminSession::on_timer> timer_{*this};
};

}  // namespace ringside
