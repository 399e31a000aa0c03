#pragma once
// The generator behind Ring::random(): xoshiro256++, fast and good enough for balancing, jitter and ids, not for secrets.
#include <sys/random.h>

#include <array>
#include <bit>
#include <cstdint>

#include "core/check.h"

namespace ringside {

class Random {
 public:
  // The same seed gives the same numbers for ever: simulations are replayed with it.
  explicit Random(uint64_t seed) {
    for (uint64_t& word : state_) word = split_mix(seed);
  }
  // Seeded by the kernel.
  static Random seeded() {
    uint64_t seed = 0;
    RS_CHECK(getrandom(&seed, sizeof seed, 0) == sizeof seed);
    return Random(seed);
  }
  uint64_t next() {
    const uint64_t result = std::rotl(state_[0] + state_[3], 23) + state_[0];
    const uint64_t shifted = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= shifted;
    state_[3] = std::rotl(state_[3], 45);
    return result;
  }
  // Uniform in [0, bound); `bound` > 0.
  uint64_t below(uint64_t bound) {
    __extension__ using Wide = unsigned __int128;  // the high half of a product: no division, a bias of bound / 2^64
    return static_cast<uint64_t>((static_cast<Wide>(next()) * bound) >> 64);
  }
  // Uniform in [low, high].
  uint64_t between(uint64_t low, uint64_t high) { return low + below(high - low + 1); }
  // True in `per_million` of a million cases.
  bool chance(uint32_t per_million) { return below(1'000'000) < per_million; }

 private:
  // Spreads a seed over the whole state, so that seeds 1 and 2 have nothing in common.
  static uint64_t split_mix(uint64_t& seed) {
    seed += 0x9e3779b97f4a7c15ULL;
    uint64_t mixed = seed;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9ULL;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebULL;
    return mixed ^ (mixed >> 31);
  }
  std::array<uint64_t, 4> state_;
};

}  // namespace ringside
