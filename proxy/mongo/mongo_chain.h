#pragma once
// What the MongoDB filters of one filter chain share on one worker: statistics, the judge, the log, and scratch memory.
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "codecs/mongo/mongo_reader.h"
#include "proxy/mongo/mongo_judge.h"
#include "proxy/mongo/mongo_log.h"
#include "proxy/mongo/mongo_pending.h"
#include "proxy/mongo/mongo_stats.h"
#include "proxy/specs.h"

namespace ringside {

class Shard;
class Worker;

class MongoChain {
 public:
  // `spec` and `listener_name` live as long. Without a judge everything passes.
  MongoChain(const MongoSpec& spec, const MongoChainStats& stats, std::string_view listener_name, Shard& shard,
             std::unique_ptr<MongoJudge> judge);

  const MongoSpec& spec() const { return spec_; }
  std::string_view listener_name() const { return listener_name_; }
  Worker& worker() { return worker_; }
  MongoCounters& counters() { return counters_; }
  MongoReaderPool& readers() { return readers_; }
  const MongoReadOptions& request_options() const { return request_options_; }
  const MongoReadOptions& reply_options() const { return reply_options_; }
  // Null: there are no rules.
  MongoJudge* judge() { return judge_.get(); }
  // Requests may have to wait.
  bool holds() const { return holds_; }
  size_t held_bytes_max() const { return held_bytes_max_; }
  // Null: there is none.
  MongoLog* log() { return log_.get(); }
  // For ids of messages of our own.
  int32_t next_request_id() { return next_request_id_ = next_request_id_ == INT32_MAX ? 0x40000000 : next_request_id_ + 1; }
  // Emptied by its user.
  std::string& scratch() { return scratch_; }

  std::unique_ptr<MongoKeptTexts> take_texts();
  void give_back(std::unique_ptr<MongoKeptTexts> texts);

 private:
  const MongoSpec& spec_;
  const std::string_view listener_name_;
  Worker& worker_;
  MongoCounters counters_;
  MongoReaderPool readers_;
  std::unique_ptr<MongoJudge> judge_;
  std::unique_ptr<MongoLog> log_;
  MongoReadOptions request_options_, reply_options_;
  bool holds_;
  size_t held_bytes_max_ = 16 * 1024 * 1024 + 64 * 1024;
  int32_t next_request_id_ = 0x40000000;
  std::string scratch_;
  std::vector<std::unique_ptr<MongoKeptTexts>> idle_texts_;
};

}  // namespace ringside
