#pragma once
// Which connections a filter chain takes.
#include "control/translate_context.h"
#include "listener.pb.h"
#include "proxy/specs.h"

namespace ringside {

FilterChainMatchSpec translate_filter_chain_match(TranslateContext& context,
                                                  const envoy::config::listener::v3::FilterChainMatch& match);

}  // namespace ringside
