#include "codecs/utf8_check.h"

#include <tmmintrin.h>

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

// --- sixteen bytes at once

// Each kind of mistake that two neighbours can make is a product of three sets: of the upper and the lower half of the first byte, and
// of the upper half of the second one. A bit for each of them in three tables: all three together say which were made.
struct Mistake {
  uint16_t first_upper, first_lower, second_upper;  // bit n: the half may be n
};
constexpr uint16_t halves(unsigned from, unsigned to) { return static_cast<uint16_t>((2u << to) - (1u << from)); }
constexpr uint16_t any_half = halves(0, 15), continuation_half = halves(8, 11);
constexpr uint16_t no_continuation_half = any_half & static_cast<uint16_t>(~continuation_half);
constexpr std::array<Mistake, 8> mistakes = {{
    {halves(0xc, 0xf), any_half, no_continuation_half},                                                  // a character is cut
    {halves(0x0, 0x7), any_half, continuation_half},                                                     // none has begun
    {halves(0xc, 0xc), halves(0x0, 0x1), continuation_half},                                             // c0, c1: overlong
    {halves(0xe, 0xe), halves(0x0, 0x0), halves(0x8, 0x9)},                                              // e0: overlong
    {halves(0xe, 0xe), halves(0xd, 0xd), halves(0xa, 0xb)},                                              // ed: a surrogate
    {halves(0xf, 0xf), halves(0x0, 0x0) | halves(0x5, 0xf), halves(0x8, 0x8)},                           // f0: overlong; f5 and up
    {halves(0xf, 0xf), halves(0x4, 0xf), halves(0x9, 0xb)},                                              // f4 and up: too large
    {continuation_half, any_half, continuation_half},  // none where a character of three or four bytes goes on: see below
}};
constexpr int goes_on = 0x80;  // the bit of the last one

struct MistakeTables {
  alignas(16) std::array<uint8_t, 16> first_upper{}, first_lower{}, second_upper{};
};
constexpr MistakeTables mistake_tables = [] {
  MistakeTables tables;
  for (size_t bit = 0; bit < mistakes.size(); ++bit)
    for (size_t half = 0; half < 16; ++half) {
      const auto add = [&](std::array<uint8_t, 16>& table, uint16_t set) {
        table[half] = static_cast<uint8_t>(table[half] | (set >> half & 1) << bit);
      };
      add(tables.first_upper, mistakes[bit].first_upper);
      add(tables.first_lower, mistakes[bit].first_lower);
      add(tables.second_upper, mistakes[bit].second_upper);
    }
  return tables;
}();

inline __m128i look_up(const std::array<uint8_t, 16>& table, __m128i half) {
  return _mm_shuffle_epi8(_mm_load_si128(reinterpret_cast<const __m128i*>(table.data())), half);
}
inline __m128i upper(__m128i bytes) { return _mm_and_si128(_mm_srli_epi16(bytes, 4), _mm_set1_epi8(0x0f)); }

// Whether the sixteen bytes behind `before` are wrong; of a character that is cut at the end, what there is of it.
inline bool is_wrong(__m128i before, __m128i bytes) {
  const __m128i first = _mm_alignr_epi8(bytes, before, 15);
  const __m128i made = _mm_and_si128(_mm_and_si128(look_up(mistake_tables.first_upper, upper(first)),
                                                   look_up(mistake_tables.first_lower, _mm_and_si128(first, _mm_set1_epi8(0x0f)))),
                                     look_up(mistake_tables.second_upper, upper(bytes)));
  // Behind e0 and up, the byte after the next goes on; behind f0 and up, the one after that as well.
  const __m128i third = _mm_subs_epu8(_mm_alignr_epi8(bytes, before, 14), _mm_set1_epi8(0xe0 - goes_on));
  const __m128i fourth = _mm_subs_epu8(_mm_alignr_epi8(bytes, before, 13), _mm_set1_epi8(static_cast<char>(0xf0 - goes_on)));
  const __m128i must = _mm_and_si128(_mm_or_si128(third, fourth), _mm_set1_epi8(static_cast<char>(goes_on)));
  const __m128i equal = _mm_cmpeq_epi8(_mm_xor_si128(must, made), _mm_setzero_si128());
  return _mm_movemask_epi8(equal) != 0xffff;
}

constexpr size_t wrong = SIZE_MAX;

// Begins and ends between two characters. How many bytes are good: blocks of sixteen up to one of ASCII alone, less what a character
// at the end lacks; or `wrong`.
size_t check_blocks(std::string_view bytes, uint32_t mask) {
  const __m128i wide = _mm_set1_epi32(static_cast<int>(mask));
  __m128i before = _mm_setzero_si128();
  size_t at = 0;
  while (at + 16 <= bytes.size()) {
    const __m128i block = _mm_xor_si128(_mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes.data() + at)), wide);
    if (is_wrong(before, block)) return wrong;
    before = block;
    at += 16;
    if (_mm_movemask_epi8(block) == 0) return at;
  }
  alignas(16) std::array<uint8_t, 16> last;
  _mm_store_si128(reinterpret_cast<__m128i*>(last.data()), before);
  for (size_t back = 1; back <= 3 && last[16 - back] >= 0x80; ++back)
    if (last[16 - back] >= 0xc0) return at - back;
  return at;
}

}  // namespace

bool Utf8Check::read(std::string_view bytes, uint32_t mask) {
  constexpr size_t stride = 16;  // through the table, before the next look for blocks
  uint8_t state = state_;
  while (true) {
    if (state == none) {
      bytes.remove_prefix(skip_ascii(bytes, mask));
      if (bytes.size() >= 16) {
        const size_t good = check_blocks(bytes, mask);
        if (good == wrong) return false;
        bytes.remove_prefix(good);
        mask = std::rotr(mask, static_cast<int>(good % 4 * 8));
        if (bytes.size() >= 16) continue;
      }
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
