#include "proxy/request_id.h"

#include <cstring>

namespace ringside {
namespace {

// Eight hex digits of `value`, most significant first, without a loop: each nibble into a byte of its own, then all eight bytes
// from 0..15 to '0'..'9', 'a'..'f' at once.
uint64_t hex_digits(uint32_t value) {
  uint64_t x = value;
  x = (x | x << 16) & 0x0000ffff0000ffff;
  x = ((x | x << 8) & 0x00ff00ff00ff00ff);
  x = ((x | x << 4) & 0x0f0f0f0f0f0f0f0f);
  const uint64_t letters = ((x + 0x0606060606060606) >> 4) & 0x0101010101010101;
  x += 0x3030303030303030 + letters * ('a' - '0' - 10);
  return __builtin_bswap64(x);
}

}  // namespace

void write_request_id(RandomBits random, char* out) {
  const uint64_t high = (random.high & ~uint64_t{0xf000}) | 0x4000;                    // version 4
  const uint64_t low = (random.low & ~(uint64_t{0xc0} << 56)) | uint64_t{0x80} << 56;  // variant 10
  char digits[32];
  const uint64_t parts[4] = {hex_digits(static_cast<uint32_t>(high >> 32)), hex_digits(static_cast<uint32_t>(high)),
                             hex_digits(static_cast<uint32_t>(low >> 32)), hex_digits(static_cast<uint32_t>(low))};
  std::memcpy(digits, parts, sizeof digits);
  std::memcpy(out, digits, 8);
  out[8] = '-';
  std::memcpy(out + 9, digits + 8, 4);
  out[13] = '-';
  std::memcpy(out + 14, digits + 12, 4);
  out[18] = '-';
  std::memcpy(out + 19, digits + 16, 4);
  out[23] = '-';
  std::memcpy(out + 24, digits + 20, 12);
}

std::string_view make_request_id(RandomBits random, Arena& arena) {
  char* out = arena.allocate_text(request_id_bytes);
  write_request_id(random, out);
  return {out, request_id_bytes};
}

}  // namespace ringside
