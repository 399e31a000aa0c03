#include "core/buffer.h"

#include <gtest/gtest.h>

#include <string>

#include "core/block_pool.h"
#include "core/random.h"

namespace ringside {
namespace {

std::string text_of(const Buffer& buffer) {
  std::string text;
  for (size_t at = 0; at < buffer.slice_count(); ++at) text += buffer.slice(at).text();
  return text;
}

TEST(Slice, views_part_of_a_text) {
  Slice slice = Slice::of_static("hello world");
  slice.remove_prefix(6);
  EXPECT_EQ(slice.text(), "world");
  slice.truncate(3);
  EXPECT_EQ(slice.text(), "wor");
  EXPECT_EQ(slice.share(1, 2).text(), "or");
  EXPECT_EQ(slice.held_bytes(), 0U);
}

TEST(Slice, extends_only_what_continues_it_in_the_same_block) {
  BlockPool pool({.block_bytes = 100, .kept = 2, .step = 2, .max = 2});
  Block* block = pool.take_or_grow();
  Slice first(*block, block->data, 10);
  EXPECT_FALSE(first.try_extend(Slice(*block, block->data + 11, 5)));
  EXPECT_TRUE(first.try_extend(Slice(*block, block->data + 10, 5)));
  EXPECT_EQ(first.size(), 15U);
  Slice text = Slice::of_static("static");
  EXPECT_FALSE(text.try_extend(Slice::of_static("static")));
}

TEST(Buffer, begins_empty) {
  Buffer buffer;
  EXPECT_TRUE(buffer.empty());
  EXPECT_EQ(buffer.size_bytes(), 0U);
  EXPECT_EQ(buffer.slice_count(), 0U);
}

TEST(Buffer, keeps_the_order_and_drops_empty_slices) {
  Buffer buffer;
  for (const char* text : {"one ", "", "two ", "three ", "four ", "", "five"}) buffer.append(Slice::of_static(text));
  EXPECT_EQ(buffer.slice_count(), 5U);
  EXPECT_EQ(text_of(buffer), "one two three four five");
  EXPECT_EQ(buffer.size_bytes(), 23U);
  EXPECT_EQ(buffer.pop_front().text(), "one ");
  buffer.consume(2);
  EXPECT_EQ(text_of(buffer), "o three four five");
  buffer.consume(buffer.size_bytes());
  EXPECT_TRUE(buffer.empty());
}

TEST(Buffer, moves_with_few_and_with_many_slices) {
  for (int slices = 0; slices < 20; ++slices) {
    Buffer from, to;
    std::string text;
    to.append(Slice::of_static("replaced"));
    for (int at = 0; at < slices; ++at) {
      from.append(Slice::of_static("piece "));
      text += "piece ";
    }
    to = std::move(from);
    EXPECT_EQ(text_of(to), text);
    EXPECT_EQ(to.size_bytes(), text.size());
    EXPECT_TRUE(from.empty());  // NOLINT: what a move leaves behind
    EXPECT_EQ(from.size_bytes(), 0U);
    from.append(Slice::of_static("new"));
    EXPECT_EQ(text_of(from), "new");
    const Buffer constructed(std::move(to));
    EXPECT_EQ(text_of(constructed), text);
  }
}

TEST(Buffer, gives_blocks_back_as_it_is_consumed) {
  BlockPool pool({.block_bytes = 10, .kept = 8, .step = 8, .max = 8});
  {
    Buffer buffer;
    for (int count = 0; count < 5; ++count) {
      Block* block = pool.take_or_grow();
      buffer.append(Slice(*block, block->data, 10));
    }
    EXPECT_EQ(pool.used(), 5U);
    buffer.consume(10);
    EXPECT_EQ(pool.used(), 4U);
    buffer.consume(15);
    EXPECT_EQ(pool.used(), 3U);
    EXPECT_EQ(buffer.size_bytes(), 25U);
  }
  EXPECT_EQ(pool.used(), 0U);
}

TEST(Buffer, does_what_a_string_does) {
  Random random(7);
  for (int round = 0; round < 200; ++round) {
    Buffer buffer;
    std::string model;
    for (int step = 0; step < 100; ++step) {
      if (random.chance(600'000)) {
        std::string text;
        for (uint64_t left = random.below(40); left > 0; --left) text += static_cast<char>('a' + random.below(26));
        char* bytes = nullptr;
        Slice slice = make_heap_slice(text.size() + 1, &bytes);
        text.copy(bytes, text.size());
        slice.truncate(text.size());
        buffer.append(std::move(slice));
        model += text;
      } else if (!buffer.empty() && random.chance(300'000)) {
        const Slice front = buffer.pop_front();
        ASSERT_EQ(front.text(), model.substr(0, front.size()));
        model.erase(0, front.size());
      } else {
        const size_t bytes = random.below(model.size() + 1);
        buffer.consume(bytes);
        model.erase(0, bytes);
      }
      ASSERT_EQ(buffer.size_bytes(), model.size());
      ASSERT_EQ(buffer.empty(), model.empty());
      ASSERT_EQ(text_of(buffer), model);
    }
  }
}

}  // namespace
}  // namespace ringside
