#pragma once
// The response to the request of a check: read as far as it must be, and judged.
#include <string>

#include "codecs/http.h"
#include "proxy/health/grpc_reply.h"
#include "proxy/health/probe.h"

namespace ringside {

class ProbeResponseUser {
 public:
  // What it says. The stream has ended, or was reset.
  virtual void on_judged(CheckResult result) = 0;

 protected:
  ~ProbeResponseUser() = default;
};

class ProbeResponse final : public StreamUser {
 public:
  ProbeResponse(ProbeContext& context, ProbeResponseUser& user)
      : context_(context), user_(user), arena_(context.cluster.worker().arenas()) {}
  // Forgets the last one. begin() follows, when there is a stream.
  void clear();
  void begin(Stream& stream) { stream_ = &stream; }
  // It may still come, or be abandoned.
  Stream* stream() const { return stream_; }
  void abandon(Error why);
  Arena& arena() override { return arena_; }

 private:
  bool is_grpc() const { return context_.spec.kind == HealthCheckKind::grpc; }
  void on_head(Head& head, End end) override;
  void on_informational(Head& head) override { static_cast<void>(head); }
  void on_body(Slice piece, End end) override;
  void on_trailers(HeaderMap& fields) override;
  void on_sent(size_t body_bytes) override { static_cast<void>(body_bytes); }
  void on_reset(Error why) override;
  void on_grpc_head(const Head& head, End end);
  void on_grpc_body(std::string_view piece, End end);
  void finish(CheckResult result);
  CheckResult judge();
  bool is_service(std::string_view name) const;

  ProbeContext& context_;
  ProbeResponseUser& user_;
  Arena arena_;
  Stream* stream_ = nullptr;
  uint16_t status_ = 0;
  bool degraded_ = false;
  std::string service_;  // x-envoy-upstream-healthchecked-cluster
  std::string body_;     // the part that is looked at
  GrpcReply reply_;
};

}  // namespace ringside
