#include "proxy/filters/grpc_stats.h"

#include <algorithm>

#include "codecs/grpc.h"
#include "proxy/grpc_rules.h"
#include "proxy/observe/grpc_methods.h"
#include "proxy/shard.h"
#include "proxy/upstream/cluster.h"

namespace ringside {
namespace {

class Part final : public FilterPart {
 public:
  enum class UpstreamTime : bool { no, yes };
  Part(FilterHost& host, StatBlock<GrpcStat>& stats, UpstreamTime time)
      : FilterPart(host), stats_(stats), upstream_time_(time == UpstreamTime::yes) {
    sees_request_body_ = true;
    sees_response_body_ = true;
  }

  void on_request_body(Buffer& body, End) override { count(requests_, body, GrpcStat::request_message_count); }

  Verdict on_response(Head& head, End end) override {
    count_grpc_status(stats_, head.fields);
    if (end == End::yes) record_time();
    // Envoy: a body without its content type holds no messages.
    sees_response_body_ = head.status == 200 && is_grpc_request(head);
    return Verdict::proceed;
  }

  void on_response_body(Buffer& body, End) override { count(responses_, body, GrpcStat::response_message_count); }

  void on_response_trailers(HeaderMap*& fields, Buffer&) override {
    count_grpc_status(stats_, *fields);
    record_time();
  }

 private:
  void count(GrpcFrameReader& reader, const Buffer& body, GrpcStat stat) {
    uint32_t begun = 0;
    for (size_t at = 0; at < body.slice_count(); ++at) begun += reader.read(body.slice(at).text());
    if (begun != 0) stats_.inc(stat, begun);
  }
  void record_time() {
    const Instant sent = host_.upstream_sent();
    if (!upstream_time_ || sent == Instant{}) return;
    stats_.record(GrpcStat::upstream_rq_time, static_cast<uint64_t>((host_.worker().now() - sent) / milliseconds(1)));
  }

  StatBlock<GrpcStat>& stats_;
  GrpcFrameReader requests_, responses_;
  bool upstream_time_;
};

}  // namespace

GrpcStatsFilter::GrpcStatsFilter(const GrpcStatsSpec& spec)
    : all_methods_(spec.all_methods), upstream_time_(spec.upstream_time), replace_dots_(spec.replace_dots), listed_(spec.methods) {
  std::sort(listed_.begin(), listed_.end());
}

FilterPart* GrpcStatsFilter::start(FilterHost& host, const Head& request) const {
  Cluster* const cluster = host.cluster();
  if (cluster == nullptr || !is_grpc_request(request)) return nullptr;
  const std::optional<GrpcMethodName> name = GrpcMethodName::parse(request.path);
  if (!name) return nullptr;
  GrpcMethods& methods = cluster->grpc_methods(host.shard().registry());
  constexpr auto protocol = GrpcMethods::Protocol::grpc;
  const auto before = [](const auto& entry, const GrpcMethodName& wanted) {
    return std::pair<std::string_view, std::string_view>(entry) < std::pair(wanted.service, wanted.method);
  };
  const auto found = std::lower_bound(listed_.begin(), listed_.end(), *name, before);
  const bool listed = found != listed_.end() && found->first == name->service && found->second == name->method;
  const auto dots = replace_dots_ && all_methods_ ? GrpcMethods::Dots::replace : GrpcMethods::Dots::keep;
  StatBlock<GrpcStat>& stats = all_methods_ || listed ? methods.find(protocol, *name, dots) : methods.all(protocol);
  return host.make<Part>(host, stats, upstream_time_ ? Part::UpstreamTime::yes : Part::UpstreamTime::no);
}

}  // namespace ringside
