#pragma once
// Listeners with the filter that handles their connections.
#include <vector>

#include "control/translate_context.h"
#include "listener.pb.h"
#include "proxy/specs.h"

namespace ringside {

std::vector<ListenerSpec> translate_listeners(
    TranslateContext& context,
    const google::protobuf::RepeatedPtrField<envoy::config::listener::v3::Listener>& listeners);

}  // namespace ringside
