#include "proxy/http_manager.h"

#include <ifaddrs.h>

#include "proxy/h2_options.h"

namespace ringside {
namespace {

// The first address of this machine that others can reach, as Envoy's "local address".
Address node_address() {
  Address found = *Address::from_ip("127.0.0.1", 0);
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return found;
  for (const ifaddrs* at = list; at != nullptr; at = at->ifa_next) {
    if (at->ifa_addr == nullptr || at->ifa_addr->sa_family != AF_INET) continue;
    const Address address = Address::from_sockaddr(at->ifa_addr, sizeof(sockaddr_in));
    if (address.is_loopback()) continue;
    found = address;
    break;
  }
  freeifaddrs(list);
  return found;
}

H1Limits h1_limits_of(const HttpManagerSpec& spec) {
  H1Limits limits;
  limits.header_bytes_max = spec.request_headers_kb_max * 1024;
  limits.header_count_max = spec.protocol.headers_count_max;
  limits.accept_http_10 = spec.http1.accept_http_10;
  limits.allow_absolute_url = spec.http1.allow_absolute_url;
  limits.enable_trailers = spec.http1.enable_trailers;
  limits.default_host_for_http_10 = spec.http1.default_host_for_http_10;
  switch (spec.protocol.underscore) {
    case UnderscoreAction::allow:
      limits.underscore = H1Underscore::allow;
      break;
    case UnderscoreAction::reject_request:
      limits.underscore = H1Underscore::reject;
      break;
    case UnderscoreAction::drop_header:
      limits.underscore = H1Underscore::drop;
      break;
  }
  return limits;
}

H2Limits h2_limits_of(const HttpManagerSpec& spec) {
  H2Limits limits = h2_limits_of(spec.http2);
  limits.header_bytes_max = spec.request_headers_kb_max * 1024;
  limits.header_count_max = spec.protocol.headers_count_max;
  switch (spec.protocol.underscore) {
    case UnderscoreAction::allow:
      limits.underscore = H2Underscore::allow;
      break;
    case UnderscoreAction::reject_request:
      limits.underscore = H2Underscore::reject;
      break;
    case UnderscoreAction::drop_header:
      limits.underscore = H2Underscore::drop;
      break;
  }
  return limits;
}

}  // namespace

HttpManager::HttpManager(std::shared_ptr<const HttpManagerSpec> spec, const NodeSpec& node,
                         std::unique_ptr<const RouteTable> routes)
    : spec_(std::move(spec)),
      routes_(std::move(routes)),
      filters_(spec_->filters.empty() ? nullptr : std::make_unique<const FilterChain>(spec_->filters)),
      target_(*spec_),
      forwarding_(*spec_, node, node_address()),
      h1_limits_(h1_limits_of(*spec_)),
      h2_limits_(h2_limits_of(*spec_)) {}

std::expected<std::shared_ptr<const HttpManager>, std::string> HttpManager::build(
    std::shared_ptr<const HttpManagerSpec> spec, const NodeSpec& node, const ClusterNames& clusters) {
  // The table shares the connection manager's spec: its routes live inside.
  auto routes = RouteTable::build(std::shared_ptr<const RouteConfigSpec>(spec, &spec->routes), clusters, spec->filters);
  if (!routes) return std::unexpected(routes.error().where + ": " + routes.error().message);
  return std::shared_ptr<const HttpManager>(new HttpManager(std::move(spec), node, std::move(*routes)));
}

}  // namespace ringside
