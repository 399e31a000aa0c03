#include "core/block_pool.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "core/limits.h"

namespace ringside {
namespace {

// A block and its bytes are one allocation. Small blocks are not page aligned on purpose: the first lines of page-aligned
// blocks would all fall into the same few cache sets.
constexpr size_t header_bytes = 64;
static_assert(sizeof(Block) <= header_bytes);

Block* allocate_block(uint32_t capacity, BlockOwner& owner) {
  char* memory = static_cast<char*>(std::malloc(header_bytes + capacity));
  RS_CHECK(memory != nullptr);
  return new (memory) Block{memory + header_bytes, &owner, capacity, 0, 0};
}

class HeapOwner final : public BlockOwner {
 public:
  void recycle(Block& block) override { std::free(&block); }
};
HeapOwner heap_owner;  // has no state

}  // namespace

BlockPool::BlockPool(Options options) : options_(options) {}

BlockPool::~BlockPool() {
  for (Block* block : blocks_) std::free(block);
}

Block* BlockPool::add_block() {
  Block* block = allocate_block(options_.block_bytes, *this);
  if (!holes_.empty()) {
    block->index = holes_.back();
    holes_.pop_back();
    blocks_[block->index] = block;
  } else {
    block->index = static_cast<uint32_t>(blocks_.size());
    blocks_.push_back(block);
  }
  ++total_;
  return block;
}

void BlockPool::drop_block(Block& block) {
  blocks_[block.index] = nullptr;
  holes_.push_back(block.index);
  --total_;
  std::free(&block);
}

Block* BlockPool::take() {
  if (free_.empty()) return nullptr;
  Block* block = free_.back();
  free_.pop_back();
  return block;
}

bool BlockPool::grow() {
  const uint32_t wanted = total_ < options_.kept ? options_.kept - total_ : options_.step;
  const uint32_t room = options_.max - std::min(total_, options_.max);
  const uint32_t count = std::min(wanted, room);
  for (uint32_t made = 0; made < count; ++made) free_.push_back(add_block());
  return count > 0;
}

Block* BlockPool::take_or_grow() {
  if (free_.empty() && !grow()) return nullptr;
  return take();
}

void BlockPool::recycle(Block& block) {
  RS_DCHECK(block.references == 0);
  if (total_ > options_.kept && free_.size() >= options_.kept / 2) return drop_block(block);
  free_.push_back(&block);
}

BlockPools::BlockPools()
    : small({.block_bytes = limits::small_block_bytes,
             .kept = limits::small_blocks_kept,
             .step = limits::small_blocks_step,
             .max = limits::small_blocks_max}),
      large({.block_bytes = limits::large_block_bytes,
             .kept = limits::large_blocks_kept,
             .step = limits::large_blocks_step,
             .max = limits::large_blocks_max}) {}

Slice make_heap_slice(size_t size_bytes, char** writable) {
  Block* block = allocate_block(static_cast<uint32_t>(size_bytes), heap_owner);
  *writable = block->data;
  return {*block, block->data, size_bytes};
}

char* OutputWriter::reserve_slow(size_t bytes) {
  Block* block = nullptr;
  current_ = Slice();  // first, so that a block nobody else holds is taken again while it is warm
  block_ = nullptr;
  if (bytes <= pool_.options().block_bytes) block = pool_.take_or_grow();
  if (block == nullptr) block = allocate_block(static_cast<uint32_t>(std::max<size_t>(bytes, limits::small_block_bytes)), heap_owner);
  current_ = Slice(*block, block->data, 0);
  block_ = block;
  next_ = block->data;
  end_ = block->data + block->capacity;
  return next_;
}

Slice OutputWriter::commit(size_t bytes) {
  RS_DCHECK(bytes <= static_cast<size_t>(end_ - next_));
  Slice slice(*block_, next_, bytes);
  next_ += bytes;
  return slice;
}

Slice OutputWriter::copy(std::string_view text) {
  char* out = reserve(text.size());
  std::memcpy(out, text.data(), text.size());
  return commit(text.size());
}

void OutputWriter::reset() {
  current_ = Slice();
  block_ = nullptr;
  next_ = end_ = nullptr;
}

}  // namespace ringside
