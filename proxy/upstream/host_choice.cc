#include "proxy/upstream/host_choice.h"

#include <algorithm>

#include "proxy/upstream/cluster.h"

namespace ringside {
namespace {

constexpr uint64_t overprovisioning_percent = 140;

// What `hosts` of all that count can carry.
uint64_t capacity_percent(size_t hosts, size_t counted) {
  return counted == 0 ? 0 : std::min<uint64_t>(100, overprovisioning_percent * hosts / counted);
}

}  // namespace

HealthShares share_out(const HealthCounts& counts, uint32_t panic_percent) {
  const size_t counted = counts.total - counts.excluded;
  const uint64_t healthy = capacity_percent(counts.healthy, counted), degraded = capacity_percent(counts.degraded, counted);
  const uint64_t capacity = std::min<uint64_t>(100, healthy + degraded);
  if (panic_percent > 0 && capacity == 0) return {.panic = true};
  if (capacity < 100 && 100 * (counts.healthy + counts.degraded) < uint64_t{panic_percent} * counted) return {.panic = true};
  if (capacity == 0) return {};
  const auto share = static_cast<uint32_t>(std::min<uint64_t>(100, 100 * healthy / capacity));
  // What rounding loses goes to the healthy ones, if there are any.
  const auto rest = static_cast<uint32_t>(std::min<uint64_t>(100 - share, 100 * degraded / capacity));
  if (healthy == 0) return {.healthy_percent = 0, .degraded_percent = 100};
  return {.healthy_percent = 100 - rest, .degraded_percent = rest};
}

// --- Rotation ----------------------------------------------------------------------------------------------------------

void Rotation::begin_at(uint64_t start) {
  next_ = members_.empty() ? 0 : start % members_.size();
  weighted_ = std::any_of(members_.begin(), members_.end(), [&](const Endpoint* endpoint) {
    return endpoint->host().weight() != members_.front()->host().weight();
  });
}

Endpoint* Rotation::next() {
  if (members_.empty()) return nullptr;
  if (weighted_) return next_weighted();
  next_ = next_ + 1 < members_.size() ? next_ + 1 : 0;
  return members_[next_];
}

// Smooth weighted round robin: everybody earns its weight, the richest pays the total.
Endpoint* Rotation::next_weighted() {
  Endpoint* best = nullptr;
  int64_t total = 0;
  for (Endpoint* endpoint : members_) {
    const auto weight = static_cast<int64_t>(endpoint->host().weight());
    endpoint->round_robin_credit += weight;
    total += weight;
    if (best == nullptr || endpoint->round_robin_credit > best->round_robin_credit) best = endpoint;
  }
  best->round_robin_credit -= total;
  return best;
}

// --- HostChoice --------------------------------------------------------------------------------------------------------

void HostChoice::begin(uint32_t panic_percent) {
  panic_percent_ = panic_percent;
  counts_ = {};
  all_.clear();
  main_.clear();
  degraded_.clear();
}

void HostChoice::add(Endpoint& endpoint, HealthFlags flags) {
  counts_.add(flags);
  all_.push_back(&endpoint);
  if (flags.health() == Health::healthy) main_.add(endpoint);
  if (flags.health() == Health::degraded) degraded_.add(endpoint);
}

void HostChoice::end(uint64_t start) {
  shares_ = share_out(counts_, panic_percent_);
  if (shares_.panic) {
    main_.clear();
    for (Endpoint* endpoint : all_) main_.add(*endpoint);
  }
  all_.clear();
  main_.begin_at(start);
  degraded_.begin_at(start);
}

}  // namespace ringside
