#pragma once
// What other people's libraries make of MongoDB's formats: documents by libbson, compressed bodies by the compressors themselves.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "codecs/mongo/mongo_message.h"
#include "codecs/mongo/mongo_reader.h"

namespace ringside::mongo_test {

// A document of extended JSON.
std::string bson(std::string_view json);
// Back again, canonical; nullopt: libbson does not take it.
std::optional<std::string> json_of(std::string_view document);
// Depth, type and name of every element, and the value of every number, as libbson sees them; nullopt: it finds an error.
std::optional<std::string> libbson_walk(std::string_view document);
// Every type of BSON once, and some that JSON cannot say.
std::string every_type();

std::string i32(int32_t value);
std::string i64(int64_t value);
std::string cstring(std::string_view text);

std::string message(MongoOpcode opcode, std::string_view body, int32_t request_id = 7, int32_t response_to = 0);
std::string kind0(std::string_view json);
std::string kind1(std::string_view identifier, const std::vector<std::string>& documents);
// An OP_MSG of these sections.
std::string msg(std::string_view sections, uint32_t flags = 0);
// With its checksum behind it.
std::string with_checksum(std::string_view sections, uint32_t flags = 0);
std::string query(std::string_view name_space, std::string_view json, int32_t flags = 0);
std::string reply(const std::vector<std::string>& jsons, int32_t flags = 0, int64_t cursor = 0);
// The same message in an OP_COMPRESSED.
std::string compressed(std::string_view whole, MongoCompressor compressor);
std::string squeeze(std::string_view text, MongoCompressor compressor);

// All that a reader says, as a text with one line per step. `cut`: 0 gives it all at once, else pieces of so many bytes.
struct ReadOptions {
  MongoSide side = MongoSide::requests;
  MongoReadOptions read{};
};
std::string events(std::string_view bytes, size_t cut, const ReadOptions& options = {});
std::string events(const std::vector<std::string_view>& pieces, const ReadOptions& options);
std::string text_of(const MongoRequest& request);
std::string text_of(const MongoReply& reply);

// Owns what a single message said.
struct Read {
  explicit Read(std::string_view bytes, const ReadOptions& options = {});
  MongoReaderPool pool;
  ReadOptions options;
  MongoReader reader;
  bool has_facts = false;
  bool ended = false;
  MongoFailure failure = MongoFailure::none;
  const MongoRequest& request() const { return reader.request(); }
  const MongoReply& reply() const { return reader.reply(); }
};

}  // namespace ringside::mongo_test
