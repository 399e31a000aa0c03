#include "codecs/mongo/mongo_shape.h"

#include <algorithm>

#include "codecs/mongo/bson_cursor.h"
#include "codecs/mongo/mongo_names.h"

namespace ringside {

namespace {

constexpr uint32_t depth_max = 24;
constexpr size_t elements_max = 64;  // of an array, looked at
constexpr std::string_view dots = "\"...\"";
constexpr std::string_view cut_field = "\"...\":\"...\"";
constexpr size_t bytes_min = 64;

// What nobody wants in a log, and what would be there for each command.
constexpr MongoNames<bool, 64> left_out{{
    {"lsid", true},
    {"$clusterTime", true},
    {"$db", true},
    {"$readPreference", true},
    {"$comment", true},
    {"$client", true},
    {"$audit", true},
    {"$configServerState", true},
    {"comment", true},
    {"client", true},
    {"payload", true},
    {"key", true},
    {"nonce", true},
    {"pwd", true},
    {"mechanismProperties", true},
    {"speculativeAuthenticate", true},
    {"saslSupportedMechs", true},
}};

class Shape {
 public:
  Shape(std::string& out, size_t bytes_max) : out_(out), end_(out.size() + std::max(bytes_max, bytes_min)) {}

  void document(std::string_view bytes, uint32_t depth) {
    out_.push_back('{');
    BsonCursor cursor(bytes);
    bool first = true;
    for (BsonElement element; !cut_ && cursor.next(element);) {
      if (depth == 0 && left_out.find(element.key)) continue;
      // The comma, the key if each of its bytes were escaped, and a value's least.
      if (!fits(6 * element.key.size() + 8 + longest_literal, depth)) return cut_object(first);
      if (!first) out_.push_back(',');
      first = false;
      string(element.key);
      out_.push_back(':');
      value(element, depth);
    }
    if (!cut_ && !cursor.good()) return cut_object(first);
    out_.push_back('}');
  }

 private:
  static constexpr size_t longest_literal = 24;

  // Room for so much, and for all that is needed to end in good order.
  bool fits(size_t bytes, uint32_t depth) const {
    return out_.size() + bytes + cut_field.size() + 2 + depth + 1 <= end_;
  }

  void cut_object(bool first) {
    if (!first) out_.push_back(',');
    out_.append(cut_field);
    out_.push_back('}');
    cut_ = true;
  }

  void value(const BsonElement& element, uint32_t depth) {
    const bool deeper = depth + 1 < depth_max;
    if (element.type == BsonType::document && deeper) return document(element.value, depth + 1);
    if (element.type == BsonType::array && deeper) return array(element.value, depth + 1);
    out_.append("\"?").append(name_of(element.type)).append("\"");
  }

  void array(std::string_view bytes, uint32_t depth) {
    out_.push_back('[');
    BsonCursor cursor(bytes);
    size_t last_begin = 0, last_size = 0, count = 0;
    bool repeated = false;
    for (BsonElement element; !cut_ && cursor.next(element); ++count) {
      if (count == elements_max || !fits(longest_literal + 2, depth)) break;
      const size_t before = out_.size();
      if (count != 0) out_.push_back(',');
      const size_t begin = out_.size();
      value(element, depth);
      if (count != 0 && !cut_ && equal(last_begin, last_size, begin)) {
        out_.resize(before);
        if (!repeated) out_.append(",").append(dots);
        repeated = true;
        continue;
      }
      repeated = false;
      last_begin = begin;
      last_size = out_.size() - begin;
    }
    if (!cut_ && !cursor.good()) {
      if (!repeated) out_.append(count == 0 ? "" : ",").append(dots);
      cut_ = count != elements_max;
    }
    out_.push_back(']');
  }

  bool equal(size_t at, size_t size, size_t other) const {
    return out_.size() - other == size && out_.compare(at, size, out_, other, size) == 0;
  }

  void string(std::string_view text) {
    constexpr std::string_view digits = "0123456789abcdef";
    out_.push_back('"');
    for (const char letter : text) {
      const auto byte = static_cast<uint8_t>(letter);
      if (byte < 0x20 || byte >= 0x7f) {  // of UTF-8, too: nobody has checked it
        out_.append("\\u00").append(1, digits[byte >> 4]).append(1, digits[byte & 15]);
        continue;
      }
      if (letter == '"' || letter == '\\') out_.push_back('\\');
      out_.push_back(letter);
    }
    out_.push_back('"');
  }

  std::string& out_;
  size_t end_;
  bool cut_ = false;
};

}  // namespace

void append_mongo_shape(std::string& out, std::string_view document, size_t bytes_max) {
  Shape(out, bytes_max).document(document, 0);
}

}  // namespace ringside
