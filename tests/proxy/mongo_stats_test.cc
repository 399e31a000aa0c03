// The statistics of the MongoDB filter: names of peers are bounded over all workers, and are labels, never names of metrics.
#include "proxy/mongo/mongo_stats.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "proxy/observe/metrics_text.h"

namespace ringside {
namespace {

using testing::HasSubstr;
using testing::Not;

MongoSpec spec_of(uint32_t names_max) {
  MongoSpec spec;
  spec.stat_prefix = "m";
  spec.commands = {"insert", "ismaster", "ourOwnThing"};
  spec.names_max = names_max;
  return spec;
}

std::string prometheus(const StatsRegistry& registry) {
  StatsQuery query;
  query.format = StatsFormat::prometheus;
  return render_stats(registry, std::move(query));
}

TEST(MongoStats, names_of_commands) {
  StatsRegistry registry(1);
  const MongoSpec spec = spec_of(10);
  const auto shared = MongoChainStats::make(spec, registry);
  MongoCounters counters(spec, *shared, registry, 0);
  EXPECT_TRUE(counters.lists(MongoCommand::insert));
  EXPECT_FALSE(counters.lists(MongoCommand::find));
  counters.command(MongoCommand::insert, "insert").inc(MongoCommandStat::total);
  counters.command(MongoCommand::is_master, "isMaster").inc(MongoCommandStat::total);
  counters.command(MongoCommand::unknown, "ourOwnThing").inc(MongoCommandStat::total);
  counters.command(MongoCommand::unknown, "another").inc(MongoCommandStat::total);
  counters.command(MongoCommand::unknown, "").inc(MongoCommandStat::total);
  counters.command(MongoCommand::find, "find").inc(MongoCommandStat::total);
  EXPECT_EQ(registry.value("mongo.m.cmd.insert.total"), 1);
  EXPECT_EQ(registry.value("mongo.m.cmd.ismaster.total"), 1);
  EXPECT_EQ(registry.value("mongo.m.cmd.ourOwnThing.total"), 1);
  EXPECT_EQ(registry.value("mongo.m.cmd.unknown_command.total"), 3);
}

TEST(MongoStats, what_envoy_has_is_there_before_the_first_connection) {
  StatsRegistry registry(1);
  const auto shared = MongoChainStats::make(spec_of(10), registry);
  for (const char* name :
       {"cx_destroy_local_with_active_rq", "cx_destroy_remote_with_active_rq", "cx_drain_close", "decoding_error", "delays_injected",
        "op_command", "op_command_reply", "op_get_more", "op_insert", "op_kill_cursors", "op_query", "op_query_await_data",
        "op_query_exhaust", "op_query_multi_get", "op_query_no_cursor_timeout", "op_query_no_max_time", "op_query_scatter_get",
        "op_query_tailable_cursor", "op_reply", "op_reply_cursor_not_found", "op_reply_query_failure", "op_reply_valid_cursor",
        "op_query_active"})
    EXPECT_EQ(registry.value(std::string("mongo.m.") + name), 0) << name;
}

TEST(MongoStats, names_of_peers_are_labels) {
  StatsRegistry registry(1);
  const MongoSpec spec = spec_of(10);
  const auto shared = MongoChainStats::make(spec, registry);
  MongoCounters counters(spec, *shared, registry, 0);
  counters.collection("shop", "sys.sub.coll").inc(MongoCollectionStat::total);
  counters.query("sys.sub.coll").inc(MongoQueryStat::total);
  counters.call_site("sys.sub.coll", "here()").inc(MongoQueryStat::total);
  counters.query("bad\"\n\xff").inc(MongoQueryStat::total);
  counters.error("DuplicateKey").inc(MongoErrorStat::total);
  counters.auth("SCRAM-SHA-256").inc(MongoAuthStat::success);
  counters.auth("made-up").inc(MongoAuthStat::failure);
  EXPECT_EQ(registry.value("mongo.m.db.shop.coll.sys.sub.coll.total"), 1);
  EXPECT_EQ(registry.value("mongo.m.collection.sys.sub.coll.query.total"), 1);
  EXPECT_EQ(registry.value("mongo.m.collection.sys.sub.coll.callsite.here().query.total"), 1);
  EXPECT_EQ(registry.value("mongo.m.error.DuplicateKey.total"), 1);
  EXPECT_EQ(registry.value("mongo.m.auth._other.failure"), 1);
  const std::string text = prometheus(registry);
  EXPECT_THAT(text, HasSubstr("envoy_mongo_collection_query_total{envoy_mongo_collection=\"sys.sub.coll\",envoy_mongo_prefix=\"m\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("envoy_mongo_collection_callsite_query_total{envoy_mongo_callsite=\"here()\","
                              "envoy_mongo_collection=\"sys.sub.coll\",envoy_mongo_prefix=\"m\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("envoy_mongo_cmd_total{envoy_mongo_cmd=\"insert\",envoy_mongo_prefix=\"m\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("envoy_mongo_db_coll_total{envoy_mongo_collection=\"sys.sub.coll\",envoy_mongo_database=\"shop\","));
  EXPECT_THAT(text, HasSubstr("envoy_mongo_auth_success{envoy_mongo_mechanism=\"SCRAM-SHA-256\",envoy_mongo_prefix=\"m\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("envoy_mongo_collection=\"bad\\\"__\""));
  EXPECT_THAT(text, Not(HasSubstr("_sub_coll")));
}

TEST(MongoStats, more_names_than_the_bound_are_one) {
  StatsRegistry registry(2);
  const MongoSpec spec = spec_of(3);
  const auto shared = MongoChainStats::make(spec, registry);
  MongoCounters first(spec, *shared, registry, 0), second(spec, *shared, registry, 1);
  for (int i = 0; i < 100; ++i) {
    const std::string name = "c" + std::to_string(i);
    for (int turn = 0; turn < 2; ++turn) {
      first.collection("d", name).inc(MongoCollectionStat::total);
      second.collection("d", name).inc(MongoCollectionStat::total);
    }
  }
  EXPECT_EQ(registry.value("mongo.m.db.d.coll.c0.total"), 4);
  EXPECT_EQ(registry.value("mongo.m.db.d.coll.c2.total"), 4) << "what one worker admitted, the other one counts as well";
  EXPECT_EQ(registry.value("mongo.m.db.d.coll.c3.total"), std::nullopt);
  EXPECT_EQ(registry.value("mongo.m.db._other.coll._other.total"), 4 * 97);
  EXPECT_EQ(shared->collections->size(), 3u);
}

TEST(MongoStats, threads_admit_the_same_names) {
  MongoNameTable names(50);
  std::vector<std::thread> threads;
  std::vector<std::vector<bool>> admitted(4, std::vector<bool>(200));
  for (size_t t = 0; t < admitted.size(); ++t)
    threads.emplace_back([&, t] {
      for (size_t round = 0; round < 2; ++round)
        for (size_t i = 0; i < 200; ++i) admitted[t][i] = names.admit("n" + std::to_string((i * 7 + t * 31) % 200));
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(names.size(), 50u);
  size_t sum = 0;
  for (size_t i = 0; i < 200; ++i) sum += admitted[0][i] ? 1 : 0;
  EXPECT_EQ(sum, 50u) << "once full, nothing changes";
}

TEST(MongoStats, characters_of_utf8) {
  EXPECT_EQ(mongo_name_part("caf\xc3\xa9 \xf0\x9f\x8d\x83"), "caf\xc3\xa9 \xf0\x9f\x8d\x83");
  EXPECT_EQ(mongo_name_part("a\xc3"), "a_");
  EXPECT_EQ(mongo_name_part("\xc0\x80\xed\xa0\x80\xf5"), "______");
  EXPECT_EQ(mongo_name_part("a\tb:c"), "a_b_c");
}

}  // namespace
}  // namespace ringside
