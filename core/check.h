#pragma once
// Checks of our own invariants. What a peer, the kernel or a file can cause is a Result, never a check.
#include <source_location>

namespace ringside {

// Prints the failed condition with its place and aborts.
[[noreturn]] void check_failed(const char* condition, std::source_location where = std::source_location::current());

}  // namespace ringside

// Always on: continuing on corrupted state is worse than ending.
#define RS_CHECK(condition)                         \
  do {                                              \
    if (!(condition)) [[unlikely]]                  \
      ::ringside::check_failed(#condition);         \
  } while (false)

// Debug and sanitizer builds only: for checks that cost on the data path.
#ifdef NDEBUG
#define RS_DCHECK(condition) static_cast<void>(0)
#else
#define RS_DCHECK(condition) RS_CHECK(condition)
#endif
