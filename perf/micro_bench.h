#pragma once
// Times one small piece of work without sockets: a loop that grows until it lasts long enough, several times over.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <string_view>

namespace ringside::perf {

// Makes the compiler believe that `value` is used.
template <class T>
void keep(const T& value) {
  asm volatile("" : : "r,m"(value) : "memory");
}

inline int64_t thread_cpu_ns() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

// Prints the time of one `work()`: the least of nine runs, which other tenants of the core disturbed least, and the median.
template <class Work>
void micro_bench(std::string_view name, Work work) {
  constexpr int64_t run_ns = 20'000'000;
  const auto time_of = [&](uint64_t count) {
    const int64_t begin = thread_cpu_ns();
    for (uint64_t at = 0; at < count; ++at) work();
    return thread_cpu_ns() - begin;
  };
  uint64_t count = 1;
  while (time_of(count) < run_ns && count < (uint64_t{1} << 32)) count *= 2;
  std::array<double, 9> runs{};
  for (double& run : runs) run = static_cast<double>(time_of(count)) / static_cast<double>(count);
  std::ranges::sort(runs);
  fmt::print("{:44} {:9.1f} ns   median {:9.1f} ns\n", name, runs.front(), runs[runs.size() / 2]);
  std::fflush(stdout);
}

}  // namespace ringside::perf
