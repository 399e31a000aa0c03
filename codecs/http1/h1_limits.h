#pragma once
// What one side of an HTTP/1 connection accepts. Held by reference: outlives the codecs.
#include <cstdint>
#include <string_view>

namespace ringside {

// Field names with an underscore: many applications read `a_b` and `a-b` as the same variable.
enum class H1Underscore : uint8_t { allow, reject, drop };

struct H1Limits {
  // Start line and fields with their line ends; the same again for trailers.
  uint32_t header_bytes_max = 60 * 1024;
  uint32_t header_count_max = 100;
  bool accept_http_10 = false;
  bool allow_absolute_url = true;
  // Otherwise trailers are checked and dropped, in both directions.
  bool enable_trailers = false;
  H1Underscore underscore = H1Underscore::allow;
  // Authority of an HTTP/1.0 request without Host; empty: it has none.
  std::string_view default_host_for_http_10 = {};
};

// Not configurable: what no honest peer reaches.
namespace h1 {
inline constexpr uint32_t name_bytes_max = 8 * 1024;
inline constexpr uint32_t connection_tokens_max = 32;             // names listed in Connection
inline constexpr uint32_t informationals_max = 32;                // 1xx in front of one response
inline constexpr uint32_t chunk_size_digits_max = 16;             // of one chunk line, leading zeros included
inline constexpr uint32_t chunk_extension_bytes_max = 1024;       // of one chunk line
inline constexpr uint32_t extension_bytes_total_max = 16 * 1024;  // of one body
}  // namespace h1

}  // namespace ringside
