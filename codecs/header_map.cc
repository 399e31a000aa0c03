#include "codecs/header_map.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "core/check.h"

namespace ringside {
namespace {

using detail::header_names;

// --- A perfect hash, found by the compiler ---------------------------------------------------------------------------------

constexpr size_t slots = 512;

// The size and three letters tell all well-known names apart. Letters count alike in both cases; the digits and the hyphen
// of well-known names have that bit set anyway.
constexpr size_t slot_of(std::string_view name, uint32_t multiplier) {
  const auto at = [name](size_t index) {
    return static_cast<uint32_t>(static_cast<unsigned char>(name[index]) | 0x20);
  };
  const size_t size = name.size();
  const size_t last_but_one = size - 1 - (size > 1 ? 1 : 0);
  const uint32_t key = static_cast<uint32_t>(size) << 24 | at(0) << 16 | at(size / 2) << 8 | at(last_but_one);
  return key * multiplier >> (32 - 9);
}

constexpr bool is_perfect(uint32_t multiplier) {
  std::array<bool, slots> taken{};
  for (size_t id = 1; id < header_names.size(); ++id) {
    bool& slot = taken[slot_of(header_names[id], multiplier)];
    if (slot) return false;
    slot = true;
  }
  return true;
}

constexpr uint32_t find_multiplier() {
  uint32_t candidate = 2463534242;
  for (int attempt = 0; attempt < 1000 && !is_perfect(candidate | 1); ++attempt) {  // xorshift32
    candidate ^= candidate << 13;
    candidate ^= candidate >> 17;
    candidate ^= candidate << 5;
  }
  return candidate | 1;
}

constexpr uint32_t multiplier_found = find_multiplier();
static_assert(is_perfect(multiplier_found), "two well-known names share a slot: try more slots");

constexpr std::array<uint8_t, slots> make_table() {
  std::array<uint8_t, slots> table{};
  for (size_t id = 1; id < header_names.size(); ++id)
    table[slot_of(header_names[id], multiplier_found)] = static_cast<uint8_t>(id);
  return table;
}

constexpr std::array<uint8_t, slots> table = make_table();
static_assert(header_names.size() <= 64, "sets of ids are 64-bit masks in the codecs");

// First allocation: an ordinary request with what a proxy adds.
constexpr uint32_t first_capacity = 24;

// How two texts may differ in a bit: not at all, or in the case of letters.
enum class Case : uint8_t { exact = 0, fold = 0x20 };

template <Case how, class Word>
bool same_word(const char* text, const char* known) {
  Word one;
  Word other;
  std::memcpy(&one, text, sizeof one);
  std::memcpy(&other, known, sizeof other);
  constexpr auto ignored = static_cast<Word>(static_cast<Word>(0x0101010101010101ULL) * static_cast<uint8_t>(how));
  return static_cast<Word>(static_cast<Word>(one ^ other) & static_cast<Word>(~ignored)) == 0;
}

// Words overlap at the end, so that nothing beyond either text is read.
template <Case how>
bool same_text(const char* text, const char* known, size_t size) {
  if (size >= 8) {
    for (size_t at = 0; at + 8 < size; at += 8)
      if (!same_word<how, uint64_t>(text + at, known + at)) return false;
    return same_word<how, uint64_t>(text + size - 8, known + size - 8);
  }
  if (size >= 4)
    return same_word<how, uint32_t>(text, known) && same_word<how, uint32_t>(text + size - 4, known + size - 4);
  for (size_t at = 0; at < size; ++at)
    if (!same_word<how, uint8_t>(text + at, known + at)) return false;
  return true;
}

template <Case how>
HeaderId look_up(std::string_view name) {
  if (name.empty()) return HeaderId::other;
  const uint8_t id = table[slot_of(name, multiplier_found)];
  // The empty name of `other` has another size than anything looked up.
  const std::string_view known = header_names[id];
  if (known.size() != name.size()) return HeaderId::other;
  return same_text<how>(name.data(), known.data(), name.size()) ? HeaderId{id} : HeaderId::other;
}

}  // namespace

HeaderId header_id(std::string_view lower_case_name) { return look_up<Case::exact>(lower_case_name); }

// Without the bit for case a letter stands for itself in both cases, and digits and the hyphen of well-known names for
// themselves and control characters, which a name does not have.
HeaderId header_id_any_case(std::string_view name) { return look_up<Case::fold>(name); }

void HeaderMap::reserve(size_t fields) {
  if (fields <= capacity_) return;
  const uint32_t capacity = std::max({first_capacity, capacity_ * 2, static_cast<uint32_t>(fields)});
  auto* bigger = static_cast<HeaderField*>(arena_->allocate(capacity * sizeof(HeaderField), alignof(HeaderField)));
  if (size_ > 0) std::memcpy(static_cast<void*>(bigger), fields_, size_ * sizeof(HeaderField));
  fields_ = bigger;
  capacity_ = capacity;
}

void HeaderMap::set(HeaderId id, std::string_view value) {
  RS_DCHECK(id != HeaderId::other);
  for (uint32_t at = 0; at < size_; ++at) {
    if (fields_[at].id_ != id) continue;
    fields_[at] = {id, header_name(id), value};
    uint32_t kept = at + 1;
    for (uint32_t later = at + 1; later < size_; ++later)
      if (fields_[later].id_ != id) fields_[kept++] = fields_[later];
    size_ = kept;
    return;
  }
  add(id, value);
}

void HeaderMap::set(std::string_view name, std::string_view value) {
  const HeaderId id = header_id(name);
  if (id != HeaderId::other) return set(id, value);
  for (uint32_t at = 0; at < size_; ++at) {
    if (fields_[at].name() != name) continue;
    fields_[at] = {id, name, value};
    uint32_t kept = at + 1;
    for (uint32_t later = at + 1; later < size_; ++later)
      if (fields_[later].name() != name) fields_[kept++] = fields_[later];
    size_ = kept;
    return;
  }
  push({id, name, value});
}

void HeaderMap::append(HeaderId id, std::string_view value, std::string_view separator) {
  for (uint32_t at = 0; at < size_; ++at) {
    if (fields_[at].id_ != id) continue;
    fields_[at] = {id, header_name(id), arena_->concat(fields_[at].value(), separator, value)};
    return;
  }
  add(id, value);
}

size_t HeaderMap::remove(HeaderId id) {
  RS_DCHECK(id != HeaderId::other);
  return remove_if([id](const HeaderField& field) { return field.id() == id; });
}

size_t HeaderMap::remove(std::string_view name) {
  const HeaderId id = header_id(name);
  if (id != HeaderId::other) return remove(id);
  return remove_if([name](const HeaderField& field) { return field.name() == name; });
}

const HeaderField* HeaderMap::find(std::string_view lower_case_name) const {
  const HeaderId id = header_id(lower_case_name);
  if (id != HeaderId::other) return find(id);
  for (const HeaderField& field : *this)
    if (field.id() == HeaderId::other && field.name() == lower_case_name) return &field;
  return nullptr;
}

size_t HeaderMap::wire_bytes() const {
  size_t bytes = 0;
  for (const HeaderField& field : *this) bytes += field.name().size() + field.value().size() + 4;
  return bytes;
}

}  // namespace ringside
