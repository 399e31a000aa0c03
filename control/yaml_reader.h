#pragma once
// YAML text to a ConfigNode tree: anchors, aliases and merge keys resolved, duplicate keys and every syntax error reported
// with their place. Safe on hostile input: size, depth and the growth by aliases are limited.
#include "control/config_error.h"
#include "control/config_tree.h"

namespace ringside {

// Sets the root of the document and returns yes, or adds at least one error and returns no. A document with errors in single
// places (a duplicate key) still gets a root, so that its other errors are found in the same run.
bool read_yaml(ConfigDocument& document, ConfigErrorList& errors);

// Adds the error that both readers give for text that is too large, holds a NUL or is not UTF-8.
bool check_config_text(const ConfigDocument& document, ConfigErrorList& errors);

// Adds an error for each key that is there twice; used by both readers for each mapping that they complete.
void check_duplicate_keys(const ConfigNode& mapping, ConfigErrorList& errors);

}  // namespace ringside
