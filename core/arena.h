#pragma once
// Bump memory of one exchange: allocated piece by piece, freed at once. Nothing in it is destructed.
#include <cstddef>
#include <cstdint>
#include <new>
#include <string_view>
#include <type_traits>
#include <utility>

namespace ringside {

// Spare first chunks of the arenas of one worker, so that an exchange costs no malloc once warm.
class ArenaPool {
 public:
  static constexpr size_t chunk_bytes = 4096 - 64;
  ArenaPool() = default;
  ArenaPool(const ArenaPool&) = delete;
  ArenaPool& operator=(const ArenaPool&) = delete;
  ~ArenaPool();
  void* take();
  void give(void* chunk);

 private:
  struct Spare {
    Spare* next;
  };
  Spare* spare_ = nullptr;
  size_t spare_count_ = 0;
};

class Arena {
 public:
  explicit Arena(ArenaPool& pool) : pool_(&pool) {}
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  ~Arena() { reset(); }

  // Aligned for any scalar unless told otherwise; never fails, never returns null.
  void* allocate(size_t bytes, size_t alignment = alignof(std::max_align_t)) {
    const auto start = (reinterpret_cast<uintptr_t>(next_) + alignment - 1) & ~(alignment - 1);
    if (start + bytes <= reinterpret_cast<uintptr_t>(end_) && next_ != nullptr) {
      next_ = reinterpret_cast<char*>(start + bytes);
      return reinterpret_cast<void*>(start);
    }
    return allocate_slow(bytes, alignment);
  }
  char* allocate_text(size_t bytes) { return static_cast<char*>(allocate(bytes, 1)); }
  std::string_view copy(std::string_view text);
  // Joins pieces into one text.
  template <class... Piece>
  std::string_view concat(Piece... pieces) {
    const size_t size = (std::string_view(pieces).size() + ... + 0);
    char* out = allocate_text(size);
    char* at = out;
    ((at = append_text(at, std::string_view(pieces))), ...);
    return {out, size};
  }
  template <class T, class... Args>
  T* make(Args&&... args) {
    static_assert(std::is_trivially_destructible_v<T>, "an arena runs no destructors");
    return new (allocate(sizeof(T), alignof(T))) T(std::forward<Args>(args)...);
  }
  // Frees everything; the arena is as new.
  void reset();
  size_t allocated_bytes() const { return allocated_bytes_; }

 private:
  struct Chunk {
    Chunk* next;
    size_t bytes;
  };
  void* allocate_slow(size_t bytes, size_t alignment);
  static char* append_text(char* at, std::string_view text);

  ArenaPool* pool_;
  Chunk* chunks_ = nullptr;
  char* next_ = nullptr;
  char* end_ = nullptr;
  size_t allocated_bytes_ = 0;
};

}  // namespace ringside
