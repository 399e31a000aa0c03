#include "control/translate_mongo_rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>

#include "codecs/mongo/mongo_writer.h"
#include "control/translate_common.h"
#include "control/translate_mongo.h"
#include "proxy/mongo/mongo_rules_spec.h"

namespace ringside {
namespace {

using mongo::v1::MongoRules;
using envoy::type::matcher::v3::StringMatcher;
using Texts = google::protobuf::RepeatedPtrField<StringMatcher>;

constexpr auto reserved_names =
    std::to_array<std::string_view>({"default", "read_only", "javascript", "unknown_command", "undecodable", "too_long"});

std::vector<TextMatchSpec> translate_texts(TranslateContext& context, const Texts& matchers) {
  std::vector<TextMatchSpec> specs;
  for (const StringMatcher& matcher : matchers) specs.push_back(translate_matcher(context, matcher));
  return specs;
}

std::vector<MongoClass> translate_classes(TranslateContext& context, const MongoRules::Match& match) {
  std::vector<MongoClass> classes;
  for (int i = 0; i < match.classes_size(); ++i) {
    switch (match.classes(i)) {
      case MongoRules::READ: classes.push_back(MongoClass::read); break;
      case MongoRules::WRITE: classes.push_back(MongoClass::write); break;
      case MongoRules::ADMIN: classes.push_back(MongoClass::admin); break;
      case MongoRules::AUTH: classes.push_back(MongoClass::auth); break;
      default: context.fail(match, MongoRules::Match::kClassesFieldNumber, "needs READ, WRITE, ADMIN or AUTH", {}, i);
    }
  }
  return classes;
}

MongoMatchSpec translate_match(TranslateContext& context, const MongoRules::Match& match) {
  MongoMatchSpec spec;
  spec.databases = translate_texts(context, match.databases());
  spec.collections = translate_texts(context, match.collections());
  spec.applications = translate_texts(context, match.applications());
  spec.classes = translate_classes(context, match);
  constexpr int number = MongoRules::Match::kCommandsFieldNumber;
  for (int i = 0; i < match.commands_size(); ++i) {
    const std::string& name = match.commands(i);
    if (name.empty()) context.fail(match, number, "a command must have a name", {}, i);
    if (mongo_command_of(name) == MongoCommand::unknown)
      context.warn(match, number, fmt::format("no command that Ringside knows is called \"{}\"", name),
                   "names are those of the wire protocol, such as find, getMore or findAndModify", i);
    spec.commands.push_back(name);
  }
  return spec;
}

// Part of the names of statistics, and unique.
template <class T>
std::string translate_name(TranslateContext& context, const T& named, std::set<std::string>& seen) {
  constexpr int number = T::kNameFieldNumber;
  const std::string& name = named.name();
  if (name.empty()) {
    context.missing(named, number);
  } else if (!std::all_of(name.begin(), name.end(), [](char c) {
               return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
             })) {
    context.fail(named, number, fmt::format("\"{}\" is no name", name), "use letters, digits, _ and -: it is part of statistics");
  } else if (std::find(reserved_names.begin(), reserved_names.end(), name) != reserved_names.end()) {
    context.fail(named, number, fmt::format("\"{}\" is the name of statistics that are there anyway", name), "choose another");
  } else if (!seen.insert(name).second) {
    context.fail(named, number, fmt::format("there is another \"{}\"", name), "each needs a name of its own");
  }
  return name;
}

void translate_rules(TranslateContext& context, const MongoRules& rules, MongoRulesSpec& spec) {
  std::set<std::string> seen;
  for (const MongoRules::Rule& rule : rules.rules()) {
    MongoRuleSpec one;
    one.name = translate_name(context, rule, seen);
    if (rule.action() == MongoRules::ACTION_UNSPECIFIED)
      context.missing(rule, MongoRules::Rule::kActionFieldNumber, "is required", "ALLOW or DENY");
    one.action = rule.action() == MongoRules::ALLOW ? MongoRuleAction::allow : MongoRuleAction::deny;
    one.match = translate_match(context, rule.match());
    spec.rules.push_back(std::move(one));
  }
  if (rules.default_action() == MongoRules::DENY) spec.default_action = MongoRuleAction::deny;
}

void translate_abort(TranslateContext& context, const MongoRules::Fault& fault, MongoFaultSpec& spec) {
  using Fault = MongoRules::Fault;
  if (fault.abort_case() == Fault::kClose) {
    if (fault.close()) spec.abort = MongoFaultSpec::Abort::close;
  } else if (fault.abort_case() == Fault::kError) {
    const MongoRules::ErrorReply& error = fault.error();
    spec.abort = MongoFaultSpec::Abort::error;
    spec.code = error.code();
    if (spec.code <= 0) context.fail(error, MongoRules::ErrorReply::kCodeFieldNumber, "needs a number above 0", "for example 11600");
    spec.code_name = error.code_name().empty() ? std::string(mongo_code_name(spec.code)) : error.code_name();
    if (spec.code_name.empty()) spec.code_name = fmt::format("Location{}", spec.code);
    spec.message = error.message().empty() ? fmt::format("ringside: fault \"{}\" of the proxy, on purpose", spec.name) : error.message();
  }
  if (spec.abort == MongoFaultSpec::Abort::none && !fault.has_fixed_delay())
    context.missing(fault, 0, "does nothing", "set fixed_delay, error or close");
}

void translate_faults(TranslateContext& context, const MongoRules& rules, MongoRulesSpec& spec) {
  using Fault = MongoRules::Fault;
  std::set<std::string> seen;
  for (const Fault& fault : rules.faults()) {
    MongoFaultSpec one;
    one.name = translate_name(context, fault, seen);
    one.match = translate_match(context, fault.match());
    if (!fault.has_percentage())
      context.missing(fault, Fault::kPercentageFieldNumber, "is required", "{numerator: 100} for all that match");
    one.part = translate_fraction(fault.percentage());
    context.duration(fault, Fault::kFixedDelayFieldNumber, one.delay, {.value = milliseconds(1)});
    translate_abort(context, fault, one);
    spec.faults.push_back(std::move(one));
  }
}

// "host:port", as drivers take it.
void check_host(TranslateContext& context, const google::protobuf::Message& message, int number, std::string_view host) {
  const size_t colon = host.rfind(':');
  const std::string_view port = colon == host.npos ? std::string_view() : host.substr(colon + 1);
  const bool digits = !port.empty() && port.size() <= 5 && std::all_of(port.begin(), port.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (colon == 0 || !digits)
    context.fail(message, number, fmt::format("\"{}\" is not host:port", host), "drivers need both, for example db.example:27017");
}

void translate_hello(TranslateContext& context, const MongoRules::HelloRewrite& rewrite, MongoRulesSpec& spec) {
  using Rewrite = MongoRules::HelloRewrite;
  spec.hello_rewrite.emplace();
  spec.hello_rewrite->address = rewrite.address();
  if (!rewrite.address().empty()) check_host(context, rewrite, Rewrite::kAddressFieldNumber, rewrite.address());
  for (const Rewrite::Host& host : rewrite.hosts()) {
    check_host(context, host, Rewrite::Host::kMemberFieldNumber, host.member());
    check_host(context, host, Rewrite::Host::kAddressFieldNumber, host.address());
    spec.hello_rewrite->hosts.emplace_back(host.member(), host.address());
  }
}

void translate_slow(TranslateContext& context, const MongoRules::SlowQuery& slow, MongoRulesSpec& spec) {
  using Slow = MongoRules::SlowQuery;
  MongoSlowSpec& into = spec.slow_query.emplace();
  if (!slow.has_threshold()) context.missing(slow, Slow::kThresholdFieldNumber, "is required", "for example 0.1s");
  context.duration(slow, Slow::kThresholdFieldNumber, into.threshold);
  into.path = slow.path();
  if (into.path.empty()) context.missing(slow, Slow::kPathFieldNumber, "is required", "a file, or /dev/stdout");
  context.number(slow, Slow::kShapeBytesMaxFieldNumber, into.shape_bytes_max, {.min = 64, .max = 16384});
  if (slow.has_sample()) into.sample = translate_fraction(slow.sample());
}

void translate_limits(TranslateContext& context, const MongoRules& rules, MongoRulesSpec& spec, MongoSpec& into) {
  context.number(rules, MongoRules::kJudgeBytesMaxFieldNumber, spec.judge_bytes_max, {.min = 4096, .max = 48'000'000});
  context.number(rules, MongoRules::kMessageBytesMaxFieldNumber, spec.message_bytes_max, {.min = 4096, .max = 256 * 1024 * 1024});
  context.number(rules, MongoRules::kStatNamesMaxFieldNumber, into.names_max, {.min = 1, .max = 100'000});
  if (rules.on_malformed() != MongoRules::RELAY) return;
  into.relay_malformed = true;
  const bool acts = spec.judges() || !spec.faults.empty() || spec.hello_rewrite || spec.strips_compression || spec.slow_query ||
                    rules.has_message_bytes_max();
  if (acts)
    context.fail(rules, MongoRules::kOnMalformedFieldNumber, "RELAY would let pass what nothing else here has seen",
                 "leave it at CLOSE, or have no rules, faults, rewriting, slow-query log and message_bytes_max");
}

}  // namespace

void translate_mongo_rules(TranslateContext& context, const MongoRules& rules, MongoSpec& into) {
  auto spec = std::make_shared<MongoRulesSpec>();
  spec->read_only = rules.read_only();
  spec->deny_javascript = rules.deny_javascript();
  spec->forwards_unknown = rules.unknown_commands() == MongoRules::FORWARD;
  spec->forwards_undecodable = rules.undecodable() == MongoRules::FORWARD;
  spec->strips_compression = rules.compression() == MongoRules::STRIP;
  translate_rules(context, rules, *spec);
  translate_faults(context, rules, *spec);
  if (rules.has_hello_rewrite()) translate_hello(context, rules.hello_rewrite(), *spec);
  if (rules.has_slow_query()) translate_slow(context, rules.slow_query(), *spec);
  translate_limits(context, rules, *spec, into);
  // Nobody judges then, and what is malformed may pass.
  if (!into.relay_malformed) into.rules = std::move(spec);
}

}  // namespace ringside
