#include "proxy/route/route_table.h"

#include "proxy/http_target.h"

namespace ringside {
namespace {

// Null when the place edits nothing, so that most routes cost a pointer.
std::expected<std::unique_ptr<const HeaderEdits>, RouteProblem> build_edits(const HeaderEditSpec& spec,
                                                                            std::string_view where) {
  if (spec.empty()) return nullptr;
  auto edits = HeaderEdits::build(spec);
  if (!edits) return std::unexpected(RouteProblem{std::string(where), edits.error()});
  return std::make_unique<const HeaderEdits>(std::move(*edits));
}

// What a rewrite puts into a request must be fit to be sent.
std::string_view rewrite_problem(const RouteSpec& spec) {
  if (!spec.host_rewrite_literal.empty() && !parse_authority(spec.host_rewrite_literal))
    return "host_rewrite_literal is not a host";
  if (spec.prefix_rewrite.empty()) return {};
  if (!spec.prefix_rewrite.starts_with('/')) return "prefix_rewrite must begin with a slash";
  for (const char c : spec.prefix_rewrite)
    if (c <= ' ' || c >= 0x7f || c == '#') return "prefix_rewrite has a character that no path has";
  return {};
}

}  // namespace

// --- Route -----------------------------------------------------------------------------------------------------------

void Route::rewrite_target(Head& head, OriginalPath original) const {
  Arena& arena = head.fields.arena();
  if (!spec_->host_rewrite_literal.empty()) {
    if (original == OriginalPath::keep) head.fields.set("x-envoy-original-host", head.authority);
    head.authority = spec_->host_rewrite_literal;
  }
  if (spec_->prefix_rewrite.empty()) return;
  if (original == OriginalPath::keep) head.fields.set(HeaderId::x_envoy_original_path, head.path);
  head.path = rewrite_prefix(head.path, spec_->match_path.size(), spec_->prefix_rewrite, arena);
}

// Envoy: the most specific place first, so that the least specific has the last word, unless the table says otherwise.
template <HeaderEdit HeaderEdits::*direction>
void Route::edit(HeaderMap& fields, const AccessLogRecord& record, SecondCache& second) const {
  const HeaderEdits* places[] = {edits_.get(), virtual_host_->edits_.get(), virtual_host_->table_edits_};
  if (virtual_host_->most_specific_wins_) std::swap(places[0], places[2]);
  for (const HeaderEdits* edits : places)
    if (edits != nullptr) (edits->*direction).apply(fields, record, second);
}

void Route::edit_request(Head& head, const AccessLogRecord& record, SecondCache& second) const {
  edit<&HeaderEdits::request>(head.fields, record, second);
}

void Route::edit_response(Head& head, const AccessLogRecord& record, SecondCache& second) const {
  edit<&HeaderEdits::response>(head.fields, record, second);
}

// --- RouteTable ------------------------------------------------------------------------------------------------------

std::expected<std::unique_ptr<const RouteTable>, RouteProblem> RouteTable::build(
    std::shared_ptr<const RouteConfigSpec> spec, const ClusterNames& clusters, std::span<const HttpFilterSpec> filters) {
  std::unique_ptr<RouteTable> table(new RouteTable());
  table->spec_ = std::move(spec);
  const RouteConfigSpec& config = *table->spec_;
  auto edits = build_edits(config.headers, "route configuration " + config.name);
  if (!edits) return std::unexpected(edits.error());
  table->edits_ = std::move(*edits);
  std::vector<DomainIndex::Domain> domains;
  for (const VirtualHostSpec& host : config.virtual_hosts) {
    for (const std::string& domain : host.domains)
      domains.push_back({domain, static_cast<uint32_t>(table->hosts_.size())});
    if (auto built = table->build_host(host, clusters, filters); !built) return std::unexpected(built.error());
  }
  auto index = DomainIndex::build(domains, config.ignore_port_in_host_matching ? HostPort::ignore : HostPort::compare);
  if (!index) return std::unexpected(RouteProblem{"route configuration " + config.name, index.error()});
  table->domains_ = std::move(*index);
  return table;
}

std::expected<void, RouteProblem> RouteTable::build_host(const VirtualHostSpec& spec, const ClusterNames& clusters,
                                                        std::span<const HttpFilterSpec> filters) {
  auto host = std::make_unique<VirtualHost>();
  host->spec_ = &spec;
  host->table_edits_ = edits_.get();
  host->most_specific_wins_ = spec_->most_specific_header_mutations_wins;
  auto edits = build_edits(spec.headers, "virtual host " + spec.name);
  if (!edits) return std::unexpected(edits.error());
  host->edits_ = std::move(*edits);
  host->routes_.reserve(spec.routes.size());
  auto table_changes = FilterChanges::none(filters).inside(filters, spec_->filters);
  if (!table_changes) return std::unexpected(RouteProblem{"route configuration " + spec_->name, table_changes.error()});
  auto host_changes = table_changes->inside(filters, spec.filters);
  if (!host_changes) return std::unexpected(RouteProblem{"virtual host " + spec.name, host_changes.error()});
  for (const RouteSpec& route_spec : spec.routes) {
    auto route = build_route(route_spec, *host, clusters);
    if (!route) return std::unexpected(route.error());
    auto changes = host_changes->inside(filters, route_spec.filters);
    if (!changes) return std::unexpected(RouteProblem{route_spec.where, changes.error()});
    route->filter_changes_ = *std::move(changes);
    host->routes_.push_back(std::move(*route));
  }
  host->index_ = PathIndex(spec.routes);
  for (const Route& route : host->routes_)
    if (host->connect_ == nullptr && route.spec().match_kind == PathMatchKind::connect) host->connect_ = &route;
  hosts_.push_back(std::move(host));
  return {};
}

std::expected<Route, RouteProblem> RouteTable::build_route(const RouteSpec& spec, const VirtualHost& host,
                                                           const ClusterNames& clusters) {
  Route route;
  route.spec_ = &spec;
  route.virtual_host_ = &host;
  const std::string where = spec.where.empty() ? "virtual host " + host.spec().name : spec.where;
  if (const std::string_view problem = rewrite_problem(spec); !problem.empty())
    return std::unexpected(RouteProblem{where, std::string(problem)});
  auto edits = build_edits(spec.headers, where);
  if (!edits) return std::unexpected(edits.error());
  route.edits_ = std::move(*edits);
  if (spec.direct_response.has_value()) return route;
  const auto cluster = clusters.find(spec.cluster);
  if (cluster == clusters.end())
    return std::unexpected(RouteProblem{where, "unknown cluster \"" + spec.cluster + "\""});
  route.cluster_index_ = cluster->second;
  return route;
}

RouteMatch RouteTable::match(std::string_view authority, std::string_view path) const {
  const uint32_t host_index = domains_.match(authority);
  if (host_index == DomainIndex::none) return {};
  const VirtualHost& host = *hosts_[host_index];
  const uint32_t route = host.index_.match(path_without_query(path));
  return {route == PathIndex::none ? nullptr : &host.routes_[route], &host};
}

RouteMatch RouteTable::match_connect(std::string_view authority) const {
  const uint32_t host_index = domains_.match(authority);
  if (host_index == DomainIndex::none) return {};
  return {hosts_[host_index]->connect_, hosts_[host_index].get()};
}

size_t RouteTable::memory_bytes() const {
  size_t bytes = sizeof *this + hosts_.capacity() * sizeof hosts_[0] + domains_.memory_bytes();
  for (const auto& host : hosts_)
    bytes += sizeof *host + host->routes_.capacity() * sizeof(Route) + host->index_.memory_bytes();
  return bytes;
}

}  // namespace ringside
