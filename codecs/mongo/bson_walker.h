#pragma once
// Walks a BSON document that arrives in pieces cut anywhere. What nobody wants is skipped by its length without being looked at;
// names and wanted values are seen where they were received, or gathered up to a bound when a cut goes through them.
//
// libbson is not used here: it reads a document that lies in one piece, and a document of 16 MB never does. The tests compare
// with it.
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "codecs/mongo/mongo_message.h"

namespace ringside {

enum class BsonType : uint8_t {
  end = 0x00,
  real = 0x01,
  text = 0x02,
  document = 0x03,
  array = 0x04,
  binary = 0x05,
  undefined = 0x06,
  object_id = 0x07,
  boolean = 0x08,
  date = 0x09,
  null = 0x0a,
  regex = 0x0b,
  db_pointer = 0x0c,
  code = 0x0d,
  symbol = 0x0e,
  code_with_scope = 0x0f,
  int32 = 0x10,
  timestamp = 0x11,
  int64 = 0x12,
  decimal128 = 0x13,
  max_key = 0x7f,
  min_key = 0xff,
};

namespace mongo {
inline constexpr uint32_t bson_depth_max = 200;
inline constexpr uint32_t bson_document_bytes_min = 5;
// Longer names and wanted texts are cut.
inline constexpr uint32_t bson_text_bytes_max = 256;
}  // namespace mongo

// "int32", "objectId" ...; empty for a number that is no type.
std::string_view name_of(BsonType type);

enum class BsonStep : uint8_t {
  more,     // all bytes were taken
  element,  // type() and key(); its value is skipped unless enter() or want() is called now
  value,    // what want() asked for: text() or number()
  leave,    // the document or array entered last is over
  done,     // the document is over
  broken,   // failure() says why; nothing more can be known about this document
};

class BsonWalker {
 public:
  // The next bytes begin a document for which there is room for so many bytes.
  void begin(uint32_t bytes_max);
  // Views that it gave before are void after the call.
  BsonStep next(std::string_view& bytes);

  BsonType type() const { return type_; }
  std::string_view key() const { return key_; }
  // The key was longer than the bound: key() is its begin.
  bool key_cut() const { return key_cut_; }
  // At `element`: of its parent; 0 is the document itself.
  uint32_t depth() const { return depth_; }

  // At an `element` that is a document or an array: its elements come next, then a `leave`.
  void enter() { action_ = Action::enter; }
  // At an `element` that is a text, a code, a symbol or of a fixed size up to 16 bytes: `value` comes next. (Others are skipped.)
  void want() { action_ = Action::want; }

  // At `value`: of a text, code or symbol.
  std::string_view text() const { return text_; }
  bool text_cut() const { return text_cut_; }
  // At `value`: of int32, int64, double (cut off, within the range), boolean, date or timestamp; 0 of others.
  int64_t number() const;
  // At `value`: a number or boolean that is not 0.
  bool truth() const;

  MongoFailure failure() const { return failure_; }
  // Of the document, once its first four bytes were read.
  uint32_t document_bytes() const { return ends_[0]; }
  uint32_t read_bytes() const { return at_; }

 private:
  enum class State : uint8_t { type, value, length, key, sized, text, skip, regex, over };
  enum class Action : uint8_t { skip, enter, want };

  BsonStep next_in_pieces(std::string_view& bytes);
  bool begins_whole(std::string_view bytes) const;
  BsonStep first_key(std::string_view& bytes);
  BsonStep next_key(std::string_view& bytes, const char* at, size_t near);
  bool take_value(const char* bytes, size_t size);
  BsonStep begin_document(std::string_view& bytes);
  BsonStep read_key(std::string_view& bytes);
  BsonStep read_value(std::string_view& bytes);
  BsonStep read_sized(std::string_view& bytes);
  BsonStep read_text(std::string_view& bytes);
  BsonStep read_regex(std::string_view& bytes);
  BsonStep leave();
  BsonStep enter_container(uint32_t length_bytes);
  BsonStep skip_value(uint32_t value_bytes);
  BsonStep fail(MongoFailure failure);
  // `wanted` bytes in one piece; nullptr: not all there yet.
  const char* gather(std::string_view& bytes, uint32_t wanted);
  bool keep(std::string_view part);
  void consume(std::string_view& bytes, size_t count);
  uint32_t room() const { return ends_[depth_] - at_; }

  uint32_t at_ = 0;
  uint32_t left_bytes_ = 0;  // of the value under way
  uint32_t depth_ = 0;
  State state_ = State::over;
  Action action_ = Action::skip;
  BsonType type_ = BsonType::end;
  MongoFailure failure_ = MongoFailure::none;
  bool key_cut_ = false;
  bool text_cut_ = false;
  uint8_t strings_left_ = 0;  // of a regular expression
  uint16_t gathered_bytes_ = 0;
  std::string_view key_;
  std::string_view text_;
  std::array<char, mongo::bson_text_bytes_max + 1> gathered_;  // a text with its NUL
  std::array<uint32_t, mongo::bson_depth_max> ends_;
};

}  // namespace ringside
