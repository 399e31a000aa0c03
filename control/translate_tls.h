#pragma once
// Transport sockets: from the messages and the files that they name to a context that is ready for connections.
#include "control/translate_context.h"
#include "core.pb.h"
#include "proxy/specs.h"

namespace ringside {

// The context of a filter chain, for listeners; null for plain bytes, and when something was wrong, which is reported. Which
// filter takes the connections must be known before.
TlsContextPtr translate_downstream_socket(TranslateContext& context, const envoy::config::core::v3::TransportSocket& socket,
                                          const FilterChainSpec& chain);
// Likewise for a cluster, whose protocol and auto_names must be known before.
UpstreamSocketSpec translate_upstream_socket(TranslateContext& context, const envoy::config::core::v3::TransportSocket& socket,
                                             const ClusterSpec& cluster);

}  // namespace ringside
