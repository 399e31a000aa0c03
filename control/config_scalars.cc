#include "control/config_scalars.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>

namespace ringside {

namespace {

// Protobuf's limit for durations: about 10,000 years.
constexpr int64_t duration_seconds_max = 315'576'000'000;
constexpr size_t quoted_bytes_max = 120;

std::unexpected<ScalarProblem> problem(std::string what, std::string help = {}) {
  return std::unexpected(ScalarProblem{std::move(what), std::move(help)});
}

struct Integer {
  bool negative = false;
  uint64_t magnitude = 0;
};

enum class IntegerFault : uint8_t { none, no_number, leading_zero, too_large };

IntegerFault parse_digits(std::string_view text, int base, uint64_t& out) {
  if (text.empty()) return IntegerFault::no_number;
  const auto done = std::from_chars(text.data(), text.data() + text.size(), out, base);
  if (done.ptr != text.data() + text.size() || done.ec == std::errc::invalid_argument) return IntegerFault::no_number;
  return done.ec == std::errc::result_out_of_range ? IntegerFault::too_large : IntegerFault::none;
}

std::optional<double> parse_double(std::string_view text) {
  if (text.starts_with('+')) text.remove_prefix(1);
  double value = 0;
  const auto done = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || done.ec != std::errc() || done.ptr != text.data() + text.size()) return std::nullopt;
  return value;
}

IntegerFault parse_integer(std::string_view text, Integer& out) {
  std::string_view digits = text;
  if (digits.starts_with('-') || digits.starts_with('+')) {
    out.negative = digits[0] == '-';
    digits.remove_prefix(1);
  }
  if (digits.starts_with("0x") || digits.starts_with("0X")) return parse_digits(digits.substr(2), 16, out.magnitude);
  if (digits.starts_with("0o")) return parse_digits(digits.substr(2), 8, out.magnitude);
  const IntegerFault fault = parse_digits(digits, 10, out.magnitude);
  if (fault == IntegerFault::none && digits.size() > 1 && digits[0] == '0') return IntegerFault::leading_zero;
  if (fault != IntegerFault::no_number) return fault;

  // 1.0 and 1e3 are whole numbers too; up to 2^53 a double holds them exactly.
  const auto value = parse_double(digits);
  if (!value || *value != std::floor(*value) || digits[0] == '-') return IntegerFault::no_number;
  if (*value > 9007199254740992.0) return IntegerFault::too_large;
  out.magnitude = static_cast<uint64_t>(*value);
  return IntegerFault::none;
}

Scalar<Integer> checked_integer(const ConfigNode& node) {
  Integer value;
  switch (parse_integer(node.text, value)) {
    case IntegerFault::none: return value;
    case IntegerFault::leading_zero:
      return problem(fmt::format("{} has a leading zero, write {} for decimal or 0o{} for octal", quoted(node.text),
                                 value.magnitude, value.magnitude));
    case IntegerFault::too_large: return problem(fmt::format("{} is too large", quoted(node.text)));
    case IntegerFault::no_number: break;
  }
  return problem(fmt::format("expected a whole number, found {}", quoted(node.text)));
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return out;
}

// "250ms", "5 min" and the like in seconds; nothing when it is none of these.
std::string in_seconds(std::string_view text) {
  struct Unit {
    std::string_view name;
    double seconds;
  };
  static constexpr auto units = std::to_array<Unit>({{"ns", 1e-9},
                                                     {"us", 1e-6},
                                                     {"ms", 1e-3},
                                                     {"s", 1},
                                                     {"sec", 1},
                                                     {"m", 60},
                                                     {"min", 60},
                                                     {"h", 3600},
                                                     {"hour", 3600},
                                                     {"hours", 3600},
                                                     {"d", 86400}});
  const size_t end = text.find_last_of("0123456789.") + 1;
  const auto number = parse_double(text.substr(0, end));
  std::string_view name = text.substr(end);
  while (name.starts_with(' ')) name.remove_prefix(1);
  for (const Unit& unit : units) {
    if (number && name == unit.name) return fmt::format("{:.9g}s", *number * unit.seconds);
  }
  return {};
}

std::unexpected<ScalarProblem> bad_duration(std::string_view text) {
  const std::string better = in_seconds(text);
  return problem(fmt::format("expected a duration such as 1.5s, found {}{}", quoted(text),
                             better.empty() || better == text ? "" : fmt::format(", did you mean \"{}\"?", better)),
                 "the only unit is s; fractions have up to nine digits");
}

int base64_value(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+' || c == '-') return 62;
  if (c == '/' || c == '_') return 63;
  return -1;
}

}  // namespace

std::string quoted(std::string_view text) {
  if (text.size() <= quoted_bytes_max) return fmt::format("\"{}\"", text);
  size_t end = quoted_bytes_max;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return fmt::format("\"{}...\"", text.substr(0, end));
}

Scalar<bool> scalar_bool(const ConfigNode& node) {
  if (node.plain) {
    const std::string text = lower(node.text);
    for (const std::string_view word : {"true", "yes", "on", "y"}) {
      if (text == word) return true;
    }
    for (const std::string_view word : {"false", "no", "off", "n"}) {
      if (text == word) return false;
    }
  } else if (node.text == "true" || node.text == "false") {
    return node.text == "true";
  }
  return problem(fmt::format("expected true or false, found {}", quoted(node.text)));
}

Scalar<int64_t> scalar_signed(const ConfigNode& node, int64_t min, int64_t max) {
  const auto value = checked_integer(node);
  if (!value) return std::unexpected(value.error());
  // The magnitude of the smallest int64 is one more than that of the largest; negate without overflow.
  const uint64_t limit = value->negative ? ~static_cast<uint64_t>(min) + 1 : static_cast<uint64_t>(max);
  if (value->magnitude > limit) return problem(fmt::format("{} is not within {} to {}", node.text, min, max));
  return static_cast<int64_t>(value->negative ? ~value->magnitude + 1 : value->magnitude);
}

Scalar<uint64_t> scalar_unsigned(const ConfigNode& node, uint64_t max) {
  const auto value = checked_integer(node);
  if (!value) return std::unexpected(value.error());
  if ((value->negative && value->magnitude != 0) || value->magnitude > max) {
    return problem(fmt::format("{} is not within 0 to {}", node.text, max));
  }
  return value->magnitude;
}

Scalar<double> scalar_double(const ConfigNode& node) {
  const auto value = parse_double(node.text);
  if (!value) return problem(fmt::format("expected a number, found {}", quoted(node.text)));
  return *value;
}

Scalar<std::string> scalar_bytes(const ConfigNode& node) {
  std::string_view text = node.text;
  while (text.ends_with('=')) text.remove_suffix(1);
  std::string out;
  out.reserve(text.size() * 3 / 4);
  uint32_t bits = 0;
  int held = 0;
  for (const char c : text) {
    const int value = base64_value(c);
    if (value < 0) return problem("expected base64", fmt::format("'{}' is not a character of base64", c));
    bits = (bits << 6) | static_cast<uint32_t>(value);
    held += 6;
    if (held >= 8) {
      held -= 8;
      out += static_cast<char>((bits >> held) & 0xff);
    }
  }
  if (held == 6) return problem("expected base64", "its length cannot be right");
  return out;
}

Scalar<DurationText> scalar_duration(const ConfigNode& node) {
  std::string_view text = node.text;
  if (parse_double(text)) {
    return problem(fmt::format("a duration needs its unit, use \"{}s\"", text),
                   "seconds are the only unit: 250 ms is 0.25s");
  }
  const bool seconds_only = text.ends_with('s') && parse_double(text.substr(0, text.size() - 1)).has_value();
  if (!seconds_only) return bad_duration(text);
  text.remove_suffix(1);
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  const size_t dot = std::min(text.find('.'), text.size());
  DurationText out;
  const std::string_view whole = text.substr(0, dot), fraction = dot < text.size() ? text.substr(dot + 1) : "";
  uint64_t seconds = 0, nanos = 0;
  const IntegerFault fault = parse_digits(whole, 10, seconds);
  if (fault == IntegerFault::too_large || seconds > static_cast<uint64_t>(duration_seconds_max)) {
    return problem(fmt::format("{} is too long a time", quoted(node.text)));
  }
  std::string nine(fraction);
  nine.resize(9, '0');
  if (fault != IntegerFault::none || fraction.size() > 9 || text.ends_with('.') ||
      parse_digits(nine, 10, nanos) != IntegerFault::none) {
    return bad_duration(node.text);
  }
  out.seconds = static_cast<int64_t>(seconds) * (negative ? -1 : 1);
  out.nanos = static_cast<int32_t>(nanos) * (negative ? -1 : 1);
  return out;
}

}  // namespace ringside
