#include "control/config_types.h"

#include <algorithm>
#include <array>

#include "file_access_log.pb.h"
#include "grpc_http1_bridge.pb.h"
#include "grpc_stats.pb.h"
#include "grpc_web.pb.h"
#include "http_connection_manager.pb.h"
#include "http_inspector.pb.h"
#include "http_protocol_options.pb.h"
#include "mongo_proxy.pb.h"
#include "original_dst.pb.h"
#include "proxy_protocol.pb.h"
#include "previous_hosts.pb.h"
#include "raw_buffer.pb.h"
#include "ringside_mongo.pb.h"
#include "ringside_websocket.pb.h"
#include "route.pb.h"
#include "router.pb.h"
#include "stream_access_log.pb.h"
#include "tcp_proxy.pb.h"
#include "tls.pb.h"
#include "tls_inspector.pb.h"
#include "upstream_proxy_protocol.pb.h"

namespace ringside {

const std::vector<ConfigTypeGroup>& type_groups() {
  namespace ext = envoy::extensions;
  const auto* const filter_switch = &envoy::config::route::v3::FilterConfig::default_instance();
  const auto* const websocket = &websocket::v1::WebSocketInspection::default_instance();
  static const std::vector<ConfigTypeGroup> groups = {
      {"envoy.config.listener.v3.Filter.typed_config",
       "a network filter",
       {&ext::filters::network::http_connection_manager::v3::HttpConnectionManager::default_instance(),
        &ext::filters::network::tcp_proxy::v3::TcpProxy::default_instance(),
        &ext::filters::network::mongo_proxy::v3::MongoProxy::default_instance(),
        &ringside::mongo::v1::MongoRules::default_instance()}},
      {"envoy.config.listener.v3.ListenerFilter.typed_config",
       "a listener filter",
       {&ext::filters::listener::tls_inspector::v3::TlsInspector::default_instance(),
        &ext::filters::listener::http_inspector::v3::HttpInspector::default_instance(),
        &ext::filters::listener::proxy_protocol::v3::ProxyProtocol::default_instance(),
        &ext::filters::listener::original_dst::v3::OriginalDst::default_instance()}},
      {"envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter.typed_config",
       "an HTTP filter",
       {&ext::filters::http::router::v3::Router::default_instance(),
        &ext::filters::http::grpc_stats::v3::FilterConfig::default_instance(),
        &ext::filters::http::grpc_web::v3::GrpcWeb::default_instance(),
        &ext::filters::http::grpc_http1_bridge::v3::Config::default_instance(), websocket}},
      {"envoy.config.route.v3.RouteConfiguration.typed_per_filter_config", "what a route says of an HTTP filter", {filter_switch, websocket}},
      {"envoy.config.route.v3.VirtualHost.typed_per_filter_config", "what a route says of an HTTP filter", {filter_switch, websocket}},
      {"envoy.config.route.v3.Route.typed_per_filter_config", "what a route says of an HTTP filter", {filter_switch, websocket}},
      {"envoy.config.accesslog.v3.AccessLog.typed_config",
       "an access log",
       {&ext::access_loggers::file::v3::FileAccessLog::default_instance(),
        &ext::access_loggers::stream::v3::StdoutAccessLog::default_instance(),
        &ext::access_loggers::stream::v3::StderrAccessLog::default_instance()}},
      {"envoy.config.cluster.v3.Cluster.typed_extension_protocol_options",
       "a set of protocol options",
       {&ext::upstreams::http::v3::HttpProtocolOptions::default_instance()}},
      {"envoy.config.route.v3.RetryPolicy.RetryHostPredicate.typed_config",
       "a host predicate",
       {&ext::retry::host::previous_hosts::v3::PreviousHostsPredicate::default_instance()}},
      {"envoy.config.core.v3.TransportSocket.typed_config",
       "a transport socket",
       {&ext::transport_sockets::tls::v3::DownstreamTlsContext::default_instance(),
        &ext::transport_sockets::tls::v3::UpstreamTlsContext::default_instance(),
        &ext::transport_sockets::proxy_protocol::v3::ProxyProtocolUpstreamTransport::default_instance(),
        &ext::transport_sockets::raw_buffer::v3::RawBuffer::default_instance()}},
  };
  return groups;
}

const ConfigTypeGroup* find_type_group(const google::protobuf::FieldDescriptor& field) {
  for (const ConfigTypeGroup& group : type_groups()) {
    if (group.field == field.full_name()) return &group;
  }
  return nullptr;
}

namespace {

// Fields inside TLS contexts: who may connect, who is believed, where keys come from and go to.
constexpr auto tls_fields = std::to_array<std::string_view>({
    "require_sni",
    "tls_certificate_sds_secret_configs",
    "tls_certificate_provider_instance",
    "tls_certificate_certificate_provider",
    "tls_certificate_certificate_provider_instance",
    "validation_context_sds_secret_config",
    "validation_context_certificate_provider",
    "validation_context_certificate_provider_instance",
    "combined_validation_context",
    "custom_handshaker",
    "custom_tls_certificate_selector",
    "custom_validator_config",
    "ca_certificate_provider_instance",
    "system_root_certs",
    "match_subject_alt_names",
    "require_signed_certificate_timestamp",
    "signature_algorithms",
    "compliance_policies",
    "private_key_provider",
    "pkcs12",
    "session_ticket_keys_sds_secret_config",
    "enforce_rsa_key_usage",
    "local_address_range",
    "remote_address_range",
    "oid",
});

}  // namespace

bool weakens_security(std::string_view field) {
  // Transport security and identity; who may connect; conditions of a route (ignored, the route matches more); filters and
  // their settings; limits that protect; addresses that are believed.
  static constexpr auto fields = std::to_array<std::string_view>({
      "transport_socket",
      "transport_socket_matches",
      "transport_socket_matcher",
      "require_tls",
      "secrets",
      "tls_context",
      "filter_chain_match",
      "filter_chain_matcher",
      "address_suffix",
      "suffix_len",
      "listener_filters",
      "filters",
      "http_filters",
      "network_filters",
      "config_discovery",
      "typed_per_filter_config",
      "typed_config",
      "early_header_mutation_extensions",
      "typed_header_validation_config",
      "headers",
      "query_parameters",
      "grpc",
      "dynamic_metadata",
      "filter_state",
      "runtime_fraction",
      "matcher",
      "connect_matcher",
      "path_match_policy",
      "safe_regex",
      "rate_limits",
      "cors",
      "internal_only_headers",
      "original_ip_detection_extensions",
      "forward_client_cert_details",
      "set_current_client_cert_details",
      "forward_client_cert_matcher",
      "overload_manager",
      "allow_paths",
      "upstream_http_protocol_options",
      "max_response_headers_kb",
      "use_proxy_proto",
      "transparent",
      "health_status",
      "certificate_provider_instances",
      "path_normalization_options",
      "validate_clusters",
  });
  return std::find(fields.begin(), fields.end(), field) != fields.end() ||
         std::find(tls_fields.begin(), tls_fields.end(), field) != tls_fields.end();
}

bool guards_requests(std::string_view type) {
  // Programmable extensions may do anything, so they count.
  static constexpr auto words = std::to_array<std::string_view>({
      "rbac",
      "auth",
      "csrf",
      "cors",
      "ratelimit",
      "rate_limit",
      "ext_proc",
      "wasm",
      "lua",
      "golang",
      "dynamic_module",
      "credential",
      "admission",
      "bandwidth",
      "geoip",
      "header_mutation",
      "composite",
      "peer_metadata",
  });
  std::string lower(type);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return std::any_of(words.begin(), words.end(), [&](std::string_view word) { return lower.find(word) != lower.npos; });
}

}  // namespace ringside
