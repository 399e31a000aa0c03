#include "control/translate_health.h"

#include <fmt/format.h>

#include <cmath>
#include <string>
#include <utility>

#include "control/translate_common.h"
#include "control/translate_headers.h"
#include "health_check.pb.h"

namespace ringside {

namespace {

namespace api = envoy::config::core::v3;
namespace endpoint_api = envoy::config::endpoint::v3;
namespace pb = google::protobuf;
using api::HealthCheck;
using envoy::config::cluster::v3::Cluster;
using Http = HealthCheck::HttpHealthCheck;
using Payload = HealthCheck::Payload;

constexpr uint32_t port_max = 65535;
constexpr uint64_t receive_bytes_limit = 1024 * 1024;

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// --- Bytes -----------------------------------------------------------------------------------------------------------

std::string translate_payload(TranslateContext& context, const Payload& payload) {
  if (payload.payload_case() == Payload::kBinary) return payload.binary();
  const std::string& text = payload.text();
  if (text.empty()) {
    context.missing(payload, 0, "needs text or binary", "text is hexadecimal: \"676f\" stands for \"go\"");
    return {};
  }
  std::string bytes;
  for (size_t at = 0; at + 1 < text.size() && text.size() % 2 == 0; at += 2) {
    const int high = hex_digit(text[at]), low = hex_digit(text[at + 1]);
    if (high < 0 || low < 0) break;
    bytes += static_cast<char>(high * 16 + low);
  }
  if (bytes.size() * 2 != text.size()) {
    context.fail(payload, Payload::kTextFieldNumber, fmt::format("\"{}\" is not hexadecimal", text),
                 "two digits for each byte: \"676f\" stands for \"go\"; plain bytes go to binary, as base64");
  }
  return bytes;
}

std::vector<std::string> translate_payloads(TranslateContext& context, const pb::RepeatedPtrField<Payload>& payloads) {
  std::vector<std::string> all;
  for (const Payload& payload : payloads) all.push_back(translate_payload(context, payload));
  return all;
}

// --- HTTP, gRPC, TCP -------------------------------------------------------------------------------------------------

std::vector<StatusRange> translate_statuses(TranslateContext& context, const Http& http, int number,
                                            const pb::RepeatedPtrField<envoy::type::v3::Int64Range>& ranges) {
  std::vector<StatusRange> all;
  for (int at = 0; at < ranges.size(); ++at) {
    const int64_t start = ranges[at].start(), end = ranges[at].end();
    if (start < 100 || end > 600 || start >= end) {
      context.fail(http, number, fmt::format("{} to {} is no range of statuses", start, end),
                   "start is 100 at least, end is one more than the last and 600 at most", at);
      continue;
    }
    all.push_back({.start = static_cast<uint32_t>(start), .end = static_cast<uint32_t>(end)});
  }
  return all;
}

void translate_method(TranslateContext& context, const Http& http, HealthCheckSpec& spec) {
  if (http.method() == api::CONNECT) {
    context.unsupported(http, Http::kMethodFieldNumber, "CONNECT", "use another method; GET is the default");
  } else if (http.method() != api::METHOD_UNSPECIFIED) {
    spec.method = api::RequestMethod_Name(http.method());
  }
  if (!http.has_send()) return;
  spec.send = translate_payload(context, http.send());
  const bool has_body = spec.method == "POST" || spec.method == "PUT" || spec.method == "PATCH" || spec.method == "OPTIONS";
  if (!has_body) {
    context.fail(http, Http::kSendFieldNumber, fmt::format("{} has no body to send", spec.method),
                 "set method to POST, PUT, PATCH or OPTIONS");
  }
}

void translate_receive(TranslateContext& context, const Http& http, HealthCheckSpec& spec) {
  spec.receive = translate_payloads(context, http.receive());
  const uint64_t bytes_max = http.has_response_buffer_size() ? http.response_buffer_size().value() : spec.receive_bytes_max;
  if (bytes_max > receive_bytes_limit) {
    context.fail(http, Http::kResponseBufferSizeFieldNumber, fmt::format("{} is more than {}", bytes_max, receive_bytes_limit));
  }
  spec.receive_bytes_max = static_cast<uint32_t>(bytes_max == 0 ? receive_bytes_limit : bytes_max);
  size_t total = 0;
  for (const std::string& part : spec.receive) total += part.size();
  if (total > spec.receive_bytes_max) {
    context.fail(http, Http::kReceiveFieldNumber,
                 fmt::format("these {} bytes do not fit into the {} that are looked at", total, spec.receive_bytes_max),
                 "raise response_buffer_size");
  }
}

void translate_http(TranslateContext& context, const Http& http, HealthCheckSpec& spec) {
  spec.kind = HealthCheckKind::http;
  spec.path = http.path();
  if (spec.path.empty()) context.missing(http, Http::kPathFieldNumber);
  if (!is_header_value(spec.path) || spec.path.find_first_of(" \t") != std::string::npos)
    context.fail(http, Http::kPathFieldNumber, "holds a character that no path may have", "write it as %20 and the like");
  if (!is_header_value(http.host())) context.fail(http, Http::kHostFieldNumber, "holds a character that no host may have");
  if (!http.host().empty()) spec.host = http.host();
  spec.http2 = http.codec_client_type() == envoy::type::v3::HTTP2;
  if (http.codec_client_type() == envoy::type::v3::HTTP3)
    context.unsupported(http, Http::kCodecClientTypeFieldNumber, "HTTP3", "supported: HTTP1, HTTP2");
  translate_method(context, http, spec);
  translate_receive(context, http, spec);
  spec.headers_add = translate_headers_to_add(context, http.request_headers_to_add());
  spec.headers_remove = translate_headers_to_remove(context, http, Http::kRequestHeadersToRemoveFieldNumber,
                                                    http.request_headers_to_remove());
  spec.expected = translate_statuses(context, http, Http::kExpectedStatusesFieldNumber, http.expected_statuses());
  spec.retriable = translate_statuses(context, http, Http::kRetriableStatusesFieldNumber, http.retriable_statuses());
  if (spec.expected.empty()) spec.expected.push_back({.start = 200, .end = 201});
  if (http.has_service_name_matcher()) spec.service_name_match = translate_matcher(context, http.service_name_matcher());
}

void translate_grpc(TranslateContext& context, const HealthCheck::GrpcHealthCheck& grpc, HealthCheckSpec& spec) {
  using Grpc = HealthCheck::GrpcHealthCheck;
  spec.kind = HealthCheckKind::grpc;
  spec.http2 = true;
  spec.method = "POST";
  spec.path = "/grpc.health.v1.Health/Check";
  spec.grpc_service = grpc.service_name();
  if (!is_header_value(grpc.authority()))
    context.fail(grpc, Grpc::kAuthorityFieldNumber, "holds a character that no authority may have");
  if (!grpc.authority().empty()) spec.host = grpc.authority();
  spec.headers_add = translate_headers_to_add(context, grpc.initial_metadata());
}

// --- When ------------------------------------------------------------------------------------------------------------

void translate_times(TranslateContext& context, const HealthCheck& check, HealthCheckSpec& spec) {
  constexpr DurationFloor above_zero{.bound = DurationFloor::Bound::above};
  if (!check.has_timeout()) context.missing(check, HealthCheck::kTimeoutFieldNumber);
  if (!check.has_interval()) context.missing(check, HealthCheck::kIntervalFieldNumber);
  context.duration(check, HealthCheck::kTimeoutFieldNumber, spec.timeout, above_zero);
  context.duration(check, HealthCheck::kIntervalFieldNumber, spec.interval, above_zero);
  context.duration(check, HealthCheck::kInitialJitterFieldNumber, spec.initial_jitter);
  context.duration(check, HealthCheck::kIntervalJitterFieldNumber, spec.interval_jitter);
  spec.interval_jitter_percent = check.interval_jitter_percent();
  context.duration(check, HealthCheck::kNoTrafficIntervalFieldNumber, spec.no_traffic_interval, above_zero);
  spec.no_traffic_healthy_interval = spec.no_traffic_interval;
  context.duration(check, HealthCheck::kNoTrafficHealthyIntervalFieldNumber, spec.no_traffic_healthy_interval, above_zero);
  spec.unhealthy_interval = spec.healthy_edge_interval = spec.interval;
  context.duration(check, HealthCheck::kUnhealthyIntervalFieldNumber, spec.unhealthy_interval, above_zero);
  spec.unhealthy_edge_interval = spec.unhealthy_interval;
  context.duration(check, HealthCheck::kUnhealthyEdgeIntervalFieldNumber, spec.unhealthy_edge_interval, above_zero);
  context.duration(check, HealthCheck::kHealthyEdgeIntervalFieldNumber, spec.healthy_edge_interval, above_zero);
}

void translate_check(TranslateContext& context, const HealthCheck& check, HealthCheckSpec& spec) {
  translate_times(context, check, spec);
  if (!check.has_unhealthy_threshold()) context.missing(check, HealthCheck::kUnhealthyThresholdFieldNumber);
  if (!check.has_healthy_threshold()) context.missing(check, HealthCheck::kHealthyThresholdFieldNumber);
  context.number(check, HealthCheck::kUnhealthyThresholdFieldNumber, spec.unhealthy_threshold, {.min = 1});
  context.number(check, HealthCheck::kHealthyThresholdFieldNumber, spec.healthy_threshold, {.min = 1});
  context.flag(check, HealthCheck::kReuseConnectionFieldNumber, spec.reuse_connection);
  const auto& alpn = check.tls_options().alpn_protocols();
  spec.alpn.assign(alpn.begin(), alpn.end());
  for (int at = 0; at < alpn.size(); ++at)
    if (alpn[at].empty() || alpn[at].size() > 255)
      context.fail(check.tls_options(), HealthCheck::TlsOptions::kAlpnProtocolsFieldNumber, "is not 1 to 255 bytes long", {}, at);
  switch (check.health_checker_case()) {
    case HealthCheck::kHttpHealthCheck: return translate_http(context, check.http_health_check(), spec);
    case HealthCheck::kGrpcHealthCheck: return translate_grpc(context, check.grpc_health_check(), spec);
    case HealthCheck::kTcpHealthCheck:
      spec.kind = HealthCheckKind::tcp;
      if (check.tcp_health_check().has_send()) spec.send = translate_payload(context, check.tcp_health_check().send());
      spec.receive = translate_payloads(context, check.tcp_health_check().receive());
      return;
    case HealthCheck::HEALTH_CHECKER_NOT_SET:
      return context.missing(check, 0, "needs http_health_check, tcp_health_check or grpc_health_check");
  }
}

HealthFlags flags_of(api::HealthStatus status) {
  HealthFlags flags;
  flags.put(HealthFlag::failed_eds_health, status == api::UNHEALTHY || status == api::TIMEOUT);
  flags.put(HealthFlag::eds_status_draining, status == api::DRAINING);
  flags.put(HealthFlag::degraded_eds_health, status == api::DEGRADED);
  return flags;
}

}  // namespace

void translate_endpoint_health(TranslateContext& context, const endpoint_api::LbEndpoint& entry, EndpointHealthSpec& spec) {
  using Config = endpoint_api::Endpoint::HealthCheckConfig;
  spec.flags = flags_of(entry.health_status());
  if (!entry.endpoint().has_health_check_config()) return;
  const Config& config = entry.endpoint().health_check_config();
  if (config.port_value() > port_max) {
    context.fail(config, Config::kPortValueFieldNumber, fmt::format("{} is not within 0 to {}", config.port_value(), port_max));
  }
  spec.check_port = static_cast<uint16_t>(config.port_value());
  if (!is_header_value(config.hostname()))
    context.fail(config, Config::kHostnameFieldNumber, "holds a character that no host may have");
  spec.check_hostname = config.hostname();
  spec.check_disabled = config.disable_active_health_check();
  if (!config.has_address()) return;
  if (const auto address = translate_address(context, config, Config::kAddressFieldNumber, config.address()))
    spec.check_address = *address;
}

void translate_health(TranslateContext& context, const Cluster& cluster, ClusterSpec& spec) {
  spec.close_on_health_failure = cluster.close_connections_on_host_health_failure();
  spec.ignore_health_on_removal = cluster.ignore_health_on_host_removal();
  const Cluster::CommonLbConfig& common = cluster.common_lb_config();
  spec.pending_until_checked = common.ignore_new_hosts_until_first_hc();
  if (common.has_healthy_panic_threshold()) {
    const double percent = common.healthy_panic_threshold().value();
    if (!(percent >= 0 && percent <= 100)) {
      context.fail(common, Cluster::CommonLbConfig::kHealthyPanicThresholdFieldNumber,
                   fmt::format("{} is not within 0 to 100", percent));
    } else {
      spec.panic_percent = static_cast<uint32_t>(std::lround(percent));
    }
  }
  if (cluster.health_checks_size() > 1) {
    context.unsupported(cluster, Cluster::kHealthChecksFieldNumber, "more than one health check", "keep one of them", 1);
  }
  if (cluster.health_checks().empty()) return;
  auto check = std::make_shared<HealthCheckSpec>();
  check->where = context.where(cluster.health_checks(0));
  check->host = cluster.name();
  translate_check(context, cluster.health_checks(0), *check);
  if (check->kind == HealthCheckKind::grpc && spec.upstream_protocol != UpstreamProtocol::http2) {
    context.fail(cluster.health_checks(0), HealthCheck::kGrpcHealthCheckFieldNumber, "needs a cluster that speaks HTTP/2",
                 "give the cluster http2_protocol_options: {}");
  }
  spec.health_check = std::move(check);
}

}  // namespace ringside
