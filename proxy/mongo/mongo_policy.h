#pragma once
// Decides what becomes of a request by what is known of it. Compiled once from the spec; decisions neither allocate nor keep state.
#include <bitset>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "codecs/mongo/mongo_facts.h"
#include "proxy/mongo/mongo_rules_spec.h"

namespace re2 {
class RE2;
}

namespace ringside {

// A StringMatcher, ready for use.
class MongoTextMatcher {
 public:
  // The spec's regular expression was checked.
  explicit MongoTextMatcher(const TextMatchSpec& spec);
  MongoTextMatcher(MongoTextMatcher&&) noexcept;
  MongoTextMatcher& operator=(MongoTextMatcher&&) noexcept;
  ~MongoTextMatcher();
  bool matches(std::string_view text) const;

 private:
  bool same(std::string_view part) const;

  TextMatchSpec spec_;
  std::unique_ptr<re2::RE2> regex_;
};

// One thing that a request does: a command on a collection. A request may do several.
struct MongoSubject {
  // What it touches where no collection is named.
  enum class Scope : uint8_t { names, database, server };
  MongoCommand command = MongoCommand::unknown;
  MongoClass command_class = MongoClass::read;
  Scope scope = Scope::names;
  bool continues = false;  // getMore and killCursors: somebody was allowed to begin it
  std::string_view command_name;
  std::string_view database;
  std::string_view collection;
};

// What the request as such is; further namespaces are not in it.
MongoSubject mongo_subject_of(const MongoRequest& request);
// It may change something. Unlike MongoRequest::writes(), with the ending of other people's sessions.
bool mongo_changes(const MongoRequest& request);
// The server is to run code that the request brings.
bool mongo_runs_code(const MongoRequest& request);

class MongoMatcher {
 public:
  explicit MongoMatcher(const MongoMatchSpec& spec);

  // `strict`: in doubt it matches, so that a rule that denies does.
  enum class Doubt : uint8_t { lenient, strict };
  bool matches(const MongoSubject& subject, std::string_view application, Doubt doubt) const;
  // It names the command, not only its class.
  bool names(const MongoSubject& subject) const;
  bool asks_for_names() const { return !databases_.empty() || !collections_.empty(); }

 private:
  bool takes_command(const MongoSubject& subject, Doubt doubt) const;

  std::vector<MongoTextMatcher> databases_, collections_, applications_;
  std::bitset<mongo_commands> commands_;
  std::vector<std::string> unusual_;  // commands that we do not know
  uint8_t classes_ = 0;               // bit n: MongoClass n
  bool any_command_ = true;
  bool opens_cursors_ = false;  // one of commands_ does
};

struct MongoDecision {
  enum class Why : uint8_t {
    nothing,  // no rule had a say
    rule,
    fallback,  // the default action
    read_only,
    javascript,
    unknown_command,
    unread_names,  // more or longer names than were kept
  };
  bool allowed = true;
  Why why = Why::nothing;
  uint16_t rule = 0;        // index, of Why::rule
  MongoSubject subject;     // what was decided on last
};

class MongoPolicy {
 public:
  // `spec` lives as long.
  explicit MongoPolicy(const MongoRulesSpec& spec);

  MongoDepth depth() const;
  MongoDecision decide(const MongoRequest& request, std::string_view application) const;
  // The next fault at or after `from` that the request matches; its index, or the number of faults.
  size_t find_fault(const MongoSubject& subject, std::string_view application, size_t from) const;

 private:
  struct Rule {
    MongoMatcher matcher;
    MongoRuleAction action;
  };
  MongoDecision decide_subject(const MongoSubject& subject, std::string_view application) const;
  MongoDecision decide_session(const MongoSubject& subject, std::string_view application) const;
  MongoDecision decide_unknown(const MongoSubject& subject, std::string_view application) const;
  MongoDecision decide_others(const MongoRequest& request, const MongoSubject& subject, std::string_view application,
                              MongoDecision first) const;

  const MongoRulesSpec& spec_;
  std::vector<Rule> rules_;
  std::vector<MongoMatcher> faults_;
  bool asks_for_names_ = false;
};

}  // namespace ringside
