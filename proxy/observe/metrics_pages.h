#pragma once
// The makers behind make_stats_page(), one per format, and what they share.
#include <memory>
#include <string>
#include <string_view>

#include "proxy/observe/metrics_text.h"

namespace ringside {

std::unique_ptr<StatsPage> make_text_page(const StatsRegistry& registry, StatsQuery query);
std::unique_ptr<StatsPage> make_json_page(const StatsRegistry& registry, StatsQuery query);
std::unique_ptr<StatsPage> make_prometheus_page(const StatsRegistry& registry, StatsQuery query);

// Both halves of what a reader knows of a histogram, as plain values.
struct HistogramView {
  HistogramCounts interval;
  HistogramCounts cumulative;
  bool used() const { return !cumulative.empty(); }
};
HistogramView view_histogram(const StatsRegistry& registry, const StatGroupData& group, size_t index);

// Escapes for JSON strings; bytes of UTF-8 pass.
void append_json_escaped(std::string_view text, std::string& out);

}  // namespace ringside
