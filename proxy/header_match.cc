#include "proxy/header_match.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "codecs/ascii.h"

namespace ringside {
namespace {

// All lines of a name as one value.
std::optional<std::string_view> value_of(const HeaderMap& fields, std::string_view name) {
  std::optional<std::string_view> value;
  for (const HeaderField& field : fields) {
    if (field.name() != name) continue;
    value = value.has_value() ? fields.arena().concat(*value, ",", field.value()) : field.value();
  }
  return value;
}

std::string_view lower_case_copy(std::string_view text, Arena& arena) {
  char* const out = arena.allocate_text(text.size());
  std::copy(text.begin(), text.end(), out);
  lower_in_place(out, text.size());
  return {out, text.size()};
}

bool is_within(std::string_view value, int64_t start, int64_t end) {
  int64_t number = 0;
  const auto [rest, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  return error == std::errc() && rest == value.data() + value.size() && start <= number && number < end;
}

bool holds(const HeaderMatchSpec& spec, std::string_view value) {
  switch (spec.how) {
    case HeaderMatchSpec::How::present: return true;
    case HeaderMatchSpec::How::exact: return value == spec.text;
    case HeaderMatchSpec::How::prefix: return value.starts_with(spec.text);
    case HeaderMatchSpec::How::suffix: return value.ends_with(spec.text);
    case HeaderMatchSpec::How::contains: return value.find(spec.text) != value.npos;
    case HeaderMatchSpec::How::range: return is_within(value, spec.range_start, spec.range_end);
  }
  return false;
}

}  // namespace

// As Envoy: a condition on the value of a field that is not there does not hold, inverted or not.
bool matches(const HeaderMatchSpec& spec, const HeaderMap& fields) {
  const std::optional<std::string_view> found = value_of(fields, spec.name);
  if (spec.how == HeaderMatchSpec::How::present) return (found.has_value() || spec.missing_is_empty) != spec.invert;
  if (!found && !spec.missing_is_empty) return false;
  std::string_view value = found.value_or(std::string_view{});
  if (spec.ignore_case) value = lower_case_copy(value, fields.arena());
  return holds(spec, value) != spec.invert;
}

}  // namespace ringside
