// The judge that rules of the configuration make.
#include <fmt/format.h>

#include <array>
#include <iterator>
#include <utility>

#include "codecs/mongo/mongo_hello.h"
#include "core/worker.h"
#include "proxy/mongo/mongo_judge.h"
#include "proxy/mongo/mongo_log.h"
#include "proxy/mongo/mongo_policy.h"
#include "proxy/mongo/mongo_rules_spec.h"
#include "proxy/mongo/mongo_slow_log.h"
#include "proxy/mongo/mongo_stats.h"
#include "proxy/observe/stat_names.h"
#include "proxy/shard.h"

namespace ringside {

// clang-format off
// rules.<rule>. `dropped` is the part of `denied` that nobody is told about.
#define RS_MONGO_RULE_STATS(C, G, H, N) C(allowed) C(denied) C(dropped)
// faults.<fault>.
#define RS_MONGO_FAULT_STATS(C, G, H, N) C(delayed) C(aborted)
// clang-format on
RS_STAT_GROUP(MongoRuleStat, mongo_rule_stat_defs, RS_MONGO_RULE_STATS)
RS_STAT_GROUP(MongoFaultStat, mongo_fault_stat_defs, RS_MONGO_FAULT_STATS)

namespace {

using Why = MongoDecision::Why;

// Names of what is no rule of its own, in the order of Built.
constexpr auto built_names =
    std::to_array<std::string_view>({"default", "read_only", "javascript", "unknown_command", "undecodable", "too_long"});
enum class Built : uint8_t { fallback, read_only, javascript, unknown_command, undecodable, too_long };

class RulesJudge final : public MongoJudge {
 public:
  RulesJudge(std::shared_ptr<const MongoRulesSpec> spec, std::string_view stat_prefix, Shard& shard)
      : spec_(std::move(spec)), policy_(*spec_), shard_(shard) {
    for (const MongoRuleSpec& rule : spec_->rules) rule_stats_.push_back(block<MongoRuleStat>(stat_prefix, "rules", rule.name));
    for (const std::string_view name : built_names) built_stats_.push_back(block<MongoRuleStat>(stat_prefix, "rules", name));
    for (const MongoFaultSpec& fault : spec_->faults)
      fault_stats_.push_back(block<MongoFaultStat>(stat_prefix, "faults", fault.name));
    if (spec_->slow_query) slow_ = std::make_unique<MongoSlowLog>(*spec_->slow_query, shard);
    if (spec_->hello_rewrite)
      for (const auto& [from, to] : spec_->hello_rewrite->hosts) aliases_.push_back({from, to});
  }

  MongoDepth depth() const override { return policy_.depth(); }
  uint32_t body_kept_bytes_max() const override { return slow_ != nullptr ? slow_->body_bytes_max() : 0; }
  uint32_t message_bytes_max() const override { return spec_->message_bytes_max; }
  size_t judge_bytes_max() const override { return spec_->judge_bytes_max; }

  MongoVerdict judge(const MongoPeer& peer, const MongoHeader&, const MongoRequest& request) override {
    // The hello that says it is judged by what it says.
    const std::string_view application = request.client.present ? request.client.application : peer.application;
    const MongoDecision decision = policy_.decide(request, application);
    count(decision, request);
    MongoVerdict verdict;
    if (!decision.allowed) return deny(decision);
    if (!spec_->faults.empty()) strike(request, application, verdict);
    verdict.keeps_texts = slow_ != nullptr && MongoSlowLog::wants(request);
    if (info_of(request.command).hello) {
      verdict.rewrites_request = spec_->strips_compression;
      verdict.rewrites_reply = spec_->strips_compression || spec_->hello_rewrite.has_value();
    }
    return verdict;
  }

  MongoVerdict judge_unread(const MongoPeer&, const MongoHeader&, const MongoRequest& request, MongoUnread why) override {
    const bool matters = spec_->judges() && !(why == MongoUnread::undecodable && spec_->forwards_undecodable);
    if (!matters) return {};
    const Built what = why == MongoUnread::undecodable ? Built::undecodable : Built::too_long;
    count(built_stats_[static_cast<size_t>(what)], Action::deny, request);
    text_ = why == MongoUnread::undecodable
                ? "ringside: this request is not allowed: the proxy cannot decode it and so cannot judge it"
                : fmt::format("ringside: this request is not allowed: the proxy cannot judge it by its first {} bytes; send less "
                              "at once, or raise judge_bytes_max of the proxy",
                              spec_->judge_bytes_max);
    return refusal();
  }

  std::optional<std::string> rewrite_request(const MongoPeer&, std::string_view message) override {
    return rewrite_hello_request(message, {.compressors_kept = 0});
  }

  std::optional<std::string> rewrite_reply(const MongoPeer& peer, std::string_view message) override {
    MongoHelloEdit edit;
    std::string local;
    if (spec_->strips_compression) edit.compressors_kept = 0;
    if (spec_->hello_rewrite) {
      if (spec_->hello_rewrite->address.empty()) local = peer.local.text();
      edit.aliases = aliases_;
      edit.other_hosts = local.empty() ? std::string_view(spec_->hello_rewrite->address) : std::string_view(local);
    }
    return rewrite_hello_reply(message, edit);
  }

  void on_reply(const MongoPeer& peer, const MongoExchangeFacts& facts, const MongoReply& reply) override {
    if (slow_ != nullptr) slow_->on_reply(peer, facts, reply);
  }

 private:
  enum class Action : uint8_t { allow, deny };

  template <class Stat>
  StatBlock<Stat> block(std::string_view stat_prefix, std::string_view kind, std::string_view name) {
    const std::string_view label = kind == "rules" ? "envoy_mongo_rule" : "envoy_mongo_fault";
    return shard_.stat_cells().block(shard_.registry().group<Stat>(mongo_named_scope(stat_prefix, kind, label, name)));
  }

  static void count(StatBlock<MongoRuleStat>& stats, Action action, const MongoRequest& request) {
    if (action == Action::allow) return stats.inc(MongoRuleStat::allowed);
    stats.inc(MongoRuleStat::denied);
    if (!request.expects_reply()) stats.inc(MongoRuleStat::dropped);
  }

  StatBlock<MongoRuleStat>& built(Built what) { return built_stats_[static_cast<size_t>(what)]; }

  void count(const MongoDecision& decision, const MongoRequest& request) {
    const Action action = decision.allowed ? Action::allow : Action::deny;
    switch (decision.why) {
      case Why::nothing: return;
      case Why::rule: return count(rule_stats_[decision.rule], action, request);
      case Why::fallback: return count(built(Built::fallback), action, request);
      case Why::read_only: return count(built(Built::read_only), action, request);
      case Why::javascript: return count(built(Built::javascript), action, request);
      case Why::unknown_command: return count(built(Built::unknown_command), action, request);
      case Why::unread_names: return count(built(Built::too_long), action, request);
    }
  }

  void append_place(const MongoSubject& subject) {
    text_ += "ringside: ";
    append_shown(subject.command_name.empty() ? std::string_view("this request") : subject.command_name);
    if (subject.database.empty()) return;
    text_ += " on ";
    append_shown(subject.database);
    if (subject.collection.empty()) return;
    text_ += '.';
    append_shown(subject.collection);
  }
  void append_shown(std::string_view name) { append_json_escaped(text_, name.substr(0, 200)); }

  MongoVerdict deny(const MongoDecision& decision) {
    text_.clear();
    append_place(decision.subject);
    const auto say = [this](std::string_view text) { text_.append(" is not allowed: ").append(text); };
    switch (decision.why) {
      case Why::rule:
        say("rule \"");
        text_.append(spec_->rules[decision.rule].name).append("\" of the proxy denies it; whoever runs the proxy can change the rule");
        break;
      case Why::fallback:
      case Why::nothing: say("no rule of the proxy allows it; whoever runs the proxy can add one"); break;
      case Why::read_only: say("the proxy passes reads only here (read_only); send what changes data elsewhere"); break;
      case Why::javascript:
        say("the proxy lets no JavaScript run on the server (deny_javascript); use operators of queries and aggregation instead");
        break;
      case Why::unknown_command:
        say("the proxy does not know this command and cannot judge it; a rule that names it can allow it");
        break;
      case Why::unread_names: say("it names more or longer collections than the proxy can judge; name fewer in one command"); break;
    }
    return refusal();
  }

  MongoVerdict refusal() {
    MongoVerdict verdict;
    verdict.action = MongoAction::deny;
    verdict.error = {.code = 13, .code_name = "Unauthorized", .message = text_};
    return verdict;
  }

  void strike(const MongoRequest& request, std::string_view application, MongoVerdict& verdict) {
    const MongoSubject subject = mongo_subject_of(request);
    const size_t count = spec_->faults.size();
    for (size_t at = policy_.find_fault(subject, application, 0); at < count; at = policy_.find_fault(subject, application, at + 1)) {
      const MongoFaultSpec& fault = spec_->faults[at];
      if (shard_.worker().ring().random() % fault.part.denominator >= fault.part.numerator) continue;
      return apply(fault, fault_stats_[at], verdict);
    }
  }

  static void apply(const MongoFaultSpec& fault, StatBlock<MongoFaultStat>& stats, MongoVerdict& verdict) {
    verdict.delay = fault.delay;
    if (fault.delay > Duration::zero()) stats.inc(MongoFaultStat::delayed);
    switch (fault.abort) {
      case MongoFaultSpec::Abort::none: return;
      case MongoFaultSpec::Abort::close: verdict.action = MongoAction::close_connection; break;
      case MongoFaultSpec::Abort::error:
        verdict.action = MongoAction::deny;
        verdict.error = {.code = fault.code, .code_name = fault.code_name, .message = fault.message};
        break;
    }
    stats.inc(MongoFaultStat::aborted);
  }

  const std::shared_ptr<const MongoRulesSpec> spec_;
  const MongoPolicy policy_;
  Shard& shard_;
  std::vector<StatBlock<MongoRuleStat>> rule_stats_, built_stats_;
  std::vector<StatBlock<MongoFaultStat>> fault_stats_;
  std::unique_ptr<MongoSlowLog> slow_;
  std::vector<MongoHostAlias> aliases_;
  std::string text_;  // of the last refusal
};

}  // namespace

std::unique_ptr<MongoJudge> make_mongo_judge(std::shared_ptr<const MongoRulesSpec> rules, std::string_view stat_prefix, Shard& shard) {
  return std::make_unique<RulesJudge>(std::move(rules), stat_prefix, shard);
}

}  // namespace ringside
