#include <gtest/gtest.h>

#include "perf/load_mongo_text.h"

namespace ringside::perf {
namespace {

using namespace std::literals;

TEST(LoadBson, BytesAreThoseOfTheSpecification) {
  // The examples of bsonspec.org.
  EXPECT_EQ(BsonText().string("hello", "world").finish(), "\x16\0\0\0\x02hello\0\x06\0\0\0world\0\0"sv);
  BsonText text;
  text.begin("BSON", BsonType::array).string("0", "awesome").real("1", 5.05).int32("2", 1986).end();
  EXPECT_EQ(text.finish(),
            "\x31\0\0\0\x04"
            "BSON\0\x26\0\0\0\x02"
            "0\0\x08\0\0\0awesome\0\x01"
            "1\0\x33\x33\x33\x33\x33\x33\x14\x40\x10"
            "2\0\xc2\x07\0\0\0\0"sv);
}

TEST(LoadBson, ElementsAreFound) {
  const std::string document = mongo_document(BsonType::string, "\x03\0\0\0no\0"sv);
  EXPECT_EQ(take_document(document + "rest"), document);
  EXPECT_EQ(first_element(document)->name, "_id");
  EXPECT_EQ(find_element(document, "_id")->text(), "no");
  EXPECT_EQ(read_int32(find_element(find_element(document, "size")->value, "depth")->value, 0), 58);
  EXPECT_FALSE(find_element(document, "siz"));
}

TEST(LoadBson, DamagedDocumentsHaveNoElements) {
  const std::string document = mongo_hello_document();
  for (size_t size = 0; size < document.size(); ++size) {
    EXPECT_EQ(take_document(std::string_view(document).substr(0, size)), "");
    find_element(document.substr(0, size), "nothing");  // stays inside
  }
  EXPECT_FALSE(find_element("\x16\0\0\0\x02hello\0\x7f\0\0\0world\0\0"sv, "hello"));
  EXPECT_FALSE(find_element("\x16\0\0\0\x02hello\0\xff\xff\xff\xffworld\0\0"sv, "hello"));
  EXPECT_FALSE(find_element("\x0c\0\0\0\x55hello\0\0"sv, "hello"));
}

// The ids of all messages in `bytes`, fed in pieces of `step`.
std::vector<int32_t> ids_in(std::string_view bytes, size_t step) {
  MongoScanner scanner;
  std::vector<int32_t> ids;
  for (size_t at = 0; at < bytes.size() && !scanner.failed(); at += step) {
    const std::string piece(bytes.substr(at, step));
    for (std::string_view rest = piece; !rest.empty() && !scanner.failed();)
      if (const std::string_view message = scanner.take(&rest); !message.empty()) ids.push_back(read_mongo_head(message).id);
  }
  return ids;
}

TEST(LoadMongo, MessagesAreTakenAtEverySplit) {
  std::string bytes;
  for (const int32_t id : {7, 8, 9}) {
    std::string message = id == 8 ? mongo_hello_request() : mongo_find_request(MongoFind::message).message;
    set_mongo_ids(message.data(), id, 0);
    bytes += message;
  }
  for (size_t step = 1; step <= bytes.size(); ++step) EXPECT_EQ(ids_in(bytes, step), (std::vector<int32_t>{7, 8, 9})) << step;
}

TEST(LoadMongo, LengthsThatCannotBeFail) {
  for (const int32_t length : {-1, 0, 15, 48'016'385}) {
    std::string bytes(16, '\0');
    put_int32(bytes.data(), length);
    MongoScanner scanner;
    std::string_view rest = bytes;
    EXPECT_EQ(scanner.take(&rest), "");
    EXPECT_TRUE(scanner.failed()) << length;
  }
}

TEST(LoadMongo, AnswersDifferInTheirIdsOnly) {
  for (const MongoFind find : {MongoFind::message, MongoFind::query}) {
    const MongoTemplate reply = mongo_find_reply(find);
    EXPECT_EQ(static_cast<size_t>(read_mongo_head(reply.message).length_bytes), reply.message.size());
    for (size_t at = 0; at < reply.message.size(); ++at) {
      std::string other = reply.message;
      other[at] = static_cast<char>(other[at] ^ 1);
      const bool is_id = (at >= 4 && at < 12) || (at >= reply.object_id_at && at < reply.object_id_at + object_id_bytes);
      EXPECT_EQ(reply.matches(other), is_id) << at;
    }
    EXPECT_FALSE(reply.matches(reply.message + "x"));
  }
}

// The sizes that docs/benchmarking.md gives.
TEST(LoadMongo, Sizes) {
  EXPECT_EQ(mongo_find_request(MongoFind::message).message.size(), 147U);
  EXPECT_EQ(mongo_find_reply(MongoFind::message).message.size(), 331U);
}

}  // namespace
}  // namespace ringside::perf
