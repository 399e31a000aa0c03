#pragma once
// The configuration that the program starts with: files and --config-yaml to the specs of the data plane, or every error that
// they have. docs/configuration.md says what is read.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/config_error.h"
#include "proxy/specs.h"

namespace ringside {

struct ConfigSource {
  enum class Kind : uint8_t {
    file,  // by suffix: .yaml, .yml, .json; anything else is read as YAML
    text,  // YAML or JSON, as given with --config-yaml
  };
  Kind kind = Kind::file;
  std::string value;  // the path, or the text
};

struct LoadOptions {
  // Merged in this order: later scalars replace, later list items are appended, messages are merged.
  std::vector<ConfigSource> sources;
  // --allow-unknown-static-fields: such fields are warnings, except where ignoring one would weaken security.
  bool allow_unknown_static_fields = false;
  // Used where the bootstrap's node has none.
  std::string service_node, service_cluster, service_zone;
  // Says what is wrong with a format of access log lines, or nothing. Injected, because the formats belong to the data plane.
  // Null: formats are not looked at.
  std::string (*check_access_log_format)(std::string_view format) = nullptr;
  // Says which two chains match the same connections. Injected likewise.
  struct ChainClash {
    uint32_t first = 0, second = 0;
  };
  std::optional<ChainClash> (*check_filter_chains)(const std::vector<FilterChainSpec>& chains) = nullptr;
};

struct LoadOutcome {
  Specs specs;  // whole only when there are no errors
  std::vector<ConfigError> errors, warnings;
  bool ok() const { return errors.empty(); }
};

// Reads files (also those that the configuration names), nothing else; takes no lock and keeps no state.
LoadOutcome load_bootstrap(const LoadOptions& options);

}  // namespace ringside
