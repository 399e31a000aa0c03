#pragma once
// A connection to an endpoint that speaks HTTP/2, by prior knowledge or by ALPN: as many exchanges as both sides allow.
#include "codecs/http2/h2_client_codec.h"
#include "proxy/h2_keepalive.h"
#include "proxy/upstream/upstream_connection.h"

namespace ringside {

class H2Upstream final : public UpstreamConnection {
 public:
  explicit H2Upstream(ConnectionPool& pool);
  uint32_t capacity() const override;
  Stream& open(StreamUser& user) override;
  Stream& open_raw(StreamUser&) override { check_failed("HTTP/2 in a raw connection"); }
  void abandon(Stream& stream, Error why) override;
  void relay_body() override {}
  bool sends_piped() const override { return false; }
  HttpVersion version() const override { return HttpVersion::http2; }
  RawConnection leave_http() override { check_failed("HTTP/2 is left by streams"); }

 private:
  // Whether extended CONNECT may be used is the upstream's to say (RFC 8441 3), and the first request may be one.
  bool waits_for_settings() const;
  void on_started() override;
  void on_left() override;
  bool busy() const override { return codec_.streams_active() > 0; }
  void abort_exchanges(Error why) override;
  void on_bytes(Slice bytes) override;
  void on_end() override;
  void on_sent(size_t bytes) override;
  void on_codec_error(Error why, uint16_t status) override;
  void on_idle() override;
  // Room is told at the end of the turn: whoever takes it must not do so from inside of the codec.
  void on_flush() override;

  H2ClientCodec codec_;
  std::unique_ptr<H2Keepalive> keepalive_;  // null: no PINGs of ours
  Instant budgets_until_{};                 // budgets against abuse were refilled so far
};

}  // namespace ringside
