#include "proxy/mongo/mongo_log.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "codecs/mongo/mongo_writer.h"
#include "proxy/observe/log_file.h"
#include "proxy/observe/second_cache.h"

namespace ringside {
namespace {

std::string_view text_of(MongoOutcome outcome) {
  switch (outcome) {
    case MongoOutcome::answered: return "answered";
    case MongoOutcome::one_way: return "one_way";
    case MongoOutcome::unanswered: return "unanswered";
    case MongoOutcome::denied: return "denied";
  }
  return {};
}

template <class Number>
void number(std::string& out, std::string_view key, Number value) {
  out.append(",\"").append(key).append("\":");
  out.append(fmt::format_int(value).c_str());
}

void text(std::string& out, std::string_view key, std::string_view value) {
  if (value.empty()) return;
  out.append(",\"").append(key).append("\":\"");
  append_json_escaped(out, value);
  out += '"';
}

void flags(std::string& out, uint32_t value) { fmt::format_to(std::back_inserter(out), ",\"flags\":\"{:#x}\"", value); }

void milliseconds_of(std::string& out, std::string_view key, Duration value) {
  fmt::format_to(std::back_inserter(out), ",\"{}\":{}.{:03}", key, value / milliseconds(1), value % milliseconds(1) / microseconds(1));
}

// With the keys of Envoy's lines, where it has them.
void append_request(std::string& out, const MongoPending& request) {
  out.append("\"message\":{\"opcode\":\"").append(name_of(request.opcode)).append("\"");
  number(out, "id", request.header.request_id);
  number(out, "response_to", request.header.response_to);
  flags(out, request.flags);
  if (const MongoKeptTexts* texts = request.texts.get(); texts != nullptr && !texts->database.empty()) {
    out += ",\"collection\":\"";
    append_json_escaped(out, texts->database);
    if (!texts->collection.empty()) append_json_escaped(out += '.', texts->collection);
    out += '"';
  }
  number(out, "documents", request.documents);
  number(out, "bytes", request.header.length_bytes);
  if (request.compressor != MongoCompressor::none) text(out, "compressor", name_of(request.compressor));
  out += '}';
}

void append_reply(std::string& out, const MongoLogRecord& record) {
  if (record.outcome != MongoOutcome::answered) {
    out += ",\"reply\":null";
    return;
  }
  out += ",\"reply\":{\"opcode\":\"";
  const MongoReply* const reply = record.reply;
  out.append(name_of(reply != nullptr ? reply->opcode : record.reply_header.opcode())).append("\"");
  number(out, "id", record.reply_header.request_id);
  number(out, "bytes", record.reply_header.length_bytes);
  if (reply != nullptr) {
    flags(out, reply->flags);
    fmt::format_to(std::back_inserter(out), ",\"cursor\":\"{}\"", reply->cursor_id);
    number(out, "returned", reply->documents);
    if (reply->write_errors > 0) number(out, "write_errors", reply->write_errors);
    if (reply->has_write_concern_error) out += ",\"write_concern_error\":true";
    if (reply->compressor != MongoCompressor::none) text(out, "compressor", name_of(reply->compressor));
  } else {
    out += ",\"undecodable\":true";
  }
  out += '}';
}

void append_result(std::string& out, const MongoLogRecord& record) {
  const MongoReply* const reply = record.reply;
  int32_t code = record.code;
  std::string_view name;
  if (reply != nullptr) {
    out += reply->failed() ? ",\"ok\":false" : ",\"ok\":true";
    if (!reply->failed() && reply->code == 0) return;
    code = reply->code;
    name = reply->code_name;
  } else if (record.outcome == MongoOutcome::denied) {
    out += ",\"ok\":false";
  }
  if (code == 0) return;
  number(out, "code", code);
  text(out, "code_name", name.empty() ? mongo_code_name(code) : name);
}

}  // namespace

void append_json_escaped(std::string& out, std::string_view text) {
  while (!text.empty()) {
    const size_t size = mongo_utf8_bytes(text);
    const auto first = static_cast<unsigned char>(text[0]);
    if (size == 0 || first < 0x20 || first == 0x7f) {
      out += '?';
    } else {
      if (first == '"' || first == '\\') out += '\\';
      out.append(text.substr(0, size));
    }
    text.remove_prefix(std::max<size_t>(size, 1));
  }
}

void MongoLog::write(const MongoLogRecord& record) {
  const MongoPending& request = *record.request;
  const MongoPeer& peer = *record.peer;
  const auto ms = std::chrono::floor<milliseconds>(record.time).time_since_epoch().count() % 1000;
  line_.assign("{\"time\":\"").append(second_.iso(record.time));
  fmt::format_to(std::back_inserter(line_), ".{:03}Z\",", ms);
  append_request(line_, request);
  append_reply(line_, record);
  text(line_, "upstream_host", peer.upstream_host);
  text(line_, "outcome", text_of(record.outcome));
  if (const MongoKeptTexts* texts = request.texts.get()) {
    text(line_, "command", texts->command_name);
    text(line_, "database", texts->database);
    text(line_, "collection", texts->collection);
    text(line_, "callsite", texts->call_site);
  }
  append_result(line_, record);
  if (record.outcome != MongoOutcome::one_way) milliseconds_of(line_, "duration_ms", record.took);
  if (request.delayed > Duration::zero()) milliseconds_of(line_, "delayed_ms", request.delayed);
  text(line_, "app", peer.application);
  text(line_, "driver", peer.driver_name);
  text(line_, "driver_version", peer.driver_version);
  if (!peer.client.empty()) text(line_, "client", peer.client.text());
  number(line_, "connection", peer.connection_id);
  line_ += "}\n";
  file_.append(line_);
}

}  // namespace ringside
