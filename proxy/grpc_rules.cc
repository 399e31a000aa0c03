#include "proxy/grpc_rules.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace ringside {
namespace {

constexpr std::string_view content_type = "application/grpc";
constexpr uint64_t timeout_value_max = 99'999'999;
constexpr int64_t hours_max = 1'000'000;  // a Duration holds no more than 2.5 times that

bool is_plain(char c) { return c >= ' ' && c < '~' && c != '%'; }

std::string_view percent_encoded(std::string_view text, Arena& arena) {
  const auto odd = static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) { return !is_plain(c); }));
  if (odd == 0) return arena.copy(text);
  constexpr char digits[] = "0123456789ABCDEF";
  const size_t size = text.size() + 2 * odd;
  char* const out = arena.allocate_text(size);
  char* at = out;
  for (const char c : text) {
    if (is_plain(c)) {
      *at++ = c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    *at++ = '%';
    *at++ = digits[byte >> 4];
    *at++ = digits[byte & 15];
  }
  return {out, size};
}

// The whole of `text` as a number.
std::optional<uint64_t> number_of(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || text.empty() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

bool is_grpc_request(const Head& head) {
  const std::string_view type = head.fields.value(HeaderId::content_type);
  return type.starts_with(content_type) && (type.size() == content_type.size() || type[content_type.size()] == '+');
}

GrpcStatus grpc_status_of_http(uint16_t status) {
  switch (status) {
    case 400: return GrpcStatus::internal;
    case 401: return GrpcStatus::unauthenticated;
    case 403: return GrpcStatus::permission_denied;
    case 404: return GrpcStatus::unimplemented;
    case 429:
    case 502:
    case 503:
    case 504: return GrpcStatus::unavailable;
    default: return GrpcStatus::unknown;
  }
}

std::optional<GrpcStatus> grpc_status_of(const HeaderMap& fields) {
  const std::optional<uint64_t> number = number_of(fields.value(HeaderId::grpc_status));
  if (!number || *number >= static_cast<uint64_t>(GrpcStatus::count_)) return std::nullopt;
  return static_cast<GrpcStatus>(*number);
}

void set_grpc_status(HeaderMap& fields, GrpcStatus status) {
  constexpr std::array<std::string_view, static_cast<size_t>(GrpcStatus::count_)> numbers = {
      "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16"};
  fields.set(HeaderId::grpc_status, numbers[static_cast<size_t>(status)]);
}

void set_grpc_message(HeaderMap& fields, std::string_view text) { fields.set("grpc-message", percent_encoded(text, fields.arena())); }

void set_grpc_answer(Head& head, GrpcStatus status, std::string_view text) {
  head.status = 200;
  head.fields.add(HeaderId::content_type, content_type);
  set_grpc_status(head.fields, status);
  if (!text.empty()) set_grpc_message(head.fields, text);
}

std::optional<Duration> grpc_timeout_of(const HeaderMap& fields) {
  const std::string_view text = fields.value(HeaderId::grpc_timeout);
  if (text.empty()) return std::nullopt;
  const std::optional<uint64_t> value = number_of(text.substr(0, text.size() - 1));
  if (!value || *value > timeout_value_max) return std::nullopt;
  const auto count = static_cast<int64_t>(*value);
  switch (text.back()) {
    case 'H': return hours(std::min<int64_t>(count, hours_max));
    case 'M': return minutes(count);
    case 'S': return seconds(count);
    case 'm': return milliseconds(count);
    case 'u': return milliseconds((count + 999) / 1000);
    case 'n': return milliseconds((count + 999'999) / 1'000'000);
    default: return std::nullopt;
  }
}

void set_grpc_timeout(HeaderMap& fields, Duration timeout) {
  auto value = static_cast<uint64_t>(std::max<int64_t>(timeout / milliseconds(1), 0));
  constexpr std::string_view units = "mSMH";
  constexpr std::array<uint64_t, 4> divisors = {1, 1000, 60, 60};  // from the unit before
  size_t unit = 0;
  while (value > timeout_value_max && unit + 1 < units.size()) value /= divisors[++unit];
  value = std::min(value, timeout_value_max);
  constexpr size_t bytes_max = 9;
  char* const out = fields.arena().allocate_text(bytes_max);
  char* const end = std::to_chars(out, out + bytes_max, value).ptr;
  *end = units[unit];
  fields.set(HeaderId::grpc_timeout, {out, static_cast<size_t>(end - out) + 1});
}

}  // namespace ringside
