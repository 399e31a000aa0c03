#include "core/arena.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "core/check.h"

namespace ringside {
namespace {

// Half a megabyte per worker stays warm; what a burst took beyond that goes back to the allocator.
constexpr size_t spare_chunks_max = 128;

void* allocate_or_die(size_t bytes) {
  void* memory = std::malloc(bytes);
  RS_CHECK(memory != nullptr);
  return memory;
}

}  // namespace

ArenaPool::~ArenaPool() {
  while (spare_ != nullptr) {
    Spare* next = spare_->next;
    std::free(spare_);
    spare_ = next;
  }
}

void* ArenaPool::take() {
  if (spare_ == nullptr) return allocate_or_die(chunk_bytes);
  Spare* taken = spare_;
  spare_ = taken->next;
  --spare_count_;
  return taken;
}

void ArenaPool::give(void* chunk) {
  if (spare_count_ >= spare_chunks_max) return std::free(chunk);
  spare_ = new (chunk) Spare{spare_};
  ++spare_count_;
}

std::string_view Arena::copy(std::string_view text) {
  if (text.empty()) return {};
  char* out = allocate_text(text.size());
  std::memcpy(out, text.data(), text.size());
  return {out, text.size()};
}

char* Arena::append_text(char* at, std::string_view text) {
  if (!text.empty()) std::memcpy(at, text.data(), text.size());
  return at + text.size();
}

void* Arena::allocate_slow(size_t bytes, size_t alignment) {
  static_assert(sizeof(Chunk) % alignof(std::max_align_t) == 0, "the first piece of a chunk is aligned");
  RS_CHECK(bytes < SIZE_MAX / 2);
  // The chunk's own start is aligned for any scalar; only a greater alignment costs room.
  const size_t slack = alignment > alignof(std::max_align_t) ? alignment : 0;
  const bool pooled = sizeof(Chunk) + slack + bytes <= ArenaPool::chunk_bytes;
  const size_t chunk_bytes = pooled ? ArenaPool::chunk_bytes : sizeof(Chunk) + slack + bytes;
  void* memory = pooled ? pool_->take() : allocate_or_die(chunk_bytes);
  chunks_ = new (memory) Chunk{chunks_, chunk_bytes};
  allocated_bytes_ += chunk_bytes;

  char* begin = static_cast<char*>(memory) + sizeof(Chunk);
  char* end = static_cast<char*>(memory) + chunk_bytes;
  const uintptr_t aligned = (reinterpret_cast<uintptr_t>(begin) + alignment - 1) & ~(alignment - 1);
  char* piece = reinterpret_cast<char*>(aligned);
  char* rest = piece + bytes;
  // The chunk with more room left serves what comes next.
  if (next_ == nullptr || end - rest > end_ - next_) {
    next_ = rest;
    end_ = end;
  }
  return piece;
}

void Arena::reset() {
  while (chunks_ != nullptr) {
    Chunk* chunk = chunks_;
    chunks_ = chunk->next;
    if (chunk->bytes == ArenaPool::chunk_bytes) {
      pool_->give(chunk);
    } else {
      std::free(chunk);
    }
  }
  next_ = nullptr;
  end_ = nullptr;
  allocated_bytes_ = 0;
}

}  // namespace ringside
