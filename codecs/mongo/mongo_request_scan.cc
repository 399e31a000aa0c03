#include "codecs/mongo/mongo_request_scan.h"

#include "codecs/mongo/mongo_names.h"

namespace ringside {

enum class MongoRequestScan::Field : uint8_t {
  none,
  // At the top of a command.
  database,
  collection,
  lsid,
  cluster_time,
  txn_number,
  start_transaction,
  autocommit,
  write_concern,
  read_preference,
  batch_size,
  limit,
  skip,
  cursor,
  max_time,
  comment,
  client,
  compression,
  mechanism,
  speculative,
  topology_version,
  max_await_time,
  load_balanced,
  tailable,
  await_data,
  no_cursor_timeout,
  filter,
  pipeline,
  documents,
  statements,
  namespaces,
  cursors,
  out,
  to,
  query,
};

struct MongoRequestScan::Fields {
  using Names = MongoNames<Field, 128>;
  static constexpr Names names{{
      {"$db", Field::database},
      {"collection", Field::collection},
      {"lsid", Field::lsid},
      {"$clusterTime", Field::cluster_time},
      {"txnNumber", Field::txn_number},
      {"startTransaction", Field::start_transaction},
      {"autocommit", Field::autocommit},
      {"writeConcern", Field::write_concern},
      {"$readPreference", Field::read_preference},
      {"batchSize", Field::batch_size},
      {"limit", Field::limit},
      {"skip", Field::skip},
      {"cursor", Field::cursor},
      {"maxTimeMS", Field::max_time},
      {"$maxTimeMS", Field::max_time},
      {"comment", Field::comment},
      {"$comment", Field::comment},
      {"client", Field::client},
      {"compression", Field::compression},
      {"mechanism", Field::mechanism},
      {"speculativeAuthenticate", Field::speculative},
      {"topologyVersion", Field::topology_version},
      {"maxAwaitTimeMS", Field::max_await_time},
      {"loadBalanced", Field::load_balanced},
      {"tailable", Field::tailable},
      {"awaitData", Field::await_data},
      {"noCursorTimeout", Field::no_cursor_timeout},
      {"filter", Field::filter},
      {"pipeline", Field::pipeline},
      {"documents", Field::documents},
      {"updates", Field::statements},
      {"deletes", Field::statements},
      {"ops", Field::statements},
      {"nsInfo", Field::namespaces},
      {"cursors", Field::cursors},
      {"out", Field::out},
      {"to", Field::to},
      {"$query", Field::query},
  }};
};

namespace {

bool is_text(const BsonWalker& walker) { return walker.type() == BsonType::text || walker.type() == BsonType::symbol; }
bool is_container(const BsonWalker& walker) {
  return walker.type() == BsonType::document || walker.type() == BsonType::array;
}

}  // namespace

void MongoRequestScan::begin(MongoRequest& request, MongoTexts& texts, MongoDepth depth) {
  request_ = &request;
  texts_ = &texts;
  depth_ = depth;
  failure_ = MongoFailure::none;
  first_ = inner_first_ = has_database_ = has_topology_ = has_await_time_ = has_target_ = is_legacy_ = arguments_ =
      false;
}

void MongoRequestScan::begin_document(Role role) {
  switch (role) {
    case Role::command:
      contexts_[0] = Context::command;
      request_->is_command = first_ = true;
      return;
    case Role::arguments:
      contexts_[0] = Context::command;
      request_->is_command = arguments_ = true;
      return;
    case Role::query:
      contexts_[0] = Context::query;
      request_->id_query = MongoIdQuery::scatter_get;
      return;
    case Role::statement: contexts_[0] = Context::any; return;
    case Role::stage: contexts_[0] = Context::stage; return;
    case Role::namespaces: contexts_[0] = Context::namespace_names; return;
  }
}

void MongoRequestScan::on_element(BsonWalker& walker) {
  const Context context = contexts_[walker.depth()];
  if (walker.type() == BsonType::code || walker.type() == BsonType::code_with_scope) request_->uses_code = true;
  switch (context) {
    case Context::command: return on_command(walker, false);
    case Context::explained: return on_command(walker, true);
    case Context::query: return on_query(walker);
    case Context::filter:
      if (walker.key() == "_id")
        request_->id_query = is_container(walker) ? MongoIdQuery::multi_get : MongoIdQuery::single;
      return on_operator(walker);
    case Context::stage:
    case Context::any: return on_operator(walker);
    case Context::pipeline:
      if (is_container(walker)) enter(walker, Context::stage);
      return;
    case Context::merge:
    case Context::target:
    case Context::map_out: return on_target(walker, context);
    case Context::lookup:
    case Context::foreign:
    case Context::union_with: return on_foreign(walker, context);
    case Context::write_concern:
      if (walker.key() == "w") want(walker, Want::write_concern);
      return;
    case Context::cursor:
      if (walker.key() == "batchSize") request_->has_batch_size = true;
      return;
    case Context::read_preference:
    case Context::client:
    case Context::client_application:
    case Context::client_driver:
    case Context::client_os:
    case Context::speculative: return on_client(walker, context);
    case Context::compression:
    case Context::cursor_ids:
    case Context::counted:
    case Context::statements:
    case Context::namespaces:
    case Context::namespace_names: return on_listed(walker, context);
  }
}

void MongoRequestScan::enter(BsonWalker& walker, Context context) {
  if (!is_container(walker)) return;
  contexts_[walker.depth() + 1] = context;
  walker.enter();
}

void MongoRequestScan::want(BsonWalker& walker, Want what) {
  wanted_ = what;
  walker.want();
}

void MongoRequestScan::want_text(BsonWalker& walker, Want what) {
  if (is_text(walker)) want(walker, what);
}

void MongoRequestScan::look_inside(BsonWalker& walker) {
  if (deep()) enter(walker, Context::any);
}

// --- The top of a command ------------------------------------------------------------------------------------------

void MongoRequestScan::set_command(std::string_view name) {
  request_->is_command = true;
  request_->command_name = texts_->keep(name);
  request_->command = mongo_command_of(name);
  if (request_->command == MongoCommand::map_reduce) request_->uses_map_reduce = true;
  if (request_->command == MongoCommand::find) request_->id_query = MongoIdQuery::scatter_get;
}

void MongoRequestScan::on_command(BsonWalker& walker, bool explained) {
  if (explained ? inner_first_ : first_) return on_first_key(walker, explained);
  const Field field = Fields::names.find(walker.key());
  if (field == Field::none) {
    if (!explained && walker.key() == request_->command_name) return on_command_again(walker);
    return look_inside(walker);
  }
  if (explained && field == Field::database) return;  // a server wants it to be the same as outside
  if (on_session_field(walker, field) || on_query_field(walker, field) || on_list_field(walker, field)) return;
  on_hello_field(walker, field);
}

// The arguments of an OP_COMMAND may repeat the command that stood in front of them. Elsewhere nobody knows which one counts.
void MongoRequestScan::on_command_again(BsonWalker& walker) {
  if (!arguments_) failure_ = MongoFailure::field_twice;
  arguments_ = false;
  on_first_key(walker, false);
}

void MongoRequestScan::on_first_key(BsonWalker& walker, bool explained) {
  const bool wrapped = is_legacy_ && !explained && (walker.key() == "$query" || walker.key() == "query");
  if (wrapped && walker.type() == BsonType::document) return enter(walker, Context::command);  // which begins inside
  MongoCommand command = MongoCommand::unknown;
  if (explained) {
    inner_first_ = false;
    command = request_->inner_command = mongo_command_of(walker.key());
    if (command == MongoCommand::map_reduce) request_->uses_map_reduce = true;
  } else {
    first_ = false;
    set_command(walker.key());
    command = request_->command;
  }
  const MongoCommandInfo& info = info_of(command);
  if (info.names_namespace) return want_text(walker, Want::whole_name);
  if (info.names_collection) return want_text(walker, Want::collection);
  if (command == MongoCommand::get_more) return want(walker, Want::cursor_id);
  if (command == MongoCommand::explain && !explained) {
    inner_first_ = true;
    return enter(walker, Context::explained);
  }
  if (command == MongoCommand::unknown) want_text(walker, Want::collection);  // most likely
}

bool MongoRequestScan::on_session_field(BsonWalker& walker, Field field) {
  MongoRequest& request = *request_;
  switch (field) {
    case Field::database:
      if (has_database_) failure_ = MongoFailure::field_twice;
      has_database_ = true;
      want_text(walker, Want::database);
      return true;
    case Field::lsid: return request.has_lsid = true;
    case Field::cluster_time: return true;
    case Field::txn_number:
      request.has_txn_number = true;
      want(walker, Want::txn_number);
      return true;
    case Field::start_transaction: want(walker, Want::start_transaction); return true;
    case Field::autocommit: return request.has_autocommit = true;
    case Field::write_concern: enter(walker, Context::write_concern); return true;
    case Field::read_preference: enter(walker, Context::read_preference); return true;
    case Field::max_time:
      request.has_max_time = true;
      want(walker, Want::max_time);
      return true;
    case Field::comment: want_text(walker, Want::comment); return true;
    default: return false;  // of another group
  }
}

bool MongoRequestScan::on_query_field(BsonWalker& walker, Field field) {
  MongoRequest& request = *request_;
  switch (field) {
    case Field::collection:
      if (request.command == MongoCommand::get_more) want_text(walker, Want::collection);
      return true;
    case Field::batch_size: return request.has_batch_size = true;
    case Field::limit: return request.has_limit = true;
    case Field::skip: return request.has_skip = true;
    case Field::cursor: enter(walker, Context::cursor); return true;
    case Field::tailable: want(walker, Want::tailable); return true;
    case Field::await_data: want(walker, Want::await_data); return true;
    case Field::no_cursor_timeout: want(walker, Want::no_cursor_timeout); return true;
    case Field::filter:
      if (request.command == MongoCommand::find)
        enter(walker, Context::filter);
      else
        look_inside(walker);
      return true;
    case Field::query: look_inside(walker); return true;
    case Field::out:
      if (request.command != MongoCommand::map_reduce) return true;
      if (walker.type() == BsonType::document)
        enter(walker, Context::map_out);
      else
        on_out_name(walker);
      return true;
    case Field::to:
      if (request.command == MongoCommand::rename_collection) want_text(walker, Want::rename_to);
      return true;
    default: return false;
  }
}

void MongoRequestScan::on_out_name(BsonWalker& walker) {
  begin_target();
  request_->has_out = true;
  want_text(walker, Want::target_collection);
}

bool MongoRequestScan::on_list_field(BsonWalker& walker, Field field) {
  const bool counts = depth_ != MongoDepth::names;
  switch (field) {
    case Field::pipeline:
      if (counts) enter(walker, Context::pipeline);
      return true;
    case Field::documents:
      if (counts && request_->command == MongoCommand::insert) enter(walker, Context::counted);
      return true;
    case Field::statements:
      if (counts) enter(walker, Context::statements);
      return true;
    case Field::namespaces: enter(walker, Context::namespaces); return true;
    case Field::cursors:
      if (request_->command == MongoCommand::kill_cursors) enter(walker, Context::cursor_ids);
      return true;
    default: return false;
  }
}

bool MongoRequestScan::on_hello_field(BsonWalker& walker, Field field) {
  switch (field) {
    case Field::client:
      request_->client.present = true;
      enter(walker, Context::client);
      return true;
    case Field::compression: enter(walker, Context::compression); return true;
    case Field::mechanism: want_text(walker, Want::mechanism); return true;
    case Field::speculative: enter(walker, Context::speculative); return true;
    case Field::topology_version: return has_topology_ = true;
    case Field::max_await_time: return has_await_time_ = true;
    case Field::load_balanced: want(walker, Want::load_balanced); return true;
    default: return false;
  }
}

// An OP_QUERY that is no command: the document is the filter, or has it in `$query` beside its modifiers.
void MongoRequestScan::on_query(BsonWalker& walker) {
  switch (Fields::names.find(walker.key())) {
    case Field::query: request_->id_query = MongoIdQuery::scatter_get; return enter(walker, Context::filter);
    case Field::max_time:
      if (walker.key().front() != '$') break;
      request_->has_max_time = true;
      return want(walker, Want::max_time);
    case Field::comment:
      if (walker.key().front() != '$') break;
      return want_text(walker, Want::comment);
    case Field::read_preference: return enter(walker, Context::read_preference);
    default: break;
  }
  if (walker.key() == "_id") request_->id_query = is_container(walker) ? MongoIdQuery::multi_get : MongoIdQuery::single;
  on_operator(walker);
}

bool MongoRequestScan::names_known() const {
  const MongoRequest& request = *request_;
  if (first_ || inner_first_ || request.command_name.empty() || request.database.empty()) return false;
  if (request.command == MongoCommand::get_more) return !request.collection.empty();
  return request.command != MongoCommand::bulk_write;
}

void MongoRequestScan::finish() {
  MongoRequest& request = *request_;
  request.awaitable_hello = has_topology_ && has_await_time_;
  request.call_site = mongo_call_site(request.comment);
}

}  // namespace ringside
