#include "control/bootstrap.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace ringside {
namespace {

constexpr std::string_view http_head = R"(
static_resources:
  listeners:
    - name: in
      address: { socket_address: { address: 127.0.0.1, port_value: 8080 } }
      filter_chains:
        - filters:
            - name: http
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: in
                http_filters:
                  - name: envoy.filters.http.router
                    typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }
)";
constexpr std::string_view http_tail = R"(
                route_config:
                  virtual_hosts:
                    - name: all
                      domains: ["*"]
                      routes:
                        - { match: { prefix: / }, route: { cluster: web } }
)";
constexpr std::string_view web = R"(
  clusters:
    - name: web
)";

std::string indented(std::string_view text, size_t columns) {
  std::string out = std::string(columns, ' ');
  for (const char c : text) {
    out += c;
    if (c == '\n') out += std::string(columns, ' ');
  }
  return out + "\n";
}

LoadOutcome load(std::string_view text) {
  LoadOptions options;
  options.sources.push_back({ConfigSource::Kind::text, std::string(text)});
  LoadOutcome outcome = load_bootstrap(options);
  EXPECT_EQ(render_errors(outcome.errors, ErrorStyle::lines), "");
  return outcome;
}

// The connection manager with these fields added.
HttpManagerSpec manager(std::string_view fields) {
  const LoadOutcome outcome =
      load(std::string(http_head) + indented(fields, 16) + std::string(http_tail) + std::string(web));
  if (outcome.specs.listeners.empty() || !outcome.specs.listeners[0].chains[0].http) return {};
  return *outcome.specs.listeners[0].chains[0].http;
}

HttpManagerSpec manager_with_routes(std::string_view route_config) {
  const LoadOutcome outcome =
      load(std::string(http_head) + "                route_config:\n" + indented(route_config, 18) + std::string(web));
  if (outcome.specs.listeners.empty() || !outcome.specs.listeners[0].chains[0].http) return {};
  return *outcome.specs.listeners[0].chains[0].http;
}

ClusterSpec cluster(std::string_view fields) {
  const LoadOutcome outcome = load("static_resources:" + std::string(web) + indented(fields, 6));
  return outcome.specs.clusters.empty() ? ClusterSpec() : outcome.specs.clusters[0];
}

TEST(Bootstrap, DefaultsAreUpstreams) {
  const HttpManagerSpec spec = manager("");
  const HttpManagerSpec plain;
  EXPECT_EQ(spec.stat_prefix, "in");
  EXPECT_EQ(spec.server_name, "envoy");
  EXPECT_EQ(spec.protocol.idle_timeout, hours(1));
  EXPECT_EQ(spec.stream_idle_timeout, minutes(5));
  EXPECT_EQ(spec.request_headers_kb_max, 60u);
  EXPECT_EQ(spec.protocol.headers_count_max, 100u);
  EXPECT_EQ(spec.codec, plain.codec);
  EXPECT_TRUE(spec.generate_request_id);
  EXPECT_TRUE(spec.dynamic_stats);
  EXPECT_FALSE(spec.normalize_path);
  ASSERT_EQ(spec.routes.virtual_hosts.size(), 1u);
  EXPECT_EQ(spec.routes.virtual_hosts[0].routes[0].timeout, seconds(15));
  const ClusterSpec web_cluster = cluster("");
  EXPECT_EQ(web_cluster.connect_timeout, seconds(5));
  EXPECT_EQ(web_cluster.thresholds.connections_max, 1024u);
  EXPECT_EQ(web_cluster.connection_buffer_bytes_max, 1024u * 1024);
}

TEST(Bootstrap, ConnectionManager) {
  const HttpManagerSpec spec = manager(R"(codec_type: http1
server_name: me
server_header_transformation: PASS_THROUGH
via: edge
use_remote_address: true
xff_num_trusted_hops: 2
skip_xff_append: true
generate_request_id: false
preserve_external_request_id: true
always_set_request_id_in_response: true
add_user_agent: true
normalize_path: true
merge_slashes: yes
path_with_escaped_slashes_action: UNESCAPE_AND_REDIRECT
strip_any_host_port: true
strip_trailing_host_dot: true
proxy_100_continue: true
max_request_headers_kb: 96
stream_idle_timeout: 0s
request_timeout: 30s
request_headers_timeout: 0.25s
drain_timeout: 1.000000001s
delayed_close_timeout: 2s
common_http_protocol_options:
  idle_timeout: 10s
  max_connection_duration: 20s
  max_stream_duration: 30s
  max_headers_count: 7
  max_requests_per_connection: 9
  headers_with_underscores_action: REJECT_REQUEST
http_protocol_options:
  allow_absolute_url: false
  accept_http_10: true
  default_host_for_http_10: old.example.com
  enable_trailers: true)");
  EXPECT_EQ(spec.codec, CodecType::http1);
  EXPECT_EQ(spec.server_name, "me");
  EXPECT_EQ(spec.server_header, ServerHeader::pass_through);
  EXPECT_EQ(spec.via, "edge");
  EXPECT_TRUE(spec.use_remote_address && spec.skip_xff_append && spec.preserve_external_request_id);
  EXPECT_TRUE(spec.always_set_request_id_in_response && spec.add_user_agent && spec.normalize_path &&
              spec.merge_slashes);
  EXPECT_TRUE(spec.strip_any_host_port && spec.strip_trailing_host_dot && spec.proxy_100_continue);
  EXPECT_FALSE(spec.generate_request_id);
  EXPECT_EQ(spec.xff_trusted_hops, 2u);
  EXPECT_EQ(spec.escaped_slashes, EscapedSlashAction::unescape_and_redirect);
  EXPECT_EQ(spec.request_headers_kb_max, 96u);
  EXPECT_EQ(spec.stream_idle_timeout, Duration(0));
  EXPECT_EQ(spec.request_timeout, seconds(30));
  EXPECT_EQ(spec.request_headers_timeout, milliseconds(250));
  EXPECT_EQ(spec.drain_timeout, seconds(1) + nanoseconds(1));
  EXPECT_EQ(spec.delayed_close_timeout, seconds(2));
  EXPECT_EQ(spec.protocol.idle_timeout, seconds(10));
  EXPECT_EQ(spec.protocol.connection_duration_max, seconds(20));
  EXPECT_EQ(spec.protocol.stream_duration_max, seconds(30));
  EXPECT_EQ(spec.protocol.headers_count_max, 7u);
  EXPECT_EQ(spec.protocol.requests_per_connection_max, 9u);
  EXPECT_EQ(spec.protocol.underscore, UnderscoreAction::reject_request);
  EXPECT_FALSE(spec.http1.allow_absolute_url);
  EXPECT_TRUE(spec.http1.accept_http_10 && spec.http1.enable_trailers);
  EXPECT_EQ(spec.http1.default_host_for_http_10, "old.example.com");
}

TEST(Bootstrap, Routes) {
  const HttpManagerSpec spec = manager_with_routes(R"(name: r
ignore_port_in_host_matching: true
most_specific_header_mutations_wins: true
request_headers_to_remove: [ X-Secret ]
virtual_hosts:
  - name: a
    domains: [ A.example.COM, "*.example.com" ]
    response_headers_to_add:
      - { header: { key: X-A, value: "100%%" } }
      - { header: { key: x-b, value: b }, append_action: OVERWRITE_IF_EXISTS }
      - { header: { key: x-c, value: c }, append: false }
      - { header: { key: x-empty, value: "" } }
      - { header: { key: x-kept, value: "" }, keep_empty_value: true }
    routes:
      - name: exact
        match: { path: /a, case_sensitive: false }
        route: { cluster: web, timeout: 0s, idle_timeout: 7s, prefix_rewrite: /b, host_rewrite_literal: c }
      - match: { path_separated_prefix: /api }
        direct_response: { status: 418, body: { inline_string: tea } }
      - match: { prefix: / }
        direct_response: { status: 200, body: { inline_bytes: aGVsbG8= } })");
  EXPECT_EQ(spec.routes.name, "r");
  EXPECT_TRUE(spec.routes.ignore_port_in_host_matching && spec.routes.most_specific_header_mutations_wins);
  EXPECT_EQ(spec.routes.headers.request_remove, std::vector<std::string>{"x-secret"});
  ASSERT_EQ(spec.routes.virtual_hosts.size(), 1u);
  const VirtualHostSpec& host = spec.routes.virtual_hosts[0];
  EXPECT_EQ(host.domains, (std::vector<std::string>{"a.example.com", "*.example.com"}));
  ASSERT_EQ(host.headers.response_add.size(), 4u);
  EXPECT_EQ(host.headers.response_add[0].name, "x-a");
  EXPECT_EQ(host.headers.response_add[0].value, "100%%");  // a format still
  EXPECT_EQ(host.headers.response_add[1].append, HeaderAppend::overwrite_if_exists);
  EXPECT_EQ(host.headers.response_add[2].append, HeaderAppend::overwrite_if_exists_or_add);
  EXPECT_EQ(host.headers.response_add[3].name, "x-kept");
  ASSERT_EQ(host.routes.size(), 3u);
  const RouteSpec& exact = host.routes[0];
  EXPECT_EQ(exact.match_kind, PathMatchKind::exact);
  EXPECT_FALSE(exact.case_sensitive);
  EXPECT_EQ(exact.timeout, Duration(0));
  EXPECT_EQ(exact.idle_timeout, seconds(7));
  EXPECT_EQ(exact.prefix_rewrite, "/b");
  EXPECT_EQ(exact.host_rewrite_literal, "c");
  EXPECT_TRUE(exact.where.starts_with("--config-yaml:")) << exact.where;
  EXPECT_EQ(host.routes[1].match_kind, PathMatchKind::path_separated_prefix);
  EXPECT_EQ(host.routes[1].direct_response->status, 418);
  EXPECT_EQ(host.routes[1].direct_response->body, "tea");
  EXPECT_EQ(host.routes[2].direct_response->body, "hello");
}

TEST(Bootstrap, Clusters) {
  const ClusterSpec spec = cluster(R"(type: strict_dns
alt_stat_name: w
connect_timeout: 0.1s
per_connection_buffer_limit_bytes: 0x8000
dns_refresh_rate: 60s
respect_dns_ttl: true
dns_lookup_family: V4_PREFERRED
circuit_breakers:
  thresholds:
    - { max_connections: 1, max_pending_requests: 2, max_requests: 3, max_retries: 4, track_remaining: true }
    - { priority: HIGH, max_connections: 9 }
typed_extension_protocol_options:
  envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
    "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
    common_http_protocol_options: { idle_timeout: 3s, max_requests_per_connection: 5 }
    explicit_http_config: { http_protocol_options: { enable_trailers: true } }
load_assignment:
  cluster_name: web
  endpoints:
    - locality: { region: r, zone: z }
      lb_endpoints:
        - endpoint: { address: { socket_address: { address: web.example.com, port_value: 80 } }, hostname: h }
          load_balancing_weight: 3
        - endpoint: { address: { socket_address: { address: "::1", port_value: "81" } } }
        - endpoint: { address: { pipe: { path: "@abstract" } } })");
  EXPECT_EQ(spec.kind, ClusterKind::strict_dns);
  EXPECT_EQ(spec.alt_stat_name, "w");
  EXPECT_EQ(spec.connect_timeout, milliseconds(100));
  EXPECT_EQ(spec.connection_buffer_bytes_max, 32768u);
  EXPECT_EQ(spec.dns_refresh_rate, seconds(60));
  EXPECT_TRUE(spec.respect_dns_ttl && spec.enable_trailers && spec.thresholds.track_remaining);
  EXPECT_EQ(spec.dns_family, DnsFamily::v4_preferred);
  EXPECT_EQ(spec.thresholds.pending_max, 2u);
  EXPECT_EQ(spec.thresholds_high.connections_max, 9u);
  EXPECT_EQ(spec.protocol.idle_timeout, seconds(3));
  EXPECT_EQ(spec.protocol.requests_per_connection_max, 5u);
  ASSERT_EQ(spec.endpoints.size(), 3u);
  EXPECT_EQ(spec.endpoints[0].host, "web.example.com");
  EXPECT_TRUE(spec.endpoints[0].address.empty());
  EXPECT_EQ(spec.endpoints[0].weight, 3u);
  EXPECT_EQ(spec.endpoints[0].hostname, "h");
  EXPECT_EQ(spec.endpoints[1].address.text(), "[::1]:81");
  EXPECT_EQ(spec.endpoints[1].port, 81);
  EXPECT_EQ(spec.endpoints[2].address.family(), AF_UNIX);
}

TEST(Bootstrap, ListenersAndAdmin) {
  const LoadOutcome outcome = load(R"(
admin: { address: { pipe: { path: /run/admin.sock } }, access_log_path: /dev/null }
stats_flush_interval: 1s
static_resources:
  clusters: [ { name: web } ]
  listeners:
    - address: { socket_address: { address: "::", port_value: 0 } }
      stat_prefix: s
      per_connection_buffer_limit_bytes: 0
      enable_reuse_port: false
      bind_to_port: false
      tcp_backlog_size: 9
      filter_chains:
        - filter_chain_match: {}
          filters:
            - name: tcp
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
                stat_prefix: t
                cluster: web
                idle_timeout: 0s
                max_connect_attempts: 3
                max_downstream_connection_duration: 5s
                access_log:
                  - name: out
                    typed_config:
                      "@type": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog
                      log_format: { text_format_source: { inline_string: "%DURATION%\n" } }
                  - name: file
                    typed_config:
                      "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
                      path: access.log
)");
  EXPECT_EQ(outcome.specs.admin.address->text(), "/run/admin.sock");
  EXPECT_EQ(outcome.specs.stats_flush_interval, seconds(1));
  ASSERT_EQ(outcome.specs.listeners.size(), 1u);
  const ListenerSpec& spec = outcome.specs.listeners[0];
  EXPECT_EQ(spec.name, "[::]:0");
  EXPECT_EQ(spec.stat_prefix, "s");
  EXPECT_EQ(spec.connection_buffer_bytes_max, UINT32_MAX) << "0 means no limit";
  EXPECT_FALSE(spec.enable_reuse_port || spec.bind_to_port);
  EXPECT_EQ(spec.tcp_backlog, 9u);
  ASSERT_EQ(spec.chains.size(), 1u);
  const auto& relay = spec.chains[0].tcp;
  ASSERT_TRUE(relay);
  EXPECT_EQ(relay->idle_timeout, Duration(0));
  EXPECT_EQ(relay->connect_attempts_max, 3u);
  EXPECT_EQ(relay->connection_duration_max, seconds(5));
  ASSERT_EQ(relay->access_logs.size(), 2u);
  EXPECT_EQ(relay->access_logs[0].path, "/dev/stdout");
  EXPECT_EQ(relay->access_logs[0].format, "%DURATION%\n");
  EXPECT_EQ(relay->access_logs[1].path, "access.log");
  EXPECT_EQ(relay->access_logs[1].format, "");
}

// --- Scalars by the type of their field ----------------------------------------------------------------------------------

std::string node_id(std::string_view written) {
  return load("node: { id: " + std::string(written) + " }").specs.node.id;
}

TEST(Bootstrap, reads_a_mongo_filter) {
  const LoadOutcome outcome = load(R"(
static_resources:
  clusters: [{ name: web }]
  listeners:
    - address: { socket_address: { address: 127.0.0.1, port_value: 27018 } }
      filter_chains:
        - filters:
            - name: mongo
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.mongo_proxy.v3.MongoProxy
                stat_prefix: m
                access_log: /dev/stdout
                commands: [find, ping]
                delay: { fixed_delay: 0.25s, percentage: { numerator: 7, denominator: MILLION } }
            - name: tcp
              typed_config: &tcp
                "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
                stat_prefix: t
                cluster: web
    - address: { socket_address: { address: 127.0.0.1, port_value: 27019 } }
      filter_chains:
        - filters:
            - name: mongo
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.mongo_proxy.v3.MongoProxy
                stat_prefix: n
            - { name: tcp, typed_config: *tcp }
)");
  ASSERT_EQ(outcome.specs.listeners.size(), 2u);
  const auto mongo = outcome.specs.listeners[0].chains[0].tcp->mongo;
  ASSERT_NE(mongo, nullptr);
  EXPECT_EQ(mongo->stat_prefix, "m");
  EXPECT_EQ(mongo->access_log, "/dev/stdout");
  EXPECT_EQ(mongo->commands, (std::vector<std::string>{"find", "ping"}));
  EXPECT_EQ(mongo->delay, milliseconds(250));
  EXPECT_EQ(mongo->delay_part.numerator, 7u);
  EXPECT_EQ(mongo->delay_part.denominator, 1'000'000u);
  const auto plain = outcome.specs.listeners[1].chains[0].tcp->mongo;
  ASSERT_NE(plain, nullptr);
  EXPECT_EQ(plain->commands, (std::vector<std::string>{"delete", "insert", "update"}));
  EXPECT_EQ(plain->delay, Duration::zero());
  EXPECT_EQ(plain->rules, nullptr);
}

TEST(Bootstrap, TextStaysAsWritten) {
  for (const std::string_view text :
       {"n", "no", "true", "1.0", "0x10", "1e3", "2001-01-01", "12:30:00", "010", "nullable", "5"}) {
    EXPECT_EQ(node_id(text), text);
  }
  EXPECT_EQ(node_id("'null'"), "null");
  EXPECT_EQ(node_id("!!str null"), "null");
  for (const std::string_view nothing : {"null", "~", "Null", "NULL", ""}) EXPECT_EQ(node_id(nothing), "") << nothing;
}

TEST(Bootstrap, NumbersAndFlagsAsTheyAreWritten) {
  for (const std::string_view text : {"16", "'16'", "0x10", "0o20", "16.0", "1.6e1", "+16"}) {
    EXPECT_EQ(cluster("max_requests_per_connection: " + std::string(text)).protocol.requests_per_connection_max, 16u)
        << text;
  }
  for (const std::string_view text : {"true", "yes", "on", "y", "True", "TRUE", "'true'"}) {
    EXPECT_TRUE(cluster("respect_dns_ttl: " + std::string(text)).respect_dns_ttl) << text;
  }
  for (const std::string_view text : {"false", "no", "off", "n", "'false'", "~"}) {
    EXPECT_FALSE(cluster("respect_dns_ttl: " + std::string(text)).respect_dns_ttl) << text;
  }
}

TEST(Bootstrap, MetadataTakesAnything) {
  load(
      "node: { metadata: { a: 1, b: [ true, null, x ], c: { d: 1.5 } } }\n"
      "static_resources: { clusters: [ { name: a, metadata: { filter_metadata: { istio: { k: v } } } } ] }");
}

TEST(Bootstrap, BothSpellingsOfFields) { EXPECT_EQ(cluster("connectTimeout: 3s").connect_timeout, seconds(3)); }

TEST(Bootstrap, JsonMeansTheSame) {
  const std::string yaml = R"(
static_resources:
  clusters:
    - name: "\u00e4\U0001F600"
      type: STRICT_DNS
      connect_timeout: 2s
      respect_dns_ttl: true
      circuit_breakers: { thresholds: [ { max_requests: 5 } ] }
      load_assignment:
        cluster_name: x
        endpoints: [ { lb_endpoints: [ { endpoint: { address: { socket_address: { address: a.b, port_value: 1 } } } } ] } ]
)";
  const std::string json =
      "{\t\"static_resources\":{\"clusters\":[{\"name\":\"\\u00e4\\ud83d\\ude00\",\"type\":\"STRICT_DNS\","
      "\"connect_timeout\":\"2s\",\n\t\"respect_dns_ttl\":true,\"circuit_breakers\":{\"thresholds\":[{\"max_requests\":"
      "5}]},"
      "\"load_assignment\":{\"cluster_name\":\"x\",\"endpoints\":[{\"lb_endpoints\":[{\"endpoint\":{\"address\":"
      "{\"socket_address\":{\"address\":\"a.b\",\"port_value\":1}}}}]}]}}]}}";
  const LoadOutcome from_yaml = load(yaml), from_json = load(json);
  ASSERT_EQ(from_json.specs.clusters.size(), 1u);
  const ClusterSpec &a = from_yaml.specs.clusters[0], &b = from_json.specs.clusters[0];
  EXPECT_EQ(a.name, "ä😀");
  EXPECT_EQ(a.name, b.name);
  EXPECT_EQ(a.kind, b.kind);
  EXPECT_EQ(a.connect_timeout, b.connect_timeout);
  EXPECT_EQ(a.respect_dns_ttl, b.respect_dns_ttl);
  EXPECT_EQ(a.thresholds.requests_max, b.thresholds.requests_max);
  EXPECT_EQ(a.endpoints[0].host, b.endpoints[0].host);
}

// --- Sources -------------------------------------------------------------------------------------------------------------

LoadOptions texts(std::initializer_list<std::string> list) {
  LoadOptions options;
  for (const std::string& text : list) options.sources.push_back({ConfigSource::Kind::text, text});
  return options;
}

TEST(Bootstrap, LaterSourcesAreMergedOver) {
  const LoadOutcome outcome = load_bootstrap(texts(
      {"node: { id: a, cluster: c, metadata: { x: 1 } }\n"
       "stats_flush_interval: 1.5s\n"
       "admin: { address: { pipe: { path: /a } } }\n"
       "static_resources: { clusters: [ { name: one } ] }\n",
       R"({"node": {"id": "b"}, "stats_flush_interval": "2s", "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 1}}},
          "static_resources": {"clusters": [{"name": "two"}]}})"}));
  EXPECT_EQ(render_errors(outcome.errors, ErrorStyle::lines), "");
  EXPECT_EQ(outcome.specs.node.id, "b");
  EXPECT_EQ(outcome.specs.node.cluster, "c");
  EXPECT_EQ(outcome.specs.stats_flush_interval, seconds(2));
  EXPECT_EQ(outcome.specs.admin.address->text(), "127.0.0.1:1") << "the other member of a oneof replaces";
  ASSERT_EQ(outcome.specs.clusters.size(), 2u);
  EXPECT_EQ(outcome.specs.clusters[1].name, "two");
}

TEST(Bootstrap, ErrorsNameTheirSource) {
  const LoadOutcome outcome = load_bootstrap(
      texts({"static_resources: { clusters: [ { name: one } ] }", "static_resources:\n  clusters: [ { name: one } ]"}));
  EXPECT_EQ(render_errors(outcome.errors, ErrorStyle::lines),
            "--config-yaml:2:23: static_resources.clusters[1].name: there is another cluster \"one\" at "
            "--config-yaml:1:33\n");
}

TEST(Bootstrap, CommandLineFillsTheNode) {
  LoadOptions options = texts({"node: { id: a, locality: { region: r } }"});
  options.service_node = "n";
  options.service_cluster = "c";
  options.service_zone = "z";
  const NodeSpec node = load_bootstrap(options).specs.node;
  EXPECT_EQ(node.id, "a");
  EXPECT_EQ(node.cluster, "c");
  EXPECT_EQ(node.zone, "z");
  EXPECT_EQ(node.region, "r");
}

TEST(Bootstrap, FilesBySuffix) {
  const auto folder = std::filesystem::temp_directory_path() / ("ringside_bootstrap_test_" + std::to_string(getpid()));
  std::filesystem::create_directory(folder);
  const auto write = [&](const char* name, const char* text) {
    std::ofstream(folder / name) << text;
    LoadOptions options;
    options.sources.push_back({ConfigSource::Kind::file, folder / name});
    const LoadOutcome outcome = load_bootstrap(options);
    std::string said = render_errors(outcome.errors, ErrorStyle::lines);
    const std::string prefix = folder.string() + "/";
    for (size_t at = said.find(prefix); at != said.npos; at = said.find(prefix)) said.erase(at, prefix.size());
    return said.empty() ? outcome.specs.node.id : said;
  };
  EXPECT_EQ(write("a.yaml", "node: { id: y }"), "y");
  EXPECT_EQ(write("a.yml", "node: { id: y }"), "y");
  EXPECT_EQ(write("a.json", R"({"node": {"id": "j"}})"), "j");
  EXPECT_EQ(write("b.json", "node: { id: y }"),
            "b.json:1:1: not valid JSON: a value is due here (text needs double quotes)\n");
  EXPECT_EQ(write("c.yaml", R"({"node": {"id": "\ud83d\ude00"}})"), "😀") << "JSON in a file that is called YAML";
  EXPECT_EQ(write("a", "node: { id: y }"), "y");
  EXPECT_EQ(write("a.pb", ""), "a.pb: protobuf files are not read, use YAML or JSON\n");
  EXPECT_EQ(write("nothing/here.yaml", ""), "nothing/here.yaml: cannot be read: No such file or directory\n");
  EXPECT_EQ(write("", ""), ": cannot be read: Is a directory\n");
  std::filesystem::remove_all(folder);
}

TEST(Bootstrap, NothingToRead) {
  const LoadOutcome outcome = load_bootstrap({});
  ASSERT_EQ(outcome.errors.size(), 1u);
  EXPECT_EQ(outcome.errors[0].text(), "there is no configuration: give -c FILE or --config-yaml TEXT");
}

TEST(Bootstrap, AccessLogFormatsAreAskedFor) {
  LoadOptions options = texts({std::string(http_head) +
                               indented(R"(access_log:
  - name: a
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
      path: a
      log_format: { text_format_source: { inline_string: x } })",
                                        16) +
                               std::string(http_tail) + std::string(web)});
  EXPECT_TRUE(load_bootstrap(options).ok());
  options.check_access_log_format = [](std::string_view format) { return "no " + std::string(format); };
  const LoadOutcome outcome = load_bootstrap(options);
  ASSERT_EQ(outcome.errors.size(), 1u);
  EXPECT_EQ(outcome.errors[0].what, "no x");
}

TEST(Bootstrap, UnknownFieldsMayBeAllowed) {
  LoadOptions options = texts(
      {"nodde: {}\nstatic_resources: { clusters: [ { name: a, lb_subset_config: {}, transport_socket_matcher: { a: 1 } } ] }"});
  EXPECT_EQ(load_bootstrap(options).errors.size(), 3u);
  options.allow_unknown_static_fields = true;
  const LoadOutcome outcome = load_bootstrap(options);
  ASSERT_EQ(outcome.errors.size(), 1u);
  EXPECT_NE(outcome.errors[0].what.find("transport_socket"), std::string::npos);
  EXPECT_EQ(outcome.warnings.size(), 2u);
}

TEST(Bootstrap, ValuesThatSayNothingAreTaken) {
  const ClusterSpec spec = cluster(
      "health_checks: []\nclose_connections_on_host_health_failure: false\noutlier_detection:\ntransport_socket: null");
  EXPECT_EQ(spec.name, "web");
}

}  // namespace
}  // namespace ringside
