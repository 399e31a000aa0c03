#pragma once
// Counters, gauges and histograms with one cell per worker, summed by the reader. A worker writes only its own cells, so an
// increment is a load and a store, without a lock prefix and without a shared cache line.
//
// An enum names the stats of a group; `stat_defs(Enum)`, found beside the enum, gives their names and kinds:
//
//   enum class PoolStat : uint16_t { cx_total, cx_active, cx_ms, count_ };
//   constexpr std::span<const StatDef> stat_defs(PoolStat) { return pool_defs; }   // a static constexpr array in enum order
//
//   StatsRegistry registry(workers);                                               // main owns it
//   StatGroup<PoolStat> group = registry.group<PoolStat>({.prefix = "pool.a."});   // any thread; same prefix, same group
//   StatBlock<PoolStat> stats = registry.cells(worker_index).block(group);         // on that worker, kept as a member
//   stats.inc(PoolStat::cx_total);                                                 // hot path
#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/check.h"
#include "core/histogram.h"

namespace ringside {

enum class StatKind : uint8_t {
  counter,  // only grows
  gauge,    // goes up and down; the workers' values are added
  histogram,
  response_codes,  // counters by HTTP status: rendered as <name>_200, <name>_2xx, <name>_completed, once not zero
};

// Some stats appear only once something has touched them: those of features that most configurations do not use.
enum class StatShow : uint8_t { always, when_used };

struct StatDef {
  std::string_view name;  // after the group's prefix; static text
  StatKind kind = StatKind::counter;
  StatShow show = StatShow::always;
};

struct StatTag {
  std::string name;
  std::string value;
};

// Where the stats of a group appear. With `prefix` "cluster.foo." stands `tagless_prefix` "cluster." and the tag
// {"envoy_cluster_name", "foo"}; without tags it may stay empty.
struct StatScope {
  std::string prefix;
  std::string tagless_prefix = {};
  std::vector<StatTag> tags = {};
};

class StatsRegistry;

// What `response_codes` means to a reader: the counts of 100 ... 599.
using ResponseCodeCounts = std::array<uint64_t, 500>;

// Counts per HTTP status of one worker, 100 ... 599; a class of codes is allocated when first hit.
class ResponseCodeCells {
 public:
  static constexpr uint32_t classes = 5;
  using Class = std::array<uint64_t, 100>;
  ResponseCodeCells() = default;
  ResponseCodeCells(const ResponseCodeCells&) = delete;
  ResponseCodeCells& operator=(const ResponseCodeCells&) = delete;
  ~ResponseCodeCells();

  // Writer only. A code outside 100 ... 599 is not counted.
  void inc(uint32_t code, uint64_t by = 1) {
    if (code < 100 || code >= 600) return;
    Class* codes = classes_[code / 100 - 1].load(std::memory_order_relaxed);
    if (codes == nullptr) [[unlikely]]
      codes = grow(code / 100 - 1);
    std::atomic_ref<uint64_t> cell((*codes)[code % 100]);
    cell.store(cell.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
  }
  // Any thread. `code` is in 100 ... 599.
  uint64_t count(uint32_t code) const;
  bool has_class(uint32_t first_digit) const {
    return classes_[first_digit - 1].load(std::memory_order_acquire) != nullptr;
  }

 private:
  Class* grow(uint32_t index);
  std::array<std::atomic<Class*>, classes> classes_{};
};

// One group as the registry keeps it. Immutable but for its reference count and merged histograms.
class StatGroupData {
 public:
  std::string_view prefix() const { return scope_.prefix; }
  // "cluster." for "cluster.foo."; equal to prefix() without tags.
  std::string_view tagless_prefix() const {
    return scope_.tagless_prefix.empty() ? std::string_view(scope_.prefix) : std::string_view(scope_.tagless_prefix);
  }
  std::span<const StatTag> tags() const { return scope_.tags; }
  std::span<const StatDef> defs() const { return defs_; }

 private:
  friend class StatsRegistry;
  friend class StatGroupRef;
  friend class StatCells;
  StatGroupData(StatsRegistry& registry, StatScope scope, std::span<const StatDef> defs, uint32_t base)
      : registry_(registry), scope_(std::move(scope)), defs_(defs), base_(base) {}

  StatsRegistry& registry_;
  const StatScope scope_;
  const std::span<const StatDef> defs_;
  const uint32_t base_;  // slot of defs_[0]
  std::atomic<uint32_t> references_{0};
  mutable std::map<uint16_t, HistogramTotals> histograms_;  // by index; guarded by the registry's merge mutex
};

// Counted reference to a group: the group leaves the registry, and its slots are used again, when the last one is gone.
// Any thread; copying is for set-up, not for the hot path.
class StatGroupRef {
 public:
  StatGroupRef() = default;
  StatGroupRef(const StatGroupRef& other) : data_(other.data_) { acquire(); }
  StatGroupRef(StatGroupRef&& other) noexcept : data_(std::exchange(other.data_, nullptr)) {}
  StatGroupRef& operator=(StatGroupRef other) noexcept {
    std::swap(data_, other.data_);
    return *this;
  }
  ~StatGroupRef() { release(); }
  explicit operator bool() const { return data_ != nullptr; }
  const StatGroupData& operator*() const { return *data_; }
  const StatGroupData* operator->() const { return data_; }

 private:
  friend class StatsRegistry;
  friend class StatCells;
  explicit StatGroupRef(StatGroupData& data) : data_(&data) { acquire(); }
  void acquire() {
    if (data_ != nullptr) data_->references_.fetch_add(1, std::memory_order_relaxed);
  }
  void release();
  StatGroupData* data_ = nullptr;
};

template <class Stat>
class StatGroup : public StatGroupRef {
 public:
  StatGroup() = default;

 private:
  friend class StatsRegistry;
  explicit StatGroup(StatGroupRef reference) : StatGroupRef(std::move(reference)) {}
};

// Slow paths of StatBlock: allocate and publish.
HistogramCells* detail_new_histogram(uint64_t& cell);
ResponseCodeCells* detail_new_response_codes(uint64_t& cell);

// One worker's cells of one group. Used by that worker's thread only; holds the group.
template <class Stat>
class StatBlock {
 public:
  // Detached: assign a block before use.
  StatBlock() = default;
  bool attached() const { return cells_ != nullptr; }

  // Counters and gauges.
  void inc(Stat stat, uint64_t by = 1) {
    RS_CHECK(kind(stat) == StatKind::counter || kind(stat) == StatKind::gauge);
    if (kind(stat) == StatKind::counter)
      store(stat, load(stat) + by);
    else
      store(stat, (load(stat) + (by << 1)) | 1);
  }
  // Gauges.
  void dec(Stat stat, uint64_t by = 1) {
    RS_CHECK(kind(stat) == StatKind::gauge);
    store(stat, (load(stat) - (by << 1)) | 1);
  }
  // Gauges: this worker's part. A gauge that is set belongs to one worker, mostly to the control thread.
  void set(Stat stat, int64_t value) {
    RS_CHECK(kind(stat) == StatKind::gauge);
    store(stat, (static_cast<uint64_t>(value) << 1) | 1);
  }
  // Histograms, in the unit of the name (mostly milliseconds).
  void record(Stat stat, uint64_t value) { histogram(stat).record(value); }
  // A value that several histograms get is looked up once, with histogram_bucket().
  void record(Stat stat, HistogramBucket bucket) { histogram(stat).record(bucket); }
  // Response codes; counts the class and "completed" as well.
  void record_code(Stat stat, uint32_t code) {
    RS_CHECK(kind(stat) == StatKind::response_codes);
    auto* codes = reinterpret_cast<ResponseCodeCells*>(load(stat));
    if (codes == nullptr) [[unlikely]]
      codes = detail_new_response_codes(cells_[index(stat)]);
    codes->inc(code);
  }
  // This worker's part of a counter or gauge.
  int64_t local(Stat stat) const {
    RS_CHECK(kind(stat) == StatKind::counter || kind(stat) == StatKind::gauge);
    return kind(stat) == StatKind::gauge ? static_cast<int64_t>(load(stat)) >> 1 : static_cast<int64_t>(load(stat));
  }
  const StatGroupRef& group() const { return group_; }

 private:
  friend class StatCells;
  StatBlock(uint64_t* cells, StatGroupRef group) : cells_(cells), group_(std::move(group)) {}
  static constexpr size_t index(Stat stat) { return static_cast<size_t>(stat); }
  static constexpr StatKind kind(Stat stat) { return stat_defs(Stat{})[index(stat)].kind; }
  uint64_t load(Stat stat) const {
    return std::atomic_ref<uint64_t>(cells_[index(stat)]).load(std::memory_order_relaxed);
  }
  HistogramCells& histogram(Stat stat) {
    RS_CHECK(kind(stat) == StatKind::histogram);
    auto* histogram = reinterpret_cast<HistogramCells*>(load(stat));
    if (histogram == nullptr) [[unlikely]]
      histogram = detail_new_histogram(cells_[index(stat)]);
    return *histogram;
  }
  void store(Stat stat, uint64_t value) {
    std::atomic_ref<uint64_t>(cells_[index(stat)]).store(value, std::memory_order_relaxed);
  }

  uint64_t* cells_ = nullptr;
  StatGroupRef group_;
};

// All cells of one worker, in segments whose addresses never change. A page of cells that nobody touched costs nothing.
class StatCells {
 public:
  static constexpr uint32_t segment_cells = 16384;
  static constexpr uint32_t segments_max = 16384;

  StatCells(const StatCells&) = delete;
  StatCells& operator=(const StatCells&) = delete;
  ~StatCells();

  // The block of this worker. Any thread may ask; only the worker's thread may write through it.
  template <class Stat>
  StatBlock<Stat> block(const StatGroup<Stat>& group) {
    return StatBlock<Stat>(at(group.data_->base_), group);
  }

 private:
  friend class StatsRegistry;
  StatCells();
  // The cell of a slot; allocates its segment.
  uint64_t* at(uint32_t slot);
  // The same for a reader: null while nobody asked for the segment.
  uint64_t* find(uint32_t slot) const;

  std::atomic<uint64_t*>* segments_;  // segments_max entries, zero pages until used
};

// Calls visit(suffix, count) for what a response_codes stat is made of: "_200", "_2xx" and "_completed", if not zero.
template <class Visit>
void for_each_response_code(const ResponseCodeCounts& counts, Visit visit) {
  uint64_t completed = 0;
  for (uint32_t first_digit = 1; first_digit <= ResponseCodeCells::classes; ++first_digit) {
    uint64_t of_class = 0;
    for (uint32_t code = first_digit * 100; code < first_digit * 100 + 100; ++code) {
      const uint64_t count = counts[code - 100];
      if (count == 0) continue;
      of_class += count;
      const char suffix[] = {'_', static_cast<char>('0' + first_digit), static_cast<char>('0' + code / 10 % 10),
                             static_cast<char>('0' + code % 10)};
      visit(std::string_view(suffix, sizeof suffix), count);
    }
    if (of_class == 0) continue;
    completed += of_class;
    const char suffix[] = {'_', static_cast<char>('0' + first_digit), 'x', 'x'};
    visit(std::string_view(suffix, sizeof suffix), of_class);
  }
  if (completed != 0) visit(std::string_view("_completed"), completed);
}

// One value as a reader gets it.
struct StatSample {
  std::string name;
  StatKind kind = StatKind::counter;  // never response_codes: those arrive as counters
  int64_t value = 0;                  // counters are unsigned: cast
  bool used = false;                  // ever touched
};

// Owned by main (or a test), outlives all groups and blocks. All functions may be called from any thread.
class StatsRegistry {
 public:
  // `workers` cell sets, and one more for the control thread.
  explicit StatsRegistry(uint32_t workers);
  StatsRegistry(const StatsRegistry&) = delete;
  StatsRegistry& operator=(const StatsRegistry&) = delete;
  // Every group has been released.
  ~StatsRegistry();

  // Finds or makes the group with this prefix and this table.
  template <class Stat>
  StatGroup<Stat> group(StatScope scope) {
    static_assert(stat_defs(Stat{}).size() == static_cast<size_t>(Stat::count_), "one StatDef for each enumerator");
    return StatGroup<Stat>(find_or_make(std::move(scope), stat_defs(Stat{})));
  }

  uint32_t workers() const { return workers_; }
  StatCells& cells(uint32_t worker) { return *cells_[worker]; }
  StatCells& control_cells() { return *cells_[workers_]; }

  // --- Readers ---

  // Every group, in the order of the prefixes; held while the vector lives.
  std::vector<StatGroupRef> groups() const;
  struct Value {
    int64_t value = 0;
    bool used = false;
  };
  // A counter or gauge, summed; counters since the last reset.
  Value read(const StatGroupData& group, size_t index) const;
  // The same by enumerator.
  template <class Stat>
  int64_t total(const StatGroup<Stat>& group, Stat stat) const {
    return read(*group, static_cast<size_t>(stat)).value;
  }
  // A response_codes stat, since the last reset. False, and `out` as it was, while nothing was ever counted.
  bool read_codes(const StatGroupData& group, size_t index, ResponseCodeCounts& out) const;
  // False while nothing was merged. `visit` gets a `const HistogramTotals&` and runs under a lock: it must not call the registry.
  template <class Visit>
  bool read_histogram(const StatGroupData& group, size_t index, Visit visit) const {
    const std::lock_guard lock(merge_mutex_);
    const auto found = group.histograms_.find(static_cast<uint16_t>(index));
    if (found == group.histograms_.end()) return false;
    visit(found->second);
    return true;
  }
  // Counters and gauges by name, sorted; for tests and small reports.
  std::vector<StatSample> snapshot() const;
  // One counter or gauge by its full name; slow, for tests.
  std::optional<int64_t> value(std::string_view name) const;

  // --- The control thread ---

  // Begins a new interval: what was recorded since the last call becomes visible. Every stats flush, 5 s by default.
  void merge_histograms();
  // Counters read as zero from here on; they stay "used".
  void reset_counters();

 private:
  friend class StatGroupRef;
  using Key = std::pair<std::string, const StatDef*>;

  StatGroupRef find_or_make(StatScope scope, std::span<const StatDef> defs);
  uint32_t take_slots(uint32_t count);
  void free_cells(const StatGroupData& group);
  StatCells& baseline() const { return *cells_[workers_ + 1]; }
  // Drops one reference; the last one erases the group.
  void release(StatGroupData& group);

  const uint32_t workers_;
  std::vector<std::unique_ptr<StatCells>> cells_;  // workers, control, and what reset_counters() subtracts
  mutable std::mutex mutex_;                       // groups_, free_slots_, next_slot_
  mutable std::mutex merge_mutex_;                 // every group's histograms_
  std::map<Key, std::unique_ptr<StatGroupData>> groups_;
  std::map<uint32_t, std::vector<uint32_t>> free_slots_;  // by number of slots
  uint32_t next_slot_ = 0;
};

}  // namespace ringside
