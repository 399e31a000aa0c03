#pragma once
// A fixed set of names and what they stand for: one probe or two per question, and mostly two comparisons of numbers.
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <utility>

namespace ringside {

// `slots` is a power of two, above the number of names; Value{} stands for a name that is not in the set.
template <class Value, size_t slots>
class MongoNames {
  static_assert(std::has_single_bit(slots));

 public:
  struct Entry {
    std::string_view name;
    Value value{};
  };

  template <size_t count>
  explicit consteval MongoNames(const Entry (&entries)[count]) {
    static_assert(count < slots);
    for (const Entry& entry : entries) {
      const Ends ends = ends_of(entry.name);
      size_t at = slot_of(ends);
      while (!table_[at].name.empty()) at = (at + 1) % slots;
      table_[at] = {entry.name, ends, entry.value};
    }
  }

  constexpr Value find(std::string_view name) const {
    if (name.empty()) return {};
    const Ends ends = ends_of(name);
    for (size_t at = slot_of(ends); !table_[at].name.empty(); at = (at + 1) % slots) {
      const Slot& slot = table_[at];
      if (slot.ends.first != ends.first || slot.ends.last != ends.last || slot.name.size() != name.size()) continue;
      if (name.size() <= 2 * word_bytes || slot.name == name) return slot.value;
    }
    return {};
  }

 private:
  static constexpr size_t word_bytes = 8;

  // The first and the last eight bytes, which overlap in a shorter name; with its size they are all of a name of up to sixteen.
  struct Ends {
    uint64_t first = 0;
    uint64_t last = 0;
  };
  struct Slot {
    std::string_view name;
    Ends ends;
    Value value{};
  };

  static constexpr uint64_t word_at(const char* bytes, size_t size) {
    if (!std::is_constant_evaluated() && size == word_bytes) {
      uint64_t word = 0;
      std::memcpy(&word, bytes, sizeof word);
      return word;
    }
    uint64_t word = 0;
    for (size_t at = 0; at < size; ++at) word |= uint64_t{static_cast<uint8_t>(bytes[at])} << (8 * at);
    return word;
  }

  static constexpr uint64_t half_at(const char* bytes) {
    if (std::is_constant_evaluated()) return word_at(bytes, 4);
    uint32_t half = 0;
    std::memcpy(&half, bytes, sizeof half);
    return half;
  }

  static constexpr Ends ends_of(std::string_view name) {
    const size_t size = name.size();
    if (size >= word_bytes)
      return {word_at(name.data(), word_bytes), word_at(name.data() + size - word_bytes, word_bytes)};
    if (size >= 4) return {half_at(name.data()), half_at(name.data() + size - 4)};
    return {word_at(name.data(), size), 0};
  }

  static constexpr size_t slot_of(const Ends& ends) {
    return ((ends.first ^ std::rotl(ends.last, 23)) * 0x9e3779b97f4a7c15) >> (64 - std::countr_zero(slots));
  }

  std::array<Slot, slots> table_{};
};

}  // namespace ringside
