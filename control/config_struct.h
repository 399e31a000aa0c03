#pragma once
// A tree as google.protobuf.Struct, where no field says what a scalar is: YAML's core schema decides (null, booleans, numbers).
#include <google/protobuf/struct.pb.h>

#include "control/config_tree.h"

namespace ringside {

// `node` is a mapping. What is there already by the same key is replaced.
void read_struct(const ConfigNode& node, google::protobuf::Struct& into);

}  // namespace ringside
