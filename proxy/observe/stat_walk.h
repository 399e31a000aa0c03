#pragma once
// Walks the stats of a registry in the order of their full names, a few groups at a time.
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/stats.h"
#include "proxy/observe/stats_query.h"

namespace ringside {

// One line to be: a counter, a gauge or a histogram that the query lets pass.
struct StatLine {
  const StatGroupData* group = nullptr;
  uint32_t name_offset = 0;
  uint32_t name_length = 0;
  uint16_t index = 0;  // of the group's defs
  StatKind kind = StatKind::counter;
  int64_t value = 0;  // counters and gauges
};

enum class WalkKinds : uint8_t { counters_and_gauges, histograms };

class StatWalk {
 public:
  StatWalk(const StatsRegistry& registry, const StatsQuery& query)
      : registry_(registry), query_(query), groups_(registry.groups()) {}

  // Begins at the first name again.
  void restart(WalkKinds kinds);
  // The next lines, sorted by name; all names that follow are greater. Valid until the next call. May be empty before the end.
  // False: there are no more.
  bool next();
  std::span<const StatLine> lines() const { return lines_; }
  std::string_view name(const StatLine& line) const {
    return std::string_view(names_).substr(line.name_offset, line.name_length);
  }

 private:
  void take(const StatGroupData& group);
  void take_codes(const StatGroupData& group, size_t index);
  void take_histogram(const StatGroupData& group, size_t index);
  void add(StatLine line, std::string_view prefix, std::string_view name, std::string_view suffix);
  bool wanted(StatKind kind) const;

  const StatsRegistry& registry_;
  const StatsQuery& query_;
  std::vector<StatGroupRef> groups_;  // by prefix
  size_t next_group_ = 0;
  WalkKinds kinds_ = WalkKinds::counters_and_gauges;
  std::vector<StatLine> lines_;
  std::string names_;
};

}  // namespace ringside
