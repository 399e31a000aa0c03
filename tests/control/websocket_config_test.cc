// ringside.websocket.v1.WebSocketInspection as the data plane gets it, from http_filters and from places of a route table.
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "control/bootstrap.h"

namespace ringside {
namespace {

// A connection manager with these fields in the filter, and these at the route.
HttpManagerSpec load(std::string_view filter, std::string_view route = "") {
  std::string text = R"(
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
          - name: ringside.websocket
            typed_config: { "@type": type.googleapis.com/ringside.websocket.v1.WebSocketInspection)";
  text += filter.empty() ? std::string() : ", " + std::string(filter);
  text += R"( }
          - name: envoy.filters.http.router
            typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: { prefix: / }
                direct_response: { status: 200 }
)";
  if (!route.empty()) {
    text += R"(                typed_per_filter_config:
                  ringside.websocket: { "@type": type.googleapis.com/ringside.websocket.v1.WebSocketInspection, )";
    text += std::string(route) + " }\n";
  }
  LoadOptions options;
  options.sources.push_back({ConfigSource::Kind::text, text});
  const LoadOutcome outcome = load_bootstrap(options);
  EXPECT_EQ(render_errors(outcome.errors, ErrorStyle::lines), "");
  if (outcome.specs.listeners.empty() || !outcome.specs.listeners[0].chains[0].http) return {};
  return *outcome.specs.listeners[0].chains[0].http;
}

const WebSocketSpec& settings(const HttpFilterSpec& filter) { return std::get<WebSocketSpec>(filter.config); }

TEST(WebSocketConfig, NothingIsLimitedByDefault) {
  const HttpManagerSpec manager = load("");
  ASSERT_EQ(manager.filters.size(), 1u);
  EXPECT_EQ(manager.filters[0].name, "ringside.websocket");
  const WebSocketSpec& spec = settings(manager.filters[0]);
  EXPECT_EQ(spec.message_bytes_max, UINT64_MAX);
  EXPECT_EQ(spec.frame_bytes_max, UINT64_MAX);
  EXPECT_EQ(spec.client_messages_per_second, 0u);
  EXPECT_EQ(spec.idle_timeout, Duration{0});
  EXPECT_TRUE(spec.validate_utf8);
  EXPECT_FALSE(spec.pings_keep_alive);
  EXPECT_TRUE(spec.origins.empty() && spec.subprotocols.empty() && spec.stat_name.empty());
  EXPECT_TRUE(spec.origin_may_be_missing);
  EXPECT_EQ(spec.on_protocol_error, WebSocketSpec::OnProtocolError::close);
}

TEST(WebSocketConfig, EveryField) {
  const HttpManagerSpec manager = load(
      "stat_prefix: chat, max_message_bytes: 1000, max_frame_bytes: 100, client_message_rate: {messages_per_second: 5, burst: 7}, "
      "idle_timeout: 1.5s, pings_keep_alive: true, validate_utf8: false, allowed_subprotocols: [a, b.c], allow_missing_subprotocol: true, "
      "allowed_origins: [{exact: x, ignore_case: true}, {safe_regex: {regex: 'a+'}}], require_origin: true, on_protocol_error: COUNT");
  ASSERT_EQ(manager.filters.size(), 1u);
  const WebSocketSpec& spec = settings(manager.filters[0]);
  EXPECT_EQ(spec.stat_name, "chat");
  EXPECT_EQ(spec.message_bytes_max, 1000u);
  EXPECT_EQ(spec.frame_bytes_max, 100u);
  EXPECT_EQ(spec.client_messages_per_second, 5u);
  EXPECT_EQ(spec.client_message_burst, 7u);
  EXPECT_EQ(spec.idle_timeout, milliseconds(1500));
  EXPECT_TRUE(spec.pings_keep_alive);
  EXPECT_FALSE(spec.validate_utf8);
  EXPECT_EQ(spec.subprotocols, (std::vector<std::string>{"a", "b.c"}));
  EXPECT_TRUE(spec.subprotocol_may_be_missing);
  ASSERT_EQ(spec.origins.size(), 2u);
  EXPECT_TRUE(spec.origins[0].text == "x" && spec.origins[0].ignore_case);
  EXPECT_EQ(spec.origins[1].how, TextMatchHow::regex);
  EXPECT_FALSE(spec.origin_may_be_missing);
  EXPECT_EQ(spec.on_protocol_error, WebSocketSpec::OnProtocolError::count);
}

TEST(WebSocketConfig, ABurstIsThatOfASecondByDefault) {
  const HttpManagerSpec manager = load("client_message_rate: {messages_per_second: 5}");
  EXPECT_EQ(settings(manager.filters.at(0)).client_message_burst, 5u);
}

TEST(WebSocketConfig, RoutesMayHaveTheirOwn) {
  const HttpManagerSpec manager = load("", "max_message_bytes: 7");
  const FilterChangesSpec& changes = manager.routes.virtual_hosts.at(0).routes.at(0).filters;
  ASSERT_EQ(changes.settings.size(), 1u);
  EXPECT_EQ(changes.settings[0].name, "ringside.websocket");
  EXPECT_EQ(settings(changes.settings[0]).message_bytes_max, 7u);
  EXPECT_TRUE(changes.off.empty());
}

}  // namespace
}  // namespace ringside
