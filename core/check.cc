#include "core/check.h"

#include <cstdio>
#include <cstdlib>

namespace ringside {

void check_failed(const char* condition, std::source_location where) {
  std::fprintf(stderr, "ringside: check failed: %s at %s:%u (%s)\n", condition, where.file_name(), where.line(),
               where.function_name());
  std::abort();
}

}  // namespace ringside
