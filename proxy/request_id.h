#pragma once
// x-request-id: a UUID of version 4 (RFC 9562 5.4) as text, as Envoy makes it.
#include <cstdint>
#include <string_view>

#include "core/arena.h"

namespace ringside {

// 128 random bits of the worker (Ring::random).
struct RandomBits {
  uint64_t high = 0;
  uint64_t low = 0;
};

inline constexpr size_t request_id_bytes = 36;
// "xxxxxxxx-xxxx-4xxx-yxxx-xxxxxxxxxxxx". `out` has request_id_bytes bytes.
void write_request_id(RandomBits random, char* out);
std::string_view make_request_id(RandomBits random, Arena& arena);

}  // namespace ringside
