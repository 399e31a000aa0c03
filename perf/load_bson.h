#pragma once
// BSON for the load generator and its backend: writes documents, and finds elements in those of trusted peers. Independent of the
// codec that it measures.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ringside::perf {

enum class BsonType : uint8_t {
  real = 1,
  string = 2,
  document = 3,
  array = 4,
  binary = 5,
  object_id = 7,
  boolean = 8,
  date = 9,
  int32 = 16,
  int64 = 18,
};

inline constexpr size_t object_id_bytes = 12;

// Writes little-endian. `out` has room for the value.
void put_int32(char* out, int32_t value);
int32_t read_int32(std::string_view bytes, size_t at);

// One document; elements come in the order of the calls.
class BsonText {
 public:
  BsonText();
  BsonText& real(std::string_view name, double value);
  BsonText& string(std::string_view name, std::string_view value);
  BsonText& boolean(std::string_view name, bool value);
  BsonText& date(std::string_view name, int64_t milliseconds_since_1970);
  BsonText& int32(std::string_view name, int32_t value);
  BsonText& int64(std::string_view name, int64_t value);
  BsonText& uuid(std::string_view name, std::string_view sixteen_bytes);
  // A value of any type, as it stands in a document.
  BsonText& raw(std::string_view name, BsonType type, std::string_view value);
  // Until end(), elements go into that one.
  BsonText& begin(std::string_view name, BsonType document_or_array);
  BsonText& end();
  // The whole document. The last call.
  std::string finish();

 private:
  void put_name(BsonType type, std::string_view name);
  std::string text_;
  std::vector<size_t> begins_;
};

struct BsonElement {
  BsonType type = BsonType::document;
  std::string_view name;
  std::string_view value;  // as it stands in the document
  // Of a string.
  std::string_view text() const { return value.substr(4, value.size() - 5); }
};

// The document at the start of `bytes`; empty when it is not whole.
std::string_view take_document(std::string_view bytes);
// The first element, or the one with that name. Nothing also when the document breaks the format or has types that no driver puts
// into a command.
std::optional<BsonElement> first_element(std::string_view document);
std::optional<BsonElement> find_element(std::string_view document, std::string_view name);

}  // namespace ringside::perf
