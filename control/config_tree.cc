#include "control/config_tree.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <new>
#include <utility>

namespace ringside {

namespace {

constexpr size_t first_chunk_bytes = 16 * 1024;

// Size of the line break at `at`, or 0. The same breaks as YAML 1.1 has, so that line numbers agree with the parser's.
size_t break_bytes(std::string_view text, size_t at) {
  const auto byte = static_cast<unsigned char>(text[at]);
  if (byte == '\n') return 1;
  if (byte == '\r') return at + 1 < text.size() && text[at + 1] == '\n' ? 2 : 1;
  if (byte == 0xc2 && text.substr(at).starts_with("\xc2\x85")) return 2;
  if (byte == 0xe2 && (text.substr(at).starts_with("\xe2\x80\xa8") || text.substr(at).starts_with("\xe2\x80\xa9")))
    return 3;
  return 0;
}

bool is_continuation(char byte) { return (static_cast<unsigned char>(byte) & 0xc0) == 0x80; }

constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";

struct Utf8Lead {
  size_t bytes;
  uint32_t bits;
  uint32_t min;
};

Utf8Lead lead_of(unsigned char byte) {
  if (byte < 0x80) return {1, byte, 0};
  if (byte >= 0xc2 && byte <= 0xdf) return {2, byte & 0x1fu, 0x80};
  if (byte >= 0xe0 && byte <= 0xef) return {3, byte & 0x0fu, 0x800};
  if (byte >= 0xf0 && byte <= 0xf4) return {4, byte & 0x07u, 0x10000};
  return {0, 0, 0};
}

}  // namespace

const ConfigItem* ConfigNode::find(std::string_view key) const {
  if (!is_mapping()) return nullptr;
  for (const ConfigItem* item = first; item != nullptr; item = item->next) {
    if (item->key->text == key) return item;
  }
  return nullptr;
}

ConfigDocument::ConfigDocument(std::string name, std::string text, uint16_t source)
    : name_(std::move(name)), text_(std::move(text)), source_(source), memory_(first_chunk_bytes) {}

ConfigNode* ConfigDocument::make_node(ConfigNode::Kind kind, uint32_t line, uint32_t column) {
  auto* node = new (memory_.allocate(sizeof(ConfigNode), alignof(ConfigNode))) ConfigNode;
  node->kind = kind;
  node->source = source_;
  node->line = line;
  node->column = column;
  return node;
}

std::string_view ConfigDocument::keep(std::string_view text) {
  if (text.empty()) return {};
  char* copy = static_cast<char*>(memory_.allocate(text.size(), 1));
  memcpy(copy, text.data(), text.size());
  return {copy, text.size()};
}

void ConfigDocument::append(ConfigNode& parent, const ConfigNode* key, const ConfigNode* value) {
  auto* item = new (memory_.allocate(sizeof(ConfigItem), alignof(ConfigItem))) ConfigItem{key, value, nullptr};
  (parent.last == nullptr ? parent.first : parent.last->next) = item;
  parent.last = item;
  ++parent.count;
  const uint64_t room = std::numeric_limits<uint64_t>::max() - parent.expanded;
  parent.expanded += std::min(room, value->expanded);
}

void ConfigDocument::index_lines() const {
  line_starts_.push_back(text_.starts_with(byte_order_mark) ? byte_order_mark.size() : 0);
  for (size_t at = 0; at < text_.size();) {
    const size_t bytes = break_bytes(text_, at);
    at += bytes == 0 ? 1 : bytes;
    if (bytes != 0) line_starts_.push_back(at);
  }
}

std::string_view ConfigDocument::line(uint32_t number) const {
  if (line_starts_.empty()) index_lines();
  if (number == 0 || number > line_starts_.size()) return {};
  const size_t start = line_starts_[number - 1];
  size_t end = start;
  while (end < text_.size() && break_bytes(text_, end) == 0) ++end;
  return std::string_view(text_).substr(start, end - start);
}

ConfigDocument::Position ConfigDocument::position(size_t byte_offset) const {
  if (line_starts_.empty()) index_lines();
  byte_offset = std::min(byte_offset, text_.size());
  const auto after = std::upper_bound(line_starts_.begin() + 1, line_starts_.end(), byte_offset);
  const size_t start = std::min(*(after - 1), byte_offset);
  const auto characters =
      std::count_if(text_.begin() + static_cast<ptrdiff_t>(start), text_.begin() + static_cast<ptrdiff_t>(byte_offset),
                    [](char byte) { return !is_continuation(byte); });
  return {static_cast<uint32_t>(after - line_starts_.begin()), static_cast<uint32_t>(characters) + 1};
}

size_t find_invalid_utf8(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    const auto [bytes, lead_bits, min] = lead_of(static_cast<unsigned char>(text[at]));
    if (bytes == 0 || text[at] == '\0' || bytes > text.size() - at) return at;
    uint32_t value = lead_bits;
    for (size_t i = 1; i < bytes; ++i) {
      if (!is_continuation(text[at + i])) return at;
      value = (value << 6) | (static_cast<unsigned char>(text[at + i]) & 0x3fu);
    }
    if (value < min || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff)) return at;
    at += bytes;
  }
  return std::string_view::npos;
}

}  // namespace ringside
