#include "control/translate_headers.h"

#include <fmt/format.h>

#include <algorithm>

namespace ringside {

namespace {

using envoy::config::core::v3::HeaderValue;
using envoy::config::core::v3::HeaderValueOption;

// What is wrong with changing a header of this name; empty when nothing is.
std::string name_problem(std::string_view name) {
  if (name.starts_with(':')) return fmt::format("\"{}\" is not a header that can be changed", name);
  if (lower_case(name) == "host") return "\"host\" is not a header that can be changed, use host_rewrite_literal";
  if (!is_token(name)) return fmt::format("\"{}\" is not a name of a header", name);
  return {};
}

// A value is a format as an access log has it; what cannot be read as one is reported.
void check_value(TranslateContext& context, const HeaderValue& header) {
  if (!is_header_value(header.value())) {
    context.fail(header, HeaderValue::kValueFieldNumber,
                 "a header's value may not contain line ends or control characters");
  }
  const auto check = context.options().check_access_log_format;
  if (check == nullptr || header.value().find('%') == std::string::npos) return;
  const std::string wrong = check(header.value());
  if (!wrong.empty()) context.fail(header, HeaderValue::kValueFieldNumber, wrong, "a per cent sign is written %%");
}

HeaderAppend append_of(TranslateContext& context, const HeaderValueOption& option) {
  if (option.has_append()) {
    if (option.append_action() != HeaderValueOption::APPEND_IF_EXISTS_OR_ADD) {
      context.fail(option, HeaderValueOption::kAppendFieldNumber, "append and append_action exclude each other",
                   "append is the older form: keep append_action");
    }
    return option.append().value() ? HeaderAppend::append_if_exists_or_add : HeaderAppend::overwrite_if_exists_or_add;
  }
  switch (option.append_action()) {
    case HeaderValueOption::ADD_IF_ABSENT: return HeaderAppend::add_if_absent;
    case HeaderValueOption::OVERWRITE_IF_EXISTS_OR_ADD: return HeaderAppend::overwrite_if_exists_or_add;
    case HeaderValueOption::OVERWRITE_IF_EXISTS: return HeaderAppend::overwrite_if_exists;
    default: return HeaderAppend::append_if_exists_or_add;
  }
}

}  // namespace

bool is_token(std::string_view text) {
  constexpr std::string_view marks = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || marks.find(c) != marks.npos;
  });
}

std::string lower_case(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return out;
}

bool is_header_value(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f) || c == '\t'; });
}

std::vector<HeaderValueSpec> translate_headers_to_add(
    TranslateContext& context, const google::protobuf::RepeatedPtrField<HeaderValueOption>& options) {
  std::vector<HeaderValueSpec> specs;
  specs.reserve(static_cast<size_t>(options.size()));
  for (const HeaderValueOption& option : options) {
    const HeaderValue& header = option.header();
    if (!option.has_header()) {
      context.missing(option, HeaderValueOption::kHeaderFieldNumber);
      continue;
    }
    if (header.key().empty()) {
      context.missing(header, HeaderValue::kKeyFieldNumber);
    } else if (const std::string wrong = name_problem(header.key()); !wrong.empty()) {
      context.fail(header, HeaderValue::kKeyFieldNumber, wrong);
    }
    check_value(context, header);
    if (header.value().empty() && !option.keep_empty_value()) continue;
    specs.push_back({.name = lower_case(header.key()), .value = header.value(), .append = append_of(context, option)});
  }
  return specs;
}

std::vector<std::string> translate_headers_to_remove(TranslateContext& context, const google::protobuf::Message& parent,
                                                     int number,
                                                     const google::protobuf::RepeatedPtrField<std::string>& names) {
  std::vector<std::string> specs;
  for (int i = 0; i < names.size(); ++i) {
    const std::string wrong = name_problem(names[i]);
    if (!wrong.empty()) context.fail(parent, number, wrong, {}, i);
    specs.push_back(lower_case(names[i]));
  }
  return specs;
}

}  // namespace ringside
