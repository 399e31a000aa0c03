#pragma once
// A ConfigNode tree into a protobuf message, by reflection: field names and JSON forms as protobuf's JSON mapping has them,
// scalars by the type of their field, each fault reported with its place and path, none hiding another.
#include <google/protobuf/arena.h>
#include <google/protobuf/message.h>

#include <expected>
#include <string>
#include <vector>

#include "control/config_error.h"
#include "control/config_places.h"
#include "control/config_scalars.h"
#include "control/config_tree.h"

namespace ringside {

enum class UnknownFields : uint8_t {
  error,
  warn,  // except where ignoring one would weaken security
};

// Reads any number of trees into one message, one after the other: what a later one sets replaces scalars and oneofs, adds to
// lists and maps, and goes into the fields of messages that are there already. Messages are made on the arena.
class ConfigReader {
 public:
  ConfigReader(ConfigErrorList& errors, ConfigPlaces& places, google::protobuf::Arena& arena, UnknownFields unknown)
      : errors_(errors), places_(places), arena_(arena), unknown_(unknown) {}

  void read(const ConfigNode& root, google::protobuf::Message& into);

 private:
  using Message = google::protobuf::Message;
  using Field = google::protobuf::FieldDescriptor;

  // What a report names: a field of a message, and the index when the field is a list.
  struct Target {
    const Message& message;
    const Field& field;
    int index = -1;
  };

  void read_fields(const ConfigNode& node, Message& message);
  void read_field(const ConfigItem& item, const ConfigNode& mapping, Message& message, const Field& field);
  bool check_oneof(const ConfigItem& item, const ConfigNode& mapping, Message& message, const Field& field);
  void unknown_field(const ConfigItem& item, Message& message);
  std::string suggestion(std::string_view written, const Message& message) const;

  void read_list(const ConfigNode& node, Message& message, const Field& field);
  void read_map(const ConfigNode& node, Message& message, const Field& field);
  void read_message(const ConfigNode& node, Message& message, const ConfigPlaces::Origin& origin);
  // Duration, wrappers, Struct and Any have forms of their own; false when the message is none of these.
  bool read_well_known(const ConfigNode& node, Message& message, const Target& target);
  void read_duration(const ConfigNode& node, Message& message, const Target& target);
  // The target differs from the field for a wrapper, whose value belongs to the field that holds the wrapper.
  void read_scalar(const ConfigNode& node, Message& message, const Field& field, const Target& target);
  void read_enum(const ConfigNode& node, Message& message, const Field& field, const Target& target);

  void read_any(const ConfigNode& node, Message& any, const ConfigPlaces::Origin& origin);
  const Message* find_type(const ConfigNode& type, const Target& target);
  void unknown_type(const ConfigNode& type, const Target& target, const std::vector<std::string>& names);

  // Reports at a node; the message that the target is in counts as damaged.
  void fail(const ConfigNode& at, const Target& target, std::string what, std::string help = {});
  void fail(const ConfigNode& at, const Target& target, const ScalarProblem& problem) {
    fail(at, target, problem.what, problem.help);
  }
  // Stores a value that was read, or reports why there is none.
  template <class T, class Store>
  void take(const ConfigNode& node, const Target& target, const Scalar<T>& value, Store store) {
    value ? store(*value) : fail(node, target, value.error());
  }

  ConfigErrorList& errors_;
  ConfigPlaces& places_;
  google::protobuf::Arena& arena_;
  UnknownFields unknown_;
  uint64_t failures_ = 0;
};

}  // namespace ringside
