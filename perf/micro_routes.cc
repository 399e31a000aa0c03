// What finding a route costs, with few routes and with many.
#include "perf/micro_bench.h"
#include "proxy/route/route_table.h"

namespace ringside::perf {
namespace {

RouteSpec route_to(std::string path, PathMatchKind kind = PathMatchKind::prefix) {
  RouteSpec spec;
  spec.name = path;
  spec.match_kind = kind;
  spec.match_path = std::move(path);
  spec.cluster = "backend";
  return spec;
}

std::unique_ptr<const RouteTable> table_of(std::vector<std::string> domains, std::vector<RouteSpec> routes) {
  RouteConfigSpec spec;
  spec.virtual_hosts.push_back(
      {.name = "bench", .domains = std::move(domains), .routes = std::move(routes), .headers = {}});
  const ClusterNames clusters{{"backend", 0}};
  auto table = RouteTable::build(std::make_shared<const RouteConfigSpec>(std::move(spec)), clusters);
  if (table) return std::move(*table);
  fmt::print(stderr, "{}\n", table.error().message);
  std::exit(1);
}

void match(std::string_view name, const RouteTable& table, std::string_view authority, std::string_view path) {
  if (table.match(authority, path).route == nullptr) {
    fmt::print(stderr, "{}: no route\n", name);
    std::exit(1);
  }
  micro_bench(name, [&] { keep(table.match(authority, path).route); });
}

void run() {
  const auto few = table_of({"*"}, {route_to("/static/"), route_to("/api/"), route_to("/")});
  match("3 prefixes, the second", *few, "bench.test", "/api/items/1024");
  match("3 prefixes, the last", *few, "bench.test", "/other/1024");

  std::vector<RouteSpec> prefixes;
  std::vector<RouteSpec> paths;
  std::vector<std::string> domains;
  for (int index = 0; index < 1000; ++index) {
    prefixes.push_back(route_to(fmt::format("/svc-{:04}/", index)));
    paths.push_back(route_to(fmt::format("/svc-{:04}/items", index), PathMatchKind::exact));
    domains.push_back(fmt::format("svc-{}.bench.test", index));
  }
  const auto many = table_of({"*"}, prefixes);
  match("1,000 prefixes, the first", *many, "bench.test", "/svc-0000/items/1024");
  match("1,000 prefixes, the last", *many, "bench.test", "/svc-0999/items/1024");
  const auto exact = table_of({"*"}, paths);
  match("1,000 exact paths, the last", *exact, "bench.test", "/svc-0999/items");
  const auto hosts = table_of(domains, {route_to("/")});
  match("1,000 domains", *hosts, "svc-999.bench.test", "/items");
}

}  // namespace
}  // namespace ringside::perf

int main() { ringside::perf::run(); }
