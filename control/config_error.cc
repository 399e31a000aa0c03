#include "control/config_error.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "control/config_tree.h"

namespace ringside {

namespace {

constexpr std::string_view red = "\x1b[31m", bold = "\x1b[1m", dim = "\x1b[2m", plain = "\x1b[0m";
// Of a long line, such as JSON on one line, this much is shown around the place.
constexpr size_t shown_characters_max = 100;
constexpr size_t shown_before_characters = 40;

bool is_continuation(char byte) { return (static_cast<unsigned char>(byte) & 0xc0) == 0x80; }

// Byte offset of a character, or the end.
size_t byte_of(std::string_view text, size_t character) {
  size_t at = 0;
  for (; at < text.size() && character > 0; --character) {
    do ++at;
    while (at < text.size() && is_continuation(text[at]));
  }
  return at;
}

size_t characters_of(std::string_view text) {
  return text.size() - static_cast<size_t>(std::count_if(text.begin(), text.end(), is_continuation));
}

// A terminal must not obey what a file says.
std::string harmless(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if ((static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f) c = '?';
  }
  return out;
}

std::string_view cut(std::string_view text, size_t first, size_t count) {
  text.remove_prefix(byte_of(text, first));
  return text.substr(0, byte_of(text, count));
}

// The line with a caret below the place. Tabs stay tabs in both lines, so that the caret stands right whatever their width.
std::string excerpt(const ConfigError& error) {
  const size_t place = error.column - 1;
  const size_t total = characters_of(error.source_line);
  size_t first = 0;
  if (total > shown_characters_max && place > shown_before_characters) first = place - shown_before_characters;
  const std::string_view shown = cut(error.source_line, first, shown_characters_max);
  const std::string_view before = cut(shown, 0, place - first);
  std::string pad;
  for (const char c : before) {
    if (!is_continuation(c)) pad += c == '\t' ? '\t' : ' ';
  }
  const std::string_view left = first > 0 ? "..." : "";
  const std::string_view right = first + shown_characters_max < total ? "..." : "";
  const size_t room = characters_of(shown) - std::min(characters_of(shown), place - first);
  const size_t width = std::max<size_t>(1, std::min<size_t>(error.width, room));
  return fmt::format("{}{:>6} |{} {}{}{}\n{}       |{} {:{}}{}{}{}{}\n", dim, error.line, plain, left, harmless(shown),
                     right, dim, plain, "", left.size(), pad, red, std::string(width, '^'), plain);
}

std::string on_terminal(const ConfigError& error, std::string_view kind) {
  const std::string place = error.file.empty() ? "" : fmt::format("{}:{}:{}: ", error.file, error.line, error.column);
  std::string out = fmt::format("{}{}{}{}{}:{} {}{}{}{}\n", bold, harmless(place), plain, red, kind, plain,
                                harmless(error.path), error.path.empty() ? "" : ": ", harmless(error.what), "");
  if (error.line != 0 && !error.source_line.empty()) out += excerpt(error);
  if (!error.help.empty()) out += fmt::format("{}       = {}{}\n", dim, plain, harmless(error.help));
  return out;
}

// What several aliases reach has paths that differ in their indices only.
std::string without_indices(std::string_view path) {
  std::string out;
  bool inside = false;
  for (const char c : path) {
    inside = c == '[' || (inside && c != ']');
    if (!inside) out += c;
  }
  return out;
}

}  // namespace

std::string ConfigError::text() const {
  std::string out;
  if (!file.empty()) out += line == 0 ? fmt::format("{}: ", file) : fmt::format("{}:{}:{}: ", file, line, column);
  if (!path.empty()) out += fmt::format("{}: ", path);
  return harmless(out + what);
}

void ConfigErrorList::add(std::vector<ConfigError>& list, ConfigProblem problem) {
  ConfigError error;
  error.path = std::move(problem.path);
  error.what = std::move(problem.what);
  error.help = std::move(problem.help);
  if (problem.at != nullptr && problem.at->source < documents_.size()) {
    const ConfigDocument& document = *documents_[problem.at->source];
    error.file = document.name();
    error.source = problem.at->source;
    error.line = problem.at->line;
    error.column = problem.at->column;
    error.source_line = document.line(error.line);
    if (problem.at->is_scalar()) {
      const size_t quotes = problem.at->plain ? 0 : 2;
      error.width = static_cast<uint32_t>(std::max<size_t>(1, characters_of(problem.at->text) + quotes));
    }
  }
  keep(list, std::move(error));
}

std::string ConfigErrorList::place(const ConfigNode& node) const {
  return fmt::format("{}:{}:{}", documents_.at(node.source)->name(), node.line, node.column);
}

void ConfigErrorList::error_at(const ConfigDocument& document, uint32_t line, uint32_t column, std::string what,
                               std::string help) {
  ConfigError error;
  error.file = document.name();
  error.source = document.source();
  error.line = line;
  error.column = column;
  error.what = std::move(what);
  error.help = std::move(help);
  error.source_line = document.line(line);
  keep(errors_, std::move(error));
}

void ConfigErrorList::error_in_file(std::string file, std::string what) {
  ConfigError error;
  error.file = std::move(file);
  error.what = std::move(what);
  keep(errors_, std::move(error));
}

void ConfigErrorList::keep(std::vector<ConfigError>& list, ConfigError error) {
  if (list.size() >= config_limits::errors_max) {
    ++dropped_;
    return;
  }
  if (error.line != 0 &&
      !seen_.emplace(error.source, error.line, error.column, without_indices(error.path) + error.what).second) {
    return;
  }
  list.push_back(std::move(error));
}

namespace {

std::vector<ConfigError> sorted(std::vector<ConfigError> list) {
  std::stable_sort(list.begin(), list.end(), [](const ConfigError& a, const ConfigError& b) {
    return std::tie(a.source, a.line, a.column) < std::tie(b.source, b.line, b.column);
  });
  return list;
}

}  // namespace

std::vector<ConfigError> ConfigErrorList::take_errors() {
  std::vector<ConfigError> list = sorted(std::exchange(errors_, {}));
  if (dropped_ != 0) {
    ConfigError more;
    more.what = fmt::format("{} more errors and warnings are not shown", dropped_);
    list.push_back(std::move(more));
  }
  return list;
}

std::vector<ConfigError> ConfigErrorList::take_warnings() { return sorted(std::exchange(warnings_, {})); }

std::string render_errors(const std::vector<ConfigError>& errors, ErrorStyle style, std::string_view kind) {
  std::string out;
  for (const ConfigError& error : errors) {
    if (style == ErrorStyle::lines) {
      out += error.text() + "\n";
    } else {
      out += on_terminal(error, kind);
    }
  }
  if (style == ErrorStyle::terminal && kind == "error" && !errors.empty()) {
    out += fmt::format("{} {}{}; --mode validate checks a configuration without starting\n", errors.size(), kind,
                       errors.size() == 1 ? "" : "s");
  }
  return out;
}

}  // namespace ringside
