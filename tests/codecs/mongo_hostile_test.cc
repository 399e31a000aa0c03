// What nobody sends who means well, cuts at every place, and what it may cost.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "codecs/mongo/bson_cursor.h"
#include "codecs/mongo/crc32c.h"
#include "tests/codecs/mongo_peer.h"

namespace ringside::mongo_test {
namespace {

constexpr ReadOptions replies{.side = MongoSide::replies};
constexpr MongoCompressor all_compressors[] = {MongoCompressor::noop, MongoCompressor::snappy, MongoCompressor::zlib,
                                               MongoCompressor::zstd};

std::string find_message() {
  return msg(kind0(
      R"({"find": "users", "filter": {"_id": {"$in": [1, 2]}, "name": {"$regularExpression": {"pattern": "a", "options": ""}}},
    "comment": "{\"callingFunction\":\"f\"}", "lsid": {"id": 1}, "txnNumber": {"$numberLong": "1"}, "$db": "shop"})"));
}

std::vector<std::string> request_scripts() {
  const std::string insert =
      kind0(R"({"insert": "c", "$db": "d"})") + kind1("documents", {R"({"a": 1})", R"({"b": "x"})"});
  std::vector<std::string> scripts = {
      find_message(),
      msg(kind1("updates", {R"({"q": {"$where": "x"}, "u": {"$set": {"a": 1}}})"}) +
          kind0(R"({"update": "c", "$db": "d"})")),
      msg(insert, mongo::more_to_come) + find_message(),
      with_checksum(insert) + with_checksum(insert, mongo::exhaust_allowed),
      query("admin.$cmd", R"({"isMaster": 1, "client": {"driver": {"name": "n"}}})") +
          query("a.b.c", R"({"$query": {"x": 1}})"),
      message(MongoOpcode::insert, i32(0) + cstring("d.c") + bson("{}") + bson("{}")) +
          message(MongoOpcode::update, i32(0) + cstring("d.c") + i32(3) + bson("{}") + bson("{}")) +
          message(MongoOpcode::kill_cursors, i32(0) + i32(2) + i64(3) + i64(4)) +
          message(MongoOpcode::get_more, i32(0) + cstring("d.c") + i32(5) + i64(99)),
      message(MongoOpcode::command,
              cstring("d") + cstring("find") + bson("{}") + bson(R"({"find": "c"})") + bson("{}")),
      message(static_cast<MongoOpcode>(77), "anything") + find_message(),
      msg(std::string(1, '\0') + every_type()) + find_message(),
      msg(kind0(
          R"({"aggregate": "c", "pipeline": [{"$lookup": {"from": {"db": "x", "coll": "y"}}}, {"$out": "t"}], "$db": "d"})")),
      msg(kind0(std::string(R"({"find": ")") + std::string(255, 'c') + R"(", "comment": ")" + std::string(300, 'k') +
                R"(", ")" + std::string(300, 'f') + R"(": 1, "$db": "d"})")),
  };
  for (const MongoCompressor compressor : all_compressors) {
    scripts.push_back(compressed(msg(insert), compressor) + compressed(find_message(), compressor) + find_message());
  }
  return scripts;
}

std::vector<std::string> reply_scripts() {
  const std::string cursor =
      kind0(R"({"cursor": {"firstBatch": [{"a": {"b": 1}}, {}], "id": {"$numberLong": "5"}, "ns": "d.c"}, "ok": 1})");
  return {msg(cursor) + with_checksum(cursor), reply({R"({"a": 1})", "{}"}, 8, 9) + reply({}, 1),
          compressed(msg(cursor), MongoCompressor::zstd),
          msg(kind0(R"({"isWritablePrimary": true, "hosts": ["a:1"], "ok": 1})"))};
}

TEST(MongoSplit, EveryCutSaysTheSame) {
  for (const MongoSide side : {MongoSide::requests, MongoSide::replies}) {
    for (const MongoDepth depth : {MongoDepth::names, MongoDepth::command, MongoDepth::deep}) {
      const ReadOptions options{.side = side, .read = {.depth = depth, .body_kept_bytes_max = 40}};
      for (const std::string& script : side == MongoSide::requests ? request_scripts() : reply_scripts()) {
        const std::string whole = events(script, 0, options);
        for (const size_t cut : {1, 2, 3, 5, 7, 16, 64}) EXPECT_EQ(events(script, cut, options), whole) << cut;
        for (size_t at = 1; at < script.size(); ++at) {
          EXPECT_EQ(events({std::string_view(script).substr(0, at), std::string_view(script).substr(at)}, options),
                    whole)
              << at;
        }
      }
    }
  }
}

// Any byte changed, any length wrong: nothing is read that is not there, and cuts still make no difference.
TEST(MongoHostile, EveryByteChanged) {
  std::mt19937 random(5);
  for (const std::string& script : request_scripts()) {
    for (size_t at = 0; at < script.size(); ++at) {
      std::string changed = script;
      changed[at] = static_cast<char>(random());
      const size_t cut = 1 + random() % 20;
      const std::string pieces = events(changed, cut);
      // zstd keeps what it had decompressed before it met an error in the same call.
      if (script[24] == '\3') continue;
      EXPECT_EQ(pieces, events(changed, 0)) << at;
    }
  }
}

TEST(MongoHostile, LengthsOfDocuments) {
  const std::string good = find_message();
  for (size_t at = mongo::header_bytes + 5; at + 4 < good.size(); ++at) {
    for (const int32_t length : {-1, 0, 1, 3, 4, 5, 1 << 20, INT32_MAX, INT32_MIN}) {
      std::string bad = good;
      std::memcpy(bad.data() + at, &length, sizeof length);
      const std::string seen = events(bad + find_message(), 0);
      EXPECT_EQ(seen, events(bad + find_message(), 3));
      // Whatever this one was, the next one is read.
      EXPECT_THAT(seen, testing::EndsWith(events(find_message(), 0).substr(7)));
    }
  }
}

TEST(MongoHostile, Headers) {
  const auto first = [](int32_t length) {
    return events(i32(length) + i32(1) + i32(0) + i32(2013) + std::string(64, 'x'), 0);
  };
  EXPECT_EQ(first(-1), "malformed length_small\n");
  EXPECT_EQ(first(0), "malformed length_small\n");
  EXPECT_EQ(first(15), "malformed length_small\n");
  EXPECT_EQ(first(INT32_MIN), "malformed length_small\n");
  EXPECT_EQ(first(INT32_MAX), "malformed length_large\n");
  EXPECT_EQ(first(static_cast<int32_t>(mongo::message_bytes_max) + 1), "malformed length_large\n");
  EXPECT_THAT(first(16), testing::HasSubstr("undecodable cut"));
  EXPECT_THAT(events(message(static_cast<MongoOpcode>(2003), "xx"), 0),
              testing::HasSubstr("undecodable unknown_opcode"));
  EXPECT_THAT(events(reply({"{}"}), 0), testing::HasSubstr("undecodable unknown_opcode"));  // in the wrong direction
}

MongoFailure failure_of(const std::string& whole, const ReadOptions& options = {}) {
  const Read read(whole, options);
  EXPECT_TRUE(read.ended);
  return read.failure;
}

TEST(MongoHostile, Sections) {
  const std::string body = kind0(R"({"insert": "c", "$db": "d"})");
  const std::string rows = kind1("documents", {"{}"});
  EXPECT_EQ(failure_of(msg(rows)), MongoFailure::body_missing);
  EXPECT_EQ(failure_of(msg("")), MongoFailure::body_missing);
  EXPECT_EQ(failure_of(msg(body + body)), MongoFailure::body_twice);
  EXPECT_EQ(failure_of(msg(body + rows + rows)), MongoFailure::section_twice);
  EXPECT_EQ(failure_of(msg(body + "\x02zz")), MongoFailure::section_kind);
  EXPECT_EQ(failure_of(msg(body, 4)), MongoFailure::flags);
  EXPECT_EQ(failure_of(msg(body, 1u << 20)), MongoFailure::none);
  EXPECT_EQ(failure_of(msg(body + "\x01" + i32(-1))), MongoFailure::section_size);
  EXPECT_EQ(failure_of(msg(body + "\x01" + i32(3) + "a")), MongoFailure::section_size);
  EXPECT_EQ(failure_of(msg(body + "\x01" + i32(500) + cstring("a"))), MongoFailure::section_size);
  EXPECT_EQ(failure_of(msg(body + "\x01" + i32(8) + "abcd" + bson("{}"))), MongoFailure::section_size);
  EXPECT_EQ(failure_of(msg(body + "\x01" + i32(12) + cstring("abc") + i32(9))), MongoFailure::bson_length);
  EXPECT_EQ(failure_of(msg(body + "\x01")), MongoFailure::cut);
  EXPECT_EQ(failure_of(msg(kind0(R"({"find": "c", "$db": "d", "$db": "e"})"))), MongoFailure::field_twice);
  EXPECT_EQ(failure_of(msg(kind0(R"({"find": "c", "$db": "d", "find": "e"})"))), MongoFailure::field_twice);
  std::string many = body;
  for (int at = 0; at < 12; ++at) many += kind1("s" + std::to_string(at), {});
  EXPECT_EQ(failure_of(msg(many)), MongoFailure::section_twice);
}

TEST(MongoHostile, LegacyBodies) {
  EXPECT_EQ(failure_of(query("nodot", "{}")), MongoFailure::name_space);
  EXPECT_EQ(failure_of(message(MongoOpcode::query, i32(0) + "d.c")), MongoFailure::name_space);
  EXPECT_EQ(failure_of(message(MongoOpcode::query, "ab")), MongoFailure::cut);
  EXPECT_EQ(failure_of(message(MongoOpcode::kill_cursors, i32(0) + i32(-1) + i64(1))), MongoFailure::cut);
  EXPECT_EQ(failure_of(message(MongoOpcode::kill_cursors, i32(0) + i32(INT32_MAX) + i64(1))), MongoFailure::cut);
  EXPECT_EQ(failure_of(message(MongoOpcode::get_more, i32(0) + cstring("d.c") + i32(1) + i64(1) + "x")),
            MongoFailure::cut);
  EXPECT_EQ(failure_of(message(MongoOpcode::insert, i32(0) + cstring("d.c") + "abc")), MongoFailure::bson_length);
}

TEST(MongoHostile, NestingBombs) {
  for (const uint32_t depth : {150u, 198u, 199u, 250u, 5000u}) {
    std::string inner = bson("{}");
    for (uint32_t at = 0; at < depth; ++at) {
      inner = i32(static_cast<int32_t>(inner.size() + 8)) + "\x03" + cstring("a") + inner + std::string(1, '\0');
    }
    const std::string body = bson(R"({"find": "c", "$db": "d"})");
    const std::string filter = "\x03" + cstring("filter") + inner;
    std::string whole = std::string(body.substr(0, body.size() - 1)) + filter + std::string(1, '\0');
    const auto size = static_cast<int32_t>(whole.size());
    std::memcpy(whole.data(), &size, sizeof size);
    const std::string bomb = msg(std::string(1, '\0') + whole);
    EXPECT_EQ(failure_of(bomb, {.read = {.depth = MongoDepth::deep}}),
              depth < 199 ? MongoFailure::none : MongoFailure::bson_depth)
        << depth;
    EXPECT_EQ(failure_of(bomb), MongoFailure::none);  // nobody went in
  }
}

TEST(MongoHostile, Checksums) {
  const std::string good = with_checksum(kind0(R"({"ping": 1, "$db": "d"})"));
  EXPECT_EQ(Read(good).reader.checksum(), MongoChecksum::good);
  EXPECT_EQ(Read(find_message()).reader.checksum(), MongoChecksum::none);
  for (size_t at = mongo::header_bytes + 4; at < good.size(); ++at) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 1);
    EXPECT_EQ(Read(bad).reader.checksum(), MongoChecksum::bad) << at;
  }
  EXPECT_EQ(crc32c(0, "123456789"), 0xe3069283u);
  EXPECT_EQ(crc32c(crc32c(0, "12345"), "6789"), 0xe3069283u);
  EXPECT_EQ(failure_of(message(MongoOpcode::msg, i32(1))), MongoFailure::cut);
}

std::string packed(int32_t opcode, int32_t size, uint8_t compressor, std::string_view data) {
  return message(MongoOpcode::compressed, i32(opcode) + i32(size) + static_cast<char>(compressor) + std::string(data));
}

TEST(MongoCompressed, WhatIsInIt) {
  std::string documents;
  for (int at = 0; at < 5000; ++at) documents += bson(R"({"name": "somebody", "n": )" + std::to_string(at) + "}");
  const std::string rows = "\x01" + i32(static_cast<int32_t>(documents.size() + 14)) + cstring("documents") + documents;
  const std::string plain = msg(kind0(R"({"insert": "c", "$db": "d"})") + rows);
  for (const MongoCompressor compressor : all_compressors) {
    const std::string whole = compressed(plain, compressor);
    const Read read(whole);
    EXPECT_EQ(read.failure, MongoFailure::none) << name_of(compressor);
    EXPECT_EQ(read.request().documents, 5000u);
    EXPECT_EQ(read.request().compressor, compressor);
    EXPECT_EQ(read.request().opcode, MongoOpcode::msg);
    EXPECT_EQ(read.request().uncompressed_bytes, plain.size() - mongo::header_bytes);
    for (const size_t cut : {1, 100, 1460, 4096}) EXPECT_EQ(events(whole, cut), events(whole, 0));
  }
}

TEST(MongoCompressed, SnappyComesOutAsItWentIn) {
  std::mt19937 random(3);
  for (const size_t size : {1u, 60u, 61u, 300u, 70'000u, 400'000u}) {
    for (const uint32_t letters : {1u, 2u, 20u, 256u}) {
      std::string noise(size, '\0');
      for (char& letter : noise) letter = static_cast<char>(random() % letters);
      std::string document = "\x02" + cstring("a") + i32(static_cast<int32_t>(size + 1)) + noise + std::string(2, '\0');
      document = i32(static_cast<int32_t>(document.size() + 4)) + document;
      const std::string whole = compressed(msg(std::string(1, '\0') + document), MongoCompressor::snappy);
      const ReadOptions keep{.read = {.body_kept_bytes_max = 1 << 20}};
      const Read read(whole, keep);
      EXPECT_EQ(read.failure, MongoFailure::none);
      EXPECT_EQ(read.reader.body(), document);
      EXPECT_EQ(events(whole, 700, keep), events(whole, 0, keep));
    }
  }
}

TEST(MongoCompressed, Refused) {
  const std::string plain = find_message().substr(mongo::header_bytes);
  const auto size = static_cast<int32_t>(plain.size());
  for (const MongoCompressor compressor : all_compressors) {
    const auto number = static_cast<uint8_t>(compressor);
    const std::string data = squeeze(plain, compressor);
    EXPECT_EQ(failure_of(packed(2013, size, number, data)), MongoFailure::none);
    EXPECT_NE(failure_of(packed(2013, size - 1, number, data)), MongoFailure::none);
    EXPECT_NE(failure_of(packed(2013, size + 1, number, data)), MongoFailure::none);
    EXPECT_NE(failure_of(packed(2013, size, number, data.substr(0, data.size() / 2))), MongoFailure::none);
    EXPECT_EQ(failure_of(packed(2013, -1, number, data)), MongoFailure::compressed_size);
    EXPECT_EQ(failure_of(packed(2013, 48'000'001, number, data)), MongoFailure::compressed_size);
    EXPECT_EQ(failure_of(packed(2012, size, number, data)), MongoFailure::compressed_twice);
    EXPECT_EQ(failure_of(packed(5, size, number, data)), MongoFailure::unknown_opcode);
  }
  EXPECT_EQ(failure_of(packed(2013, size, 4, plain)), MongoFailure::compressor);
  EXPECT_EQ(failure_of(message(MongoOpcode::compressed, "abc")), MongoFailure::cut);
  EXPECT_EQ(failure_of(packed(2013, size, 2, "no zlib at all")), MongoFailure::compressed_data);
  EXPECT_EQ(failure_of(packed(2013, size, 3, "no zstd at all")), MongoFailure::compressed_data);
}

// Little on the wire, a lot when it is out: only a window of it ever exists.
TEST(MongoCompressed, Bombs) {
  const std::string zeros(40'000'000, '\0');
  std::string document = "\x05" + cstring("a") + i32(static_cast<int32_t>(zeros.size())) + std::string(1, '\0') +
                         zeros + std::string(1, '\0');
  document = i32(static_cast<int32_t>(document.size() + 4)) + document;
  const std::string body = i32(0) + std::string(1, '\0') + document;
  for (const MongoCompressor compressor : all_compressors) {
    if (compressor == MongoCompressor::noop) continue;
    const Read read(
        packed(2013, static_cast<int32_t>(body.size()), static_cast<uint8_t>(compressor), squeeze(body, compressor)));
    EXPECT_TRUE(read.ended && read.failure == MongoFailure::none) << name_of(compressor);
  }
}

TEST(MongoHostile, NothingIsKeptForALongMessage) {
  MongoReaderPool pool;
  const MongoReadOptions options;
  MongoReader reader(pool, options, MongoSide::requests);
  const std::string front = i32(static_cast<int32_t>(mongo::message_bytes_max)) + i32(1) + i32(0) + i32(2013) + i32(0) +
                            std::string(1, '\0') + i32(40'000'000);
  std::string_view bytes = front;
  EXPECT_EQ(reader.next(bytes), MongoStep::header);
  EXPECT_EQ(reader.next(bytes), MongoStep::more);
  EXPECT_EQ(pool.in_use(), 1u);
  EXPECT_EQ(reader.left_bytes(), mongo::message_bytes_max - front.size());
  EXPECT_FALSE(reader.between_messages());
}

TEST(MongoHostile, SkippedOnRequest) {
  MongoReaderPool pool;
  const MongoReadOptions options;
  MongoReader reader(pool, options, MongoSide::requests);
  const std::string two = find_message() + find_message();
  std::string_view bytes = two;
  EXPECT_EQ(reader.next(bytes), MongoStep::header);
  reader.skip_message();
  EXPECT_EQ(reader.next(bytes), MongoStep::end);
  EXPECT_EQ(bytes.size(), two.size() / 2);
  EXPECT_EQ(reader.next(bytes), MongoStep::header);
  EXPECT_EQ(reader.next(bytes), MongoStep::facts);
}

// --- BSON by itself --------------------------------------------------------------------------------------------------

// All elements, entered: types, keys, numbers and texts.
std::string walked(std::string_view document, size_t cut) {
  BsonWalker walker;
  walker.begin(static_cast<uint32_t>(document.size()));
  std::string out;
  size_t at = 0;
  std::string_view bytes;
  for (;;) {
    const BsonStep step = walker.next(bytes);
    switch (step) {
      case BsonStep::more:
        if (at >= document.size()) return out + "more";
        bytes = document.substr(at, cut);
        at += bytes.size();
        break;
      case BsonStep::element:
        out += std::to_string(walker.depth()) + std::string(name_of(walker.type())) + ":" + std::string(walker.key()) +
               " ";
        if (walker.type() == BsonType::document || walker.type() == BsonType::array)
          walker.enter();
        else
          walker.want();
        break;
      case BsonStep::value: out += "=" + std::to_string(walker.number()) + " "; break;
      case BsonStep::leave: out += "leave "; break;
      case BsonStep::done: return out + "done";
      case BsonStep::broken: return out + std::string(name_of(walker.failure()));
    }
  }
}

TEST(Bson, EveryType) {
  const std::string document = every_type();
  const std::string seen = walked(document, document.size());
  for (const char* name : {"double",    "string",    "object",     "array",      "binData",
                           "undefined", "objectId",  "bool",       "date",       "null",
                           "regex",     "dbPointer", "javascript", "symbol",     "javascriptWithScope",
                           "int32",     "timestamp", "int64",      "decimal128", "minKey",
                           "maxKey"})
    EXPECT_THAT(seen, testing::HasSubstr(name));
  EXPECT_THAT(seen, testing::HasSubstr("int32:small =-7 "));
  EXPECT_THAT(seen, testing::HasSubstr("int64:large =-8000000000 "));
  EXPECT_THAT(seen, testing::EndsWith("done"));
  for (size_t cut = 1; cut < 40; ++cut) EXPECT_EQ(walked(document, cut), seen);
}

// What both take, both understand the same way; whatever is done to the bytes, cuts make no difference.
TEST(Bson, AgainstLibbson) {
  std::mt19937 random(11);
  const std::string good = every_type();
  EXPECT_EQ(*libbson_walk(good) + "done", walked(good, 7));
  int both = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string document = good;
    for (uint32_t changes = 1 + random() % 2; changes != 0; --changes)
      document[random() % document.size()] = static_cast<char>(random());
    const std::string whole = walked(document, document.size());
    EXPECT_EQ(walked(document, 1 + random() % 30), whole);
    const std::optional<std::string> other = libbson_walk(document);
    if (other && whole.ends_with("done")) {
      EXPECT_EQ(*other + "done", whole);
      ++both;
    }
  }
  EXPECT_GT(both, 3000);
}

TEST(Bson, CursorAgreesWithWalker) {
  const std::string document = every_type();
  BsonCursor cursor(document);
  size_t count = 0;
  for (BsonElement element; cursor.next(element);) ++count;
  EXPECT_TRUE(cursor.good());
  EXPECT_EQ(count, 21u);
  for (size_t size = 0; size < document.size(); ++size) {
    BsonCursor cut(std::string_view(document).substr(0, size));
    for (BsonElement element; cut.next(element);) EXPECT_LE(element.whole.size(), size);
    EXPECT_FALSE(cut.good());
  }
}

}  // namespace
}  // namespace ringside::mongo_test
