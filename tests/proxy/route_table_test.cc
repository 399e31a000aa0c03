#include "proxy/route/route_table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace ringside {
namespace {

const ClusterNames clusters{{"a", 0}, {"b", 1}, {"c", 2}};

RouteSpec route(PathMatchKind kind, std::string path, std::string name = "") {
  RouteSpec spec;
  spec.name = name.empty() ? path : std::move(name);
  spec.match_kind = kind;
  spec.match_path = std::move(path);
  spec.cluster = "a";
  return spec;
}

VirtualHostSpec host(std::string name, std::vector<std::string> domains, std::vector<RouteSpec> routes = {}) {
  if (routes.empty()) routes.push_back(route(PathMatchKind::prefix, "/"));
  return {.name = std::move(name), .domains = std::move(domains), .routes = std::move(routes), .headers = {}};
}

std::expected<std::unique_ptr<const RouteTable>, RouteProblem> try_build(RouteConfigSpec spec) {
  return RouteTable::build(std::make_shared<const RouteConfigSpec>(std::move(spec)), clusters);
}

std::unique_ptr<const RouteTable> build(RouteConfigSpec spec) {
  auto table = try_build(std::move(spec));
  EXPECT_TRUE(table.has_value()) << (table ? "" : table.error().message);
  return table ? std::move(*table) : nullptr;
}

std::string host_of(const RouteTable& table, std::string_view authority) {
  const RouteMatch match = table.match(authority, "/");
  return match.virtual_host == nullptr ? "none" : match.virtual_host->spec().name;
}

std::string route_of(const RouteTable& table, std::string_view path) {
  const RouteMatch match = table.match("any", path);
  return match.route == nullptr ? "none" : match.route->spec().name;
}

RouteConfigSpec with_routes(std::vector<RouteSpec> routes) {
  RouteConfigSpec spec;
  spec.virtual_hosts.push_back(host("all", {"*"}, std::move(routes)));
  return spec;
}

// --- virtual hosts ---------------------------------------------------------------------------------------------------

TEST(RouteTableTest, ExactBeforeSuffixBeforePrefixBeforeStar) {
  RouteConfigSpec spec;
  spec.virtual_hosts = {host("star", {"*"}),
                        host("short suffix", {"*.com"}),
                        host("long suffix", {"*-bar.foo.com", "*.foo.com"}),
                        host("short prefix", {"foo.*"}),
                        host("long prefix", {"foo.bar.*"}),
                        host("exact", {"foo.com", "www.foo.com:8080"})};
  const auto table = build(std::move(spec));
  EXPECT_EQ(host_of(*table, "foo.com"), "exact");
  EXPECT_EQ(host_of(*table, "FOO.Com"), "exact");
  EXPECT_EQ(host_of(*table, "www.foo.com:8080"), "exact");
  EXPECT_EQ(host_of(*table, "www.foo.com:8081"), "star") << "the port belongs to the authority";
  EXPECT_EQ(host_of(*table, "www.foo.com"), "long suffix");
  EXPECT_EQ(host_of(*table, "X-BAR.FOO.COM"), "long suffix");
  EXPECT_EQ(host_of(*table, "bar.com"), "short suffix");
  EXPECT_EQ(host_of(*table, ".com"), "star") << "the star stands for something";
  EXPECT_EQ(host_of(*table, "foo.net"), "short prefix");
  EXPECT_EQ(host_of(*table, "foo.bar.net"), "long prefix");
  EXPECT_EQ(host_of(*table, "foo.bar."), "short prefix");
  EXPECT_EQ(host_of(*table, "foo.bar.com"), "short suffix") << "a suffix goes before a longer prefix";
  EXPECT_EQ(host_of(*table, ""), "star");
  EXPECT_EQ(host_of(*table, std::string(70'000, 'a')), "star");
  EXPECT_EQ(host_of(*table, std::string(70'000, 'a') + ".com"), "short suffix");
  EXPECT_EQ(host_of(*table, "f\xf4\xef.com"), "short suffix") << "only ASCII letters have two cases";
}

TEST(RouteTableTest, NoHostIsToldFromNoRoute) {
  RouteConfigSpec spec;
  spec.virtual_hosts = {host("one", {"one"}, {route(PathMatchKind::exact, "/x")})};
  const auto table = build(std::move(spec));
  EXPECT_EQ(table->match("two", "/x").virtual_host, nullptr);
  const RouteMatch match = table->match("one", "/y");
  EXPECT_EQ(match.route, nullptr);
  ASSERT_NE(match.virtual_host, nullptr);
  EXPECT_EQ(match.virtual_host->spec().name, "one");
  EXPECT_EQ(build({})->match("one", "/").virtual_host, nullptr);
}

TEST(RouteTableTest, PortIsIgnoredWhenTold) {
  RouteConfigSpec spec;
  spec.ignore_port_in_host_matching = true;
  spec.virtual_hosts = {host("foo", {"foo.com"}), host("v6", {"[::1]"}), host("suffix", {"*.net"})};
  const auto table = build(std::move(spec));
  EXPECT_EQ(host_of(*table, "foo.com:1234"), "foo");
  EXPECT_EQ(host_of(*table, "[::1]"), "v6");
  EXPECT_EQ(host_of(*table, "[::1]:80"), "v6");
  EXPECT_EQ(host_of(*table, "a.net:80"), "suffix");
}

TEST(RouteTableTest, RandomDomainsAsTheNaiveWay) {
  std::mt19937_64 random(7);
  const auto word = [&](size_t size_max) {
    std::string text(1 + random() % size_max, ' ');
    for (char& c : text) c = "ab.-Z"[random() % 4];
    return text;
  };
  for (int round = 0; round < 200; ++round) {
    RouteConfigSpec spec;
    std::vector<std::pair<std::string, std::string>> all;  // domain, host
    for (int i = 0; i < 20; ++i) {
      std::string domain = word(12);
      if (i % 3 == 1) domain = "*" + domain;
      if (i % 3 == 2) domain += "*";
      if (std::any_of(all.begin(), all.end(), [&](const auto& one) { return one.first == domain; })) continue;
      all.emplace_back(domain, domain);
      spec.virtual_hosts.push_back(host(domain, {domain}));
    }
    const auto table = build(std::move(spec));
    for (int i = 0; i < 100; ++i) {
      std::string authority = word(14);
      size_t best = 0;
      std::string expected = "none";
      for (const auto& [domain, name] : all) {  // rank: exact, then suffix by length, then prefix by length
        const bool suffix = domain.front() == '*', prefix = domain.back() == '*';
        const std::string text = suffix ? domain.substr(1) : domain.substr(0, domain.size() - prefix);
        const bool fits = suffix   ? authority.size() > text.size() && authority.ends_with(text)
                          : prefix ? authority.size() > text.size() && authority.starts_with(text)
                                   : authority == text;
        const size_t rank = text.size() + (suffix ? 100u : prefix ? 1u : 1000u);
        if (fits && rank > best) best = rank, expected = name;
      }
      std::transform(authority.begin(), authority.end(), authority.begin(),
                     [&](char c) { return random() % 2 ? static_cast<char>(std::toupper(c)) : c; });
      EXPECT_EQ(host_of(*table, authority), expected) << authority;
    }
  }
}

// --- routes ----------------------------------------------------------------------------------------------------------

TEST(RouteTableTest, FirstRouteThatHoldsWins) {
  const auto table = build(with_routes({
      route(PathMatchKind::prefix, "/api/v1/special"),
      route(PathMatchKind::exact, "/api/v1"),
      route(PathMatchKind::path_separated_prefix, "/api/v1", "separated"),
      route(PathMatchKind::prefix, "/api"),
      route(PathMatchKind::exact, "/api/never", "shadowed"),
      route(PathMatchKind::prefix, "/"),
  }));
  EXPECT_EQ(route_of(*table, "/api/v1/special/x"), "/api/v1/special");
  EXPECT_EQ(route_of(*table, "/api/v1"), "/api/v1");
  EXPECT_EQ(route_of(*table, "/api/v1?x=/api/v1/special"), "/api/v1");
  EXPECT_EQ(route_of(*table, "/api/v1#f"), "/api/v1");
  EXPECT_EQ(route_of(*table, "/api/v1/"), "separated");
  EXPECT_EQ(route_of(*table, "/api/v1/x"), "separated");
  EXPECT_EQ(route_of(*table, "/api/v1x"), "/api");
  EXPECT_EQ(route_of(*table, "/api/never"), "/api");
  EXPECT_EQ(route_of(*table, "/Api"), "/");
  EXPECT_EQ(route_of(*table, "/"), "/");
  EXPECT_EQ(route_of(*table, "*"), "none");
  EXPECT_EQ(route_of(*table, ""), "none");
}

TEST(RouteTableTest, CaseIsIgnoredWhereTold) {
  RouteSpec folded = route(PathMatchKind::prefix, "/CaSe", "folded");
  folded.case_sensitive = false;
  const auto table = build(
      with_routes({route(PathMatchKind::exact, "/case/x", "exact"), folded, route(PathMatchKind::prefix, "/case")}));
  EXPECT_EQ(route_of(*table, "/case/x"), "exact");
  EXPECT_EQ(route_of(*table, "/CASE/x"), "folded");
  EXPECT_EQ(route_of(*table, "/case"), "folded");
  EXPECT_EQ(route_of(*table, "/cas"), "none");
}

TEST(RouteTableTest, EmptyPrefixTakesAll) {
  const auto table = build(with_routes({route(PathMatchKind::exact, "/x"), route(PathMatchKind::prefix, "", "all")}));
  EXPECT_EQ(route_of(*table, "/x"), "/x");
  EXPECT_EQ(route_of(*table, "/"), "all");
  EXPECT_EQ(route_of(*table, "*"), "all");
}

bool holds(const RouteSpec& spec, std::string path) {
  std::string wanted = spec.match_path;
  if (!spec.case_sensitive)
    for (std::string* text : {&path, &wanted})
      std::transform(text->begin(), text->end(), text->begin(),
                     [](char c) { return static_cast<char>(std::tolower(c)); });
  if (spec.match_kind == PathMatchKind::exact) return path == wanted;
  if (!path.starts_with(wanted)) return false;
  return spec.match_kind == PathMatchKind::prefix || path.size() == wanted.size() || path[wanted.size()] == '/';
}

TEST(RouteTableTest, RandomTablesAsTheNaiveWay) {
  std::mt19937_64 random(42);
  const auto path = [&] {
    std::string text = "/";
    for (size_t left = random() % 9; left > 0; --left) text += "/abAB"[random() % 5];
    return text;
  };
  for (int round = 0; round < 300; ++round) {
    std::vector<RouteSpec> routes;
    for (size_t left = 1 + random() % 60; left > 0; --left) {
      routes.push_back(route(static_cast<PathMatchKind>(random() % 3), path(), std::to_string(routes.size())));
      routes.back().case_sensitive = random() % 3 != 0;
    }
    const auto table = build(with_routes(routes));
    for (int i = 0; i < 200; ++i) {
      const std::string asked = path();
      const auto expected =
          std::find_if(routes.begin(), routes.end(), [&](const RouteSpec& spec) { return holds(spec, asked); });
      EXPECT_EQ(route_of(*table, asked + (i % 4 == 0 ? "?/q" : "")), expected == routes.end() ? "none" : expected->name)
          << asked;
    }
  }
}

TEST(RouteTableTest, AThousandRoutesAreSmall) {
  std::vector<RouteSpec> routes;
  for (int i = 0; i < 1000; ++i)
    routes.push_back(route(PathMatchKind::prefix, "/service-" + std::to_string(i) + "/api/"));
  const auto table = build(with_routes(std::move(routes)));
  EXPECT_LT(table->memory_bytes() / 1000, 200u);
  EXPECT_EQ(route_of(*table, "/service-777/api/x"), "/service-777/api/");
  EXPECT_EQ(route_of(*table, "/service-1000/api/x"), "none");
}

TEST(RouteTableTest, LongAndManyByteValuesInPaths) {
  std::vector<RouteSpec> routes;
  for (int byte = 1; byte < 256; ++byte)
    routes.push_back(route(PathMatchKind::prefix, "/" + std::string(1, static_cast<char>(byte)), std::to_string(byte)));
  routes.push_back(route(PathMatchKind::exact, "/" + std::string(100'000, 'x') + "y", "long"));
  std::swap(routes.front(), routes.back());
  const auto table = build(with_routes(std::move(routes)));
  EXPECT_EQ(route_of(*table, "/" + std::string(100'000, 'x') + "y"), "long");
  EXPECT_EQ(route_of(*table, "/" + std::string(100'000, 'x') + "z"), std::to_string('x'));
  EXPECT_EQ(route_of(*table, "/\xff"), "255");
}

// --- building --------------------------------------------------------------------------------------------------------

TEST(RouteTableTest, RefusesWhatMakesNoSense) {
  const auto problem = [](RouteConfigSpec spec) {
    const auto table = try_build(std::move(spec));
    return table ? "" : table.error().where + ": " + table.error().message;
  };
  RouteConfigSpec spec = with_routes({route(PathMatchKind::prefix, "/")});
  spec.virtual_hosts[0].routes[0].cluster = "nowhere";
  spec.virtual_hosts[0].routes[0].where = "x.yaml:3:4";
  EXPECT_EQ(problem(spec), "x.yaml:3:4: unknown cluster \"nowhere\"");
  spec = with_routes({route(PathMatchKind::prefix, "/")});
  spec.name = "r";
  spec.virtual_hosts.push_back(host("again", {"*"}));
  EXPECT_EQ(problem(spec), "route configuration r: domain \"*\" is there twice");
  spec.virtual_hosts[0].domains = {"x.com"};
  spec.virtual_hosts[1].domains = {"x.com"};
  EXPECT_EQ(problem(spec), "route configuration r: domain \"x.com\" is there twice");
  spec.virtual_hosts[1].domains = {""};
  EXPECT_EQ(problem(spec), "route configuration r: a domain is empty");
  spec = with_routes({route(PathMatchKind::prefix, "/")});
  spec.virtual_hosts[0].headers.request_remove = {"host"};
  EXPECT_EQ(problem(spec), "virtual host all: header \"host\": names that begin with ':' and host cannot be changed");
  spec = with_routes({route(PathMatchKind::prefix, "/")});
  spec.virtual_hosts[0].routes[0].prefix_rewrite = "x";
  EXPECT_EQ(problem(spec), "virtual host all: prefix_rewrite must begin with a slash");
  spec.virtual_hosts[0].routes[0].prefix_rewrite = "/ x";
  EXPECT_EQ(problem(spec), "virtual host all: prefix_rewrite has a character that no path has");
  spec.virtual_hosts[0].routes[0].prefix_rewrite = "";
  spec.virtual_hosts[0].routes[0].host_rewrite_literal = "a b";
  EXPECT_EQ(problem(spec), "virtual host all: host_rewrite_literal is not a host");
}

// --- what a route does -----------------------------------------------------------------------------------------------

struct Message {
  ArenaPool pool;
  Arena arena{pool};
  Head head{arena};
  SecondCache second;
};

TEST(RouteTableTest, RewritesPrefixAndHost) {
  // As Envoy 1.40 was seen to do.
  RouteSpec slash = route(PathMatchKind::prefix, "/p/");
  slash.prefix_rewrite = "/";
  RouteSpec plain = route(PathMatchKind::prefix, "/p");
  plain.prefix_rewrite = "/new";
  RouteSpec folded = route(PathMatchKind::prefix, "/CI");
  folded.case_sensitive = false;
  folded.prefix_rewrite = "/ci2";
  folded.host_rewrite_literal = "other.host";
  RouteSpec separated = route(PathMatchKind::path_separated_prefix, "/sep");
  separated.prefix_rewrite = "/s2";
  const auto table = build(with_routes({slash, plain, folded, separated}));
  const std::pair<const char*, const char*> cases[] = {
      {"/p/x?q", "/x?q"}, {"/p", "/new"},   {"/p?x=1", "/new?x=1"},      {"/p/", "/"},
      {"/p//x", "//x"},   {"/px", "/newx"}, {"/ci/Foo?Q", "/ci2/Foo?Q"}, {"/sep/a?b", "/s2/a?b"}};
  for (const auto& [before, after] : cases) {
    Message message;
    message.head.authority = "h.com";
    message.head.path = before;
    const Route* found = table->match("h.com", before).route;
    ASSERT_NE(found, nullptr) << before;
    found->rewrite_target(message.head, Route::OriginalPath::keep);
    EXPECT_EQ(message.head.path, after);
    EXPECT_EQ(message.head.fields.value(HeaderId::x_envoy_original_path), before);
    const bool rehosted = std::string_view(before).starts_with("/ci");
    EXPECT_EQ(message.head.authority, rehosted ? "other.host" : "h.com");
    EXPECT_EQ(message.head.fields.find("x-envoy-original-host") != nullptr, rehosted);
    message.head.path = before;
    message.head.fields.remove(HeaderId::x_envoy_original_path);
    found->rewrite_target(message.head, Route::OriginalPath::suppress);
    EXPECT_EQ(message.head.path, after);
    EXPECT_FALSE(message.head.fields.has(HeaderId::x_envoy_original_path));
  }
}

TEST(RouteTableTest, HeadersOfThreePlacesInOrder) {
  for (const bool most_specific_wins : {false, true}) {
    RouteConfigSpec spec = with_routes({route(PathMatchKind::prefix, "/")});
    spec.most_specific_header_mutations_wins = most_specific_wins;
    const auto add = [](std::string value) {
      HeaderEditSpec edit;
      edit.request_add = {{"x-who", value, HeaderAppend::overwrite_if_exists_or_add},
                          {"x-all", value, HeaderAppend::append_if_exists_or_add}};
      edit.response_add = edit.request_add;
      return edit;
    };
    spec.headers = add("table");
    spec.virtual_hosts[0].headers = add("host");
    spec.virtual_hosts[0].routes[0].headers = add("route");
    const auto table = build(std::move(spec));
    const Route& found = *table->match("x", "/").route;
    Message message;
    found.edit_request(message.head, {}, message.second);
    EXPECT_EQ(message.head.fields.find("x-who")->value(), most_specific_wins ? "route" : "table");
    std::string all;
    for (const HeaderField& field : message.head.fields)
      if (field.name() == "x-all") all += std::string(field.value()) + " ";
    EXPECT_EQ(all, most_specific_wins ? "table host route " : "route host table ");
    Message response;
    found.edit_response(response.head, {}, response.second);
    EXPECT_EQ(response.head.fields.find("x-who")->value(), most_specific_wins ? "route" : "table");
  }
}

}  // namespace
}  // namespace ringside
