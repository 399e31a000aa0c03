#include "proxy/health/probe_response.h"

#include <algorithm>
#include <utility>

#include "codecs/ascii.h"
#include "proxy/health/tcp_probe.h"

namespace ringside {
namespace {

constexpr Error read_enough{ErrorCode::cancelled, Origin::local, Retry::never, "health check has seen enough"};

bool in_ranges(uint16_t status, const std::vector<StatusRange>& ranges) {
  return std::any_of(ranges.begin(), ranges.end(),
                     [status](const StatusRange& range) { return status >= range.start && status < range.end; });
}

// "application/grpc", "application/grpc+proto"
bool is_grpc_type(std::string_view type) {
  constexpr std::string_view grpc = "application/grpc";
  return type.starts_with(grpc) && (type.size() == grpc.size() || type[grpc.size()] == '+');
}

std::string lowered(std::string_view text) {
  std::string out(text);
  lower_in_place(out.data(), out.size());
  return out;
}

bool matches(const TextMatchSpec& spec, std::string_view wanted, std::string_view text) {
  switch (spec.how) {
    case TextMatchHow::exact: return text == wanted;
    case TextMatchHow::prefix: return text.starts_with(wanted);
    case TextMatchHow::suffix: return text.ends_with(wanted);
    case TextMatchHow::contains: return text.find(wanted) != text.npos;
    case TextMatchHow::regex: break;
  }
  return false;
}

}  // namespace

void ProbeResponse::clear() {
  RS_CHECK(stream_ == nullptr);
  arena_.reset();
  status_ = 0;
  degraded_ = false;
  service_.clear();
  body_.clear();
  reply_ = {};
}

void ProbeResponse::abandon(Error why) {
  if (Stream* const stream = std::exchange(stream_, nullptr)) stream->reset(why);
}

void ProbeResponse::finish(CheckResult result) {
  stream_ = nullptr;
  user_.on_judged(result);
}

void ProbeResponse::on_head(Head& head, End end) {
  if (is_grpc()) return on_grpc_head(head, end);
  status_ = head.status;
  degraded_ = head.fields.find("x-envoy-degraded") != nullptr;
  if (const HeaderField* service = head.fields.find("x-envoy-upstream-healthchecked-cluster")) service_ = service->value();
  if (end == End::yes) finish(judge());
}

void ProbeResponse::on_body(Slice piece, End end) {
  if (stream_ == nullptr) return;
  if (end == End::no) stream_->grant(piece.size());
  if (is_grpc()) return on_grpc_body(piece.text(), end);
  if (!context_.spec.receive.empty()) body_ += piece.text().substr(0, context_.spec.receive_bytes_max - body_.size());
  if (end == End::yes) finish(judge());
}

void ProbeResponse::on_trailers(HeaderMap& fields) {
  if (!is_grpc()) return finish(judge());
  finish(fields.value(HeaderId::grpc_status) == "0" && reply_.serving() ? CheckResult::success : CheckResult::failed);
}

void ProbeResponse::on_reset(Error why) {
  static_cast<void>(why);
  finish(CheckResult::network);
}

// --- HTTP --------------------------------------------------------------------------------------------------------------

CheckResult ProbeResponse::judge() {
  const HealthCheckSpec& spec = context_.spec;
  if (!contains_in_order(body_, spec.receive)) return CheckResult::failed;
  if (!in_ranges(status_, spec.expected))
    return in_ranges(status_, spec.retriable) ? CheckResult::retriable : CheckResult::failed;
  if (spec.service_name_match) {
    context_.stats.inc(HealthCheckStat::verify_cluster);
    if (!is_service(service_)) return CheckResult::failed;
  }
  return degraded_ ? CheckResult::degraded : CheckResult::success;
}

bool ProbeResponse::is_service(std::string_view name) const {
  const TextMatchSpec& spec = *context_.spec.service_name_match;
  if (spec.how == TextMatchHow::regex) return re2::RE2::FullMatch(name, *context_.service_regex);
  if (spec.ignore_case) return matches(spec, lowered(spec.text), lowered(name));
  return matches(spec, spec.text, name);
}

// --- gRPC: what is no answer of a service that is well is one of a service that is not -------------------------------------

void ProbeResponse::on_grpc_head(const Head& head, End end) {
  if (head.status == 200 && end == End::no && is_grpc_type(head.fields.value(HeaderId::content_type))) return;
  // Trailers alone cannot bring the message.
  if (end == End::no) abandon(read_enough);
  finish(CheckResult::failed);
}

void ProbeResponse::on_grpc_body(std::string_view piece, End end) {
  if (end == End::no && reply_.feed(piece)) return;
  if (end == End::no) abandon(read_enough);
  finish(CheckResult::failed);
}

}  // namespace ringside
