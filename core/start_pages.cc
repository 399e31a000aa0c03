#include "core/start_pages.h"

#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

namespace ringside {
namespace {

// The program itself comes first. What may be written was changed by the loader, and must stay.
int drop_segments(dl_phdr_info* info, size_t, void*) {
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  for (int at = 0; at < info->dlpi_phnum; ++at) {
    const ElfW(Phdr)& segment = info->dlpi_phdr[at];
    if (segment.p_type != PT_LOAD || (segment.p_flags & PF_W) != 0) continue;
    const uintptr_t begin = (info->dlpi_addr + segment.p_vaddr) & ~(page - 1);
    const uintptr_t end = (info->dlpi_addr + segment.p_vaddr + segment.p_memsz) & ~(page - 1);  // the last may be shared
    if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
  }
  return 1;
}

}  // namespace

void drop_start_pages() { dl_iterate_phdr(drop_segments, nullptr); }

}  // namespace ringside
