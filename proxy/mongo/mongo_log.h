#pragma once
// The access log of the MongoDB filter: a line of JSON for each request with its reply. Names, numbers and outcomes; never what is
// in documents, credentials or the values of a query.
#include <cstdint>
#include <string>
#include <string_view>

#include "codecs/mongo/mongo_facts.h"
#include "proxy/mongo/mongo_judge.h"
#include "proxy/mongo/mongo_pending.h"

namespace ringside {

class LogFile;
class SecondCache;

// As a part of a JSON string. What is no UTF-8, and control characters, become '?'.
void append_json_escaped(std::string& out, std::string_view text);

// What became of a request.
enum class MongoOutcome : uint8_t {
  answered,
  one_way,     // nobody answers such a request
  unanswered,  // the connection ended first
  denied,      // by a rule
};

struct MongoLogRecord {
  const MongoPeer* peer = nullptr;
  const MongoPending* request = nullptr;  // with its texts
  MongoOutcome outcome = MongoOutcome::answered;
  WallTime time{};
  Duration took{0};
  // Of `answered`.
  MongoHeader reply_header;
  const MongoReply* reply = nullptr;  // null: it could not be decoded
  // Of `denied`.
  int32_t code = 0;
};

class MongoLog {
 public:
  MongoLog(LogFile& file, SecondCache& second) : file_(file), second_(second) {}
  void write(const MongoLogRecord& record);

 private:
  LogFile& file_;
  SecondCache& second_;
  std::string line_;
};

}  // namespace ringside
