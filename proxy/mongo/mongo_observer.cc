#include "proxy/mongo/mongo_observer.h"

#include <optional>
#include <utility>

#include "core/worker.h"
#include "proxy/mongo/mongo_chain.h"

namespace ringside {
namespace {

uint64_t in_milliseconds(Duration time) { return time > Duration::zero() ? static_cast<uint64_t>(time / milliseconds(1)) : 0; }

// Of the documents of a message, as Envoy counts them: without header and the fields in front.
uint64_t document_bytes(const MongoHeader& header, MongoOpcode opcode, MongoCompressor compressor, uint32_t uncompressed_bytes) {
  const uint64_t in_front = opcode == MongoOpcode::reply ? 20 : opcode == MongoOpcode::msg ? 5 : 0;
  const uint64_t body = compressor == MongoCompressor::none ? static_cast<uint64_t>(header.length_bytes) - mongo::header_bytes
                                                            : uncompressed_bytes;
  return body > in_front ? body - in_front : 0;
}

// Nobody knows whether what was not understood is answered: most of these are.
bool is_mostly_answered(MongoOpcode opcode) {
  return opcode == MongoOpcode::msg || opcode == MongoOpcode::compressed || opcode == MongoOpcode::query;
}

bool is_find(const MongoRequest& request) { return request.is_command && request.command == MongoCommand::find; }

}  // namespace

MongoObserver::MongoObserver(MongoChain& chain, const MongoPeer& peer)
    : chain_(chain), stats_(chain.counters().all()), peer_(peer) {}

// --- requests ----------------------------------------------------------------------------------------------------------

void MongoObserver::begin_request(const MongoHeader&) {
  delayed_ = Duration::zero();
  denied_code_ = 0;
  rewrites_reply_ = keeps_texts_ = false;
}

void MongoObserver::set_verdict(const MongoVerdict& verdict) {
  rewrites_reply_ = verdict.rewrites_reply;
  keeps_texts_ = verdict.keeps_texts;
  denied_code_ = verdict.action == MongoAction::deny ? verdict.error.code : 0;
}

void MongoObserver::count_opcode(MongoOpcode opcode) {
  switch (opcode) {
    case MongoOpcode::msg: return stats_.inc(MongoStat::op_msg);
    case MongoOpcode::query: return stats_.inc(MongoStat::op_query);
    case MongoOpcode::get_more: return stats_.inc(MongoStat::op_get_more);
    case MongoOpcode::insert: return stats_.inc(MongoStat::op_insert);
    case MongoOpcode::update: return stats_.inc(MongoStat::op_update);
    case MongoOpcode::remove: return stats_.inc(MongoStat::op_delete);
    case MongoOpcode::kill_cursors: return stats_.inc(MongoStat::op_kill_cursors);
    case MongoOpcode::command: return stats_.inc(MongoStat::op_command);
    case MongoOpcode::command_reply: return stats_.inc(MongoStat::op_command_reply);
    case MongoOpcode::reply: return stats_.inc(MongoStat::op_reply);
    case MongoOpcode::compressed:
    case MongoOpcode::none: return;  // of what is undecodable
  }
}

void MongoObserver::count_checksum(MongoChecksum checksum) {
  if (checksum == MongoChecksum::none) return;
  stats_.inc(MongoStat::checksum_present);
  if (checksum == MongoChecksum::bad) stats_.inc(MongoStat::checksum_bad);
}

void MongoObserver::count_compressed(MongoCompressor compressor, const MongoHeader& header, uint32_t uncompressed_bytes) {
  switch (compressor) {
    case MongoCompressor::none: return;
    case MongoCompressor::noop: stats_.inc(MongoStat::op_compressed_noop); break;
    case MongoCompressor::snappy: stats_.inc(MongoStat::op_compressed_snappy); break;
    case MongoCompressor::zlib: stats_.inc(MongoStat::op_compressed_zlib); break;
    case MongoCompressor::zstd: stats_.inc(MongoStat::op_compressed_zstd); break;
  }
  stats_.inc(MongoStat::compressed_bytes, static_cast<uint64_t>(header.length_bytes));
  stats_.inc(MongoStat::uncompressed_bytes, mongo::header_bytes + uncompressed_bytes);
}

void MongoObserver::meet_client(const MongoClientFacts& client) {
  if (!client.present || std::exchange(met_client_, true)) return;
  peer_.application = client.application;
  peer_.driver_name = client.driver_name;
  peer_.driver_version = client.driver_version;
  if (!client.application.empty()) chain_.counters().application(client.application).inc(MongoClientStat::cx_total);
  if (!client.driver_name.empty()) chain_.counters().driver(client.driver_name).inc(MongoClientStat::cx_total);
}

// What Envoy counts of a query, for those that come as a command as well.
void MongoObserver::count_query(const MongoRequest& request, MongoPending& entry) {
  MongoCounters& counters = chain_.counters();
  if (request.opcode == MongoOpcode::query) {
    if (request.tailable) stats_.inc(MongoStat::op_query_tailable_cursor);
    if (request.no_cursor_timeout) stats_.inc(MongoStat::op_query_no_cursor_timeout);
    if (request.await_data) stats_.inc(MongoStat::op_query_await_data);
    if (request.exhaust) stats_.inc(MongoStat::op_query_exhaust);
  }
  const bool queries = is_find(request) || (request.opcode == MongoOpcode::query && !request.is_command);
  if (!queries || request.collection.empty()) return;
  if (!request.has_max_time) stats_.inc(MongoStat::op_query_no_max_time);
  if (last_query_ == nullptr) last_query_ = &counters.query(request.collection);  // find_stats() has made it that of this collection
  entry.query_stats = last_query_;
  if (!request.call_site.empty()) entry.site_stats = &counters.call_site(request.collection, request.call_site);
  const bool scatter = request.id_query == MongoIdQuery::scatter_get, multi = request.id_query == MongoIdQuery::multi_get;
  if (scatter) stats_.inc(MongoStat::op_query_scatter_get);
  if (multi) stats_.inc(MongoStat::op_query_multi_get);
  for (StatBlock<MongoQueryStat>* one : {entry.query_stats, entry.site_stats}) {
    if (one == nullptr) continue;
    one->inc(MongoQueryStat::total);
    if (scatter) one->inc(MongoQueryStat::scatter_get);
    if (multi) one->inc(MongoQueryStat::multi_get);
  }
}

void MongoObserver::find_stats(const MongoRequest& request, MongoPending& entry) {
  MongoCounters& counters = chain_.counters();
  // A find that nobody asked to see by name is a query of its collection, as in Envoy.
  if (request.is_command && (!is_find(request) || counters.lists(MongoCommand::find)))
    entry.command_stats = &counters.command(request.command, request.command_name);
  if (request.collection.empty()) return;
  const bool same = last_collection_ != nullptr && last_collection_name_ == request.collection && last_database_name_ == request.database;
  if (!same) {
    last_collection_ = &counters.collection(request.database, request.collection);
    last_query_ = nullptr;
    last_database_name_ = request.database;
    last_collection_name_ = request.collection;
  }
  entry.collection_stats = last_collection_;
}

void MongoObserver::count_flags(const MongoRequest& request) {
  if (request.unacknowledged()) stats_.inc(MongoStat::unacknowledged_write);
  if (request.opcode == MongoOpcode::msg) {
    if ((request.flags & mongo::more_to_come) != 0) stats_.inc(MongoStat::more_to_come);
    if ((request.flags & mongo::exhaust_allowed) != 0) stats_.inc(MongoStat::exhaust);
  }
  if (request.start_transaction) stats_.inc(MongoStat::txn_started);
  const bool kills = request.opcode == MongoOpcode::kill_cursors || request.command == MongoCommand::kill_cursors;
  if (kills && request.cursors > 0) {
    stats_.inc(MongoStat::cursor_killed, request.cursors);
    chain_.counters().close_cursors(request.cursors);
  }
}

MongoAuthStep MongoObserver::auth_step(const MongoRequest& request) {
  if (!request.is_command) return MongoAuthStep::none;
  switch (request.command) {
    case MongoCommand::sasl_start: mechanism_ = request.auth_mechanism; return MongoAuthStep::conversation;
    case MongoCommand::sasl_continue: return MongoAuthStep::conversation;
    case MongoCommand::authenticate: mechanism_ = request.auth_mechanism; return MongoAuthStep::single;
    default: break;
  }
  if (request.auth_mechanism.empty() || !info_of(request.command).hello) return MongoAuthStep::none;
  mechanism_ = request.auth_mechanism;
  return MongoAuthStep::speculative;
}

void MongoObserver::describe(const MongoReader& reader, Seen seen, MongoPending& entry) {
  entry.header = reader.header();
  entry.sent = chain_.worker().now();
  entry.delayed = delayed_;
  entry.rewrites_reply = rewrites_reply_;
  entry.tells_judge = chain_.judge() != nullptr;
  const MongoRequest& request = reader.request();
  entry.opcode = seen.facts ? request.opcode : reader.header().opcode();
  if (!seen.facts) return;
  entry.compressor = request.compressor;
  entry.command = request.command;
  entry.flags = request.flags;
  entry.documents = request.documents;
  entry.exhaust = request.exhaust || (request.opcode == MongoOpcode::msg && (request.flags & mongo::exhaust_allowed) != 0);
  entry.awaitable = request.awaitable_hello;
  keep_texts(reader, entry);
}

void MongoObserver::keep_texts(const MongoReader& reader, MongoPending& entry) {
  if (chain_.log() == nullptr && !keeps_texts_) return;
  const MongoRequest& request = reader.request();
  entry.texts = chain_.take_texts();
  entry.texts->command_name = request.command_name;
  entry.texts->database = request.database;
  entry.texts->collection = request.collection;
  entry.texts->call_site = request.call_site;
  entry.texts->comment = keeps_texts_ ? request.comment : std::string_view();
  entry.texts->body = keeps_texts_ ? reader.body() : std::string_view();
}

void MongoObserver::end_request(const MongoReader& reader, Seen seen) {
  const MongoRequest& request = reader.request();
  count_checksum(reader.checksum());
  const bool follows = seen.facts ? request.expects_reply() : is_mostly_answered(reader.header().opcode());
  // Where it waits for its reply is where it is written down; the others need a place, too.
  std::optional<MongoPending> passing;
  MongoPending* const place = follows ? add_pending(reader.header().request_id) : nullptr;
  MongoPending& entry = place != nullptr ? *place : passing.emplace();
  describe(reader, seen, entry);
  if (seen.facts) count_request(reader, entry);
  if (place != nullptr) return;
  if (seen.facts && !follows) write_log(entry, MongoOutcome::one_way);
  chain_.give_back(std::move(entry.texts));
}

void MongoObserver::count_request(const MongoReader& reader, MongoPending& entry) {
  const MongoRequest& request = reader.request();
  count_opcode(request.opcode);
  count_compressed(request.compressor, reader.header(), request.uncompressed_bytes);
  count_flags(request);
  meet_client(request.client);
  find_stats(request, entry);
  count_query(request, entry);
  const HistogramBucket bytes =
      histogram_bucket(document_bytes(reader.header(), request.opcode, request.compressor, request.uncompressed_bytes));
  if (entry.command_stats != nullptr) {
    entry.command_stats->inc(MongoCommandStat::total);
    entry.command_stats->record(MongoCommandStat::request_size, bytes);
  }
  if (entry.collection_stats != nullptr) {
    entry.collection_stats->inc(MongoCollectionStat::total);
    entry.collection_stats->inc(request.writes() ? MongoCollectionStat::write : MongoCollectionStat::read);
    entry.collection_stats->record(MongoCollectionStat::request_size, bytes);
  }
  entry.auth = auth_step(request);
}

// A fresh entry, or null when there is no room.
MongoPending* MongoObserver::add_pending(int32_t id) {
  bool replaced = false;
  MongoPending* const place = pending_.add(id, replaced);
  reply_to_ = nullptr;  // entries may have moved
  if (place == nullptr) {
    stats_.inc(MongoStat::pending_overflow);
    return nullptr;
  }
  if (replaced)
    stats_.inc(MongoStat::request_unanswered);
  else
    stats_.inc(MongoStat::op_query_active);
  stats_.record(MongoStat::pending_depth, pending_.size());
  return place;
}

void MongoObserver::deny_request(const MongoReader& reader) {
  const MongoRequest& request = reader.request();
  stats_.inc(MongoStat::request_denied);
  meet_client(request.client);
  MongoPending entry;
  describe(reader, {.facts = true}, entry);
  find_stats(request, entry);
  if (entry.command_stats != nullptr) {
    entry.command_stats->inc(MongoCommandStat::total);
    entry.command_stats->inc(MongoCommandStat::error);
  }
  if (entry.collection_stats != nullptr) {
    entry.collection_stats->inc(MongoCollectionStat::total);
    entry.collection_stats->inc(MongoCollectionStat::error);
  }
  write_log(entry, MongoOutcome::denied, denied_code_);
  chain_.give_back(std::move(entry.texts));
}

void MongoObserver::count_undecodable(MongoFailure failure) {
  stats_.inc(MongoStat::decoding_error);
  stats_.inc(failure == MongoFailure::unknown_opcode ? MongoStat::unknown_opcode : MongoStat::undecodable);
}

void MongoObserver::count_malformed(MongoFailure failure) {
  stats_.inc(MongoStat::decoding_error);
  stats_.inc(failure == MongoFailure::length_large ? MongoStat::too_large : MongoStat::malformed_header);
}

void MongoObserver::count_delay() { stats_.inc(MongoStat::delays_injected); }

void MongoObserver::count_drain() { stats_.inc(MongoStat::cx_drain_close); }

// --- replies -----------------------------------------------------------------------------------------------------------

// What follows the first reply of an exhaust request answers that reply (mongod), or the request once more (other servers).
MongoPending* MongoObserver::find_request_of(int32_t response_to) {
  if (MongoPending* const found = pending_.find(response_to)) return found;
  if (response_to != follower_request_id_) return nullptr;
  MongoPending* const follower = pending_.find(follower_at_id_);
  return follower != nullptr && follower->exhaust_follower && follower->header.request_id == response_to ? follower : nullptr;
}

void MongoObserver::begin_reply(const MongoHeader& header) { reply_to_ = find_request_of(header.response_to); }

void MongoObserver::end_reply(const MongoReader& reader, Seen seen) {
  count_checksum(reader.checksum());
  const MongoReply& reply = reader.reply();
  if (seen.facts) {
    if (reply.opcode == MongoOpcode::msg)
      stats_.inc(MongoStat::op_msg_reply);
    else
      count_opcode(reply.opcode);
    count_compressed(reply.compressor, reader.header(), reply.uncompressed_bytes);
    if (reply.opcode == MongoOpcode::reply) {
      if ((reply.flags & mongo::reply_cursor_not_found) != 0) stats_.inc(MongoStat::op_reply_cursor_not_found);
      if ((reply.flags & mongo::reply_query_failure) != 0) stats_.inc(MongoStat::op_reply_query_failure);
      if (reply.cursor_id != 0) stats_.inc(MongoStat::op_reply_valid_cursor);
    }
  }
  reply_to_ = find_request_of(reader.header().response_to);  // requests may have moved it since its header
  if (reply_to_ == nullptr) return stats_.inc(MongoStat::reply_unexpected);
  MongoPending& entry = *std::exchange(reply_to_, nullptr);
  stats_.dec(MongoStat::op_query_active);
  if (seen.facts) count_reply(reader, reply, entry);
  tell(reader, seen.facts ? &reply : nullptr, entry);
  const bool more = seen.facts && (reply.more_to_come() || (reply.opcode == MongoOpcode::reply && entry.exhaust && reply.cursor_id != 0));
  if (more) return follow_exhaust(entry, reader.header().request_id);
  chain_.give_back(std::move(entry.texts));
  pending_.remove(entry);
}

// The next reply may answer this one.
void MongoObserver::follow_exhaust(MongoPending& entry, int32_t reply_id) {
  MongoPending follower = std::move(entry);
  pending_.remove(entry);
  follower_request_id_ = follower.header.request_id;
  follower_at_id_ = reply_id;
  follower.exhaust_follower = true;
  follower.sent = chain_.worker().now();
  if (MongoPending* const place = add_pending(reply_id))
    *place = std::move(follower);
  else
    chain_.give_back(std::move(follower.texts));
}

void MongoObserver::count_times(const MongoPending& entry, Duration took) {
  const HistogramBucket took_ms = histogram_bucket(in_milliseconds(took));
  if (entry.command_stats != nullptr) entry.command_stats->record(MongoCommandStat::reply_time_ms, took_ms);
  if (entry.collection_stats != nullptr) entry.collection_stats->record(MongoCollectionStat::reply_time_ms, took_ms);
  if (entry.query_stats != nullptr) entry.query_stats->record(MongoQueryStat::reply_time_ms, took_ms);
  if (entry.site_stats != nullptr) entry.site_stats->record(MongoQueryStat::reply_time_ms, took_ms);
}

void MongoObserver::count_reply(const MongoReader& reader, const MongoReply& reply, const MongoPending& entry) {
  const HistogramBucket bytes =
      histogram_bucket(document_bytes(reader.header(), reply.opcode, reply.compressor, reply.uncompressed_bytes));
  const HistogramBucket documents = histogram_bucket(reply.documents);
  const bool failed = reply.failed() || reply.write_errors > 0 || reply.has_write_concern_error;
  // How long a server is silent that was asked to wait says nothing.
  if (!entry.awaitable && !entry.exhaust_follower) count_times(entry, chain_.worker().now() - entry.sent);
  if (entry.command_stats != nullptr) {
    entry.command_stats->record(MongoCommandStat::reply_num_docs, documents);
    entry.command_stats->record(MongoCommandStat::reply_size, bytes);
    if (failed) entry.command_stats->inc(MongoCommandStat::error);
  }
  if (entry.collection_stats != nullptr) {
    entry.collection_stats->record(MongoCollectionStat::reply_num_docs, documents);
    entry.collection_stats->record(MongoCollectionStat::reply_size, bytes);
    if (failed) entry.collection_stats->inc(MongoCollectionStat::error);
  }
  for (StatBlock<MongoQueryStat>* one : {entry.query_stats, entry.site_stats}) {
    if (one == nullptr) continue;
    one->record(MongoQueryStat::reply_num_docs, documents);
    one->record(MongoQueryStat::reply_size, bytes);
  }
  count_error(reply);
  count_cursor(reply, entry);
  count_transaction(reply, entry);
  if (entry.auth != MongoAuthStep::none) follow_auth(reply, entry);
}

void MongoObserver::count_error(const MongoReply& reply) {
  if (reply.write_errors > 0) stats_.inc(MongoStat::write_error, reply.write_errors);
  if (reply.has_write_concern_error) stats_.inc(MongoStat::write_concern_error);
  if (!reply.failed()) return;
  stats_.inc(MongoStat::command_error);
  std::string_view name = !reply.code_name.empty() ? reply.code_name : mongo_code_name(reply.code);
  chain_.counters().error(name.empty() ? mongo_other_name : name).inc(MongoErrorStat::total);
}

void MongoObserver::count_cursor(const MongoReply& reply, const MongoPending& entry) {
  const bool continues = entry.command == MongoCommand::get_more || entry.opcode == MongoOpcode::get_more || entry.exhaust_follower;
  constexpr int32_t cursor_not_found = 43;
  const bool lost = reply.code == cursor_not_found ||
                    (reply.opcode == MongoOpcode::reply && (reply.flags & mongo::reply_cursor_not_found) != 0);
  if (continues) {
    if (lost) {
      stats_.inc(MongoStat::cursor_not_found);
      chain_.counters().close_cursors(1);
    } else if (!reply.failed() && reply.cursor_id == 0 && (reply.has_cursor || reply.opcode == MongoOpcode::reply)) {
      stats_.inc(MongoStat::cursor_exhausted);
      chain_.counters().close_cursors(1);
    }
  } else if (reply.cursor_id != 0) {
    stats_.inc(MongoStat::cursor_opened);
    chain_.counters().open_cursor();
  }
}

void MongoObserver::count_transaction(const MongoReply& reply, const MongoPending& entry) {
  if (reply.failed()) return;
  if (entry.command == MongoCommand::commit_transaction) stats_.inc(MongoStat::txn_committed);
  if (entry.command == MongoCommand::abort_transaction) stats_.inc(MongoStat::txn_aborted);
}

void MongoObserver::follow_auth(const MongoReply& reply, const MongoPending& entry) {
  if (entry.auth == MongoAuthStep::speculative) {
    if (!reply.has_speculative) return;  // the client begins anew
    const bool done = reply.sasl_done || mechanism_ == "MONGODB-X509";
    if (!done) return;  // saslContinue follows
  } else if (entry.auth == MongoAuthStep::conversation && !reply.failed() && !reply.sasl_done) {
    return;
  }
  if (mechanism_.empty()) return;
  chain_.counters().auth(mechanism_).inc(reply.failed() ? MongoAuthStat::failure : MongoAuthStat::success);
  if (!reply.failed()) peer_.auth_mechanism = mechanism_;
}

// --- who is told -------------------------------------------------------------------------------------------------------

void MongoObserver::tell(const MongoReader& reader, const MongoReply* reply, const MongoPending& entry) {
  const Duration took = chain_.worker().now() - entry.sent;
  if (MongoLog* log = chain_.log()) {
    log->write({.peer = &peer_,
                .request = &entry,
                .time = chain_.worker().ring().wall_now(),
                .took = took,
                .reply_header = reader.header(),
                .reply = reply});
  }
  if (!entry.tells_judge) return;
  MongoExchangeFacts facts;
  facts.request = entry.header;
  facts.reply = reader.header();
  facts.opcode = entry.opcode;
  facts.compressor = entry.compressor;
  facts.command = entry.command;
  facts.flags = entry.flags;
  facts.documents = entry.documents;
  facts.delayed = entry.delayed;
  facts.took = took;
  facts.exhaust_follower = entry.exhaust_follower;
  if (const MongoKeptTexts* texts = entry.texts.get()) {
    facts.command_name = texts->command_name;
    facts.database = texts->database;
    facts.collection = texts->collection;
    facts.comment = texts->comment;
    facts.call_site = texts->call_site;
    facts.body = texts->body;
  }
  chain_.judge()->on_reply(peer_, facts, reply != nullptr ? *reply : MongoReply());
}

void MongoObserver::write_log(const MongoPending& entry, MongoOutcome outcome, int32_t code) {
  if (chain_.log() == nullptr) return;
  MongoLogRecord record;
  record.peer = &peer_;
  record.request = &entry;
  record.outcome = outcome;
  record.time = chain_.worker().ring().wall_now();
  record.took = outcome == MongoOutcome::unanswered ? chain_.worker().now() - entry.sent : Duration::zero();
  record.code = code;
  chain_.log()->write(record);
}

void MongoObserver::end(EndedBy by) {
  if (pending_.size() == 0) return;
  stats_.inc(by == EndedBy::client ? MongoStat::cx_destroy_remote_with_active_rq : MongoStat::cx_destroy_local_with_active_rq);
  stats_.inc(MongoStat::request_unanswered, pending_.size());
  stats_.dec(MongoStat::op_query_active, pending_.size());
  reply_to_ = nullptr;
  pending_.drain([this](MongoPending& entry) {
    write_log(entry, MongoOutcome::unanswered);
    chain_.give_back(std::move(entry.texts));
  });
}

}  // namespace ringside
