#pragma once
// The rules behind a MongoDB filter.
#include "control/translate_context.h"
#include "proxy/specs.h"
#include "ringside_mongo.pb.h"

namespace ringside {

// Into the filter that reads the messages.
void translate_mongo_rules(TranslateContext& context, const mongo::v1::MongoRules& rules, MongoSpec& into);

}  // namespace ringside
