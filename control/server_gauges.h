#pragma once
// The gauges of "server." that are true only at the moment of reading: state, uptime, memory, connections.
#include <cstdint>

#include "control/admin_port.h"
#include "control/tls_watch.h"
#include "core/stats.h"
#include "proxy/observe/stat_names.h"

namespace ringside {

// Memory of the process, as its allocator and the system see it.
struct ProcessMemory {
  uint64_t allocated_bytes = 0;
  uint64_t heap_bytes = 0;      // taken from the system by the allocator
  uint64_t free_bytes = 0;      // of these, not in use
  uint64_t physical_bytes = 0;  // resident
  static ProcessMemory read();
};

class ServerGauges {
 public:
  // `tls` may be null: there are no certificates.
  ServerGauges(const AdminPort& port, StatsRegistry& registry, const TlsWatch* tls = nullptr);
  // Before a page of statistics, and with every flush.
  void refresh();

 private:
  int64_t days_until_first_expiry() const;
  const AdminPort& port_;
  const TlsWatch* tls_;
  StatBlock<ServerStat> stats_;
};

}  // namespace ringside
