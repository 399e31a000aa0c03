#pragma once
// Clusters with their endpoints and limits.
#include <vector>

#include "cluster.pb.h"
#include "control/translate_context.h"
#include "proxy/specs.h"

namespace ringside {

// Also makes their names known to the context, so that routes can be checked afterwards.
std::vector<ClusterSpec> translate_clusters(
    TranslateContext& context, const google::protobuf::RepeatedPtrField<envoy::config::cluster::v3::Cluster>& clusters);

}  // namespace ringside
