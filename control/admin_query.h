#pragma once
// The query string of an admin request.
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ringside {

class AdminQuery {
 public:
  // Percent-decodes; a '%' without two digits stays as it is, and '+' is no blank (a filter may hold one).
  explicit AdminQuery(std::string_view query);
  // Whether the key is there, with or without a value.
  bool has(std::string_view key) const { return find(key).has_value(); }
  // The first value of that key; empty text for a bare key.
  std::optional<std::string> find(std::string_view key) const;
  const std::vector<std::pair<std::string, std::string>>& all() const { return pairs_; }

 private:
  std::vector<std::pair<std::string, std::string>> pairs_;
};

}  // namespace ringside
