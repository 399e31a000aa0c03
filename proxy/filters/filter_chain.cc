#include "proxy/filters/filter_chain.h"

#include <algorithm>
#include <variant>

#include "proxy/filters/grpc_http1_bridge.h"
#include "proxy/filters/grpc_stats.h"
#include "proxy/filters/grpc_web.h"
#include "proxy/filters/websocket_inspection.h"

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
  // ringside.websocket: what passes through WebSockets
  Made operator()(const WebSocketSpec& spec) const { return std::make_unique<WebSocketInspection>(spec); }
};

}  // namespace

FilterChain::FilterChain(std::span<const HttpFilterSpec> specs) {
  RS_CHECK(specs.size() <= http_filters_max);
  for (const HttpFilterSpec& spec : specs) filters_.push_back(std::visit(MakeFilter{}, spec.config));
  off_ = FilterChanges::none(specs).off;
}

const HttpFilter* FilterSettings::find(size_t at) const {
  for (const Entry& entry : entries_)
    if (entry.at == at) return entry.filter.get();
  return nullptr;
}

FilterChanges FilterChanges::none(std::span<const HttpFilterSpec> chain) {
  FilterChanges changes;
  for (size_t at = 0; at < chain.size(); ++at)
    if (chain[at].off) changes.off |= FilterChain::Mask{1} << at;
  return changes;
}

std::expected<FilterChanges, std::string> FilterChanges::inside(std::span<const HttpFilterSpec> chain,
                                                                const FilterChangesSpec& spec) const {
  FilterChanges changes = *this;
  const auto is = [](std::string_view name) { return [name](const HttpFilterSpec& filter) { return filter.name == name; }; };
  for (size_t at = 0; at < chain.size(); ++at)
    if (std::find(spec.off.begin(), spec.off.end(), chain[at].name) != spec.off.end()) changes.off |= FilterChain::Mask{1} << at;
  if (spec.settings.empty()) return changes;
  auto made = changes.settings != nullptr ? std::make_shared<FilterSettings>(*changes.settings) : std::make_shared<FilterSettings>();
  for (const HttpFilterSpec& wanted : spec.settings) {
    const auto found = std::find_if(chain.begin(), chain.end(), is(wanted.name));
    if (found == chain.end() || found->config.index() != wanted.config.index())
      return std::unexpected("settings for \"" + wanted.name + "\", which no filter of that kind in http_filters is called");
    const auto at = static_cast<size_t>(found - chain.begin());
    std::erase_if(made->entries_, [at](const FilterSettings::Entry& entry) { return entry.at == at; });
    made->entries_.push_back({at, std::visit(MakeFilter{}, wanted.config)});
    changes.off &= ~(FilterChain::Mask{1} << at);
  }
  changes.settings = std::move(made);
  return changes;
}

}  // namespace ringside
