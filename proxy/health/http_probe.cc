#include "proxy/health/http_probe.h"

#include <algorithm>
#include <string>
#include <utility>

namespace ringside {
namespace {

constexpr Error gone{ErrorCode::cancelled, Origin::local, Retry::never, "health check's connection is gone"};
constexpr Error late{ErrorCode::timed_out, Origin::local, Retry::never, "health check timeout"};

}  // namespace

void HttpProbe::on_ready() {
  Cluster& cluster = context_.cluster;
  CodecUser& user = *this;
  CodecSink& sink = *this;
  if (!context_.spec.http2) {
    h1_ = std::make_unique<H1ClientCodec>(user, sink, cluster.h1_limits(), cluster.h1_scratch());
    return;
  }
  budgets_until_ = worker_.now();
  h2_ = std::make_unique<H2ClientCodec>(user, sink, cluster.h2_limits(), cluster.h2_pool(), cluster.h2_stats().numbers());
  h2_->start();
}

void HttpProbe::ask() {
  waits_for_room_ = h2_ != nullptr && h2_->streams_available() == 0;
  if (waits_for_room_) return;
  response_.clear();
  const HealthCheckSpec& spec = context_.spec;
  const std::string& own_host = host().health_spec().check_hostname;
  Head head(response_.arena());
  head.method = spec.method;
  head.scheme = context_.cluster.has_tls(host()) ? "https" : "http";
  head.authority = own_host.empty() ? spec.host : own_host;
  head.path = spec.path;
  const std::string& body = spec.kind == HealthCheckKind::grpc ? context_.grpc_request : spec.send;
  write_fields(head);
  if (h1_ != nullptr) h1_->open(response_);
  response_.begin(h1_ != nullptr ? *h1_ : h2_->open(response_));
  response_.stream()->send_head(head, body.empty() ? End::yes : End::no);
  if (!body.empty() && response_.stream() != nullptr) response_.stream()->send_body(Slice::of_static(body), End::yes);
}

void HttpProbe::write_fields(Head& head) {
  if (context_.spec.kind == HealthCheckKind::grpc) {
    head.fields.add(HeaderId::te, "trailers");
    head.fields.add(HeaderId::content_type, "application/grpc");
  }
  head.fields.add(HeaderId::user_agent, "Envoy/HC");  // servers know checks by it
  AccessLogRecord record;
  context_.headers.apply(head.fields, record, context_.second);
  if (!context_.spec.send.empty())
    head.fields.set(HeaderId::content_length, head.fields.arena().copy(std::to_string(context_.spec.send.size())));
}

bool HttpProbe::reusable() const {
  if (broken_) return false;
  return h1_ != nullptr ? h1_->idle() && h1_->reusable() : h2_ != nullptr && h2_->reusable();
}

// As Envoy: a gRPC check that is late ends alone, one of HTTP with its connection.
bool HttpProbe::abandon() {
  waits_for_room_ = false;
  if (context_.spec.kind != HealthCheckKind::grpc) return false;
  response_.abandon(late);
  return true;
}

void HttpProbe::on_lost() {
  if (h1_ != nullptr) h1_->abort(gone);
  if (h2_ != nullptr) h2_->abort(gone);
}

// --- bytes -------------------------------------------------------------------------------------------------------------

void HttpProbe::on_bytes(Slice bytes) {
  if (h1_ != nullptr) h1_->decode(std::move(bytes));
  if (h2_ == nullptr) return;
  const auto whole_seconds = (worker_.now() - budgets_until_) / seconds(1);
  if (whole_seconds > 0) {
    budgets_until_ += seconds(whole_seconds);
    h2_->pass_time(static_cast<uint32_t>(std::min<int64_t>(whole_seconds, 3600)));
  }
  h2_->decode(std::move(bytes));
  if (closing() || decided()) return;
  if (asking() && waits_for_room_) ask();
  if (!asking() && !reusable()) look_again();  // GOAWAY between two checks
}

void HttpProbe::on_end() {
  broken_ = true;
  if (h1_ != nullptr && !h1_->idle()) h1_->on_end();
  if (h2_ != nullptr) h2_->on_end();
  decide(CheckResult::network);
  look_again();
}

void HttpProbe::on_sent(size_t bytes) {
  if (h1_ != nullptr) h1_->on_sent(bytes);
  if (h2_ != nullptr) h2_->on_sent(bytes);
}

void HttpProbe::on_codec_error(Error why, uint16_t status) {
  static_cast<void>(why), static_cast<void>(status);
  broken_ = true;
  decide(CheckResult::network);
  look_again();
}

// A client codec is never asked for a stream.
StreamUser& HttpProbe::on_stream(Stream& stream) {
  static_cast<void>(stream);
  check_failed("on_stream of a client codec");
}

}  // namespace ringside
