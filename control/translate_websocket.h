#pragma once
// ringside.websocket.v1.WebSocketInspection
#include "control/translate_context.h"
#include "proxy/specs.h"
#include "ringside_websocket.pb.h"

namespace ringside {

WebSocketSpec translate_websocket(TranslateContext& context, const websocket::v1::WebSocketInspection& config);

}  // namespace ringside
