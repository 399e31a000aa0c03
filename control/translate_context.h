#pragma once
// What every translator needs: where to report, the place of each message, and the readers of common kinds of field, which
// know a field by its number and look whether it is set.
#include <google/protobuf/message.h>

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "control/bootstrap.h"
#include "control/config_error.h"
#include "control/config_places.h"
#include "core/time.h"
#include "proxy/specs.h"

namespace ringside {

struct NumberRange {
  uint32_t min = 0;
  uint32_t max = std::numeric_limits<uint32_t>::max();
};

// The shortest time that a field takes; with `above`, it must be longer than that.
struct DurationFloor {
  Duration value{0};
  enum class Bound : uint8_t { at_least, above } bound = Bound::at_least;
};

class TranslateContext {
 public:
  using Message = google::protobuf::Message;

  TranslateContext(const LoadOptions& options, ConfigErrorList& errors, const ConfigPlaces& places)
      : options_(options), errors_(errors), places_(places) {}

  const LoadOptions& options() const { return options_; }
  // The message inside an Any, when it is one of type T.
  template <class T>
  const T* typed(const google::protobuf::Any& any) const {
    return dynamic_cast<const T*>(places_.typed(any));
  }
  // Likewise for the Any that a map of Any holds by `key`.
  template <class T>
  const T* typed_in_map(const Message& message, std::string_view key) const {
    return dynamic_cast<const T*>(places_.typed_in_map(message, key));
  }
  bool damaged(const Message& message) const { return places_.damaged(message); }
  // Something was reported already, wherever it was.
  bool any_errors() const { return errors_.any(); }
  // "file:line:column" of a message.
  std::string where(const Message& message) const;

  // Reports at a field's value (`number` 0: at the message itself), at item `index` of a list.
  void fail(const Message& message, int number, std::string what, std::string help = {}, int index = -1);
  void warn(const Message& message, int number, std::string what, std::string help = {}, int index = -1);
  // Something is not there that must be. Silent when the message could not be read completely: it was reported why.
  void missing(const Message& message, int number, std::string what = "is required", std::string help = {});
  // Understood, and refused by name.
  void unsupported(const Message& message, int number, std::string_view thing, std::string help = {}, int index = -1);

  // Each sets `out` when the field is set (by presence, or for fields without it when not zero).
  void duration(const Message& message, int number, Duration& out, DurationFloor floor = {});
  void number(const Message& message, int number, uint32_t& out, NumberRange range = {});
  void flag(const Message& message, int number, bool& out);
  // False, and reported, when an enum field has another value than `only`.
  bool only_value(const Message& message, int number, int only);

  // Every TLS context that was made.
  void add_tls(TlsUseSpec use) { tls_uses_.push_back(std::move(use)); }
  std::vector<TlsUseSpec> take_tls() { return std::move(tls_uses_); }

  // Names of clusters, for routes that name them.
  void add_cluster_name(std::string name);
  // A cluster could not be read completely: its name may be the one that is missed.
  void set_clusters_incomplete() { clusters_incomplete_ = true; }
  void check_cluster(const Message& message, int number, const std::string& name);

 private:
  const google::protobuf::FieldDescriptor* field_of(const Message& message, int number) const;
  ConfigProblem problem(const Message& message, int number, std::string what, std::string help, int index) const;

  const LoadOptions& options_;
  ConfigErrorList& errors_;
  const ConfigPlaces& places_;
  std::unordered_set<std::string> cluster_names_;
  std::vector<std::string> cluster_list_;
  bool clusters_incomplete_ = false;
  std::vector<TlsUseSpec> tls_uses_;
};

}  // namespace ringside
