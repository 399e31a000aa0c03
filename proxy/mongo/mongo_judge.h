#pragma once
// Rules for the requests of a MongoDB connection, as the filter asks them: a judge sees each request before a byte of it goes to
// the server and each reply when it is complete. One judge per filter chain and worker; what it knows of a connection is what
// the filter hands it.
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "codecs/mongo/mongo_facts.h"
#include "codecs/mongo/mongo_reader.h"
#include "codecs/mongo/mongo_writer.h"
#include "core/address.h"
#include "core/time.h"

namespace ringside {

class Shard;
struct MongoRulesSpec;  // proxy/mongo/mongo_rules_spec.h

// What is known of a connection. Lives as long as the connection does.
struct MongoPeer {
  uint64_t connection_id = 0;  // unique on its worker
  Address client;
  Address local;                  // the listener's end of it
  std::string application;        // as its first hello said; empty: nothing yet
  std::string driver_name;
  std::string driver_version;
  std::string upstream_host;      // as text, once it is connected
  std::string auth_mechanism;     // of the authentication that succeeded last
};

enum class MongoAction : uint8_t {
  forward,
  deny,              // the client gets `error` and the server nothing; where no answer is expected there is none
  close_connection,  // without an answer
};

// What becomes of one request.
struct MongoVerdict {
  MongoAction action = MongoAction::forward;
  // Before the action. What the client sends after it waits behind it.
  Duration delay{0};
  // Of deny. The texts live until the judge's next call.
  MongoError error;
  // The whole message goes through rewrite_request() first, if it is not longer than mongo::hello_bytes_max.
  bool rewrites_request = false;
  // Likewise its reply through rewrite_reply().
  bool rewrites_reply = false;
  // The texts of MongoExchangeFacts that are not for the access log are kept until the reply: comment, call_site and body.
  bool keeps_texts = false;
};

// Why nothing is known of a request.
enum class MongoUnread : uint8_t {
  undecodable,  // the failure says why
  too_long,     // what names its command stands behind more bytes than may be held back
};

// A request and its reply. The texts live for the call; empty when MongoVerdict::keeps_texts was false and no access log wanted
// them.
struct MongoExchangeFacts {
  MongoHeader request;
  MongoHeader reply;
  MongoOpcode opcode = MongoOpcode::none;
  MongoCompressor compressor = MongoCompressor::none;
  MongoCommand command = MongoCommand::unknown;
  uint32_t flags = 0;
  uint32_t documents = 0;
  std::string_view command_name;
  std::string_view database;
  std::string_view collection;
  std::string_view comment;
  std::string_view call_site;
  std::string_view body;  // the begin of the request's document, see MongoJudge::body_kept_bytes_max()
  Duration delayed{0};    // by us
  Duration took{0};       // from the request's last byte to the reply's last one
  bool exhaust_follower = false;  // not the first reply to this request
};

class MongoJudge {
 public:
  virtual ~MongoJudge() = default;

  // Asked once, before the first connection.
  virtual MongoDepth depth() const { return MongoDepth::command; }
  virtual uint32_t body_kept_bytes_max() const { return 0; }
  // Of a longer message the header is malformed: the connection ends.
  virtual uint32_t message_bytes_max() const { return mongo::message_bytes_max; }
  // So much of a request is held back for a verdict; more is MongoUnread::too_long. What names a command comes first with every
  // driver that we know; who puts documents before it may put so many.
  virtual size_t judge_bytes_max() const { return 16 * 1024 * 1024 + 64 * 1024; }

  virtual MongoVerdict judge(const MongoPeer& peer, const MongoHeader& header, const MongoRequest& request) = 0;
  // `request` holds what was read so far.
  virtual MongoVerdict judge_unread(const MongoPeer& peer, const MongoHeader& header, const MongoRequest& request,
                                    MongoUnread why) = 0;

  // Whole messages. Nullopt: it goes on as it is.
  virtual std::optional<std::string> rewrite_request(const MongoPeer&, std::string_view) { return std::nullopt; }
  virtual std::optional<std::string> rewrite_reply(const MongoPeer&, std::string_view) { return std::nullopt; }

  // A reply went to the client; with facts of nothing but its header if it could not be decoded (opcode none).
  virtual void on_reply(const MongoPeer&, const MongoExchangeFacts&, const MongoReply&) {}
};

// The judge of a chain's rules on one worker. `stat_prefix` is that of the filter, for statistics below "mongo.<stat_prefix>.".
std::unique_ptr<MongoJudge> make_mongo_judge(std::shared_ptr<const MongoRulesSpec> rules, std::string_view stat_prefix, Shard& shard);

}  // namespace ringside
