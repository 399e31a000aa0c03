#pragma once
// The messages of MongoDB that the load generator and its backend exchange, and a reader of messages.
#include <cstdint>
#include <string>
#include <string_view>

#include "perf/load_bson.h"

namespace ringside::perf {

enum class MongoOp : int32_t { reply = 1, query = 2004, message = 2013 };

// How a document is asked for: by OP_MSG, or by the OP_QUERY of drivers before 2018.
enum class MongoFind : uint8_t { message, query };

inline constexpr std::string_view mongo_database = "shop";
inline constexpr std::string_view mongo_collection = "items";
inline constexpr size_t mongo_head_bytes = 16;

struct MongoHead {
  int32_t length_bytes = 0;
  int32_t id = 0;
  int32_t response_to = 0;
  int32_t op = 0;
};
MongoHead read_mongo_head(std::string_view message);

// Takes whole messages off a byte stream.
class MongoScanner {
 public:
  static constexpr size_t message_bytes_max = 48'000'000 + 16 * 1024;
  // The next whole message, taken off `bytes` or put together with what came before; valid until the next call. Empty: there is
  // none yet, and all of `bytes` is kept, or failed().
  std::string_view take(std::string_view* bytes);
  bool failed() const { return failed_; }

 private:
  // Of the message at the start of `bytes`; 0 when that is not known yet or cannot be.
  size_t length_of(std::string_view bytes);
  std::string kept_;
  bool kept_whole_ = false;  // what is kept was the last answer
  bool failed_ = false;
};

// The two numbers of the head that differ from message to message.
void set_mongo_ids(char* message, int32_t id, int32_t response_to);

std::string mongo_query(std::string_view name_space, int32_t number_to_return, std::string_view document);
std::string mongo_reply(std::string_view document);
std::string mongo_message(std::string_view document);

// A message with a place for an ObjectId.
struct MongoTemplate {
  std::string message;
  size_t object_id_at = 0;
  // Valid in messages of this shape.
  std::string_view object_id(std::string_view other) const { return other.substr(object_id_at, object_id_bytes); }
  // Whether `other` is this message but for its ids and what its ObjectId is.
  bool matches(std::string_view other) const;
};

// What drivers send first: isMaster by OP_QUERY, with who they are.
std::string mongo_hello_request();
// What answers hello and isMaster.
std::string mongo_hello_document();
MongoTemplate mongo_find_request(MongoFind find);
// The document with this _id.
std::string mongo_document(BsonType id_type, std::string_view id);
// What a find command answers: the document in the only batch of a cursor.
std::string mongo_cursor_document(std::string_view name_space, std::string_view document);
MongoTemplate mongo_find_reply(MongoFind find);

}  // namespace ringside::perf
