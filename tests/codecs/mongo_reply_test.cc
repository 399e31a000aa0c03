// What replies say.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/codecs/mongo_peer.h"

namespace ringside::mongo_test {
namespace {

using testing::HasSubstr;

constexpr ReadOptions replies{.side = MongoSide::replies};

std::string text(const std::string& whole) { return text_of(Read(whole, replies).reply()); }

TEST(MongoReply, Cursor) {
  const Read read(
      msg(kind0(R"({"cursor": {"firstBatch": [{"a": {"b": 1}}, {"a": 2}, {}], "id": {"$numberLong": "55"}, "ns": "d.c"},
    "ok": {"$numberDouble": "1.0"}, "$clusterTime": {"x": 1}})")),
      replies);
  EXPECT_TRUE(read.has_facts && read.ended);
  EXPECT_EQ(read.reply().documents, 3u);
  EXPECT_EQ(read.reply().cursor_id, 55);
  EXPECT_EQ(read.reply().cursor_namespace, "d.c");
  EXPECT_TRUE(read.reply().ok && read.reply().has_cursor && !read.reply().failed());
  EXPECT_THAT(text(msg(kind0(R"({"ok": 1, "cursor": {"id": 0, "nextBatch": []}})"), mongo::more_to_come)),
              HasSubstr("docs=0 cursor=0"));
  EXPECT_THAT(text(msg(kind0(R"({"ok": 1})"), mongo::more_to_come)), HasSubstr("moreToCome"));
}

TEST(MongoReply, Errors) {
  EXPECT_THAT(text(msg(kind0(R"({"ok": 0, "errmsg": "secret text", "code": 11000, "codeName": "DuplicateKey"})"))),
              HasSubstr("code=11000 DuplicateKey ns= hasOk errmsg failed"));
  EXPECT_THAT(text(msg(kind0(R"({"n": 2, "nModified": 1, "writeErrors": [{"index": 0, "code": 1}, {"index": 1}],
    "writeConcernError": {"code": 64}, "ok": 1})"))),
              HasSubstr("n=2 modified=1 writeErrors=2 code=0  ns= hasOk ok writeConcernError"));
  const Read coded(
      msg(kind0(
          R"({"cursor": {"firstBatch": [{}], "id": 0}, "writeErrors": [{"index": 0, "code": 11000}, {"code": 5}], "ok": 1,
    "writeConcernError": {"codeName": "x", "code": 64}})")),
      replies);
  EXPECT_EQ(coded.reply().write_error_code, 11000);
  EXPECT_EQ(coded.reply().write_concern_error_code, 64);
  EXPECT_EQ(coded.reply().write_errors, 2u);
  EXPECT_EQ(coded.reply().documents, 1u);
  EXPECT_THAT(text(msg(kind0(R"({"cursor": {"firstBatch": [], "id": 0}, "nErrors": 3, "ok": 1})"))),
              HasSubstr("writeErrors=3"));
}

TEST(MongoReply, Hello) {
  const std::string hello =
      R"({"isWritablePrimary": true, "hosts": ["a:1", "b:2"], "passives": ["c:3"], "setName": "rs", "me": "a:1",
    "primary": "a:1", "maxWireVersion": 21, "maxBsonObjectSize": 16777216, "maxMessageSizeBytes": 48000000, "topologyVersion": {},
    "compression": ["snappy"], "speculativeAuthenticate": {"payload": 1}, "saslSupportedMechs": ["SCRAM-SHA-1"], "ok": 1})";
  for (const std::string& whole : {msg(kind0(hello)), reply({hello}, mongo::reply_await_capable)}) {
    const std::string seen = text(whole);
    EXPECT_THAT(seen, HasSubstr("ok speculative hello primary topology mechanisms"));
    EXPECT_THAT(
        seen,
        HasSubstr("set=rs me=a:1 primary=a:1 wire=21 bson=16777216 message=48000000 compressors=2 <a:1> <b:2> <c:3>"));
  }
  EXPECT_THAT(text(msg(kind0(R"({"ismaster": false, "secondary": true, "msg": "isdbgrid", "ok": 1})"))),
              HasSubstr("hello secondary mongos"));
}

TEST(MongoReply, Legacy) {
  EXPECT_THAT(text(reply({R"({"_id": 1})", "{}"}, 8, 44)), HasSubstr("docs=2 cursor=44"));
  EXPECT_THAT(text(reply({}, 1)), HasSubstr("flags=1 docs=0 cursor=0 n=0 modified=0 writeErrors=0 code=0  ns= failed"));
  EXPECT_THAT(text(reply({R"({"$err": "x", "code": 5})"}, 2)), HasSubstr("code=5  ns= errmsg failed"));
  EXPECT_THAT(text(reply({R"({"cursor": {"firstBatch": [{}, {}], "id": 0}, "ok": 1})"})), HasSubstr("docs=2 cursor=0"));
  EXPECT_THAT(text(message(MongoOpcode::command_reply, bson("{}") + bson(R"({"ok": 1, "n": 4})"))),
              HasSubstr("OP_COMMANDREPLY/none flags=0 docs=0 cursor=0 n=4"));
}

TEST(MongoReply, Authentication) {
  EXPECT_THAT(
      text(msg(kind0(
          R"({"conversationId": 1, "done": true, "payload": {"$binary": {"base64": "AAAA", "subType": "00"}}, "ok": 1})"))),
      HasSubstr("ok done conversation"));
}

}  // namespace
}  // namespace ringside::mongo_test
