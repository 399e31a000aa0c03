#pragma once
// envoy.filters.http.grpc_stats: calls and messages of gRPC, counted for the cluster. Messages are counted where they begin, wherever the
// pieces are cut; nothing is copied or kept.
#include <string>
#include <utility>
#include <vector>

#include "proxy/filters/http_filter.h"
#include "proxy/specs.h"

namespace ringside {

class GrpcStatsFilter final : public HttpFilter {
 public:
  explicit GrpcStatsFilter(const GrpcStatsSpec& spec);
  FilterPart* start(FilterHost& host, const Head& request) const override;

 private:
  bool all_methods_;
  bool upstream_time_;
  bool replace_dots_;
  std::vector<std::pair<std::string, std::string>> listed_;  // (service, method), sorted
};

}  // namespace ringside
