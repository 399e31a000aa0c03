#pragma once
// Retry policies, and the conditions on header fields that they hold.
#include <memory>

#include "control/translate_context.h"
#include "proxy/specs.h"
#include "route.pb.h"

namespace ringside {

std::shared_ptr<const RetryPolicySpec> translate_retry_policy(TranslateContext& context,
                                                              const envoy::config::route::v3::RetryPolicy& policy);
HeaderMatchSpec translate_header_match(TranslateContext& context, const envoy::config::route::v3::HeaderMatcher& matcher);

}  // namespace ringside
