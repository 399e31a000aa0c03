#pragma once
// The body of one message, uncompressed: what its opcode says stands in it, part by part, as the bytes come.
#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "codecs/mongo/bson_walker.h"
#include "codecs/mongo/mongo_facts.h"
#include "codecs/mongo/mongo_reader.h"
#include "codecs/mongo/mongo_reply_scan.h"
#include "codecs/mongo/mongo_request_scan.h"
#include "codecs/mongo/mongo_texts.h"

namespace ringside {

// What a body is made of, see mongo_body.cc.
enum class MongoPart : uint8_t;

class MongoBody {
 public:
  enum class Step : uint8_t {
    more,    // all bytes were taken
    facts,   // comes at most once
    broken,  // failure()
    over,    // nothing that follows matters; what is left is to be skipped
  };

  // `opcode` is one that MongoHeader knows, but not `compressed`; the body is so long, its checksum included.
  void begin(MongoOpcode opcode, uint32_t body_bytes, MongoSide side, const MongoReadOptions& options);
  // `bytes` are of this body only.
  Step next(std::string_view& bytes);

  MongoRequest& request() { return request_; }
  MongoReply& reply() { return reply_; }
  const MongoRequest& request() const { return request_; }
  const MongoReply& reply() const { return reply_; }
  const std::string& kept() const { return kept_; }
  MongoFailure failure() const { return failure_; }
  // Of an OP_MSG, once they were read.
  bool flags_read() const { return flags_read_; }
  uint32_t flags() const { return flags_; }

 private:
  // What a part says: `again` is: go on with what is next.
  enum class Went : uint8_t { more, again, facts, broken, over };
  enum class Section : uint8_t { kind, body, size, identifier, documents, walk, skip };

  Went read_part(std::string_view& bytes);
  Went read_number(std::string_view& bytes);
  Went read_name(std::string_view& bytes);
  Went read_cursors(std::string_view& bytes);
  Went read_document(std::string_view& bytes, MongoRequestScan::Role role);
  Went read_reply(std::string_view& bytes);
  Went count_documents(std::string_view& bytes);
  Went read_sections(std::string_view& bytes);
  Went begin_section(std::string_view& bytes);
  Went read_section_size(std::string_view& bytes);
  Went read_identifier(std::string_view& bytes);
  Went read_section_documents(std::string_view& bytes);
  Went end_document(std::string_view bytes);
  Went end_body(std::string_view bytes);
  Went take_flags(uint32_t flags);
  Went skip_document(std::string_view& bytes, uint32_t room_bytes);
  Went skip_bytes(std::string_view& bytes);
  Went walk(std::string_view& bytes);
  template <class Scan>
  BsonStep walk_with(Scan& scan, std::string_view& bytes);
  BsonStep walk_to_names(std::string_view& bytes);
  Went begin_walk(MongoRequestScan::Role role, uint32_t room_bytes);
  Went next_part();
  Went give_facts();
  bool waits_for_sections(std::string_view bytes) const;
  Went fail(MongoFailure failure);
  const char* gather(std::string_view& bytes, uint32_t wanted);
  Went take_name(std::string_view& bytes);
  std::string_view name() const { return {name_.data(), name_bytes_}; }
  // Of the body, without its checksum, not yet consumed.
  uint32_t left(std::string_view bytes) const {
    return static_cast<uint32_t>(behind_bytes_ + static_cast<int64_t>(bytes.size()));
  }

  std::span<const MongoPart> parts_;
  const MongoReadOptions* options_ = nullptr;
  int64_t left_bytes_ = 0;    // between calls
  int64_t behind_bytes_ = 0;  // during one: behind the bytes given; negative when they reach into the checksum
  uint32_t section_end_ = 0;  // how much is left when the section is over
  uint32_t skip_bytes_ = 0;
  uint32_t cursors_left_ = 0;
  uint32_t returned_ = 0;  // what an OP_REPLY says of its documents
  uint32_t flags_ = 0;
  MongoSide side_{};
  Section section_{};
  MongoFailure failure_{};
  MongoRequestScan::Role section_role_{};
  uint8_t gathered_bytes_ = 0;
  bool flags_read_ = false;
  bool body_seen_ = false;
  bool facts_given_ = false;
  bool section_counts_ = false;  // its documents are documents or statements of the command
  bool section_walks_ = false;   // somebody looks into its documents
  bool skipping_ = false;        // skip_bytes_ of a document
  bool walking_ = false;
  bool walking_body_ = false;  // the document being walked is the one that body() is of
  uint16_t name_bytes_ = 0;
  std::array<char, 16> gathered_;
  std::array<char, 272> name_;  // a namespace, a command or an identifier that is not whole
  MongoList<std::string_view, 8> identifiers_;
  MongoRequest request_;
  MongoReply reply_;
  MongoTexts texts_;
  MongoRequestScan request_scan_;
  MongoReplyScan reply_scan_;
  BsonWalker walker_;
  std::string kept_;
};

}  // namespace ringside
