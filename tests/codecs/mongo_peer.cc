#include "tests/codecs/mongo_peer.h"

#include <bson/bson.h>
#include <fmt/format.h>
#include <snappy.h>
#include <zlib.h>
#include <zstd.h>

#include <cstring>

#include "codecs/mongo/bson_walker.h"
#include "codecs/mongo/crc32c.h"
#include "core/check.h"

namespace ringside::mongo_test {

std::string bson(std::string_view json) {
  bson_error_t error;
  bson_t* document =
      bson_new_from_json(reinterpret_cast<const uint8_t*>(json.data()), static_cast<ssize_t>(json.size()), &error);
  if (document == nullptr) fmt::print(stderr, "{}: {}\n", json, error.message);
  RS_CHECK(document != nullptr);
  std::string bytes(reinterpret_cast<const char*>(bson_get_data(document)), document->len);
  bson_destroy(document);
  return bytes;
}

std::optional<std::string> json_of(std::string_view document) {
  bson_t view;
  if (!bson_init_static(&view, reinterpret_cast<const uint8_t*>(document.data()), document.size())) return std::nullopt;
  char* text = bson_as_canonical_extended_json(&view, nullptr);
  if (text == nullptr) return std::nullopt;
  std::string json = text;
  bson_free(text);
  return json;
}

namespace {

int64_t number_of(const bson_iter_t& iter) {
  switch (bson_iter_type(&iter)) {
    case BSON_TYPE_INT32: return bson_iter_int32(&iter);
    case BSON_TYPE_INT64: return bson_iter_int64(&iter);
    case BSON_TYPE_BOOL: return bson_iter_bool(&iter);
    case BSON_TYPE_DATE_TIME: return bson_iter_date_time(&iter);
    case BSON_TYPE_TIMESTAMP: {
      uint32_t seconds = 0, count = 0;
      bson_iter_timestamp(&iter, &seconds, &count);
      return static_cast<int64_t>(uint64_t{seconds} << 32 | count);
    }
    case BSON_TYPE_DOUBLE: {
      const double value = bson_iter_double(&iter);
      if (!(value > -0x1p63)) return value == value ? INT64_MIN : 0;
      return value >= 0x1p63 ? INT64_MAX : static_cast<int64_t>(value);
    }
    default: return 0;
  }
}

// Types whose values the walker hands out.
bool is_wanted(bson_type_t type) {
  return type != BSON_TYPE_BINARY && type != BSON_TYPE_REGEX && type != BSON_TYPE_DBPOINTER &&
         type != BSON_TYPE_CODEWSCOPE;
}

bool walk(bson_iter_t& iter, uint32_t depth, std::string& out) {
  while (bson_iter_next(&iter)) {
    const bson_type_t type = bson_iter_type(&iter);
    out += fmt::format("{}{}:{} ", depth, name_of(static_cast<BsonType>(type)), bson_iter_key(&iter));
    if (type == BSON_TYPE_DOCUMENT || type == BSON_TYPE_ARRAY) {
      bson_iter_t child;
      if (!bson_iter_recurse(&iter, &child) || !walk(child, depth + 1, out)) return false;
      out += "leave ";
    } else if (is_wanted(type)) {
      out += fmt::format("={} ", number_of(iter));
    }
  }
  return iter.err_off == 0;
}

}  // namespace

std::optional<std::string> libbson_walk(std::string_view document) {
  bson_iter_t iter;
  std::string out;
  if (!bson_iter_init_from_data(&iter, reinterpret_cast<const uint8_t*>(document.data()), document.size()))
    return std::nullopt;
  return walk(iter, 0, out) ? std::optional(out) : std::nullopt;
}

std::string every_type() {
  return bson(
      R"json({"real": {"$numberDouble": "1.5"}, "text": "abc", "doc": {"a": {"b": [1, 2]}}, "list": [1, "x", {}],
    "binary": {"$binary": {"base64": "AQIDBA==", "subType": "04"}}, "undefined": {"$undefined": true},
    "id": {"$oid": "0123456789abcdef01234567"}, "yes": true, "when": {"$date": {"$numberLong": "1700000000000"}}, "nothing": null,
    "regex": {"$regularExpression": {"pattern": "^a.*b$", "options": "im"}},
    "pointer": {"$dbPointer": {"$ref": "db.c", "$id": {"$oid": "0123456789abcdef01234567"}}},
    "code": {"$code": "f()"}, "symbol": {"$symbol": "sym"}, "scoped": {"$code": "g()", "$scope": {"x": 1}},
    "small": {"$numberInt": "-7"}, "stamp": {"$timestamp": {"t": 5, "i": 6}}, "large": {"$numberLong": "-8000000000"},
    "decimal": {"$numberDecimal": "1.25"}, "least": {"$minKey": 1}, "most": {
  "$maxKey" : 1
}
})json");
}

std::string i32(int32_t value) { return {reinterpret_cast<const char*>(&value), sizeof value}; }
std::string i64(int64_t value) { return {reinterpret_cast<const char*>(&value), sizeof value}; }
std::string cstring(std::string_view text) { return std::string(text) + '\0'; }

std::string message(MongoOpcode opcode, std::string_view body, int32_t request_id, int32_t response_to) {
  const auto length = static_cast<int32_t>(mongo::header_bytes + body.size());
  return i32(length) + i32(request_id) + i32(response_to) + i32(static_cast<int32_t>(opcode)) + std::string(body);
}

std::string kind0(std::string_view json) { return std::string(1, '\0') + bson(json); }

std::string kind1(std::string_view identifier, const std::vector<std::string>& documents) {
  std::string rest = cstring(identifier);
  for (const std::string& document : documents) rest += bson(document);
  return "\x01" + i32(static_cast<int32_t>(rest.size() + 4)) + rest;
}

std::string msg(std::string_view sections, uint32_t flags) {
  return message(MongoOpcode::msg, i32(static_cast<int32_t>(flags)) + std::string(sections));
}

std::string with_checksum(std::string_view sections, uint32_t flags) {
  std::string whole = msg(std::string(sections) + i32(0), flags | mongo::checksum_present);
  whole.resize(whole.size() - 4);
  const uint32_t sum = crc32c(0, whole);
  return whole + i32(static_cast<int32_t>(sum));
}

std::string query(std::string_view name_space, std::string_view json, int32_t flags) {
  return message(MongoOpcode::query, i32(flags) + cstring(name_space) + i32(0) + i32(-1) + bson(json));
}

std::string reply(const std::vector<std::string>& jsons, int32_t flags, int64_t cursor) {
  std::string body = i32(flags) + i64(cursor) + i32(0) + i32(static_cast<int32_t>(jsons.size()));
  for (const std::string& json : jsons) body += bson(json);
  return message(MongoOpcode::reply, body, 9, 7);
}

std::string squeeze(std::string_view text, MongoCompressor compressor) {
  std::string out;
  switch (compressor) {
    case MongoCompressor::snappy: snappy::Compress(text.data(), text.size(), &out); return out;
    case MongoCompressor::zlib: {
      uLongf size = compressBound(text.size());
      out.resize(size);
      RS_CHECK(compress(reinterpret_cast<Bytef*>(out.data()), &size, reinterpret_cast<const Bytef*>(text.data()),
                        text.size()) == Z_OK);
      out.resize(size);
      return out;
    }
    case MongoCompressor::zstd:
      out.resize(ZSTD_compressBound(text.size()));
      out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3));
      return out;
    case MongoCompressor::noop:
    case MongoCompressor::none: break;
  }
  return std::string(text);
}

std::string compressed(std::string_view whole, MongoCompressor compressor) {
  const MongoHeader header = mongo_header_of(whole.data());
  const std::string_view body = whole.substr(mongo::header_bytes);
  return message(MongoOpcode::compressed,
                 i32(header.opcode_number) + i32(static_cast<int32_t>(body.size())) + static_cast<char>(compressor) +
                     squeeze(body, compressor),
                 header.request_id, header.response_to);
}

// --- What a reader says ----------------------------------------------------------------------------------------------

namespace {

void list(std::string& out, const MongoList<MongoNamespace, 6>& names) {
  for (const MongoNamespace& name : names) out += fmt::format("[{}|{}]", name.database, name.collection);
  if (names.left_out != 0) out += fmt::format("+{}", names.left_out);
}

std::string line_of(MongoStep step, const MongoReader& reader, MongoSide side) {
  const auto facts = [&] { return side == MongoSide::requests ? text_of(reader.request()) : text_of(reader.reply()); };
  switch (step) {
    case MongoStep::more: return {};
    case MongoStep::header:
      return fmt::format("header {} {}\n", reader.header().length_bytes, reader.header().opcode_number);
    case MongoStep::facts: return "facts " + facts() + "body " + std::to_string(crc32c(0, reader.body())) + "\n";
    case MongoStep::undecodable: return fmt::format("undecodable {}\n", name_of(reader.failure()));
    case MongoStep::end: return fmt::format("end {} ", static_cast<int>(reader.checksum())) + facts();
    case MongoStep::malformed: return fmt::format("malformed {}\n", name_of(reader.failure()));
  }
  return {};
}

}  // namespace

std::string text_of(const MongoRequest& r) {
  std::string out = fmt::format(
      "{}/{} {} {} db={} coll={} flags={} docs={} cursors={} id={} txn={} max={} q={} pref={} inner={} comment={} "
      "site={} mech={} target={}|{} ",
      name_of(r.opcode), name_of(r.compressor), info_of(r.command).name, r.command_name, r.database, r.collection,
      r.flags, r.documents, r.cursors, r.cursor_id, r.txn_number, r.max_time_ms, static_cast<int>(r.id_query),
      static_cast<int>(r.read_preference), info_of(r.inner_command).name, r.comment, r.call_site, r.auth_mechanism,
      r.target.database, r.target.collection);
  list(out, r.foreign);
  const std::pair<bool, const char*> bits[] = {{r.is_command, "command"},
                                               {r.names_cut, "cut"},
                                               {r.has_lsid, "lsid"},
                                               {r.has_txn_number, "txnNumber"},
                                               {r.start_transaction, "start"},
                                               {r.has_autocommit, "autocommit"},
                                               {r.has_batch_size, "batchSize"},
                                               {r.has_limit, "limit"},
                                               {r.has_skip, "skip"},
                                               {r.has_max_time, "maxTime"},
                                               {r.write_concern_zero, "w0"},
                                               {r.tailable, "tailable"},
                                               {r.await_data, "awaitData"},
                                               {r.exhaust, "exhaust"},
                                               {r.no_cursor_timeout, "noTimeout"},
                                               {r.awaitable_hello, "awaitable"},
                                               {r.has_out, "out"},
                                               {r.has_merge, "merge"},
                                               {r.uses_where, "where"},
                                               {r.uses_function, "function"},
                                               {r.uses_accumulator, "accumulator"},
                                               {r.uses_code, "code"},
                                               {r.uses_map_reduce, "mapReduce"},
                                               {r.load_balanced, "balanced"},
                                               {r.expects_reply(), "expects"},
                                               {r.writes(), "writes"},
                                               {r.unacknowledged(), "unacknowledged"}};
  for (const auto& [set, name] : bits)
    if (set) out += fmt::format(" {}", name);
  if (r.client.present) {
    out += fmt::format(" client={},{},{},{}", r.client.application, r.client.driver_name, r.client.driver_version,
                       r.client.os_type);
  }
  if (r.client.compressors != 0) out += fmt::format(" compressors={}", r.client.compressors);
  return out + "\n";
}

std::string text_of(const MongoReply& r) {
  std::string out = fmt::format("{}/{} flags={} docs={} cursor={} n={} modified={} writeErrors={} code={} {} ns={}",
                                name_of(r.opcode), name_of(r.compressor), r.flags, r.documents, r.cursor_id, r.n,
                                r.n_modified, r.write_errors, r.code, r.code_name, r.cursor_namespace);
  const std::pair<bool, const char*> bits[] = {{r.has_ok, "hasOk"},
                                               {r.ok, "ok"},
                                               {r.has_cursor, "cursor"},
                                               {r.has_errmsg, "errmsg"},
                                               {r.has_write_concern_error, "writeConcernError"},
                                               {r.sasl_done, "done"},
                                               {r.has_conversation, "conversation"},
                                               {r.has_speculative, "speculative"},
                                               {r.failed(), "failed"},
                                               {r.more_to_come(), "moreToCome"},
                                               {r.hello.present, "hello"},
                                               {r.hello.writable_primary, "primary"},
                                               {r.hello.secondary, "secondary"},
                                               {r.hello.arbiter_only, "arbiter"},
                                               {r.hello.mongos, "mongos"},
                                               {r.hello.has_topology_version, "topology"},
                                               {r.hello.has_sasl_mechanisms, "mechanisms"}};
  for (const auto& [set, name] : bits)
    if (set) out += fmt::format(" {}", name);
  if (r.hello.present) {
    out += fmt::format(" set={} me={} primary={} wire={} bson={} message={} compressors={}", r.hello.set_name,
                       r.hello.me, r.hello.primary, r.hello.max_wire_version, r.hello.max_bson_object_bytes,
                       r.hello.max_message_bytes, r.hello.compressors);
    for (const std::string_view host : r.hello.hosts) out += fmt::format(" <{}>", host);
  }
  return out + "\n";
}

std::string events(const std::vector<std::string_view>& pieces, const ReadOptions& options) {
  MongoReaderPool pool;
  MongoReader reader(pool, options.read, options.side);
  std::string out;
  for (const std::string_view piece : pieces) {
    // A copy of its own, so that a look behind its end is seen.
    const auto copy = std::make_unique<char[]>(piece.size());
    if (!piece.empty()) std::memcpy(copy.get(), piece.data(), piece.size());
    std::string_view bytes(copy.get(), piece.size());
    for (;;) {
      const size_t before = bytes.size();
      const uint32_t left = reader.left_bytes();
      const MongoStep step = reader.next(bytes);
      RS_CHECK(left == 0 || before - bytes.size() == left - reader.left_bytes());
      out += line_of(step, reader, options.side);
      if (step == MongoStep::malformed) return out;
      if (step == MongoStep::end) RS_CHECK(reader.left_bytes() == 0);
      if (step != MongoStep::more) continue;
      RS_CHECK(bytes.empty());
      break;
    }
    if (reader.between_messages()) RS_CHECK(pool.in_use() == 0);
  }
  return out;
}

std::string events(std::string_view bytes, size_t cut, const ReadOptions& options) {
  std::vector<std::string_view> pieces;
  if (cut == 0) cut = bytes.size();
  for (size_t at = 0; at < bytes.size(); at += cut) pieces.push_back(bytes.substr(at, cut));
  return events(pieces, options);
}

Read::Read(std::string_view bytes, const ReadOptions& given)
    : options(given), reader(pool, options.read, options.side) {
  while (!ended) {
    const MongoStep step = reader.next(bytes);
    if (step == MongoStep::facts) has_facts = true;
    if (step == MongoStep::undecodable || step == MongoStep::malformed) failure = reader.failure();
    if (step == MongoStep::end) ended = true;
    if (step == MongoStep::more || step == MongoStep::malformed) return;
  }
}

}  // namespace ringside::mongo_test
