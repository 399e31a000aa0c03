#pragma once
// Which place of which file each message came from, so that a check that runs on messages can name it; and which message an
// Any stands for, so that nothing is serialized between reading and translating.
#include <google/protobuf/any.pb.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <map>
#include <memory_resource>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "control/config_tree.h"

namespace ringside {

class ConfigPlaces {
 public:
  // Room for as many messages as a tree of this many nodes holds at most, in one piece.
  explicit ConfigPlaces(uint64_t nodes) : memory_(nodes * sizeof(Entry) / 2) { entries_.reserve(nodes / 4); }
  using Message = google::protobuf::Message;
  using Field = google::protobuf::FieldDescriptor;

  // Where a message hangs: in which field of which parent; the root has none.
  struct Origin {
    const Message* parent = nullptr;
    const Field* field = nullptr;
    int index = -1;                 // in a repeated field
    std::string_view map_key = {};  // in a map
  };

  // A message may be written in several mappings: a later source adds to what an earlier one began.
  void add(const Message& message, const Origin& origin, const ConfigNode& node);
  void set_typed(const google::protobuf::Any& any, const Message& typed) { typed_[&any] = &typed; }
  // The values of a map are copied between two forms inside protobuf, so that their addresses say nothing: found by their key.
  void set_typed_in_map(const Message& message, std::string_view key, const Message& typed);
  const Message* typed_in_map(const Message& message, std::string_view key) const;
  // Something in this message could not be read: what is missing from it is no news.
  void mark_damaged(const Message& message);

  bool damaged(const Message& message) const;
  // The message that an Any holds; null when it could not be read, which was reported then.
  const Message* typed(const google::protobuf::Any& any) const;

  // "static_resources.clusters[0].name"; without a field, that of the message.
  std::string path(const Message& message, const Field* field = nullptr, int index = -1) const;
  // The value of a field as written last, or of its item `index`; its key when there is no value; the message's own place when
  // the field is not written at all. Null only for messages that were never read from a file.
  const ConfigNode* find(const Message& message, const Field* field = nullptr, int index = -1) const;

 private:
  struct Entry {
    Origin origin;
    const ConfigNode* node = nullptr;  // the last one
    bool damaged = false;
    bool several = false;  // older_ has more
  };
  const ConfigNode* find_item(const Entry& entry, const Message& message, const Field& field, int index) const;

  // Entries are never erased: memory without bookkeeping halves what they cost.
  std::pmr::monotonic_buffer_resource memory_;
  std::pmr::unordered_map<const Message*, Entry> entries_{&memory_};
  std::unordered_multimap<const Message*, const ConfigNode*> older_;
  std::unordered_map<const google::protobuf::Any*, const Message*> typed_;
  std::map<std::pair<const Message*, std::string>, const Message*> typed_in_maps_;
};

// The entry of a mapping that sets a field, by either of its two spellings (stat_prefix, statPrefix).
const ConfigItem* find_field_item(const ConfigNode& mapping, const google::protobuf::FieldDescriptor& field);

}  // namespace ringside
