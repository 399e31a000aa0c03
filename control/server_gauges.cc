#include "control/server_gauges.h"

#include <malloc.h>
#include <unistd.h>

#include <cstdio>

namespace ringside {

ProcessMemory ProcessMemory::read() {
  const struct mallinfo2 heap = mallinfo2();
  ProcessMemory memory{.allocated_bytes = heap.uordblks + heap.hblkhd,
                       .heap_bytes = heap.arena + heap.hblkhd,
                       .free_bytes = heap.fordblks};
  if (FILE* file = std::fopen("/proc/self/statm", "re")) {
    unsigned long total_pages = 0, resident_pages = 0;
    if (std::fscanf(file, "%lu %lu", &total_pages, &resident_pages) == 2)
      memory.physical_bytes = uint64_t{resident_pages} * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
    std::fclose(file);
  }
  return memory;
}

ServerGauges::ServerGauges(const AdminPort& port, StatsRegistry& registry)
    : port_(port), stats_(registry.control_cells().block(registry.group<ServerStat>({.prefix = "server."}))) {
  // No certificate expires.
  stats_.set(ServerStat::days_until_first_cert_expiring, UINT32_MAX);
}

void ServerGauges::refresh() {
  const ServerState state = port_.state();
  stats_.set(ServerStat::state, static_cast<int64_t>(state));
  stats_.set(ServerStat::live, state == ServerState::live ? 1 : 0);
  stats_.set(ServerStat::hot_restart_epoch, port_.options().restart_epoch);
  stats_.set(ServerStat::uptime, port_.uptime() / seconds(1));
  stats_.set(ServerStat::total_connections, static_cast<int64_t>(port_.connections()));
  const ProcessMemory memory = ProcessMemory::read();
  stats_.set(ServerStat::memory_allocated, static_cast<int64_t>(memory.allocated_bytes));
  stats_.set(ServerStat::memory_heap_size, static_cast<int64_t>(memory.heap_bytes));
  stats_.set(ServerStat::memory_physical_size, static_cast<int64_t>(memory.physical_bytes));
}

}  // namespace ringside
