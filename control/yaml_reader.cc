#include "control/yaml_reader.h"

#include <fmt/format.h>
#include <yaml.h>

#include <algorithm>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

namespace ringside {

namespace {

using Kind = ConfigNode::Kind;

constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";
// Mappings with more keys than this are checked for duplicates with a hash set.
constexpr uint32_t linear_keys_max = 16;

uint32_t line_of(const yaml_mark_t& mark) { return static_cast<uint32_t>(mark.line) + 1; }
uint32_t column_of(const yaml_mark_t& mark) { return static_cast<uint32_t>(mark.column) + 1; }

std::string_view text_of(const yaml_char_t* text) {
  return text == nullptr ? std::string_view() : std::string_view(reinterpret_cast<const char*>(text));
}

class Event {
 public:
  Event() = default;
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() { yaml_event_delete(&event_); }
  yaml_event_t* get() { return &event_; }
  const yaml_event_t* operator->() const { return &event_; }

 private:
  yaml_event_t event_{};
};

class Parser {
 public:
  explicit Parser(std::string_view text) {
    good_ = yaml_parser_initialize(&parser_) == 1;
    if (!good_) return;
    yaml_parser_set_encoding(&parser_, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser_, reinterpret_cast<const unsigned char*>(text.data()), text.size());
  }
  Parser(const Parser&) = delete;
  Parser& operator=(const Parser&) = delete;
  ~Parser() {
    if (good_) yaml_parser_delete(&parser_);
  }
  bool next(Event& event) { return good_ && yaml_parser_parse(&parser_, event.get()) == 1; }
  const yaml_parser_t& state() const { return parser_; }

 private:
  yaml_parser_t parser_{};
  bool good_ = false;
};

// One mapping or sequence that is being read.
struct Frame {
  ConfigNode* node;
  std::string anchor;
  const ConfigNode* key = nullptr;  // of a mapping, when its value is due
};

class YamlReader {
 public:
  YamlReader(ConfigDocument& document, ConfigErrorList& errors)
      : document_(document),
        errors_(errors),
        mark_bytes_(document.text().starts_with(byte_order_mark) ? byte_order_mark.size() : 0),
        parser_(std::string_view(document.text()).substr(mark_bytes_)) {}

  bool read() {
    for (;;) {
      Event event;
      if (!parser_.next(event)) return report_syntax();
      if (event->type == YAML_STREAM_END_EVENT) break;
      if (!take(*event.get())) return false;
    }
    if (root_ == nullptr || root_->is_null()) {
      errors_.error_at(document_, 1, 1, "there is nothing in this document", "it needs at least static_resources: {}");
      return false;
    }
    document_.set_root(root_);
    return true;
  }

 private:
  bool fail(const yaml_mark_t& mark, std::string what, std::string help = {}) {
    errors_.error_at(document_, line_of(mark), column_of(mark), std::move(what), std::move(help));
    return false;
  }

  bool take(const yaml_event_t& event) {
    switch (event.type) {
      case YAML_DOCUMENT_START_EVENT:
        if (documents_++ == 0) return true;
        return fail(event.start_mark, "a second document begins here",
                    "everything behind --- would be ignored: remove it");
      case YAML_SCALAR_EVENT: return take_scalar(event);
      case YAML_ALIAS_EVENT: return take_alias(event);
      case YAML_SEQUENCE_START_EVENT:
        return open(Kind::sequence, event, event.data.sequence_start.anchor, event.data.sequence_start.tag);
      case YAML_MAPPING_START_EVENT:
        return open(Kind::mapping, event, event.data.mapping_start.anchor, event.data.mapping_start.tag);
      case YAML_SEQUENCE_END_EVENT:
      case YAML_MAPPING_END_EVENT: return close(event);
      case YAML_NO_EVENT:
      case YAML_STREAM_START_EVENT:
      case YAML_STREAM_END_EVENT:
      case YAML_DOCUMENT_END_EVENT: return true;
    }
    return true;
  }

  // Tags that only repeat what a thing is are fine; others would change what it means.
  bool check_tag(const yaml_event_t& event, const yaml_char_t* tag, std::string_view expected) {
    const std::string_view text = text_of(tag);
    if (text.empty() || text == "!" || text == expected) return true;
    return fail(event.start_mark, fmt::format("tag {} is not supported", text),
                "the type of a value follows from its field: remove the tag");
  }

  bool take_scalar(const yaml_event_t& event) {
    const auto& scalar = event.data.scalar;
    const std::string_view tag = text_of(scalar.tag);
    const bool standard = tag.starts_with("tag:yaml.org,2002:") && tag != "tag:yaml.org,2002:binary";
    if (!standard && !check_tag(event, scalar.tag, "")) return false;
    const std::string_view text(reinterpret_cast<const char*>(scalar.value), scalar.length);
    ConfigNode* node = document_.make_node(Kind::scalar, line_of(event.start_mark), column_of(event.start_mark));
    node->text = document_.keep(text);
    node->plain = scalar.style == YAML_PLAIN_SCALAR_STYLE && tag != "!" && tag != "tag:yaml.org,2002:str";
    if (scalar.anchor != nullptr) anchors_[std::string(text_of(scalar.anchor))] = node;
    return add(event, node);
  }

  bool take_alias(const yaml_event_t& event) {
    const std::string name(text_of(event.data.alias.anchor));
    for (const Frame& frame : stack_) {
      if (frame.anchor == name)
        return fail(event.start_mark, fmt::format("alias *{} stands inside what &{} names", name, name));
    }
    const auto anchor = anchors_.find(name);
    if (anchor == anchors_.end())
      return fail(event.start_mark, fmt::format("alias *{} has no anchor &{} before it", name, name));
    return add(event, anchor->second);
  }

  bool open(Kind kind, const yaml_event_t& event, const yaml_char_t* anchor, const yaml_char_t* tag) {
    const bool is_map = kind == Kind::mapping;
    if (!check_tag(event, tag, is_map ? YAML_MAP_TAG : YAML_SEQ_TAG)) return false;
    if (!stack_.empty() && expects_key(stack_.back())) return fail(event.start_mark, "a key must be a single text");
    if (stack_.size() >= config_limits::depth_max) {
      return fail(event.start_mark, fmt::format("nested more than {} levels deep", config_limits::depth_max));
    }
    ConfigNode* node = document_.make_node(kind, line_of(event.start_mark), column_of(event.start_mark));
    stack_.push_back({node, std::string(text_of(anchor)), nullptr});
    return true;
  }

  bool close(const yaml_event_t& event) {
    Frame frame = std::move(stack_.back());
    stack_.pop_back();
    if (frame.node->is_mapping()) {
      check_duplicate_keys(*frame.node, errors_);
      if (!merge(*frame.node)) return false;
    }
    if (!frame.anchor.empty()) anchors_[frame.anchor] = frame.node;
    return add(event, frame.node);
  }

  static bool expects_key(const Frame& frame) { return frame.node->is_mapping() && frame.key == nullptr; }

  // A complete node goes to where it belongs.
  bool add(const yaml_event_t& event, const ConfigNode* node) {
    if (stack_.empty()) {
      root_ = node;
      return true;
    }
    Frame& frame = stack_.back();
    if (expects_key(frame)) {
      if (!node->is_scalar()) return fail(event.start_mark, "a key must be a single text");
      if (node->text.size() > config_limits::key_bytes_max) return fail(event.start_mark, "this key is too long");
      frame.key = node;
      return true;
    }
    document_.append(*frame.node, std::exchange(frame.key, nullptr), node);
    if (frame.node->expanded > config_limits::expanded_nodes_max) {
      return fail(event.start_mark,
                  fmt::format("aliases make this larger than {} values", config_limits::expanded_nodes_max));
    }
    return true;
  }

  // `<<: *base` and `<<: [*a, *b]`: keys of the mapping win over merged ones, earlier merged ones over later ones.
  bool merge(ConfigNode& mapping) {
    std::vector<const ConfigNode*> bases;
    const auto is_merge = [](const ConfigItem* item) { return item->key->plain && item->key->text == "<<"; };
    for (const ConfigItem* item = mapping.first; item != nullptr; item = item->next) {
      if (is_merge(item) && !collect_bases(*item->value, bases)) return false;
    }
    if (bases.empty()) return true;

    std::unordered_set<std::string_view> known;
    const ConfigItem* own = mapping.first;
    mapping.first = mapping.last = nullptr;
    mapping.count = 0;
    mapping.expanded = 1;
    for (; own != nullptr; own = own->next) {
      if (is_merge(own)) continue;
      known.insert(own->key->text);
      document_.append(mapping, own->key, own->value);
    }
    for (const ConfigNode* base : bases) {
      for (const ConfigItem* item = base->first; item != nullptr; item = item->next) {
        if (known.insert(item->key->text).second) document_.append(mapping, item->key, item->value);
      }
    }
    merged_items_ += mapping.count;
    if (merged_items_ <= config_limits::expanded_nodes_max) return true;
    errors_.error_at(document_, mapping.line, mapping.column, "merge keys make this document too large");
    return false;
  }

  bool collect_bases(const ConfigNode& value, std::vector<const ConfigNode*>& bases) {
    if (value.is_mapping()) {
      bases.push_back(&value);
      return true;
    }
    bool good = value.is_sequence();
    for (const ConfigItem* item = value.first; good && item != nullptr; item = item->next) {
      good = item->value->is_mapping();
      bases.push_back(item->value);
    }
    if (!good) {
      errors_.error_at(document_, value.line, value.column, "the merge key << takes a mapping or a list of mappings",
                       "for example <<: *defaults");
    }
    return good;
  }

  bool report_syntax();

  ConfigDocument& document_;
  ConfigErrorList& errors_;
  size_t mark_bytes_;  // in front, which the parser does not get to see: it would count it as a column
  Parser parser_;
  std::vector<Frame> stack_;
  std::unordered_map<std::string, const ConfigNode*> anchors_;
  const ConfigNode* root_ = nullptr;
  uint32_t documents_ = 0;
  uint64_t merged_items_ = 0;
};

// What to do about the parser's more puzzling sentences.
std::string syntax_help(std::string_view problem, char at) {
  if (at == '\t') return "indent with spaces: YAML allows no tabs there";
  if (problem.find("mapping values are not allowed") != problem.npos) {
    return "is the line above complete, and the indentation right? A text that contains \": \" needs quotes";
  }
  if (problem.find("did not find expected '-' indicator") != problem.npos ||
      problem.find("expected key") != problem.npos) {
    return "the indentation does not fit the lines above";
  }
  if (problem.find("could not find expected ':'") != problem.npos) return "a key needs a colon and a space behind it";
  if (problem.find("cannot start any token") != problem.npos)
    return "a text that begins with this character needs quotes";
  if (problem.find("Unicode character escape") != problem.npos)
    return "characters beyond \\uFFFF are written \\UXXXXXXXX in YAML";
  return {};
}

bool YamlReader::report_syntax() {
  const yaml_parser_t& state = parser_.state();
  std::string what(state.problem == nullptr ? "cannot be read" : state.problem);
  if (state.error == YAML_READER_ERROR) {
    const auto place = document_.position(state.problem_offset + mark_bytes_);
    errors_.error_at(document_, place.line, place.column,
                     fmt::format("character {:#04x} is not allowed", state.problem_value),
                     R"(in double quotes it can be written as \xNN or \uNNNN)");
    return false;
  }
  const yaml_mark_t& mark = state.problem_mark;
  const std::string_view line = document_.line(line_of(mark));
  const std::string help = syntax_help(what, mark.column < line.size() ? line[mark.column] : ' ');
  if (state.context != nullptr && state.context_mark.line != mark.line) {
    what += fmt::format(", {} that begins on line {}", state.context, line_of(state.context_mark));
  } else if (state.context != nullptr) {
    what += fmt::format(" {}", state.context);
  }
  return fail(mark, "not valid YAML: " + what, help);
}

}  // namespace

bool check_config_text(const ConfigDocument& document, ConfigErrorList& errors) {
  const std::string& text = document.text();
  if (text.size() > config_limits::source_bytes_max) {
    errors.error_in_file(document.name(), fmt::format("is larger than {} MiB", config_limits::source_bytes_max >> 20));
    return false;
  }
  const size_t bad = find_invalid_utf8(text);
  if (bad == std::string_view::npos) return true;
  const auto place = document.position(bad);
  const bool wide = text.starts_with("\xff\xfe") || text.starts_with("\xfe\xff");
  errors.error_at(document, place.line, place.column,
                  text[bad] == '\0'
                      ? "a NUL byte is not allowed"
                      : fmt::format("byte {:#04x} is not valid UTF-8", static_cast<unsigned char>(text[bad])),
                  wide ? "this looks like UTF-16: save it as UTF-8" : "save the file as UTF-8");
  return false;
}

void check_duplicate_keys(const ConfigNode& mapping, ConfigErrorList& errors) {
  const auto report = [&errors](const ConfigItem& item, const ConfigNode& before) {
    errors.error({.at = item.key,
                  .path = {},
                  .what = fmt::format("key \"{}\" is there twice, first on line {}", item.key->text, before.line),
                  .help = "one of the two would be ignored: remove it"});
  };
  if (mapping.count <= linear_keys_max) {
    for (const ConfigItem* item = mapping.first; item != nullptr; item = item->next) {
      const ConfigItem* same = mapping.find(item->key->text);
      if (same != item) report(*item, *same->key);
    }
    return;
  }
  std::unordered_map<std::string_view, const ConfigNode*> seen;
  for (const ConfigItem* item = mapping.first; item != nullptr; item = item->next) {
    const auto [place, fresh] = seen.emplace(item->key->text, item->key);
    if (!fresh) report(*item, *place->second);
  }
}

bool read_yaml(ConfigDocument& document, ConfigErrorList& errors) {
  return check_config_text(document, errors) && YamlReader(document, errors).read();
}

}  // namespace ringside
