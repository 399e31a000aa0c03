#pragma once
// The statistics of the MongoDB filter: Envoy's names below mongo.<stat_prefix>. where it has them, and ours beside them. Names
// that peers choose (collections, call sites, errors, applications) become labels, never names of metrics, and are bounded.
#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "codecs/mongo/mongo_commands.h"
#include "proxy/observe/stat_names.h"
#include "proxy/specs.h"

namespace ringside {

// clang-format off
// mongo.<stat_prefix>.
#define RS_MONGO_STATS(C, G, H, N)                                                                              \
  C(op_msg) C(op_msg_reply) G(op_query_active) H(pending_depth) C(op_query_no_max_time)                         \
  C(op_query_scatter_get) C(op_query_multi_get) C(op_query) C(op_reply) C(op_get_more)                          \
  C(op_insert) C(op_update) C(op_delete) C(op_kill_cursors) C(op_command) C(op_command_reply)                   \
  C(op_query_await_data) C(op_query_exhaust) C(op_query_no_cursor_timeout) C(op_query_tailable_cursor)          \
  C(op_reply_cursor_not_found) C(op_reply_query_failure) C(op_reply_valid_cursor)                               \
  N(op_compressed_noop, counter, always, "op_compressed.noop")                                                  \
  N(op_compressed_snappy, counter, always, "op_compressed.snappy")                                              \
  N(op_compressed_zlib, counter, always, "op_compressed.zlib")                                                  \
  N(op_compressed_zstd, counter, always, "op_compressed.zstd")                                                  \
  C(compressed_bytes) C(uncompressed_bytes)                                                                     \
  C(decoding_error) C(unknown_opcode) C(undecodable) C(malformed_header) C(too_large)                           \
  C(checksum_present) C(checksum_bad) C(more_to_come) C(exhaust) C(unacknowledged_write)                        \
  C(reply_unexpected) C(request_unanswered) C(pending_overflow) C(request_denied) C(delays_injected)            \
  C(command_error) C(write_error) C(write_concern_error)                                                        \
  G(cursors_open) C(cursor_opened) C(cursor_exhausted) C(cursor_killed) C(cursor_not_found)                     \
  C(txn_started) C(txn_committed) C(txn_aborted)                                                                \
  C(cx_destroy_local_with_active_rq) C(cx_destroy_remote_with_active_rq) C(cx_drain_close)

// cmd.<command>.
#define RS_MONGO_COMMAND_STATS(C, G, H, N) \
  C(total) C(error) H(reply_num_docs) H(reply_size) H(reply_time_ms) H(request_size)
// collection.<collection>.query. and collection.<collection>.callsite.<function>.query.
#define RS_MONGO_QUERY_STATS(C, G, H, N) C(total) C(scatter_get) C(multi_get) H(reply_num_docs) H(reply_size) H(reply_time_ms)
// db.<database>.coll.<collection>.
#define RS_MONGO_COLLECTION_STATS(C, G, H, N) \
  C(total) C(error) C(read) C(write) H(reply_num_docs) H(reply_size) H(reply_time_ms) H(request_size)
// auth.<mechanism>.
#define RS_MONGO_AUTH_STATS(C, G, H, N) C(success) C(failure)
// error.<code name>.
#define RS_MONGO_ERROR_STATS(C, G, H, N) C(total)
// app.<application>. and driver.<driver>.
#define RS_MONGO_CLIENT_STATS(C, G, H, N) C(cx_total)
// clang-format on

RS_STAT_GROUP(MongoStat, mongo_stat_defs, RS_MONGO_STATS)
RS_STAT_GROUP(MongoCommandStat, mongo_command_stat_defs, RS_MONGO_COMMAND_STATS)
RS_STAT_GROUP(MongoQueryStat, mongo_query_stat_defs, RS_MONGO_QUERY_STATS)
RS_STAT_GROUP(MongoCollectionStat, mongo_collection_stat_defs, RS_MONGO_COLLECTION_STATS)
RS_STAT_GROUP(MongoAuthStat, mongo_auth_stat_defs, RS_MONGO_AUTH_STATS)
RS_STAT_GROUP(MongoErrorStat, mongo_error_stat_defs, RS_MONGO_ERROR_STATS)
RS_STAT_GROUP(MongoClientStat, mongo_client_stat_defs, RS_MONGO_CLIENT_STATS)

// What stands for a name that found no place.
inline constexpr std::string_view mongo_other_name = "_other";

// Of the character of UTF-8 at the begin of `text`, which is not empty; 0: it is none.
size_t mongo_utf8_bytes(std::string_view text);
// A text of a peer's as a part of a stat's name or a label: without control characters, and valid UTF-8.
std::string mongo_name_part(std::string_view text);

StatScope mongo_scope(std::string_view stat_prefix);
// `kind` "cmd", `label` "envoy_mongo_cmd".
StatScope mongo_named_scope(std::string_view stat_prefix, std::string_view kind, std::string_view label, std::string_view name);
// `site` may be empty.
StatScope mongo_query_scope(std::string_view stat_prefix, std::string_view collection, std::string_view site);
StatScope mongo_collection_scope(std::string_view stat_prefix, std::string_view database, std::string_view collection);

// The names of one kind that have statistics of their own: what is admitted stays. Shared by the workers of a chain; a worker asks
// for a name that it has not had yet.
class MongoNameTable {
 public:
  explicit MongoNameTable(size_t names_max) : names_max_(names_max) {}
  bool admit(std::string_view name);
  size_t size() const;

 private:
  const size_t names_max_;
  mutable std::mutex mutex_;
  std::unordered_set<std::string> names_;  // does not change any more once full_
  std::atomic<bool> full_{false};
};

// The cursors that a chain saw opened and not ended. A client may use one on any of its connections, which are of any worker; and
// what was opened before the chain was, or elsewhere, is not among them.
class MongoCursorCount {
 public:
  void add() { open_.fetch_add(1, std::memory_order_relaxed); }
  // How many of so many that ended were among them, at most.
  uint64_t take(uint64_t ended);

 private:
  std::atomic<uint64_t> open_{0};
};

// What the workers of a filter chain share.
struct MongoChainStats {
  static std::shared_ptr<const MongoChainStats> make(const MongoSpec& spec, StatsRegistry& registry);

  StatGroup<MongoStat> all;
  std::vector<StatGroup<MongoCommandStat>> commands;  // as in the spec, then "unknown_command"
  std::shared_ptr<MongoNameTable> collections, queries, sites, errors, applications, drivers;
  std::shared_ptr<MongoCursorCount> cursors;
};

// Statistics by a name that peers choose, of one worker: a name costs one look-up once it is known.
template <class Stat>
class MongoStatMap {
 public:
  MongoStatMap(StatsRegistry& registry, uint32_t worker, std::shared_ptr<MongoNameTable> names)
      : registry_(registry), worker_(worker), names_(std::move(names)) {}

  // `scope(name is admitted)` is called once per name. Lives as long as this.
  template <class Scope>
  StatBlock<Stat>& find(std::string_view key, Scope scope) {
    if (const auto found = blocks_.find(key); found != blocks_.end()) return *found->second;
    if (!names_->admit(key)) {
      if (other_ == nullptr) other_ = make(scope(false));
      return *other_;
    }
    return *blocks_.emplace(key, make(scope(true))).first->second;
  }
  size_t size() const { return blocks_.size(); }

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  std::unique_ptr<StatBlock<Stat>> make(StatScope scope) {
    return std::make_unique<StatBlock<Stat>>(registry_.cells(worker_).block(registry_.group<Stat>(std::move(scope))));
  }

  StatsRegistry& registry_;
  const uint32_t worker_;
  std::shared_ptr<MongoNameTable> names_;
  std::unordered_map<std::string, std::unique_ptr<StatBlock<Stat>>, Hash, std::equal_to<>> blocks_;
  std::unique_ptr<StatBlock<Stat>> other_;
};

// All statistics of one chain on one worker.
class MongoCounters {
 public:
  MongoCounters(const MongoSpec& spec, const MongoChainStats& shared, StatsRegistry& registry, uint32_t worker);

  StatBlock<MongoStat>& all() { return all_; }
  // Of a name in the spec, else of all other commands together.
  StatBlock<MongoCommandStat>& command(MongoCommand command, std::string_view name);
  bool lists(MongoCommand command) const { return by_command_[static_cast<size_t>(command)] != other_command_; }
  StatBlock<MongoCollectionStat>& collection(std::string_view database, std::string_view collection);
  StatBlock<MongoQueryStat>& query(std::string_view collection);
  StatBlock<MongoQueryStat>& call_site(std::string_view collection, std::string_view site);
  StatBlock<MongoErrorStat>& error(std::string_view code_name);
  StatBlock<MongoAuthStat>& auth(std::string_view mechanism);
  StatBlock<MongoClientStat>& application(std::string_view name);
  StatBlock<MongoClientStat>& driver(std::string_view name);
  // cursors_open, which never falls below zero.
  void open_cursor();
  void close_cursors(uint64_t count);

 private:
  std::string_view key(std::string_view first, std::string_view second);

  const std::string prefix_;
  StatBlock<MongoStat> all_;
  std::vector<StatBlock<MongoCommandStat>> commands_;
  std::array<uint16_t, mongo_commands> by_command_{};  // index of commands_
  std::vector<std::string> unusual_;                   // names in the spec that are no command that we know; else empty
  uint16_t other_command_ = 0;
  MongoStatMap<MongoCollectionStat> collections_;
  MongoStatMap<MongoQueryStat> queries_, sites_;
  MongoStatMap<MongoErrorStat> errors_;
  MongoStatMap<MongoAuthStat> auths_;
  MongoStatMap<MongoClientStat> applications_, drivers_;
  const std::shared_ptr<MongoCursorCount> cursors_;
  std::string key_;  // of the look-up under way
};

}  // namespace ringside
