#pragma once
// Appends documents to a string.
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "codecs/mongo/bson_walker.h"

namespace ringside {

// One document at the end of `out`, which outlives it. Say end() last.
class BsonWriter {
 public:
  explicit BsonWriter(std::string& out) : out_(out), begin_(out.size()) { append(uint32_t{0}); }

  BsonWriter& real(std::string_view key, double value) {
    head(BsonType::real, key);
    return append(value);
  }
  BsonWriter& int32(std::string_view key, int32_t value) {
    head(BsonType::int32, key);
    return append(value);
  }
  BsonWriter& text(std::string_view key, std::string_view value) {
    head(BsonType::text, key);
    append(static_cast<uint32_t>(value.size() + 1));
    out_.append(value);
    out_.push_back('\0');
    return *this;
  }
  // An element as it stands in another document.
  BsonWriter& copy(std::string_view element) {
    out_.append(element);
    return *this;
  }
  // What a BsonWriter for an array or a document, begun right behind, continues.
  BsonWriter& head(BsonType type, std::string_view key) {
    out_.push_back(static_cast<char>(type));
    out_.append(key);
    out_.push_back('\0');
    return *this;
  }
  void end() {
    out_.push_back('\0');
    const auto size = static_cast<uint32_t>(out_.size() - begin_);
    std::memcpy(out_.data() + begin_, &size, sizeof size);
  }

 private:
  template <class Number>
  BsonWriter& append(Number value) {
    char bytes[sizeof value];
    std::memcpy(bytes, &value, sizeof value);
    out_.append(bytes, sizeof value);
    return *this;
  }

  std::string& out_;
  size_t begin_;
};

}  // namespace ringside
