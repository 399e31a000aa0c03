#include "proxy/route/path_index.h"

#include <algorithm>
#include <cstring>

#include "core/check.h"

namespace ringside {
namespace {

constexpr char fold(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; }

bool label_holds(std::string_view label, std::string_view path, Letters letters) {
  if (letters == Letters::as_they_are) return path.starts_with(label);
  if (path.size() < label.size()) return false;
  for (size_t at = 0; at < label.size(); ++at)
    if (label[at] != fold(path[at])) return false;
  return true;
}

size_t common_prefix(std::string_view a, std::string_view b) {
  const size_t size = std::min(a.size(), b.size());
  size_t same = 0;
  while (same < size && a[same] == b[same]) ++same;
  return same;
}

}  // namespace

// Conditions [begin, end) of the sorted list share their first `depth` characters and become the subtree of `node`.
struct PathTrie::Range {
  uint32_t node;
  uint32_t begin, end;
  uint32_t depth;
};

PathTrie::PathTrie(std::vector<PathCondition> conditions, Letters letters) : letters_(letters) {
  if (conditions.empty()) return;
  std::string folded;  // all paths in one text, so that the views stay valid
  if (letters == Letters::folded) {
    for (const PathCondition& condition : conditions) folded += condition.path;
    std::transform(folded.begin(), folded.end(), folded.begin(), fold);
    size_t at = 0;
    for (PathCondition& condition : conditions) {
      condition.path = std::string_view(folded).substr(at, condition.path.size());
      at += condition.path.size();
    }
  }
  std::sort(conditions.begin(), conditions.end(),
            [](const PathCondition& a, const PathCondition& b) { return a.path < b.path; });
  nodes_.emplace_back();
  firsts_.push_back('\0');
  std::vector<Range> open{{0, 0, static_cast<uint32_t>(conditions.size()), 0}};
  while (!open.empty()) {
    const Range range = open.back();
    open.pop_back();
    build_node(range, conditions, open);
  }
  labels_.shrink_to_fit();
  nodes_.shrink_to_fit();
  firsts_.shrink_to_fit();
}

void PathTrie::build_node(Range range, const std::vector<PathCondition>& sorted, std::vector<Range>& open) {
  Node node;
  const std::string_view first = sorted[range.begin].path.substr(range.depth);
  // The list is sorted, so what its two ends share is shared by all between.
  const size_t label_size = common_prefix(first, sorted[range.end - 1].path.substr(range.depth));
  node.label_at = static_cast<uint32_t>(labels_.size());
  node.label_size = static_cast<uint32_t>(label_size);
  labels_ += first.substr(0, label_size);
  const size_t depth = range.depth + label_size;

  uint32_t at = range.begin;
  for (; at < range.end && sorted[at].path.size() == depth; ++at) {
    uint32_t* order = &node.prefix;
    if (sorted[at].kind == PathMatchKind::exact) order = &node.exact;
    if (sorted[at].kind == PathMatchKind::path_separated_prefix) order = &node.separated;
    *order = std::min(*order, sorted[at].order);
  }
  node.first_child = static_cast<uint32_t>(nodes_.size());
  while (at < range.end) {
    const char letter = sorted[at].path[depth];
    uint32_t next = at + 1;
    while (next < range.end && sorted[next].path[depth] == letter) ++next;
    open.push_back({static_cast<uint32_t>(nodes_.size()), at, next, static_cast<uint32_t>(depth)});
    nodes_.emplace_back();
    firsts_.push_back(letter);
    ++node.child_count;
    at = next;
  }
  nodes_[range.node] = node;
}

const PathTrie::Node* PathTrie::child_of(const Node& node, char first) const {
  constexpr uint16_t few = 8;  // below, a call costs more than looking
  const char* begin = firsts_.data() + node.first_child;
  size_t at = 0;
  if (node.child_count <= few) {
    while (at < node.child_count && begin[at] != first) ++at;
  } else {
    const void* found = std::memchr(begin, first, node.child_count);
    at = found == nullptr ? node.child_count : static_cast<size_t>(static_cast<const char*>(found) - begin);
  }
  return at == node.child_count ? nullptr : &nodes_[node.first_child + at];
}

uint32_t PathTrie::match(std::string_view path) const {
  uint32_t best = none;
  if (nodes_.empty()) return best;
  const Node* node = &nodes_[0];
  while (label_holds({labels_.data() + node->label_at, node->label_size}, path, letters_)) {
    path.remove_prefix(node->label_size);
    best = std::min(best, node->prefix);
    if (path.empty()) return std::min({best, node->exact, node->separated});
    if (path.front() == '/') best = std::min(best, node->separated);
    node = child_of(*node, letters_ == Letters::folded ? fold(path.front()) : path.front());
    if (node == nullptr) return best;
  }
  return best;
}

size_t PathTrie::memory_bytes() const {
  return labels_.capacity() + nodes_.capacity() * sizeof(Node) + firsts_.capacity();
}

PathIndex::PathIndex(const std::vector<RouteSpec>& routes) {
  RS_CHECK(routes.size() < none);
  std::vector<PathCondition> sensitive, folded;
  for (uint32_t order = 0; order < routes.size(); ++order) {
    const RouteSpec& route = routes[order];
    if (route.match_kind == PathMatchKind::connect) continue;
    (route.case_sensitive ? sensitive : folded).push_back({route.match_path, route.match_kind, order});
  }
  sensitive_ = PathTrie(std::move(sensitive), Letters::as_they_are);
  folded_ = PathTrie(std::move(folded), Letters::folded);
}

uint32_t PathIndex::match(std::string_view path) const { return std::min(sensitive_.match(path), folded_.match(path)); }

}  // namespace ringside
