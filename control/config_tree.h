#pragma once
// A configuration file as a tree of mappings, sequences and scalars with their positions: what the YAML and the JSON reader
// make, and what the message reader takes. Scalars stay text, because only the field they are for knows their type.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <memory_resource>
#include <string>
#include <string_view>
#include <vector>

namespace ringside {

// Limits that make reading cost no more than a multiple of the input.
namespace config_limits {
inline constexpr size_t source_bytes_max = 64u << 20;
inline constexpr uint32_t depth_max = 100;                 // nested mappings and sequences
inline constexpr uint64_t expanded_nodes_max = 2'000'000;  // with every alias counted as what it stands for
inline constexpr size_t key_bytes_max = 4096;
inline constexpr size_t errors_max = 200;  // listed; the rest is counted
}  // namespace config_limits

struct ConfigNode;

struct ConfigItem {
  const ConfigNode* key = nullptr;  // null in a sequence
  const ConfigNode* value = nullptr;
  ConfigItem* next = nullptr;
};

// Aliases make two items share one node, so nodes form a graph without cycles. All memory belongs to the ConfigDocument.
struct ConfigNode {
  enum class Kind : uint8_t { scalar, sequence, mapping };

  Kind kind = Kind::scalar;
  bool plain = false;     // scalar written without quotes, so that null, true and 1 may mean something
  uint16_t source = 0;    // index of the document, for messages
  uint32_t line = 0;      // from 1
  uint32_t column = 0;    // from 1, in characters
  uint32_t count = 0;     // items
  uint64_t expanded = 1;  // nodes below and including this one when every alias is followed
  std::string_view text;  // of a scalar, unescaped
  ConfigItem* first = nullptr;
  ConfigItem* last = nullptr;

  bool is_scalar() const { return kind == Kind::scalar; }
  bool is_sequence() const { return kind == Kind::sequence; }
  bool is_mapping() const { return kind == Kind::mapping; }
  // Written as nothing, `~` or `null`: the field is left as if it were absent.
  bool is_null() const {
    return is_scalar() && plain && (text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL");
  }
  // Value of a key, or null. Linear: mappings of a configuration are small.
  const ConfigItem* find(std::string_view key) const;
};

// Owns the text and the nodes of one source. Nodes point into it, so it neither moves nor dies before them.
class ConfigDocument {
 public:
  ConfigDocument(std::string name, std::string text, uint16_t source);
  ConfigDocument(const ConfigDocument&) = delete;
  ConfigDocument& operator=(const ConfigDocument&) = delete;

  const std::string& name() const { return name_; }
  const std::string& text() const { return text_; }
  uint16_t source() const { return source_; }
  const ConfigNode* root() const { return root_; }
  void set_root(const ConfigNode* root) { root_ = root; }

  ConfigNode* make_node(ConfigNode::Kind kind, uint32_t line, uint32_t column);
  // Copies `text`.
  std::string_view keep(std::string_view text);
  // Appends to a mapping (with key) or a sequence (key is null) and adds up the expanded sizes, saturating.
  void append(ConfigNode& parent, const ConfigNode* key, const ConfigNode* value);

  // Text of a line (from 1) without its end; empty when there is no such line.
  std::string_view line(uint32_t number) const;
  // Line and column of a byte of the text, both from 1.
  struct Position {
    uint32_t line = 1, column = 1;
  };
  Position position(size_t byte_offset) const;

 private:
  void index_lines() const;

  std::string name_;
  std::string text_;
  uint16_t source_;
  const ConfigNode* root_ = nullptr;
  std::pmr::monotonic_buffer_resource memory_;
  mutable std::vector<size_t> line_starts_;  // made when the first message needs it
};

// The part of a text that is not UTF-8 or holds a NUL: its offset, or npos. Both readers refuse such input at once.
size_t find_invalid_utf8(std::string_view text);

}  // namespace ringside
