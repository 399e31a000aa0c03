#include "control/translate_http.h"

#include <fmt/format.h>

#include "control/translate_common.h"
#include "control/translate_filters.h"
#include "control/translate_headers.h"
#include "control/translate_routes.h"

namespace ringside {

namespace {

namespace api = envoy::extensions::filters::network::http_connection_manager::v3;
using envoy::config::core::v3::Http1ProtocolOptions;
using Manager = api::HttpConnectionManager;

constexpr uint32_t headers_kb_max = 8192;

void translate_codec(TranslateContext& context, const Manager& manager, HttpManagerSpec& spec) {
  switch (manager.codec_type()) {
    case Manager::AUTO: spec.codec = CodecType::auto_detect; break;
    case Manager::HTTP1: spec.codec = CodecType::http1; break;
    case Manager::HTTP2: spec.codec = CodecType::http2; break;
    default:
      context.unsupported(manager, Manager::kCodecTypeFieldNumber, Manager::CodecType_Name(manager.codec_type()),
                          "supported: AUTO, HTTP1, HTTP2");
      break;
  }
  if (manager.has_common_http_protocol_options()) {
    translate_http_protocol(context, manager.common_http_protocol_options(), spec.protocol);
  }
  if (manager.has_http2_protocol_options()) translate_http2(context, manager.http2_protocol_options(), spec.http2);
  if (!manager.has_http_protocol_options()) return;
  const Http1ProtocolOptions& options = manager.http_protocol_options();
  context.flag(options, Http1ProtocolOptions::kAllowAbsoluteUrlFieldNumber, spec.http1.allow_absolute_url);
  spec.http1.accept_http_10 = options.accept_http_10();
  spec.http1.default_host_for_http_10 = options.default_host_for_http_10();
  spec.http1.enable_trailers = options.enable_trailers();
  if (!is_header_value(options.default_host_for_http_10())) {
    context.fail(options, Http1ProtocolOptions::kDefaultHostForHttp10FieldNumber,
                 "may not contain line ends or control characters");
  }
}

EscapedSlashAction escaped_slash_action(Manager::PathWithEscapedSlashesAction action) {
  switch (action) {
    case Manager::REJECT_REQUEST: return EscapedSlashAction::reject_request;
    case Manager::UNESCAPE_AND_REDIRECT: return EscapedSlashAction::unescape_and_redirect;
    case Manager::UNESCAPE_AND_FORWARD: return EscapedSlashAction::unescape_and_forward;
    default: return EscapedSlashAction::keep_unchanged;
  }
}

ServerHeader server_header(Manager::ServerHeaderTransformation transformation) {
  switch (transformation) {
    case Manager::APPEND_IF_ABSENT: return ServerHeader::append_if_absent;
    case Manager::PASS_THROUGH: return ServerHeader::pass_through;
    default: return ServerHeader::overwrite;
  }
}

ForwardClientCert forward_client_cert(Manager::ForwardClientCertDetails how) {
  switch (how) {
    case Manager::FORWARD_ONLY: return ForwardClientCert::forward_only;
    case Manager::APPEND_FORWARD: return ForwardClientCert::append_forward;
    case Manager::SANITIZE_SET: return ForwardClientCert::sanitize_set;
    case Manager::ALWAYS_FORWARD_ONLY: return ForwardClientCert::always_forward_only;
    default: return ForwardClientCert::sanitize;
  }
}

ClientCertSpec client_cert(TranslateContext& context, const Manager& manager) {
  const Manager::SetCurrentClientCertDetails& details = manager.set_current_client_cert_details();
  ClientCertSpec spec{.how = forward_client_cert(manager.forward_client_cert_details()),
                      .subject = details.subject().value(),
                      .cert = details.cert(),
                      .chain = details.chain(),
                      .dns = details.dns(),
                      .uri = details.uri()};
  const bool sets = spec.how == ForwardClientCert::append_forward || spec.how == ForwardClientCert::sanitize_set;
  if (sets || !manager.has_set_current_client_cert_details()) return spec;
  context.warn(manager, Manager::kSetCurrentClientCertDetailsFieldNumber,
               "says nothing without forward_client_cert_details APPEND_FORWARD or SANITIZE_SET");
  return {.how = spec.how};
}

void translate_internal_addresses(TranslateContext& context, const Manager& manager, HttpManagerSpec& spec) {
  spec.internal_unix_sockets = manager.internal_address_config().unix_sockets();
  spec.internal_ranges = translate_ranges(context, manager.internal_address_config().cidr_ranges());
}

void translate_identity(TranslateContext& context, const Manager& manager, HttpManagerSpec& spec) {
  if (!manager.server_name().empty()) spec.server_name = manager.server_name();
  spec.server_header = server_header(manager.server_header_transformation());
  spec.via = manager.via();
  for (const int number : {int{Manager::kServerNameFieldNumber}, int{Manager::kViaFieldNumber}}) {
    const std::string& value = number == Manager::kViaFieldNumber ? manager.via() : manager.server_name();
    if (!is_header_value(value)) context.fail(manager, number, "may not contain line ends or control characters");
  }
  context.flag(manager, Manager::kUseRemoteAddressFieldNumber, spec.use_remote_address);
  context.number(manager, Manager::kXffNumTrustedHopsFieldNumber, spec.xff_trusted_hops);
  spec.skip_xff_append = manager.skip_xff_append();
  translate_internal_addresses(context, manager, spec);
  spec.client_cert = client_cert(context, manager);
  context.flag(manager, Manager::kGenerateRequestIdFieldNumber, spec.generate_request_id);
  spec.preserve_external_request_id = manager.preserve_external_request_id();
  spec.always_set_request_id_in_response = manager.always_set_request_id_in_response();
  context.flag(manager, Manager::kAddUserAgentFieldNumber, spec.add_user_agent);
}

void translate_paths_and_hosts(TranslateContext& context, const Manager& manager, HttpManagerSpec& spec) {
  context.flag(manager, Manager::kNormalizePathFieldNumber, spec.normalize_path);
  spec.merge_slashes = manager.merge_slashes();
  spec.escaped_slashes = escaped_slash_action(manager.path_with_escaped_slashes_action());
  spec.strip_matching_host_port = manager.strip_matching_host_port();
  spec.strip_any_host_port = manager.strip_any_host_port();
  spec.strip_trailing_host_dot = manager.strip_trailing_host_dot();
  if (spec.strip_any_host_port && spec.strip_matching_host_port) {
    context.fail(manager, Manager::kStripMatchingHostPortFieldNumber,
                 "excludes strip_any_host_port: keep one of the two");
  }
}

void translate_limits(TranslateContext& context, const Manager& manager, HttpManagerSpec& spec) {
  spec.proxy_100_continue = manager.proxy_100_continue();
  context.number(manager, Manager::kMaxRequestHeadersKbFieldNumber, spec.request_headers_kb_max,
                 {.min = 1, .max = headers_kb_max});
  context.duration(manager, Manager::kStreamIdleTimeoutFieldNumber, spec.stream_idle_timeout);
  context.duration(manager, Manager::kRequestTimeoutFieldNumber, spec.request_timeout);
  context.duration(manager, Manager::kRequestHeadersTimeoutFieldNumber, spec.request_headers_timeout);
  context.duration(manager, Manager::kDrainTimeoutFieldNumber, spec.drain_timeout);
  context.duration(manager, Manager::kDelayedCloseTimeoutFieldNumber, spec.delayed_close_timeout);
}

}  // namespace

HttpManagerSpec translate_http_manager(TranslateContext& context, const Manager& manager) {
  HttpManagerSpec spec;
  spec.stat_prefix = manager.stat_prefix();
  if (spec.stat_prefix.empty()) context.missing(manager, Manager::kStatPrefixFieldNumber);
  translate_codec(context, manager, spec);
  translate_identity(context, manager, spec);
  translate_paths_and_hosts(context, manager, spec);
  translate_limits(context, manager, spec);
  spec.access_logs = translate_access_logs(context, manager.access_log());
  if (manager.has_route_config()) {
    spec.routes = translate_route_config(context, manager.route_config());
  } else {
    context.missing(manager, Manager::kRouteConfigFieldNumber);
  }
  spec.upgrades = translate_upgrades(context, manager, Manager::kUpgradeConfigsFieldNumber, manager.upgrade_configs());
  translate_filters(context, manager, spec);
  return spec;
}

}  // namespace ringside
