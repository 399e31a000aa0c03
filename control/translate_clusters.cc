#include "control/translate_clusters.h"

#include <fmt/format.h>
#include <google/protobuf/util/message_differencer.h>

#include <algorithm>
#include <limits>
#include <map>
#include <string>
#include <utility>

#include "control/translate_common.h"
#include "control/translate_headers.h"
#include "control/translate_health.h"
#include "control/translate_tls.h"
#include "http_protocol_options.pb.h"

namespace ringside {

namespace {

namespace api = envoy::config::cluster::v3;
namespace core_api = envoy::config::core::v3;
namespace endpoint_api = envoy::config::endpoint::v3;
namespace pb = google::protobuf;
using api::Cluster;
using UpstreamOptions = envoy::extensions::upstreams::http::v3::HttpProtocolOptions;

constexpr std::string_view options_key = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

// --- Transport sockets -------------------------------------------------------------------------------------------------

void translate_transport_sockets(TranslateContext& context, const Cluster& cluster, ClusterSpec& spec) {
  using Match = Cluster::TransportSocketMatch;
  if (cluster.has_transport_socket()) spec.socket = translate_upstream_socket(context, cluster.transport_socket(), spec);
  for (const Match& match : cluster.transport_socket_matches()) {
    UpstreamSocketSpec socket;
    if (match.name().empty()) context.missing(match, Match::kNameFieldNumber);
    if (match.has_transport_socket()) {
      socket = translate_upstream_socket(context, match.transport_socket(), spec);
    } else {
      context.missing(match, Match::kTransportSocketFieldNumber, "is required", "for plain bytes write a RawBuffer");
    }
    socket.name = match.name();
    spec.socket_matches.push_back(std::move(socket));
  }
}

// Whether all that the match asks for is there.
bool holds(const core_api::Metadata& metadata, const pb::Struct& match) {
  if (match.fields().empty()) return true;
  const auto labels = metadata.filter_metadata().find("envoy.transport_socket_match");
  if (labels == metadata.filter_metadata().end()) return false;
  return std::all_of(match.fields().begin(), match.fields().end(), [&](const auto& wanted) {
    const auto found = labels->second.fields().find(wanted.first);
    return found != labels->second.fields().end() && pb::util::MessageDifferencer::Equals(found->second, wanted.second);
  });
}

// As EndpointSpec::socket. What the endpoint says comes before what its locality says.
uint32_t match_socket(const Cluster& cluster, const core_api::Metadata& endpoint, const core_api::Metadata& locality) {
  for (const core_api::Metadata* metadata : {&endpoint, &locality}) {
    uint32_t at = 0;
    for (const Cluster::TransportSocketMatch& match : cluster.transport_socket_matches()) {
      ++at;
      if (holds(*metadata, match.match())) return at;
    }
  }
  return 0;
}

// --- Endpoints -------------------------------------------------------------------------------------------------------

void translate_endpoint_address(TranslateContext& context, ClusterKind kind, const endpoint_api::Endpoint& endpoint,
                                EndpointSpec& spec) {
  using core_api::SocketAddress;
  const core_api::Address& address = endpoint.address();
  if (!endpoint.has_address()) return context.missing(endpoint, endpoint_api::Endpoint::kAddressFieldNumber);
  if (kind == ClusterKind::fixed || address.address_case() != core_api::Address::kSocketAddress) {
    const auto fixed = translate_address(context, endpoint, endpoint_api::Endpoint::kAddressFieldNumber, address);
    if (fixed) spec.address = *fixed;
    if (fixed) spec.port = fixed->port();
    return;
  }
  const SocketAddress& socket = address.socket_address();
  if (!context.only_value(socket, SocketAddress::kProtocolFieldNumber, SocketAddress::TCP)) return;
  if (socket.address().empty()) context.missing(socket, SocketAddress::kAddressFieldNumber);
  spec.port = check_port(context, socket);
  if (const auto literal = Address::from_ip(socket.address(), spec.port)) {
    spec.address = *literal;
  } else {
    spec.host = socket.address();
  }
}

void translate_endpoint(TranslateContext& context, ClusterKind kind, const endpoint_api::LbEndpoint& entry,
                        ClusterSpec& cluster) {
  using endpoint_api::LbEndpoint;
  EndpointSpec spec;
  if (!entry.has_endpoint()) return context.missing(entry, LbEndpoint::kEndpointFieldNumber);
  translate_endpoint_health(context, entry, spec.health);
  context.number(entry, LbEndpoint::kLoadBalancingWeightFieldNumber, spec.weight, {.min = 1});
  spec.hostname = entry.endpoint().hostname();
  translate_endpoint_address(context, kind, entry.endpoint(), spec);
  cluster.endpoints.push_back(std::move(spec));
}

void translate_load_assignment(TranslateContext& context, const Cluster& cluster, ClusterSpec& spec) {
  using endpoint_api::ClusterLoadAssignment, endpoint_api::LocalityLbEndpoints;
  if (!cluster.has_load_assignment()) return;  // a cluster without endpoints answers 503
  const ClusterLoadAssignment& assignment = cluster.load_assignment();
  if (assignment.cluster_name().empty()) context.missing(assignment, ClusterLoadAssignment::kClusterNameFieldNumber);
  for (const LocalityLbEndpoints& locality : assignment.endpoints()) {
    if (locality.priority() != 0) {
      context.unsupported(locality, LocalityLbEndpoints::kPriorityFieldNumber,
                          fmt::format("priority {}", locality.priority()), "supported: 0");
    }
    for (const auto& endpoint : locality.lb_endpoints()) {
      const size_t before = spec.endpoints.size();
      translate_endpoint(context, spec.kind, endpoint, spec);
      if (spec.endpoints.size() > before)
        spec.endpoints.back().socket = match_socket(cluster, endpoint.metadata(), locality.metadata());
    }
  }
}

// --- Limits and protocol -----------------------------------------------------------------------------------------------

void translate_thresholds(TranslateContext& context, const Cluster& cluster, ClusterSpec& spec) {
  using Thresholds = api::CircuitBreakers::Thresholds;
  bool seen[2] = {false, false};
  for (const Thresholds& thresholds : cluster.circuit_breakers().thresholds()) {
    const bool high = thresholds.priority() == core_api::HIGH;
    if (std::exchange(seen[high], true)) {
      context.warn(thresholds, 0, "these limits are not used: an entry above has the same priority");
      continue;
    }
    ThresholdsSpec& into = high ? spec.thresholds_high : spec.thresholds;
    context.number(thresholds, Thresholds::kMaxConnectionsFieldNumber, into.connections_max);
    context.number(thresholds, Thresholds::kMaxPendingRequestsFieldNumber, into.pending_max);
    context.number(thresholds, Thresholds::kMaxRequestsFieldNumber, into.requests_max);
    context.number(thresholds, Thresholds::kMaxRetriesFieldNumber, into.retries_max);
    into.track_remaining = thresholds.track_remaining();
    if (!thresholds.has_retry_budget()) continue;
    const Thresholds::RetryBudget& budget = thresholds.retry_budget();
    RetryBudgetSpec& spec_budget = into.retry_budget.emplace();
    if (budget.has_budget_percent()) spec_budget.percent = budget.budget_percent().value();
    if (!(spec_budget.percent >= 0 && spec_budget.percent <= 100)) context.fail(budget, Thresholds::RetryBudget::kBudgetPercentFieldNumber, "must be within 0 to 100");
    context.number(budget, Thresholds::RetryBudget::kMinRetryConcurrencyFieldNumber, spec_budget.retries_min);
  }
}

void translate_auto_names(TranslateContext& context, const core_api::UpstreamHttpProtocolOptions& options, AutoNamesSpec& spec) {
  using Options = core_api::UpstreamHttpProtocolOptions;
  spec.sni = options.auto_sni();
  spec.validation = options.auto_san_validation();
  spec.header = lower_case(options.override_auto_sni_header());
  if (spec.header == ":authority" || spec.header == "host") return spec.header.clear();  // which is the default
  if (!spec.header.empty() && !is_token(spec.header))
    context.fail(options, Options::kOverrideAutoSniHeaderFieldNumber, "is no name of a header");
}

// Which protocol, and the options of both as far as they are there.
template <class Options>
void translate_choice(TranslateContext& context, UpstreamProtocol protocol, const Options& options, ClusterSpec& spec) {
  spec.upstream_protocol = protocol;
  spec.http2 = ClusterSpec().http2;
  if (options.has_http2_protocol_options()) translate_http2(context, options.http2_protocol_options(), spec.http2);
  spec.enable_trailers = options.http_protocol_options().enable_trailers();
}

void translate_upstream_options(TranslateContext& context, const UpstreamOptions& options, ClusterSpec& spec) {
  if (options.has_common_http_protocol_options()) {
    translate_http_protocol(context, options.common_http_protocol_options(), spec.protocol);
  }
  if (options.has_upstream_http_protocol_options())
    translate_auto_names(context, options.upstream_http_protocol_options(), spec.auto_names);
  switch (options.upstream_protocol_options_case()) {
    case UpstreamOptions::kExplicitHttpConfig: {
      const auto& fixed = options.explicit_http_config();
      if (!fixed.has_http2_protocol_options() && !fixed.has_http_protocol_options())
        context.missing(fixed, 0, "needs http_protocol_options or http2_protocol_options",
                        "for HTTP/1.1 write http_protocol_options: {}");
      return translate_choice(
          context, fixed.has_http2_protocol_options() ? UpstreamProtocol::http2 : UpstreamProtocol::http1, fixed, spec);
    }
    case UpstreamOptions::kUseDownstreamProtocolConfig:
      return translate_choice(context, UpstreamProtocol::as_downstream, options.use_downstream_protocol_config(), spec);
    case UpstreamOptions::kAutoConfig:
      return translate_choice(context, UpstreamProtocol::by_alpn, options.auto_config(), spec);
    case UpstreamOptions::UPSTREAM_PROTOCOL_OPTIONS_NOT_SET:
      if (context.damaged(options)) break;
      context.missing(options, 0, "needs explicit_http_config, use_downstream_protocol_config or auto_config",
                      "for HTTP/1.1 write explicit_http_config: { http_protocol_options: {} }");
      break;
  }
}

void translate_protocol(TranslateContext& context, const Cluster& cluster, ClusterSpec& spec) {
  if (cluster.has_common_http_protocol_options()) {
    translate_http_protocol(context, cluster.common_http_protocol_options(), spec.protocol);
  }
  if (cluster.has_upstream_http_protocol_options())
    translate_auto_names(context, cluster.upstream_http_protocol_options(), spec.auto_names);
  context.number(cluster, Cluster::kMaxRequestsPerConnectionFieldNumber, spec.protocol.requests_per_connection_max);
  if (cluster.has_http2_protocol_options()) {
    translate_http2(context, cluster.http2_protocol_options(), spec.http2);
    spec.upstream_protocol = UpstreamProtocol::http2;
  }
  for (const auto& [key, unused] : cluster.typed_extension_protocol_options()) {
    const auto* options = context.typed_in_map<UpstreamOptions>(cluster, key);
    if (options != nullptr && key == options_key) {
      translate_upstream_options(context, *options, spec);
    } else if (options != nullptr) {
      context.fail(cluster, Cluster::kTypedExtensionProtocolOptionsFieldNumber,
                   fmt::format("\"{}\" is not an extension with options", key),
                   fmt::format("there is \"{}\"", options_key));
    }
  }
}

// --- One cluster -------------------------------------------------------------------------------------------------------

ClusterKind translate_kind(TranslateContext& context, const Cluster& cluster) {
  if (cluster.type() == Cluster::STRICT_DNS) return ClusterKind::strict_dns;
  if (cluster.type() != Cluster::STATIC) {
    context.unsupported(cluster, Cluster::kTypeFieldNumber,
                        fmt::format("cluster type {}", Cluster::DiscoveryType_Name(cluster.type())),
                        "supported: STATIC, STRICT_DNS");
    return ClusterKind::strict_dns;  // so that its host names are no news
  }
  return ClusterKind::fixed;
}

DnsFamily translate_family(Cluster::DnsLookupFamily family) {
  switch (family) {
    case Cluster::V4_ONLY: return DnsFamily::v4_only;
    case Cluster::V6_ONLY: return DnsFamily::v6_only;
    case Cluster::V4_PREFERRED: return DnsFamily::v4_preferred;
    case Cluster::ALL: return DnsFamily::all;
    default: return DnsFamily::automatic;
  }
}

ClusterSpec translate_cluster(TranslateContext& context, const Cluster& cluster) {
  ClusterSpec spec;
  spec.name = cluster.name();
  spec.where = context.where(cluster);
  spec.alt_stat_name = cluster.alt_stat_name();
  spec.kind = translate_kind(context, cluster);
  context.only_value(cluster, Cluster::kLbPolicyFieldNumber, Cluster::ROUND_ROBIN);
  context.duration(cluster, Cluster::kConnectTimeoutFieldNumber, spec.connect_timeout,
                   {.bound = DurationFloor::Bound::above});
  context.duration(cluster, Cluster::kDnsRefreshRateFieldNumber, spec.dns_refresh_rate,
                   {.value = milliseconds(1), .bound = DurationFloor::Bound::above});
  context.number(cluster, Cluster::kPerConnectionBufferLimitBytesFieldNumber, spec.connection_buffer_bytes_max);
  if (spec.connection_buffer_bytes_max == 0) spec.connection_buffer_bytes_max = std::numeric_limits<uint32_t>::max();
  spec.respect_dns_ttl = cluster.respect_dns_ttl();
  spec.dns_family = translate_family(cluster.dns_lookup_family());
  translate_protocol(context, cluster, spec);
  translate_transport_sockets(context, cluster, spec);
  if (spec.upstream_protocol == UpstreamProtocol::by_alpn && !cluster.has_transport_socket() &&
      cluster.transport_socket_matches().empty())
    context.fail(cluster, Cluster::kTypedExtensionProtocolOptionsFieldNumber, "auto_config needs TLS, whose ALPN decides",
                 "write a transport_socket with UpstreamTlsContext");
  translate_thresholds(context, cluster, spec);
  translate_health(context, cluster, spec);
  translate_load_assignment(context, cluster, spec);
  return spec;
}

}  // namespace

std::vector<ClusterSpec> translate_clusters(TranslateContext& context, const pb::RepeatedPtrField<Cluster>& clusters) {
  std::vector<ClusterSpec> specs;
  specs.reserve(static_cast<size_t>(clusters.size()));
  std::map<std::string, const Cluster*> names;
  for (const Cluster& cluster : clusters) {
    if (cluster.name().empty()) {
      context.missing(cluster, Cluster::kNameFieldNumber);
      context.set_clusters_incomplete();
    } else if (const auto [same, fresh] = names.emplace(cluster.name(), &cluster); !fresh) {
      context.fail(cluster, Cluster::kNameFieldNumber,
                   fmt::format("there is another cluster \"{}\" at {}", cluster.name(), context.where(*same->second)));
    } else {
      context.add_cluster_name(cluster.name());
    }
    specs.push_back(translate_cluster(context, cluster));
  }
  return specs;
}

}  // namespace ringside
