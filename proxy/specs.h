#pragma once
// The whole configuration as plain immutable data: what control/ hands to the data plane. No protobuf, no live state.
// Defaults are Envoy's. Durations: zero means "off" unless a comment says otherwise.
#include <algorithm>
#include <bitset>
#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "core/address.h"
#include "core/time.h"
#include "proxy/health_flags.h"

namespace ringside {

class TlsContext;
class TlsSource;
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

// Conditions on a field of a message. Several lines of one name are one value, joined by commas.
struct HeaderMatchSpec {
  enum class How : uint8_t { present, exact, prefix, suffix, contains, range };
  std::string name;  // lower case
  std::string text;  // lower case with ignore_case
  How how = How::present;
  bool ignore_case = false;
  bool invert = false;
  bool missing_is_empty = false;
  int64_t range_start = 0, range_end = 0;  // start <= number < end
};

// Why an attempt is followed by another, with the words of retry_on.
// clang-format off
#define RS_RETRY_CONDITIONS(X) \
  X(server_error, "5xx") X(gateway_error, "gateway-error") X(reset, "reset") X(reset_before_request, "reset-before-request") \
  X(connect_failure, "connect-failure") X(retriable_4xx, "retriable-4xx") X(refused_stream, "refused-stream") \
  X(status_codes, "retriable-status-codes") X(headers, "retriable-headers") X(ratelimited, "envoy-ratelimited") \
  X(http3_post_connect_failure, "http3-post-connect-failure") /* there is no HTTP/3: never met */ \
  X(cancelled, "cancelled") X(deadline_exceeded, "deadline-exceeded") X(internal, "internal") \
  X(resource_exhausted, "resource-exhausted") X(unavailable, "unavailable")
// clang-format on
enum class RetryOn : uint8_t {
#define RS_RETRY_ENUM(id, word) id,
  RS_RETRY_CONDITIONS(RS_RETRY_ENUM)
#undef RS_RETRY_ENUM
      count_
};
// From here on they are about grpc-status.
constexpr RetryOn first_grpc_retry_on = RetryOn::cancelled;

class RetryConditions {
 public:
  void add(RetryOn condition) { bits_ |= bit(condition); }
  void add(RetryConditions others) { bits_ |= others.bits_; }
  bool has(RetryOn condition) const { return (bits_ & bit(condition)) != 0; }
  bool empty() const { return bits_ == 0; }

 private:
  static constexpr uint32_t bit(RetryOn condition) { return uint32_t{1} << static_cast<uint32_t>(condition); }
  uint32_t bits_ = 0;
};

// nullopt: no such word.
inline std::optional<RetryOn> retry_condition(std::string_view word) {
  constexpr std::string_view words[] = {
#define RS_RETRY_WORD(id, text) text,
      RS_RETRY_CONDITIONS(RS_RETRY_WORD)
#undef RS_RETRY_WORD
  };
  for (size_t at = 0; at < std::size(words); ++at)
    if (words[at] == word) return static_cast<RetryOn>(at);
  return std::nullopt;
}

// A field of the response that says when to come again.
struct RetryResetHeaderSpec {
  enum class Format : uint8_t { in_seconds, unix_timestamp };
  std::string name;  // lower case
  Format format = Format::in_seconds;
};
struct RetryPolicySpec {
  RetryConditions conditions;
  uint32_t retries_max = 1;
  Duration per_try_timeout{0};
  Duration per_try_idle_timeout{0};
  Duration back_off_base = milliseconds(25);
  Duration back_off_max = milliseconds(250);
  std::vector<RetryResetHeaderSpec> reset_headers;  // rate_limited_retry_back_off
  Duration reset_max = minutes(5);
  std::vector<uint32_t> status_codes;
  std::vector<HeaderMatchSpec> headers;
  std::vector<HeaderMatchSpec> request_headers;  // one of them must hold, if there are any
  bool avoids_previous_hosts = false;
  uint32_t host_attempts_max = 1;
};

// How much of a body is kept that may have to be sent again.
struct RequestBufferSpec {
  uint64_t bytes_max = UINT64_MAX;
  bool within_connection = true;  // and no more than the listener's connections buffer
};

// RouteAction.max_stream_duration. Its presence turns the route's timeout off.
struct StreamDurationSpec {
  std::optional<Duration> duration_max;       // instead of the connection manager's; zero: none
  std::optional<Duration> grpc_timeout_max;   // grpc-timeout counts, up to this; zero: whatever it says
  std::optional<Duration> grpc_timeout_offset;
};
// RouteAction.max_grpc_timeout and its offset: grpc-timeout takes the place of the route's timeout.
struct GrpcTimeoutSpec {
  Duration timeout_max{0};
  Duration offset{0};
};

// type.matcher.v3.StringMatcher
enum class TextMatchHow : uint8_t { exact, prefix, suffix, contains, regex };
struct TextMatchSpec {
  TextMatchHow how = TextMatchHow::exact;
  std::string text;  // for regex: RE2 syntax, must match all
  bool ignore_case = false;
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
// ringside.websocket.v1.WebSocketInspection
struct WebSocketSpec {
  enum class OnProtocolError : uint8_t { close, count };
  std::string stat_name;  // empty: the route's, else the virtual host's
  uint64_t message_bytes_max = UINT64_MAX;
  uint64_t frame_bytes_max = UINT64_MAX;
  uint32_t client_messages_per_second = 0;  // zero: no limit
  uint32_t client_message_burst = 0;
  Duration idle_timeout{0};
  bool pings_keep_alive = false;
  bool validate_utf8 = true;
  std::vector<std::string> subprotocols;  // empty: any
  bool subprotocol_may_be_missing = false;
  std::vector<TextMatchSpec> origins;  // empty: any
  bool origin_may_be_missing = true;
  OnProtocolError on_protocol_error = OnProtocolError::close;
};
struct HttpFilterSpec {
  std::string name;
  std::variant<GrpcStatsSpec, GrpcWebSpec, GrpcHttp1BridgeSpec, WebSocketSpec> config;
  bool off = false;  // where no place has settings of its own
};
// What a place says of the filters that its connection manager has, by their names.
struct FilterChangesSpec {
  std::vector<std::string> off;
  std::vector<HttpFilterSpec> settings;  // in the place of those in http_filters
};

// --- Routes

enum class PathMatchKind : uint8_t { exact, prefix, path_separated_prefix, connect };  // the last: CONNECT, which has no path
struct DirectResponseSpec {
  uint16_t status = 0;
  std::string body;
};
// A protocol that a request may ask for instead of HTTP, as the value of its Upgrade field names it, or "CONNECT".
struct UpgradeSpec {
  std::string type;
  bool enabled = true;
  bool terminates = false;  // CONNECT ends here, and the upstream gets its bytes
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
  std::optional<StreamDurationSpec> stream_duration;
  std::optional<GrpcTimeoutSpec> grpc_timeout;
  std::shared_ptr<const RetryPolicySpec> retry;       // its own or the virtual host's; null: none
  RequestBufferSpec request_buffer;
  std::string prefix_rewrite;                         // empty: none
  std::string host_rewrite_literal;                   // empty: none
  std::vector<UpgradeSpec> upgrades = {};             // before those of the connection manager
  HeaderEditSpec headers;
  FilterChangesSpec filters = {};
  std::string where;                                  // file:line:column, for messages
};
struct VirtualHostSpec {
  std::string name;
  std::vector<std::string> domains;  // exact, "*.suffix", "prefix.*", "*"; lower case
  std::vector<RouteSpec> routes;
  HeaderEditSpec headers;
  bool tells_attempts_upstream = false;      // x-envoy-attempt-count
  bool tells_attempts_downstream = false;
  bool tells_timeout_retry = false;          // x-envoy-is-timeout-retry
  FilterChangesSpec filters = {};
};
struct RouteConfigSpec {
  std::string name;
  std::vector<VirtualHostSpec> virtual_hosts;
  HeaderEditSpec headers;
  FilterChangesSpec filters = {};
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

// config.core.v3.KeepaliveSettings
struct KeepaliveSpec {
  Duration interval{0};       // between two PINGs
  Duration timeout{0};        // for an answer, or anything else from the peer
  Duration idle_interval{0};  // upstream: a silent connection is asked before it gets a request
  double jitter_percent = 15;
};
struct Http2SettingSpec {
  uint16_t identifier = 0;
  uint32_t value = 0;
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
  bool stream_error_on_invalid_message = false;
  std::optional<KeepaliveSpec> keepalive = {};
  std::vector<Http2SettingSpec> custom_settings = {};
  bool allow_connect = false;  // extended CONNECT (RFC 8441)
};

// forward_client_cert_details and set_current_client_cert_details
enum class ForwardClientCert : uint8_t { sanitize, forward_only, append_forward, sanitize_set, always_forward_only };
struct ClientCertSpec {
  ForwardClientCert how = ForwardClientCert::sanitize;
  bool subject = false, cert = false, chain = false, dns = false, uri = false;
};

// config.core.v3.CidrRange
struct CidrSpec {
  Address base;
  uint32_t prefix_bits = 0;
};

struct HttpManagerSpec {
  std::string stat_prefix;
  CodecType codec = CodecType::auto_detect;
  RouteConfigSpec routes;
  HttpProtocolSpec protocol;
  Http1Spec http1;
  Http2Spec http2;
  std::vector<UpgradeSpec> upgrades;
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
  ClientCertSpec client_cert;
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
  bool respect_expected_timeout = false;  // router filter
};

// A part of a whole: one in 100, 10,000 or 1,000,000.
struct FractionSpec {
  uint32_t numerator = 0;
  uint32_t denominator = 100;
};

// envoy.filters.network.mongo_proxy, and what our own filter behind it says
struct MongoRulesSpec;
struct MongoSpec {
  std::string stat_prefix;
  std::string access_log;             // a path; empty: none
  std::vector<std::string> commands;  // counted by name
  Duration delay{0};                  // of requests; zero: none
  FractionSpec delay_part;
  uint32_t names_max = 200;      // of collections, and other names that peers choose, each with statistics of its own
  bool relay_malformed = false;  // what follows a malformed header passes unread; else the connection is closed
  std::shared_ptr<const MongoRulesSpec> rules;  // null: everything passes
};

struct TcpProxySpec {
  std::string stat_prefix;
  std::string cluster;
  Duration idle_timeout = hours(1);
  Duration connection_duration_max{0};
  uint32_t connect_attempts_max = 1;
  std::vector<AccessLogSpec> access_logs;
  std::shared_ptr<const MongoSpec> mongo;  // null: the bytes are not looked at
};

// Which connections a filter chain takes; what is empty takes any.
enum class SourceType : uint8_t { any, same_ip_or_loopback, external };
struct FilterChainMatchSpec {
  std::optional<uint16_t> destination_port;
  std::vector<CidrSpec> destinations;
  std::vector<std::string> server_names;  // lower case; "*.name" takes what ends with ".name"
  std::string transport_protocol;         // "tls" or "raw_buffer", as the first bytes say
  std::vector<std::string> application_protocols;
  std::vector<CidrSpec> direct_sources;  // of the socket's peer
  SourceType source_type = SourceType::any;
  std::vector<CidrSpec> sources;
  std::vector<uint16_t> source_ports;
};
struct FilterChainSpec {
  std::string name;
  FilterChainMatchSpec match;
  // Exactly one is set.
  std::shared_ptr<const HttpManagerSpec> http;
  std::shared_ptr<const TcpProxySpec> tcp;
  TlsContextPtr tls;              // null: plain bytes
  Duration handshake_timeout{0};  // of TLS
  std::string where;
};

// What looks at the first bytes of connections, or reads a header in front of them, so that a filter chain can be found.
enum class ListenerFilterKind : uint8_t { original_dst, proxy_protocol, tls_inspector, http_inspector };
// By number; 0 is for connections without ports.
using PortSet = std::bitset<65536>;
struct ListenerFilterSpec {
  ListenerFilterKind kind = ListenerFilterKind::tls_inspector;
  std::shared_ptr<const PortSet> disabled_ports;  // of destinations that it does not look at; null: none
  // Of tls_inspector.
  bool ja3 = false, ja4 = false;
  bool close_on_broken_hello = false;
  uint32_t hello_bytes_max = 16 * 1024;
  // Of proxy_protocol.
  bool header_may_be_absent = false;
  bool version1 = true, version2 = true;
  std::string stat_prefix;
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
  std::vector<ListenerFilterSpec> filters;
  Duration filters_timeout = seconds(15);
  bool continue_on_filters_timeout = false;
  bool use_original_destination = false;  // connections go on to the listener of the address that they went to at first
  std::vector<FilterChainSpec> chains;
  std::shared_ptr<const FilterChainSpec> default_chain;  // for what no other one takes; null: it is closed
  std::string where;
};

// What an endpoint has of its own about its health.
struct EndpointHealthSpec {
  HealthFlags flags = {};      // health_status
  Address check_address = {};  // health_check_config; empty: the endpoint's own
  uint16_t check_port = 0;     // 0: the address' own
  std::string check_hostname = {};
  bool check_disabled = false;
  bool operator==(const EndpointHealthSpec&) const = default;
};
struct EndpointSpec {
  Address address;       // STATIC, or STRICT_DNS given as an IP; empty: resolve `host`
  std::string host;      // DNS name
  uint16_t port = 0;
  std::string hostname;  // endpoint.hostname
  uint32_t weight = 1;
  uint32_t socket = 0;   // 0: the cluster's; n: that of its match n - 1
  EndpointHealthSpec health = {};
};
enum class ProxyProtocol : uint8_t { none, v1, v2 };
// How a cluster's bytes travel: its transport_socket, or one of transport_socket_matches.
struct UpstreamSocketSpec {
  std::string name;               // of a match
  TlsContextPtr tls;              // null: plain bytes
  bool tls_host_name = false;     // an endpoint's hostname is its server name, where it has one
  bool tls_alpn_set = false;      // the context says what is offered by ALPN; otherwise each pool offers what it speaks
  uint32_t tls_sessions_max = 1;  // kept by each worker
  ProxyProtocol proxy_protocol = ProxyProtocol::none;  // a header before everything else
};
// config.core.v3.UpstreamHttpProtocolOptions
struct AutoNamesSpec {
  bool sni = false;         // the request's host is asked for
  bool validation = false;  // and the certificate must be for it
  std::string header;       // instead of the host, where the request has it; lower case
};
enum class ClusterKind : uint8_t { fixed, strict_dns };
enum class DnsFamily : uint8_t { automatic, v4_only, v6_only, v4_preferred, all };
// So many retries at once, as a part of what is under way.
struct RetryBudgetSpec {
  double percent = 20;
  uint32_t retries_min = 3;
};
// What its endpoints are spoken to in: fixed; what TLS agrees on; what the request came by.
enum class UpstreamProtocol : uint8_t { http1, http2, by_alpn, as_downstream };
// One priority of config.cluster.v3.CircuitBreakers
struct ThresholdsSpec {
  uint32_t connections_max = 1024;
  uint32_t pending_max = 1024;
  uint32_t requests_max = 1024;
  uint32_t retries_max = 3;
  bool track_remaining = false;
  std::optional<RetryBudgetSpec> retry_budget = std::nullopt;  // in place of retries_max
};
// config.core.v3.HealthCheck
enum class HealthCheckKind : uint8_t { http, tcp, grpc };
struct StatusRange {
  uint32_t start = 0, end = 0;  // end: the first one outside
};
struct HealthCheckSpec {
  HealthCheckKind kind = HealthCheckKind::http;
  Duration timeout{0}, interval{0};
  Duration initial_jitter{0}, interval_jitter{0};
  uint32_t interval_jitter_percent = 0;
  uint32_t unhealthy_threshold = 1, healthy_threshold = 1;
  bool reuse_connection = true;
  Duration no_traffic_interval = seconds(60), no_traffic_healthy_interval = seconds(60);
  Duration unhealthy_interval{0}, unhealthy_edge_interval{0}, healthy_edge_interval{0};
  std::vector<std::string> alpn;  // empty: the cluster's
  // http and grpc
  bool http2 = false;
  std::string method = "GET";
  std::string host;  // where the endpoint has none; never empty
  std::string path;
  std::vector<HeaderValueSpec> headers_add;
  std::vector<std::string> headers_remove;  // lower case
  std::vector<StatusRange> expected, retriable;
  std::optional<TextMatchSpec> service_name_match;
  std::string grpc_service;
  // http and tcp
  std::string send;
  std::vector<std::string> receive;
  uint32_t receive_bytes_max = 1024;
  std::string where;
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
  UpstreamProtocol upstream_protocol = UpstreamProtocol::http1;
  // A connection carries the streams of many clients, and those that one of them does not read must not keep the others waiting.
  Http2Spec http2{.connection_window_bytes = 16 * 1024 * 1024};
  Duration dns_refresh_rate = seconds(5);
  bool respect_dns_ttl = false;
  DnsFamily dns_family = DnsFamily::automatic;
  UpstreamSocketSpec socket;
  std::vector<UpstreamSocketSpec> socket_matches;
  AutoNamesSpec auto_names;
  // When fewer hosts than this are well, all are used. 0: never.
  uint32_t panic_percent = 50;
  std::shared_ptr<const HealthCheckSpec> health_check;  // null: none
  bool pending_until_checked = false;                   // ignore_new_hosts_until_first_hc
  bool close_on_health_failure = false;
  bool ignore_health_on_removal = false;
  std::string where;
  bool any_tls() const {
    const auto has_tls = [](const UpstreamSocketSpec& one) { return one.tls != nullptr; };
    return has_tls(socket) || std::any_of(socket_matches.begin(), socket_matches.end(), has_tls);
  }
};

// A TLS context that a listener or a cluster has.
struct TlsUseSpec {
  TlsContextPtr context;
  std::shared_ptr<const TlsSource> source;  // null: no file is part of it
};

struct Specs {
  NodeSpec node;
  AdminSpec admin;
  std::vector<ListenerSpec> listeners;
  std::vector<ClusterSpec> clusters;
  std::vector<TlsUseSpec> tls_uses;
  Duration stats_flush_interval = seconds(5);
};

}  // namespace ringside
