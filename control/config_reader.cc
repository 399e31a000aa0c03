#include "control/config_reader.h"

#include <fmt/format.h>
#include <google/protobuf/any.pb.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/duration.pb.h>
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/wrappers.pb.h>

#include <limits>
#include <utility>
#include <vector>

#include "control/config_struct.h"
#include "control/config_types.h"
#include "control/did_you_mean.h"
#include "control/upstream_fields.h"

namespace ringside {

namespace {

namespace pb = google::protobuf;

const pb::FieldDescriptor* find_field(const pb::Descriptor& descriptor, std::string_view name) {
  const std::string text(name);
  const pb::FieldDescriptor* field = descriptor.FindFieldByName(text);
  if (field == nullptr) field = descriptor.FindFieldByCamelcaseName(text);
  return field;
}

std::string_view what_it_is(const ConfigNode& node) {
  if (node.is_mapping()) return "a mapping";
  return node.is_sequence() ? "a list" : "a single value";
}

// A value as the last parameter of a setter of Reflection.
template <class V, class T>
V as_parameter(void (pb::Reflection::*)(pb::Message*, const pb::FieldDescriptor*, V) const, T value) {
  return static_cast<V>(std::move(value));
}

// A name of a value as it is compared: in any case, and with "-" for "_".
std::string enum_name(std::string_view text) {
  std::string name(text);
  for (char& c : name) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 32);
    if (c == '-') c = '_';
  }
  return name;
}

bool is_wrapper(const pb::Descriptor& descriptor) { return descriptor.file() == pb::BoolValue::descriptor()->file(); }

}  // namespace

void ConfigReader::fail(const ConfigNode& at, const Target& target, std::string what, std::string help) {
  errors_.error({.at = &at,
                 .path = places_.path(target.message, &target.field, target.index),
                 .what = std::move(what),
                 .help = std::move(help)});
  places_.mark_damaged(target.message);
  ++failures_;
}

void ConfigReader::read(const ConfigNode& root, pb::Message& into) {
  places_.add(into, {}, root);
  if (!root.is_mapping()) {
    errors_.error(
        {.at = &root, .path = {}, .what = fmt::format("expected a mapping, found {}", what_it_is(root)), .help = {}});
    return;
  }
  read_fields(root, into);
}

void ConfigReader::read_fields(const ConfigNode& node, pb::Message& message) {
  const pb::Descriptor& descriptor = *message.GetDescriptor();
  for (const ConfigItem* item = node.first; item != nullptr && !errors_.full(); item = item->next) {
    const pb::FieldDescriptor* field = find_field(descriptor, item->key->text);
    if (field == nullptr) {
      if (item->key->text != "@type") unknown_field(*item, message);
      continue;
    }
    if (!item->value->is_null()) read_field(*item, node, message, *field);
  }
}

void ConfigReader::read_field(const ConfigItem& item, const ConfigNode& mapping, pb::Message& message,
                              const Field& field) {
  if (!check_oneof(item, mapping, message, field)) return;
  const ConfigNode& value = *item.value;
  const Target target{message, field};
  if (field.is_map()) return read_map(value, message, field);
  if (field.is_repeated()) return read_list(value, message, field);
  if (field.cpp_type() != Field::CPPTYPE_MESSAGE) return read_scalar(value, message, field, target);
  pb::Message& child = *message.GetReflection()->MutableMessage(&message, &field);
  const uint64_t failures_before = failures_;
  if (!read_well_known(value, child, target)) {
    read_message(value, child, {.parent = &message, .field = &field});
  } else if (failures_ != failures_before && child.GetDescriptor() != pb::Any::descriptor()) {
    message.GetReflection()->ClearField(&message,
                                        &field);  // so that nobody complains about a zero that was never written
  }
}

// Both spellings of one field, or two fields of a oneof, in one mapping: one would win in silence.
bool ConfigReader::check_oneof(const ConfigItem& item, const ConfigNode& mapping, pb::Message& message,
                               const Field& field) {
  if (item.key->text != field.name() && mapping.find(field.name()) != nullptr) {
    fail(*item.key, {message, field},
         fmt::format("\"{}\" and \"{}\" are the same field: keep one", item.key->text, field.name()));
    return false;
  }
  const pb::OneofDescriptor* oneof = field.real_containing_oneof();
  if (oneof == nullptr) return true;
  const Field* set = message.GetReflection()->GetOneofFieldDescriptor(message, oneof);
  if (set == nullptr || set == &field) return true;
  const ConfigItem* other = find_field_item(mapping, *set);
  if (other == nullptr || other->value->is_null()) return true;  // set by an earlier source, which this one replaces
  fail(*item.key, {message, field},
       fmt::format("excludes \"{}\" on line {}: keep one of the two", set->name(), other->key->line));
  return false;
}

// --- Unknown fields ----------------------------------------------------------------------------------------------------

std::string ConfigReader::suggestion(std::string_view written, const pb::Message& message) const {
  const pb::Descriptor& descriptor = *message.GetDescriptor();
  std::vector<std::string> names;
  for (int i = 0; i < descriptor.field_count(); ++i) names.push_back(descriptor.field(i)->name());
  for (std::string& name : upstream_fields_of(descriptor.full_name())) names.push_back(std::move(name));
  std::string text = did_you_mean(written, names);
  if (!text.empty()) return text;
  // A level too high: the field belongs into one of the messages of this one.
  for (int i = 0; i < descriptor.field_count(); ++i) {
    const Field& field = *descriptor.field(i);
    if (field.cpp_type() != Field::CPPTYPE_MESSAGE || field.is_map() || is_wrapper(*field.message_type())) continue;
    if (field.message_type()->file()->package() == "google.protobuf") continue;
    if (find_field(*field.message_type(), written) != nullptr)
      return fmt::format(", it belongs in \"{}\"", field.name());
  }
  return {};
}

void ConfigReader::unknown_field(const ConfigItem& item, pb::Message& message) {
  const std::string_view name = item.key->text;
  const UpstreamField upstream = find_upstream_field(message.GetDescriptor()->full_name(), name);
  // Upstream's fields may be written with the value that says nothing.
  const ConfigNode& value = *item.value;
  const bool empty = value.is_null() || (value.is_sequence() && value.count == 0);
  if (upstream != UpstreamField::unknown && empty) return;
  if (upstream == UpstreamField::known_flag && value.is_scalar() && value.plain && value.text == "false") return;

  // The switch is for fields of a later upstream; in a message of our own such a field is a slip.
  const bool ours = message.GetDescriptor()->file()->package().starts_with("ringside.");
  const bool may_ignore = unknown_ == UnknownFields::warn && !ours && !weakens_security(name);
  const std::string_view ignored = may_ignore ? " and ignored" : "";
  ConfigProblem problem{.at = item.key, .path = places_.path(message), .what = {}, .help = {}};
  if (upstream != UpstreamField::unknown) {
    problem.what = fmt::format("field \"{}\" is not supported by this version of ringside{}", name, ignored);
    problem.help = "it exists in the v3 API, but to ignore it could change what you asked for";
  } else {
    problem.what = fmt::format("unknown field {}{}{}", quoted(name), ignored, suggestion(name, message));
  }
  places_.mark_damaged(message);
  if (may_ignore) return errors_.warning(std::move(problem));
  if (unknown_ == UnknownFields::warn) {
    problem.help = "to ignore it would weaken security: --allow-unknown-static-fields does not apply";
  }
  errors_.error(std::move(problem));
}

// --- Messages, lists and maps ------------------------------------------------------------------------------------------

void ConfigReader::read_message(const ConfigNode& node, pb::Message& message, const ConfigPlaces::Origin& origin) {
  places_.add(message, origin, node);
  if (node.is_mapping()) return read_fields(node, message);
  std::string help;
  if (node.is_sequence()) help = "one is enough: remove the \"-\" in front";
  errors_.error({.at = &node,
                 .path = places_.path(message),
                 .what = fmt::format("expected a mapping, found {}", what_it_is(node)),
                 .help = std::move(help)});
  places_.mark_damaged(message);
}

void ConfigReader::read_list(const ConfigNode& node, pb::Message& message, const Field& field) {
  if (!node.is_sequence()) {
    return fail(node, {message, field}, fmt::format("expected a list, found {}", what_it_is(node)),
                "put \"- \" in front of it");
  }
  for (const ConfigItem* item = node.first; item != nullptr && !errors_.full(); item = item->next) {
    const Target target{message, field, message.GetReflection()->FieldSize(message, &field)};
    if (item->value->is_null()) {
      fail(*item->value, target, "an item of a list may not be empty");
    } else if (field.cpp_type() != Field::CPPTYPE_MESSAGE) {
      read_scalar(*item->value, message, field, target);
    } else {
      pb::Message& child = *message.GetReflection()->AddMessage(&message, &field);
      if (!read_well_known(*item->value, child, target)) {
        read_message(*item->value, child, {.parent = &message, .field = &field, .index = target.index});
      }
    }
  }
}

// Maps of the schema have text keys and messages as values. An entry that an earlier source made is replaced.
void ConfigReader::read_map(const ConfigNode& node, pb::Message& message, const Field& field) {
  if (!node.is_mapping()) {
    return fail(node, {message, field}, fmt::format("expected a mapping, found {}", what_it_is(node)));
  }
  const pb::Reflection& reflection = *message.GetReflection();
  const Field& key_field = *field.message_type()->map_key();
  const Field& value_field = *field.message_type()->map_value();
  for (const ConfigItem* item = node.first; item != nullptr && !errors_.full(); item = item->next) {
    if (item->value->is_null()) continue;
    const std::string key(item->key->text);
    pb::Message* entry = nullptr;
    for (int i = 0; i < reflection.FieldSize(message, &field) && entry == nullptr; ++i) {
      pb::Message* candidate = reflection.MutableRepeatedMessage(&message, &field, i);
      if (candidate->GetReflection()->GetString(*candidate, &key_field) == key) entry = candidate;
    }
    if (entry == nullptr) entry = reflection.AddMessage(&message, &field);
    entry->GetReflection()->SetString(entry, &key_field, key);
    pb::Message& value = *entry->GetReflection()->MutableMessage(entry, &value_field);
    value.Clear();
    const ConfigPlaces::Origin origin{.parent = &message, .field = &field, .map_key = item->key->text};
    if (value_field.message_type() == pb::Any::descriptor()) {
      read_any(*item->value, value, origin);
    } else if (!read_well_known(*item->value, value, {message, field})) {
      read_message(*item->value, value, origin);
    }
  }
}

// --- Forms of their own ------------------------------------------------------------------------------------------------

bool ConfigReader::read_well_known(const ConfigNode& node, pb::Message& message, const Target& target) {
  const pb::Descriptor& descriptor = *message.GetDescriptor();
  if (&descriptor == pb::Duration::descriptor()) {
    read_duration(node, message, target);
  } else if (is_wrapper(descriptor)) {
    read_scalar(node, message, *descriptor.FindFieldByNumber(pb::BoolValue::kValueFieldNumber), target);
  } else if (&descriptor == pb::Struct::descriptor()) {
    auto& fields = static_cast<pb::Struct&>(message);
    if (!node.is_mapping()) {
      fail(node, target, fmt::format("expected a mapping, found {}", what_it_is(node)));
    } else {
      read_struct(node, fields);
    }
  } else if (&descriptor == pb::Any::descriptor()) {
    read_any(node, message, {.parent = &target.message, .field = &target.field, .index = target.index});
  } else {
    return false;
  }
  return true;
}

void ConfigReader::read_duration(const ConfigNode& node, pb::Message& message, const Target& target) {
  if (!node.is_scalar())
    return fail(node, target, fmt::format("expected a duration such as 1.5s, found {}", what_it_is(node)));
  take(node, target, scalar_duration(node), [&message](const DurationText& value) {
    auto& duration = static_cast<pb::Duration&>(message);
    duration.set_seconds(value.seconds);
    duration.set_nanos(value.nanos);
  });
}

void ConfigReader::read_scalar(const ConfigNode& node, pb::Message& message, const Field& field, const Target& target) {
  if (!node.is_scalar()) {
    return fail(node, target, fmt::format("expected a single value, found {}", what_it_is(node)));
  }
  const pb::Reflection& reflection = *message.GetReflection();
  const bool add = field.is_repeated();
  const auto store = [&](auto set_one, auto add_one) {
    return [&, set_one, add_one](auto value) {
      // The reader has checked the range; only the width differs.
      (reflection.*(add ? add_one : set_one))(&message, &field, as_parameter(set_one, std::move(value)));
    };
  };
  using R = pb::Reflection;
  switch (field.cpp_type()) {
    case Field::CPPTYPE_BOOL: return take(node, target, scalar_bool(node), store(&R::SetBool, &R::AddBool));
    case Field::CPPTYPE_INT32:
      return take(node, target,
                  scalar_signed(node, std::numeric_limits<int32_t>::min(), std::numeric_limits<int32_t>::max()),
                  store(&R::SetInt32, &R::AddInt32));
    case Field::CPPTYPE_INT64:
      return take(node, target,
                  scalar_signed(node, std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max()),
                  store(&R::SetInt64, &R::AddInt64));
    case Field::CPPTYPE_UINT32:
      return take(node, target, scalar_unsigned(node, std::numeric_limits<uint32_t>::max()),
                  store(&R::SetUInt32, &R::AddUInt32));
    case Field::CPPTYPE_UINT64:
      return take(node, target, scalar_unsigned(node, std::numeric_limits<uint64_t>::max()),
                  store(&R::SetUInt64, &R::AddUInt64));
    case Field::CPPTYPE_DOUBLE: return take(node, target, scalar_double(node), store(&R::SetDouble, &R::AddDouble));
    case Field::CPPTYPE_FLOAT:
      return take(node, target, scalar_double(node), [&](double value) {
        add ? reflection.AddFloat(&message, &field, static_cast<float>(value))
            : reflection.SetFloat(&message, &field, static_cast<float>(value));
      });
    case Field::CPPTYPE_ENUM: return read_enum(node, message, field, target);
    case Field::CPPTYPE_STRING: {
      const bool bytes = field.type() == Field::TYPE_BYTES;
      return take(node, target, bytes ? scalar_bytes(node) : Scalar<std::string>(node.text),
                  store(&R::SetString, &R::AddString));
    }
    case Field::CPPTYPE_MESSAGE: return;  // not a scalar: never asked
  }
}

void ConfigReader::read_enum(const ConfigNode& node, pb::Message& message, const Field& field, const Target& target) {
  const pb::EnumDescriptor& type = *field.enum_type();
  const pb::EnumValueDescriptor* value = nullptr;
  for (int i = 0; i < type.value_count() && value == nullptr; ++i) {
    if (enum_name(type.value(i)->name()) == enum_name(node.text)) value = type.value(i);
  }
  if (value == nullptr) {
    const auto number = scalar_signed(node, 0, std::numeric_limits<int32_t>::max());
    if (number) value = type.FindValueByNumber(static_cast<int>(*number));
  }
  if (value == nullptr) {
    std::vector<std::string> names;
    for (int i = 0; i < type.value_count(); ++i) names.push_back(type.value(i)->name());
    const std::string all = fmt::format("there are {}", fmt::join(names, ", "));
    const std::string closest = did_you_mean(node.text, names);
    return fail(node, target,
                fmt::format("unknown value {}{}", quoted(node.text), closest.empty() ? ", " + all : closest), all);
  }
  const pb::Reflection& reflection = *message.GetReflection();
  field.is_repeated() ? reflection.AddEnum(&message, &field, value) : reflection.SetEnum(&message, &field, value);
}

// --- Any ---------------------------------------------------------------------------------------------------------------

void ConfigReader::read_any(const ConfigNode& node, pb::Message& message, const ConfigPlaces::Origin& origin) {
  auto& any = static_cast<pb::Any&>(message);
  const Target target{*origin.parent, *origin.field, origin.index};
  if (!node.is_mapping()) {
    return fail(node, target, fmt::format("expected a mapping with \"@type\", found {}", what_it_is(node)));
  }
  const ConfigItem* type = node.find("@type");
  if (type == nullptr) {
    return fail(node, target, "\"@type\" is missing",
                "it says what the other fields mean: \"@type\": type.googleapis.com/...");
  }
  const pb::Message* prototype = find_type(*type->value, target);
  if (prototype == nullptr) return;
  pb::Message* typed = prototype->New(&arena_);
  any.set_type_url(std::string(type->value->text));
  origin.map_key.empty() ? places_.set_typed(any, *typed)
                         : places_.set_typed_in_map(*origin.parent, origin.map_key, *typed);
  places_.add(*typed, origin, node);
  read_fields(node, *typed);
}

const pb::Message* ConfigReader::find_type(const ConfigNode& type, const Target& target) {
  const ConfigTypeGroup* group = find_type_group(target.field);
  if (!type.is_scalar() || group == nullptr) {
    fail(type, target, "expected the name of a type");
    return nullptr;
  }
  const size_t slash = type.text.rfind('/');
  const bool has_host = slash != type.text.npos && slash > 0;
  const std::string_view name = has_host ? type.text.substr(slash + 1) : std::string_view();
  std::vector<std::string> names;
  for (const pb::Message* prototype : group->prototypes) {
    const std::string& full_name = prototype->GetDescriptor()->full_name();
    if (full_name == name) return prototype;
    names.push_back("type.googleapis.com/" + full_name);
  }
  for (const ConfigTypeGroup& other : type_groups()) {
    for (const pb::Message* prototype : other.prototypes) {
      if (prototype->GetDescriptor()->full_name() != name) continue;
      fail(type, target, fmt::format("{} is {}, here goes {}", quoted(name), other.what, group->what),
           fmt::format("there are {}", fmt::join(names, ", ")));
      return nullptr;
    }
  }
  unknown_type(type, target, names);
  return nullptr;
}

// "Router"; "grpc_stats.v3.FilterConfig" where the last part alone says nothing.
static std::string_view short_type_name(std::string_view name) {
  const size_t last = name.rfind('.');
  const std::string_view part = name.substr(last + 1);
  if (part != "Config" && part != "FilterConfig") return part;
  return name.substr(name.rfind('.', name.rfind('.', last - 1) - 1) + 1);
}

void ConfigReader::unknown_type(const ConfigNode& type, const Target& target, const std::vector<std::string>& names) {
  const std::string closest = did_you_mean(type.text, names);
  std::vector<std::string_view> short_names;
  for (const std::string& name : names) short_names.push_back(short_type_name(name));
  ConfigProblem problem{
      .at = &type,
      .path = places_.path(target.message, &target.field, target.index),
      .what = closest.empty() ? fmt::format("type {} is not supported by this version of ringside, here it knows {}",
                                            quoted(type.text), fmt::join(short_names, ", "))
                              : fmt::format("unknown type {}{}", quoted(type.text), closest),
      .help = fmt::format("supported here: {}", fmt::join(names, ", "))};
  places_.mark_damaged(target.message);
  // Who wrote is_optional wants to go on without this extension where it does not exist; but not without protection.
  const ConfigNode* holder = places_.find(target.message);
  const ConfigItem* optional = holder == nullptr ? nullptr : holder->find("is_optional");
  if (optional == nullptr || !optional->value->is_scalar() || !scalar_bool(*optional->value).value_or(false)) {
    return errors_.error(std::move(problem));
  }
  if (!guards_requests(type.text)) return errors_.warning(std::move(problem));
  problem.help = "is_optional does not apply: to go on without this extension would weaken security";
  errors_.error(std::move(problem));
}

}  // namespace ringside
