#pragma once
// Which fields go no further, whatever the version of HTTP.
#include <cstdint>
#include <initializer_list>

#include "codecs/header_map.h"

namespace ringside {

// A set of well-known names.
using HeaderIdSet = uint64_t;
constexpr HeaderIdSet header_ids(std::initializer_list<HeaderId> ids) {
  HeaderIdSet set = 0;
  for (const HeaderId id : ids) set |= HeaderIdSet{1} << static_cast<uint8_t>(id);
  return set;
}
constexpr bool contains(HeaderIdSet set, HeaderId id) { return (set >> static_cast<uint8_t>(id) & 1) != 0; }

// About this connection or this hop only (RFC 9110 7.6.1): never forwarded, in neither direction, but for "te: trailers". Trailer
// stays only where trailers do.
inline constexpr HeaderIdSet hop_by_hop_headers =
    header_ids({HeaderId::connection, HeaderId::keep_alive, HeaderId::proxy_connection, HeaderId::te,
                HeaderId::transfer_encoding, HeaderId::upgrade, HeaderId::http2_settings});

// Framing and routing fields in a trailer section are an attempt at something; the others have no meaning there.
inline constexpr HeaderIdSet refused_in_trailers =
    header_ids({HeaderId::content_length, HeaderId::transfer_encoding, HeaderId::host});
inline constexpr HeaderIdSet dropped_in_trailers =
    hop_by_hop_headers | header_ids({HeaderId::authorization,
                                     HeaderId::cache_control,
                                     HeaderId::content_encoding,
                                     HeaderId::content_type,
                                     HeaderId::cookie,
                                     HeaderId::expect,
                                     HeaderId::proxy_authenticate,
                                     HeaderId::set_cookie,
                                     HeaderId::trailer,
                                     HeaderId::x_client_trace_id,
                                     HeaderId::x_envoy_attempt_count,
                                     HeaderId::x_envoy_decorator_operation,
                                     HeaderId::x_envoy_downstream_service_cluster,
                                     HeaderId::x_envoy_downstream_service_node,
                                     HeaderId::x_envoy_expected_rq_timeout_ms,
                                     HeaderId::x_envoy_external_address,
                                     HeaderId::x_envoy_force_trace,
                                     HeaderId::x_envoy_immediate_health_check_fail,
                                     HeaderId::x_envoy_internal,
                                     HeaderId::x_envoy_ip_tags,
                                     HeaderId::x_envoy_max_retries,
                                     HeaderId::x_envoy_original_path,
                                     HeaderId::x_envoy_overloaded,
                                     HeaderId::x_envoy_retry_on,
                                     HeaderId::x_envoy_upstream_rq_per_try_timeout_ms,
                                     HeaderId::x_envoy_upstream_rq_timeout_ms,
                                     HeaderId::x_envoy_upstream_service_time,
                                     HeaderId::x_forwarded_client_cert,
                                     HeaderId::x_forwarded_for,
                                     HeaderId::x_forwarded_host,
                                     HeaderId::x_forwarded_port,
                                     HeaderId::x_forwarded_proto,
                                     HeaderId::x_request_id});

}  // namespace ringside
