#pragma once
// The whole configuration as plain immutable data: what control/ hands to the data plane. No protobuf, no live state.
// Defaults are Envoy's. Durations: zero means "off" unless a comment says otherwise.
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "core/address.h"
#include "core/time.h"

namespace ringside {

class TlsContext;
using TlsContextPtr = std::shared_ptr<const TlsContext>;

struct NodeSpec {
  std::string id, cluster, region, zone, sub_zone;
};

struct AdminSpec {
  std::optional<Address> address;  // none: no admin server
};

struct AccessLogSpec {
  std::string path;    // "/dev/stdout" and "/dev/stderr" are written as streams
  std::string format;  // empty: Envoy's default format; else operators as proxy/observe/access_log.h lists
};

enum class HeaderAppend : uint8_t { append_if_exists_or_add, add_if_absent, overwrite_if_exists_or_add, overwrite_if_exists };
struct HeaderValueSpec {
  std::string name;  // lower case
  std::string value;
  HeaderAppend append = HeaderAppend::append_if_exists_or_add;
};
struct HeaderEditSpec {
  std::vector<HeaderValueSpec> request_add, response_add;
  std::vector<std::string> request_remove, response_remove;  // lower case
  bool empty() const {
    return request_add.empty() && response_add.empty() && request_remove.empty() && response_remove.empty();
  }
};

enum class PathMatchKind : uint8_t { exact, prefix, path_separated_prefix };
struct DirectResponseSpec {
  uint16_t status = 0;
  std::string body;
};
struct RouteSpec {
  std::string name;
  PathMatchKind match_kind = PathMatchKind::prefix;
  std::string match_path;
  bool case_sensitive = true;
  std::string cluster;                                // empty when direct_response is set
  std::optional<DirectResponseSpec> direct_response;
  Duration timeout = seconds(15);                     // of the whole response; zero: none
  std::optional<Duration> idle_timeout;               // overrides the connection manager's stream_idle_timeout
  std::string prefix_rewrite;                         // empty: none
  std::string host_rewrite_literal;                   // empty: none
  HeaderEditSpec headers;
  std::vector<std::string> filters_off;               // names of HTTP filters
  std::string where;                                  // file:line:column, for messages
};
struct VirtualHostSpec {
  std::string name;
  std::vector<std::string> domains;  // exact, "*.suffix", "prefix.*", "*"; lower case
  std::vector<RouteSpec> routes;
  HeaderEditSpec headers;
  std::vector<std::string> filters_off;
};
struct RouteConfigSpec {
  std::string name;
  std::vector<VirtualHostSpec> virtual_hosts;
  HeaderEditSpec headers;
  std::vector<std::string> filters_off;
  bool most_specific_header_mutations_wins = false;
  bool ignore_port_in_host_matching = false;
};

enum class UnderscoreAction : uint8_t { allow, reject_request, drop_header };
enum class EscapedSlashAction : uint8_t { keep_unchanged, reject_request, unescape_and_redirect, unescape_and_forward };
enum class ServerHeader : uint8_t { overwrite, append_if_absent, pass_through };
enum class CodecType : uint8_t { auto_detect, http1, http2 };

// config.core.v3.HttpProtocolOptions
struct HttpProtocolSpec {
  Duration idle_timeout = hours(1);
  Duration connection_duration_max{0};
  Duration stream_duration_max{0};
  uint32_t headers_count_max = 100;
  uint32_t requests_per_connection_max = 0;
  UnderscoreAction underscore = UnderscoreAction::allow;
};
// config.core.v3.Http1ProtocolOptions
struct Http1Spec {
  bool allow_absolute_url = true;
  bool accept_http_10 = false;
  std::string default_host_for_http_10;
  bool enable_trailers = false;
};

// config.core.v3.Http2ProtocolOptions. Envoy's defaults but for the windows, which bound what unread bodies hold: Envoy has 16 and
// 24 MiB.
struct Http2Spec {
  uint32_t table_bytes = 4096;
  uint32_t streams_max = 1024;
  uint32_t stream_window_bytes = 256 * 1024;
  uint32_t connection_window_bytes = 1024 * 1024;
  uint32_t outbound_frames_max = 10000;
  uint32_t outbound_control_frames_max = 1000;
  uint32_t empty_frames_max = 1;
  uint32_t priority_frames_per_stream = 100;
  uint32_t window_updates_per_data_frame = 10;
};

// config.core.v3.CidrRange
struct CidrSpec {
  Address base;
  uint32_t prefix_bits = 0;
};

// --- HTTP filters

constexpr size_t http_filters_max = 32;

// envoy.filters.http.grpc_stats
struct GrpcStatsSpec {
  bool all_methods = false;
  std::vector<std::pair<std::string, std::string>> methods;  // (service, method), counted by name
  bool upstream_time = false;
  bool replace_dots = false;  // in names of services
};
// envoy.filters.http.grpc_web
struct GrpcWebSpec {};
// envoy.filters.http.grpc_http1_bridge
struct GrpcHttp1BridgeSpec {
  bool upgrade_protobuf = false;
  bool ignore_query = false;
};
struct HttpFilterSpec {
  std::string name;
  std::variant<GrpcStatsSpec, GrpcWebSpec, GrpcHttp1BridgeSpec> config;
};

struct HttpManagerSpec {
  std::string stat_prefix;
  CodecType codec = CodecType::auto_detect;
  RouteConfigSpec routes;
  HttpProtocolSpec protocol;
  Http1Spec http1;
  Http2Spec http2;
  std::vector<AccessLogSpec> access_logs;
  std::vector<HttpFilterSpec> filters;  // in front of the router
  std::string server_name = "envoy";
  ServerHeader server_header = ServerHeader::overwrite;
  std::string via;
  bool use_remote_address = false;
  uint32_t xff_trusted_hops = 0;
  bool skip_xff_append = false;
  std::vector<CidrSpec> internal_ranges;  // internal_address_config.cidr_ranges; Envoy trusts none by default
  bool internal_unix_sockets = false;
  bool generate_request_id = true;
  bool preserve_external_request_id = false;
  bool always_set_request_id_in_response = false;
  bool add_user_agent = false;
  bool normalize_path = false;
  bool merge_slashes = false;
  EscapedSlashAction escaped_slashes = EscapedSlashAction::keep_unchanged;
  bool strip_matching_host_port = false;
  bool strip_any_host_port = false;
  bool strip_trailing_host_dot = false;
  bool proxy_100_continue = false;
  uint32_t request_headers_kb_max = 60;
  Duration stream_idle_timeout = minutes(5);
  Duration request_timeout{0};
  Duration request_headers_timeout{0};
  Duration drain_timeout = seconds(5);
  Duration delayed_close_timeout = seconds(1);
  bool suppress_envoy_headers = false;  // router filter
  bool dynamic_stats = true;            // router filter
};

struct TcpProxySpec {
  std::string stat_prefix;
  std::string cluster;
  Duration idle_timeout = hours(1);
  Duration connection_duration_max{0};
  uint32_t connect_attempts_max = 1;
  std::vector<AccessLogSpec> access_logs;
};

struct ListenerSpec {
  std::string name;
  std::string stat_prefix;  // empty: made of the address
  Address address;
  uint32_t connection_buffer_bytes_max = 1024 * 1024;
  bool enable_reuse_port = true;
  bool bind_to_port = true;
  bool ipv4_compat = false;  // a wildcard address of IPv6 takes IPv4 clients as well
  uint32_t tcp_backlog = 0;  // 0: the system's maximum
  // Exactly one is set.
  std::shared_ptr<const HttpManagerSpec> http;
  std::shared_ptr<const TcpProxySpec> tcp;
  TlsContextPtr tls;              // null: plain bytes
  Duration handshake_timeout{0};  // of TLS
  std::string where;
};

struct EndpointSpec {
  Address address;       // STATIC, or STRICT_DNS given as an IP; empty: resolve `host`
  std::string host;      // DNS name
  uint16_t port = 0;
  std::string hostname;  // endpoint.hostname
  uint32_t weight = 1;
};
enum class ClusterKind : uint8_t { fixed, strict_dns };
enum class DnsFamily : uint8_t { automatic, v4_only, v6_only, v4_preferred, all };
// One priority of config.cluster.v3.CircuitBreakers
struct ThresholdsSpec {
  uint32_t connections_max = 1024;
  uint32_t pending_max = 1024;
  uint32_t requests_max = 1024;
  uint32_t retries_max = 3;
  bool track_remaining = false;
};
struct ClusterSpec {
  std::string name;
  std::string alt_stat_name;
  ClusterKind kind = ClusterKind::fixed;
  std::vector<EndpointSpec> endpoints;
  Duration connect_timeout = seconds(5);
  uint32_t connection_buffer_bytes_max = 1024 * 1024;
  ThresholdsSpec thresholds, thresholds_high;
  HttpProtocolSpec protocol;  // idle_timeout, requests_per_connection_max, connection_duration_max
  bool enable_trailers = false;
  // HTTP/2 to every endpoint; none: HTTP/1.1.
  std::optional<Http2Spec> http2;
  Duration dns_refresh_rate = seconds(5);
  bool respect_dns_ttl = false;
  DnsFamily dns_family = DnsFamily::automatic;
  TlsContextPtr tls;              // null: plain bytes
  bool tls_host_name = false;     // an endpoint's hostname is its server name, where it has one
  uint32_t tls_sessions_max = 1;  // kept by each worker
  std::string where;
};

struct Specs {
  NodeSpec node;
  AdminSpec admin;
  std::vector<ListenerSpec> listeners;
  std::vector<ClusterSpec> clusters;
  Duration stats_flush_interval = seconds(5);
};

}  // namespace ringside
