#pragma once
// The limits of a cluster (config.cluster.v3.CircuitBreakers), counted over all workers without a shared cell: each worker
// writes its own count and reads the others' only when its own share is used up.
#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <memory>

#include "proxy/specs.h"

namespace ringside {

enum class Resource : uint8_t { connections, pending, requests, retries, count_ };

// Shared by the workers; made once for a cluster and priority.
class BreakerCells {
 public:
  explicit BreakerCells(uint32_t workers) : workers_(workers), cells_(std::make_unique<Cell[]>(workers)) {}
  std::atomic<uint32_t>& cell(uint32_t worker, Resource resource) {
    return cells_[worker].used[static_cast<size_t>(resource)];
  }
  uint32_t workers() const { return workers_; }
  uint64_t total(Resource resource) const {
    uint64_t sum = 0;
    for (uint32_t worker = 0; worker < workers_; ++worker)
      sum += cells_[worker].used[static_cast<size_t>(resource)].load(std::memory_order_relaxed);
    return sum;
  }

 private:
  struct Cell {
    std::array<std::atomic<uint32_t>, static_cast<size_t>(Resource::count_)> used{};
  };
  uint32_t workers_;
  std::unique_ptr<Cell[]> cells_;
};

// One worker's view.
class Breaker {
 public:
  Breaker(std::shared_ptr<BreakerCells> cells, uint32_t worker, const ThresholdsSpec& thresholds)
      : cells_(std::move(cells)),
        worker_(worker),
        retry_budget_(thresholds.retry_budget),
        max_{thresholds.connections_max, thresholds.pending_max, thresholds.requests_max, thresholds.retries_max} {}

  // False when the limit is reached. Two workers may pass it together by one each.
  bool try_take(Resource resource) {
    if (full(resource)) return false;
    take(resource);
    return true;
  }
  // Of Resource::retries, whose limit may be a part of what is under way.
  bool try_take_retry() {
    if (!retry_budget_) return try_take(Resource::retries);
    const uint64_t active = cells_->total(Resource::requests) + cells_->total(Resource::pending);
    const auto part = static_cast<uint64_t>(retry_budget_->percent * static_cast<double>(active) / 100.0);
    if (cells_->total(Resource::retries) >= std::max<uint64_t>(part, retry_budget_->retries_min)) return false;
    take(Resource::retries);
    return true;
  }
  // Regardless of the limit.
  void take(Resource resource) { change(resource, 1); }
  void give(Resource resource) { change(resource, static_cast<uint32_t>(-1)); }
  bool full(Resource resource) {
    const uint32_t max = max_[static_cast<size_t>(resource)];
    const uint32_t own = cells_->cell(worker_, resource).load(std::memory_order_relaxed);
    if (own < max / cells_->workers()) return false;
    return cells_->total(resource) >= max;
  }

 private:
  void change(Resource resource, uint32_t by) {
    std::atomic<uint32_t>& cell = cells_->cell(worker_, resource);
    cell.store(cell.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
  }
  std::shared_ptr<BreakerCells> cells_;
  uint32_t worker_;
  std::optional<RetryBudgetSpec> retry_budget_;
  std::array<uint32_t, static_cast<size_t>(Resource::count_)> max_;
};

}  // namespace ringside
