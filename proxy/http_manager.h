#pragma once
// A connection manager compiled from its spec: immutable, shared by all workers.
#include <expected>
#include <memory>
#include <string>

#include "codecs/http1/h1_limits.h"
#include "codecs/http2/h2_limits.h"
#include "proxy/filters/filter_chain.h"
#include "proxy/forwarding_headers.h"
#include "proxy/http_target.h"
#include "proxy/route/route_table.h"
#include "proxy/specs.h"

namespace ringside {

class HttpManager {
 public:
  static std::expected<std::shared_ptr<const HttpManager>, std::string> build(std::shared_ptr<const HttpManagerSpec> spec,
                                                                               const NodeSpec& node,
                                                                               const ClusterNames& clusters);
  const HttpManagerSpec& spec() const { return *spec_; }
  const RouteTable& routes() const { return *routes_; }
  // Null: the router alone.
  const FilterChain* filters() const { return filters_.get(); }
  const TargetPolicy& target() const { return target_; }
  const ForwardingPolicy& forwarding() const { return forwarding_; }
  const H1Limits& h1_limits() const { return h1_limits_; }
  const H2Limits& h2_limits() const { return h2_limits_; }

 private:
  HttpManager(std::shared_ptr<const HttpManagerSpec> spec, const NodeSpec& node, std::unique_ptr<const RouteTable> routes);

  std::shared_ptr<const HttpManagerSpec> spec_;
  std::unique_ptr<const RouteTable> routes_;
  std::unique_ptr<const FilterChain> filters_;
  TargetPolicy target_;
  ForwardingPolicy forwarding_;
  H1Limits h1_limits_;
  H2Limits h2_limits_;
};

}  // namespace ringside
