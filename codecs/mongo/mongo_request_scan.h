#pragma once
// Picks the facts of a request out of its documents, element by element as the walker meets them.
#include <array>
#include <cstdint>
#include <string_view>

#include "codecs/mongo/bson_walker.h"
#include "codecs/mongo/mongo_facts.h"
#include "codecs/mongo/mongo_texts.h"

namespace ringside {

// `callingFunction` of a JSON text, as it stands between its quotes; empty: there is none, or it is escaped.
std::string_view mongo_call_site(std::string_view json);

class MongoRequestScan {
 public:
  // What a document of a message is.
  enum class Role : uint8_t {
    command,     // its first key is the command
    arguments,   // of an OP_COMMAND, whose command stands in front of it
    query,       // of an OP_QUERY that is no command
    statement,   // of an update or a delete; a selector
    stage,       // of a pipeline
    namespaces,  // of bulkWrite
  };

  // Facts and texts outlive the scan of the message.
  void begin(MongoRequest& request, MongoTexts& texts, MongoDepth depth);
  void begin_document(Role role);

  void on_element(BsonWalker& walker);
  void on_value(const BsonWalker& walker);
  void on_leave(const BsonWalker& walker);

  // Documents of a section of kind 1, or of an OP_INSERT, that nobody looks into.
  void count_document() { ++request_->documents; }

  // database.collection of a legacy message; false: it is not one.
  bool set_namespace(std::string_view name);
  void set_database(std::string_view name) { keep_name(request_->database, name, false); }
  void set_command(std::string_view name);
  // Whether what MongoDepth::names asks for is there.
  bool names_known() const;
  MongoFailure failure() const { return failure_; }
  // The documents behind the last command are over: what follows from more than one of its fields.
  void finish();

 private:
  // What the elements of the document or array at a depth are.
  enum class Context : uint8_t {
    command,
    explained,
    query,
    filter,
    any,
    pipeline,
    stage,
    merge,
    target,
    lookup,
    foreign,
    union_with,
    map_out,
    write_concern,
    read_preference,
    client,
    client_application,
    client_driver,
    client_os,
    compression,
    speculative,
    cursor,
    cursor_ids,
    counted,
    statements,
    namespaces,
    namespace_names,
  };
  // What a wanted value is for.
  enum class Want : uint8_t {
    none,
    collection,
    whole_name,
    database,
    rename_to,
    comment,
    application,
    driver_name,
    driver_version,
    os_type,
    compressor,
    mechanism,
    read_mode,
    target_database,
    target_collection,
    foreign,
    pending_database,
    pending_collection,
    bulk_namespace,
    cursor_id,
    txn_number,
    max_time,
    start_transaction,
    tailable,
    await_data,
    no_cursor_timeout,
    load_balanced,
    write_concern,
  };

  enum class Field : uint8_t;
  struct Fields;

  void enter(BsonWalker& walker, Context context);
  void want(BsonWalker& walker, Want what);
  void want_text(BsonWalker& walker, Want what);
  void look_inside(BsonWalker& walker);
  void on_command(BsonWalker& walker, bool explained);
  void on_command_again(BsonWalker& walker);
  void on_first_key(BsonWalker& walker, bool explained);
  void on_field(BsonWalker& walker);
  bool on_session_field(BsonWalker& walker, Field field);
  bool on_query_field(BsonWalker& walker, Field field);
  bool on_list_field(BsonWalker& walker, Field field);
  bool on_hello_field(BsonWalker& walker, Field field);
  void on_query(BsonWalker& walker);
  void on_operator(BsonWalker& walker);
  void on_write_stage(BsonWalker& walker);
  void on_target(BsonWalker& walker, Context context);
  void on_foreign(BsonWalker& walker, Context context);
  void on_client(BsonWalker& walker, Context context);
  void on_listed(BsonWalker& walker, Context context);
  void take_text(std::string_view text, bool cut);
  void take_name(std::string_view text, bool cut);
  void take_number(const BsonWalker& walker);
  void take_namespace(std::string_view text, bool cut, MongoNamespace& name);
  void keep_name(std::string_view& name, std::string_view text, bool cut);
  void begin_target();
  void on_out_name(BsonWalker& walker);
  bool deep() const { return depth_ == MongoDepth::deep; }

  MongoRequest* request_ = nullptr;
  MongoTexts* texts_ = nullptr;
  MongoDepth depth_{};
  MongoFailure failure_ = MongoFailure::none;
  Want wanted_{};
  bool is_legacy_ = false;
  bool arguments_ = false;     // of an OP_COMMAND, its command not repeated yet
  bool first_ = false;         // the next key at the top is the command
  bool inner_first_ = false;   // ... inside of explain
  bool has_database_ = false;  // from `$db`
  bool has_topology_ = false;
  bool has_await_time_ = false;
  bool has_target_ = false;
  MongoNamespace pending_;  // of $lookup's `from`, when that is a document
  std::array<Context, mongo::bson_depth_max + 1> contexts_;
};

}  // namespace ringside
