#include "proxy/filters/filter_chain.h"

#include <algorithm>
#include <variant>

#include "proxy/filters/grpc_http1_bridge.h"
#include "proxy/filters/grpc_stats.h"
#include "proxy/filters/grpc_web.h"

namespace ringside {
namespace {

// One line for each filter that there is.
struct MakeFilter {
  using Made = std::unique_ptr<const HttpFilter>;
  // envoy.filters.http.grpc_stats: counts calls and messages by method
  Made operator()(const GrpcStatsSpec& spec) const { return std::make_unique<GrpcStatsFilter>(spec); }
  // envoy.filters.http.grpc_web: browsers, which have no trailers
  Made operator()(const GrpcWebSpec&) const { return std::make_unique<GrpcWebFilter>(); }
  // envoy.filters.http.grpc_http1_bridge: clients of HTTP/1.1, which read the status in the head
  Made operator()(const GrpcHttp1BridgeSpec& spec) const { return std::make_unique<GrpcHttp1BridgeFilter>(spec); }
};

}  // namespace

FilterChain::FilterChain(std::span<const HttpFilterSpec> specs) {
  RS_CHECK(specs.size() <= http_filters_max);
  for (const HttpFilterSpec& spec : specs) filters_.push_back(std::visit(MakeFilter{}, spec.config));
}

FilterChain::Mask filters_off(FilterChain::Mask off, std::span<const HttpFilterSpec> specs,
                              const std::vector<std::string>& names) {
  for (size_t at = 0; at < specs.size(); ++at)
    if (std::find(names.begin(), names.end(), specs[at].name) != names.end()) off |= FilterChain::Mask{1} << at;
  return off;
}

}  // namespace ringside
