#pragma once
// The HTTP filters of a connection manager, and what routes say about them.
#include <algorithm>
#include <string>
#include <vector>

#include "control/translate_context.h"
#include "http_connection_manager.pb.h"
#include "proxy/specs.h"

namespace ringside {

// The router, and in front of it the others.
void translate_filters(
    TranslateContext& context,
    const envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager& manager,
    HttpManagerSpec& spec);

// typed_per_filter_config of a route, virtual host or table.
FilterChangesSpec translate_filter_changes(TranslateContext& context, const google::protobuf::Message& holder, int number,
                                           const std::vector<std::string>& keys);

// The keys of such a map, in a lasting order.
template <class Map>
std::vector<std::string> keys_of(const Map& map) {
  std::vector<std::string> keys;
  for (const auto& [key, unused] : map) keys.push_back(key);
  std::sort(keys.begin(), keys.end());
  return keys;
}

}  // namespace ringside
