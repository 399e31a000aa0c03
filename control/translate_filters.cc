#include "control/translate_filters.h"

#include <fmt/format.h>

#include <optional>

#include "control/translate_websocket.h"
#include "grpc_http1_bridge.pb.h"
#include "grpc_stats.pb.h"
#include "grpc_web.pb.h"
#include "route.pb.h"
#include "router.pb.h"

namespace ringside {

namespace {

namespace filters = envoy::extensions::filters::http;
namespace api = envoy::extensions::filters::network::http_connection_manager::v3;
using ApiFilter = api::HttpFilter;
using envoy::config::core::v3::GrpcMethodList;
using filters::router::v3::Router;
using BridgeConfig = filters::grpc_http1_bridge::v3::Config;
using FilterSwitch = envoy::config::route::v3::FilterConfig;
using Manager = api::HttpConnectionManager;
using StatsConfig = filters::grpc_stats::v3::FilterConfig;
using WebSocketConfig = websocket::v1::WebSocketInspection;
using WebConfig = filters::grpc_web::v3::GrpcWeb;

GrpcStatsSpec translate_grpc_stats(TranslateContext& context, const StatsConfig& config) {
  GrpcStatsSpec spec;
  context.flag(config, StatsConfig::kStatsForAllMethodsFieldNumber, spec.all_methods);
  for (const GrpcMethodList::Service& service : config.individual_method_stats_allowlist().services()) {
    using Service = GrpcMethodList::Service;
    if (service.name().empty()) context.missing(service, Service::kNameFieldNumber);
    if (service.method_names().empty()) context.missing(service, Service::kMethodNamesFieldNumber, "needs at least one method");
    for (const std::string& method : service.method_names()) spec.methods.emplace_back(service.name(), method);
  }
  spec.upstream_time = config.enable_upstream_stats();
  spec.replace_dots = config.replace_dots_in_grpc_service_name();
  return spec;
}

// Nothing for a type that is none of these; it was reported, or may be left out.
std::optional<decltype(HttpFilterSpec::config)> translate_filter(TranslateContext& context, const ApiFilter& filter) {
  const google::protobuf::Any& any = filter.typed_config();
  if (const auto* stats = context.typed<StatsConfig>(any)) return translate_grpc_stats(context, *stats);
  if (const auto* websocket = context.typed<WebSocketConfig>(any)) return translate_websocket(context, *websocket);
  if (context.typed<WebConfig>(any) != nullptr) return GrpcWebSpec{};
  if (const auto* bridge = context.typed<BridgeConfig>(any))
    return GrpcHttp1BridgeSpec{.upgrade_protobuf = bridge->upgrade_protobuf_to_grpc(),
                               .ignore_query = bridge->ignore_query_parameters()};
  return std::nullopt;
}

void translate_router(TranslateContext& context, const Router& router, HttpManagerSpec& spec) {
  context.flag(router, Router::kDynamicStatsFieldNumber, spec.dynamic_stats);
  spec.suppress_envoy_headers = router.suppress_envoy_headers();
  spec.respect_expected_timeout = router.respect_expected_rq_timeout();
}

}  // namespace

void translate_filters(TranslateContext& context, const Manager& manager, HttpManagerSpec& spec) {
  constexpr int number = Manager::kHttpFiltersFieldNumber;
  bool read_all = true;
  const Router* router = nullptr;
  for (int i = 0; i < manager.http_filters_size(); ++i) {
    const ApiFilter& filter = manager.http_filters(i);
    if (router != nullptr) {
      context.fail(manager, number, "nothing may stand behind the router", "put envoy.filters.http.router last", i);
    }
    if (const auto* here = context.typed<Router>(filter.typed_config())) {
      if (filter.disabled()) context.fail(filter, ApiFilter::kDisabledFieldNumber, "the router cannot be disabled");
      router = here;
    } else if (auto config = translate_filter(context, filter)) {
      spec.filters.push_back({.name = filter.name(), .config = *std::move(config), .off = filter.disabled()});
    } else {
      if (!filter.has_typed_config()) context.missing(filter, ApiFilter::kTypedConfigFieldNumber);
      read_all = false;  // what could not be read was reported, or may be left out
    }
  }
  if (spec.filters.size() > http_filters_max) {
    context.fail(manager, number, fmt::format("at most {} filters", http_filters_max));
    spec.filters.clear();
  }
  if (router != nullptr) return translate_router(context, *router, spec);
  if (read_all)
    context.missing(manager, number, "the router is missing", "add envoy.filters.http.router with its typed_config");
}

FilterChangesSpec translate_filter_changes(TranslateContext& context, const google::protobuf::Message& holder, int number,
                                           const std::vector<std::string>& keys) {
  FilterChangesSpec changes;
  for (const std::string& name : keys) {
    if (const auto* settings = context.typed_in_map<WebSocketConfig>(holder, name)) {
      changes.settings.push_back({.name = name, .config = translate_websocket(context, *settings)});
      continue;
    }
    const auto* config = context.typed_in_map<FilterSwitch>(holder, name);
    if (config == nullptr) continue;  // reported
    if (config->disabled()) {
      changes.off.push_back(name);
    } else {
      context.fail(holder, number, fmt::format("\"{}\": only disabled: true is supported by this version of ringside", name),
                   "leave it out: without it, the filter is as http_filters has it");
    }
  }
  return changes;
}

}  // namespace ringside
