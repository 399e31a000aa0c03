#include "perf/load_counts.h"

#include <fmt/format.h>

#include <cmath>
#include <iterator>
#include <numeric>

namespace ringside::perf {

std::string_view name_of(Failure failure) {
  switch (failure) {
    case Failure::connect: return "connect";
    case Failure::handshake: return "handshake";
    case Failure::reset: return "reset";
    case Failure::short_answer: return "short_answer";
    case Failure::bad_status: return "bad_status";
    case Failure::bad_body: return "bad_body";
    case Failure::bad_message: return "bad_message";
    case Failure::stalled: return "stalled";
  }
  return "";
}

void LoadCounts::failed(Failure failure, std::string_view detail) {
  ++failures_[static_cast<size_t>(failure)];
  if (first_failure_.empty()) first_failure_ = fmt::format("{}: {}", name_of(failure), detail);
}

uint64_t LoadCounts::failures() const { return std::accumulate(failures_.begin(), failures_.end(), uint64_t{0}); }

HistogramCounts LoadCounts::latency_ns() const {
  HistogramCounts counts;
  counts.add(latency_ns_);
  return counts;
}

std::string LoadCounts::json_members() const {
  fmt::memory_buffer out;
  const auto to = std::back_inserter(out);
  fmt::format_to(to, "\"requests\":{},\"bytes\":{},\"failures\":{},\"failures_by_kind\":{{", requests_, bytes_,
                 failures());
  for (size_t at = 0; at < failure_count; ++at)
    fmt::format_to(to, "{}\"{}\":{}", at > 0 ? "," : "", name_of(static_cast<Failure>(at)), failures_[at]);
  fmt::format_to(to, "}},\"first_failure\":{},\"handshakes\":{{\"full\":{},\"resumed\":{}}}",
                 json_string(first_failure_), handshakes_full_, handshakes_resumed_);
  if (requests_ == 0) return fmt::to_string(out);

  constexpr std::array<double, 6> wanted = {0.5, 0.9, 0.95, 0.99, 0.999, 0.9999};
  constexpr std::array<std::string_view, 6> names = {"p50", "p90", "p95", "p99", "p99.9", "p99.99"};
  std::array<double, 6> found{};
  const HistogramCounts latency_ns = this->latency_ns();
  latency_ns.quantiles(wanted, found);
  fmt::format_to(to, ",\"latency_us\":{{\"mean\":{:.1f},\"max\":{:.1f}",
                 latency_ns.sum() / static_cast<double>(requests_) / 1e3,
                 static_cast<double>(latency_max_.count()) / 1e3);
  for (size_t at = 0; at < wanted.size(); ++at) fmt::format_to(to, ",\"{}\":{:.1f}", names[at], found[at] / 1e3);
  fmt::format_to(to, "}},\"histogram_us\":[");
  std::string_view separator = "";
  for (const HistogramCounts::Entry& entry : latency_ns.entries()) {
    fmt::format_to(to, "{}[{:g},{:g},{}]", separator, histogram_bucket_lower(entry.bucket) / 1e3,
                   histogram_bucket_width(entry.bucket) / 1e3, entry.count);
    separator = ",";
  }
  fmt::format_to(to, "]");
  return fmt::to_string(out);
}

std::string json_string(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\')
      out += fmt::format("\\{}", c);
    else if (static_cast<unsigned char>(c) < 0x20)
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    else
      out += c;
  }
  return out + '"';
}

}  // namespace ringside::perf
