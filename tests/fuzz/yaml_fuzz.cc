// Any bytes as a configuration: both readers, the message reader, the translators and the texts of errors. Nothing may crash,
// and each error must have a place that exists.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "control/bootstrap.h"
#include "control/config_error.h"
#include "control/config_tree.h"
#include "control/json_reader.h"
#include "control/yaml_reader.h"
#include "core/check.h"

namespace ringside {
namespace {

void check_errors(const std::vector<ConfigError>& errors) {
  for (const ConfigError& error : errors) {
    RS_CHECK(!error.what.empty());
    RS_CHECK(error.line == 0 || (error.column != 0 && !error.file.empty()));
  }
  render_errors(errors, ErrorStyle::lines);
  render_errors(errors, ErrorStyle::terminal);
}

// Depth is limited by the readers.
uint64_t count_nodes(const ConfigNode& node) {
  uint64_t nodes = 1;
  for (const ConfigItem* item = node.first; item != nullptr; item = item->next) nodes += item->value->expanded;
  return nodes;
}

template <class Read>
void read_tree(const std::string& text, Read read) {
  ConfigDocument document("input", text, 0);
  ConfigErrorList errors;
  errors.add_document(document);
  const bool good = read(document, errors);
  RS_CHECK(good == (document.root() != nullptr));
  RS_CHECK(good || errors.any());
  if (good) RS_CHECK(count_nodes(*document.root()) == document.root()->expanded);
  check_errors(errors.take_errors());
}

}  // namespace
}  // namespace ringside

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ringside;
  const std::string text(reinterpret_cast<const char*>(data), size);
  read_tree(text, [](ConfigDocument& document, ConfigErrorList& errors) { return read_yaml(document, errors); });
  read_tree(text, [](ConfigDocument& document, ConfigErrorList& errors) { return read_json(document, errors); });
  // A configuration may name files, and the fuzzer should not get to read a terminal.
  if (text.find("filename") != text.npos) return 0;
  LoadOptions options;
  options.sources.push_back({ConfigSource::Kind::text, text});
  options.allow_unknown_static_fields = size % 2 == 0;
  const LoadOutcome outcome = load_bootstrap(options);
  check_errors(outcome.errors);
  check_errors(outcome.warnings);
  return 0;
}
