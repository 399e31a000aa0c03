#include "control/translate_retry.h"

#include <fmt/format.h>

#include <limits>
#include <string>

#include "control/translate_headers.h"
#include "previous_hosts.pb.h"

namespace ringside {

namespace {

namespace api = envoy::config::route::v3;
using api::RetryPolicy;
using envoy::extensions::retry::host::previous_hosts::v3::PreviousHostsPredicate;

constexpr std::string_view previous_hosts = "envoy.retry_host_predicates.previous_hosts";
constexpr Duration interval_min = milliseconds(1);
constexpr int back_off_max_of_base = 10;

// --- Conditions on fields ----------------------------------------------------------------------------------------------

void translate_string_match(TranslateContext& context, const envoy::type::matcher::v3::StringMatcher& matcher, HeaderMatchSpec& spec) {
  using Matcher = envoy::type::matcher::v3::StringMatcher;
  using How = HeaderMatchSpec::How;
  spec.ignore_case = matcher.ignore_case();
  switch (matcher.match_pattern_case()) {
    case Matcher::kExact: spec.how = How::exact, spec.text = matcher.exact(); break;
    case Matcher::kPrefix: spec.how = How::prefix, spec.text = matcher.prefix(); break;
    case Matcher::kSuffix: spec.how = How::suffix, spec.text = matcher.suffix(); break;
    case Matcher::kContains: spec.how = How::contains, spec.text = matcher.contains(); break;
    case Matcher::kSafeRegex:
      context.unsupported(matcher, Matcher::kSafeRegexFieldNumber, "a regular expression here", "supported: exact, prefix, suffix, contains");
      break;
    case Matcher::MATCH_PATTERN_NOT_SET: context.missing(matcher, 0, "needs exact, prefix, suffix or contains"); break;
  }
  if (spec.ignore_case) spec.text = lower_case(spec.text);
}

// --- Retry policy ------------------------------------------------------------------------------------------------------

// As Envoy, a word that means nothing is passed over; not in silence.
void translate_conditions(TranslateContext& context, const RetryPolicy& policy, RetryPolicySpec& spec) {
  std::string_view rest = policy.retry_on();
  while (!rest.empty()) {
    const size_t comma = rest.find(',');
    std::string_view word = rest.substr(0, comma);
    rest = comma == rest.npos ? std::string_view() : rest.substr(comma + 1);
    while (word.starts_with(' ')) word.remove_prefix(1);
    while (word.ends_with(' ')) word.remove_suffix(1);
    if (word.empty()) continue;
    if (const auto condition = retry_condition(word)) {
      spec.conditions.add(*condition);
    } else {
      context.warn(policy, RetryPolicy::kRetryOnFieldNumber, fmt::format("\"{}\" is no condition: it is never met", word),
                   "status codes are retriable-status-codes, with retriable_status_codes");
    }
  }
}

void translate_hosts(TranslateContext& context, const RetryPolicy& policy, RetryPolicySpec& spec) {
  for (const RetryPolicy::RetryHostPredicate& predicate : policy.retry_host_predicate()) {
    const bool by_type = context.typed<PreviousHostsPredicate>(predicate.typed_config()) != nullptr;
    const bool by_name = !predicate.has_typed_config() && predicate.name() == previous_hosts;
    if (by_type || by_name) {
      spec.avoids_previous_hosts = true;
    } else if (!predicate.has_typed_config()) {
      context.unsupported(predicate, RetryPolicy::RetryHostPredicate::kNameFieldNumber, fmt::format("\"{}\"", predicate.name()),
                          fmt::format("supported: {}", previous_hosts));
    }
  }
  const int64_t attempts = policy.host_selection_retry_max_attempts();
  if (attempts < 0 || attempts > std::numeric_limits<uint16_t>::max()) {
    context.fail(policy, RetryPolicy::kHostSelectionRetryMaxAttemptsFieldNumber,
                 fmt::format("must be within 0 to {}", std::numeric_limits<uint16_t>::max()));
  } else if (attempts > 0) {
    spec.host_attempts_max = static_cast<uint32_t>(attempts);
  }
}

void translate_back_off(TranslateContext& context, const RetryPolicy::RetryBackOff& back_off, RetryPolicySpec& spec) {
  using BackOff = RetryPolicy::RetryBackOff;
  if (!back_off.has_base_interval()) context.missing(back_off, BackOff::kBaseIntervalFieldNumber);
  context.duration(back_off, BackOff::kBaseIntervalFieldNumber, spec.back_off_base, {.bound = DurationFloor::Bound::above});
  spec.back_off_base = std::max(spec.back_off_base, interval_min);
  spec.back_off_max = spec.back_off_base * back_off_max_of_base;
  context.duration(back_off, BackOff::kMaxIntervalFieldNumber, spec.back_off_max, {.bound = DurationFloor::Bound::above});
  if (spec.back_off_max < spec.back_off_base)
    context.fail(back_off, BackOff::kMaxIntervalFieldNumber, "must not be less than base_interval");
}

void translate_rate_limited(TranslateContext& context, const RetryPolicy::RateLimitedRetryBackOff& back_off, RetryPolicySpec& spec) {
  using BackOff = RetryPolicy::RateLimitedRetryBackOff;
  if (back_off.reset_headers().empty()) context.missing(back_off, BackOff::kResetHeadersFieldNumber, "needs at least one");
  for (const RetryPolicy::ResetHeader& header : back_off.reset_headers()) {
    if (header.name().empty()) context.missing(header, RetryPolicy::ResetHeader::kNameFieldNumber);
    const bool is_time = header.format() == RetryPolicy::UNIX_TIMESTAMP;
    spec.reset_headers.push_back({.name = lower_case(header.name()),
                                  .format = is_time ? RetryResetHeaderSpec::Format::unix_timestamp : RetryResetHeaderSpec::Format::in_seconds});
  }
  context.duration(back_off, BackOff::kMaxIntervalFieldNumber, spec.reset_max, {.bound = DurationFloor::Bound::above});
}

}  // namespace

HeaderMatchSpec translate_header_match(TranslateContext& context, const api::HeaderMatcher& matcher) {
  using Matcher = api::HeaderMatcher;
  using How = HeaderMatchSpec::How;
  HeaderMatchSpec spec;
  spec.name = lower_case(matcher.name());
  spec.invert = matcher.invert_match();
  spec.missing_is_empty = matcher.treat_missing_header_as_empty();
  if (spec.name.empty()) context.missing(matcher, Matcher::kNameFieldNumber);
  if (spec.name.starts_with(':'))
    context.unsupported(matcher, Matcher::kNameFieldNumber, fmt::format("\"{}\" here", spec.name), "names of header fields only");
  switch (matcher.header_match_specifier_case()) {
    case Matcher::kExactMatch: spec.how = How::exact, spec.text = matcher.exact_match(); break;
    case Matcher::kPrefixMatch: spec.how = How::prefix, spec.text = matcher.prefix_match(); break;
    case Matcher::kSuffixMatch: spec.how = How::suffix, spec.text = matcher.suffix_match(); break;
    case Matcher::kContainsMatch: spec.how = How::contains, spec.text = matcher.contains_match(); break;
    case Matcher::kRangeMatch:
      spec.how = How::range;
      spec.range_start = matcher.range_match().start();
      spec.range_end = matcher.range_match().end();
      break;
    case Matcher::kPresentMatch:
      spec.how = How::present;
      spec.invert = spec.invert != !matcher.present_match();
      break;
    case Matcher::kStringMatch: translate_string_match(context, matcher.string_match(), spec); break;
    case Matcher::HEADER_MATCH_SPECIFIER_NOT_SET: break;  // that it is there
  }
  return spec;
}

std::shared_ptr<const RetryPolicySpec> translate_retry_policy(TranslateContext& context, const RetryPolicy& policy) {
  auto spec = std::make_shared<RetryPolicySpec>();
  translate_conditions(context, policy, *spec);
  context.number(policy, RetryPolicy::kNumRetriesFieldNumber, spec->retries_max);
  context.duration(policy, RetryPolicy::kPerTryTimeoutFieldNumber, spec->per_try_timeout);
  context.duration(policy, RetryPolicy::kPerTryIdleTimeoutFieldNumber, spec->per_try_idle_timeout);
  translate_hosts(context, policy, *spec);
  spec->status_codes.assign(policy.retriable_status_codes().begin(), policy.retriable_status_codes().end());
  if (policy.has_retry_back_off()) translate_back_off(context, policy.retry_back_off(), *spec);
  if (policy.has_rate_limited_retry_back_off()) translate_rate_limited(context, policy.rate_limited_retry_back_off(), *spec);
  for (const api::HeaderMatcher& matcher : policy.retriable_headers()) spec->headers.push_back(translate_header_match(context, matcher));
  for (const api::HeaderMatcher& matcher : policy.retriable_request_headers())
    spec->request_headers.push_back(translate_header_match(context, matcher));
  return spec;
}

}  // namespace ringside
