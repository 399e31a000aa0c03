#pragma once
// The HTTP connection manager with its filters and routes.
#include "control/translate_context.h"
#include "http_connection_manager.pb.h"
#include "proxy/specs.h"

namespace ringside {

HttpManagerSpec translate_http_manager(
    TranslateContext& context,
    const envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager& manager);

}  // namespace ringside
