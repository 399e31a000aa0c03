#pragma once
// What one MongoDB connection does, told to statistics, the log and the judge: requests are paired with their replies, and
// what takes several messages (authentication, exhaust cursors) is followed.
#include <string>
#include <string_view>

#include "codecs/mongo/mongo_reader.h"
#include "proxy/mongo/mongo_judge.h"
#include "proxy/mongo/mongo_log.h"
#include "proxy/mongo/mongo_pending.h"

namespace ringside {

class MongoChain;

class MongoObserver {
 public:
  MongoObserver(MongoChain& chain, const MongoPeer& peer);

  // What the reader told of a message before its end.
  struct Seen {
    bool facts = false;
    bool undecodable = false;
  };
  void begin_request(const MongoHeader& header);
  // Before end_request: of the request under way.
  void set_verdict(const MongoVerdict& verdict);
  void set_delayed(Duration delay) { delayed_ = delay; }
  void end_request(const MongoReader& reader, Seen seen);
  // It did not go to the server.
  void deny_request(const MongoReader& reader);

  void begin_reply(const MongoHeader& header);
  // From begin_reply on: the verdict on its request wants it.
  bool reply_is_rewritten() const { return reply_to_ != nullptr && reply_to_->rewrites_reply; }
  void end_reply(const MongoReader& reader, Seen seen);

  void count_undecodable(MongoFailure failure);
  void count_malformed(MongoFailure failure);
  void count_delay();
  void count_drain();
  enum class EndedBy : uint8_t { client, other };
  void end(EndedBy by);

  const MongoPeer& peer() const { return peer_; }
  void set_upstream(std::string_view host) { peer_.upstream_host = host; }
  uint32_t pending() const { return pending_.size(); }

 private:
  void count_opcode(MongoOpcode opcode);
  void count_checksum(MongoChecksum checksum);
  void count_compressed(MongoCompressor compressor, const MongoHeader& header, uint32_t uncompressed_bytes);
  void count_request(const MongoReader& reader, MongoPending& entry);
  void count_flags(const MongoRequest& request);
  void count_query(const MongoRequest& request, MongoPending& entry);
  void find_stats(const MongoRequest& request, MongoPending& entry);
  void meet_client(const MongoClientFacts& client);
  void describe(const MongoReader& reader, Seen seen, MongoPending& entry);
  void keep_texts(const MongoReader& reader, MongoPending& entry);
  MongoAuthStep auth_step(const MongoRequest& request);
  MongoPending* add_pending(int32_t id);
  MongoPending* find_request_of(int32_t response_to);
  void follow_exhaust(MongoPending& entry, int32_t reply_id);

  void count_reply(const MongoReader& reader, const MongoReply& reply, const MongoPending& entry);
  void count_times(const MongoPending& entry, Duration took);
  void count_cursor(const MongoReply& reply, const MongoPending& entry);
  void count_transaction(const MongoReply& reply, const MongoPending& entry);
  void count_error(const MongoReply& reply);
  void follow_auth(const MongoReply& reply, const MongoPending& entry);
  void tell(const MongoReader& reader, const MongoReply* reply, const MongoPending& entry);
  void write_log(const MongoPending& entry, MongoOutcome outcome, int32_t code = 0);

  MongoChain& chain_;
  StatBlock<MongoStat>& stats_;
  MongoPeer peer_;
  MongoPendingTable pending_;
  MongoPending* reply_to_ = nullptr;  // of the reply under way
  // The exhaust request whose further replies were followed last: its own id, and that under which it waits.
  int32_t follower_request_id_ = 0, follower_at_id_ = 0;
  // Of the request under way.
  Duration delayed_{0};
  int32_t denied_code_ = 0;
  bool rewrites_reply_ = false;
  bool keeps_texts_ = false;
  bool met_client_ = false;
  std::string mechanism_;  // of the authentication under way
  // The collection counted last, since the next request is mostly for the same.
  StatBlock<MongoCollectionStat>* last_collection_ = nullptr;
  StatBlock<MongoQueryStat>* last_query_ = nullptr;  // of the same collection, once there was one
  std::string last_database_name_, last_collection_name_;
};

}  // namespace ringside
