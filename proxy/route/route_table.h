#pragma once
// Which route a request takes: virtual host by its authority, then the first route whose path condition holds. Immutable,
// shared by all workers; docs/routing.md has the rules and how the look-up stays flat with thousands of routes.
#include <expected>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "proxy/filters/filter_chain.h"
#include "proxy/header_edit.h"
#include "proxy/route/domain_index.h"
#include "proxy/route/path_index.h"
#include "proxy/specs.h"

namespace ringside {

// Where the data plane keeps each cluster.
using ClusterNames = std::unordered_map<std::string_view, uint32_t>;

class VirtualHost;

struct Route {
 public:
  const RouteSpec& spec() const { return *spec_; }
  const VirtualHost& virtual_host() const { return *virtual_host_; }
  // RouteSpec::cluster; meaningless with a direct response.
  uint32_t cluster_index() const { return cluster_index_; }
  // What table, virtual host and route change of the connection manager's filters.
  FilterChain::Mask filters_off() const { return filter_changes_.off; }
  const FilterSettings* filter_settings() const { return filter_changes_.settings.get(); }
  // prefix_rewrite and host_rewrite_literal. What was there before goes to x-envoy-original-path and -host, unless it is suppressed.
  enum class OriginalPath : bool { suppress, keep };
  void rewrite_target(Head& head, OriginalPath original) const;
  // The header edits of route, virtual host and table, in Envoy's order.
  void edit_request(Head& head, const AccessLogRecord& record, SecondCache& second) const;
  void edit_response(Head& head, const AccessLogRecord& record, SecondCache& second) const;

 private:
  friend class RouteTable;
  template <HeaderEdit HeaderEdits::*direction>
  void edit(HeaderMap& fields, const AccessLogRecord& record, SecondCache& second) const;

  const RouteSpec* spec_ = nullptr;
  const VirtualHost* virtual_host_ = nullptr;
  std::unique_ptr<const HeaderEdits> edits_;  // null: none
  uint32_t cluster_index_ = 0;
  FilterChanges filter_changes_;
};

class VirtualHost {
 public:
  const VirtualHostSpec& spec() const { return *spec_; }

 private:
  friend struct Route;
  friend class RouteTable;
  const VirtualHostSpec* spec_ = nullptr;
  const HeaderEdits* table_edits_ = nullptr;  // null: none
  std::unique_ptr<const HeaderEdits> edits_;  // null: none
  bool most_specific_wins_ = false;
  std::vector<Route> routes_;
  PathIndex index_;
  const Route* connect_ = nullptr;  // the first one for CONNECT
};

struct RouteMatch {
  const Route* route = nullptr;
  const VirtualHost* virtual_host = nullptr;  // null with a null route: no virtual host has that domain
};

struct RouteProblem {
  std::string where;  // file:line:column, or the virtual host
  std::string message;
};

class RouteTable {
 public:
  // Shares the spec. Errors: an unknown cluster, a domain twice, header edits that are not allowed.
  static std::expected<std::unique_ptr<const RouteTable>, RouteProblem> build(
      std::shared_ptr<const RouteConfigSpec> spec, const ClusterNames& clusters,
      std::span<const HttpFilterSpec> filters = {});
  RouteTable(const RouteTable&) = delete;
  RouteTable& operator=(const RouteTable&) = delete;

  // Both as TargetPolicy leaves them; `path` may have its query.
  RouteMatch match(std::string_view authority, std::string_view path) const;
  // Of a CONNECT: the first route that is for these.
  RouteMatch match_connect(std::string_view authority) const;
  const RouteConfigSpec& spec() const { return *spec_; }
  // Of the table itself, without the specs.
  size_t memory_bytes() const;

 private:
  RouteTable() = default;
  std::expected<void, RouteProblem> build_host(const VirtualHostSpec& spec, const ClusterNames& clusters,
                                              std::span<const HttpFilterSpec> filters);
  static std::expected<Route, RouteProblem> build_route(const RouteSpec& spec, const VirtualHost& host,
                                                        const ClusterNames& clusters);

  std::shared_ptr<const RouteConfigSpec> spec_;
  std::unique_ptr<const HeaderEdits> edits_;  // null: none
  std::vector<std::unique_ptr<VirtualHost>> hosts_;
  DomainIndex domains_;
};

}  // namespace ringside
