#include "control/server_gauges.h"

#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
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

ServerGauges::ServerGauges(const AdminPort& port, StatsRegistry& registry, const TlsWatch* tls)
    : port_(port), tls_(tls), stats_(registry.control_cells().block(registry.group<ServerStat>({.prefix = "server."}))) {}

// Envoy's number for "no certificate", and its 0 for one that has run out.
int64_t ServerGauges::days_until_first_expiry() const {
  const std::optional<WallTime> expiry = tls_ != nullptr ? tls_->first_expiry() : std::nullopt;
  if (!expiry) return UINT32_MAX;
  return std::max<int64_t>(0, (*expiry - WallTime(std::chrono::system_clock::now())) / hours(24));
}

void ServerGauges::refresh() {
  const ServerState state = port_.state();
  stats_.set(ServerStat::state, static_cast<int64_t>(state));
  stats_.set(ServerStat::live, state == ServerState::live ? 1 : 0);
  stats_.set(ServerStat::hot_restart_epoch, port_.options().restart_epoch);
  stats_.set(ServerStat::uptime, port_.uptime() / seconds(1));
  stats_.set(ServerStat::total_connections, static_cast<int64_t>(port_.connections()));
  stats_.set(ServerStat::days_until_first_cert_expiring, days_until_first_expiry());
  const ProcessMemory memory = ProcessMemory::read();
  stats_.set(ServerStat::memory_allocated, static_cast<int64_t>(memory.allocated_bytes));
  stats_.set(ServerStat::memory_heap_size, static_cast<int64_t>(memory.heap_bytes));
  stats_.set(ServerStat::memory_physical_size, static_cast<int64_t>(memory.physical_bytes));
}

}  // namespace ringside
