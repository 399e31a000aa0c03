#pragma once
// envoy.filters.http.grpc_web: browsers cannot read trailers, and some of their ways of reading want text. To the upstream such a
// call is one of gRPC; to the client, trailers are the last frame of the body, and where it asked for text, all is base64.
#include "proxy/filters/http_filter.h"

namespace ringside {

class GrpcWebFilter final : public HttpFilter {
 public:
  FilterPart* start(FilterHost& host, const Head& request) const override;
};

}  // namespace ringside
