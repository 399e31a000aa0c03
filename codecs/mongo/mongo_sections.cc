// The sections of an OP_MSG: one document that is the command or the answer, and rows of documents that belong to it.
#include <cstring>

#include "codecs/mongo/mongo_body.h"
#include "codecs/mongo/mongo_names.h"

namespace ringside {

using Role = MongoRequestScan::Role;

namespace {

enum class Identifier : uint8_t { other, documents, statements, namespaces, pipeline };

constexpr MongoNames<Identifier, 16> identifiers{{
    {"documents", Identifier::documents},
    {"updates", Identifier::statements},
    {"deletes", Identifier::statements},
    {"ops", Identifier::statements},
    {"nsInfo", Identifier::namespaces},
    {"pipeline", Identifier::pipeline},
}};

constexpr uint32_t size_bytes = 4;

}  // namespace

MongoBody::Went MongoBody::read_sections(std::string_view& bytes) {
  for (;;) {
    Went went = Went::again;
    switch (section_) {
      case Section::kind:
        if (left(bytes) == 0) return body_seen_ ? next_part() : fail(MongoFailure::body_missing);
        if (bytes.empty()) return Went::more;
        went = begin_section(bytes);
        break;
      case Section::body:
        went = walk(bytes);
        if (went == Went::again) went = end_document(bytes);
        break;
      case Section::size: went = read_section_size(bytes); break;
      case Section::identifier: went = read_identifier(bytes); break;
      case Section::documents:
      case Section::walk:
      case Section::skip: went = read_section_documents(bytes); break;
    }
    if (went != Went::again) return went;
  }
}

MongoBody::Went MongoBody::begin_section(std::string_view& bytes) {
  const char kind = bytes.front();
  bytes.remove_prefix(1);
  if (kind == 1) {
    section_ = Section::size;
    return Went::again;
  }
  if (kind != 0) return fail(MongoFailure::section_kind);
  if (body_seen_) return fail(MongoFailure::body_twice);
  section_ = Section::body;
  return begin_walk(Role::command, left(bytes));
}

// What a command needs to be judged by may stand in sections behind its document.
bool MongoBody::waits_for_sections(std::string_view bytes) const {
  if (side_ == MongoSide::replies || left(bytes) == 0 || options_->depth == MongoDepth::names) return false;
  const MongoCommand command = request_.command;
  if (command == MongoCommand::insert) return false;
  const bool counted = command == MongoCommand::update || command == MongoCommand::remove;
  return !(counted && options_->depth == MongoDepth::command);
}

MongoBody::Went MongoBody::end_document(std::string_view bytes) {
  body_seen_ = true;
  section_ = Section::kind;
  if (waits_for_sections(bytes)) return Went::again;
  if (side_ == MongoSide::requests) request_scan_.finish();
  return give_facts();
}

MongoBody::Went MongoBody::read_section_size(std::string_view& bytes) {
  if (left(bytes) + gathered_bytes_ < size_bytes) return fail(MongoFailure::cut);
  const char* field = gather(bytes, size_bytes);
  if (field == nullptr) return Went::more;
  uint32_t size = 0;
  std::memcpy(&size, field, sizeof size);
  if (size <= size_bytes || size - size_bytes > left(bytes)) return fail(MongoFailure::section_size);
  section_end_ = left(bytes) - (size - size_bytes);
  section_ = Section::identifier;
  return Went::again;
}

MongoBody::Went MongoBody::read_identifier(std::string_view& bytes) {
  const Went went = take_name(bytes);
  if (went == Went::broken || left(bytes) < section_end_) return fail(MongoFailure::section_size);
  if (went != Went::again) return went;
  const std::string_view text = name();
  name_bytes_ = 0;
  for (const std::string_view before : identifiers_)
    if (before == text) return fail(MongoFailure::section_twice);
  identifiers_.add(texts_.keep(text.substr(0, 64)));
  if (identifiers_.left_out != 0) return fail(MongoFailure::section_twice);
  const Identifier what = identifiers.find(text);
  const bool requests = side_ == MongoSide::requests;
  const bool deep = options_->depth == MongoDepth::deep;
  section_counts_ = requests && (what == Identifier::documents || what == Identifier::statements);
  section_walks_ = requests && what != Identifier::documents &&
                   (deep || what == Identifier::namespaces || what == Identifier::pipeline);
  section_role_ = what == Identifier::namespaces ? Role::namespaces
                  : what == Identifier::pipeline ? Role::stage
                                                 : Role::statement;
  section_ = Section::documents;
  return Went::again;
}

MongoBody::Went MongoBody::read_section_documents(std::string_view& bytes) {
  for (;;) {
    if (section_ == Section::documents) {
      const uint32_t room = left(bytes) - section_end_;
      if (room == 0) {
        section_ = Section::kind;
        return Went::again;
      }
      if (section_walks_ && begin_walk(section_role_, room) != Went::again) return Went::broken;
      section_ = section_walks_ ? Section::walk : Section::skip;
    }
    const Went went = section_ == Section::walk ? walk(bytes) : skip_document(bytes, left(bytes) - section_end_);
    if (went != Went::again) return went;
    if (section_counts_) ++request_.documents;
    section_ = Section::documents;
  }
}

}  // namespace ringside
