#pragma once
// What a reader of /stats asks for: the query string of the admin endpoints, with Envoy's parameters and its texts for mistakes.
#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <string_view>

namespace re2 {
class RE2;
}

namespace ringside {

enum class StatsFormat : uint8_t { text, json, prometheus, html };
enum class StatsType : uint8_t { all, counters, gauges, histograms, text_readouts };
enum class HistogramBuckets : uint8_t {
  unset,  // quantiles in text and JSON, cumulative buckets for Prometheus
  summary,
  cumulative,
  disjoint,
  detailed,
  prometheus_native,
};

struct StatsQuery {
  StatsFormat format = StatsFormat::text;
  StatsType type = StatsType::all;
  HistogramBuckets buckets = HistogramBuckets::unset;
  bool used_only = false;
  bool invert_filter = false;
  bool hidden_only = false;                // we hide nothing: an empty page
  std::shared_ptr<const re2::RE2> filter;  // null: everything

  // Whether the filter lets a full name pass.
  bool matches(std::string_view name) const;
};

// `query` is what stands after '?', still percent-encoded. `page` is the format of the page itself: text for /stats, where a
// parameter may choose another, and prometheus for /stats/prometheus. The error is the body of a reply with status 400.
std::expected<StatsQuery, std::string> parse_stats_query(std::string_view query, StatsFormat page);

std::string_view stats_content_type(StatsFormat format);

}  // namespace ringside
