// What requests say, in every form that they come in.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/codecs/mongo_peer.h"

namespace ringside::mongo_test {
namespace {

using testing::HasSubstr;

constexpr ReadOptions deep{.read = {.depth = MongoDepth::deep}};
constexpr ReadOptions names{.read = {.depth = MongoDepth::names}};

TEST(MongoRequest, Find) {
  const Read read(msg(kind0(R"({"find": "users", "filter": {"_id": 5, "age": {"$gt": 3}}, "limit": 10, "batchSize": 5,
    "maxTimeMS": 250, "comment": "{\"callingFunction\": \"load\"}", "lsid": {"id": 1},
    "$readPreference": {"mode": "secondaryPreferred"}, "$db": "shop"})")));
  const MongoRequest& request = read.request();
  ASSERT_TRUE(read.has_facts && read.ended);
  EXPECT_EQ(request.command, MongoCommand::find);
  EXPECT_EQ(request.database, "shop");
  EXPECT_EQ(request.collection, "users");
  EXPECT_EQ(request.id_query, MongoIdQuery::single);
  EXPECT_EQ(request.max_time_ms, 250);
  EXPECT_EQ(request.call_site, "load");
  EXPECT_EQ(request.read_preference, MongoReadPreference::secondary_preferred);
  EXPECT_TRUE(request.has_limit && request.has_batch_size && request.has_lsid && !request.has_skip);
  EXPECT_TRUE(request.expects_reply());
  EXPECT_FALSE(request.writes());
}

TEST(MongoRequest, IdOfAQuery) {
  const auto kind = [](const char* json) { return Read(msg(kind0(json))).request().id_query; };
  EXPECT_EQ(kind(R"({"find": "c", "filter": {"_id": {"$in": [1]}}, "$db": "d"})"), MongoIdQuery::multi_get);
  EXPECT_EQ(kind(R"({"find": "c", "filter": {"a": {"_id": 1}}, "$db": "d"})"), MongoIdQuery::scatter_get);
  EXPECT_EQ(kind(R"({"find": "c", "$db": "d"})"), MongoIdQuery::scatter_get);
  EXPECT_EQ(kind(R"({"count": "c", "query": {"_id": 1}, "$db": "d"})"), MongoIdQuery::none);
  EXPECT_EQ(Read(query("d.c", R"({"$query": {"_id": 1}, "$maxTimeMS": 5})")).request().id_query, MongoIdQuery::single);
  EXPECT_EQ(Read(query("d.c", R"({"_id": [1]})")).request().id_query, MongoIdQuery::multi_get);
  EXPECT_EQ(Read(query("d.c", R"({"_id": 1, "x": 2})")).request().max_time_ms, 0);
}

TEST(MongoRequest, DocumentsOfBothKinds) {
  const std::string body = R"({"insert": "c", "ordered": true, "$db": "d"})";
  const std::vector<std::string> three = {"{\"a\": 1}", "{}", "{\"b\": \"x\"}"};
  EXPECT_EQ(Read(msg(kind0(body) + kind1("documents", three))).request().documents, 3u);
  EXPECT_EQ(Read(msg(kind1("documents", three) + kind0(body))).request().documents, 3u);
  EXPECT_EQ(Read(msg(kind0(R"({"insert": "c", "documents": [{}, {}], "$db": "d"})"))).request().documents, 2u);
  EXPECT_EQ(Read(msg(kind0(body) + kind1("documents", {}))).request().documents, 0u);
  const Read unacknowledged(
      msg(kind0(R"({"insert": "c", "writeConcern": {"w": 0}, "$db": "d"})") + kind1("documents", three),
          mongo::more_to_come));
  EXPECT_TRUE(unacknowledged.request().unacknowledged() && unacknowledged.request().write_concern_zero);
  EXPECT_FALSE(unacknowledged.request().expects_reply());
}

TEST(MongoRequest, CursorsAndTransactions) {
  const Read more(msg(kind0(R"({"getMore": {"$numberLong": "77"}, "collection": "c", "batchSize": 2, "$db": "d"})"),
                      mongo::exhaust_allowed));
  EXPECT_EQ(more.request().cursor_id, 77);
  EXPECT_EQ(more.request().collection, "c");
  EXPECT_TRUE(more.request().exhaust);
  const Read killed(
      msg(kind0(R"({"killCursors": "c", "cursors": [{"$numberLong": "8"}, {"$numberLong": "9"}], "$db": "d"})")));
  EXPECT_EQ(killed.request().cursors, 2u);
  EXPECT_EQ(killed.request().cursor_id, 8);
  EXPECT_EQ(killed.request().collection, "c");
  const Read start(
      msg(kind0(R"({"update": "c", "updates": [{"q": {}, "u": {}}], "lsid": {}, "txnNumber": {"$numberLong": "4"},
    "startTransaction": true, "autocommit": false, "$db": "d"})")));
  EXPECT_TRUE(start.request().start_transaction && start.request().has_autocommit && start.request().writes());
  EXPECT_EQ(start.request().txn_number, 4);
  EXPECT_EQ(start.request().documents, 1u);
  EXPECT_EQ(Read(msg(kind0(R"({"commitTransaction": 1, "$db": "admin"})"))).request().command,
            MongoCommand::commit_transaction);
}

TEST(MongoRequest, Hello) {
  const std::string hello = R"({"isMaster": 1, "helloOk": true, "client": {"application": {"name": "app"},
    "driver": {"name": "PyMongo", "version": "4.20"}, "os": {"type": "Linux", "name": "x"}}, "compression": ["zstd", "zlib", "lz4"],
    "saslSupportedMechs": "admin.u", "speculativeAuthenticate": {"saslStart": 1, "mechanism": "SCRAM-SHA-256",
    "payload": {"$binary": {"base64": "c2VjcmV0", "subType": "00"}}, "db": "admin"}, "topologyVersion": {"counter": 1},
    "maxAwaitTimeMS": 10000)";
  for (const std::string& whole : {msg(kind0(hello + R"(, "$db": "admin"})")), query("admin.$cmd", hello + "}")}) {
    const Read read(whole);
    const MongoRequest& request = read.request();
    EXPECT_TRUE(request.is_command && info_of(request.command).hello && request.awaitable_hello);
    EXPECT_EQ(request.command, MongoCommand::is_master);
    EXPECT_EQ(request.client.application, "app");
    EXPECT_EQ(request.client.driver_name, "PyMongo");
    EXPECT_EQ(request.client.driver_version, "4.20");
    EXPECT_EQ(request.client.os_type, "Linux");
    EXPECT_EQ(request.client.compressors, 12);
    EXPECT_EQ(request.auth_mechanism, "SCRAM-SHA-256");
    EXPECT_EQ(request.database, "admin");
    EXPECT_EQ(request.collection, "");
    EXPECT_EQ(text_of(request).find("secret"), std::string::npos);
  }
}

TEST(MongoRequest, TargetsAndForeignCollections) {
  const std::string out = R"({"aggregate": "c", "pipeline": [{"$lookup": {"from": "other", "as": "x"}},
    {"$unionWith": "third"}, {"$unionWith": {"coll": "fourth", "pipeline": [{"$lookup": {"from": "fifth", "as": "y"}}]}},
    {"$lookup": {"from": {"db": "far", "coll": "sixth"}, "as": "z"}}, {"$out": {"db": "e", "coll": "t"}}], "cursor": {"batchSize": 1}, "$db": "d"})";
  const Read read(msg(kind0(out)));
  EXPECT_TRUE(read.request().has_out && read.request().writes() && read.request().has_batch_size);
  EXPECT_EQ(read.request().target.database, "e");
  EXPECT_EQ(read.request().target.collection, "t");
  EXPECT_THAT(text_of(read.request()), HasSubstr("[|other][|third][|fourth][far|sixth]"));
  EXPECT_THAT(text_of(Read(msg(kind0(out)), deep).request()),
              HasSubstr("[|other][|third][|fourth][|fifth][far|sixth]"));
  const Read merged(msg(
      kind0(R"({"aggregate": "c", "pipeline": [{"$merge": {"into": "t", "whenMatched": "replace"}}], "$db": "d"})")));
  EXPECT_TRUE(merged.request().has_merge && merged.request().writes());
  EXPECT_EQ(merged.request().target.collection, "t");
  const Read hidden(msg(kind0(R"({"aggregate": "c", "$db": "d"})") + kind1("pipeline", {R"({"$out": "t"})"})));
  EXPECT_TRUE(hidden.request().has_out && hidden.request().writes());
  const Read reduced(msg(kind0(R"({"mapReduce": "c", "out": {"replace": "r", "db": "x"}, "$db": "d"})")));
  EXPECT_TRUE(reduced.request().uses_map_reduce && reduced.request().has_out && reduced.request().writes());
  EXPECT_FALSE(Read(msg(kind0(R"({"mapReduce": "c", "out": {"inline": 1}, "$db": "d"})"))).request().writes());
  const Read renamed(msg(kind0(R"({"renameCollection": "a.b.c", "to": "d.e", "$db": "admin"})")));
  EXPECT_EQ(renamed.request().database, "a");
  EXPECT_EQ(renamed.request().collection, "b.c");
  EXPECT_EQ(renamed.request().target.database, "d");
}

TEST(MongoRequest, CodeForTheServer) {
  const auto text = [](std::string_view whole) { return text_of(Read(whole, deep).request()); };
  EXPECT_THAT(text(msg(kind0(R"({"find": "c", "filter": {"$or": [{"a": 1}, {"$where": "x"}]}, "$db": "d"})"))),
              HasSubstr(" where"));
  EXPECT_THAT(
      text(msg(kind0(R"({"update": "c", "$db": "d"})") + kind1("updates", {R"({"q": {"$where": "x"}, "u": {}})"}))),
      HasSubstr(" where"));
  EXPECT_THAT(
      text(msg(kind0(
          R"({"aggregate": "c", "pipeline": [{"$facet": {"f": [{"$group": {"_id": 1, "n": {"$accumulator": {}}}}]}},
    {"$project": {"y": {"$function": {"body": {"$code": "f"}}}}}], "$db": "d"})"))),
      HasSubstr(" function accumulator code"));
  EXPECT_THAT(text(query("d.c", R"({"$query": {"$where": "x"}})")), HasSubstr(" where"));
  EXPECT_THAT(text(message(MongoOpcode::remove, i32(0) + cstring("d.c") + i32(0) + bson(R"({"$where": "x"})"))),
              HasSubstr(" where"));
  const std::string insert =
      msg(kind0(R"({"insert": "c", "$db": "d"})") + kind1("documents", {R"({"$where": "data"})"}));
  EXPECT_EQ(text(insert).find(" where"), std::string::npos);
}

TEST(MongoRequest, ExplainAndBulkWrite) {
  const Read explained(msg(kind0(R"({"explain": {"aggregate": "c", "pipeline": [{"$out": "t"}]}, "$db": "d"})")));
  EXPECT_EQ(explained.request().command, MongoCommand::explain);
  EXPECT_EQ(explained.request().inner_command, MongoCommand::aggregate);
  EXPECT_EQ(explained.request().collection, "c");
  EXPECT_FALSE(explained.request().writes());
  const Read bulk(msg(kind0(R"({"bulkWrite": 1, "$db": "admin"})") +
                      kind1("ops", {R"({"insert": 0})", R"({"delete": 1})"}) +
                      kind1("nsInfo", {R"({"ns": "a.b"})", R"({"ns": "c.d.e"})"})));
  EXPECT_EQ(bulk.request().documents, 2u);
  EXPECT_THAT(text_of(bulk.request()), HasSubstr("[a|b][c|d.e]"));
}

TEST(MongoRequest, Legacy) {
  EXPECT_THAT(
      text_of(Read(message(MongoOpcode::insert, i32(1) + cstring("d.c.e") + bson("{}") + bson("{}"))).request()),
      HasSubstr("OP_INSERT/none unknown_command  db=d coll=c.e flags=1 docs=2"));
  EXPECT_THAT(text_of(Read(message(MongoOpcode::get_more, i32(0) + cstring("d.c") + i32(5) + i64(99))).request()),
              HasSubstr("coll=c flags=0 docs=0 cursors=0 id=99"));
  EXPECT_THAT(text_of(Read(message(MongoOpcode::kill_cursors, i32(0) + i32(2) + i64(3) + i64(4))).request()),
              HasSubstr("cursors=2 id=3"));
  EXPECT_THAT(
      text_of(Read(message(MongoOpcode::update, i32(0) + cstring("d.c") + i32(3) + bson("{}") + bson("{}"))).request()),
      HasSubstr("flags=3 docs=1"));
  const Read command(message(MongoOpcode::command, cstring("d") + cstring("find") + bson("{}") +
                                                       bson(R"({"find": "c", "filter": {"_id": 1}})") + bson("{}")));
  EXPECT_THAT(text_of(command.request()), HasSubstr("OP_COMMAND/none find find db=d coll=c"));
  const Read wrapped(query("d.$cmd", R"({"$query": {"count": "c"}, "$readPreference": {"mode": "nearest"}})"));
  EXPECT_EQ(wrapped.request().command, MongoCommand::count);
  EXPECT_EQ(wrapped.request().read_preference, MongoReadPreference::nearest);
  const Read old(query("d.c", R"({"$query": {"a": 1}, "$comment": "{\"callingFunction\":\"f\"}", "$maxTimeMS": 9})",
                       2 | 16 | 32 | 64));
  EXPECT_EQ(old.request().call_site, "f");
  EXPECT_EQ(old.request().max_time_ms, 9);
  EXPECT_TRUE(old.request().tailable && old.request().await_data && old.request().exhaust &&
              old.request().no_cursor_timeout);
}

TEST(MongoRequest, NamesAreEnough) {
  const std::string whole = msg(kind0(R"({"find": "c", "$db": "d", "filter": {"a": 1}})"));
  const Read read(whole, names);
  EXPECT_TRUE(read.has_facts && read.ended);
  EXPECT_EQ(read.request().collection, "c");
}

TEST(MongoRequest, TextOfComments) {
  const auto site = [](const char* text) {
    return Read(msg(kind0(std::string(R"({"find": "c", "comment": ")") + text + R"(", "$db": "d"})")));
  };
  EXPECT_EQ(site(R"({\"a\": {\"callingFunction\": \"no\"}, \"callingFunction\" : \"yes\"})").request().call_site,
            "yes");
  EXPECT_EQ(site(R"({\"callingFunction\": 5})").request().call_site, "");
  EXPECT_EQ(site("callingFunction").request().call_site, "");
  EXPECT_EQ(site(std::string(300, 'x').c_str()).request().comment.size(), 256u);
}

TEST(MongoRequest, KnownCommands) {
  for (size_t at = 1; at < mongo_commands; ++at) {
    const auto command = static_cast<MongoCommand>(at);
    EXPECT_EQ(mongo_command_of(info_of(command).name), command) << info_of(command).name;
    EXPECT_NE(info_of(command).kind, MongoCommandKind::unknown);
  }
  EXPECT_EQ(mongo_command_of("findandmodify"), MongoCommand::find_and_modify);
  EXPECT_EQ(mongo_command_of("FIND"), MongoCommand::unknown);
  EXPECT_EQ(info_of(MongoCommand::unknown).name, "unknown_command");
  EXPECT_EQ(info_of(MongoCommand::touch).name, "touch");
}

}  // namespace
}  // namespace ringside::mongo_test
