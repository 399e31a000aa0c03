#pragma once
// ringside.websocket: looks into WebSockets. Checks who asks and for what, then puts a WebSocketWatch on the connection.
#include <string_view>
#include <vector>

#include "proxy/filters/http_filter.h"
#include "proxy/specs.h"
#include "proxy/text_matcher.h"

namespace ringside {

class WebSocketInspection final : public HttpFilter {
 public:
  explicit WebSocketInspection(const WebSocketSpec& spec);
  FilterPart* start(FilterHost& host, const Head& request) const override;

  const WebSocketSpec& spec() const { return spec_; }
  bool takes_origin(std::string_view origin) const;
  bool takes_subprotocol(std::string_view protocol) const;

 private:
  WebSocketSpec spec_;
  std::vector<TextMatcher> origins_;
};

}  // namespace ringside
