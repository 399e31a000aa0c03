#include "core/stats.h"

#include <sys/mman.h>

#include <algorithm>
#include <limits>

namespace ringside {

namespace {

uint64_t load(const uint64_t& cell, std::memory_order order = std::memory_order_relaxed) {
  return std::atomic_ref<uint64_t>(const_cast<uint64_t&>(cell)).load(order);
}

void store(uint64_t& cell, uint64_t value, std::memory_order order = std::memory_order_relaxed) {
  std::atomic_ref<uint64_t>(cell).store(value, order);
}

// Zero pages that cost nothing until somebody writes to them.
void* map_zero_pages(size_t bytes) {
  void* pages = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  RS_CHECK(pages != MAP_FAILED);
  return pages;
}

constexpr size_t segment_bytes = StatCells::segment_cells * sizeof(uint64_t);
constexpr size_t directory_bytes = StatCells::segments_max * sizeof(std::atomic<uint64_t*>);

// The histogram or the table of codes that a cell points to. Acquire: the worker has just published it.
template <class Cells>
const Cells* pointed_to(const uint64_t& cell) {
  return reinterpret_cast<const Cells*>(load(cell, std::memory_order_acquire));
}

template <class Cells>
Cells* publish_new(uint64_t& cell) {
  static_assert(sizeof(Cells*) == sizeof(uint64_t));
  auto* fresh = new Cells;
  store(cell, reinterpret_cast<uint64_t>(fresh), std::memory_order_release);
  return fresh;
}

}  // namespace

HistogramCells* detail_new_histogram(uint64_t& cell) { return publish_new<HistogramCells>(cell); }
ResponseCodeCells* detail_new_response_codes(uint64_t& cell) { return publish_new<ResponseCodeCells>(cell); }

// --- ResponseCodeCells ---------------------------------------------------------------------------------------------------

ResponseCodeCells::~ResponseCodeCells() {
  for (auto& codes : classes_) delete codes.load(std::memory_order_relaxed);
}

ResponseCodeCells::Class* ResponseCodeCells::grow(uint32_t index) {
  auto* fresh = new Class{};
  classes_[index].store(fresh, std::memory_order_release);
  return fresh;
}

uint64_t ResponseCodeCells::count(uint32_t code) const {
  const Class* codes = classes_[code / 100 - 1].load(std::memory_order_acquire);
  return codes == nullptr ? 0 : load((*codes)[code % 100]);
}

// --- StatCells -----------------------------------------------------------------------------------------------------------

StatCells::StatCells() : segments_(static_cast<std::atomic<uint64_t*>*>(map_zero_pages(directory_bytes))) {}

StatCells::~StatCells() {
  // Segments are used in order.
  for (uint32_t i = 0; i < segments_max; ++i) {
    uint64_t* segment = segments_[i].load(std::memory_order_relaxed);
    if (segment != nullptr) munmap(segment, segment_bytes);
  }
  munmap(segments_, directory_bytes);
}

uint64_t* StatCells::at(uint32_t slot) {
  std::atomic<uint64_t*>& entry = segments_[slot / segment_cells];
  uint64_t* segment = entry.load(std::memory_order_acquire);
  if (segment == nullptr) {
    auto* fresh = static_cast<uint64_t*>(map_zero_pages(segment_bytes));
    if (entry.compare_exchange_strong(segment, fresh, std::memory_order_acq_rel))
      segment = fresh;
    else
      munmap(fresh, segment_bytes);
  }
  return segment + slot % segment_cells;
}

uint64_t* StatCells::find(uint32_t slot) const {
  uint64_t* segment = segments_[slot / segment_cells].load(std::memory_order_acquire);
  return segment == nullptr ? nullptr : segment + slot % segment_cells;
}

// --- StatsRegistry: groups -----------------------------------------------------------------------------------------------

void StatGroupRef::release() {
  if (data_ != nullptr) data_->registry_.release(*data_);
  data_ = nullptr;
}

StatsRegistry::StatsRegistry(uint32_t workers) : workers_(workers) {
  for (uint32_t i = 0; i < workers + 2; ++i) cells_.emplace_back(new StatCells);
}

StatsRegistry::~StatsRegistry() { RS_CHECK(groups_.empty()); }

StatGroupRef StatsRegistry::find_or_make(StatScope scope, std::span<const StatDef> defs) {
  RS_CHECK(!defs.empty() && defs.size() <= StatCells::segment_cells);
  const std::lock_guard lock(mutex_);
  std::unique_ptr<StatGroupData>& entry = groups_[Key(scope.prefix, defs.data())];
  if (entry == nullptr) {
    const uint32_t base = take_slots(static_cast<uint32_t>(defs.size()));
    entry.reset(new StatGroupData(*this, std::move(scope), defs, base));
  }
  return StatGroupRef(*entry);
}

uint32_t StatsRegistry::take_slots(uint32_t count) {
  std::vector<uint32_t>& free = free_slots_[count];
  if (!free.empty()) {
    const uint32_t base = free.back();
    free.pop_back();
    return base;
  }
  // A group does not cross a segment: its cells are contiguous.
  const uint32_t left = StatCells::segment_cells - next_slot_ % StatCells::segment_cells;
  if (left < count) next_slot_ += left;
  const uint32_t base = next_slot_;
  next_slot_ += count;
  RS_CHECK(next_slot_ <= StatCells::segment_cells * StatCells::segments_max);  // 268 million: memory ends before
  return base;
}

// Nobody else refers to the group: no writer, no reader.
void StatsRegistry::free_cells(const StatGroupData& group) {
  for (const auto& worker : cells_) {
    uint64_t* cells = worker->find(group.base_);
    if (cells == nullptr) continue;
    for (size_t i = 0; i < group.defs_.size(); ++i) {
      if (load(cells[i]) == 0) continue;  // leaves an untouched page untouched
      if (group.defs_[i].kind == StatKind::histogram) delete pointed_to<HistogramCells>(cells[i]);
      if (group.defs_[i].kind == StatKind::response_codes) delete pointed_to<ResponseCodeCells>(cells[i]);
      store(cells[i], 0);
    }
  }
}

void StatsRegistry::release(StatGroupData& group) {
  uint32_t references = group.references_.load(std::memory_order_relaxed);
  while (references > 1) {
    if (group.references_.compare_exchange_weak(references, references - 1, std::memory_order_release,
                                                std::memory_order_relaxed))
      return;
  }
  // The count leaves and returns to one under the lock only, so that find_or_make() never revives a dying group.
  const std::lock_guard lock(mutex_);
  if (group.references_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  free_cells(group);
  free_slots_[static_cast<uint32_t>(group.defs_.size())].push_back(group.base_);
  groups_.erase(Key(group.scope_.prefix, group.defs_.data()));
}

// --- StatsRegistry: readers ----------------------------------------------------------------------------------------------

std::vector<StatGroupRef> StatsRegistry::groups() const {
  const std::lock_guard lock(mutex_);
  std::vector<StatGroupRef> groups;
  groups.reserve(groups_.size());
  for (const auto& [key, group] : groups_) groups.push_back(StatGroupRef(*group));
  return groups;
}

StatsRegistry::Value StatsRegistry::read(const StatGroupData& group, size_t index) const {
  const StatKind kind = group.defs_[index].kind;
  RS_CHECK(kind == StatKind::counter || kind == StatKind::gauge);
  uint64_t total = 0;
  bool used = false;
  for (uint32_t worker = 0; worker <= workers_; ++worker) {
    const uint64_t* cells = cells_[worker]->find(group.base_);
    if (cells == nullptr) continue;
    const uint64_t raw = load(cells[index]);
    used = used || raw != 0;
    total += kind == StatKind::counter ? raw : static_cast<uint64_t>(static_cast<int64_t>(raw) >> 1);
  }
  if (kind == StatKind::counter) {
    const uint64_t* base = baseline().find(group.base_);
    if (base != nullptr) total -= load(base[index]);
  }
  return {static_cast<int64_t>(total), used};
}

bool StatsRegistry::read_codes(const StatGroupData& group, size_t index, ResponseCodeCounts& out) const {
  RS_CHECK(group.defs_[index].kind == StatKind::response_codes);
  bool any = false;
  // The baseline comes last and is subtracted.
  for (const auto& worker : cells_) {
    const uint64_t* cells = worker->find(group.base_);
    const auto* codes = cells == nullptr ? nullptr : pointed_to<ResponseCodeCells>(cells[index]);
    if (codes == nullptr) continue;
    if (!std::exchange(any, true)) out.fill(0);
    const bool subtract = worker.get() == &baseline();
    for (uint32_t first_digit = 1; first_digit <= ResponseCodeCells::classes; ++first_digit) {
      if (!codes->has_class(first_digit)) continue;
      for (uint32_t code = first_digit * 100; code < first_digit * 100 + 100; ++code)
        out[code - 100] += subtract ? -codes->count(code) : codes->count(code);
    }
  }
  return any;
}

std::vector<StatSample> StatsRegistry::snapshot() const {
  std::vector<StatSample> samples;
  for (const StatGroupRef& group : groups()) {
    for (size_t i = 0; i < group->defs().size(); ++i) {
      const StatDef& def = group->defs()[i];
      std::string name = std::string(group->prefix()) + std::string(def.name);
      if (def.kind == StatKind::response_codes) {
        ResponseCodeCounts counts;
        if (!read_codes(*group, i, counts)) continue;
        for_each_response_code(counts, [&](std::string_view suffix, uint64_t count) {
          samples.push_back({name + std::string(suffix), StatKind::counter, static_cast<int64_t>(count), true});
        });
      } else if (def.kind != StatKind::histogram) {
        const Value value = read(*group, i);
        if (def.show == StatShow::when_used && !value.used) continue;
        samples.push_back({std::move(name), def.kind, value.value, value.used});
      }
    }
  }
  std::ranges::sort(samples, {}, &StatSample::name);
  return samples;
}

std::optional<int64_t> StatsRegistry::value(std::string_view name) const {
  const std::vector<StatSample> samples = snapshot();
  const auto found = std::ranges::lower_bound(samples, name, {},
                                              [](const StatSample& sample) { return std::string_view(sample.name); });
  if (found == samples.end() || found->name != name) return std::nullopt;
  return found->value;
}

// --- StatsRegistry: the control thread -----------------------------------------------------------------------------------

void StatsRegistry::merge_histograms() {
  const std::vector<StatGroupRef> held = groups();
  std::vector<const HistogramCells*> workers(workers_ + 1);
  const std::lock_guard lock(merge_mutex_);
  for (const StatGroupRef& group : held) {
    for (size_t i = 0; i < group->defs().size(); ++i) {
      if (group->defs()[i].kind != StatKind::histogram) continue;
      bool any = false;
      for (uint32_t worker = 0; worker <= workers_; ++worker) {
        const uint64_t* cells = cells_[worker]->find(group->base_);
        workers[worker] = cells == nullptr ? nullptr : pointed_to<HistogramCells>(cells[i]);
        any = any || workers[worker] != nullptr;
      }
      if (any) group->histograms_[static_cast<uint16_t>(i)].merge(workers);
    }
  }
}

void StatsRegistry::reset_counters() {
  for (const StatGroupRef& group : groups()) {
    uint64_t* base = baseline().at(group->base_);
    for (size_t i = 0; i < group->defs().size(); ++i) {
      const StatKind kind = group->defs()[i].kind;
      if (kind == StatKind::counter) {
        const auto now = static_cast<uint64_t>(read(*group, i).value);
        if (now != 0) store(base[i], load(base[i]) + now);
      } else if (kind == StatKind::response_codes) {
        ResponseCodeCounts counts;
        if (!read_codes(*group, i, counts)) continue;
        auto* codes = reinterpret_cast<ResponseCodeCells*>(load(base[i]));
        if (codes == nullptr) codes = publish_new<ResponseCodeCells>(base[i]);
        for (uint32_t code = 100; code < 600; ++code) {
          if (counts[code - 100] != 0) codes->inc(code, counts[code - 100]);
        }
      }
    }
  }
}

}  // namespace ringside
