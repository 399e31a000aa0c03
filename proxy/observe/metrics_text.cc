#include "proxy/observe/metrics_text.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>
#include <iterator>
#include <limits>
#include <utility>

#include "proxy/observe/metrics_pages.h"
#include "proxy/observe/stat_walk.h"

namespace ringside {

HistogramView view_histogram(const StatsRegistry& registry, const StatGroupData& group, size_t index) {
  HistogramView view;
  registry.read_histogram(group, index, [&](const HistogramTotals& totals) {
    view = {totals.interval(), totals.cumulative()};
  });
  return view;
}

void append_json_escaped(std::string_view text, std::string& out) {
  for (const char character : text) {
    if (character == '"' || character == '\\') {
      out += '\\';
      out += character;
    } else if (static_cast<unsigned char>(character) < 0x20) {
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<unsigned>(character));
    } else {
      out += character;
    }
  }
}

namespace {

using Quantiles = std::array<double, histogram_quantiles.size()>;
using BoundCounts = std::array<uint64_t, histogram_bounds.size()>;

Quantiles quantiles(const HistogramCounts& counts) {
  Quantiles values;
  counts.quantiles(histogram_quantiles, values);
  return values;
}

// How many values each bound of Envoy's has: up to the bound, or since the bound before.
BoundCounts bound_counts(const HistogramCounts& counts, HistogramBuckets kind) {
  BoundCounts result;
  uint64_t before = 0;
  for (size_t i = 0; i < histogram_bounds.size(); ++i) {
    const uint64_t up_to = counts.count_up_to(histogram_bounds[i]);
    result[i] = kind == HistogramBuckets::disjoint ? up_to - before : up_to;
    before = up_to;
  }
  return result;
}

// --- Text ----------------------------------------------------------------------------------------------------------------

void append_quantiles(const HistogramView& view, std::string& out) {
  const Quantiles interval = quantiles(view.interval), cumulative = quantiles(view.cumulative);
  for (size_t i = 0; i < histogram_quantiles.size(); ++i) {
    fmt::format_to(std::back_inserter(out), "{}P{:g}({},{})", i == 0 ? "" : " ", 100 * histogram_quantiles[i],
                   interval[i], cumulative[i]);
  }
}

void append_bounds(const HistogramView& view, HistogramBuckets kind, std::string& out) {
  const BoundCounts interval = bound_counts(view.interval, kind), cumulative = bound_counts(view.cumulative, kind);
  for (size_t i = 0; i < histogram_bounds.size(); ++i) {
    fmt::format_to(std::back_inserter(out), "{}B{:g}({},{})", i == 0 ? "" : " ", histogram_bounds[i], interval[i],
                   cumulative[i]);
  }
}

void append_buckets(const HistogramCounts& counts, std::string& out) {
  const char* separator = "";
  for (const auto& [bucket, count] : counts.entries()) {
    fmt::format_to(std::back_inserter(out), "{}{:g},{:g}:{}", std::exchange(separator, ", "),
                   histogram_bucket_lower(bucket), histogram_bucket_width(bucket), count);
  }
}

class TextPage final : public StatsPage {
 public:
  TextPage(const StatsRegistry& registry, StatsQuery query)
      : registry_(registry), query_(std::move(query)), walk_(registry_, query_) {}

  bool render(std::string& out, size_t bytes) override {
    const size_t end = out.size() + bytes;
    while (out.size() < end) {
      if (!walk_.next()) {
        if (std::exchange(at_histograms_, true)) return false;
        walk_.restart(WalkKinds::histograms);
        continue;
      }
      for (const StatLine& line : walk_.lines()) append_line(line, out);
    }
    return true;
  }

 private:
  void append_line(const StatLine& line, std::string& out) {
    out += walk_.name(line);
    if (line.kind == StatKind::histogram)
      append_histogram(line, out);
    else if (line.kind == StatKind::gauge)
      fmt::format_to(std::back_inserter(out), ": {}\n", line.value);
    else
      fmt::format_to(std::back_inserter(out), ": {}\n", static_cast<uint64_t>(line.value));
  }

  void append_histogram(const StatLine& line, std::string& out) {
    const HistogramView view = view_histogram(registry_, *line.group, line.index);
    if (!view.used()) {
      out += ": No recorded values\n";
      return;
    }
    switch (query_.buckets) {
      case HistogramBuckets::unset:
      case HistogramBuckets::summary:
      case HistogramBuckets::prometheus_native:
        out += ": ";
        append_quantiles(view, out);
        break;
      case HistogramBuckets::cumulative:
      case HistogramBuckets::disjoint:
        out += ": ";
        append_bounds(view, query_.buckets, out);
        break;
      case HistogramBuckets::detailed:
        out += ":\n  totals=";
        append_buckets(view.cumulative, out);
        out += "\n  intervals=";
        append_buckets(view.interval, out);
        out += "\n  summary=";
        append_quantiles(view, out);
        break;
    }
    out += '\n';
  }

  const StatsRegistry& registry_;
  const StatsQuery query_;
  StatWalk walk_;
  bool at_histograms_ = false;
};

// --- JSON ----------------------------------------------------------------------------------------------------------------

void append_number(double value, std::string& out) {
  if (!std::isfinite(value)) {
    out += "null";
    return;
  }
  char text[32];
  const auto result = std::to_chars(text, text + sizeof text, value);
  out.append(text, result.ptr);
}

void append_json_quantiles(const HistogramView& view, std::string& out) {
  const Quantiles interval = quantiles(view.interval), cumulative = quantiles(view.cumulative);
  for (size_t i = 0; i < histogram_quantiles.size(); ++i) {
    out += i == 0 ? "[{\"cumulative\":" : ",{\"cumulative\":";
    append_number(cumulative[i], out);
    out += ",\"interval\":";
    append_number(interval[i], out);
    out += '}';
  }
  out += ']';
}

void append_json_bounds(const HistogramView& view, HistogramBuckets kind, std::string& out) {
  const BoundCounts interval = bound_counts(view.interval, kind), cumulative = bound_counts(view.cumulative, kind);
  for (size_t i = 0; i < histogram_bounds.size(); ++i) {
    out += i == 0 ? "[{\"upper_bound\":" : ",{\"upper_bound\":";
    append_number(histogram_bounds[i], out);
    fmt::format_to(std::back_inserter(out), ",\"interval\":{},\"cumulative\":{}}}", interval[i], cumulative[i]);
  }
  out += ']';
}

void append_json_buckets(const HistogramCounts& counts, std::string& out) {
  const char* separator = "";
  out += '[';
  for (const auto& [bucket, count] : counts.entries()) {
    out += std::exchange(separator, ",");
    out += "{\"lower_bound\":";
    append_number(histogram_bucket_lower(bucket), out);
    out += ",\"width\":";
    append_number(histogram_bucket_width(bucket), out);
    fmt::format_to(std::back_inserter(out), ",\"count\":{}}}", count);
  }
  out += ']';
}

// What stands before the first histogram, and after the last.
std::string_view json_histograms_begin(HistogramBuckets buckets) {
  switch (buckets) {
    case HistogramBuckets::cumulative:
    case HistogramBuckets::disjoint: return R"({"histograms":[)";
    case HistogramBuckets::detailed:
      return R"({"histograms":{"supported_percentiles":[0,25,50,75,90,95,99,99.5,99.9,100],"details":[)";
    case HistogramBuckets::unset:
    case HistogramBuckets::summary:
    case HistogramBuckets::prometheus_native: break;
  }
  return R"({"histograms":{"supported_quantiles":[0,25,50,75,90,95,99,99.5,99.9,100],"computed_quantiles":[)";
}

std::string_view json_histograms_end(HistogramBuckets buckets) {
  const bool list = buckets == HistogramBuckets::cumulative || buckets == HistogramBuckets::disjoint;
  return list ? "]}" : "]}}";
}

class JsonPage final : public StatsPage {
 public:
  JsonPage(const StatsRegistry& registry, StatsQuery query)
      : registry_(registry), query_(std::move(query)), walk_(registry_, query_) {}

  bool render(std::string& out, size_t bytes) override {
    const size_t end = out.size() + bytes;
    if (!std::exchange(begun_, true)) out += R"({"stats":[)";
    while (out.size() < end) {
      if (!walk_.next()) {
        if (!std::exchange(at_histograms_, true)) {
          walk_.restart(WalkKinds::histograms);
          continue;
        }
        if (histograms_ != 0) out += json_histograms_end(query_.buckets);
        out += "]}";
        return false;
      }
      for (const StatLine& line : walk_.lines()) append_line(line, out);
    }
    return true;
  }

 private:
  void append_line(const StatLine& line, std::string& out) {
    if (line.kind == StatKind::histogram) {
      if (histograms_++ != 0) {
        out += ',';
      } else {
        out += std::exchange(separator_, ",");
        out += json_histograms_begin(query_.buckets);
      }
    } else {
      out += std::exchange(separator_, ",");
    }
    out += R"({"name":")";
    append_json_escaped(walk_.name(line), out);
    if (line.kind == StatKind::histogram)
      append_histogram(line, out);
    else if (line.kind == StatKind::gauge)
      fmt::format_to(std::back_inserter(out), "\",\"value\":{}}}", line.value);
    else
      fmt::format_to(std::back_inserter(out), "\",\"value\":{}}}", static_cast<uint64_t>(line.value));
  }

  void append_histogram(const StatLine& line, std::string& out) {
    const HistogramView view = view_histogram(registry_, *line.group, line.index);
    switch (query_.buckets) {
      case HistogramBuckets::unset:
      case HistogramBuckets::summary:
      case HistogramBuckets::prometheus_native:
        out += R"(","values":)";
        append_json_quantiles(view, out);
        break;
      case HistogramBuckets::cumulative:
      case HistogramBuckets::disjoint:
        out += R"(","buckets":)";
        append_json_bounds(view, query_.buckets, out);
        break;
      case HistogramBuckets::detailed:
        out += R"(","totals":)";
        append_json_buckets(view.cumulative, out);
        out += R"(,"intervals":)";
        append_json_buckets(view.interval, out);
        out += R"(,"percentiles":)";
        append_json_quantiles(view, out);
        break;
    }
    out += '}';
  }

  const StatsRegistry& registry_;
  const StatsQuery query_;
  StatWalk walk_;
  const char* separator_ = "";
  uint64_t histograms_ = 0;
  bool begun_ = false;
  bool at_histograms_ = false;
};

// --- HTML: the text page, to look at ---------------------------------------------------------------------------------------

class HtmlPage final : public StatsPage {
 public:
  explicit HtmlPage(std::unique_ptr<StatsPage> text) : text_(std::move(text)) {}

  bool render(std::string& out, size_t bytes) override {
    if (!std::exchange(begun_, true)) out += "<!DOCTYPE html>\n<title>stats</title>\n<pre>\n";
    std::string piece;
    const bool more = text_->render(piece, bytes);
    for (const char character : piece) {
      if (character == '<')
        out += "&lt;";
      else if (character == '&')
        out += "&amp;";
      else
        out += character;
    }
    if (!more) out += "</pre>\n";
    return more;
  }

 private:
  std::unique_ptr<StatsPage> text_;
  bool begun_ = false;
};

}  // namespace

std::unique_ptr<StatsPage> make_text_page(const StatsRegistry& registry, StatsQuery query) {
  return std::make_unique<TextPage>(registry, std::move(query));
}

std::unique_ptr<StatsPage> make_json_page(const StatsRegistry& registry, StatsQuery query) {
  return std::make_unique<JsonPage>(registry, std::move(query));
}

std::unique_ptr<StatsPage> make_stats_page(const StatsRegistry& registry, StatsQuery query) {
  switch (query.format) {
    case StatsFormat::text: break;
    case StatsFormat::json: return make_json_page(registry, std::move(query));
    case StatsFormat::prometheus: return make_prometheus_page(registry, std::move(query));
    case StatsFormat::html: return std::make_unique<HtmlPage>(make_text_page(registry, std::move(query)));
  }
  return make_text_page(registry, std::move(query));
}

std::string render_stats(const StatsRegistry& registry, StatsQuery query) {
  std::string out;
  const auto page = make_stats_page(registry, std::move(query));
  while (page->render(out, std::numeric_limits<uint32_t>::max())) {
  }
  return out;
}

}  // namespace ringside
