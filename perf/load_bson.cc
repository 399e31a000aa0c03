#include "perf/load_bson.h"

#include <bit>
#include <cstring>

#include "core/check.h"

namespace ringside::perf {
namespace {

static_assert(std::endian::native == std::endian::little);

template <class Value>
void append(std::string* text, Value value) {
  char bytes[sizeof value];
  std::memcpy(bytes, &value, sizeof value);
  text->append(bytes, sizeof value);
}

// Of the value at the start of `bytes`; more than there is when it is not whole or of a type that we do not know.
size_t value_bytes(BsonType type, std::string_view bytes) {
  constexpr size_t unknown = ~size_t{0};
  const auto announced = [&](size_t beside) {
    if (bytes.size() < 4 || read_int32(bytes, 0) < 0) return unknown;
    return static_cast<size_t>(read_int32(bytes, 0)) + beside;
  };
  switch (type) {
    case BsonType::real:
    case BsonType::date:
    case BsonType::int64: return 8;
    case BsonType::string: return announced(4);
    case BsonType::document:
    case BsonType::array: return announced(0);
    case BsonType::binary: return announced(5);
    case BsonType::object_id: return object_id_bytes;
    case BsonType::boolean: return 1;
    case BsonType::int32: return 4;
  }
  return unknown;
}

// Takes the element off the start of `rest`.
std::optional<BsonElement> take_element(std::string_view* rest) {
  const size_t name_end = rest->find('\0', 1);
  if (rest->empty() || rest->front() == '\0' || name_end == std::string_view::npos) return std::nullopt;
  BsonElement element{.type = static_cast<BsonType>(rest->front()), .name = rest->substr(1, name_end - 1), .value = {}};
  rest->remove_prefix(name_end + 1);
  const size_t size = value_bytes(element.type, *rest);
  if (size > rest->size() || (element.type == BsonType::string && size < 5)) return std::nullopt;
  element.value = rest->substr(0, size);
  rest->remove_prefix(size);
  return element;
}

}  // namespace

void put_int32(char* out, int32_t value) { std::memcpy(out, &value, sizeof value); }

int32_t read_int32(std::string_view bytes, size_t at) {
  int32_t value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

// --- BsonText ------------------------------------------------------------------------------------------------------------

BsonText::BsonText() : text_(4, '\0'), begins_{0} {}

void BsonText::put_name(BsonType type, std::string_view name) {
  text_ += static_cast<char>(type);
  text_ += name;
  text_ += '\0';
}

BsonText& BsonText::real(std::string_view name, double value) {
  put_name(BsonType::real, name);
  append(&text_, value);
  return *this;
}

BsonText& BsonText::string(std::string_view name, std::string_view value) {
  put_name(BsonType::string, name);
  append(&text_, static_cast<int32_t>(value.size() + 1));
  text_ += value;
  text_ += '\0';
  return *this;
}

BsonText& BsonText::boolean(std::string_view name, bool value) {
  put_name(BsonType::boolean, name);
  text_ += value ? '\1' : '\0';
  return *this;
}

BsonText& BsonText::date(std::string_view name, int64_t milliseconds_since_1970) {
  put_name(BsonType::date, name);
  append(&text_, milliseconds_since_1970);
  return *this;
}

BsonText& BsonText::int32(std::string_view name, int32_t value) {
  put_name(BsonType::int32, name);
  append(&text_, value);
  return *this;
}

BsonText& BsonText::int64(std::string_view name, int64_t value) {
  put_name(BsonType::int64, name);
  append(&text_, value);
  return *this;
}

BsonText& BsonText::uuid(std::string_view name, std::string_view sixteen_bytes) {
  RS_CHECK(sixteen_bytes.size() == 16);
  put_name(BsonType::binary, name);
  append(&text_, int32_t{16});
  text_ += '\4';
  text_ += sixteen_bytes;
  return *this;
}

BsonText& BsonText::raw(std::string_view name, BsonType type, std::string_view value) {
  put_name(type, name);
  text_ += value;
  return *this;
}

BsonText& BsonText::begin(std::string_view name, BsonType document_or_array) {
  put_name(document_or_array, name);
  begins_.push_back(text_.size());
  text_.append(4, '\0');
  return *this;
}

BsonText& BsonText::end() {
  text_ += '\0';
  put_int32(text_.data() + begins_.back(), static_cast<int32_t>(text_.size() - begins_.back()));
  begins_.pop_back();
  return *this;
}

std::string BsonText::finish() {
  RS_CHECK(begins_.size() == 1);
  end();
  return std::move(text_);
}

// --- Reading -------------------------------------------------------------------------------------------------------------

std::string_view take_document(std::string_view bytes) {
  if (bytes.size() < 5) return {};
  const int32_t size = read_int32(bytes, 0);
  if (size < 5 || static_cast<size_t>(size) > bytes.size() || bytes[static_cast<size_t>(size) - 1] != '\0') return {};
  return bytes.substr(0, static_cast<size_t>(size));
}

std::optional<BsonElement> first_element(std::string_view document) {
  if (document.size() < 5) return std::nullopt;
  std::string_view rest = document.substr(4, document.size() - 5);
  return take_element(&rest);
}

std::optional<BsonElement> find_element(std::string_view document, std::string_view name) {
  if (document.size() < 5) return std::nullopt;
  for (std::string_view rest = document.substr(4, document.size() - 5); !rest.empty();) {
    const std::optional<BsonElement> element = take_element(&rest);
    if (!element || element->name == name) return element;
  }
  return std::nullopt;
}

}  // namespace ringside::perf
