#pragma once
// A worker on a simulated ring, and the runs over many seeds.
#include <gtest/gtest.h>

#include <functional>

#include "core/block_pool.h"
#include "core/worker.h"
#include "tests/sim/sim_network.h"
#include "tests/sim/sim_ring.h"

namespace ringside::sim {

class World {
 public:
  explicit World(uint64_t seed) : network(seed), ring(network, pools), worker(0, ring, pools) {}
  // Turns until `condition` holds; false when it does not within `limit` of virtual time, or nothing is left to happen.
  bool run_until(const std::function<bool()>& condition, Duration limit);
  void run_for(Duration time);
  // What must be back at zero when nothing is going on any more.
  void expect_nothing_left();
  // Over all worlds so far: did what can go through pipes go there?
  static uint64_t piped_bytes_seen;

  BlockPools pools;
  Network network;
  SimRing ring;
  Worker worker;
};

// A seed was named: what holds for many need not hold for it.
bool replays_one_seed();

// Runs `scenario` for the seeds 1 to `count` and for one fresh seed. With RINGSIDE_SIM_SEED set, for that seed alone; with
// RINGSIDE_SIM_RUNS, for so many seeds. Stops at the first seed that fails, and prints the line that replays it, also when the
// scenario aborts.
void over_seeds(uint32_t count, const std::function<void(uint64_t seed)>& scenario);

// Every position is recognizable, and every seed's text differs from every other's.
std::string pattern_text(uint64_t seed, size_t size);
// Whether `text` is the beginning of pattern_text(seed, ...) from `offset` on.
bool matches_pattern(uint64_t seed, size_t offset, std::string_view text);

}  // namespace ringside::sim
