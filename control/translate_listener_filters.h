#pragma once
// What looks at connections before a filter chain takes them.
#include "control/translate_context.h"
#include "listener.pb.h"
#include "proxy/specs.h"

namespace ringside {

// After the filter chains, whose matches may need a filter that is not there, which is a warning.
void translate_listener_filters(TranslateContext& context, const envoy::config::listener::v3::Listener& listener,
                                ListenerSpec& spec);

}  // namespace ringside
