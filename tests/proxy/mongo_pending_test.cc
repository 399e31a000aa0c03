// Requests by their ids, in a table that grows and shrinks: compared with a map.
#include "proxy/mongo/mongo_pending.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <unordered_map>
#include <vector>

namespace ringside {
namespace {

MongoPending* add(MongoPendingTable& table, int32_t id, uint32_t flags) {
  bool replaced = false;
  MongoPending* const entry = table.add(id, replaced);
  if (entry != nullptr) entry->flags = flags;
  return entry;
}

TEST(MongoPending, finds_what_was_added_and_forgets_what_was_taken) {
  MongoPendingTable table;
  EXPECT_EQ(table.find(7), nullptr);
  add(table, 7, 1);
  add(table, -7, 2);
  ASSERT_NE(table.find(7), nullptr);
  EXPECT_EQ(table.find(7)->flags, 1u);
  table.remove(*table.find(7));
  EXPECT_EQ(table.find(7), nullptr);
  EXPECT_EQ(table.find(-7)->flags, 2u);
  EXPECT_EQ(table.size(), 1u);
}

TEST(MongoPending, is_a_map) {
  std::mt19937 random(1);
  for (const int32_t ids : {3, 50, 5000}) {  // many collisions, and none
    MongoPendingTable table;
    std::unordered_map<int32_t, uint32_t> model;
    for (uint32_t turn = 0; turn < 50'000; ++turn) {
      const auto id = static_cast<int32_t>(random() % static_cast<uint32_t>(ids)) * (random() % 2 == 0 ? 1 : 65536);
      if (random() % 2 == 0) {
        bool replaced = false;
        MongoPending* const entry = table.add(id, replaced);
        EXPECT_EQ(replaced, model.contains(id));
        if (entry == nullptr) continue;
        EXPECT_EQ(entry->flags, 0u) << "of an entry before it";
        entry->flags = model[id] = turn + 1;
      } else if (MongoPending* const entry = table.find(id)) {
        ASSERT_TRUE(model.contains(id));
        EXPECT_EQ(entry->flags, model[id]);
        table.remove(*entry);
        model.erase(id);
      } else {
        EXPECT_FALSE(model.contains(id));
      }
      ASSERT_EQ(table.size(), model.size());
    }
    for (const auto& [id, flags] : model) {
      ASSERT_NE(table.find(id), nullptr);
      EXPECT_EQ(table.find(id)->flags, flags);
    }
  }
}

TEST(MongoPending, has_a_bound) {
  MongoPendingTable table;
  for (int32_t id = 0; id < static_cast<int32_t>(MongoPendingTable::size_max); ++id) ASSERT_NE(add(table, id, 1), nullptr);
  EXPECT_EQ(add(table, -1, 1), nullptr);
  EXPECT_NE(add(table, 5, 9), nullptr) << "the same id again needs no room";
  table.remove(*table.find(17));
  EXPECT_NE(add(table, -1, 1), nullptr);
  uint32_t seen = 0;
  table.drain([&](MongoPending&) { ++seen; });
  EXPECT_EQ(seen, MongoPendingTable::size_max);
  EXPECT_EQ(table.size(), 0u);
  EXPECT_EQ(table.find(5), nullptr);
}

}  // namespace
}  // namespace ringside
