#pragma once
// JSON as the admin pages print it: one space per level, "key": value, in the order written.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ringside {

class JsonWriter {
 public:
  JsonWriter& begin_object() { return open('{'); }
  JsonWriter& end_object() { return close('}'); }
  JsonWriter& begin_array() { return open('['); }
  JsonWriter& end_array() { return close(']'); }
  JsonWriter& key(std::string_view name);
  JsonWriter& text(std::string_view value);
  JsonWriter& number(uint64_t value);
  // 64-bit numbers are strings, as the mapping of protobuf to JSON has it.
  JsonWriter& number_text(uint64_t value);
  JsonWriter& boolean(bool value);

  // What was written since the last take(). The writer may go on.
  std::string take();
  size_t size() const { return out_.size(); }

 private:
  JsonWriter& open(char bracket);
  JsonWriter& close(char bracket);
  void begin_value();
  void new_line();

  std::string out_;
  std::vector<bool> has_entries_;  // for each open bracket
  bool after_key_ = false;
};

// Quoted, escaped; bytes that are not UTF-8 become U+FFFD. '<' and '>' are escaped, so that a page cannot be taken for HTML.
void append_json_text(std::string& out, std::string_view text);

}  // namespace ringside
