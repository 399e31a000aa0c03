#pragma once
// Which extensions a typed_config may name, and where: a filter in the wrong place is as wrong as an unknown one.
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <string>
#include <string_view>
#include <vector>

namespace ringside {

// The kinds of extension that one message takes.
struct ConfigTypeGroup {
  std::string_view field;  // full name of the Any's field
  std::string_view what;   // "a network filter"
  std::vector<const google::protobuf::Message*> prototypes;
};

// Null for a field that takes none.
const ConfigTypeGroup* find_type_group(const google::protobuf::FieldDescriptor& field);
// Every group, for a type that is known but stands in the wrong place.
const std::vector<ConfigTypeGroup>& type_groups();

// Whether ignoring this field would let through what somebody wanted to keep out: then it stays an error even when
// --allow-unknown-static-fields is given.
bool weakens_security(std::string_view field);

// Whether an extension that we do not have is there to keep something out: then is_optional does not help either.
bool guards_requests(std::string_view type);

}  // namespace ringside
