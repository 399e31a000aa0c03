#pragma once
// Messages of MongoDB for tests, made byte by byte.
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace ringside::sim {

template <class Number>
void append_number(std::string& out, Number value) {
  char bytes[sizeof value];
  std::memcpy(bytes, &value, sizeof value);
  out.append(bytes, sizeof bytes);
}

// A BSON document, element by element.
class BsonText {
 public:
  BsonText& text(std::string_view key, std::string_view value) {
    begin('\x02', key);
    append_number(body_, static_cast<int32_t>(value.size() + 1));
    body_.append(value).append(1, '\0');
    return *this;
  }
  BsonText& number(std::string_view key, int32_t value) {
    begin('\x10', key);
    append_number(body_, value);
    return *this;
  }
  BsonText& number64(std::string_view key, int64_t value) {
    begin('\x12', key);
    append_number(body_, value);
    return *this;
  }
  BsonText& flag(std::string_view key, bool value) {
    begin('\x08', key);
    body_ += value ? '\1' : '\0';
    return *this;
  }
  BsonText& document(std::string_view key, const BsonText& value) {
    begin('\x03', key);
    body_ += value.bytes();
    return *this;
  }
  BsonText& array(std::string_view key, const BsonText& value) {
    begin('\x04', key);
    body_ += value.bytes();
    return *this;
  }
  std::string bytes() const {
    std::string out;
    append_number(out, static_cast<int32_t>(body_.size() + 5));
    return out + body_ + std::string(1, '\0');
  }

 private:
  void begin(char type, std::string_view key) { body_.append(1, type).append(key).append(1, '\0'); }
  std::string body_;
};

inline std::string mongo_wire(int32_t opcode, int32_t id, int32_t response_to, std::string_view body) {
  std::string out;
  append_number(out, static_cast<int32_t>(body.size() + 16));
  append_number(out, id);
  append_number(out, response_to);
  append_number(out, opcode);
  return out.append(body);
}

inline std::string op_msg(int32_t id, int32_t response_to, const BsonText& body, uint32_t flags = 0) {
  std::string text;
  append_number(text, flags);
  return mongo_wire(2013, id, response_to, text.append(1, '\0') + body.bytes());
}

inline std::string op_query(int32_t id, std::string_view name_space, const BsonText& query, uint32_t flags = 0) {
  std::string text;
  append_number(text, flags);
  text.append(name_space).append(1, '\0');
  append_number(text, int32_t{0});
  append_number(text, int32_t{-1});
  return mongo_wire(2004, id, 0, text + query.bytes());
}

inline std::string op_reply(int32_t id, int32_t response_to, int64_t cursor, const BsonText& document, uint32_t flags = 8) {
  std::string text;
  append_number(text, flags);
  append_number(text, cursor);
  append_number(text, int32_t{0});
  append_number(text, int32_t{1});
  return mongo_wire(1, id, response_to, text + document.bytes());
}

// {<command>: <collection>, $db: "shop"}
inline BsonText command_of(std::string_view command, std::string_view collection) {
  return BsonText().text(command, collection).text("$db", "shop");
}

inline BsonText ok_reply() { return BsonText().number("ok", 1); }

}  // namespace ringside::sim
