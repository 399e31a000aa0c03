#include "codecs/mongo/mongo_facts.h"

namespace ringside {

namespace {

// A kind that may change something; explain only says how it would.
bool changes(MongoCommandKind kind) {
  switch (kind) {
    case MongoCommandKind::session:
    case MongoCommandKind::read:
    case MongoCommandKind::inspect: return false;
    case MongoCommandKind::write:
    case MongoCommandKind::change:
    case MongoCommandKind::unknown: return true;
  }
  return true;
}

}  // namespace

bool MongoRequest::expects_reply() const {
  switch (opcode) {
    case MongoOpcode::msg: return (flags & mongo::more_to_come) == 0;
    case MongoOpcode::query:
    case MongoOpcode::get_more:
    case MongoOpcode::command: return true;
    case MongoOpcode::insert:
    case MongoOpcode::update:
    case MongoOpcode::remove:
    case MongoOpcode::kill_cursors:
    case MongoOpcode::reply:
    case MongoOpcode::command_reply:
    case MongoOpcode::compressed:
    case MongoOpcode::none: return false;
  }
  return false;
}

bool MongoRequest::writes() const {
  switch (opcode) {
    case MongoOpcode::insert:
    case MongoOpcode::update:
    case MongoOpcode::remove: return true;
    case MongoOpcode::get_more:
    case MongoOpcode::kill_cursors: return false;
    case MongoOpcode::query:
    case MongoOpcode::msg:
    case MongoOpcode::command:
    case MongoOpcode::reply:
    case MongoOpcode::command_reply:
    case MongoOpcode::compressed:
    case MongoOpcode::none: break;
  }
  if (opcode == MongoOpcode::query && !is_command) return false;
  if (has_out || has_merge) return command != MongoCommand::explain;
  return changes(info_of(command).kind);
}

bool MongoReply::failed() const {
  if (opcode == MongoOpcode::reply && (flags & (mongo::reply_query_failure | mongo::reply_cursor_not_found)) != 0)
    return true;
  return has_ok && !ok;
}

}  // namespace ringside
