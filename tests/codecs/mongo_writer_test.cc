// What we write ourselves: errors, hello made over, shapes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "codecs/mongo/mongo_hello.h"
#include "codecs/mongo/mongo_shape.h"
#include "codecs/mongo/mongo_writer.h"
#include "tests/codecs/mongo_peer.h"

namespace ringside::mongo_test {
namespace {

using testing::HasSubstr;

constexpr ReadOptions replies{.side = MongoSide::replies};

std::string answer_to(const std::string& request) {
  const Read read(request);
  return mongo_error_reply(read.reader.header(), read.request(), {.message = "not here"}, 99);
}

TEST(MongoWriter, ErrorsForEveryKind) {
  const std::string to_msg = answer_to(msg(kind0(R"({"insert": "c", "$db": "d"})")));
  const Read read(to_msg, replies);
  EXPECT_TRUE(read.ended && read.reply().failed() && read.reply().has_errmsg);
  EXPECT_EQ(read.reply().code, 13);
  EXPECT_EQ(read.reply().code_name, "Unauthorized");
  EXPECT_EQ(read.reader.header().response_to, 7);
  EXPECT_EQ(read.reader.header().request_id, 99);
  EXPECT_EQ(
      json_of(to_msg.substr(21)),
      R"({ "ok" : { "$numberDouble" : "0.0" }, "errmsg" : "not here", "code" : { "$numberInt" : "13" }, "codeName" : "Unauthorized" })");
  EXPECT_EQ(answer_to(msg(kind0(R"({"insert": "c", "$db": "d"})"), mongo::more_to_come)), "");
  EXPECT_EQ(answer_to(message(MongoOpcode::insert, i32(0) + cstring("d.c") + bson("{}"))), "");
  EXPECT_EQ(answer_to(message(MongoOpcode::kill_cursors, i32(0) + i32(0))), "");
  const Read command(answer_to(query("d.$cmd", R"({"insert": "c"})")), replies);
  EXPECT_EQ(command.reply().opcode, MongoOpcode::reply);
  EXPECT_TRUE(command.reply().failed() && command.reply().flags == 8);
  const Read old(answer_to(query("d.c", "{}")), replies);
  EXPECT_TRUE(old.reply().failed() && old.reply().flags == 10 && old.reply().has_errmsg);
  const Read more(answer_to(message(MongoOpcode::get_more, i32(0) + cstring("d.c") + i32(5) + i64(99))), replies);
  EXPECT_TRUE(more.reply().failed());
  const Read internal(
      answer_to(message(MongoOpcode::command, cstring("d") + cstring("find") + bson("{}") + bson(R"({"find": "c"})"))),
      replies);
  EXPECT_EQ(internal.reply().opcode, MongoOpcode::command_reply);
  EXPECT_TRUE(internal.reply().failed());
  EXPECT_FALSE(answer_to(compressed(msg(kind0(R"({"insert": "c", "$db": "d"})")), MongoCompressor::zlib)).empty());
}

TEST(MongoWriter, MessagesAndNames) {
  EXPECT_EQ(mongo_message(bson(R"({"ok": 1})"), 7, 0), msg(kind0(R"({"ok": 1})")));
  EXPECT_EQ(mongo_code_name(11000), "DuplicateKey");
  EXPECT_EQ(mongo_code_name(13), "Unauthorized");
  EXPECT_EQ(mongo_code_name(17), "ProtocolError");
  EXPECT_EQ(mongo_code_name(12345), "");
}

constexpr const char* hello_reply =
    R"({"ismaster": true, "hosts": ["a:1", "b:2"], "passives": ["c:3"], "arbiters": [], "primary": "a:1",
  "me": "b:2", "setName": "rs", "compression": ["snappy", "zstd"], "ok": 1})";

TEST(MongoHello, HostsAreMadeOver) {
  const MongoHostAlias aliases[] = {{"a:1", "proxy:10"}, {"b:2", "proxy:20"}};
  const MongoHelloEdit edit{.aliases = aliases, .other_hosts = "proxy:30"};
  const std::vector<std::string> wholes = {msg(kind0(hello_reply)), with_checksum(kind0(hello_reply)),
                                           reply({hello_reply}, 8)};
  for (const std::string& whole : wholes) {
    const auto made = rewrite_hello_reply(whole, edit);
    ASSERT_TRUE(made);
    const Read read(*made, replies);
    EXPECT_TRUE(read.ended && read.failure == MongoFailure::none);
    EXPECT_EQ(read.reader.checksum(), MongoChecksum::none);
    EXPECT_THAT(text_of(read.reply()), HasSubstr("set=rs me=proxy:20 primary=proxy:10"));
    EXPECT_THAT(text_of(read.reply()), HasSubstr("compressors=10 <proxy:10> <proxy:20> <proxy:30>"));
    EXPECT_EQ(read.reader.header().request_id, mongo_header_of(whole.data()).request_id);
  }
  const auto one = rewrite_hello_reply(msg(kind0(hello_reply)), {.other_hosts = "p:1"});
  EXPECT_THAT(
      *json_of(one->substr(21)),
      HasSubstr(R"("hosts" : [ "p:1" ], "passives" : [ "p:1" ], "arbiters" : [  ], "primary" : "p:1", "me" : "p:1")"));
  EXPECT_EQ(rewrite_hello_reply(msg(kind0(hello_reply)), {}), msg(kind0(hello_reply)));
}

TEST(MongoHello, CompressionIsLimited) {
  const MongoHelloEdit only_zstd{.compressors_kept = 1 << 3};
  const auto made = rewrite_hello_reply(msg(kind0(hello_reply)), only_zstd);
  EXPECT_THAT(*json_of(made->substr(21)), HasSubstr(R"("compression" : [ "zstd" ])"));
  const std::string request = query("admin.$cmd", R"({"hello": 1, "compression": ["zlib", "zstd"], "hosts": ["a:1"]})");
  EXPECT_EQ(Read(*rewrite_hello_request(request, only_zstd)).request().client.compressors, 8);
  const MongoHelloEdit none{.compressors_kept = 0};
  EXPECT_EQ(*rewrite_hello_request(request, none), query("admin.$cmd", R"({"hello": 1, "hosts": ["a:1"]})"));
  EXPECT_EQ(*rewrite_hello_request(msg(kind0(R"({"hello": 1, "compression": ["zlib"], "$db": "admin"})")), none),
            msg(kind0(R"({"hello": 1, "$db": "admin"})")));
}

TEST(MongoHello, WhatIsNotOneStays) {
  const MongoHelloEdit edit{.other_hosts = "p:1"};
  EXPECT_FALSE(rewrite_hello_reply(msg(kind0(R"({"hosts": ["a:1"], "ok": 1})")), edit));
  EXPECT_FALSE(rewrite_hello_reply(msg(kind0(hello_reply) + kind1("x", {})), edit));
  EXPECT_FALSE(rewrite_hello_reply("", edit));
  EXPECT_FALSE(rewrite_hello_reply(compressed(msg(kind0(hello_reply)), MongoCompressor::zlib), edit));
  const std::string whole = msg(kind0(hello_reply));
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(rewrite_hello_reply(std::string_view(whole).substr(0, size), edit));
    std::string changed = whole;
    changed[size] = static_cast<char>(changed[size] + 3);
    (void)rewrite_hello_reply(changed, edit);
    (void)rewrite_hello_request(changed, edit);
  }
}

std::string shape(std::string_view json, size_t bytes_max = 1000) {
  std::string out;
  append_mongo_shape(out, bson(json), bytes_max);
  return out;
}

TEST(MongoShape, LiteralsAreTypes) {
  EXPECT_EQ(
      shape(
          R"({"find": "users", "filter": {"name": "secret", "age": {"$gt": 5}, "tags": {"$in": ["a", "b", "c"]}}, "limit": 5,
    "lsid": {"id": 1}, "$db": "d", "comment": "x"})"),
      R"({"find":"?string","filter":{"name":"?string","age":{"$gt":"?int32"},"tags":{"$in":["?string","..."]}},"limit":"?int32"})");
  EXPECT_EQ(shape(R"({"a": [1, "x", "y", {"b": 1}, {"b": 2}, 1], "c": [], "d\"\n": {}})"),
            R"({"a":["?int32","?string","...",{"b":"?int32"},"...","?int32"],"c":[],"d\"\u000a":{}})");
  EXPECT_EQ(shape(R"({"saslStart": 1, "mechanism": "SCRAM", "payload": "p"})"),
            R"({"saslStart":"?int32","mechanism":"?string"})");
}

TEST(MongoShape, CutAnywhereItIsJson) {
  const std::string document = every_type();
  for (size_t size = 0; size <= document.size(); ++size) {
    for (const size_t bytes_max : {1u, 64u, 70u, 100u, 150u, 500u}) {
      std::string out;
      append_mongo_shape(out, std::string_view(document).substr(0, size), bytes_max);
      EXPECT_LE(out.size(), std::max<size_t>(bytes_max, 64));
      (void)bson(out);  // libbson takes it
      EXPECT_EQ(out.find("abc"), std::string::npos);
    }
  }
  EXPECT_THAT(shape(R"({"a": {"b": {"c": [1, {"d": {"e": "f"}}]}}, "g": 1, "h": 2, "i": 3, "j": 4})", 64),
              HasSubstr("..."));
}

}  // namespace
}  // namespace ringside::mongo_test
