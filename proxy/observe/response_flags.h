#pragma once
// Why a response is what it is: Envoy's response flags, in Envoy's order, with its short and long names.
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace ringside {

// clang-format off
#define RS_RESPONSE_FLAGS(X) \
  X(failed_local_health_check, "LH", "FailedLocalHealthCheck") \
  X(no_healthy_upstream, "UH", "NoHealthyUpstream") \
  X(upstream_request_timeout, "UT", "UpstreamRequestTimeout") \
  X(local_reset, "LR", "LocalReset") \
  X(upstream_remote_reset, "UR", "UpstreamRemoteReset") \
  X(upstream_connection_failure, "UF", "UpstreamConnectionFailure") \
  X(upstream_connection_termination, "UC", "UpstreamConnectionTermination") \
  X(upstream_overflow, "UO", "UpstreamOverflow") \
  X(no_route_found, "NR", "NoRouteFound") \
  X(delay_injected, "DI", "DelayInjected") \
  X(fault_injected, "FI", "FaultInjected") \
  X(rate_limited, "RL", "RateLimited") \
  X(unauthorized_external_service, "UAEX", "UnauthorizedExternalService") \
  X(rate_limit_service_error, "RLSE", "RateLimitServiceError") \
  X(downstream_connection_termination, "DC", "DownstreamConnectionTermination") \
  X(upstream_retry_limit_exceeded, "URX", "UpstreamRetryLimitExceeded") \
  X(stream_idle_timeout, "SI", "StreamIdleTimeout") \
  X(invalid_envoy_request_headers, "IH", "InvalidEnvoyRequestHeaders") \
  X(downstream_protocol_error, "DPE", "DownstreamProtocolError") \
  X(upstream_stream_duration_reached, "UMSDR", "UpstreamMaxStreamDurationReached") \
  X(response_from_cache, "RFCF", "ResponseFromCacheFilter") \
  X(no_filter_config_found, "NFCF", "NoFilterConfigFound") \
  X(duration_timeout, "DT", "DurationTimeout") \
  X(upstream_protocol_error, "UPE", "UpstreamProtocolError") \
  X(no_cluster_found, "NC", "NoClusterFound") \
  X(overload_manager, "OM", "OverloadManagerTerminated") \
  X(dns_resolution_failed, "DF", "DnsResolutionFailed") \
  X(drop_overload, "DO", "DropOverload")
// clang-format on

enum class ResponseFlag : uint8_t {
#define RS_FLAG_ENUM(id, short_name, long_name) id,
  RS_RESPONSE_FLAGS(RS_FLAG_ENUM)
#undef RS_FLAG_ENUM
      count_
};

enum class FlagNames : uint8_t { short_names, long_names };

// A set of flags, as a value.
class ResponseFlags {
 public:
  void set(ResponseFlag flag) { bits_ |= bit(flag); }
  void add(ResponseFlags other) { bits_ |= other.bits_; }
  bool has(ResponseFlag flag) const { return (bits_ & bit(flag)) != 0; }
  bool empty() const { return bits_ == 0; }
  // "UF,URX", or "-" when the set is empty. `out` has text_bytes_max bytes; returns the size.
  static constexpr size_t text_bytes_max = 1024;
  size_t write(char* out, FlagNames names = FlagNames::short_names) const;
  bool operator==(const ResponseFlags&) const = default;

 private:
  static constexpr uint32_t bit(ResponseFlag flag) { return uint32_t{1} << static_cast<uint32_t>(flag); }
  uint32_t bits_ = 0;
};
static_assert(static_cast<uint32_t>(ResponseFlag::count_) <= 32);

std::string_view response_flag_name(ResponseFlag flag, FlagNames names = FlagNames::short_names);

}  // namespace ringside
