#pragma once
// The bytes of every body and stream that the load tools send, so that a receiver can tell what belongs at any offset.
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace ringside::perf {

// One fixed sequence of printable bytes, repeated. The period is a prime, so that bytes which are displaced by a page, a block
// or any other round number do not match; and it is small, so that sending it does not sweep the cache.
class Pattern {
 public:
  static constexpr size_t period_bytes = 65521;

  Pattern();
  // The bytes from `offset` on; `size` is at most one period. Lives as long as the pattern does.
  std::string_view at(uint64_t offset, size_t size) const;
  // Whether `bytes` are those of `offset`. Compares both ends only: what a proxy gets wrong is order, place and length.
  bool matches(uint64_t offset, std::string_view bytes) const;

 private:
  std::vector<char> twice_;  // two periods, so that every view is contiguous
};

}  // namespace ringside::perf
