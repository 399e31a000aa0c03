#include "core/slab.h"

#include <sys/mman.h>

namespace ringside {

void* map_aligned(size_t bytes) {
  void* memory = mmap(nullptr, 2 * bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  RS_CHECK(memory != MAP_FAILED);
  const auto begin = reinterpret_cast<uintptr_t>(memory);
  const uintptr_t aligned = (begin + bytes - 1) & ~(bytes - 1);
  if (aligned > begin) munmap(memory, aligned - begin);
  if (aligned < begin + bytes) munmap(reinterpret_cast<void*>(aligned + bytes), begin + bytes - aligned);
  return reinterpret_cast<void*>(aligned);
}

void unmap(void* memory, size_t bytes) { munmap(memory, bytes); }

}  // namespace ringside
