#include "proxy/observe/stat_names.h"

namespace ringside {

namespace {

// Envoy takes the part after "listener." for an address, and so for a label, only if it looks like one.
bool looks_like_address(std::string_view part) {
  constexpr std::string_view ipv4 = "0123456789._";
  constexpr std::string_view ipv6 = "0123456789abcdefABCDEF[]_";
  return part.find_first_not_of(ipv4) == std::string_view::npos ||
         part.find_first_not_of(ipv6) == std::string_view::npos;
}

// root "cluster.", label "envoy_cluster_name".
StatScope labelled(std::string_view root, std::string_view label, std::string_view name) {
  std::string part = stat_name_part(name);
  return {.prefix = std::string(root) + part + ".",
          .tagless_prefix = std::string(root),
          .tags = {{std::string(label), std::move(part)}}};
}

}  // namespace

HttpStat downstream_rq_class(uint32_t code) {
  switch (code / 100) {
    case 1: return HttpStat::downstream_rq_1xx;
    case 2: return HttpStat::downstream_rq_2xx;
    case 3: return HttpStat::downstream_rq_3xx;
    case 4: return HttpStat::downstream_rq_4xx;
  }
  return HttpStat::downstream_rq_5xx;
}

ListenerHttpStat listener_rq_class(uint32_t code) {
  switch (code / 100) {
    case 1: return ListenerHttpStat::downstream_rq_1xx;
    case 2: return ListenerHttpStat::downstream_rq_2xx;
    case 3: return ListenerHttpStat::downstream_rq_3xx;
    case 4: return ListenerHttpStat::downstream_rq_4xx;
  }
  return ListenerHttpStat::downstream_rq_5xx;
}

WebSocketStat websocket_close_stat(uint16_t code) {
  if (code >= 4000) return WebSocketStat::close_4xxx;
  if (code >= 3000) return WebSocketStat::close_3xxx;
  RS_CHECK(code >= 1000 && code <= 1014);
  return static_cast<WebSocketStat>(static_cast<size_t>(WebSocketStat::close_1000) + code - 1000u);
}

std::string stat_name_part(std::string_view name) {
  std::string part;
  part.reserve(name.size());
  for (size_t at = 0; at < name.size(); ++at) {
    if (name[at] == '\0') {
      part += '_';
    } else if (name[at] == ':') {
      part += '_';
      if (name.substr(at, 3) == "://")
        at += 2;
      else if (name.substr(at, 2) == ":/")
        at += 1;
    } else {
      part += name[at];
    }
  }
  return part;
}

StatScope cluster_scope(std::string_view name) { return labelled("cluster.", "envoy_cluster_name", name); }

StatScope cluster_match_scope(std::string_view name, std::string_view match) {
  StatScope scope = cluster_scope(name);
  const std::string part = stat_name_part(match) + ".";
  scope.prefix += part;
  scope.tagless_prefix += part;
  return scope;
}

StatScope cluster_http2_scope(std::string_view name) {
  StatScope scope = cluster_scope(name);
  scope.prefix += "http2.";
  scope.tagless_prefix += "http2.";
  return scope;
}

StatScope cluster_health_scope(std::string_view name) {
  StatScope scope = cluster_scope(name);
  scope.prefix += "health_check.";
  scope.tagless_prefix += "health_check.";
  return scope;
}

StatScope cluster_grpc_scope(std::string_view name, std::string_view protocol, std::string_view service,
                             std::string_view method) {
  StatScope scope = cluster_scope(name);
  const std::string middle = std::string(protocol) + ".";
  scope.prefix += middle;
  scope.tagless_prefix += middle;
  if (service.empty()) return scope;
  std::string service_part = stat_name_part(service), method_part = stat_name_part(method);
  scope.prefix += service_part + "." + method_part + ".";
  scope.tags.insert(scope.tags.begin(), {{"envoy_grpc_bridge_method", std::move(method_part)},
                                         {"envoy_grpc_bridge_service", std::move(service_part)}});
  return scope;
}

StatScope http_scope(std::string_view stat_prefix) {
  return labelled("http.", "envoy_http_conn_manager_prefix", stat_prefix);
}

StatScope websocket_scope(std::string_view stat_prefix, std::string_view name) {
  StatScope scope = http_scope(stat_prefix);
  std::string part = stat_name_part(name);
  scope.prefix += "websocket." + part + ".";
  scope.tagless_prefix += "websocket.";
  scope.tags.insert(scope.tags.begin(), {"ringside_websocket", std::move(part)});
  return scope;
}

StatScope tcp_scope(std::string_view stat_prefix) { return labelled("tcp.", "envoy_tcp_prefix", stat_prefix); }

StatScope listener_scope(std::string_view address) {
  StatScope scope = labelled("listener.", "envoy_listener_address", address);
  if (looks_like_address(scope.tags[0].value)) return scope;
  return {.prefix = scope.prefix};
}

StatScope listener_worker_scope(std::string_view address, uint32_t worker) {
  StatScope scope = listener_scope(address);
  const std::string& without_address = scope.tagless_prefix.empty() ? scope.prefix : scope.tagless_prefix;
  scope.tagless_prefix = without_address + "worker.";
  scope.prefix += "worker_" + std::to_string(worker) + ".";
  scope.tags.insert(scope.tags.begin(), {"envoy_worker_id", std::to_string(worker)});
  return scope;
}

StatScope listener_http_scope(std::string_view address, std::string_view stat_prefix) {
  StatScope scope = listener_scope(address);
  const std::string& without_address = scope.tagless_prefix.empty() ? scope.prefix : scope.tagless_prefix;
  std::string part = stat_name_part(stat_prefix);
  scope.tagless_prefix = without_address + "http.";
  scope.prefix += "http." + part + ".";
  scope.tags.insert(scope.tags.begin(), {"envoy_http_conn_manager_prefix", std::move(part)});
  return scope;
}

StatScope proxy_protocol_scope(std::string_view stat_prefix) {
  return {.prefix = stat_prefix.empty() ? "proxy_proto." : "proxy_proto." + stat_name_part(stat_prefix) + "."};
}

}  // namespace ringside
