// What a request says below its top: stages, targets, lists, the client's document; and what is done with a wanted value.
#include "codecs/mongo/mongo_names.h"
#include "codecs/mongo/mongo_request_scan.h"

namespace ringside {

namespace {

enum class Operator : uint8_t { none, where, function, accumulator, out, merge, lookup, union_with };

constexpr MongoNames<Operator, 32> operators{{
    {"$where", Operator::where},
    {"$function", Operator::function},
    {"$accumulator", Operator::accumulator},
    {"$out", Operator::out},
    {"$merge", Operator::merge},
    {"$lookup", Operator::lookup},
    {"$graphLookup", Operator::lookup},
    {"$unionWith", Operator::union_with},
}};

constexpr MongoNames<MongoReadPreference, 16> read_modes{{
    {"primary", MongoReadPreference::primary},
    {"primaryPreferred", MongoReadPreference::primary_preferred},
    {"secondary", MongoReadPreference::secondary},
    {"secondaryPreferred", MongoReadPreference::secondary_preferred},
    {"nearest", MongoReadPreference::nearest},
}};

constexpr MongoNames<uint8_t, 8> compressor_bits{{{"snappy", 2}, {"zlib", 4}, {"zstd", 8}, {"noop", 1}}};

constexpr size_t database_bytes_max = 64;
constexpr size_t collection_bytes_max = 255;

bool is_document(const BsonWalker& walker) { return walker.type() == BsonType::document; }

}  // namespace

// --- Operators -----------------------------------------------------------------------------------------------------

void MongoRequestScan::on_operator(BsonWalker& walker) {
  MongoRequest& request = *request_;
  const std::string_view key = walker.key();
  const Operator what = !key.empty() && key.front() == '$' ? operators.find(key) : Operator::none;
  switch (what) {
    case Operator::none: return look_inside(walker);
    case Operator::where: request.uses_where = true; return look_inside(walker);
    case Operator::function: request.uses_function = true; return look_inside(walker);
    case Operator::accumulator: request.uses_accumulator = true; return look_inside(walker);
    case Operator::out: request.has_out = true; return on_write_stage(walker);
    case Operator::merge: request.has_merge = true; return on_write_stage(walker);
    case Operator::lookup:
      if (is_document(walker)) return enter(walker, Context::lookup);
      return look_inside(walker);
    case Operator::union_with:
      if (is_document(walker)) return enter(walker, Context::union_with);
      return want_text(walker, Want::foreign);
  }
}

void MongoRequestScan::on_write_stage(BsonWalker& walker) {
  begin_target();
  if (!is_document(walker)) return want_text(walker, Want::target_collection);
  enter(walker, walker.key() == "$merge" ? Context::merge : Context::target);
}

// A second target hides the first one: then the names are not to be trusted.
void MongoRequestScan::begin_target() {
  if (has_target_) request_->names_cut = true;
  has_target_ = true;
}

void MongoRequestScan::on_target(BsonWalker& walker, Context context) {
  const std::string_view key = walker.key();
  if (context == Context::merge) {
    if (key != "into") return look_inside(walker);
    if (is_document(walker)) return enter(walker, Context::target);
    return want_text(walker, Want::target_collection);
  }
  if (key == "db") return want_text(walker, Want::target_database);
  if (context == Context::target) {
    if (key == "coll") return want_text(walker, Want::target_collection);
    return look_inside(walker);
  }
  if (key != "replace" && key != "merge" && key != "reduce") return;  // `inline` writes nothing
  on_out_name(walker);
}

void MongoRequestScan::on_foreign(BsonWalker& walker, Context context) {
  const std::string_view key = walker.key();
  if (context == Context::foreign) {
    if (key == "db") return want_text(walker, Want::pending_database);
    if (key == "coll") return want_text(walker, Want::pending_collection);
    return;
  }
  if (key == "pipeline" && deep()) return enter(walker, Context::pipeline);
  if (context == Context::lookup && key == "from") {
    if (!is_document(walker)) return want_text(walker, Want::foreign);
    pending_ = {};
    return enter(walker, Context::foreign);
  }
  if (context == Context::union_with && key == "coll") return want_text(walker, Want::foreign);
  look_inside(walker);
}

void MongoRequestScan::on_leave(const BsonWalker& walker) {
  if (contexts_[walker.depth() + 1] == Context::foreign) request_->foreign.add(pending_);
}

// --- Lists and the client's document ---------------------------------------------------------------------------------

void MongoRequestScan::on_client(BsonWalker& walker, Context context) {
  const std::string_view key = walker.key();
  switch (context) {
    case Context::read_preference:
      if (key == "mode") want_text(walker, Want::read_mode);
      return;
    case Context::client:
      if (key == "application") enter(walker, Context::client_application);
      if (key == "driver") enter(walker, Context::client_driver);
      if (key == "os") enter(walker, Context::client_os);
      return;
    case Context::client_application:
      if (key == "name") want_text(walker, Want::application);
      return;
    case Context::client_driver:
      if (key == "name") want_text(walker, Want::driver_name);
      if (key == "version") want_text(walker, Want::driver_version);
      return;
    case Context::client_os:
      if (key == "type") want_text(walker, Want::os_type);
      return;
    case Context::speculative:
      if (key == "mechanism") want_text(walker, Want::mechanism);
      return;
    default: return;  // not of these
  }
}

void MongoRequestScan::on_listed(BsonWalker& walker, Context context) {
  switch (context) {
    case Context::compression: return want_text(walker, Want::compressor);
    case Context::cursor_ids:
      if (request_->cursors++ == 0) want(walker, Want::cursor_id);
      return;
    case Context::counted: ++request_->documents; return;
    case Context::statements: ++request_->documents; return look_inside(walker);
    case Context::namespaces: return enter(walker, Context::namespace_names);
    case Context::namespace_names:
      if (walker.key() == "ns") want_text(walker, Want::bulk_namespace);
      return;
    default: return;  // not of these
  }
}

// --- Values --------------------------------------------------------------------------------------------------------

void MongoRequestScan::on_value(const BsonWalker& walker) {
  const BsonType type = walker.type();
  if (type == BsonType::text || type == BsonType::symbol) return take_text(walker.text(), walker.text_cut());
  take_number(walker);
}

void MongoRequestScan::take_text(std::string_view text, bool cut) {
  MongoRequest& request = *request_;
  MongoNamespace name;
  switch (wanted_) {
    case Want::comment: request.comment = texts_->keep(text); return;
    case Want::application: request.client.application = texts_->keep(text); return;
    case Want::driver_name: request.client.driver_name = texts_->keep(text); return;
    case Want::driver_version: request.client.driver_version = texts_->keep(text); return;
    case Want::os_type: request.client.os_type = texts_->keep(text); return;
    case Want::mechanism: request.auth_mechanism = texts_->keep(text.substr(0, database_bytes_max)); return;
    case Want::compressor:
      request.client.compressors = static_cast<uint8_t>(request.client.compressors | compressor_bits.find(text));
      return;
    case Want::read_mode:
      request.read_preference = read_modes.find(text);
      if (request.read_preference == MongoReadPreference::none) request.read_preference = MongoReadPreference::other;
      return;
    case Want::foreign:
      keep_name(name.collection, text, cut);
      request.foreign.add(name);
      return;
    case Want::bulk_namespace:
      take_namespace(text, cut, name);
      request.foreign.add(name);
      return;
    default: return take_name(text, cut);
  }
}

void MongoRequestScan::take_name(std::string_view text, bool cut) {
  MongoRequest& request = *request_;
  MongoNamespace name;
  switch (wanted_) {
    case Want::collection: return keep_name(request.collection, text, cut);
    case Want::database:
      if (text.size() >= database_bytes_max) request.names_cut = true;
      if (request.database.empty()) keep_name(request.database, text, cut);  // else the first key named it
      return;
    case Want::whole_name:
      take_namespace(text, cut, name);
      request.database = name.database;
      request.collection = name.collection;
      return;
    case Want::rename_to: return take_namespace(text, cut, request.target);
    case Want::target_database: return keep_name(request.target.database, text, cut);
    case Want::target_collection: return keep_name(request.target.collection, text, cut);
    case Want::pending_database: return keep_name(pending_.database, text, cut);
    case Want::pending_collection: return keep_name(pending_.collection, text, cut);
    default: return;  // a number was expected
  }
}

void MongoRequestScan::take_number(const BsonWalker& walker) {
  MongoRequest& request = *request_;
  switch (wanted_) {
    case Want::cursor_id: request.cursor_id = walker.number(); return;
    case Want::txn_number: request.txn_number = walker.number(); return;
    case Want::max_time: request.max_time_ms = walker.number(); return;
    case Want::start_transaction: request.start_transaction = walker.truth(); return;
    case Want::tailable: request.tailable = walker.truth(); return;
    case Want::await_data: request.await_data = walker.truth(); return;
    case Want::no_cursor_timeout: request.no_cursor_timeout = walker.truth(); return;
    case Want::load_balanced: request.load_balanced = walker.truth(); return;
    case Want::write_concern:
      request.write_concern_zero =
          walker.type() != BsonType::null && !walker.truth() && walker.type() != BsonType::boolean;
      return;
    default: return;  // a text was expected
  }
}

void MongoRequestScan::keep_name(std::string_view& name, std::string_view text, bool cut) {
  name = texts_->keep(text.substr(0, collection_bytes_max));
  if (cut || name.size() < text.size()) request_->names_cut = true;
}

void MongoRequestScan::take_namespace(std::string_view text, bool cut, MongoNamespace& name) {
  const size_t dot = text.find('.');
  keep_name(name.database, text.substr(0, dot), cut);
  if (dot != text.npos) keep_name(name.collection, text.substr(dot + 1), cut);
}

bool MongoRequestScan::set_namespace(std::string_view name) {
  const size_t dot = name.find('.');
  if (dot == name.npos) return false;
  is_legacy_ = true;
  keep_name(request_->database, name.substr(0, dot), name.size() > collection_bytes_max);
  keep_name(request_->collection, name.substr(dot + 1), false);
  return true;
}

// --- Comments ------------------------------------------------------------------------------------------------------

namespace {

// Moves `json` past a string that begins with its quote; what stands in it. `escaped`: it has escapes.
std::string_view take_json_string(std::string_view& json, bool& escaped) {
  size_t at = 1;
  escaped = false;
  for (; at < json.size() && json[at] != '"'; ++at) {
    if (json[at] != '\\') continue;
    escaped = true;
    ++at;
  }
  const std::string_view text = json.substr(1, std::min(at, json.size()) - 1);
  json.remove_prefix(std::min(at + 1, json.size()));
  return text;
}

void skip_blanks(std::string_view& json) {
  const size_t blanks = json.find_first_not_of(" \t\r\n");
  json.remove_prefix(blanks == json.npos ? json.size() : blanks);
}

}  // namespace

std::string_view mongo_call_site(std::string_view json) {
  constexpr std::string_view wanted = "callingFunction";
  skip_blanks(json);
  if (json.empty() || json.front() != '{' || json.find(wanted) == json.npos) return {};
  uint32_t depth = 0;
  bool escaped = false;
  while (!json.empty()) {
    const char head = json.front();
    if (head == '"') {
      const bool named = take_json_string(json, escaped) == wanted && depth == 1;
      skip_blanks(json);
      if (!named || json.empty() || json.front() != ':') continue;
      json.remove_prefix(1);
      skip_blanks(json);
      if (json.empty() || json.front() != '"') return {};
      const std::string_view value = take_json_string(json, escaped);
      return escaped || json.empty() ? std::string_view() : value;
    }
    if (head == '{' || head == '[') ++depth;
    if (head == '}' || head == ']') --depth;
    json.remove_prefix(1);
  }
  return {};
}

}  // namespace ringside
