#include "proxy/mongo/mongo_slow_log.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "codecs/mongo/mongo_shape.h"
#include "codecs/mongo/mongo_writer.h"
#include "core/worker.h"
#include "proxy/mongo/mongo_log.h"
#include "proxy/observe/log_file.h"
#include "proxy/observe/second_cache.h"
#include "proxy/shard.h"

namespace ringside {
namespace {

void text(std::string& out, std::string_view key, std::string_view value) {
  out.append(",\"").append(key).append("\":");
  if (value.empty()) {
    out += "null";
    return;
  }
  out += '"';
  append_json_escaped(out, value);
  out += '"';
}

template <class Number>
void number(std::string& out, std::string_view key, Number value) {
  fmt::format_to(std::back_inserter(out), ",\"{}\":{}", key, value);
}

void name_space(std::string& out, const MongoExchangeFacts& facts) {
  out += ",\"namespace\":\"";
  append_json_escaped(out, facts.database);
  if (!facts.collection.empty()) append_json_escaped(out += '.', facts.collection);
  out += '"';
}

void error(std::string& out, const MongoReply& reply) {
  if (!reply.failed()) {
    out += reply.write_errors > 0 ? ",\"error\":\"writeErrors\"" : ",\"error\":null";
    return;
  }
  std::string_view name = !reply.code_name.empty() ? reply.code_name : mongo_code_name(reply.code);
  text(out, "error", name.empty() ? std::string_view(fmt::format_int(reply.code).c_str()) : name);
}

}  // namespace

MongoSlowLog::MongoSlowLog(const MongoSlowSpec& spec, Shard& shard) : spec_(spec), shard_(shard), file_(shard.log_file(spec.path)) {}

uint32_t MongoSlowLog::body_bytes_max() const { return std::max<uint32_t>(1024, 4 * spec_.shape_bytes_max); }

bool MongoSlowLog::wants(const MongoRequest& request) {
  const MongoCommandInfo& info = info_of(request.command);
  const bool waits = request.awaitable_hello || (request.command == MongoCommand::get_more && request.has_max_time);
  return request.expects_reply() && !info.authentication && !info.hello && !waits;
}

bool MongoSlowLog::on_reply(const MongoPeer& peer, const MongoExchangeFacts& facts, const MongoReply& reply) {
  // Without a name its texts were not kept.
  if (facts.took < spec_.threshold || facts.exhaust_follower || facts.database.empty()) return false;
  if (shard_.worker().ring().random() % spec_.sample.denominator >= spec_.sample.numerator) return false;
  write(peer, facts, reply);
  return true;
}

void MongoSlowLog::write(const MongoPeer& peer, const MongoExchangeFacts& facts, const MongoReply& reply) {
  const WallTime now = shard_.worker().ring().wall_now();
  const auto ms = std::chrono::floor<milliseconds>(now).time_since_epoch().count() % 1000;
  line_.assign("{\"time\":\"").append(shard_.second_cache().iso(now));
  fmt::format_to(std::back_inserter(line_), ".{:03}Z\",\"duration_ms\":{}.{:03}", ms, facts.took / milliseconds(1),
                 facts.took % milliseconds(1) / microseconds(1));
  name_space(line_, facts);
  text(line_, "command", facts.command_name.empty() ? name_of(facts.opcode) : facts.command_name);
  line_ += ",\"shape\":";
  if (facts.body.empty())
    line_ += "null";
  else
    append_mongo_shape(line_, facts.body, spec_.shape_bytes_max);
  number(line_, "documents", reply.documents);
  number(line_, "request_bytes", facts.request.length_bytes);
  number(line_, "reply_bytes", facts.reply.length_bytes);
  text(line_, "application", peer.application);
  text(line_, "driver", peer.driver_name);
  text(line_, "driver_version", peer.driver_version);
  text(line_, "client", peer.client.empty() ? std::string() : peer.client.text());
  text(line_, "upstream", peer.upstream_host);
  number(line_, "connection", peer.connection_id);
  error(line_, reply);
  line_ += "}\n";
  file_.append(line_);
}

}  // namespace ringside
