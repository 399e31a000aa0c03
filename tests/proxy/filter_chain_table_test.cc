// Which chain takes a connection. What Envoy decides is compared end to end, in tests/e2e/filter_chain_test.py; here are the corners.
#include "proxy/listener/filter_chain_table.h"

#include <gtest/gtest.h>

namespace ringside {
namespace {

Address ip(std::string_view text, uint16_t port = 1000) { return *Address::from_ip(text, port); }
CidrSpec range(std::string_view text, uint32_t bits) { return {.base = ip(text, 0), .prefix_bits = bits}; }

FilterChainTable table_of(const std::vector<FilterChainMatchSpec>& matches) {
  std::vector<FilterChainSpec> chains(matches.size());
  for (size_t at = 0; at < matches.size(); ++at) chains[at].match = matches[at];
  auto table = FilterChainTable::build(chains);
  EXPECT_TRUE(table.has_value());
  return table ? *std::move(table) : FilterChainTable();
}

ChainQuery usual() {
  return {.local = ip("10.0.0.1", 80), .peer = ip("10.9.9.9"), .direct_peer = ip("10.9.9.9"), .transport_protocol = "raw_buffer"};
}

TEST(FilterChainTable, one_that_takes_everything_needs_no_look) {
  const FilterChainTable table = table_of({{}});
  EXPECT_TRUE(table.trivial());
  EXPECT_FALSE(table.asks_local() || table.asks_peer());
  EXPECT_EQ(table.find({}), 0U);
}

TEST(FilterChainTable, none_takes_nothing) {
  EXPECT_FALSE(table_of({}).trivial());
  EXPECT_EQ(table_of({}).find(usual()), FilterChainTable::none);
  EXPECT_EQ(FilterChainTable().find(usual()), FilterChainTable::none);
}

TEST(FilterChainTable, asks_for_the_addresses_that_matter) {
  FilterChainMatchSpec names, port, source, kind;
  names.server_names = {"a"};
  port.destination_port = 80;
  source.source_ports = {1};
  kind.source_type = SourceType::external;
  EXPECT_FALSE(table_of({names, {}}).asks_local() || table_of({names, {}}).asks_peer());
  EXPECT_TRUE(table_of({port}).asks_local() && !table_of({port}).asks_peer());
  EXPECT_TRUE(table_of({source}).asks_peer() && !table_of({source}).asks_local());
  EXPECT_TRUE(table_of({kind}).asks_peer() && table_of({kind}).asks_local());
}

TEST(FilterChainTable, a_prefix_of_odd_length) {
  FilterChainMatchSpec wide, odd, v6;
  wide.destinations = {range("10.0.0.0", 8)};
  odd.destinations = {range("10.127.255.255", 11)};  // 10.96.0.0 ... 10.127.255.255, whatever stands behind the prefix
  v6.destinations = {range("2001:db8::", 33)};
  const FilterChainTable table = table_of({wide, odd, v6});
  const auto find = [&](std::string_view local) {
    ChainQuery query = usual();
    query.local = ip(local);
    return table.find(query);
  };
  EXPECT_EQ(find("10.96.0.0"), 1U);
  EXPECT_EQ(find("10.127.255.255"), 1U);
  EXPECT_EQ(find("10.95.255.255"), 0U);
  EXPECT_EQ(find("10.128.0.0"), 0U);
  EXPECT_EQ(find("11.0.0.0"), FilterChainTable::none);
  EXPECT_EQ(find("2001:db8:7fff::1"), 2U);
  EXPECT_EQ(find("2001:db8:8000::1"), FilterChainTable::none);
}

TEST(FilterChainTable, v4_and_v6_prefixes_do_not_meet) {
  FilterChainMatchSpec v4, v6;
  v4.destinations = {range("32.1.13.184", 32)};
  v6.destinations = {range("2001:db8::", 32)};
  const FilterChainTable table = table_of({v4, v6});
  ChainQuery query = usual();
  query.local = ip("32.1.13.184");
  EXPECT_EQ(table.find(query), 0U);
  query.local = ip("2001:db8::1");
  EXPECT_EQ(table.find(query), 1U);
}

TEST(FilterChainTable, names_with_odd_dots) {
  FilterChainMatchSpec wild, any;
  wild.server_names = {"*.a"};
  const FilterChainTable table = table_of({wild, any});
  const auto find = [&](std::string_view name) {
    ChainQuery query = usual();
    query.server_name = name;
    return table.find(query);
  };
  EXPECT_EQ(find("x.a"), 0U);
  EXPECT_EQ(find("a"), 1U);
  EXPECT_EQ(find("."), 1U);
  EXPECT_EQ(find("x."), 1U);
  EXPECT_EQ(find("x..a"), 0U);
  EXPECT_EQ(find(""), 1U);
}

TEST(FilterChainTable, unix_sockets_are_local_and_have_no_address) {
  FilterChainMatchSpec local, port, v4;
  local.source_type = SourceType::same_ip_or_loopback;
  port.destination_port = 80;
  v4.destinations = {range("10.0.0.0", 8)};
  const FilterChainTable table = table_of({local, port, v4});
  ChainQuery query = usual();
  query.local = *Address::from_path("/run/x.sock");
  query.peer = query.direct_peer = Address();
  EXPECT_EQ(table.find(query), 0U);
}

TEST(FilterChainTable, the_same_place_twice_is_found) {
  std::vector<FilterChainSpec> chains(3);
  chains[1].match.server_names = {"b", "a"};
  chains[1].match.sources = {range("10.0.0.0", 8), range("11.0.0.0", 8)};
  chains[2].match.server_names = {"c", "a"};
  chains[2].match.sources = {range("11.255.0.0", 8)};
  const auto table = FilterChainTable::build(chains);
  ASSERT_FALSE(table.has_value());
  EXPECT_EQ(table.error().first, 1U);
  EXPECT_EQ(table.error().second, 2U);
}

TEST(FilterChainTable, a_chain_may_say_the_same_twice) {
  FilterChainMatchSpec match;
  match.server_names = {"a", "a"};
  match.source_ports = {1, 1};
  EXPECT_EQ(table_of({match}).find(usual()), FilterChainTable::none);
}

}  // namespace
}  // namespace ringside
