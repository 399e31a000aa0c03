#pragma once
// What the rules of a MongoDB filter are made of (ringside.mongo.v1.MongoRules).
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "codecs/mongo/mongo_message.h"
#include "core/time.h"
#include "proxy/specs.h"

namespace ringside {

enum class MongoClass : uint8_t {
  session,  // handshake, authentication, sessions, transactions: allowed unless a rule names the command
  read,
  write,
  admin,
  auth,  // users and roles
};

// What a request must be for a rule or a fault; an empty list takes any. Commands and classes are one list.
struct MongoMatchSpec {
  std::vector<TextMatchSpec> databases = {};
  std::vector<TextMatchSpec> collections = {};
  std::vector<TextMatchSpec> applications = {};
  std::vector<std::string> commands = {};
  std::vector<MongoClass> classes = {};
};

enum class MongoRuleAction : uint8_t { allow, deny };

struct MongoRuleSpec {
  std::string name = {};
  MongoRuleAction action = MongoRuleAction::allow;
  MongoMatchSpec match = {};
};

struct MongoFaultSpec {
  enum class Abort : uint8_t { none, error, close };
  std::string name = {};
  MongoMatchSpec match = {};
  FractionSpec part = {};
  Duration delay{0};
  Abort abort = Abort::none;
  int32_t code = 0;
  std::string code_name = {};
  std::string message = {};
};

struct MongoHelloRewriteSpec {
  std::string address;  // empty: the one that the client connected to
  std::vector<std::pair<std::string, std::string>> hosts;
};

struct MongoSlowSpec {
  Duration threshold{0};
  std::string path;
  uint32_t shape_bytes_max = 1024;
  FractionSpec sample{.numerator = 100, .denominator = 100};
};

struct MongoRulesSpec {
  bool read_only = false;
  bool deny_javascript = false;
  bool forwards_unknown = false;      // commands
  bool forwards_undecodable = false;  // messages
  bool strips_compression = false;
  MongoRuleAction default_action = MongoRuleAction::allow;
  uint32_t judge_bytes_max = 1024 * 1024;
  uint32_t message_bytes_max = mongo::message_bytes_max;
  std::vector<MongoRuleSpec> rules;
  std::vector<MongoFaultSpec> faults;
  std::optional<MongoHelloRewriteSpec> hello_rewrite;
  std::optional<MongoSlowSpec> slow_query;

  // Something may be refused.
  bool judges() const {
    return read_only || deny_javascript || !rules.empty() || default_action == MongoRuleAction::deny;
  }
};

}  // namespace ringside
