#include "proxy/mongo/mongo_policy.h"

#include <re2/re2.h>

#include <algorithm>
#include <utility>

namespace ringside {
namespace {

using enum MongoCommand;

char small(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

uint8_t bit_of(MongoClass one) { return static_cast<uint8_t>(1u << static_cast<unsigned>(one)); }

bool ends_sessions_of_others(MongoCommand command) {
  return command == kill_all_sessions || command == kill_all_sessions_by_pattern;
}

// Documents, collections, indexes and databases, among what changes something.
bool changes_data(MongoCommand command) {
  return (command >= insert && command <= clone_collection_as_capped) ||
         (command >= create_search_indexes && command <= update_search_index) || command == compact;
}

bool concerns_users(MongoCommand command) {
  return command == users_info || command == roles_info || (command >= create_user && command <= invalidate_user_cache);
}

// Of what only tells: about the server, its sharding and replication.
bool inspects_server(MongoCommand command) {
  return (command >= get_parameter && command <= lock_info) || command == repl_set_get_status || command == repl_set_get_config ||
         (command >= list_shards && command <= is_dbgrid) || command == get_default_rw_concern;
}

MongoClass class_of(MongoCommand command, bool changes) {
  if (concerns_users(command)) return MongoClass::auth;
  switch (info_of(command).kind) {
    case MongoCommandKind::session: return ends_sessions_of_others(command) ? MongoClass::admin : MongoClass::session;
    case MongoCommandKind::read: return changes ? MongoClass::write : MongoClass::read;
    case MongoCommandKind::inspect: return inspects_server(command) ? MongoClass::admin : MongoClass::read;
    case MongoCommandKind::write: return MongoClass::write;
    case MongoCommandKind::change: return changes_data(command) ? MongoClass::write : MongoClass::admin;
    case MongoCommandKind::unknown: break;
  }
  return MongoClass::admin;
}

// Legacy messages are the commands that came after them.
MongoCommand command_of(const MongoRequest& request) {
  if (request.is_command) return request.command;
  switch (request.opcode) {
    case MongoOpcode::query: return find;
    case MongoOpcode::get_more: return get_more;
    case MongoOpcode::kill_cursors: return kill_cursors;
    case MongoOpcode::insert: return insert;
    case MongoOpcode::update: return update;
    case MongoOpcode::remove: return remove;
    case MongoOpcode::none:
    case MongoOpcode::reply:
    case MongoOpcode::command:
    case MongoOpcode::command_reply:
    case MongoOpcode::compressed:
    case MongoOpcode::msg: break;
  }
  return unknown;
}

MongoSubject::Scope scope_of(MongoCommand command, std::string_view database) {
  using Scope = MongoSubject::Scope;
  switch (command) {
    case unknown:
    case apply_ops:
    case eval:
    case copy_db:
    case clone: return Scope::server;
    case drop_database:
    case repair_database: return Scope::database;
    case aggregate: return database == "admin" ? Scope::server : Scope::database;
    default: break;
  }
  // Its collection was given by a number (a UUID), or not at all.
  return info_of(command).names_collection ? Scope::database : Scope::names;
}

}  // namespace

// --- texts -------------------------------------------------------------------------------------------------------------

MongoTextMatcher::MongoTextMatcher(const TextMatchSpec& spec) : spec_(spec) {
  if (spec.how == TextMatchHow::regex) regex_ = std::make_unique<re2::RE2>(spec.text, re2::RE2::Quiet);
  else if (spec.ignore_case) std::transform(spec_.text.begin(), spec_.text.end(), spec_.text.begin(), small);
}
MongoTextMatcher::MongoTextMatcher(MongoTextMatcher&&) noexcept = default;
MongoTextMatcher& MongoTextMatcher::operator=(MongoTextMatcher&&) noexcept = default;
MongoTextMatcher::~MongoTextMatcher() = default;

bool MongoTextMatcher::same(std::string_view part) const {
  if (!spec_.ignore_case) return part == spec_.text;
  return std::equal(part.begin(), part.end(), spec_.text.begin(), spec_.text.end(),
                    [](char theirs, char ours) { return small(theirs) == ours; });
}

bool MongoTextMatcher::matches(std::string_view text) const {
  const size_t size = spec_.text.size();
  if (spec_.how == TextMatchHow::regex) return re2::RE2::FullMatch(re2::StringPiece(text.data(), text.size()), *regex_);
  if (text.size() < size) return false;
  switch (spec_.how) {
    case TextMatchHow::exact: return same(text);
    case TextMatchHow::prefix: return same(text.substr(0, size));
    case TextMatchHow::suffix: return same(text.substr(text.size() - size));
    case TextMatchHow::contains:
      for (size_t at = 0; at + size <= text.size(); ++at)
        if (same(text.substr(at, size))) return true;
      return false;
    case TextMatchHow::regex: break;
  }
  return false;
}

// --- what a request is -------------------------------------------------------------------------------------------------

bool mongo_changes(const MongoRequest& request) {
  return request.writes() || (request.is_command && ends_sessions_of_others(request.command));
}

bool mongo_runs_code(const MongoRequest& request) {
  if (request.uses_where || request.uses_function || request.uses_accumulator || request.uses_map_reduce) return true;
  const MongoCommand command = request.command == explain ? request.inner_command : request.command;
  return command == map_reduce || command == group || command == eval;
}

MongoSubject mongo_subject_of(const MongoRequest& request) {
  MongoSubject subject;
  subject.command = command_of(request);
  subject.command_class = class_of(subject.command, mongo_changes(request));
  subject.command_name = request.is_command ? request.command_name : info_of(subject.command).name;
  subject.database = request.database;
  subject.collection = request.collection;
  subject.continues = subject.command == get_more || subject.command == kill_cursors;
  // Cursors of commands on a database: "$cmd.listCollections".
  if (subject.collection.starts_with("$cmd")) subject.collection = {};
  if (subject.collection.empty() && !subject.continues) {
    const bool explains = subject.command == explain;
    const MongoCommand touches = explains ? request.inner_command : subject.command;
    subject.scope = scope_of(touches, subject.database);
  }
  return subject;
}

// --- matching ----------------------------------------------------------------------------------------------------------

MongoMatcher::MongoMatcher(const MongoMatchSpec& spec) {
  for (const TextMatchSpec& text : spec.databases) databases_.emplace_back(text);
  for (const TextMatchSpec& text : spec.collections) collections_.emplace_back(text);
  for (const TextMatchSpec& text : spec.applications) applications_.emplace_back(text);
  for (const std::string& name : spec.commands) {
    const MongoCommand command = mongo_command_of(name);
    if (command == unknown)
      unusual_.push_back(name);
    else
      commands_.set(static_cast<size_t>(command));
    opens_cursors_ |= command == find || command == aggregate || command == list_collections || command == list_indexes ||
                      command == parallel_collection_scan || command == bulk_write;
  }
  for (const MongoClass one : spec.classes) classes_ |= bit_of(one);
  any_command_ = spec.commands.empty() && spec.classes.empty();
}

bool MongoMatcher::names(const MongoSubject& subject) const {
  if (subject.command != unknown) return commands_.test(static_cast<size_t>(subject.command));
  return std::find(unusual_.begin(), unusual_.end(), subject.command_name) != unusual_.end();
}

bool MongoMatcher::takes_command(const MongoSubject& subject, Doubt doubt) const {
  if (any_command_ || (classes_ & bit_of(subject.command_class)) != 0 || names(subject)) return true;
  // What was allowed to open a cursor may read on from it.
  return subject.continues && opens_cursors_ && doubt == Doubt::lenient;
}

bool MongoMatcher::matches(const MongoSubject& subject, std::string_view application, Doubt doubt) const {
  const auto any = [](const std::vector<MongoTextMatcher>& matchers, std::string_view text) {
    for (const MongoTextMatcher& matcher : matchers)
      if (matcher.matches(text)) return true;
    return matchers.empty();
  };
  const bool strict = doubt == Doubt::strict;
  if (!takes_command(subject, doubt)) return false;
  if (!any(applications_, application)) return false;
  const bool all_databases = strict && subject.scope == MongoSubject::Scope::server;
  if (!all_databases && !any(databases_, subject.database)) return false;
  const bool all_collections = strict && subject.scope != MongoSubject::Scope::names;
  if (all_collections || collections_.empty()) return true;
  return !subject.collection.empty() && any(collections_, subject.collection);
}

// --- deciding ----------------------------------------------------------------------------------------------------------

MongoPolicy::MongoPolicy(const MongoRulesSpec& spec) : spec_(spec) {
  for (const MongoRuleSpec& rule : spec.rules) {
    rules_.push_back({MongoMatcher(rule.match), rule.action});
    asks_for_names_ |= rules_.back().matcher.asks_for_names();
  }
  for (const MongoFaultSpec& fault : spec.faults) faults_.emplace_back(fault.match);
}

MongoDepth MongoPolicy::depth() const {
  const bool deep = spec_.deny_javascript || !rules_.empty() || spec_.default_action == MongoRuleAction::deny;
  return deep ? MongoDepth::deep : MongoDepth::command;
}

MongoDecision MongoPolicy::decide_subject(const MongoSubject& subject, std::string_view application) const {
  MongoDecision decision{.subject = subject};
  for (size_t i = 0; i < rules_.size(); ++i) {
    const bool denies = rules_[i].action == MongoRuleAction::deny;
    if (!rules_[i].matcher.matches(subject, application, denies ? MongoMatcher::Doubt::strict : MongoMatcher::Doubt::lenient))
      continue;
    decision.allowed = !denies;
    decision.why = MongoDecision::Why::rule;
    decision.rule = static_cast<uint16_t>(i);
    return decision;
  }
  // A cursor without a collection was opened by a command that was judged.
  const bool begun = subject.continues && subject.collection.empty();
  decision.allowed = begun || spec_.default_action == MongoRuleAction::allow;
  decision.why = MongoDecision::Why::fallback;
  return decision;
}

// What does not name it does not count, so that a rule for everything keeps nobody from logging in.
MongoDecision MongoPolicy::decide_session(const MongoSubject& subject, std::string_view application) const {
  MongoDecision decision{.subject = subject};
  for (size_t i = 0; i < rules_.size(); ++i) {
    const MongoMatcher& matcher = rules_[i].matcher;
    if (!matcher.names(subject) || !matcher.matches(subject, application, MongoMatcher::Doubt::lenient)) continue;
    decision.allowed = rules_[i].action == MongoRuleAction::allow;
    decision.why = MongoDecision::Why::rule;
    decision.rule = static_cast<uint16_t>(i);
    break;
  }
  return decision;
}

MongoDecision MongoPolicy::decide_unknown(const MongoSubject& subject, std::string_view application) const {
  MongoDecision decision = decide_subject(subject, application);
  const bool named = decision.why == MongoDecision::Why::rule && rules_[decision.rule].matcher.names(subject);
  if (named || !decision.allowed || spec_.forwards_unknown) return decision;
  decision.allowed = false;
  decision.why = MongoDecision::Why::unknown_command;
  return decision;
}

// The namespaces besides that of the command.
MongoDecision MongoPolicy::decide_others(const MongoRequest& request, const MongoSubject& subject, std::string_view application,
                                         MongoDecision first) const {
  const auto decide_at = [&](const MongoNamespace& at, MongoCommand command, MongoClass command_class) {
    MongoSubject other = subject;
    other.command = command;
    other.command_class = command_class;
    other.command_name = info_of(command).name;
    other.scope = MongoSubject::Scope::names;
    other.database = at.database.empty() ? request.database : at.database;
    other.collection = at.collection;
    return decide_subject(other, application);
  };
  const bool has_target = !request.target.collection.empty() && subject.command != explain;
  if (has_target) {
    const MongoDecision target = decide_at(request.target, subject.command, MongoClass::write);
    if (!target.allowed) return target;
  }
  const bool writes = subject.command == bulk_write;
  const MongoCommand reader = subject.command == explain ? explain : aggregate;
  for (const MongoNamespace& at : request.foreign) {
    const MongoDecision other = writes ? decide_at(at, bulk_write, MongoClass::write) : decide_at(at, reader, MongoClass::read);
    if (!other.allowed) return other;
  }
  return first;
}

MongoDecision MongoPolicy::decide(const MongoRequest& request, std::string_view application) const {
  MongoDecision decision;
  if (!spec_.judges()) return decision;
  const MongoSubject subject = mongo_subject_of(request);
  decision.subject = subject;
  decision.allowed = false;
  decision.why = MongoDecision::Why::read_only;
  if (spec_.read_only && mongo_changes(request)) return decision;
  decision.why = MongoDecision::Why::javascript;
  if (spec_.deny_javascript && mongo_runs_code(request)) return decision;
  if (subject.command_class == MongoClass::session) return decide_session(subject, application);
  decision.why = MongoDecision::Why::unread_names;
  const bool unread = request.names_cut || request.foreign.left_out != 0;
  if (unread && (asks_for_names_ || spec_.default_action == MongoRuleAction::deny)) return decision;
  if (subject.command == unknown) return decide_unknown(subject, application);
  // All that a bulkWrite touches is in its list.
  if (subject.command == bulk_write && request.foreign.size != 0)
    return decide_others(request, subject, application, MongoDecision{.subject = subject});
  // $out makes the command a writer, but only of its target.
  MongoSubject first = subject;
  if (request.has_out || request.has_merge) {
    if (!request.target.collection.empty()) first.command_class = MongoClass::read;
  }
  decision = decide_subject(first, application);
  return decision.allowed ? decide_others(request, subject, application, decision) : decision;
}

size_t MongoPolicy::find_fault(const MongoSubject& subject, std::string_view application, size_t from) const {
  for (; from < faults_.size(); ++from) {
    const MongoMatcher& matcher = faults_[from];
    if (subject.command_class == MongoClass::session && !matcher.names(subject)) continue;
    if (matcher.matches(subject, application, MongoMatcher::Doubt::lenient)) break;
  }
  return from;
}

}  // namespace ringside
