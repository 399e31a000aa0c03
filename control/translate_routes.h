#pragma once
// Route configurations: virtual hosts, their domains and routes, header changes.
#include "control/translate_context.h"
#include "proxy/specs.h"
#include "route.pb.h"

namespace ringside {

RouteConfigSpec translate_route_config(TranslateContext& context,
                                       const envoy::config::route::v3::RouteConfiguration& config);

}  // namespace ringside
