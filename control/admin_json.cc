#include "control/admin_json.h"

#include <fmt/format.h>

#include <utility>

namespace ringside {

namespace {

// Bytes of the UTF-8 sequence at the front of `text` (RFC 3629); 0 when it is none.
size_t utf8_sequence(std::string_view text) {
  const auto byte = [&](size_t at) { return static_cast<unsigned char>(text[at]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  const size_t size = first >= 0xc2 && first <= 0xdf   ? 2
                      : first >= 0xe0 && first <= 0xef ? 3
                      : first >= 0xf0 && first <= 0xf4 ? 4
                                                       : 0;
  if (size == 0 || text.size() < size) return 0;
  for (size_t at = 1; at < size; ++at)
    if ((byte(at) & 0xc0) != 0x80) return 0;
  const unsigned char second = byte(1);
  const bool overlong = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
  const bool surrogate = first == 0xed && second > 0x9f;
  const bool beyond = first == 0xf4 && second > 0x8f;
  return overlong || surrogate || beyond ? 0 : size;
}

void append_escaped_ascii(std::string& out, char c) {
  switch (c) {
    case '"': out += "\\\""; return;
    case '\\': out += "\\\\"; return;
    case '\b': out += "\\b"; return;
    case '\f': out += "\\f"; return;
    case '\n': out += "\\n"; return;
    case '\r': out += "\\r"; return;
    case '\t': out += "\\t"; return;
    default: break;
  }
  if (c < 0x20 || c == 0x7f || c == '<' || c == '>')
    out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
  else
    out += c;
}

}  // namespace

void append_json_text(std::string& out, std::string_view text) {
  out += '"';
  while (!text.empty()) {
    const size_t size = utf8_sequence(text);
    if (size == 0)
      out += "\\ufffd";
    else if (size == 1)
      append_escaped_ascii(out, text[0]);
    else if (text.starts_with("\u2028") || text.starts_with("\u2029"))
      out += text[2] == '\xa8' ? "\\u2028" : "\\u2029";
    else
      out += text.substr(0, size);
    text.remove_prefix(std::max<size_t>(size, 1));
  }
  out += '"';
}

void JsonWriter::new_line() {
  out_ += '\n';
  out_.append(has_entries_.size(), ' ');
}

void JsonWriter::begin_value() {
  if (std::exchange(after_key_, false) || has_entries_.empty()) return;
  if (has_entries_.back()) out_ += ',';
  has_entries_.back() = true;
  new_line();
}

JsonWriter& JsonWriter::open(char bracket) {
  begin_value();
  out_ += bracket;
  has_entries_.push_back(false);
  return *this;
}

JsonWriter& JsonWriter::close(char bracket) {
  const bool had_entries = has_entries_.back();
  has_entries_.pop_back();
  if (had_entries) new_line();
  out_ += bracket;
  if (has_entries_.empty()) out_ += '\n';
  return *this;
}

JsonWriter& JsonWriter::key(std::string_view name) {
  begin_value();
  append_json_text(out_, name);
  out_ += ": ";
  after_key_ = true;
  return *this;
}

JsonWriter& JsonWriter::text(std::string_view value) {
  begin_value();
  append_json_text(out_, value);
  return *this;
}

JsonWriter& JsonWriter::number(uint64_t value) {
  begin_value();
  out_ += fmt::format_int(value).c_str();
  return *this;
}

JsonWriter& JsonWriter::number_text(uint64_t value) {
  begin_value();
  out_ += '"';
  out_ += fmt::format_int(value).c_str();
  out_ += '"';
  return *this;
}

JsonWriter& JsonWriter::boolean(bool value) {
  begin_value();
  out_ += value ? "true" : "false";
  return *this;
}

std::string JsonWriter::take() { return std::exchange(out_, {}); }

}  // namespace ringside
