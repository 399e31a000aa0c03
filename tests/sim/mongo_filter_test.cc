// The MongoDB filter alone: what it passes, holds, swallows and answers, over every split of the bytes, and the credit for it.
#include "proxy/mongo/mongo_filter.h"

#include <gtest/gtest.h>

#include <functional>
#include <optional>

#include "proxy/mongo/mongo_chain.h"
#include "tests/sim/sim_mongo.h"
#include "tests/sim/sim_proxy.h"

namespace ringside::sim {
namespace {

// Follows the words in the name of a collection.
class WordJudge final : public MongoJudge {
 public:
  MongoVerdict judge(const MongoPeer&, const MongoHeader&, const MongoRequest& request) override {
    ++judged;
    MongoVerdict verdict;
    if (request.collection == "denied") {
      verdict.action = MongoAction::deny;
      verdict.error = {.code = 13, .code_name = "Unauthorized", .message = "not here"};
    }
    if (request.collection == "closed") verdict.action = MongoAction::close_connection;
    if (request.collection == "late") verdict.delay = milliseconds(30);
    verdict.rewrites_reply = info_of(request.command).hello;
    verdict.rewrites_request = request.collection == "rewritten";
    return verdict;
  }
  MongoVerdict judge_unread(const MongoPeer&, const MongoHeader&, const MongoRequest&, MongoUnread) override {
    ++unread;
    MongoVerdict verdict;
    verdict.action = MongoAction::deny;
    return verdict;
  }
  std::optional<std::string> rewrite_request(const MongoPeer&, std::string_view message) override {
    const MongoHeader header = mongo_header_of(message.data());
    return op_msg(header.request_id, 0, command_of("find", "other").text("more", std::string(100, 'm')));
  }
  std::optional<std::string> rewrite_reply(const MongoPeer&, std::string_view message) override {
    const MongoHeader header = mongo_header_of(message.data());
    return op_msg(header.request_id, header.response_to, BsonText().text("me", "proxy").number("ok", 1));
  }
  void on_reply(const MongoPeer&, const MongoExchangeFacts& facts, const MongoReply&) override { answered.push_back(facts.request.request_id); }

  uint32_t judged = 0, unread = 0;
  std::vector<int32_t> answered;
};

// Notes what the filter does, and keeps the account of the credit.
struct Connection final : MongoFilterUser {
  void pass(MongoSide way, Slice bytes) override {
    passed(way).append(bytes.text());
    earned(way) += filter->earned(way, bytes.size());
  }
  void end(MongoSide way) override { (way == MongoSide::requests ? requests_ended : replies_ended) = true; }
  void consumed(MongoSide way, size_t bytes) override { earned(way) += bytes; }
  bool draining() const override { return drains; }
  void close_after_flush() override { flushed = replies.size(); }
  void close_for(MongoSide, Error) override {
    closed = true;
    filter->stop(MongoFilter::EndedBy::other);
  }
  std::string& passed(MongoSide way) { return way == MongoSide::requests ? requests : replies; }
  size_t& earned(MongoSide way) { return way == MongoSide::requests ? requests_earned : replies_earned; }

  MongoFilter* filter = nullptr;
  std::string requests, replies;
  size_t requests_earned = 0, replies_earned = 0;
  bool requests_ended = false, replies_ended = false, closed = false, drains = false;
  size_t flushed = 0;
};

class MongoFilterTest : public testing::Test {
 protected:
  enum class Rules : uint8_t { none, words };
  MongoFilterTest() {
    spec_.stat_prefix = "m";
    spec_.commands = {"find", "hello"};
    proxy_.start(Specs());
  }
  ~MongoFilterTest() override {
    if (filter_) filter_->stop(MongoFilter::EndedBy::client);
    filter_.reset();
    chain_.reset();
    stats_.reset();
    proxy_.stop();
  }

  void open(Rules rules) {
    if (filter_) filter_->stop(MongoFilter::EndedBy::client);
    filter_.reset();
    chain_.reset();
    stats_ = MongoChainStats::make(spec_, *proxy_.registry);
    proxy_.registry->reset_counters();
    auto judge = rules == Rules::words ? std::make_unique<WordJudge>() : nullptr;
    judge_ = judge.get();
    chain_ = std::make_unique<MongoChain>(spec_, *stats_, "sim", *proxy_.shard, std::move(judge));
    wire_ = Connection();
    filter_.emplace(*chain_, wire_, MongoPeer());
    wire_.filter = &*filter_;
  }
  void give(MongoSide way, std::string_view bytes) {
    char* writable = nullptr;
    if (bytes.empty()) return;
    Slice slice = make_heap_slice(bytes.size(), &writable);
    std::copy(bytes.begin(), bytes.end(), writable);
    filter_->on_bytes(way, std::move(slice));
  }
  void ask(std::string_view bytes) { give(MongoSide::requests, bytes); }
  void reply(std::string_view bytes) { give(MongoSide::replies, bytes); }
  int64_t stat(const std::string& name) { return proxy_.registry->value("mongo.m." + name).value_or(-1); }

  // Once for each way to cut `bytes` in two, and once byte by byte.
  void over_splits(MongoSide way, const std::string& bytes, Rules rules, const std::function<void()>& before,
                   const std::function<void()>& check) {
    for (size_t cut = 0; cut <= bytes.size(); ++cut) {
      SCOPED_TRACE(cut);
      open(rules);
      before();
      if (cut == bytes.size()) {
        for (const char& byte : bytes) give(way, {&byte, 1});
      } else {
        give(way, std::string_view(bytes).substr(0, cut));
        give(way, std::string_view(bytes).substr(cut));
      }
      check();
      EXPECT_EQ(way == MongoSide::requests ? wire_.requests_earned : wire_.replies_earned, bytes.size());
      if (HasFailure()) return;
    }
  }

  MongoSpec spec_;
  ProxyWorld proxy_{1};
  std::shared_ptr<const MongoChainStats> stats_;
  std::unique_ptr<MongoChain> chain_;
  WordJudge* judge_ = nullptr;
  Connection wire_;
  std::optional<MongoFilter> filter_;
};

using enum MongoSide;

TEST_F(MongoFilterTest, watches_without_holding) {
  const std::string asked = op_msg(1, 0, command_of("find", "fish")) + op_query(2, "shop.birds", BsonText().number("x", 1)) +
                            op_msg(3, 0, command_of("insert", "fish"), 2);
  over_splits(requests, asked, Rules::none, [] {}, [&] {
    EXPECT_EQ(wire_.requests, asked);
    EXPECT_EQ(stat("op_msg"), 2);
    EXPECT_EQ(stat("op_query"), 1);
    EXPECT_EQ(stat("more_to_come"), 1);
    EXPECT_EQ(stat("unacknowledged_write"), 1);
    EXPECT_EQ(stat("op_query_active"), 2) << "nobody answers the insert";
    EXPECT_EQ(stat("cmd.find.total"), 1);
    EXPECT_EQ(stat("cmd.unknown_command.total"), 1);
    EXPECT_EQ(stat("db.shop.coll.fish.total"), 2);
    EXPECT_EQ(stat("db.shop.coll.fish.write"), 1);
    EXPECT_EQ(stat("collection.fish.query.total"), 1);
    EXPECT_EQ(stat("collection.birds.query.scatter_get"), 1);
  });
  open(Rules::none);
  ask(asked.substr(0, 5));
  EXPECT_EQ(wire_.requests, asked.substr(0, 5)) << "nothing waits for more";
}

TEST_F(MongoFilterTest, pairs_replies) {
  const std::string answered = op_msg(90, 2, BsonText().number("ok", 0).number("code", 11000).text("codeName", "DuplicateKey").text("errmsg", "x")) +
                               op_reply(91, 1, 77, BsonText().number("x", 1)) + op_msg(92, 55, ok_reply());
  const auto before = [&] {
    ask(op_query(1, "shop.birds", BsonText()) + op_msg(2, 0, command_of("find", "fish")) + op_msg(3, 0, command_of("find", "fish")));
  };
  over_splits(replies, answered, Rules::none, before, [&] {
    EXPECT_EQ(wire_.replies, answered);
    EXPECT_EQ(stat("op_msg_reply"), 2);
    EXPECT_EQ(stat("op_reply"), 1);
    EXPECT_EQ(stat("op_reply_valid_cursor"), 1);
    EXPECT_EQ(stat("cursor_opened"), 1);
    EXPECT_EQ(stat("error.DuplicateKey.total"), 1);
    EXPECT_EQ(stat("cmd.find.error"), 1);
    EXPECT_EQ(stat("db.shop.coll.fish.error"), 1);
    EXPECT_EQ(stat("reply_unexpected"), 1);
    EXPECT_EQ(stat("op_query_active"), 1);
  });
  filter_->stop(MongoFilter::EndedBy::client);
  EXPECT_EQ(stat("op_query_active"), 0);
  EXPECT_EQ(stat("cx_destroy_remote_with_active_rq"), 1);
  EXPECT_EQ(stat("cx_destroy_local_with_active_rq"), 0);
}

TEST_F(MongoFilterTest, follows_exhaust_replies) {
  open(Rules::none);
  ask(op_msg(5, 0, BsonText().number64("getMore", 9).text("collection", "fish").text("$db", "shop"), 1u << 16));
  EXPECT_EQ(stat("exhaust"), 1);
  const auto batch = [](int64_t cursor) {
    return BsonText().document("cursor", BsonText().number64("id", cursor).text("ns", "shop.fish").array("nextBatch", BsonText())).number("ok", 1);
  };
  reply(op_msg(100, 5, batch(9), 2));
  EXPECT_EQ(stat("op_query_active"), 1);
  reply(op_msg(101, 100, batch(9), 2) + op_msg(102, 101, batch(0)));
  EXPECT_EQ(stat("op_query_active"), 0);
  EXPECT_EQ(stat("cursor_exhausted"), 1);
  EXPECT_EQ(stat("reply_unexpected"), 0);
  EXPECT_EQ(stat("cursors_open"), 0) << "it was opened on another connection";
  // Some servers answer the request again and again.
  open(Rules::none);
  ask(op_msg(5, 0, BsonText().number64("getMore", 9).text("collection", "fish").text("$db", "shop"), 1u << 16));
  reply(op_msg(100, 5, batch(9), 2) + op_msg(101, 5, batch(9), 2));
  EXPECT_EQ(stat("op_query_active"), 1);
  reply(op_msg(102, 5, batch(0)) + op_msg(103, 5, batch(0)));
  EXPECT_EQ(stat("op_query_active"), 0);
  EXPECT_EQ(stat("cursor_exhausted"), 1);
  EXPECT_EQ(stat("reply_unexpected"), 1) << "behind the last one";
}

TEST_F(MongoFilterTest, cursors_open_never_falls_below_zero) {
  open(Rules::none);
  const auto cursor = [](int64_t id, std::string_view batch) {
    return BsonText().document("cursor", BsonText().number64("id", id).text("ns", "shop.fish").array(batch, BsonText())).number("ok", 1);
  };
  const auto get_more = [](int64_t id) { return BsonText().number64("getMore", id).text("collection", "fish").text("$db", "shop"); };
  ask(op_msg(1, 0, command_of("find", "fish")));
  reply(op_msg(90, 1, cursor(9, "firstBatch")));
  EXPECT_EQ(stat("cursors_open"), 1);
  filter_->stop(MongoFilter::EndedBy::client);
  filter_.emplace(*chain_, wire_, MongoPeer());
  for (const int64_t id : {9, 10}) {
    ask(op_msg(2, 0, get_more(id)));
    reply(op_msg(91, 2, cursor(0, "nextBatch")));
    EXPECT_EQ(stat("cursors_open"), 0) << id;
  }
  EXPECT_EQ(stat("cursor_exhausted"), 2);
}

TEST_F(MongoFilterTest, denies_and_answers) {
  const std::string good = op_msg(1, 0, command_of("find", "fish")), bad = op_msg(2, 0, command_of("find", "denied")),
                    last = op_msg(3, 0, command_of("find", "birds"));
  over_splits(requests, good + bad + last, Rules::words, [] {}, [&] {
    EXPECT_EQ(wire_.requests, good + last);
    ASSERT_GE(wire_.replies.size(), mongo::header_bytes);
    const MongoHeader header = mongo_header_of(wire_.replies.data());
    EXPECT_EQ(header.response_to, 2);
    EXPECT_EQ(static_cast<size_t>(header.length_bytes), wire_.replies.size());
    EXPECT_NE(wire_.replies.find("Unauthorized"), std::string::npos);
    EXPECT_EQ(judge_->judged, 3u);
    EXPECT_EQ(stat("request_denied"), 1);
    EXPECT_EQ(stat("op_query_active"), 2);
  });
}

TEST_F(MongoFilterTest, an_answer_waits_for_the_end_of_a_reply) {
  const std::string good = op_msg(1, 0, command_of("find", "fish")), bad = op_msg(2, 0, command_of("find", "denied"));
  const std::string answer = op_msg(50, 1, ok_reply());
  for (size_t cut = 0; cut <= answer.size(); ++cut) {
    open(Rules::words);
    ask(good);
    reply(answer.substr(0, cut));
    ask(bad);
    reply(answer.substr(cut));
    const size_t at = wire_.replies.find(answer);
    ASSERT_NE(at, std::string::npos) << cut;
    EXPECT_EQ(at == 0, cut >= mongo::header_bytes) << cut;
    EXPECT_EQ(wire_.replies_earned, answer.size()) << cut;
    EXPECT_EQ(judge_->answered, std::vector<int32_t>{1});
  }
}

TEST_F(MongoFilterTest, rewrites_whole_messages) {
  const std::string hello = op_msg(1, 0, BsonText().number("hello", 1).text("$db", "admin"));
  const std::string answer = op_msg(60, 1, BsonText().text("me", "server").number("ok", 1));
  const std::string after = op_msg(61, 9, ok_reply());
  over_splits(replies, answer + after, Rules::words, [&] { ask(hello); }, [&] {
    EXPECT_EQ(wire_.replies, op_msg(60, 1, BsonText().text("me", "proxy").number("ok", 1)) + after);
  });
  const std::string asked = op_msg(7, 0, command_of("find", "rewritten"));
  over_splits(requests, asked, Rules::words, [] {}, [&] { EXPECT_NE(wire_.requests.find("other"), std::string::npos); });
}

TEST_F(MongoFilterTest, delays_one_request_and_what_is_behind_it) {
  open(Rules::words);
  const std::string late = op_msg(1, 0, command_of("find", "late")), next = op_msg(2, 0, command_of("find", "fish"));
  ask(late + next.substr(0, 10));
  ask(next.substr(10));
  EXPECT_EQ(wire_.requests, "");
  EXPECT_TRUE(filter_->delays_requests());
  filter_->on_end(requests);
  EXPECT_FALSE(wire_.requests_ended);
  proxy_.world.run_for(milliseconds(20));
  EXPECT_EQ(wire_.requests, "");
  proxy_.world.run_for(milliseconds(20));
  EXPECT_EQ(wire_.requests, late + next);
  EXPECT_TRUE(wire_.requests_ended);
  EXPECT_EQ(wire_.requests_earned, (late + next).size());
}

TEST_F(MongoFilterTest, injects_delays_each_once) {
  spec_.delay = milliseconds(50);
  spec_.delay_part = {.numerator = 100};
  open(Rules::none);
  const std::string one = op_msg(1, 0, command_of("find", "a")), two = op_msg(2, 0, command_of("find", "b"));
  ask(one);
  proxy_.world.run_for(milliseconds(40));
  ask(two);
  proxy_.world.run_for(milliseconds(20));
  EXPECT_EQ(wire_.requests, one);
  proxy_.world.run_for(milliseconds(20));
  EXPECT_EQ(wire_.requests, one) << "the second one came 40 ms later";
  proxy_.world.run_for(milliseconds(20));
  EXPECT_EQ(wire_.requests, one + two);
  EXPECT_EQ(stat("delays_injected"), 2);
  reply(op_msg(9, 1, ok_reply()));
  EXPECT_EQ(wire_.replies, op_msg(9, 1, ok_reply())) << "replies do not wait";
}

TEST_F(MongoFilterTest, closes_on_a_malformed_header_or_passes_on) {
  const std::string good = op_msg(1, 0, command_of("find", "fish"));
  std::string bad = good;
  bad[0] = 3;
  bad[1] = bad[2] = bad[3] = 0;
  open(Rules::none);
  ask(good + bad);
  EXPECT_TRUE(wire_.closed);
  EXPECT_EQ(stat("malformed_header"), 1);
  EXPECT_EQ(stat("decoding_error"), 1);
  EXPECT_EQ(stat("cx_destroy_local_with_active_rq"), 1);
  spec_.relay_malformed = true;
  over_splits(requests, good + bad + "whatever", Rules::none, [] {}, [&] {
    EXPECT_FALSE(wire_.closed);
    EXPECT_EQ(wire_.requests, good + bad + "whatever");
  });
  open(Rules::words);
  ask(good + bad);
  EXPECT_TRUE(wire_.closed) << "rules that are not asked are none";
}

TEST_F(MongoFilterTest, skips_what_it_cannot_decode) {
  const std::string strange = mongo_wire(4711, 5, 0, "whatever it is"), good = op_msg(6, 0, command_of("find", "fish"));
  over_splits(requests, strange + good, Rules::none, [] {}, [&] {
    EXPECT_EQ(wire_.requests, strange + good);
    EXPECT_EQ(stat("unknown_opcode"), 1);
    EXPECT_EQ(stat("cmd.find.total"), 1);
  });
  over_splits(requests, strange + good, Rules::words, [] {}, [&] {
    EXPECT_EQ(wire_.requests, good) << "the judge refuses it";
    EXPECT_EQ(judge_->unread, 1u);
  });
}

TEST_F(MongoFilterTest, drains_with_the_last_reply) {
  open(Rules::none);
  wire_.drains = true;
  ask(op_msg(1, 0, command_of("find", "fish")) + op_msg(2, 0, command_of("find", "fish")));
  reply(op_msg(9, 1, ok_reply()));
  EXPECT_EQ(wire_.flushed, 0u);
  reply(op_msg(10, 2, ok_reply()));
  EXPECT_EQ(wire_.flushed, wire_.replies.size()) << "the reply went first";
  EXPECT_EQ(stat("cx_drain_close"), 1);
}

TEST_F(MongoFilterTest, a_request_without_verdict_goes_nowhere) {
  const std::string good = op_msg(1, 0, command_of("find", "fish"));
  for (size_t cut = 0; cut < good.size(); ++cut) {
    open(Rules::words);
    ask(good.substr(0, cut));
    filter_->on_end(requests);
    EXPECT_TRUE(wire_.requests_ended);
    EXPECT_EQ(wire_.requests, "") << cut;
    EXPECT_EQ(wire_.requests_earned, cut);
  }
  open(Rules::words);
  ask(op_msg(1, 0, command_of("find", "closed")));
  EXPECT_TRUE(wire_.closed);
  EXPECT_EQ(wire_.requests, "");
}

}  // namespace
}  // namespace ringside::sim
