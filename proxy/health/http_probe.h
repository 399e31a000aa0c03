#pragma once
// A check by a request: of HTTP, judged by its status, or of gRPC, judged by what the service says.
#include <memory>

#include "codecs/http1/h1_client_codec.h"
#include "codecs/http2/h2_client_codec.h"
#include "proxy/health/probe.h"
#include "proxy/health/probe_response.h"

namespace ringside {

class HttpProbe final : public Probe, private CodecSink, private CodecUser, private ProbeResponseUser {
 public:
  HttpProbe(ProbeContext& context, const Host& host, ProbeUser& user) : Probe(context, host, user), response_(context, *this) {}

 private:
  void on_ready() override;
  void ask() override;
  bool reusable() const override;
  bool abandon() override;
  void on_lost() override;
  void write_fields(Head& head);
  void on_judged(CheckResult result) override { decide(result); }

  // TransportUser
  void on_bytes(Slice bytes) override;
  void on_end() override;
  void on_sent(size_t bytes) override;
  // CodecSink and CodecUser
  void write(Slice bytes) override { transport_->send(std::move(bytes)); }
  char* reserve(size_t bytes) override { return worker_.output().reserve(bytes); }
  void commit(size_t bytes) override { transport_->send(worker_.output().commit(bytes)); }
  StreamUser& on_stream(Stream& stream) override;
  void on_codec_error(Error why, uint16_t status) override;
  void on_idle() override { look_again(); }
  void on_grant(size_t wire_bytes) override { transport_->grant(wire_bytes); }

  std::unique_ptr<H1ClientCodec> h1_;  // one of the two, when ready
  std::unique_ptr<H2ClientCodec> h2_;
  Instant budgets_until_{};  // budgets against abuse were refilled so far
  ProbeResponse response_;
  bool waits_for_room_ = false;  // the peer takes no stream yet
  bool broken_ = false;
};

}  // namespace ringside
