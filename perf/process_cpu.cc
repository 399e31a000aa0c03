#include "perf/process_cpu.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace ringside::perf {
namespace {

void add_thread(const std::filesystem::path& task, CpuReading* sum) {
  uint64_t run = 0;
  uint64_t wait = 0;
  uint64_t slices = 0;
  if (!(std::ifstream(task / "schedstat") >> run >> wait >> slices)) return;  // it ended
  sum->run_ns += run;
  sum->wait_ns += wait;
  sum->timeslices += slices;
  std::string line;
  std::getline(std::ifstream(task / "stat"), line);
  // The name in parentheses may hold anything; what follows the last one is regular. utime and stime are fields 14 and 15.
  std::istringstream fields(line.substr(std::min(line.size(), line.rfind(')') + 1)));
  std::string skipped;
  for (int field = 3; field < 14; ++field) fields >> skipped;
  uint64_t user = 0;
  uint64_t kernel = 0;
  if (fields >> user >> kernel) {
    sum->user_ticks += user;
    sum->kernel_ticks += kernel;
  }
}

}  // namespace

CpuReading ProcessWatch::read() const {
  CpuReading sum;
  for (const pid_t pid : pids_) {
    std::error_code error;
    for (const auto& task : std::filesystem::directory_iterator(fmt::format("/proc/{}/task", pid), error))
      add_thread(task.path(), &sum);
  }
  return sum;
}

std::string ProcessWatch::json_members() const {
  return fmt::format("\"cpu_ns\":{},\"cpu_wait_ns\":{},\"timeslices\":{},\"user_ticks\":{},\"kernel_ticks\":{}",
                     end_.run_ns - begin_.run_ns, end_.wait_ns - begin_.wait_ns, end_.timeslices - begin_.timeslices,
                     end_.user_ticks - begin_.user_ticks, end_.kernel_ticks - begin_.kernel_ticks);
}

}  // namespace ringside::perf
