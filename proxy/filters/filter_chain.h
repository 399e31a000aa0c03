#pragma once
// The filters of one connection manager, in front of its router. Immutable, shared by all workers.
#include <cstdint>
#include <expected>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "proxy/filters/http_filter.h"
#include "proxy/specs.h"

namespace ringside {

class FilterChain {
 public:
  // One bit for each filter, where they are switched off.
  using Mask = uint32_t;
  static_assert(http_filters_max <= 32);

  explicit FilterChain(std::span<const HttpFilterSpec> specs);
  std::span<const std::unique_ptr<const HttpFilter>> filters() const { return filters_; }
  // Those that are off where no route says otherwise.
  Mask off() const { return off_; }
  // All of them.
  Mask all() const { return static_cast<Mask>((uint64_t{1} << filters_.size()) - 1); }

 private:
  std::vector<std::unique_ptr<const HttpFilter>> filters_;
  Mask off_ = 0;
};

// What stands in the place of filters of a chain, somewhere.
class FilterSettings {
 public:
  // Null: the filter is as the chain has it.
  const HttpFilter* find(size_t at) const;

 private:
  friend struct FilterChanges;
  struct Entry {
    size_t at;
    std::shared_ptr<const HttpFilter> filter;
  };
  std::vector<Entry> entries_;
};

// What table, virtual host and route change of a chain, one inside of the other.
struct FilterChanges {
  // Before anything is changed.
  static FilterChanges none(std::span<const HttpFilterSpec> chain);

  FilterChain::Mask off = 0;
  std::shared_ptr<const FilterSettings> settings;  // null: none
  // These, changed by a place inside. Empty, or what is wrong.
  std::expected<FilterChanges, std::string> inside(std::span<const HttpFilterSpec> chain, const FilterChangesSpec& spec) const;
};

}  // namespace ringside
