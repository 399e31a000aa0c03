#pragma once
// Health: what the configuration says of endpoints, and how they are checked.
#include "cluster.pb.h"
#include "control/translate_context.h"
#include "endpoint.pb.h"
#include "proxy/specs.h"

namespace ringside {

void translate_endpoint_health(TranslateContext& context, const envoy::config::endpoint::v3::LbEndpoint& endpoint,
                               EndpointHealthSpec& spec);
// Into the spec of the cluster, whose transport socket and name are known.
void translate_health(TranslateContext& context, const envoy::config::cluster::v3::Cluster& cluster, ClusterSpec& spec);

}  // namespace ringside
