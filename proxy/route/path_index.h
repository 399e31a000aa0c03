#pragma once
// Finds the first of many path conditions that holds, in time bound by the length of the path instead of the number of conditions.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/specs.h"

namespace ringside {

enum class Letters : bool { as_they_are, folded };

// A path condition and its place in the order of the configuration.
struct PathCondition {
  std::string_view path;  // must live during the build only
  PathMatchKind kind = PathMatchKind::prefix;
  uint32_t order = 0;
};

// Radix tree over conditions. Every node knows the lowest order of the conditions that end at it, so the walk down a path sees each
// condition that holds and keeps the lowest. ASCII letters are folded to lower case on both sides when asked for.
class PathTrie {
 public:
  static constexpr uint32_t none = UINT32_MAX;
  PathTrie() = default;
  PathTrie(std::vector<PathCondition> conditions, Letters letters);
  // The lowest order of the conditions that hold for `path` (without its query), `none` when there is none.
  uint32_t match(std::string_view path) const;
  size_t memory_bytes() const;

 private:
  struct Node {
    uint32_t label_at = 0;
    uint32_t label_size = 0;
    uint32_t first_child = 0;
    uint32_t prefix = none;  // lowest order of the prefixes that end here
    uint32_t separated = none;
    uint32_t exact = none;
    uint16_t child_count = 0;
  };
  struct Range;
  void build_node(Range range, const std::vector<PathCondition>& sorted, std::vector<Range>& open);
  const Node* child_of(const Node& node, char first) const;

  std::string labels_;
  std::vector<Node> nodes_;   // the children of a node lie together
  std::vector<char> firsts_;  // first character of each node's label
  Letters letters_ = Letters::as_they_are;
};

// Conditions of both kinds of case sensitivity; those for CONNECT have no path.
class PathIndex {
 public:
  static constexpr uint32_t none = PathTrie::none;
  PathIndex() = default;
  explicit PathIndex(const std::vector<RouteSpec>& routes);
  // Place of the first route that takes `path` (without its query), or `none`.
  uint32_t match(std::string_view path) const;
  size_t memory_bytes() const { return sensitive_.memory_bytes() + folded_.memory_bytes(); }

 private:
  PathTrie sensitive_, folded_;
};

}  // namespace ringside
