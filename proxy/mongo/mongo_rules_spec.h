#pragma once
// What the rules of a MongoDB filter are made of.

namespace ringside {

struct MongoRulesSpec {};

}  // namespace ringside
