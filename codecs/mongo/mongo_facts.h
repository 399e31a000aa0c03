#pragma once
// What the reader tells about a message. Every text is bounded and lies in the reader's state: valid until the next message.
#include <array>
#include <cstdint>
#include <string_view>

#include "codecs/mongo/mongo_commands.h"
#include "codecs/mongo/mongo_message.h"

namespace ringside {

// How much of a request is read before `facts`.
enum class MongoDepth : uint8_t {
  names,  // until command, database and collection are known; the other facts are what was seen by chance. The rest is skipped
  command,  // the top level of the whole kind 0 body, and the stages of a pipeline
  deep,     // also every query and pipeline down to its leaves: the uses_* facts, nested $lookup and the like
};

struct MongoNamespace {
  std::string_view database;  // empty: that of the command
  std::string_view collection;
};

// A bounded list: what did not fit is counted.
template <class T, size_t size_max>
struct MongoList {
  std::array<T, size_max> items;
  uint8_t size = 0;
  uint16_t left_out = 0;  // a rule that allows by name must refuse when it is not 0

  void add(const T& item) {
    if (size < size_max)
      items[size++] = item;
    else if (left_out < UINT16_MAX)
      ++left_out;
  }
  void clear() { size = 0, left_out = 0; }
  const T* begin() const { return items.data(); }
  const T* end() const { return items.data() + size; }
};

enum class MongoReadPreference : uint8_t {
  none,
  primary,
  primary_preferred,
  secondary,
  secondary_preferred,
  nearest,
  other
};

// How a query names the documents it is after.
enum class MongoIdQuery : uint8_t {
  none,         // not a query
  scatter_get,  // no _id
  multi_get,    // _id is a document or an array
  single,
};

// What a client says of itself in its first message.
struct MongoClientFacts {
  std::string_view application;
  std::string_view driver_name;
  std::string_view driver_version;
  std::string_view os_type;
  uint8_t compressors = 0;  // bit n: the one numbered n is offered
  bool present = false;     // there was a `client` document
};

struct MongoRequest {
  MongoOpcode opcode = MongoOpcode::none;  // of the message inside of a compressed one
  MongoCompressor compressor = MongoCompressor::none;
  MongoCommand command = MongoCommand::unknown;        // unknown, too, for a legacy message that is none: see opcode
  MongoCommand inner_command = MongoCommand::unknown;  // what `explain` explains
  MongoReadPreference read_preference = MongoReadPreference::none;
  MongoIdQuery id_query = MongoIdQuery::none;
  uint32_t flags = 0;               // flagBits of OP_MSG, flags of a legacy message
  uint32_t uncompressed_bytes = 0;  // of the body, as a compressed message announces it
  uint32_t documents = 0;  // of insert; statements of update, delete and bulkWrite. Of kind 1: complete at the end
  uint32_t cursors = 0;    // of killCursors
  int64_t cursor_id = 0;   // of getMore; the first of killCursors
  int64_t txn_number = 0;
  int64_t max_time_ms = 0;

  bool is_command : 1 = false;  // OP_MSG, OP_COMMAND, or an OP_QUERY to $cmd
  bool names_cut : 1 = false;   // database or collection is longer than a server allows and was cut
  bool has_lsid : 1 = false;
  bool has_txn_number : 1 = false;
  bool start_transaction : 1 = false;
  bool has_autocommit : 1 = false;  // in a multi-statement transaction
  bool has_batch_size : 1 = false;
  bool has_limit : 1 = false;
  bool has_skip : 1 = false;
  bool has_max_time : 1 = false;
  bool write_concern_zero : 1 = false;
  bool tailable : 1 = false;
  bool await_data : 1 = false;
  bool exhaust : 1 = false;
  bool no_cursor_timeout : 1 = false;
  bool awaitable_hello : 1 = false;  // topologyVersion and maxAwaitTimeMS
  bool has_out : 1 = false;          // aggregate with $out: `target`
  bool has_merge : 1 = false;        // aggregate with $merge: `target`
  // Code that the server is to run. Complete with MongoDepth::deep only, but for map_reduce.
  bool uses_where : 1 = false;
  bool uses_function : 1 = false;
  bool uses_accumulator : 1 = false;
  bool uses_code : 1 = false;  // a BSON value of type code, wherever
  bool uses_map_reduce : 1 = false;
  bool load_balanced : 1 = false;  // hello

  std::string_view command_name;  // the first key as it was sent; empty for a legacy message that is no command
  std::string_view database;
  std::string_view collection;           // of a command without one: empty; of explain: that of the inner command
  std::string_view comment;              // if it is a string; cut at 256 bytes
  std::string_view call_site;            // `callingFunction` of a comment that is a JSON text
  std::string_view auth_mechanism;       // of saslStart, authenticate, speculativeAuthenticate; never a payload
  MongoNamespace target;                 // of $out or $merge; of renameCollection: `to`
  MongoList<MongoNamespace, 6> foreign;  // $lookup, $graphLookup, $unionWith; nsInfo of bulkWrite
  MongoClientFacts client;               // of hello

  // Nobody answers it.
  bool expects_reply() const;
  // It changes documents or anything else, or nobody knows that it does not. Needs MongoDepth::command.
  bool writes() const;
  bool unacknowledged() const {
    return write_concern_zero || (opcode == MongoOpcode::msg && (flags & mongo::more_to_come) != 0);
  }
};

// A hello reply: what a topology is made of.
struct MongoHelloFacts {
  std::string_view set_name;
  std::string_view me;
  std::string_view primary;
  MongoList<std::string_view, 16> hosts;  // hosts, passives and arbiters
  int32_t max_wire_version = 0;
  int32_t max_bson_object_bytes = 0;
  int32_t max_message_bytes = 0;
  uint8_t compressors = 0;   // bit n: the one numbered n was agreed on
  bool present : 1 = false;  // isWritablePrimary or ismaster was there
  bool writable_primary : 1 = false;
  bool secondary : 1 = false;
  bool arbiter_only : 1 = false;
  bool mongos : 1 = false;
  bool has_topology_version : 1 = false;
  bool has_sasl_mechanisms : 1 = false;
};

struct MongoReply {
  MongoOpcode opcode = MongoOpcode::none;  // msg, reply or command_reply
  MongoCompressor compressor = MongoCompressor::none;
  uint32_t flags = 0;
  uint32_t uncompressed_bytes = 0;
  uint32_t documents = 0;  // of firstBatch or nextBatch, or of an OP_REPLY to a query
  uint32_t write_errors = 0;
  int32_t code = 0;
  int32_t write_error_code = 0;  // of the first of writeErrors; an answer with ok: 1 may have some
  int32_t write_concern_error_code = 0;
  int64_t cursor_id = 0;
  int64_t n = 0;
  int64_t n_modified = 0;

  bool has_ok : 1 = false;  // an OP_REPLY to a query has none
  bool ok : 1 = false;
  bool has_cursor : 1 = false;
  bool has_errmsg : 1 = false;
  bool has_write_concern_error : 1 = false;
  bool sasl_done : 1 = false;         // saslStart, saslContinue: done: true
  bool has_conversation : 1 = false;  // conversationId: an answer of authentication
  bool has_speculative : 1 = false;   // speculativeAuthenticate in a hello reply

  std::string_view code_name;
  std::string_view cursor_namespace;
  MongoHelloFacts hello;

  // The command failed, or the query did.
  bool failed() const;
  bool more_to_come() const { return opcode == MongoOpcode::msg && (flags & mongo::more_to_come) != 0; }
};

}  // namespace ringside
