#pragma once
// The filters of one connection manager, in front of its router. Immutable, shared by all workers.
#include <cstdint>
#include <memory>
#include <span>
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

 private:
  std::vector<std::unique_ptr<const HttpFilter>> filters_;
};

// `off`, changed by what one place (table, virtual host, route) switches off.
FilterChain::Mask filters_off(FilterChain::Mask off, std::span<const HttpFilterSpec> specs, const std::vector<std::string>& names);

}  // namespace ringside
