#pragma once
// A fixed set of names and what they stand for: one probe or two per question.
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
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
      size_t at = slot_of(entry.name);
      while (!table_[at].name.empty()) at = (at + 1) % slots;
      table_[at] = entry;
    }
  }

  constexpr Value find(std::string_view name) const {
    if (name.empty()) return {};
    for (size_t at = slot_of(name); !table_[at].name.empty(); at = (at + 1) % slots)
      if (table_[at].name == name) return table_[at].value;
    return {};
  }

 private:
  static constexpr size_t slot_of(std::string_view name) {
    const auto byte = [&](size_t at) { return static_cast<size_t>(static_cast<uint8_t>(name[at])); };
    return (name.size() * 37 + byte(0) * 5 + byte(name.size() / 2) * 17 + byte(name.size() - 1) * 3) % slots;
  }

  std::array<Entry, slots> table_{};
};

}  // namespace ringside
