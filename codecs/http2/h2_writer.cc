#include "codecs/http2/h2_writer.h"

#include <array>
#include <cstring>

#include "codecs/header_rules.h"
#include "codecs/http_text.h"

namespace ringside {
namespace {

// te has one value that it may have, and is looked at.
constexpr HeaderIdSet never_written = (hop_by_hop_headers | header_ids({HeaderId::host})) & ~header_ids({HeaderId::te});
constexpr HeaderIdSet not_in_trailers =
    hop_by_hop_headers | header_ids({HeaderId::host, HeaderId::content_length, HeaderId::trailer, HeaderId::expect,
                                     HeaderId::content_encoding, HeaderId::content_type});

constexpr uint16_t status_first = 100;
constexpr uint16_t status_last = 999;
constexpr std::array<char, 3 * (status_last - status_first + 1)> status_digits = [] {
  std::array<char, 3 * (status_last - status_first + 1)> digits{};
  for (size_t status = status_first, at = 0; status <= status_last; ++status) {
    digits[at++] = static_cast<char>('0' + status / 100);
    digits[at++] = static_cast<char>('0' + status / 10 % 10);
    digits[at++] = static_cast<char>('0' + status % 10);
  }
  return digits;
}();

bool is_lower_token(std::string_view name) {
  if (!http::is_token(name)) return false;
  for (const char c : name)
    if (c >= 'A' && c <= 'Z') return false;
  return true;
}

std::string_view trimmed(std::string_view value) { return http::trim(value); }

const char* list_field(std::string_view name, HeaderId id, std::string_view value, HpackFields& fields) {
  if (id == HeaderId::other && !is_lower_token(name)) return "field name that cannot be sent";
  if (!http::is_field_value(value)) return "field value that cannot be sent";
  fields.add(name, trimmed(value));
  return nullptr;
}

H2Listed list_fields(const HeaderMap& map, HpackFields& fields) {
  H2Listed listed;
  for (const HeaderField& field : map) {
    if (contains(never_written, field.id())) continue;
    if (field.id() == HeaderId::te && field.value() != "trailers") continue;
    if (field.id() == HeaderId::content_length) {
      uint64_t length = 0;
      if (listed.length.has_value() || !http::parse_content_length(field.value(), length)) {
        listed.wrong = "message with a wrong content-length";
        return listed;
      }
      listed.length = length;
    }
    listed.wrong = list_field(field.name(), field.id(), field.value(), fields);
    if (listed.wrong != nullptr) return listed;
  }
  return listed;
}

constexpr H2Listed refused(const char* why) { return {why, std::nullopt}; }

}  // namespace

H2Listed list_request(const Head& head, HpackFields& fields) {
  fields.clear();
  if (!http::is_token(head.method)) return refused("method that cannot be sent");
  if (!http::is_visible(head.authority)) return refused("authority that cannot be sent");
  const bool extended = head.upgrade && !head.upgrade_protocol.empty();  // RFC 8441 4
  const bool plain_connect = head.method == "CONNECT" && !extended;
  if (plain_connect && head.authority.empty()) return refused("CONNECT without authority");
  fields.add(":method", extended ? std::string_view("CONNECT") : head.method);
  if (!plain_connect) {
    const bool good_path = head.path.starts_with('/') || head.path == "*";
    if (!good_path || !http::is_visible(head.path, '#')) return refused("path that cannot be sent");
    if (!http::is_visible(head.scheme)) return refused("scheme that cannot be sent");
    fields.add(":scheme", head.scheme.empty() ? std::string_view("http") : head.scheme);
    fields.add(":path", head.path);
  }
  if (!head.authority.empty()) fields.add(":authority", head.authority);
  if (extended) {
    if (!http::is_token(head.upgrade_protocol)) return refused("protocol that cannot be sent");
    fields.add(":protocol", head.upgrade_protocol);
  }
  return list_fields(head.fields, fields);
}

H2Listed list_response(const Head& head, HpackFields& fields) { return list_response(head, fields, head.status); }

H2Listed list_response(const Head& head, HpackFields& fields, uint16_t status) {
  fields.clear();
  if (status < status_first || status > status_last) return refused("status that cannot be sent");
  fields.add(":status", {status_digits.data() + 3 * (status - status_first), 3});
  return list_fields(head.fields, fields);
}

H2Listed list_trailers(const HeaderMap& trailers, HpackFields& fields) {
  fields.clear();
  H2Listed listed;
  for (const HeaderField& field : trailers) {
    if (contains(not_in_trailers, field.id())) continue;
    listed.wrong = list_field(field.name(), field.id(), field.value(), fields);
    if (listed.wrong != nullptr) return listed;
  }
  return listed;
}

void H2HeldTrailers::hold(const HeaderMap& trailers) {
  size_t size = 0;
  for (const HeaderField& field : trailers) size += sizeof(Sizes) + field.name().size() + field.value().size();
  text_ = std::make_unique<char[]>(size + 1);
  size_ = static_cast<uint32_t>(size);
  char* out = text_.get();
  for (const HeaderField& field : trailers) {
    const Sizes sizes{static_cast<uint32_t>(field.name().size()), static_cast<uint32_t>(field.value().size())};
    std::memcpy(out, &sizes, sizeof sizes);
    out = http::put(http::put(out + sizeof sizes, field.name()), field.value());
  }
}

H2Listed H2HeldTrailers::list(HpackFields& fields) const {
  fields.clear();
  H2Listed listed;
  const char* at = text_.get();
  const char* const end = at + size_;
  while (at < end) {
    Sizes sizes{};
    std::memcpy(&sizes, at, sizeof sizes);
    const std::string_view name{at + sizeof sizes, sizes.name};
    const std::string_view value{name.data() + name.size(), sizes.value};
    at = value.data() + value.size();
    const HeaderId id = header_id(name);
    if (contains(not_in_trailers, id)) continue;
    listed.wrong = list_field(name, id, value, fields);
    if (listed.wrong != nullptr) return listed;
  }
  return listed;
}

}  // namespace ringside
