#pragma once
// The MongoDB filter of a listener's filter chain.
#include <memory>

#include "control/translate_context.h"
#include "mongo_proxy.pb.h"
#include "proxy/specs.h"
#include "types.pb.h"

namespace ringside {

FractionSpec translate_fraction(const envoy::type::v3::FractionalPercent& fraction);

std::shared_ptr<MongoSpec> translate_mongo_proxy(
    TranslateContext& context, const envoy::extensions::filters::network::mongo_proxy::v3::MongoProxy& proxy);

}  // namespace ringside
