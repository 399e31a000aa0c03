#pragma once
// What other processes use, read from /proc.
#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

namespace ringside::perf {

// Sums over all threads of the watched processes. schedstat counts in nanoseconds and includes kernel threads that work for a
// process (io_uring's), which is why it is used and not getrusage or ticks.
struct CpuReading {
  uint64_t run_ns = 0;      // on a core
  uint64_t wait_ns = 0;     // runnable, and not on a core: whatever else ran there
  uint64_t timeslices = 0;  // times it was put on a core
  uint64_t user_ticks = 0;  // by the tick, so rough
  uint64_t kernel_ticks = 0;
};

class ProcessWatch {
 public:
  explicit ProcessWatch(std::vector<pid_t> pids) : pids_(std::move(pids)) {}
  // Remembers where the counters stand.
  void begin() { begin_ = read(); }
  void end() { end_ = read(); }
  bool empty() const { return pids_.empty(); }
  // What was used between begin() and end(), as the members of a JSON object.
  std::string json_members() const;

 private:
  CpuReading read() const;
  std::vector<pid_t> pids_;
  CpuReading begin_;
  CpuReading end_;
};

}  // namespace ringside::perf
