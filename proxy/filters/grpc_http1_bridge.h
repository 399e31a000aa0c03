#pragma once
// envoy.filters.http.grpc_http1_bridge: for clients of HTTP/1.1 that cannot read trailers. The answer is kept until it is whole, then its
// status stands in the head. Where configured, a body of bare protobuf gets the frame of a message, and its answer comes without it.
#include "proxy/filters/http_filter.h"
#include "proxy/specs.h"

namespace ringside {

class GrpcHttp1BridgeFilter final : public HttpFilter {
 public:
  explicit GrpcHttp1BridgeFilter(const GrpcHttp1BridgeSpec& spec) : spec_(spec) {}
  FilterPart* start(FilterHost& host, const Head& request) const override;

 private:
  GrpcHttp1BridgeSpec spec_;
};

}  // namespace ringside
