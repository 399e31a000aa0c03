#include "core/block_pool.h"

#include <gtest/gtest.h>

#include <cstring>
#include <set>
#include <string>
#include <vector>

namespace ringside {
namespace {

TEST(BlockPool, takes_what_is_free_and_grows_by_steps_up_to_the_maximum) {
  BlockPool pool({.block_bytes = 100, .kept = 4, .step = 2, .max = 7});
  EXPECT_EQ(pool.take(), nullptr);
  std::set<Block*> blocks;
  for (int count = 0; count < 7; ++count) {
    Block* block = pool.take_or_grow();
    ASSERT_NE(block, nullptr);
    EXPECT_EQ(block->capacity, 100U);
    EXPECT_EQ(block->references, 0U);
    EXPECT_EQ(&pool.at(block->index), block);
    std::memset(block->data, count, block->capacity);
    blocks.insert(block);
  }
  EXPECT_EQ(blocks.size(), 7U);
  EXPECT_EQ(pool.used(), 7U);
  EXPECT_EQ(pool.take_or_grow(), nullptr);
  EXPECT_FALSE(pool.grow());
  for (Block* block : blocks) pool.give_back(*block);
  EXPECT_EQ(pool.used(), 0U);
}

TEST(BlockPool, the_warm_block_goes_out_next) {
  BlockPool pool({.block_bytes = 100, .kept = 4, .step = 2, .max = 8});
  Block* first = pool.take_or_grow();
  Block* second = pool.take_or_grow();
  pool.give_back(*first);
  pool.give_back(*second);
  EXPECT_EQ(pool.take(), second);
  EXPECT_EQ(pool.take(), first);
  pool.give_back(*first);
  pool.give_back(*second);
}

TEST(BlockPool, a_surplus_goes_back_to_the_system) {
  BlockPool pool({.block_bytes = 100, .kept = 4, .step = 4, .max = 100});
  std::vector<Block*> blocks;
  for (int count = 0; count < 50; ++count) blocks.push_back(pool.take_or_grow());
  EXPECT_GE(pool.total(), 50U);
  for (Block* block : blocks) pool.give_back(*block);
  EXPECT_LE(pool.total(), 8U);
  EXPECT_EQ(pool.used(), 0U);
  // Indices of blocks that are gone are used again.
  blocks.clear();
  for (int count = 0; count < 50; ++count) blocks.push_back(pool.take_or_grow());
  for (Block* block : blocks) {
    EXPECT_LT(block->index, 60U);
    EXPECT_EQ(&pool.at(block->index), block);
  }
  for (Block* block : blocks) pool.give_back(*block);
}

TEST(BlockPool, the_last_slice_gives_the_block_back) {
  BlockPool pool({.block_bytes = 100, .kept = 2, .step = 2, .max = 2});
  Block* block = pool.take_or_grow();
  Slice whole(*block, block->data, 100);
  Slice part = whole.share(10, 20);
  EXPECT_EQ(part.held_bytes(), 100U);
  whole = Slice();
  EXPECT_EQ(pool.used(), 1U);
  Slice moved = std::move(part);
  EXPECT_EQ(part.size(), 0U);  // NOLINT: what a move leaves behind
  EXPECT_EQ(moved.size(), 20U);
  moved = Slice::of_static("text");
  EXPECT_EQ(pool.used(), 0U);
}

TEST(HeapSlice, has_the_size_asked_for) {
  char* bytes = nullptr;
  Slice slice = make_heap_slice(1'000'000, &bytes);
  std::memset(bytes, 'x', 1'000'000);
  EXPECT_EQ(slice.size(), 1'000'000U);
  EXPECT_EQ(slice.text().find_first_not_of('x'), std::string_view::npos);
}

TEST(OutputWriter, texts_share_a_block_until_it_is_full) {
  BlockPool pool({.block_bytes = 1000, .kept = 2, .step = 2, .max = 4});
  OutputWriter writer(pool);
  Slice first = writer.copy("first ");
  Slice second = writer.copy("second");
  EXPECT_TRUE(first.try_extend(second));  // they lie side by side
  EXPECT_EQ(first.text(), "first second");
  EXPECT_EQ(pool.used(), 1U);
  const Slice third = writer.copy(std::string(990, 'x'));
  EXPECT_EQ(third.size(), 990U);
  EXPECT_EQ(pool.used(), 2U);
  EXPECT_EQ(first.text(), "first second");
  writer.reset();
  first = Slice();
  second = Slice();
  EXPECT_EQ(pool.used(), 1U);
}

TEST(OutputWriter, what_is_reserved_and_not_committed_is_written_again) {
  BlockPool pool({.block_bytes = 1000, .kept = 2, .step = 2, .max = 4});
  OutputWriter writer(pool);
  std::memcpy(writer.reserve(100), "abc", 3);
  const Slice slice = writer.commit(3);
  EXPECT_EQ(slice.text(), "abc");
  std::memcpy(writer.reserve(100), "xyz", 3);
  std::memcpy(writer.reserve(100), "def", 3);
  EXPECT_EQ(writer.commit(3).text(), "def");
  EXPECT_EQ(slice.text(), "abc");
}

TEST(OutputWriter, works_beyond_the_block_and_beyond_the_pool) {
  BlockPool pool({.block_bytes = 1000, .kept = 1, .step = 1, .max = 1});
  OutputWriter writer(pool);
  const Slice large = writer.copy(std::string(5000, 'l'));
  EXPECT_EQ(large.size(), 5000U);
  const Slice one = writer.copy(std::string(900, '1'));
  const Slice two = writer.copy(std::string(900, '2'));  // the pool is empty
  EXPECT_EQ(one.text(), std::string(900, '1'));
  EXPECT_EQ(two.text(), std::string(900, '2'));
  EXPECT_LE(pool.total(), 1U);
}

}  // namespace
}  // namespace ringside
