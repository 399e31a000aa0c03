#pragma once
// Ordered header fields in an Arena. Names are lower case (RFC 9113 8.2.1; Envoy does the same for HTTP/1) and well-known
// names carry an id, so that the proxy compares bytes only for names that it does not know.
#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "core/arena.h"

namespace ringside {

// clang-format off
#define RS_WELL_KNOWN_HEADERS(X) \
  X(accept, "accept") \
  X(accept_encoding, "accept-encoding") \
  X(authorization, "authorization") \
  X(cache_control, "cache-control") \
  X(connection, "connection") \
  X(content_encoding, "content-encoding") \
  X(content_length, "content-length") \
  X(content_type, "content-type") \
  X(cookie, "cookie") \
  X(date, "date") \
  X(etag, "etag") \
  X(expect, "expect") \
  X(grpc_status, "grpc-status") \
  X(grpc_timeout, "grpc-timeout") \
  X(host, "host") \
  X(http2_settings, "http2-settings") \
  X(keep_alive, "keep-alive") \
  X(last_modified, "last-modified") \
  X(location, "location") \
  X(origin, "origin") \
  X(proxy_authenticate, "proxy-authenticate") \
  X(proxy_connection, "proxy-connection") \
  X(referer, "referer") \
  X(server, "server") \
  X(set_cookie, "set-cookie") \
  X(te, "te") \
  X(trailer, "trailer") \
  X(transfer_encoding, "transfer-encoding") \
  X(upgrade, "upgrade") \
  X(user_agent, "user-agent") \
  X(vary, "vary") \
  X(via, "via") \
  X(x_client_trace_id, "x-client-trace-id") \
  X(x_envoy_attempt_count, "x-envoy-attempt-count") \
  X(x_envoy_decorator_operation, "x-envoy-decorator-operation") \
  X(x_envoy_downstream_service_cluster, "x-envoy-downstream-service-cluster") \
  X(x_envoy_downstream_service_node, "x-envoy-downstream-service-node") \
  X(x_envoy_expected_rq_timeout_ms, "x-envoy-expected-rq-timeout-ms") \
  X(x_envoy_external_address, "x-envoy-external-address") \
  X(x_envoy_force_trace, "x-envoy-force-trace") \
  X(x_envoy_immediate_health_check_fail, "x-envoy-immediate-health-check-fail") \
  X(x_envoy_internal, "x-envoy-internal") \
  X(x_envoy_ip_tags, "x-envoy-ip-tags") \
  X(x_envoy_max_retries, "x-envoy-max-retries") \
  X(x_envoy_original_path, "x-envoy-original-path") \
  X(x_envoy_overloaded, "x-envoy-overloaded") \
  X(x_envoy_retry_on, "x-envoy-retry-on") \
  X(x_envoy_upstream_rq_per_try_timeout_ms, "x-envoy-upstream-rq-per-try-timeout-ms") \
  X(x_envoy_upstream_rq_timeout_ms, "x-envoy-upstream-rq-timeout-ms") \
  X(x_envoy_upstream_service_time, "x-envoy-upstream-service-time") \
  X(x_forwarded_client_cert, "x-forwarded-client-cert") \
  X(x_forwarded_for, "x-forwarded-for") \
  X(x_forwarded_host, "x-forwarded-host") \
  X(x_forwarded_port, "x-forwarded-port") \
  X(x_forwarded_proto, "x-forwarded-proto") \
  X(x_request_id, "x-request-id")
// clang-format on

enum class HeaderId : uint8_t {
  other = 0,
#define RS_HEADER_ENUM(id, text) id,
  RS_WELL_KNOWN_HEADERS(RS_HEADER_ENUM)
#undef RS_HEADER_ENUM
      count_
};

namespace detail {
inline constexpr std::array<std::string_view, static_cast<size_t>(HeaderId::count_)> header_names = {
    std::string_view{},
#define RS_HEADER_TEXT(id, text) std::string_view{text},
    RS_WELL_KNOWN_HEADERS(RS_HEADER_TEXT)
#undef RS_HEADER_TEXT
};
}  // namespace detail

// Static text of a well-known name; empty for HeaderId::other.
inline std::string_view header_name(HeaderId id) { return detail::header_names[static_cast<size_t>(id)]; }
// The id of a lower-case name, HeaderId::other when it is not a well-known one. A perfect-hash look-up and one compare.
HeaderId header_id(std::string_view lower_case_name);
// The same for a name as it came off the wire, in which there is no control character.
HeaderId header_id_any_case(std::string_view name);

// One field line. Views point into the map's arena, the message's memory or static text.
class HeaderField {
 public:
  HeaderField() = default;
  HeaderField(HeaderId id, std::string_view name, std::string_view value)
      : name_(name.data()),
        value_(value.data()),
        value_size_(static_cast<uint32_t>(value.size())),
        name_size_(static_cast<uint16_t>(name.size())),
        id_(id) {}
  std::string_view name() const { return {name_, name_size_}; }
  std::string_view value() const { return {value_, value_size_}; }
  HeaderId id() const { return id_; }

 private:
  friend class HeaderMap;
  const char* name_ = nullptr;
  const char* value_ = nullptr;
  uint32_t value_size_ = 0;
  uint16_t name_size_ = 0;
  HeaderId id_ = HeaderId::other;
};

// Keeps the order of arrival. Nothing is copied: what is given must live as long as the arena (use arena().copy()).
class HeaderMap {
 public:
  explicit HeaderMap(Arena& arena) : arena_(&arena) {}
  HeaderMap(const HeaderMap&) = delete;
  HeaderMap& operator=(const HeaderMap&) = delete;

  Arena& arena() const { return *arena_; }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  const HeaderField* begin() const { return fields_; }
  const HeaderField* end() const { return fields_ + size_; }

  // `name` is lower case already.
  void add(std::string_view name, std::string_view value) { push({header_id(name), name, value}); }
  void add(HeaderId id, std::string_view value) { push({id, header_name(id), value}); }
  void push(HeaderField field) {
    if (size_ == capacity_) [[unlikely]]
      reserve(size_ + 1);
    fields_[size_++] = field;
  }
  // Room for so many fields without another allocation.
  void reserve(size_t fields);
  // Replaces every field of that name by one, at the first one's place; adds it when there is none.
  void set(HeaderId id, std::string_view value);
  void set(std::string_view name, std::string_view value);
  // Joins to an existing value with `separator`, or adds.
  void append(HeaderId id, std::string_view value, std::string_view separator);
  // All fields of that name; returns how many went.
  size_t remove(HeaderId id);
  size_t remove(std::string_view name);
  // Removes the fields for which `predicate(const HeaderField&)` holds, keeping order.
  template <class Predicate>
  size_t remove_if(Predicate predicate) {
    uint32_t kept = 0;
    for (uint32_t at = 0; at < size_; ++at)
      if (!predicate(static_cast<const HeaderField&>(fields_[at]))) fields_[kept++] = fields_[at];
    const size_t removed = size_ - kept;
    size_ = kept;
    return removed;
  }
  // The first of that name; null when there is none.
  const HeaderField* find(HeaderId id) const {
    for (const HeaderField& field : *this)
      if (field.id() == id) return &field;
    return nullptr;
  }
  const HeaderField* find(std::string_view lower_case_name) const;
  bool has(HeaderId id) const { return find(id) != nullptr; }
  // The first one's value, empty when absent.
  std::string_view value(HeaderId id) const {
    const HeaderField* field = find(id);
    return field != nullptr ? field->value() : std::string_view{};
  }
  // Names and values and ": " and CRLF, as HTTP/1 would write them.
  size_t wire_bytes() const;

 private:
  Arena* arena_;
  HeaderField* fields_ = nullptr;
  uint32_t size_ = 0;
  uint32_t capacity_ = 0;
};

}  // namespace ringside
