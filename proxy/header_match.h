#pragma once
// Whether the fields of a message meet a condition of the configuration.
#include "codecs/header_map.h"
#include "proxy/specs.h"

namespace ringside {

bool matches(const HeaderMatchSpec& spec, const HeaderMap& fields);

}  // namespace ringside
