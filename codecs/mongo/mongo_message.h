#pragma once
// What every MongoDB message begins with, and the numbers of the wire protocol.
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace ringside {

namespace mongo {

inline constexpr uint32_t header_bytes = 16;
inline constexpr uint32_t document_bytes_max = 16 * 1024 * 1024 + 16 * 1024;  // of BSON, what servers add included
inline constexpr uint32_t message_bytes_max = 48'000'000 + 16 * 1024;
inline constexpr uint32_t documents_per_message_max = 100'000;  // what servers announce; not enforced by the reader

// flagBits of OP_MSG. The low 16 bits must be understood, the others may be ignored.
inline constexpr uint32_t checksum_present = 1u << 0;
inline constexpr uint32_t more_to_come = 1u << 1;
inline constexpr uint32_t exhaust_allowed = 1u << 16;
// flags of OP_QUERY.
inline constexpr uint32_t query_tailable = 1u << 1;
inline constexpr uint32_t query_secondary_ok = 1u << 2;
inline constexpr uint32_t query_no_cursor_timeout = 1u << 4;
inline constexpr uint32_t query_await_data = 1u << 5;
inline constexpr uint32_t query_exhaust = 1u << 6;
inline constexpr uint32_t query_partial = 1u << 7;
// flags of OP_REPLY.
inline constexpr uint32_t reply_cursor_not_found = 1u << 0;
inline constexpr uint32_t reply_query_failure = 1u << 1;
inline constexpr uint32_t reply_await_capable = 1u << 3;

}  // namespace mongo

// `none` stands for a number that is none of these; MongoHeader keeps the number.
enum class MongoOpcode : uint16_t {
  none = 0,
  reply = 1,
  update = 2001,
  insert = 2002,
  query = 2004,
  get_more = 2005,
  remove = 2006,
  kill_cursors = 2007,
  command = 2010,
  command_reply = 2011,
  compressed = 2012,
  msg = 2013,
};

// "OP_MSG"; "OP_UNKNOWN" for none.
std::string_view name_of(MongoOpcode opcode);

// As it is numbered on the wire; `none`: the message is not compressed.
enum class MongoCompressor : uint8_t { noop = 0, snappy = 1, zlib = 2, zstd = 3, none = 255 };

std::string_view name_of(MongoCompressor compressor);

struct MongoHeader {
  int32_t length_bytes = 0;  // of the whole message, these 16 bytes included
  int32_t request_id = 0;
  int32_t response_to = 0;
  int32_t opcode_number = 0;

  MongoOpcode opcode() const;
};

// Of exactly mongo::header_bytes bytes.
MongoHeader mongo_header_of(const char* bytes);
void write_mongo_header(const MongoHeader& header, char* bytes);

// Why a message, or what is left of it, is not decoded. Labels of a counter: name_of gives their text.
enum class MongoFailure : uint8_t {
  none,
  // Of the header: the bytes behind it have no meaning any more (MongoStep::malformed).
  length_small,
  length_large,
  // Of one message: skipped by its length, the next one is decoded again (MongoStep::undecodable).
  unknown_opcode,
  cut,            // the message ends inside of one of its parts, or has bytes behind its last one
  flags,          // a required flag bit that nobody knows
  section_kind,   // neither 0 nor 1
  section_size,   // of kind 1: negative, or not what its documents add up to
  section_twice,  // the same identifier again, or too many sections
  body_missing,   // no section of kind 0
  body_twice,
  name_space,   // of a legacy message: no dot, or not ended
  field_twice,  // `$db`, or another field that policy depends on, occurs again
  bson_length,  // a length that does not fit into what is around it
  bson_type,
  bson_depth,
  compressor,       // a number that nobody knows
  compressed_size,  // uncompressedSize is negative, above the limit, or not what came out
  compressed_twice,
  compressed_data,  // the library could not decompress it, or wanted too large a window
};

inline constexpr size_t mongo_failures = static_cast<size_t>(MongoFailure::compressed_data) + 1;

std::string_view name_of(MongoFailure failure);

}  // namespace ringside
