#include "core/slab.h"

#include <gtest/gtest.h>

#include <cstring>
#include <set>
#include <vector>

#include "core/random.h"

namespace ringside {
namespace {

struct Thing {
  explicit Thing(uint64_t number) { std::memset(bytes, static_cast<int>(number), sizeof bytes); }
  unsigned char bytes[328];
};

TEST(Slab, a_freed_place_is_used_next) {
  Slab<Thing> slab(10);
  Thing* first = slab.make(1U);
  slab.destroy(first);
  EXPECT_EQ(slab.make(2U), first);
  slab.destroy(first);
}

TEST(Slab, objects_do_not_overlap_however_they_come_and_go) {
  Random random(3);
  Slab<Thing> slab(20);
  std::vector<std::pair<Thing*, unsigned char>> live;
  for (int step = 0; step < 20'000; ++step) {
    const bool grows = random.chance(step % 4000 < 2000 ? 700'000 : 300'000);
    if (grows || live.empty()) {
      const auto number = static_cast<unsigned char>(random.below(256));
      live.emplace_back(slab.make(number), number);
    } else {
      const size_t at = random.below(live.size());
      const auto [thing, number] = live[at];
      for (const unsigned char byte : thing->bytes) ASSERT_EQ(byte, number);
      slab.destroy(thing);
      live[at] = live.back();
      live.pop_back();
    }
    ASSERT_EQ(slab.live(), live.size());
  }
  std::set<Thing*> places;
  for (const auto& [thing, number] : live) EXPECT_TRUE(places.insert(thing).second);
  for (const auto& [thing, number] : live) slab.destroy(thing);
}

}  // namespace
}  // namespace ringside
