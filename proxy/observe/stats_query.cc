#include "proxy/observe/stats_query.h"

#include <re2/re2.h>

#include <algorithm>
#include <optional>

namespace ringside {

namespace {

int hex_digit(char character) {
  if (character >= '0' && character <= '9') return character - '0';
  if (character >= 'a' && character <= 'f') return character - 'a' + 10;
  if (character >= 'A' && character <= 'F') return character - 'A' + 10;
  return -1;
}

// A '%' without two digits stays as it is.
std::string percent_decode(std::string_view text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && hex_digit(text[i + 1]) >= 0 && hex_digit(text[i + 2]) >= 0) {
      plain += static_cast<char>(hex_digit(text[i + 1]) * 16 + hex_digit(text[i + 2]));
      i += 2;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

// The first value of `key`, decoded; empty text for a bare key.
std::optional<std::string> parameter(std::string_view query, std::string_view key) {
  while (!query.empty()) {
    const size_t end = std::min(query.find('&'), query.size());
    const std::string_view pair = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    const size_t equals = std::min(pair.find('='), pair.size());
    if (percent_decode(pair.substr(0, equals)) != key) continue;
    return equals == pair.size() ? std::string() : percent_decode(pair.substr(equals + 1));
  }
  return std::nullopt;
}

// Each of these: absent or empty is the default, false is a name that Envoy does not know.
bool parse_format(const std::optional<std::string>& text, StatsFormat& format) {
  if (!text || text->empty() || *text == "text")
    format = StatsFormat::text;
  else if (*text == "json")
    format = StatsFormat::json;
  else if (*text == "prometheus")
    format = StatsFormat::prometheus;
  else if (*text == "html" || *text == "active-html")
    format = StatsFormat::html;
  else
    return false;
  return true;
}

bool parse_type(const std::optional<std::string>& text, StatsType& type) {
  if (!text || text->empty() || *text == "All")
    type = StatsType::all;
  else if (*text == "Counters")
    type = StatsType::counters;
  else if (*text == "Gauges")
    type = StatsType::gauges;
  else if (*text == "Histograms")
    type = StatsType::histograms;
  else if (*text == "TextReadouts")
    type = StatsType::text_readouts;
  else
    return false;
  return true;
}

bool parse_buckets(const std::optional<std::string>& text, HistogramBuckets& buckets) {
  if (!text || text->empty())
    buckets = HistogramBuckets::unset;
  else if (*text == "summary" || *text == "none")
    buckets = HistogramBuckets::summary;
  else if (*text == "cumulative")
    buckets = HistogramBuckets::cumulative;
  else if (*text == "disjoint")
    buckets = HistogramBuckets::disjoint;
  else if (*text == "detailed")
    buckets = HistogramBuckets::detailed;
  else if (*text == "prometheusnative")
    buckets = HistogramBuckets::prometheus_native;
  else
    return false;
  return true;
}

bool parse_hidden(const std::optional<std::string>& text, bool& only) {
  only = text && *text == "only";
  return !text || text->empty() || *text == "include" || *text == "exclude" || only;
}

// Not every page can show every kind of buckets.
std::string buckets_refused(const StatsQuery& query) {
  const bool plain = query.buckets == HistogramBuckets::unset || query.buckets == HistogramBuckets::summary ||
                     query.buckets == HistogramBuckets::cumulative;
  if (query.format == StatsFormat::prometheus) return plain ? "" : "unsupported prometheus histogram bucket mode";
  if (query.buckets == HistogramBuckets::prometheus_native)
    return "Invalid histogram_buckets type for non prometheus stats type";
  return "";
}

}  // namespace

bool StatsQuery::matches(std::string_view name) const {
  if (filter == nullptr) return true;
  return re2::RE2::PartialMatch(re2::StringPiece(name.data(), name.size()), *filter) != invert_filter;
}

std::expected<StatsQuery, std::string> parse_stats_query(std::string_view query, StatsFormat page) {
  StatsQuery parsed{.format = page};
  parsed.used_only = parameter(query, "usedonly").has_value();
  parsed.invert_filter = parameter(query, "invert_filter").has_value();
  if (!parse_buckets(parameter(query, "histogram_buckets"), parsed.buckets))
    return std::unexpected("usage: /stats?histogram_buckets=(cumulative|disjoint|detailed|summary|prometheusnative)\n");
  if (!parse_hidden(parameter(query, "hidden"), parsed.hidden_only))
    return std::unexpected("usage: /stats?hidden=(include|only|exclude)\n\n");
  if (!parse_type(parameter(query, "type"), parsed.type)) return std::unexpected("invalid &type= param");
  if (page == StatsFormat::text && !parse_format(parameter(query, "format"), parsed.format))
    return std::unexpected("usage: /stats?format=(html|active-html|json|prometheus|text)\n\n");
  if (const auto filter = parameter(query, "filter"); filter && !filter->empty()) {
    auto regex = std::make_shared<const re2::RE2>(*filter, re2::RE2::Quiet);
    if (!regex->ok()) return std::unexpected("Invalid re2 regex: " + regex->error());
    parsed.filter = std::move(regex);
  }
  if (std::string refused = buckets_refused(parsed); !refused.empty()) return std::unexpected(std::move(refused));
  return parsed;
}

std::string_view stats_content_type(StatsFormat format) {
  switch (format) {
    case StatsFormat::json: return "application/json";
    case StatsFormat::html: return "text/html; charset=UTF-8";
    case StatsFormat::text:
    case StatsFormat::prometheus: break;
  }
  return "text/plain; charset=UTF-8";
}

}  // namespace ringside
