// What table, virtual host and route change of the filters of their connection manager.
#include "proxy/filters/filter_chain.h"

#include <gtest/gtest.h>

#include <string>

#include "proxy/filters/websocket_inspection.h"

namespace ringside {
namespace {

HttpFilterSpec websocket(std::string name, uint64_t bytes_max) {
  WebSocketSpec spec;
  spec.message_bytes_max = bytes_max;
  return {.name = std::move(name), .config = std::move(spec)};
}

const std::vector<HttpFilterSpec> chain = {{.name = "stats", .config = GrpcStatsSpec{}}, websocket("ws", 1), websocket("ws2", 2)};

FilterChanges change(const FilterChanges& outer, const FilterChangesSpec& spec) {
  auto changes = outer.inside(chain, spec);
  EXPECT_TRUE(changes.has_value()) << (changes ? "" : changes.error());
  return changes ? *changes : FilterChanges{};
}

// Of the filter at that place; 0: it is as the chain has it.
uint64_t bytes_max(const FilterChanges& changes, size_t at) {
  const HttpFilter* filter = changes.settings != nullptr ? changes.settings->find(at) : nullptr;
  return filter == nullptr ? 0 : dynamic_cast<const WebSocketInspection&>(*filter).spec().message_bytes_max;
}

TEST(FilterChanges, InnerPlacesCount) {
  const FilterChanges table = change({}, {.off = {}, .settings = {websocket("ws", 10), websocket("ws2", 20)}});
  const FilterChanges host = change(table, {});
  EXPECT_EQ(host.settings, table.settings);  // shared
  const FilterChanges route = change(host, {.off = {}, .settings = {websocket("ws", 100)}});
  EXPECT_EQ(bytes_max(route, 0), 0u);
  EXPECT_EQ(bytes_max(route, 1), 100u);
  EXPECT_EQ(bytes_max(route, 2), 20u);
  EXPECT_EQ(bytes_max(host, 1), 10u);
}

TEST(FilterChanges, SettingsSwitchOnAgain) {
  const FilterChanges table = change({}, {.off = {"ws", "stats", "unknown"}, .settings = {}});
  EXPECT_EQ(table.off, 0b011u);
  const FilterChanges route = change(table, {.off = {}, .settings = {websocket("ws", 5)}});
  EXPECT_EQ(route.off, 0b001u);
  EXPECT_EQ(change(route, {.off = {"ws"}, .settings = {}}).off, 0b011u);
}

TEST(FilterChanges, SettingsSwitchOnWhatTheChainDisables) {
  std::vector<HttpFilterSpec> disabled = chain;
  disabled[1].off = true;
  EXPECT_EQ(FilterChain(disabled).off(), 0b010u);
  EXPECT_EQ(FilterChain(disabled).all(), 0b111u);
  const FilterChanges none = FilterChanges::none(disabled);
  EXPECT_EQ(none.off, 0b010u);
  const auto route = none.inside(disabled, {.off = {}, .settings = {websocket("ws", 5)}});
  ASSERT_TRUE(route.has_value());
  EXPECT_EQ(route->off, 0u);
}

TEST(FilterChanges, SettingsForNoFilter) {
  for (const char* name : {"unknown", "stats"}) {
    const auto changes = FilterChanges{}.inside(chain, {.off = {}, .settings = {websocket(name, 1)}});
    ASSERT_FALSE(changes.has_value()) << name;
    EXPECT_NE(changes.error().find(name), std::string::npos);
  }
}

}  // namespace
}  // namespace ringside
