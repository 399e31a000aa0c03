#include "codecs/utf8_check.h"

#include <emmintrin.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

namespace ringside {
namespace {

// What must follow: nothing, so many bytes of continuation, or one of a part of them and then those of a state with one less.
enum State : uint8_t { none, one, two, three, two_high, two_low, three_high, three_low, refused, states };
// Of a byte: what it can be.
enum Class : uint8_t {
  ascii,
  low,     // 80 .. 8f: continuation, as the next two
  middle,  // 90 .. 9f
  high,    // a0 .. bf
  lead2,
  lead3,
  lead3_e0,  // then a0 .. bf: below would be overlong
  lead3_ed,  // then 80 .. 9f: above are surrogates
  lead4,
  lead4_f0,  // then 90 .. bf
  lead4_f4,  // then 80 .. 8f
  never,
  classes
};

constexpr Class class_of(size_t byte) {
  if (byte < 0x80) return ascii;
  if (byte < 0x90) return low;
  if (byte < 0xa0) return middle;
  if (byte < 0xc0) return high;
  if (byte < 0xc2) return never;
  if (byte < 0xe0) return lead2;
  if (byte < 0xf0) return byte == 0xe0 ? lead3_e0 : byte == 0xed ? lead3_ed : lead3;
  if (byte > 0xf4) return never;
  return byte == 0xf0 ? lead4_f0 : byte == 0xf4 ? lead4_f4 : lead4;
}

constexpr State first(Class c) {
  switch (c) {
    case ascii: return none;
    case lead2: return one;
    case lead3: return two;
    case lead3_e0: return two_high;
    case lead3_ed: return two_low;
    case lead4: return three;
    case lead4_f0: return three_high;
    case lead4_f4: return three_low;
    case low:
    case middle:
    case high:
    case never:
    case classes: return refused;
  }
  return refused;
}

constexpr State next(State state, Class c) {
  const bool continues = c == low || c == middle || c == high;
  switch (state) {
    case none: return first(c);
    case one: return continues ? none : refused;
    case two: return continues ? one : refused;
    case three: return continues ? two : refused;
    case two_high: return c == high ? one : refused;
    case two_low: return c == low || c == middle ? one : refused;
    case three_high: return c == middle || c == high ? two : refused;
    case three_low: return c == low ? two : refused;
    case refused:
    case states: return refused;
  }
  return refused;
}

constexpr std::array<uint8_t, 256> byte_classes = [] {
  std::array<uint8_t, 256> table{};
  for (size_t byte = 0; byte < table.size(); ++byte) table[byte] = class_of(byte);
  return table;
}();
constexpr size_t row = 16;
static_assert(classes <= row);
constexpr std::array<uint8_t, states * row> transitions = [] {
  std::array<uint8_t, states * row> table{};
  for (size_t at = 0; at < table.size(); ++at)
    table[at] = at % row < classes ? next(static_cast<State>(at / row), static_cast<Class>(at % row)) : refused;
  return table;
}();

inline bool ascii16(const char* at, __m128i mask) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
  return _mm_movemask_epi8(_mm_xor_si128(bytes, mask)) == 0;
}

// How many ASCII characters `bytes` begin with, counted in fours; the mask stands as before behind them.
inline size_t skip_ascii(std::string_view bytes, uint32_t mask) {
  const char* const data = bytes.data();
  const __m128i wide = _mm_set1_epi32(static_cast<int>(mask));
  size_t at = 0;
  while (at + 16 <= bytes.size() && ascii16(data + at, wide)) at += 16;
  for (; at + 4 <= bytes.size(); at += 4) {
    uint32_t word;
    std::memcpy(&word, data + at, sizeof word);
    if (((word ^ mask) & 0x80808080U) != 0) break;
  }
  return at;
}

}  // namespace

bool Utf8Check::read(std::string_view bytes, uint32_t mask) {
  constexpr size_t stride = 32;  // through the table, before the next look for ASCII
  uint8_t state = state_;
  while (true) {
    if (state == none) {
      bytes.remove_prefix(skip_ascii(bytes, mask));
    }
    const size_t size = std::min(bytes.size(), stride);
    for (size_t at = 0; at < size; ++at) {
      const auto byte = static_cast<uint8_t>(bytes[at] ^ static_cast<char>(mask));
      mask = std::rotr(mask, 8);
      state = transitions[state * row + byte_classes[byte]];
    }
    state_ = state;
    if (state == refused) return false;
    if (bytes.size() == size) return true;
    bytes.remove_prefix(size);
  }
}

}  // namespace ringside
