#pragma once
// A connection to an endpoint that speaks HTTP/1.1: one exchange at a time.
#include "codecs/http1/h1_client_codec.h"
#include "proxy/upstream/upstream_connection.h"

namespace ringside {

class H1Upstream final : public UpstreamConnection {
 public:
  explicit H1Upstream(ConnectionPool& pool);
  uint32_t capacity() const override { return busy_ || closing_ || draining_ ? 0 : 1; }
  Stream& open(StreamUser& user) override;
  Stream& open_raw(StreamUser& user) override;
  void abandon(Stream& stream, Error why) override;
  void relay_body() override { relays_ = true; }
  bool sends_piped() const override { return transport_->sends_piped(); }
  HttpVersion version() const override { return HttpVersion::http11; }
  RawConnection leave_http() override;

 private:
  void on_started() override {}
  bool busy() const override { return busy_; }
  void abort_exchanges(Error why) override;
  void on_bytes(Slice bytes) override;
  void on_end() override;
  void on_sent(size_t bytes) override;
  void on_codec_error(Error why, uint16_t status) override;
  void on_idle() override;
  void announce_body(size_t came_bytes);

  H1ClientCodec codec_;
  bool busy_ = false;
  bool relays_ = false;     // the present response's body
  bool announced_ = false;  // a body, to the transport
};

}  // namespace ringside
