#include "perf/load_mongo_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "core/check.h"

namespace ringside::perf {
namespace {

constexpr int32_t await_capable = 8;  // a flag of OP_REPLY that servers set
// Stands where an ObjectId will be; nothing else in a message looks like it.
constexpr std::string_view object_id_mark = "\xf1\xf2\xf3\xf4\xf5\xf6\xf7\xf8\xf9\xfa\xfb\xfc";
static_assert(object_id_mark.size() == object_id_bytes);

std::string with_head(MongoOp op, std::string_view body) {
  std::string message(mongo_head_bytes, '\0');
  put_int32(message.data(), static_cast<int32_t>(mongo_head_bytes + body.size()));
  put_int32(message.data() + 12, static_cast<int32_t>(op));
  return message.append(body);
}

void append_int32(std::string* text, int32_t value) {
  text->append(4, '\0');
  put_int32(text->data() + text->size() - 4, value);
}

MongoTemplate make_template(std::string message) {
  const size_t at = message.find(object_id_mark);
  RS_CHECK(at != std::string::npos);
  return {.message = std::move(message), .object_id_at = at};
}

std::string name_space() { return fmt::format("{}.{}", mongo_database, mongo_collection); }

}  // namespace

MongoHead read_mongo_head(std::string_view message) {
  return {read_int32(message, 0), read_int32(message, 4), read_int32(message, 8), read_int32(message, 12)};
}

void set_mongo_ids(char* message, int32_t id, int32_t response_to) {
  put_int32(message + 4, id);
  put_int32(message + 8, response_to);
}

std::string mongo_query(std::string_view name_space_text, int32_t number_to_return, std::string_view document) {
  std::string body(4, '\0');
  body.append(name_space_text) += '\0';
  append_int32(&body, 0);
  append_int32(&body, number_to_return);
  return with_head(MongoOp::query, body.append(document));
}

std::string mongo_reply(std::string_view document) {
  std::string body;
  append_int32(&body, await_capable);
  body.append(12, '\0');  // no cursor, from the first
  append_int32(&body, 1);
  return with_head(MongoOp::reply, body.append(document));
}

std::string mongo_message(std::string_view document) {
  return with_head(MongoOp::message, std::string(5, '\0').append(document));  // no flags, a section of kind 0
}

// --- MongoScanner --------------------------------------------------------------------------------------------------------

size_t MongoScanner::length_of(std::string_view bytes) {
  if (bytes.size() < 4) return 0;
  const int32_t length = read_int32(bytes, 0);
  failed_ = length < static_cast<int32_t>(mongo_head_bytes) || static_cast<size_t>(length) > message_bytes_max;
  return failed_ ? 0 : static_cast<size_t>(length);
}

std::string_view MongoScanner::take(std::string_view* bytes) {
  if (kept_whole_) kept_.clear();
  kept_whole_ = false;
  if (kept_.empty()) {
    const size_t length = length_of(*bytes);
    if (length > 0 && length <= bytes->size()) {
      const std::string_view message = bytes->substr(0, length);
      bytes->remove_prefix(length);
      return message;
    }
  }
  while (!failed_ && !bytes->empty()) {
    const size_t length = length_of(kept_);
    const size_t piece = std::min((length > 0 ? length : 4) - kept_.size(), bytes->size());
    kept_.append(bytes->substr(0, piece));
    bytes->remove_prefix(piece);
    if (length > 0 && kept_.size() == length) {
      kept_whole_ = true;
      return kept_;
    }
  }
  return {};
}

// --- What is said --------------------------------------------------------------------------------------------------------

bool MongoTemplate::matches(std::string_view other) const {
  if (other.size() != message.size()) return false;
  const auto same = [&](size_t begin, size_t end) {
    return std::memcmp(message.data() + begin, other.data() + begin, end - begin) == 0;
  };
  return same(0, 4) && same(12, object_id_at) && same(object_id_at + object_id_bytes, message.size());
}

std::string mongo_hello_request() {
  BsonText document;
  document.int32("isMaster", 1).boolean("helloOk", true).begin("client", BsonType::document);
  document.begin("application", BsonType::document).string("name", "ringside-load").end();
  document.begin("driver", BsonType::document).string("name", "ringside-load").string("version", "1").end();
  document.begin("os", BsonType::document).string("type", "Linux").end().end();
  return mongo_query("admin.$cmd", -1, document.finish());
}

std::string mongo_hello_document() {
  BsonText document;
  document.boolean("helloOk", true).boolean("ismaster", true).boolean("isWritablePrimary", true);
  document.int32("maxBsonObjectSize", 16777216).int32("maxMessageSizeBytes", 48000000);
  document.int32("maxWriteBatchSize", 100000).date("localTime", 1700000000000);
  document.int32("logicalSessionTimeoutMinutes", 30).int32("minWireVersion", 0).int32("maxWireVersion", 21);
  return document.boolean("readOnly", false).real("ok", 1).finish();
}

MongoTemplate mongo_find_request(MongoFind find) {
  BsonText document;
  if (find == MongoFind::query) {
    document.raw("_id", BsonType::object_id, object_id_mark);
    return make_template(mongo_query(name_space(), -1, document.finish()));
  }
  document.string("find", mongo_collection).begin("filter", BsonType::document);
  document.raw("_id", BsonType::object_id, object_id_mark).end().int32("limit", 1).boolean("singleBatch", true);
  document.begin("lsid", BsonType::document).uuid("id", "ringside-load-id").end().string("$db", mongo_database);
  return make_template(mongo_message(document.finish()));
}

std::string mongo_document(BsonType id_type, std::string_view id) {
  BsonText document;
  document.raw("_id", id_type, id).string("name", "Espresso machine, two groups").string("sku", "EM-2040-B");
  document.int32("stock", 17).real("price", 1849.5).boolean("active", true).date("updated", 1700000000000);
  document.begin("tags", BsonType::array).string("0", "kitchen").string("1", "steel").string("2", "230 V").end();
  document.begin("size", BsonType::document).int32("width", 71).int32("height", 52).int32("depth", 58).end();
  return document.finish();
}

std::string mongo_cursor_document(std::string_view name_space_text, std::string_view document) {
  BsonText answer;
  answer.begin("cursor", BsonType::document).begin("firstBatch", BsonType::array);
  answer.raw("0", BsonType::document, document).end().int64("id", 0).string("ns", name_space_text).end();
  return answer.real("ok", 1).finish();
}

MongoTemplate mongo_find_reply(MongoFind find) {
  const std::string document = mongo_document(BsonType::object_id, object_id_mark);
  return make_template(find == MongoFind::query ? mongo_reply(document)
                                                : mongo_message(mongo_cursor_document(name_space(), document)));
}

}  // namespace ringside::perf
