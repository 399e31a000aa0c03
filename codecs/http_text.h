#pragma once
// The character classes of RFC 9110, 9112 and 9113, and the few loops over text that are on the hot path of every codec.
#include <emmintrin.h>

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace ringside::http {

// RFC 9110 5.6.2
constexpr bool is_token_char(char c) {
  if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) return true;
  return std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

inline constexpr std::array<bool, 256> token_chars = [] {
  std::array<bool, 256> table{};
  for (size_t c = 1; c < 256; ++c) table[c] = is_token_char(static_cast<char>(c));
  return table;
}();

inline bool is_token(std::string_view text) {
  bool good = !text.empty();
  for (const char c : text) good &= token_chars[static_cast<unsigned char>(c)];
  return good;
}

inline std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

namespace detail {

inline __m128i load16(const char* at) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at)); }

// 0xff for each of 16 bytes that is a control character.
inline __m128i controls(__m128i bytes) {
  const __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);
  return _mm_or_si128(low, _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x7f)));
}

// A bit for each of 16 bytes that is no visible ASCII character, or is `refused`.
inline uint32_t invisibles(__m128i bytes, char refused) {
  // Signed: 0x80 and above are negative.
  const __m128i low = _mm_cmplt_epi8(bytes, _mm_set1_epi8(0x21));
  const __m128i del = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x7f));
  const __m128i other = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(refused));
  return static_cast<uint32_t>(_mm_movemask_epi8(_mm_or_si128(_mm_or_si128(low, del), other)));
}

template <size_t size>
inline auto load_word(const char* at) {
  std::conditional_t<size == 8, uint64_t, uint32_t> word;
  std::memcpy(&word, at, size);
  return word;
}

}  // namespace detail

namespace detail {

// How many bytes `mask_of` marks.
template <class MaskOf>
inline size_t count_marked(const char* text, size_t size, MaskOf mask_of) {
  const auto bits = [&](const char* at) { return static_cast<uint32_t>(_mm_movemask_epi8(mask_of(load16(at)))); };
  size_t found = 0;
  size_t at = 0;
  for (; at + 16 <= size; at += 16) found += static_cast<size_t>(std::popcount(bits(text + at)));
  const size_t rest = size - at;
  if (rest == 0) return found;
  // The last 16 bytes once more, without those that were counted.
  if (size >= 16) return found + static_cast<size_t>(std::popcount(bits(text + size - 16) >> (16 - rest)));
  char padded[16];
  for (size_t byte = 0; byte < 16; ++byte) padded[byte] = byte < rest ? text[byte] : ' ';
  return static_cast<size_t>(std::popcount(bits(padded)));
}

}  // namespace detail

// Are there exactly so many control characters, HTABs not counted?
inline bool has_controls(const char* text, size_t size, size_t wanted) {
  const size_t found = detail::count_marked(text, size, [](__m128i bytes) { return detail::controls(bytes); });
  if (found <= wanted) return found == wanted;
  // Hardly ever: a tab in a value.
  const __m128i tab = _mm_set1_epi8('\t');
  return found - detail::count_marked(text, size, [tab](__m128i bytes) { return _mm_cmpeq_epi8(bytes, tab); }) ==
         wanted;
}

// No control character but HTAB: what a field value may hold.
inline bool is_field_value(std::string_view text) { return has_controls(text.data(), text.size(), 0); }

// Only 0x21 to 0x7e, and not `refused` either.
inline bool is_visible(std::string_view text, char refused = '\x7f') {
  size_t at = 0;
  for (; at + 16 <= text.size(); at += 16)
    if (detail::invisibles(detail::load16(text.data() + at), refused) != 0) return false;
  for (; at < text.size(); ++at)
    if (text[at] < 0x21 || text[at] == 0x7f || text[at] == refused) return false;  // char is signed
  return true;
}

// memcpy without the call, for the short pieces that heads are made of. Returns the end of what was written.
inline char* put(char* out, std::string_view text) {
  const char* in = text.data();
  const size_t size = text.size();
  if (size > 16) {
    if (size > 128) {
      std::memcpy(out, in, size);
      return out + size;
    }
    size_t at = 0;
    for (; at + 16 < size; at += 16) std::memcpy(out + at, in + at, 16);
    std::memcpy(out + size - 16, in + size - 16, 16);
  } else if (size >= 8) {
    const auto head = detail::load_word<8>(in);
    const auto tail = detail::load_word<8>(in + size - 8);
    std::memcpy(out, &head, 8);
    std::memcpy(out + size - 8, &tail, 8);
  } else if (size >= 4) {
    const auto head = detail::load_word<4>(in);
    const auto tail = detail::load_word<4>(in + size - 4);
    std::memcpy(out, &head, 4);
    std::memcpy(out + size - 4, &tail, 4);
  } else {
    for (size_t at = 0; at < size; ++at) out[at] = in[at];
  }
  return out + size;
}

// Digits only, no sign, no overflow (RFC 9110 8.6).
inline bool parse_content_length(std::string_view text, uint64_t& length) {
  if (text.empty() || text.size() > 19) return false;  // 19 digits always fit
  uint64_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return false;
    value = value * 10 + static_cast<uint64_t>(c - '0');
  }
  length = value;
  return true;
}

}  // namespace ringside::http
