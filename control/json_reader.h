#pragma once
// JSON text (RFC 8259) to a ConfigNode tree, with the same limits, positions and checks as the YAML reader. YAML readers take
// most of JSON but not all of it (surrogate pairs, tabs, long keys), hence a reader of its own.
#include "control/config_error.h"
#include "control/config_tree.h"

namespace ringside {

// As read_yaml(). With `report` no, errors are not added: to try whether a text is JSON.
enum class JsonReport : uint8_t { no, yes };
bool read_json(ConfigDocument& document, ConfigErrorList& errors, JsonReport report = JsonReport::yes);

}  // namespace ringside
