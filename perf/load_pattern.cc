#include "perf/load_pattern.h"

#include <algorithm>
#include <cstring>

#include "core/check.h"

namespace ringside::perf {
namespace {

constexpr size_t sample_bytes = 32;
constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
static_assert(alphabet.size() == 64);

}  // namespace

Pattern::Pattern() : twice_(2 * period_bytes) {
  uint64_t state = 0x9e3779b97f4a7c15ULL;
  for (size_t at = 0; at < period_bytes; ++at) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    twice_[at] = twice_[at + period_bytes] = alphabet[state >> 58];
  }
}

std::string_view Pattern::at(uint64_t offset, size_t size) const {
  RS_CHECK(size <= period_bytes);
  return {twice_.data() + offset % period_bytes, size};
}

bool Pattern::matches(uint64_t offset, std::string_view bytes) const {
  const size_t size = std::min(bytes.size(), sample_bytes);
  if (std::memcmp(at(offset, size).data(), bytes.data(), size) != 0) return false;
  const size_t tail = bytes.size() - size;
  return tail == 0 || std::memcmp(at(offset + tail, size).data(), bytes.data() + tail, size) == 0;
}

}  // namespace ringside::perf
