#include "control/json_reader.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "control/yaml_reader.h"

namespace ringside {

namespace {

using Kind = ConfigNode::Kind;

void append_utf8(std::string& out, uint32_t code) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xc0 | (code >> 6));
    out += static_cast<char>(0x80 | (code & 0x3f));
  } else if (code < 0x10000) {
    out += static_cast<char>(0xe0 | (code >> 12));
    out += static_cast<char>(0x80 | ((code >> 6) & 0x3f));
    out += static_cast<char>(0x80 | (code & 0x3f));
  } else {
    out += static_cast<char>(0xf0 | (code >> 18));
    out += static_cast<char>(0x80 | ((code >> 12) & 0x3f));
    out += static_cast<char>(0x80 | ((code >> 6) & 0x3f));
    out += static_cast<char>(0x80 | (code & 0x3f));
  }
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

class JsonReader {
 public:
  JsonReader(ConfigDocument& document, ConfigErrorList& errors, JsonReport report)
      : document_(document), errors_(errors), report_(report), text_(document.text()) {
    if (text_.starts_with("\xef\xbb\xbf")) line_start_ = at_ = 3;
  }

  bool read() {
    skip_space();
    const ConfigNode* root = value(0);
    if (root == nullptr) return false;
    skip_space();
    if (at_ != text_.size()) return fail("nothing may stand behind the end of the JSON value") != nullptr;
    document_.set_root(root);
    return true;
  }

 private:
  const ConfigNode* fail(std::string what) {
    if (report_ == JsonReport::yes) errors_.error_at(document_, line_, column(at_), "not valid JSON: " + what);
    return nullptr;
  }

  // Characters since the start of the line. Asked in ascending order, so that a long line is counted once.
  uint32_t column(size_t offset) {
    if (counted_to_ < line_start_ || counted_to_ > offset) {
      counted_to_ = line_start_;
      counted_ = 0;
    }
    for (; counted_to_ < offset; ++counted_to_)
      counted_ += (static_cast<unsigned char>(text_[counted_to_]) & 0xc0) != 0x80;
    return counted_ + 1;
  }

  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }

  void skip_space() {
    for (; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (c == '\n' || (c == '\r' && (at_ + 1 == text_.size() || text_[at_ + 1] != '\n'))) {
        ++line_;
        line_start_ = at_ + 1;
      } else if (c != ' ' && c != '\t' && c != '\r') {
        return;
      }
    }
  }

  const ConfigNode* value(uint32_t depth) {
    if (depth >= config_limits::depth_max)
      return fail(fmt::format("nested more than {} levels deep", config_limits::depth_max));
    const char c = peek();
    if (c == '{') return object(depth);
    if (c == '[') return array(depth);
    if (c == '"') return string();
    if (c == '-' || is_digit(c)) return number();
    for (const std::string_view word : {"true", "false", "null"}) {
      if (text_.substr(at_).starts_with(word)) return scalar(word.size());
    }
    if (at_ == text_.size()) return fail("it ends where a value is due");
    return fail("a value is due here (text needs double quotes)");
  }

  ConfigNode* make(Kind kind) { return document_.make_node(kind, line_, column(at_)); }

  const ConfigNode* scalar(size_t bytes) {
    ConfigNode* node = make(Kind::scalar);
    node->plain = true;
    node->text = text_.substr(at_, bytes);
    at_ += bytes;
    return node;
  }

  const ConfigNode* number() {
    size_t end = at_ + (text_[at_] == '-' ? 1 : 0);
    const auto digits = [this, &end] {
      const size_t start = end;
      while (end < text_.size() && is_digit(text_[end])) ++end;
      return end > start;
    };
    const bool zero = end < text_.size() && text_[end] == '0';
    if (!digits() || (zero && end - at_ > (text_[at_] == '-' ? 2u : 1u))) return fail("this is not a number");
    if (end < text_.size() && text_[end] == '.') {
      ++end;
      if (!digits()) return fail("this is not a number");
    }
    if (end < text_.size() && (text_[end] == 'e' || text_[end] == 'E')) {
      ++end;
      if (end < text_.size() && (text_[end] == '+' || text_[end] == '-')) ++end;
      if (!digits()) return fail("this is not a number");
    }
    return scalar(end - at_);
  }

  const ConfigNode* array(uint32_t depth) {
    ConfigNode* node = make(Kind::sequence);
    ++at_;
    skip_space();
    if (peek() == ']') return ++at_, node;
    for (;;) {
      const ConfigNode* item = value(depth + 1);
      if (item == nullptr) return nullptr;
      document_.append(*node, nullptr, item);
      skip_space();
      if (peek() == ']') return ++at_, node;
      if (peek() != ',') return fail("\",\" or \"]\" is due here");
      ++at_;
      skip_space();
      if (peek() == ']') return fail("there is no value behind the last \",\"");
    }
  }

  const ConfigNode* object(uint32_t depth) {
    ConfigNode* node = make(Kind::mapping);
    ++at_;
    skip_space();
    if (peek() == '}') return ++at_, node;
    for (;;) {
      if (peek() != '"')
        return fail(peek() == '}' ? "there is no key behind the last \",\"" : "a key in double quotes is due here");
      const ConfigNode* key = string();
      if (key == nullptr) return nullptr;
      skip_space();
      if (peek() != ':') return fail("\":\" is due here");
      ++at_;
      skip_space();
      const ConfigNode* item = value(depth + 1);
      if (item == nullptr) return nullptr;
      document_.append(*node, key, item);
      skip_space();
      if (peek() == '}') break;
      if (peek() != ',') return fail("\",\" or \"}\" is due here");
      ++at_;
      skip_space();
    }
    ++at_;
    if (report_ == JsonReport::yes) check_duplicate_keys(*node, errors_);
    return node;
  }

  const ConfigNode* string() {
    ConfigNode* node = make(Kind::scalar);
    ++at_;
    const size_t start = at_;
    while (at_ < text_.size() && text_[at_] != '"' && text_[at_] != '\\' &&
           static_cast<unsigned char>(text_[at_]) >= 0x20)
      ++at_;
    if (peek() == '"') {  // nothing escaped: no copy
      node->text = text_.substr(start, at_++ - start);
      return node;
    }
    std::string out(text_.substr(start, at_ - start));
    while (at_ < text_.size() && text_[at_] != '"') {
      if (static_cast<unsigned char>(text_[at_]) < 0x20)
        return fail("a line end or control character inside a text (write \\n, \\t)");
      if (text_[at_] != '\\') {
        out += text_[at_++];
      } else if (!escape(out)) {
        return nullptr;
      }
    }
    if (at_ == text_.size()) return fail("the text is not closed with a double quote");
    ++at_;
    node->text = document_.keep(out);
    return node;
  }

  bool escape(std::string& out) {
    constexpr std::string_view names = "\"\\/bfnrt", values = "\"\\/\b\f\n\r\t";
    const char kind = at_ + 1 < text_.size() ? text_[at_ + 1] : '\0';
    if (kind == 'u') return unicode_escape(out);
    const size_t place = kind == '\0' ? names.npos : names.find(kind);
    if (place == names.npos) return fail("there is no such escape") != nullptr;
    out += values[place];
    at_ += 2;
    return true;
  }

  // Four hexadecimal digits at an offset.
  std::optional<uint32_t> hex4(size_t offset) const {
    if (offset + 4 > text_.size()) return std::nullopt;
    uint32_t value = 0;
    const char* start = text_.data() + offset;
    const auto done = std::from_chars(start, start + 4, value, 16);
    return done.ec == std::errc() && done.ptr == start + 4 ? std::optional(value) : std::nullopt;
  }

  bool unicode_escape(std::string& out) {
    const auto code = hex4(at_ + 2);
    if (!code) return fail("\\u takes four hexadecimal digits") != nullptr;
    if (*code == 0) return fail("\\u0000 is not allowed") != nullptr;
    if (*code >= 0xdc00 && *code <= 0xdfff)
      return fail("the second half of a surrogate pair without the first") != nullptr;
    if (*code < 0xd800 || *code > 0xdbff) {
      append_utf8(out, *code);
      at_ += 6;
      return true;
    }
    const auto low = text_.substr(at_ + 6).starts_with("\\u") ? hex4(at_ + 8) : std::nullopt;
    if (!low || *low < 0xdc00 || *low > 0xdfff)
      return fail("the first half of a surrogate pair without the second") != nullptr;
    append_utf8(out, 0x10000 + ((*code - 0xd800) << 10) + (*low - 0xdc00));
    at_ += 12;
    return true;
  }

  ConfigDocument& document_;
  ConfigErrorList& errors_;
  JsonReport report_;
  std::string_view text_;
  size_t at_ = 0;
  uint32_t line_ = 1;
  size_t line_start_ = 0;
  size_t counted_to_ = 0;
  uint32_t counted_ = 0;
};

}  // namespace

bool read_json(ConfigDocument& document, ConfigErrorList& errors, JsonReport report) {
  if (report == JsonReport::no && (document.text().size() > config_limits::source_bytes_max ||
                                   find_invalid_utf8(document.text()) != std::string_view::npos)) {
    return false;
  }
  if (report == JsonReport::yes && !check_config_text(document, errors)) return false;
  return JsonReader(document, errors, report).read();
}

}  // namespace ringside
