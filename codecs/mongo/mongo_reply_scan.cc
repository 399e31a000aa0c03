#include "codecs/mongo/mongo_reply_scan.h"

#include "codecs/mongo/mongo_names.h"

namespace ringside {

enum class MongoReplyScan::Field : uint8_t {
  none,
  ok,
  code,
  write_error_code,
  write_concern_code,
  code_name,
  errmsg,
  failure,
  n,
  n_modified,
  write_errors,
  error_count,
  write_concern_error,
  cursor,
  cursor_id,
  cursor_namespace,
  batch,
  done,
  conversation,
  speculative,
  // Of hello.
  writable_primary,
  secondary,
  arbiter_only,
  set_name,
  me,
  primary,
  hosts,
  max_wire_version,
  max_bson_object,
  max_message,
  topology_version,
  compression,
  message,
  sasl_mechanisms,
};

struct MongoReplyScan::Fields {
  static constexpr MongoNames<Field, 128> top{{
      {"ok", Field::ok},
      {"code", Field::code},
      {"codeName", Field::code_name},
      {"errmsg", Field::errmsg},
      {"$err", Field::failure},
      {"n", Field::n},
      {"nModified", Field::n_modified},
      {"writeErrors", Field::write_errors},
      {"nErrors", Field::error_count},
      {"writeConcernError", Field::write_concern_error},
      {"cursor", Field::cursor},
      {"done", Field::done},
      {"conversationId", Field::conversation},
      {"speculativeAuthenticate", Field::speculative},
      {"isWritablePrimary", Field::writable_primary},
      {"ismaster", Field::writable_primary},
      {"secondary", Field::secondary},
      {"arbiterOnly", Field::arbiter_only},
      {"setName", Field::set_name},
      {"me", Field::me},
      {"primary", Field::primary},
      {"hosts", Field::hosts},
      {"passives", Field::hosts},
      {"arbiters", Field::hosts},
      {"maxWireVersion", Field::max_wire_version},
      {"maxBsonObjectSize", Field::max_bson_object},
      {"maxMessageSizeBytes", Field::max_message},
      {"topologyVersion", Field::topology_version},
      {"compression", Field::compression},
      {"msg", Field::message},
      {"saslSupportedMechs", Field::sasl_mechanisms},
  }};
  static constexpr MongoNames<Field, 16> cursor{{
      {"firstBatch", Field::batch},
      {"nextBatch", Field::batch},
      {"id", Field::cursor_id},
      {"ns", Field::cursor_namespace},
  }};
  static constexpr MongoNames<uint8_t, 8> compressors{{{"noop", 1}, {"snappy", 2}, {"zlib", 4}, {"zstd", 8}}};
};

namespace {

bool is_text(const BsonWalker& walker) { return walker.type() == BsonType::text || walker.type() == BsonType::symbol; }

}  // namespace

void MongoReplyScan::on_element(BsonWalker& walker) {
  if (walker.depth() == 0) return on_field(walker, Fields::top.find(walker.key()));
  if (walker.depth() == 2) {
    if (list_ == Field::write_errors) return want_code(walker, Field::write_error_code);
    if (batch_) ++reply_->documents;
    return;
  }
  if (list_ == Field::cursor) return on_cursor(walker);
  if (list_ == Field::write_errors) {
    if (reply_->write_errors++ == 0 && walker.type() == BsonType::document) walker.enter();
    return;
  }
  if (list_ == Field::write_concern_error) return want_code(walker, Field::write_concern_code);
  wanted_ = list_;
  if (is_text(walker)) walker.want();
}

void MongoReplyScan::on_field(BsonWalker& walker, Field field) {
  wanted_ = list_ = field;
  switch (field) {
    case Field::none: return;
    case Field::failure:
    case Field::errmsg: reply_->has_errmsg = true; return;
    case Field::write_concern_error:
      reply_->has_write_concern_error = true;
      if (walker.type() == BsonType::document) walker.enter();
      return;
    case Field::conversation: reply_->has_conversation = true; return;
    case Field::speculative: reply_->has_speculative = true; return;
    case Field::topology_version: hello().has_topology_version = true; return;
    case Field::sasl_mechanisms: hello().has_sasl_mechanisms = true; return;
    case Field::cursor:
      if (walker.type() != BsonType::document) return;
      reply_->has_cursor = true;
      batch_ = false;
      return walker.enter();
    case Field::write_errors:
    case Field::hosts:
    case Field::compression:
      if (walker.type() == BsonType::array) walker.enter();
      return;
    case Field::ok: reply_->has_ok = true; return walker.want();
    case Field::writable_primary: hello().present = true; return walker.want();
    case Field::code:
    case Field::write_error_code:
    case Field::write_concern_code:
    case Field::code_name:
    case Field::n:
    case Field::n_modified:
    case Field::error_count:
    case Field::done:
    case Field::secondary:
    case Field::arbiter_only:
    case Field::set_name:
    case Field::me:
    case Field::primary:
    case Field::max_wire_version:
    case Field::max_bson_object:
    case Field::max_message:
    case Field::message:
    case Field::cursor_id:
    case Field::cursor_namespace:
    case Field::batch: return walker.want();
  }
}

void MongoReplyScan::on_cursor(BsonWalker& walker) {
  wanted_ = Fields::cursor.find(walker.key());
  batch_ = wanted_ == Field::batch && walker.type() == BsonType::array;
  if (batch_) {
    has_batch_ = true;
    return walker.enter();
  }
  if (wanted_ != Field::none) walker.want();
}

void MongoReplyScan::want_code(BsonWalker& walker, Field field) {
  if (walker.key() != "code") return;
  wanted_ = field;
  walker.want();
}

void MongoReplyScan::on_value(const BsonWalker& walker) {
  if (is_text(walker)) return take_text(walker.text());
  take_number(walker);
}

void MongoReplyScan::take_text(std::string_view text) {
  switch (wanted_) {
    case Field::code_name: reply_->code_name = texts_->keep(text.substr(0, 64)); return;
    case Field::cursor_namespace: reply_->cursor_namespace = texts_->keep(text); return;
    case Field::set_name: hello().set_name = texts_->keep(text); return;
    case Field::me: hello().me = texts_->keep(text); return;
    case Field::primary: hello().primary = texts_->keep(text); return;
    case Field::hosts: hello().hosts.add(texts_->keep(text)); return;
    case Field::compression:
      hello().compressors = static_cast<uint8_t>(hello().compressors | Fields::compressors.find(text));
      return;
    case Field::message:
      if (text == "isdbgrid") hello().mongos = true;
      return;
    default: return;  // a number was expected
  }
}

void MongoReplyScan::take_number(const BsonWalker& walker) {
  const int64_t number = walker.number();
  const auto small = static_cast<int32_t>(number);
  switch (wanted_) {
    case Field::ok: reply_->ok = walker.truth(); return;
    case Field::code: reply_->code = small; return;
    case Field::write_error_code: reply_->write_error_code = small; return;
    case Field::write_concern_code: reply_->write_concern_error_code = small; return;
    case Field::n: reply_->n = number; return;
    case Field::n_modified: reply_->n_modified = number; return;
    case Field::error_count:
      if (number > 0) reply_->write_errors = static_cast<uint32_t>(number);
      return;
    case Field::cursor_id: reply_->cursor_id = number; return;
    case Field::done: reply_->sasl_done = walker.truth(); return;
    case Field::writable_primary: hello().writable_primary = walker.truth(); return;
    case Field::secondary: hello().secondary = walker.truth(); return;
    case Field::arbiter_only: hello().arbiter_only = walker.truth(); return;
    case Field::max_wire_version: hello().max_wire_version = small; return;
    case Field::max_bson_object: hello().max_bson_object_bytes = small; return;
    case Field::max_message: hello().max_message_bytes = small; return;
    default: return;  // a text was expected
  }
}

}  // namespace ringside
