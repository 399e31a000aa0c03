#include "core/histogram.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/check.h"

namespace ringside {

namespace {

constexpr std::array<uint64_t, histogram_decades> powers_of_ten = [] {
  std::array<uint64_t, histogram_decades> powers{};
  uint64_t power = 1;
  for (uint64_t& entry : powers) {
    entry = power;
    power *= 10;  // wraps after the last entry
  }
  return powers;
}();

}  // namespace

HistogramBucket histogram_bucket(uint64_t value) {
  const auto bucket = [](uint8_t decade, uint64_t mantissa) {
    return HistogramBucket{decade, static_cast<uint8_t>(mantissa)};
  };
  // Nearly every value is a small one, and dividing by a constant is several times faster than by a variable.
  if (value < 10) return bucket(0, value * 10);
  if (value < 100) return bucket(1, value);
  if (value < 1000) return bucket(2, value / 10);
  if (value < 10000) return bucket(3, value / 100);
  if (value < 100000) return bucket(4, value / 1000);
  if (value < 1000000) return bucket(5, value / 10000);
  uint8_t decade = 6;
  while (decade + 1u < histogram_decades && value >= powers_of_ten[decade + 1u]) ++decade;
  return bucket(decade, value / powers_of_ten[decade - 1u]);
}

double histogram_bucket_lower(HistogramBucket bucket) {
  return bucket.mantissa / 10.0 * static_cast<double>(powers_of_ten[bucket.decade]);
}

double histogram_bucket_width(HistogramBucket bucket) {
  return bucket.mantissa == 0 ? 0 : static_cast<double>(powers_of_ten[bucket.decade]) / 10.0;
}

// --- HistogramCells ------------------------------------------------------------------------------------------------------

HistogramCells::~HistogramCells() {
  for (auto& decade : decades_) delete decade.load(std::memory_order_relaxed);
}

uint32_t HistogramCells::count(HistogramBucket bucket) const {
  const uint32_t* cell = &zeros_;
  if (bucket.mantissa != 0) {
    const Decade* decade = decades_[bucket.decade].load(std::memory_order_acquire);
    if (decade == nullptr) return 0;
    cell = &(*decade)[bucket.mantissa - 10u];
  }
  return std::atomic_ref<uint32_t>(const_cast<uint32_t&>(*cell)).load(std::memory_order_relaxed);
}

bool HistogramCells::add_decade(uint32_t decade, Decade& sums) const {
  const Decade* counts = decades_[decade].load(std::memory_order_acquire);
  if (counts == nullptr) return false;
  for (size_t i = 0; i < sums.size(); ++i)
    sums[i] += std::atomic_ref<uint32_t>(const_cast<uint32_t&>((*counts)[i])).load(std::memory_order_relaxed);
  return true;
}

HistogramCells::Decade* HistogramCells::grow(uint32_t decade) {
  auto* fresh = new Decade{};
  decades_[decade].store(fresh, std::memory_order_release);
  return fresh;
}

// --- HistogramCounts -----------------------------------------------------------------------------------------------------

void HistogramCounts::add(HistogramBucket bucket, uint64_t count) {
  if (count == 0) return;
  if (entries_.empty() || entries_.back().bucket < bucket) {
    entries_.push_back({bucket, count});
    return;
  }
  const auto at = std::ranges::lower_bound(entries_, bucket, {}, &Entry::bucket);
  if (at->bucket == bucket)
    at->count += count;
  else
    entries_.insert(at, {bucket, count});
}

void HistogramCounts::add(const HistogramCells& cells) {
  add(HistogramBucket{}, cells.count({}));
  for (uint8_t decade = 0; decade < histogram_decades; ++decade) {
    HistogramCells::Decade counts{};
    if (!cells.add_decade(decade, counts)) continue;
    for (uint8_t i = 0; i < histogram_buckets_per_decade; ++i) add({decade, static_cast<uint8_t>(i + 10)}, counts[i]);
  }
}

uint64_t HistogramCounts::total() const {
  uint64_t total = 0;
  for (const Entry& entry : entries_) total += entry.count;
  return total;
}

double HistogramCounts::sum() const {
  double sum = 0;
  for (const Entry& entry : entries_) {
    if (entry.bucket.mantissa == 0) continue;
    const double lower = histogram_bucket_lower(entry.bucket);
    const double upper = lower + histogram_bucket_width(entry.bucket);
    sum += 2 * lower * upper / (lower + upper) * static_cast<double>(entry.count);
  }
  return sum;
}

uint64_t HistogramCounts::count_up_to(double bound) const {
  uint64_t count = 0;
  for (const Entry& entry : entries_) {
    if (histogram_bucket_lower(entry.bucket) > bound) break;
    count += entry.count;
  }
  return count;
}

void HistogramCounts::quantiles(std::span<const double> wanted, std::span<double> out) const {
  RS_CHECK(wanted.size() == out.size());
  if (entries_.empty()) {
    std::ranges::fill(out, std::numeric_limits<double>::quiet_NaN());
    return;
  }
  const auto total_count = static_cast<double>(total());
  auto entry = entries_.begin();
  double below = 0;  // values in the buckets before `entry`
  for (size_t i = 0; i < wanted.size(); ++i) {
    const double rank = std::max(1.0, std::ceil(wanted[i] * total_count));
    while (below + static_cast<double>(entry->count) < rank && entry + 1 != entries_.end()) {
      below += static_cast<double>(entry->count);
      ++entry;
    }
    const double share = (rank - below) / (static_cast<double>(entry->count) + 1);
    out[i] = histogram_bucket_lower(entry->bucket) + share * histogram_bucket_width(entry->bucket);
  }
}

// --- HistogramTotals -----------------------------------------------------------------------------------------------------

void HistogramTotals::merge(std::span<const HistogramCells* const> workers) {
  for (Entry& entry : entries_) entry.interval = 0;
  uint32_t zeros = 0;
  for (const HistogramCells* cells : workers) {
    if (cells != nullptr) zeros += cells->count(HistogramBucket{});
  }
  merge_bucket({}, zeros);
  for (uint8_t decade = 0; decade < histogram_decades; ++decade) {
    HistogramCells::Decade sums{};
    bool any = false;
    for (const HistogramCells* cells : workers) any = (cells != nullptr && cells->add_decade(decade, sums)) || any;
    if (!any) continue;
    for (uint8_t i = 0; i < histogram_buckets_per_decade; ++i)
      merge_bucket({decade, static_cast<uint8_t>(i + 10)}, sums[i]);
  }
}

// A sum of zero for a bucket that is known may be a count that has wrapped.
void HistogramTotals::merge_bucket(HistogramBucket bucket, uint32_t sum) {
  if (sum == 0 && entries_.empty()) return;
  auto at = std::ranges::lower_bound(entries_, bucket, {}, &Entry::bucket);
  if (at == entries_.end() || at->bucket != bucket) {
    if (sum == 0) return;
    at = entries_.insert(at, Entry{.bucket = bucket});
  }
  at->interval = sum - at->seen;
  at->cumulative += at->interval;
  at->seen = sum;
}

HistogramCounts HistogramTotals::cumulative() const {
  HistogramCounts counts;
  for (const Entry& entry : entries_) counts.add(entry.bucket, entry.cumulative);
  return counts;
}

HistogramCounts HistogramTotals::interval() const {
  HistogramCounts counts;
  for (const Entry& entry : entries_) counts.add(entry.bucket, entry.interval);
  return counts;
}

}  // namespace ringside
