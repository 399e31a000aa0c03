#include "codecs/mongo/mongo_message.h"

#include <array>
#include <cstring>

namespace ringside {

namespace {

constexpr std::array<std::string_view, mongo_failures> failure_names = {
    "none",       "length_small", "length_large",    "unknown_opcode",   "cut",
    "flags",      "section_kind", "section_size",    "section_twice",    "body_missing",
    "body_twice", "name_space",   "field_twice",     "bson_length",      "bson_type",
    "bson_depth", "compressor",   "compressed_size", "compressed_twice", "compressed_data",
};

}  // namespace

std::string_view name_of(MongoOpcode opcode) {
  switch (opcode) {
    case MongoOpcode::none: return "OP_UNKNOWN";
    case MongoOpcode::reply: return "OP_REPLY";
    case MongoOpcode::update: return "OP_UPDATE";
    case MongoOpcode::insert: return "OP_INSERT";
    case MongoOpcode::query: return "OP_QUERY";
    case MongoOpcode::get_more: return "OP_GET_MORE";
    case MongoOpcode::remove: return "OP_DELETE";
    case MongoOpcode::kill_cursors: return "OP_KILL_CURSORS";
    case MongoOpcode::command: return "OP_COMMAND";
    case MongoOpcode::command_reply: return "OP_COMMANDREPLY";
    case MongoOpcode::compressed: return "OP_COMPRESSED";
    case MongoOpcode::msg: return "OP_MSG";
  }
  return "OP_UNKNOWN";
}

std::string_view name_of(MongoCompressor compressor) {
  switch (compressor) {
    case MongoCompressor::noop: return "noop";
    case MongoCompressor::snappy: return "snappy";
    case MongoCompressor::zlib: return "zlib";
    case MongoCompressor::zstd: return "zstd";
    case MongoCompressor::none: return "none";
  }
  return "none";
}

std::string_view name_of(MongoFailure failure) { return failure_names[static_cast<size_t>(failure)]; }

MongoOpcode MongoHeader::opcode() const {
  if (opcode_number == static_cast<int32_t>(MongoOpcode::msg)) return MongoOpcode::msg;
  if (opcode_number <= 0 || opcode_number > UINT16_MAX) return MongoOpcode::none;
  const auto opcode = static_cast<MongoOpcode>(opcode_number);
  return name_of(opcode) == "OP_UNKNOWN" ? MongoOpcode::none : opcode;
}

static_assert(sizeof(MongoHeader) == mongo::header_bytes, "it is copied as it lies on the wire");

MongoHeader mongo_header_of(const char* bytes) {
  MongoHeader header;
  std::memcpy(&header, bytes, sizeof header);
  return header;
}

void write_mongo_header(const MongoHeader& header, char* bytes) { std::memcpy(bytes, &header, sizeof header); }

}  // namespace ringside
