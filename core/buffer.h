#pragma once
// Bytes on their way: Block (memory with a count), Slice (a view that holds its block), Buffer (a queue of slices).
// One worker owns all of it, so counts are plain integers.
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include "core/check.h"

namespace ringside {

class BlockOwner;

// Header of a piece of memory; lives beside the bytes, in its owner's table.
struct Block {
  char* data = nullptr;
  BlockOwner* owner = nullptr;
  uint32_t capacity = 0;
  uint32_t references = 0;
  uint32_t index = 0;   // the owner's own
  bool piped = false;   // the bytes are in the kernel: see core/pipe_pool.h
};

// Who gets a block back when its last slice is gone.
class BlockOwner {
 public:
  virtual void recycle(Block& block) = 0;

 protected:
  ~BlockOwner() = default;
};

// A move-only view of bytes that keeps its block alive. share() and copies are explicit.
class Slice {
 public:
  Slice() = default;
  // Adds one reference to `block`.
  Slice(Block& block, const char* data, size_t size)
      : data_(data), block_(&block), size_(static_cast<uint32_t>(size)) {
    ++block.references;
  }
  // A view of memory that outlives every slice (string literals, immutable configuration).
  static Slice of_static(std::string_view text) {
    Slice slice;
    slice.data_ = text.data();
    slice.size_ = static_cast<uint32_t>(text.size());
    return slice;
  }
  Slice(Slice&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        block_(std::exchange(other.block_, nullptr)),
        size_(std::exchange(other.size_, 0)) {}
  Slice& operator=(Slice&& other) noexcept {
    if (this != &other) {
      release();
      data_ = std::exchange(other.data_, nullptr);
      block_ = std::exchange(other.block_, nullptr);
      size_ = std::exchange(other.size_, 0);
    }
    return *this;
  }
  Slice(const Slice&) = delete;
  Slice& operator=(const Slice&) = delete;
  ~Slice() { release(); }

  const char* data() const { return data_; }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  std::string_view text() const { return {data_, size_}; }
  // The bytes lie in a pipe of the kernel: they can be counted, cut and sent, but not read.
  bool piped() const { return block_ != nullptr && block_->piped; }
  Block* block() const { return block_; }
  // Nobody else holds the block, so its bytes may be changed.
  bool exclusive() const { return block_ != nullptr && block_->references == 1; }
  // Bytes of the whole block behind this view: what holding it costs.
  size_t held_bytes() const { return block_ != nullptr ? block_->capacity : 0; }

  // A second view of `[offset, offset+size)`; the block lives until both are gone.
  Slice share(size_t offset, size_t size) const {
    RS_DCHECK(offset + size <= size_);
    Slice slice;
    slice.data_ = data_ + offset;
    slice.block_ = block_;
    slice.size_ = static_cast<uint32_t>(size);
    if (block_ != nullptr) ++block_->references;
    return slice;
  }
  Slice share() const { return share(0, size_); }
  void remove_prefix(size_t bytes) {
    RS_DCHECK(bytes <= size_);
    data_ += bytes;
    size_ -= static_cast<uint32_t>(bytes);
  }
  void truncate(size_t size) {
    RS_DCHECK(size <= size_);
    size_ = static_cast<uint32_t>(size);
  }
  // Appends `next` when it continues this view in the same block; false, and no change, otherwise.
  bool try_extend(const Slice& next) {
    if (block_ == nullptr || next.block_ != block_ || next.data_ != data_ + size_) return false;
    size_ += next.size_;
    return true;
  }

 private:
  void release() {
    if (block_ != nullptr && --block_->references == 0) block_->owner->recycle(*block_);
  }

  const char* data_ = nullptr;
  Block* block_ = nullptr;
  uint32_t size_ = 0;
};

// A queue of slices. An empty one holds no memory; a short one holds a row of slots that its thread keeps for the next.
class Buffer {
 public:
  Buffer() = default;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;
  ~Buffer() { clear(); }

  size_t size_bytes() const { return size_bytes_; }
  bool empty() const { return count_ == 0; }
  size_t slice_count() const { return count_; }
  const Slice& slice(size_t index) const { return slots_[place(index)]; }
  // Empty slices are dropped; a slice that continues the last one is merged with it.
  void append(Slice piece);
  // Drops `bytes` from the front.
  void consume(size_t bytes);
  Slice pop_front();
  void clear();

 private:
  static constexpr uint32_t slots_max = 1U << 27;
  uint32_t capacity() const { return slots_ == nullptr ? 0 : 1U << capacity_log_; }
  size_t place(size_t index) const { return (first_ + index) & ((1U << capacity_log_) - 1); }
  void grow();
  void drop_first();

  Slice* slots_ = nullptr;
  size_t size_bytes_ = 0;
  uint32_t count_ = 0;
  uint32_t first_ : 27 = 0;
  uint32_t capacity_log_ : 5 = 0;  // where there are slots
};

}  // namespace ringside
