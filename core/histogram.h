#pragma once
// Log-linear histograms with the buckets of circllhist: zero, and 90 buckets for each power of ten, whose lower bounds have two
// significant digits (1.0, 1.1 ... 9.9 times the power). No bucket is wider than 10 % of its lower bound.
#include <array>
#include <atomic>
#include <compare>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace ringside {

inline constexpr uint32_t histogram_buckets_per_decade = 90;
inline constexpr uint32_t histogram_decades = 20;  // 1 ... 1.8e19: every uint64_t

// The bucket [mantissa / 10 * 10^decade, (mantissa + 1) / 10 * 10^decade). Zero has one of its own: {0, 0}. Ordered by value.
struct HistogramBucket {
  uint8_t decade = 0;
  uint8_t mantissa = 0;  // 10 ... 99
  auto operator<=>(const HistogramBucket&) const = default;
};
HistogramBucket histogram_bucket(uint64_t value);
double histogram_bucket_lower(HistogramBucket bucket);
double histogram_bucket_width(HistogramBucket bucket);  // 0 for the bucket of zero

// The counts of one worker; one thread writes, any thread may read. Decades are allocated when first hit. Counts wrap at 2^32:
// a reader that accumulates takes differences often enough (HistogramTotals).
class HistogramCells {
 public:
  using Decade = std::array<uint32_t, histogram_buckets_per_decade>;

  HistogramCells() = default;
  HistogramCells(const HistogramCells&) = delete;
  HistogramCells& operator=(const HistogramCells&) = delete;
  ~HistogramCells();

  // Writer only.
  void record(uint64_t value) { record(value == 0 ? HistogramBucket{} : histogram_bucket(value)); }
  void record(HistogramBucket bucket) {
    if (bucket.mantissa == 0) return bump(zeros_);
    Decade* decade = decades_[bucket.decade].load(std::memory_order_relaxed);
    if (decade == nullptr) [[unlikely]]
      decade = grow(bucket.decade);
    bump((*decade)[bucket.mantissa - 10u]);
  }

  // Any thread.
  uint32_t count(HistogramBucket bucket) const;
  // Adds the counts of a power of ten to `sums`; false when it has none.
  bool add_decade(uint32_t decade, Decade& sums) const;

 private:
  static void bump(uint32_t& cell) {
    std::atomic_ref<uint32_t> atomic(cell);
    atomic.store(atomic.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }
  Decade* grow(uint32_t decade);

  uint32_t zeros_ = 0;
  std::array<std::atomic<Decade*>, histogram_decades> decades_{};
};

// Counts by bucket, sparse; a plain value of one thread.
class HistogramCounts {
 public:
  struct Entry {
    HistogramBucket bucket;
    uint64_t count = 0;
  };

  void add(HistogramBucket bucket, uint64_t count);
  void add(const HistogramCells& cells);
  void record(uint64_t value) { add(histogram_bucket(value), 1); }

  bool empty() const { return entries_.empty(); }
  // Ascending; no count is zero.
  std::span<const Entry> entries() const { return entries_; }
  uint64_t total() const;
  // Each value counts as the harmonic mean of its bucket's bounds, as in circllhist.
  double sum() const;
  // Values in the buckets up to and including the one that `bound` begins.
  uint64_t count_up_to(double bound) const;
  // out[i] is the quantile wanted[i] (0 ... 1, ascending); NaN when empty. The value of rank r among the c of its bucket lies at
  // r / (c + 1) of the bucket's width.
  void quantiles(std::span<const double> wanted, std::span<double> out) const;

 private:
  std::vector<Entry> entries_;
};

// The reader's view of one histogram: everything up to the last merge, and what came between the last two.
class HistogramTotals {
 public:
  // Starts a new interval with what the workers' cells gained since the last call. Null pointers are skipped; the same workers
  // come every time.
  void merge(std::span<const HistogramCells* const> workers);
  bool used() const { return !entries_.empty(); }
  HistogramCounts cumulative() const;
  HistogramCounts interval() const;

 private:
  struct Entry {
    uint64_t cumulative = 0;
    uint32_t interval = 0;
    uint32_t seen = 0;  // the sum of the workers' cells at the last merge, modulo 2^32
    HistogramBucket bucket;
  };
  void merge_bucket(HistogramBucket bucket, uint32_t sum);
  std::vector<Entry> entries_;
};

// What Envoy prints: P0 P25 P50 P75 P90 P95 P99 P99.5 P99.9 P100.
inline constexpr std::array<double, 10> histogram_quantiles = {0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 1};
// Upper bounds of the buckets that Prometheus sees, in the unit of the histogram (mostly milliseconds).
inline constexpr std::array<double, 19> histogram_bounds = {0.5,  1,    5,   10,  25,  50,  100, 250,   500,  1000,
                                                            2500, 5000, 1e4, 3e4, 6e4, 3e5, 6e5, 1.8e6, 3.6e6};

}  // namespace ringside
