#include "codecs/mongo/crc32c.h"

#include <array>
#include <cstring>

namespace ringside {

namespace {

#if defined(__SSE4_2__)

// The program is compiled for machines that have the instruction.
uint32_t update(uint32_t state, const char* bytes, size_t size) {
  uint64_t wide = state;
  for (; size >= sizeof(uint64_t); bytes += sizeof(uint64_t), size -= sizeof(uint64_t)) {
    uint64_t part = 0;
    std::memcpy(&part, bytes, sizeof part);
    wide = __builtin_ia32_crc32di(wide, part);
  }
  state = static_cast<uint32_t>(wide);
  for (; size != 0; ++bytes, --size) state = __builtin_ia32_crc32qi(state, static_cast<uint8_t>(*bytes));
  return state;
}

#else

constexpr uint32_t polynomial = 0x82f63b78;  // reflected

constexpr std::array<uint32_t, 256> make_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t at = 0; at < 256; ++at) {
    uint32_t value = at;
    for (int bit = 0; bit < 8; ++bit) value = (value & 1) != 0 ? (value >> 1) ^ polynomial : value >> 1;
    table[at] = value;
  }
  return table;
}

constexpr std::array<uint32_t, 256> table = make_table();

uint32_t update(uint32_t state, const char* bytes, size_t size) {
  for (; size != 0; ++bytes, --size) state = table[(state ^ static_cast<uint8_t>(*bytes)) & 0xff] ^ (state >> 8);
  return state;
}

#endif

}  // namespace

uint32_t crc32c(uint32_t before, std::string_view bytes) { return ~update(~before, bytes.data(), bytes.size()); }

}  // namespace ringside
