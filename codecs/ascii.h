#pragma once
// Case of ASCII letters, eight at a time.
#include <cstdint>
#include <cstring>
#include <string_view>

namespace ringside {

// Lower-cases the ASCII letters among the bytes of one unsigned word.
template <class Word>
constexpr Word lower_case_word(Word word) {
  constexpr auto ones = static_cast<Word>(0x0101010101010101ULL);
  constexpr auto high = static_cast<Word>(ones * 0x80U);
  const auto seven = static_cast<Word>(word & static_cast<Word>(~high));
  const auto from_a = static_cast<Word>(seven + static_cast<Word>(ones * (0x80U - 'A')));      // high bit: at least 'A'
  const auto past_z = static_cast<Word>(seven + static_cast<Word>(ones * (0x80U - 'Z' - 1)));  // high bit: beyond 'Z'
  const auto upper = static_cast<Word>(from_a & static_cast<Word>(~past_z) & static_cast<Word>(~word) & high);
  return static_cast<Word>(word | static_cast<Word>(upper >> 2));
}

constexpr char lower_case(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; }

// Lower-cases in place.
inline void lower_in_place(char* text, size_t size) {
  const auto at = [text]<class Word>(Word word, size_t offset) {
    std::memcpy(&word, text + offset, sizeof word);
    word = lower_case_word(word);
    std::memcpy(text + offset, &word, sizeof word);
  };
  if (size >= 8) {  // words overlap at the end; doing it twice does no harm
    for (size_t offset = 0; offset + 8 < size; offset += 8) at(uint64_t{}, offset);
    return at(uint64_t{}, size - 8);
  }
  if (size >= 4) {
    at(uint32_t{}, 0);
    return at(uint32_t{}, size - 4);
  }
  for (size_t offset = 0; offset < size; ++offset) text[offset] = lower_case(text[offset]);
}

// Equal but for case.
inline bool equals_any_case(std::string_view one, std::string_view other) {
  if (one.size() != other.size()) return false;
  for (size_t at = 0; at < one.size(); ++at)
    if (lower_case(one[at]) != lower_case(other[at])) return false;
  return true;
}

}  // namespace ringside
