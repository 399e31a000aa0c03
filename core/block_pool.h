#pragma once
// Fixed blocks that sockets receive into. A ring may hand free blocks to the kernel ahead of time; the others take one when
// bytes are there.
#include <cstdint>
#include <memory>
#include <vector>

#include "core/buffer.h"
#include "core/pipe_pool.h"

namespace ringside {

// One size of block. Keeps `kept` blocks for ever (allocated on first use) and frees the surplus as it comes back.
class BlockPool final : public BlockOwner {
 public:
  struct Options {
    uint32_t block_bytes = 0;
    uint32_t kept = 0;
    uint32_t step = 0;  // growth
    uint32_t max = 0;
  };
  explicit BlockPool(Options options);
  BlockPool(const BlockPool&) = delete;
  BlockPool& operator=(const BlockPool&) = delete;
  ~BlockPool();

  // A free block, with no reference yet; null when there is none: see grow().
  Block* take();
  // Adds a step of blocks; false at the maximum.
  bool grow();
  // take(), growing when needed; null at the maximum only.
  Block* take_or_grow();
  void recycle(Block& block) override;
  // Gives back a block that was taken and never shared.
  void give_back(Block& block) { recycle(block); }

  Block& at(uint32_t index) { return *blocks_[index]; }
  uint32_t free_count() const { return static_cast<uint32_t>(free_.size()); }
  uint32_t total() const { return total_; }
  // Blocks out with users or with the kernel.
  uint32_t used() const { return total_ - free_count(); }
  const Options& options() const { return options_; }

 private:
  Block* add_block();
  void drop_block(Block& block);

  Options options_;
  std::vector<Block*> blocks_;   // by index; null where one was freed
  std::vector<uint32_t> holes_;  // indices to reuse
  std::vector<Block*> free_;     // last in, first out: the warm one goes out next
  uint32_t total_ = 0;
};

// The two sizes of one worker, and its pipes.
class BlockPools {
 public:
  BlockPools();
  // Other sizes than those of limits.h, for tests.
  BlockPools(BlockPool::Options small_blocks, BlockPool::Options large_blocks) : small(small_blocks), large(large_blocks) {}
  BlockPool small;
  BlockPool large;
  PipePool pipes;
};

// Memory of any size in a block of its own, for what fits nowhere else.
Slice make_heap_slice(size_t size_bytes, char** writable);

// Output text of one worker: heads and chunk lines of many connections share a block.
class OutputWriter {
 public:
  explicit OutputWriter(BlockPool& pool) : pool_(pool) {}
  // Room for `bytes`; valid until commit, or until the next reserve.
  char* reserve(size_t bytes) {
    if (static_cast<size_t>(end_ - next_) >= bytes) return next_;
    return reserve_slow(bytes);
  }
  Slice commit(size_t bytes);
  Slice copy(std::string_view text);
  // Lets go of the current block (at quiescence).
  void reset();

 private:
  char* reserve_slow(size_t bytes);

  BlockPool& pool_;
  Slice current_;  // keeps the block
  char* next_ = nullptr;
  char* end_ = nullptr;
  Block* block_ = nullptr;
};

}  // namespace ringside
