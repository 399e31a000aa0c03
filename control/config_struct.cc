#include "control/config_struct.h"

#include <string>

#include "control/config_scalars.h"

namespace ringside {

namespace {

namespace pb = google::protobuf;

void read_untyped_scalar(const ConfigNode& node, pb::Value& into) {
  if (node.is_null()) {
    into.set_null_value(pb::NULL_VALUE);
  } else if (node.plain && (node.text == "true" || node.text == "false")) {
    into.set_bool_value(node.text == "true");
  } else if (const auto number = scalar_double(node); node.plain && number) {
    into.set_number_value(*number);
  } else {
    into.set_string_value(std::string(node.text));
  }
}

void read_value(const ConfigNode& node, pb::Value& into) {
  switch (node.kind) {
    case ConfigNode::Kind::scalar: return read_untyped_scalar(node, into);
    case ConfigNode::Kind::mapping: return read_struct(node, *into.mutable_struct_value());
    case ConfigNode::Kind::sequence:
      into.mutable_list_value();
      for (const ConfigItem* item = node.first; item != nullptr; item = item->next) {
        read_value(*item->value, *into.mutable_list_value()->add_values());
      }
      return;
  }
}

}  // namespace

void read_struct(const ConfigNode& node, google::protobuf::Struct& into) {
  for (const ConfigItem* item = node.first; item != nullptr; item = item->next) {
    pb::Value& value = (*into.mutable_fields())[std::string(item->key->text)];
    value.Clear();
    read_value(*item->value, value);
  }
}

}  // namespace ringside
