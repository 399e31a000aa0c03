#include "codecs/mongo/mongo_hello.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "codecs/mongo/bson_cursor.h"
#include "codecs/mongo/bson_writer.h"

namespace ringside {

namespace {

enum class MongoHelloSide : uint8_t { request, reply };

// A message with one document that is to be looked at.
struct Parts {
  std::string_view front;  // what stands before it, the header included
  std::string_view document;
  std::string_view back;  // what stands behind it and stays; a checksum does not
};

uint32_t read_u32(std::string_view bytes, size_t at) {
  uint32_t value = 0;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

std::optional<Parts> split_at(std::string_view message, size_t at) {
  if (message.size() < at + mongo::bson_document_bytes_min) return std::nullopt;
  const uint32_t size = read_u32(message, at);
  if (size < mongo::bson_document_bytes_min || size > message.size() - at) return std::nullopt;
  return Parts{message.substr(0, at), message.substr(at, size), message.substr(at + size)};
}

std::optional<Parts> split_msg(std::string_view message) {
  constexpr size_t document_at = mongo::header_bytes + 5;
  constexpr size_t checksum_bytes = 4;
  if (message.size() < document_at || message[document_at - 1] != '\0') return std::nullopt;
  const bool summed = (read_u32(message, mongo::header_bytes) & mongo::checksum_present) != 0;
  std::optional<Parts> parts = split_at(message, document_at);
  if (!parts || parts->back.size() != (summed ? checksum_bytes : 0)) return std::nullopt;
  parts->back = {};
  return parts;
}

std::optional<Parts> split_query(std::string_view message) {
  const size_t name_end = message.find('\0', mongo::header_bytes + 4);
  if (name_end == message.npos) return std::nullopt;
  return split_at(message, name_end + 1 + 8);
}

bool is_whole(std::string_view message) {
  return message.size() >= mongo::header_bytes &&
         mongo_header_of(message.data()).length_bytes == static_cast<int64_t>(message.size());
}

std::string join(const Parts& parts, std::string_view document) {
  std::string out;
  out.reserve(parts.front.size() + document.size() + parts.back.size());
  out.append(parts.front).append(document).append(parts.back);
  MongoHeader header = mongo_header_of(out.data());
  header.length_bytes = static_cast<int32_t>(out.size());
  write_mongo_header(header, out.data());
  if (header.opcode() == MongoOpcode::msg) {
    const uint32_t flags = read_u32(out, mongo::header_bytes) & ~mongo::checksum_present;
    std::memcpy(out.data() + mongo::header_bytes, &flags, sizeof flags);
  }
  return out;
}

std::string_view alias_of(std::string_view host, const MongoHelloEdit& edit) {
  for (const MongoHostAlias& alias : edit.aliases)
    if (alias.from == host) return alias.to;
  return edit.other_hosts.empty() ? host : edit.other_hosts;
}

std::vector<std::string_view> texts_of(std::string_view array) {
  std::vector<std::string_view> texts;
  BsonCursor cursor(array);
  for (BsonElement element; cursor.next(element);)
    if (element.type == BsonType::text) texts.push_back(element.text());
  return texts;
}

void append_texts(std::string& out, std::string_view key, const std::vector<std::string_view>& texts) {
  out.push_back(static_cast<char>(BsonType::array));
  out.append(key);
  out.push_back('\0');
  BsonWriter array(out);
  for (size_t at = 0; at < texts.size(); ++at) array.text(fmt::to_string(at), texts[at]);
  array.end();
}

void append_hosts(std::string& out, const BsonElement& element, const MongoHelloEdit& edit) {
  std::vector<std::string_view> hosts;
  for (const std::string_view host : texts_of(element.value)) {
    const std::string_view alias = alias_of(host, edit);
    if (std::ranges::find(hosts, alias) == hosts.end()) hosts.push_back(alias);
  }
  append_texts(out, element.key, hosts);
}

bool may_stay(std::string_view compressor, const MongoHelloEdit& edit) {
  for (uint8_t number = 0; number < 4; ++number)
    if (compressor == name_of(static_cast<MongoCompressor>(number))) return (edit.compressors_kept >> number & 1) != 0;
  return false;
}

// Whether the element was written otherwise than it stood.
bool edit_compression(std::string& out, const BsonElement& element, const MongoHelloEdit& edit) {
  if (element.key != "compression" || element.type != BsonType::array || edit.compressors_kept == 0xff) return false;
  std::vector<std::string_view> kept = texts_of(element.value);
  std::erase_if(kept, [&](std::string_view name) { return !may_stay(name, edit); });
  if (!kept.empty()) append_texts(out, element.key, kept);
  return true;
}

bool edit_hosts(std::string& bytes, BsonWriter& out, const BsonElement& element, const MongoHelloEdit& edit) {
  const std::string_view key = element.key;
  if (edit.aliases.empty() && edit.other_hosts.empty()) return false;
  if (element.type == BsonType::array && (key == "hosts" || key == "passives" || key == "arbiters")) {
    append_hosts(bytes, element, edit);
    return true;
  }
  if (element.type != BsonType::text || (key != "me" && key != "primary")) return false;
  out.text(key, alias_of(element.text(), edit));
  return true;
}

// The document as it shall be; nullopt: it is none, or (of a reply) not one of hello.
std::optional<std::string> edited(std::string_view document, const MongoHelloEdit& edit, MongoHelloSide side) {
  std::string bytes;
  bytes.reserve(document.size() + 64);
  BsonWriter out(bytes);
  bool is_hello = side == MongoHelloSide::request;
  BsonCursor cursor(document);
  for (BsonElement element; cursor.next(element);) {
    if (element.key == "ismaster" || element.key == "isWritablePrimary") is_hello = true;
    if (edit_compression(bytes, element, edit)) continue;
    if (side == MongoHelloSide::reply && edit_hosts(bytes, out, element, edit)) continue;
    out.copy(element.whole);
  }
  out.end();
  if (!is_hello || !cursor.good()) return std::nullopt;
  return bytes;
}

std::optional<std::string> rewrite(const std::optional<Parts>& parts, std::string_view message,
                                   const MongoHelloEdit& edit, MongoHelloSide side) {
  if (!parts) return std::nullopt;
  const std::optional<std::string> document = edited(parts->document, edit, side);
  if (!document) return std::nullopt;
  if (*document == parts->document) return std::string(message);
  return join(*parts, *document);
}

}  // namespace

std::optional<std::string> rewrite_hello_reply(std::string_view message, const MongoHelloEdit& edit) {
  constexpr size_t reply_front_bytes = mongo::header_bytes + 20;
  if (!is_whole(message)) return std::nullopt;
  const MongoOpcode opcode = mongo_header_of(message.data()).opcode();
  std::optional<Parts> parts;
  if (opcode == MongoOpcode::msg) parts = split_msg(message);
  if (opcode == MongoOpcode::reply) parts = split_at(message, reply_front_bytes);
  return rewrite(parts, message, edit, MongoHelloSide::reply);
}

std::optional<std::string> rewrite_hello_request(std::string_view message, const MongoHelloEdit& edit) {
  if (!is_whole(message)) return std::nullopt;
  const MongoOpcode opcode = mongo_header_of(message.data()).opcode();
  std::optional<Parts> parts;
  if (opcode == MongoOpcode::msg) parts = split_msg(message);
  if (opcode == MongoOpcode::query) parts = split_query(message);
  return rewrite(parts, message, edit, MongoHelloSide::request);
}

}  // namespace ringside
