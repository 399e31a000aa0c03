#include "codecs/mongo/bson_cursor.h"

#include <cstring>

namespace ringside {

namespace {

constexpr size_t length_bytes = 4;

size_t read_length(std::string_view bytes) {
  if (bytes.size() < length_bytes) return SIZE_MAX;
  uint32_t value = 0;
  std::memcpy(&value, bytes.data(), sizeof value);
  return value > INT32_MAX ? SIZE_MAX : value;
}

size_t end_of_regex(std::string_view bytes) {
  const size_t pattern = bytes.find('\0');
  if (pattern == bytes.npos) return SIZE_MAX;
  const size_t options = bytes.find('\0', pattern + 1);
  return options == bytes.npos ? SIZE_MAX : options + 1;
}

// How long the value at the begin of `bytes` is; SIZE_MAX: nobody knows.
size_t size_of_value(BsonType type, std::string_view bytes) {
  const auto sized = [&](size_t least, size_t more) {
    const size_t length = read_length(bytes);
    return length == SIZE_MAX || length < least ? SIZE_MAX : length + more;
  };
  switch (type) {
    case BsonType::undefined:
    case BsonType::null:
    case BsonType::min_key:
    case BsonType::max_key: return 0;
    case BsonType::boolean: return 1;
    case BsonType::int32: return 4;
    case BsonType::real:
    case BsonType::date:
    case BsonType::timestamp:
    case BsonType::int64: return 8;
    case BsonType::object_id: return 12;
    case BsonType::decimal128: return 16;
    case BsonType::text:
    case BsonType::code:
    case BsonType::symbol: return sized(1, length_bytes);
    case BsonType::binary: return sized(0, length_bytes + 1);
    case BsonType::db_pointer: return sized(1, length_bytes + 12);
    case BsonType::document:
    case BsonType::array: return sized(mongo::bson_document_bytes_min, 0);
    case BsonType::code_with_scope: return sized(14, 0);
    case BsonType::regex: return end_of_regex(bytes);
    case BsonType::end: break;
  }
  return SIZE_MAX;
}

}  // namespace

std::string_view BsonElement::text() const {
  const bool counted = type == BsonType::text || type == BsonType::code || type == BsonType::symbol;
  if (!counted || value.size() <= length_bytes || read_length(value) != value.size() - length_bytes) return {};
  return value.substr(length_bytes, value.size() - length_bytes - 1);
}

BsonCursor::BsonCursor(std::string_view document) {
  const size_t length = read_length(document);
  if (length == SIZE_MAX || length < mongo::bson_document_bytes_min) return;
  whole_ = length <= document.size();
  left_ = document.substr(length_bytes, length - length_bytes);
}

bool BsonCursor::next(BsonElement& element) {
  if (left_.empty()) return false;
  element.type = static_cast<BsonType>(static_cast<uint8_t>(left_.front()));
  const size_t key_end = left_.find('\0', 1);
  if (element.type == BsonType::end || key_end == left_.npos || name_of(element.type).empty()) {
    good_ = whole_ && element.type == BsonType::end && left_.size() == 1;
    left_ = {};
    return false;
  }
  element.key = left_.substr(1, key_end - 1);
  const std::string_view rest = left_.substr(key_end + 1);
  const size_t size = size_of_value(element.type, rest);
  if (whole_ && size >= rest.size()) {  // the end needs a byte, too
    left_ = {};
    return false;
  }
  element.value = rest.substr(0, size);
  element.whole = left_.substr(0, key_end + 1 + element.value.size());
  left_.remove_prefix(element.whole.size());
  return true;
}

}  // namespace ringside
