#pragma once
// The slow-query log of one worker: a JSON line for each request that took long, with its shape and none of its values.
#include <string>

#include "proxy/mongo/mongo_judge.h"
#include "proxy/mongo/mongo_rules_spec.h"

namespace ringside {

class LogFile;
class SecondCache;
class Shard;

class MongoSlowLog {
 public:
  // `spec` lives as long.
  MongoSlowLog(const MongoSlowSpec& spec, Shard& shard);

  // How much of a request must be kept for its shape.
  uint32_t body_bytes_max() const;
  // The request's texts are worth keeping. Of credentials nothing is, and what waits by intention is not slow.
  static bool wants(const MongoRequest& request);
  // True: it got a line.
  bool on_reply(const MongoPeer& peer, const MongoExchangeFacts& facts, const MongoReply& reply);

 private:
  void write(const MongoPeer& peer, const MongoExchangeFacts& facts, const MongoReply& reply);

  const MongoSlowSpec& spec_;
  Shard& shard_;
  LogFile& file_;
  std::string line_;
};

}  // namespace ringside
