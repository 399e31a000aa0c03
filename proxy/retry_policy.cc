#include "proxy/retry_policy.h"

#include <algorithm>
#include <charconv>

#include "codecs/ascii.h"
#include "proxy/grpc_rules.h"
#include "proxy/header_match.h"

namespace ringside {
namespace {

std::string_view trim(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

// Calls `visit` with each word of a comma-separated list until it returns true.
template <class Visit>
bool any_word(std::string_view list, Visit visit) {
  while (!list.empty()) {
    const size_t comma = list.find(',');
    const std::string_view word = trim(list.substr(0, comma));
    if (!word.empty() && visit(word)) return true;
    list = comma == list.npos ? std::string_view{} : list.substr(comma + 1);
  }
  return false;
}

std::optional<uint32_t> number_of(std::string_view text) {
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || text.empty() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

enum class Words : bool { http, grpc };

// A client's words of the other kind mean nothing, as those that nobody knows.
void add_words(std::string_view list, Words kind, RetryConditions& into) {
  any_word(list, [&](std::string_view word) {
    const std::optional<RetryOn> condition = retry_condition(word);
    if (condition && (*condition >= first_grpc_retry_on) == (kind == Words::grpc)) into.add(*condition);
    return false;
  });
}

std::optional<Duration> asked_by(const RetryResetHeaderSpec& spec, const HeaderMap& fields, WallTime now) {
  const HeaderField* const field = fields.find(spec.name);
  if (field == nullptr) return std::nullopt;
  const std::optional<uint32_t> number = number_of(trim(field->value()));
  if (!number) return std::nullopt;
  if (spec.format == RetryResetHeaderSpec::Format::in_seconds) return seconds(*number);
  const Duration wait = seconds(*number) - now.time_since_epoch();
  if (wait < Duration::zero()) return std::nullopt;
  return wait;
}

}  // namespace

RetryRules::RetryRules(const RetryPolicySpec* policy, const RouterWishes& wishes, const HeaderMap& request)
    : policy_(policy), retries_max_(1), wished_codes_(wishes.status_codes), wished_headers_(wishes.header_names) {
  if (policy != nullptr) {
    conditions_ = policy->conditions;
    retries_max_ = policy->retries_max;
  }
  add_words(wishes.retry_on, Words::http, conditions_);
  add_words(wishes.retry_grpc_on, Words::grpc, conditions_);
  if (policy != nullptr && !policy->request_headers.empty()) {
    const auto holds = [&](const HeaderMatchSpec& spec) { return matches(spec, request); };
    if (std::none_of(policy->request_headers.begin(), policy->request_headers.end(), holds)) conditions_ = {};
  }
  if (any()) retries_max_ = number_of(wishes.retries_max).value_or(retries_max_);
}

// --- conditions --------------------------------------------------------------------------------------------------------

bool RetryRules::after_response(uint16_t status, const HeaderMap& fields) const {
  // It comes from a proxy like us: to insist is no help.
  if (fields.find("x-envoy-ratelimited") != nullptr) return conditions_.has(RetryOn::ratelimited);
  if (conditions_.has(RetryOn::server_error) && status >= 500 && status < 600) return true;
  if (conditions_.has(RetryOn::gateway_error) && status >= 502 && status <= 504) return true;
  if (conditions_.has(RetryOn::retriable_4xx) && status == 409) return true;
  if (conditions_.has(RetryOn::status_codes) && is_retriable_status(status)) return true;
  if (conditions_.has(RetryOn::headers) && has_retriable_header(fields)) return true;
  return is_retriable_grpc(fields);
}

bool RetryRules::is_retriable_status(uint16_t status) const {
  if (policy_ != nullptr && std::find(policy_->status_codes.begin(), policy_->status_codes.end(), status) != policy_->status_codes.end())
    return true;
  return any_word(wished_codes_, [&](std::string_view word) { return number_of(word) == status; });
}

bool RetryRules::has_retriable_header(const HeaderMap& fields) const {
  const auto holds = [&](const HeaderMatchSpec& spec) { return matches(spec, fields); };
  if (policy_ != nullptr && std::any_of(policy_->headers.begin(), policy_->headers.end(), holds)) return true;
  return any_word(wished_headers_, [&](std::string_view word) {
    return std::any_of(fields.begin(), fields.end(), [&](const HeaderField& field) { return equals_any_case(field.name(), word); });
  });
}

bool RetryRules::is_retriable_grpc(const HeaderMap& fields) const {
  constexpr std::pair<GrpcStatus, RetryOn> retriable[] = {{GrpcStatus::cancelled, RetryOn::cancelled},
                                                          {GrpcStatus::deadline_exceeded, RetryOn::deadline_exceeded},
                                                          {GrpcStatus::internal, RetryOn::internal},
                                                          {GrpcStatus::resource_exhausted, RetryOn::resource_exhausted},
                                                          {GrpcStatus::unavailable, RetryOn::unavailable}};
  const std::optional<GrpcStatus> status = grpc_status_of(fields);
  return std::any_of(std::begin(retriable), std::end(retriable),
                     [&](const auto& pair) { return status == pair.first && conditions_.has(pair.second); });
}

bool RetryRules::after_reset(AttemptEnd end, Request request) const {
  if (end == AttemptEnd::overflow) return false;
  if (conditions_.has(RetryOn::reset)) return true;
  if (conditions_.has(RetryOn::reset_before_request) && request == Request::waiting) return true;
  if (conditions_.has(RetryOn::server_error) || conditions_.has(RetryOn::gateway_error)) return true;
  if (end == AttemptEnd::refused_stream && conditions_.has(RetryOn::refused_stream)) return true;
  return end == AttemptEnd::connect_failure && conditions_.has(RetryOn::connect_failure);
}

// --- time --------------------------------------------------------------------------------------------------------------

std::optional<Duration> RetryRules::wait_asked(const HeaderMap& fields, WallTime now) const {
  if (policy_ == nullptr) return std::nullopt;
  for (const RetryResetHeaderSpec& spec : policy_->reset_headers) {
    const std::optional<Duration> wait = asked_by(spec, fields, now);
    if (wait && *wait <= policy_->reset_max && *wait > milliseconds(1)) return wait;
  }
  return std::nullopt;
}

Duration RetryRules::back_off(uint32_t number, uint64_t random) const {
  const Duration base = policy_ == nullptr ? milliseconds(25) : policy_->back_off_base;
  const Duration max = policy_ == nullptr ? milliseconds(250) : policy_->back_off_max;
  Duration interval = base;
  for (; number > 0 && interval < max; --number) interval *= 2;
  interval = std::min(interval, max);
  return Duration(static_cast<int64_t>(random % static_cast<uint64_t>(std::max<int64_t>(interval.count(), 1))));
}

}  // namespace ringside
