#include "control/did_you_mean.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>

namespace ringside {

namespace {

// Longer texts are no misspelt names, and the distance costs their product.
constexpr size_t compared_bytes_max = 128;
constexpr size_t changes_max = 4;

char folded(char c) {
  if (c == '-') return '_';
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
}

// Optimal string alignment distance on folded letters, with three rows.
size_t distance(std::string_view a, std::string_view b) {
  std::array<std::array<size_t, compared_bytes_max + 1>, 3> rows{};
  for (size_t j = 0; j <= b.size(); ++j) rows[0][j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    auto& row = rows[i % 3];
    const auto& above = rows[(i + 2) % 3];
    const auto& above_that = rows[(i + 1) % 3];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const char x = folded(a[i - 1]), y = folded(b[j - 1]);
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, above[j - 1] + (x == y ? 0 : 1)});
      const bool swapped = i > 1 && j > 1 && x == folded(b[j - 2]) && folded(a[i - 2]) == y;
      if (swapped) row[j] = std::min(row[j], above_that[j - 2] + 1);
    }
  }
  return rows[a.size() % 3][b.size()];
}

const std::string* only_with_word(std::string_view written, const std::vector<std::string>& candidates) {
  const auto same = [&](std::string_view part) {
    return std::equal(part.begin(), part.end(), written.begin(), written.end(),
                      [](char a, char b) { return folded(a) == folded(b); });
  };
  const std::string* found = nullptr;
  for (const std::string& candidate : candidates) {
    if (candidate.size() <= written.size() + 1) continue;
    const size_t rest = candidate.size() - written.size();
    const bool begins = candidate[written.size()] == '_' && same(std::string_view(candidate).substr(0, written.size()));
    const bool ends = candidate[rest - 1] == '_' && same(std::string_view(candidate).substr(rest));
    if (!begins && !ends) continue;
    if (found != nullptr) return nullptr;
    found = &candidate;
  }
  return found;
}

}  // namespace

std::optional<std::string> closest_name(std::string_view written, const std::vector<std::string>& candidates) {
  if (written.size() < 2 || written.size() > compared_bytes_max) return std::nullopt;
  size_t best = std::numeric_limits<size_t>::max();
  const std::string* found = nullptr;
  for (const std::string& candidate : candidates) {
    if (candidate.size() > compared_bytes_max) continue;
    const size_t allowed = std::clamp<size_t>(std::min(written.size(), candidate.size()) / 3, 1, changes_max);
    const size_t changes = distance(written, candidate);
    if (changes <= allowed && changes < best) {
      best = changes;
      found = &candidate;
    }
  }
  if (found == nullptr) found = only_with_word(written, candidates);
  return found == nullptr ? std::nullopt : std::optional(*found);
}

std::string did_you_mean(std::string_view written, const std::vector<std::string>& candidates) {
  const auto name = closest_name(written, candidates);
  return name ? fmt::format(", did you mean \"{}\"?", *name) : "";
}

}  // namespace ringside
