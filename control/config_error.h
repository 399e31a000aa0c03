#pragma once
// What is wrong with a configuration, where, and what to write instead. Errors are collected, so that one run shows all.
#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

namespace ringside {

struct ConfigNode;
class ConfigDocument;

struct ConfigError {
  std::string file;         // empty: not about a place in a file
  uint32_t line = 0;        // from 1
  uint32_t column = 0;      // from 1, in characters
  uint32_t width = 1;       // characters to underline
  uint16_t source = 0;      // order of the sources
  std::string path;         // "static_resources.clusters[0].name"; empty for the whole document
  std::string what;         // one sentence without a full stop, with its "did you mean"
  std::string help;         // what to do, when it takes more words; shown on a terminal only. May be empty.
  std::string source_line;  // the line of the file

  // file:line:column: path: what
  std::string text() const;
};

// Where an error belongs and how it reads. `at` may be null: then it has no position.
struct ConfigProblem {
  const ConfigNode* at = nullptr;
  std::string path;
  std::string what;
  std::string help;
};

// Collects errors and warnings of one load. Documents must be added in the order of their source index, and outlive it.
class ConfigErrorList {
 public:
  void add_document(const ConfigDocument& document) { documents_.push_back(&document); }

  void error(ConfigProblem problem) { add(errors_, std::move(problem)); }
  void warning(ConfigProblem problem) { add(warnings_, std::move(problem)); }
  // For what has no node: syntax errors (byte columns do not matter there), files that cannot be read.
  void error_at(const ConfigDocument& document, uint32_t line, uint32_t column, std::string what,
                std::string help = {});
  void error_in_file(std::string file, std::string what);

  // "file:line:column"
  std::string place(const ConfigNode& node) const;

  bool any() const { return !errors_.empty(); }
  // Nothing more is kept: whoever makes errors may stop.
  bool full() const { return dropped_ != 0; }
  // Sorted by position; a place that several aliases reach is listed once. The list is empty afterwards.
  std::vector<ConfigError> take_errors();
  std::vector<ConfigError> take_warnings();

 private:
  using Seen = std::tuple<uint16_t, uint32_t, uint32_t, std::string>;
  void add(std::vector<ConfigError>& list, ConfigProblem problem);
  void keep(std::vector<ConfigError>& list, ConfigError error);

  std::vector<const ConfigDocument*> documents_;
  std::vector<ConfigError> errors_, warnings_;
  std::set<Seen> seen_;
  size_t dropped_ = 0;
};

enum class ErrorStyle : uint8_t {
  lines,     // one line per error, for logs and tools
  terminal,  // with the source line, a caret, help, and colours
};
// All of them, each ending in a newline. `kind` is "error" or "warning"; shown with a count on a terminal.
std::string render_errors(const std::vector<ConfigError>& errors, ErrorStyle style, std::string_view kind = "error");

}  // namespace ringside
