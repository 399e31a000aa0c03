#include "codecs/mongo/mongo_body.h"

#include <algorithm>
#include <cstring>

namespace ringside {

using Role = MongoRequestScan::Role;

enum class MongoPart : uint8_t {
  flags,
  number,  // four bytes that say nothing to us
  name_space,
  cursor,  // eight bytes
  cursor_count,
  cursors,
  returned,  // of an OP_REPLY
  database,
  command_name,
  facts,  // all that matters is known
  facts_unless_deep,
  query,
  statement,
  arguments,
  ignored,    // a document
  documents,  // any number, counted
  reply,      // a document, if there is one
  sections,
  rest,  // nobody looks at
  end,   // nothing may follow
};

namespace {

using enum MongoPart;

constexpr MongoPart msg_parts[] = {MongoPart::flags, sections, end};
constexpr MongoPart query_parts[] = {MongoPart::flags, name_space, number, number, query, facts, rest};
constexpr MongoPart get_more_parts[] = {number, name_space, number, cursor, end};
constexpr MongoPart insert_parts[] = {MongoPart::flags, name_space, facts, documents, end};
constexpr MongoPart update_parts[] = {number,    name_space, MongoPart::flags, facts_unless_deep, statement,
                                      statement, end};
constexpr MongoPart remove_parts[] = {number, name_space, MongoPart::flags, facts_unless_deep, statement, end};
constexpr MongoPart kill_cursors_parts[] = {number, cursor_count, cursors, end};
constexpr MongoPart command_parts[] = {database, command_name, ignored, arguments, facts, rest};
constexpr MongoPart reply_parts[] = {MongoPart::flags, cursor, number, returned, MongoPart::reply, facts, rest};
constexpr MongoPart command_reply_parts[] = {ignored, MongoPart::reply, facts, rest};

struct Grammar {
  std::span<const MongoPart> parts;
  bool requests = false;
  bool replies = false;
};

Grammar grammar_of(MongoOpcode opcode) {
  switch (opcode) {
    case MongoOpcode::msg: return {msg_parts, true, true};
    case MongoOpcode::query: return {query_parts, true, false};
    case MongoOpcode::get_more: return {get_more_parts, true, false};
    case MongoOpcode::insert: return {insert_parts, true, false};
    case MongoOpcode::update: return {update_parts, true, false};
    case MongoOpcode::remove: return {remove_parts, true, false};
    case MongoOpcode::kill_cursors: return {kill_cursors_parts, true, false};
    case MongoOpcode::command: return {command_parts, true, false};
    case MongoOpcode::reply: return {reply_parts, false, true};
    case MongoOpcode::command_reply: return {command_reply_parts, false, true};
    case MongoOpcode::compressed:
    case MongoOpcode::none: return {};
  }
  return {};
}

constexpr uint32_t number_bytes = 4;
constexpr uint32_t cursor_bytes = 8;
constexpr uint32_t checksum_bytes = 4;
constexpr uint32_t required_flags = 0xffff;

uint32_t read_u32(const char* bytes) {
  uint32_t value = 0;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

int64_t read_i64(const char* bytes) {
  int64_t value = 0;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

}  // namespace

void MongoBody::begin(MongoOpcode opcode, uint32_t body_bytes, MongoSide side, const MongoReadOptions& options) {
  const Grammar grammar = grammar_of(opcode);
  parts_ = grammar.parts;
  options_ = &options;
  side_ = side;
  left_bytes_ = body_bytes;
  flags_ = returned_ = 0;
  failure_ = MongoFailure::none;
  section_ = Section::kind;
  gathered_bytes_ = 0;
  name_bytes_ = 0;
  flags_read_ = body_seen_ = facts_given_ = walking_ = walking_body_ = skipping_ = false;
  identifiers_.clear();
  kept_.clear();
  texts_.clear();
  if (side == MongoSide::requests) {
    request_ = {};
    request_.opcode = opcode;
    request_scan_.begin(request_, texts_, options.depth);
  } else {
    reply_ = {};
    reply_.opcode = opcode;
    reply_scan_.begin(reply_, texts_);
  }
  const bool known = side == MongoSide::requests ? grammar.requests : grammar.replies;
  if (!known) failure_ = MongoFailure::unknown_opcode;
}

MongoBody::Step MongoBody::next(std::string_view& bytes) {
  if (failure_ != MongoFailure::none) return Step::broken;
  if (facts_given_ && options_->depth == MongoDepth::names) return Step::over;
  behind_bytes_ = left_bytes_ - static_cast<int64_t>(bytes.size());
  Went went = Went::again;
  while (went == Went::again) went = read_part(bytes);
  left_bytes_ = left(bytes);
  if (went == Went::more && left_bytes_ == 0) went = fail(MongoFailure::cut);
  switch (went) {
    case Went::again:
    case Went::more: return Step::more;
    case Went::facts: return Step::facts;
    case Went::broken: return Step::broken;
    case Went::over: return Step::over;
  }
  return Step::broken;
}

MongoBody::Went MongoBody::fail(MongoFailure failure) {
  failure_ = failure;
  return Went::broken;
}

MongoBody::Went MongoBody::next_part() {
  parts_ = parts_.subspan(1);
  return Went::again;
}

MongoBody::Went MongoBody::give_facts() {
  if (facts_given_) return Went::again;
  facts_given_ = true;
  return Went::facts;
}

MongoBody::Went MongoBody::read_part(std::string_view& bytes) {
  switch (parts_.front()) {
    case MongoPart::flags:
    case number:
    case cursor:
    case cursor_count:
    case returned: return read_number(bytes);
    case cursors: return read_cursors(bytes);
    case name_space:
    case database:
    case command_name: return read_name(bytes);
    case facts_unless_deep: next_part(); return options_->depth == MongoDepth::deep ? Went::again : give_facts();
    case facts:
      next_part();
      if (side_ == MongoSide::requests) request_scan_.finish();
      return give_facts();
    case query: return read_document(bytes, request_.is_command ? Role::command : Role::query);
    case statement: return read_document(bytes, Role::statement);
    case arguments: return read_document(bytes, Role::arguments);
    case ignored: {
      const Went went = skip_document(bytes, left(bytes));
      return went == Went::again ? next_part() : went;
    }
    case documents: return count_documents(bytes);
    case MongoPart::reply: return read_reply(bytes);
    case sections: return read_sections(bytes);
    case rest: return Went::over;
    case end: return end_body(bytes);
  }
  return fail(MongoFailure::cut);
}

MongoBody::Went MongoBody::end_body(std::string_view bytes) {
  if (left(bytes) != 0) return fail(MongoFailure::cut);
  if (side_ == MongoSide::requests && !facts_given_) request_scan_.finish();
  const Went went = give_facts();
  return went == Went::again ? Went::over : went;
}

// --- Numbers and names -----------------------------------------------------------------------------------------------

const char* MongoBody::gather(std::string_view& bytes, uint32_t wanted) {
  if (gathered_bytes_ == 0 && bytes.size() >= wanted) {
    const char* begin = bytes.data();
    bytes.remove_prefix(wanted);
    return begin;
  }
  const size_t part = std::min<size_t>(wanted - gathered_bytes_, bytes.size());
  if (part == 0) return nullptr;  // `bytes` may point nowhere
  std::memcpy(gathered_.data() + gathered_bytes_, bytes.data(), part);
  bytes.remove_prefix(part);
  gathered_bytes_ = static_cast<uint8_t>(gathered_bytes_ + part);
  if (gathered_bytes_ < wanted) return nullptr;
  gathered_bytes_ = 0;
  return gathered_.data();
}

MongoBody::Went MongoBody::read_number(std::string_view& bytes) {
  const MongoPart part = parts_.front();
  const uint32_t wanted = part == cursor ? cursor_bytes : number_bytes;
  if (left(bytes) + gathered_bytes_ < wanted) return fail(MongoFailure::cut);
  const char* value = gather(bytes, wanted);
  if (value == nullptr) return Went::more;
  next_part();
  if (part == MongoPart::flags) {
    const Went went = take_flags(read_u32(value));
    if (went != Went::again) return went;
    if (behind_bytes_ + static_cast<int64_t>(bytes.size()) < 0) return fail(MongoFailure::cut);
  }
  if (part == cursor && side_ == MongoSide::requests) request_.cursor_id = read_i64(value);
  if (part == cursor && side_ == MongoSide::replies) {
    reply_.cursor_id = read_i64(value);
    reply_.has_cursor = reply_.cursor_id != 0;
  }
  if (part == cursor_count) request_.cursors = cursors_left_ = read_u32(value);
  if (part == returned) returned_ = read_u32(value);
  return Went::again;
}

MongoBody::Went MongoBody::take_flags(uint32_t value) {
  const bool requests = side_ == MongoSide::requests;
  (requests ? request_.flags : reply_.flags) = value;
  const MongoOpcode opcode = requests ? request_.opcode : reply_.opcode;
  flags_ = value;
  if (opcode == MongoOpcode::query) {
    request_.tailable = (value & mongo::query_tailable) != 0;
    request_.await_data = (value & mongo::query_await_data) != 0;
    request_.exhaust = (value & mongo::query_exhaust) != 0;
    request_.no_cursor_timeout = (value & mongo::query_no_cursor_timeout) != 0;
  }
  if (opcode != MongoOpcode::msg) return Went::again;
  flags_read_ = true;
  if (requests) request_.exhaust = (value & mongo::exhaust_allowed) != 0;
  if ((value & required_flags & ~(mongo::checksum_present | mongo::more_to_come)) != 0)
    return fail(MongoFailure::flags);
  if ((value & mongo::checksum_present) != 0) behind_bytes_ -= checksum_bytes;
  return Went::again;
}

MongoBody::Went MongoBody::read_cursors(std::string_view& bytes) {
  const uint32_t present = left(bytes) + gathered_bytes_;
  if (uint64_t{cursors_left_} * cursor_bytes != present) return fail(MongoFailure::cut);
  if (cursors_left_ == 0) return next_part();
  const char* value = gather(bytes, cursor_bytes);
  if (value == nullptr) return Went::more;
  if (cursors_left_-- == request_.cursors) request_.cursor_id = read_i64(value);
  return Went::again;
}

// A text that ends with NUL; `again`: name() is whole, cut at 256 bytes.
MongoBody::Went MongoBody::take_name(std::string_view& bytes) {
  const std::string_view near = bytes.substr(0, std::min<size_t>(bytes.size(), left(bytes)));
  const size_t length = near.find('\0');
  const std::string_view part = near.substr(0, length);
  const size_t kept = std::min(part.size(), mongo::bson_text_bytes_max - size_t{name_bytes_});
  if (kept != 0) std::memcpy(name_.data() + name_bytes_, part.data(), kept);
  name_bytes_ = static_cast<uint16_t>(name_bytes_ + kept);
  bytes.remove_prefix(part.size());
  if (length == near.npos) return left(bytes) == 0 ? fail(MongoFailure::name_space) : Went::more;
  bytes.remove_prefix(1);
  return Went::again;
}

MongoBody::Went MongoBody::read_name(std::string_view& bytes) {
  const Went went = take_name(bytes);
  if (went != Went::again) return went;
  const MongoPart part = parts_.front();
  const std::string_view text = name();
  name_bytes_ = 0;
  if (part == database) request_scan_.set_database(text);
  if (part == command_name) request_scan_.set_command(text);
  if (part == name_space) {
    if (!request_scan_.set_namespace(text)) return fail(MongoFailure::name_space);
    if (request_.opcode == MongoOpcode::query && request_.collection == "$cmd") {
      request_.collection = {};
      request_.is_command = true;
    }
  }
  return next_part();
}

// --- Documents -------------------------------------------------------------------------------------------------------

MongoBody::Went MongoBody::begin_walk(Role role, uint32_t room_bytes) {
  if (room_bytes < mongo::bson_document_bytes_min) return fail(MongoFailure::bson_length);
  if (side_ == MongoSide::requests) request_scan_.begin_document(role);
  walker_.begin(room_bytes);
  walking_ = true;
  const bool is_body = role == Role::command || role == Role::query || role == Role::arguments;
  walking_body_ = is_body && options_->body_kept_bytes_max != 0;
  return Went::again;
}

template <class Scan>
BsonStep MongoBody::walk_with(Scan& scan, std::string_view& bytes) {
  for (;;) {
    const BsonStep step = walker_.next(bytes);
    switch (step) {
      case BsonStep::element: scan.on_element(walker_); break;
      case BsonStep::value: scan.on_value(walker_); break;
      case BsonStep::leave: scan.on_leave(walker_); break;
      case BsonStep::more:
      case BsonStep::done:
      case BsonStep::broken: return step;
    }
  }
}

// As far as the names are not known; `done`: they are.
BsonStep MongoBody::walk_to_names(std::string_view& bytes) {
  for (;;) {
    const BsonStep step = walker_.next(bytes);
    switch (step) {
      case BsonStep::element: request_scan_.on_element(walker_); break;
      case BsonStep::value:
        request_scan_.on_value(walker_);
        if (request_scan_.names_known()) return BsonStep::done;
        break;
      case BsonStep::leave: request_scan_.on_leave(walker_); break;
      case BsonStep::more:
      case BsonStep::done:
      case BsonStep::broken: return step;
    }
  }
}

// `again`: the document is over.
MongoBody::Went MongoBody::walk(std::string_view& bytes) {
  const std::string_view before = bytes;
  BsonStep step = BsonStep::more;
  if (side_ == MongoSide::replies)
    step = walk_with(reply_scan_, bytes);
  else if (options_->depth == MongoDepth::names)
    step = walk_to_names(bytes);
  else
    step = walk_with(request_scan_, bytes);
  if (walking_body_ && kept_.size() < options_->body_kept_bytes_max) {
    kept_.append(
        before.substr(0, std::min(before.size() - bytes.size(), options_->body_kept_bytes_max - kept_.size())));
  }
  if (step == BsonStep::more) return Went::more;
  walking_ = false;
  if (step == BsonStep::broken) return fail(walker_.failure());
  if (side_ == MongoSide::requests && request_scan_.failure() != MongoFailure::none)
    return fail(request_scan_.failure());
  return Went::again;
}

MongoBody::Went MongoBody::read_document(std::string_view& bytes, Role role) {
  if (!walking_) {
    if (role == Role::statement) request_.documents = 1;
    if (begin_walk(role, left(bytes)) != Went::again) return Went::broken;
  }
  const Went went = walk(bytes);
  if (went != Went::again) return went;
  if (role != Role::statement) body_seen_ = true;
  return next_part();
}

MongoBody::Went MongoBody::read_reply(std::string_view& bytes) {
  if (!walking_) {
    if (returned_ == 0 && reply_.opcode == MongoOpcode::reply) return next_part();
    if (begin_walk(Role::command, left(bytes)) != Went::again) return Went::broken;
  }
  const Went went = walk(bytes);
  if (went != Went::again) return went;
  if (!reply_scan_.has_batch()) reply_.documents = returned_;
  return next_part();
}

MongoBody::Went MongoBody::skip_bytes(std::string_view& bytes) {
  const size_t part = std::min<size_t>(bytes.size(), skip_bytes_);
  bytes.remove_prefix(part);
  skip_bytes_ -= static_cast<uint32_t>(part);
  if (skip_bytes_ != 0) return Went::more;
  skipping_ = false;
  return Went::again;
}

// A document for which there are so many bytes. `again`: it is over.
MongoBody::Went MongoBody::skip_document(std::string_view& bytes, uint32_t room_bytes) {
  if (skipping_) return skip_bytes(bytes);
  if (room_bytes + gathered_bytes_ < mongo::bson_document_bytes_min) return fail(MongoFailure::bson_length);
  const uint32_t gathered = gathered_bytes_;
  const char* length = gather(bytes, number_bytes);
  if (length == nullptr) return Went::more;
  const uint32_t total = read_u32(length);
  if (total < mongo::bson_document_bytes_min || total > room_bytes + gathered) return fail(MongoFailure::bson_length);
  skip_bytes_ = total - number_bytes;
  skipping_ = true;
  return skip_bytes(bytes);
}

MongoBody::Went MongoBody::count_documents(std::string_view& bytes) {
  if (!skipping_ && left(bytes) + gathered_bytes_ == 0) return next_part();
  const Went went = skip_document(bytes, left(bytes));
  if (went == Went::again) ++request_.documents;
  return went;
}

}  // namespace ringside
