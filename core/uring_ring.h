#pragma once
// Ring on io_uring: single issuer, deferred task work, multishot accept and receive into provided blocks, sends that report
// only what the kernel did not do at once. Needs Linux 6.1; see uring_supported().
#include <memory>
#include <string>

#include "core/block_pool.h"
#include "core/ring.h"

namespace ringside {

// Whether this kernel (and its seccomp filter) lets us use io_uring with everything that UringRing needs; when not, why.
struct UringProbe {
  bool supported = false;
  std::string detail;
};
UringProbe probe_uring();

// Made by the thread that turns it, or made disabled there: only that thread may enter it. Throws nothing; null and `why` on failure.
std::unique_ptr<Ring> make_uring_ring(BlockPools& pools, std::string* why);

}  // namespace ringside
