#include "proxy/observe/stat_walk.h"

#include <algorithm>

namespace ringside {

void StatWalk::restart(WalkKinds kinds) {
  kinds_ = kinds;
  next_group_ = 0;
}

// Groups come by prefix. Two prefixes of which neither begins with the other separate the names of their groups; so only groups
// nested in one another ("listener.a." and "listener.a.worker_0.") must be sorted together.
bool StatWalk::next() {
  lines_.clear();
  names_.clear();
  if (next_group_ == groups_.size()) return false;
  const std::string_view outer = groups_[next_group_]->prefix();
  while (next_group_ < groups_.size() && groups_[next_group_]->prefix().starts_with(outer))
    take(*groups_[next_group_++]);
  std::ranges::sort(lines_, {}, [this](const StatLine& line) { return name(line); });
  return true;
}

bool StatWalk::wanted(StatKind kind) const {
  const bool histogram = kind == StatKind::histogram;
  if (histogram != (kinds_ == WalkKinds::histograms) || query_.hidden_only) return false;
  switch (query_.type) {
    case StatsType::all: return true;
    case StatsType::counters: return kind == StatKind::counter || kind == StatKind::response_codes;
    case StatsType::gauges: return kind == StatKind::gauge;
    case StatsType::histograms: return histogram;
    case StatsType::text_readouts: return false;
  }
  return false;
}

void StatWalk::take(const StatGroupData& group) {
  for (size_t i = 0; i < group.defs().size(); ++i) {
    const StatDef& def = group.defs()[i];
    if (!wanted(def.kind)) continue;
    if (def.kind == StatKind::response_codes) {
      take_codes(group, i);
    } else if (def.kind == StatKind::histogram) {
      take_histogram(group, i);
    } else {
      const auto value = registry_.read(group, i);
      if (!value.used && (query_.used_only || def.show == StatShow::when_used)) continue;
      add({.group = &group, .index = static_cast<uint16_t>(i), .kind = def.kind, .value = value.value}, group.prefix(),
          def.name, "");
    }
  }
}

void StatWalk::take_codes(const StatGroupData& group, size_t index) {
  ResponseCodeCounts counts;
  if (!registry_.read_codes(group, index, counts)) return;
  for_each_response_code(counts, [&](std::string_view suffix, uint64_t count) {
    add({.group = &group, .index = static_cast<uint16_t>(index), .value = static_cast<int64_t>(count)}, group.prefix(),
        group.defs()[index].name, suffix);
  });
}

void StatWalk::take_histogram(const StatGroupData& group, size_t index) {
  const StatDef& def = group.defs()[index];
  if (query_.used_only || def.show == StatShow::when_used) {
    bool used = false;
    registry_.read_histogram(group, index, [&](const HistogramTotals& totals) { used = totals.used(); });
    if (!used) return;
  }
  add({.group = &group, .index = static_cast<uint16_t>(index), .kind = StatKind::histogram}, group.prefix(), def.name,
      "");
}

void StatWalk::add(StatLine line, std::string_view prefix, std::string_view name, std::string_view suffix) {
  line.name_offset = static_cast<uint32_t>(names_.size());
  names_.append(prefix).append(name).append(suffix);
  line.name_length = static_cast<uint32_t>(names_.size()) - line.name_offset;
  if (query_.matches(this->name(line)))
    lines_.push_back(line);
  else
    names_.resize(line.name_offset);
}

}  // namespace ringside
