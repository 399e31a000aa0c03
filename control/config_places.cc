#include "control/config_places.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

namespace ringside {

const ConfigItem* find_field_item(const ConfigNode& mapping, const google::protobuf::FieldDescriptor& field) {
  const ConfigItem* item = mapping.find(field.name());
  return item != nullptr ? item : mapping.find(field.json_name());
}

void ConfigPlaces::add(const Message& message, const Origin& origin, const ConfigNode& node) {
  Entry& entry = entries_[&message];
  if (entry.node != nullptr) {
    older_.emplace(&message, entry.node);
    entry.several = true;
  }
  entry.origin = origin;
  entry.node = &node;
}

void ConfigPlaces::mark_damaged(const Message& message) { entries_[&message].damaged = true; }

bool ConfigPlaces::damaged(const Message& message) const {
  const auto entry = entries_.find(&message);
  return entry != entries_.end() && entry->second.damaged;
}

const google::protobuf::Message* ConfigPlaces::typed(const google::protobuf::Any& any) const {
  const auto found = typed_.find(&any);
  return found == typed_.end() ? nullptr : found->second;
}

void ConfigPlaces::set_typed_in_map(const Message& message, std::string_view key, const Message& typed) {
  typed_in_maps_[{&message, std::string(key)}] = &typed;
}

const google::protobuf::Message* ConfigPlaces::typed_in_map(const Message& message, std::string_view key) const {
  const auto found = typed_in_maps_.find({&message, std::string(key)});
  return found == typed_in_maps_.end() ? nullptr : found->second;
}

std::string ConfigPlaces::path(const Message& message, const Field* field, int index) const {
  std::vector<std::string> parts;
  const auto part = [&parts](const Field& of, int at, std::string_view key) {
    std::string text = of.name();
    if (!key.empty()) {
      text += fmt::format("[\"{}\"]", key);
    } else if (at >= 0) {
      text += fmt::format("[{}]", at);
    }
    parts.push_back(std::move(text));
  };
  if (field != nullptr) part(*field, index, {});
  for (const Message* at = &message; at != nullptr;) {
    const auto entry = entries_.find(at);
    if (entry == entries_.end() || entry->second.origin.field == nullptr) break;
    const Origin& origin = entry->second.origin;
    part(*origin.field, origin.index, origin.map_key);
    at = origin.parent;
  }
  std::reverse(parts.begin(), parts.end());
  return fmt::format("{}", fmt::join(parts, "."));
}

const ConfigNode* ConfigPlaces::find_item(const Entry& entry, const Message& message, const Field& field,
                                          int index) const {
  std::vector<const ConfigNode*> nodes;
  if (entry.several) {
    const auto [first, last] = older_.equal_range(&message);
    for (auto at = first; at != last; ++at) nodes.push_back(at->second);
    std::sort(nodes.begin(), nodes.end(), [](auto* a, auto* b) { return a->source < b->source; });
  }
  nodes.push_back(entry.node);
  int remaining = index;
  for (const ConfigNode* node : nodes) {
    const ConfigItem* written = find_field_item(*node, field);
    if (written == nullptr || !written->value->is_sequence()) continue;
    for (const ConfigItem* item = written->value->first; item != nullptr; item = item->next) {
      if (remaining-- == 0) return item->value;
    }
  }
  return nullptr;
}

const ConfigNode* ConfigPlaces::find(const Message& message, const Field* field, int index) const {
  const auto found = entries_.find(&message);
  if (found == entries_.end()) return nullptr;
  const Entry& entry = found->second;
  if (field == nullptr || entry.node == nullptr) return entry.node;
  if (index >= 0) {
    const ConfigNode* item = find_item(entry, message, *field, index);
    if (item != nullptr) return item;
  }
  const ConfigItem* written = find_field_item(*entry.node, *field);
  if (written == nullptr && entry.several) {
    const auto [first, last] = older_.equal_range(&message);
    for (auto at = first; at != last && written == nullptr; ++at) written = find_field_item(*at->second, *field);
  }
  if (written == nullptr) return entry.node;
  return written->value->is_null() ? written->key : written->value;
}

}  // namespace ringside
