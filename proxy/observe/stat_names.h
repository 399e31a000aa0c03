#pragma once
// The stats of the data plane: one enum per group, with Envoy's names. What the hot path touches stands first in each list, so
// that it shares cache lines; the pages that readers get are sorted by name.
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "core/stats.h"

namespace ringside {

// clang-format off
// --- Lists. C, G and H are a counter, a gauge and a histogram by the name of the enumerator; N(id, kind, show, name) says all.

// http.<stat_prefix>.: the connection manager and its router.
#define RS_HTTP_STATS(C, G, H, N)                                                                            \
  C(downstream_rq_total) C(downstream_rq_http1_total) G(downstream_rq_active) C(downstream_rq_completed)     \
  C(downstream_rq_2xx) C(rq_total) C(downstream_cx_rx_bytes_total) C(downstream_cx_tx_bytes_total)           \
  H(downstream_rq_time)                                                                                      \
  G(downstream_cx_rx_bytes_buffered) G(downstream_cx_tx_bytes_buffered)                                      \
  C(downstream_rq_1xx) C(downstream_rq_3xx) C(downstream_rq_4xx) C(downstream_rq_5xx)                        \
  C(downstream_cx_total) G(downstream_cx_active) C(downstream_cx_http1_total) G(downstream_cx_http1_active)  \
  C(downstream_cx_destroy) C(downstream_cx_destroy_local) C(downstream_cx_destroy_remote)                    \
  H(downstream_cx_length_ms)                                                                                 \
  C(downstream_cx_destroy_active_rq) C(downstream_cx_destroy_local_active_rq)                                \
  C(downstream_cx_destroy_remote_active_rq)                                                                  \
  G(downstream_cx_http1_soft_drain)                                                                          \
  C(downstream_cx_http2_total) G(downstream_cx_http2_active)                                                 \
  C(downstream_cx_http3_total) G(downstream_cx_http3_active)                                                 \
  C(downstream_cx_ssl_total) G(downstream_cx_ssl_active)                                                     \
  C(downstream_cx_upgrades_total) G(downstream_cx_upgrades_active)                                           \
  C(downstream_cx_protocol_error) C(downstream_cx_drain_close) C(downstream_cx_idle_timeout)                 \
  C(downstream_cx_max_duration_reached) C(downstream_cx_max_requests_reached)                                \
  C(downstream_cx_overload_disable_keepalive) C(downstream_cx_delayed_close_timeout)                         \
  C(downstream_rq_http2_total) C(downstream_rq_http3_total)                                                  \
  C(downstream_rq_rx_reset) C(downstream_rq_tx_reset) C(downstream_rq_non_relative_path)                     \
  C(downstream_rq_too_large) C(downstream_rq_timeout) C(downstream_rq_idle_timeout)                          \
  C(downstream_rq_header_timeout) C(downstream_rq_max_duration_reached) C(downstream_rq_overload_close)      \
  C(downstream_rq_response_before_rq_complete) C(downstream_rq_failed_path_normalization)                    \
  C(downstream_rq_redirected_with_normalized_path) C(downstream_rq_rejected_via_ip_detection)                \
  C(downstream_rq_too_many_premature_resets) C(downstream_rq_ws_on_non_ws_route)                             \
  C(downstream_flow_control_paused_reading_total) C(downstream_flow_control_resumed_reading_total)           \
  C(rs_too_large) C(no_route) C(no_cluster) C(rq_direct_response) C(rq_redirect) C(rq_overload_local_reply)  \
  C(rq_reset_after_downstream_response_started)                                                              \
  C(passthrough_internal_redirect_bad_location) C(passthrough_internal_redirect_no_route)                    \
  C(passthrough_internal_redirect_predicate) C(passthrough_internal_redirect_too_many_redirects)             \
  C(passthrough_internal_redirect_unsafe_scheme)                                                             \
  N(tracing_client_enabled, counter, always, "tracing.client_enabled")                                       \
  N(tracing_health_check, counter, always, "tracing.health_check")                                           \
  N(tracing_not_traceable, counter, always, "tracing.not_traceable")                                         \
  N(tracing_random_sampling, counter, always, "tracing.random_sampling")                                     \
  N(tracing_service_forced, counter, always, "tracing.service_forced")

// cluster.<name>.; one breaker's part is repeated for each priority. remaining_* is for track_remaining only.
#define RS_BREAKER_STATS(N, priority)                                                                                     \
  N(circuit_breakers_##priority##_cx_open, gauge, always, "circuit_breakers." #priority ".cx_open")                       \
  N(circuit_breakers_##priority##_cx_pool_open, gauge, always, "circuit_breakers." #priority ".cx_pool_open")             \
  N(circuit_breakers_##priority##_rq_open, gauge, always, "circuit_breakers." #priority ".rq_open")                       \
  N(circuit_breakers_##priority##_rq_pending_open, gauge, always, "circuit_breakers." #priority ".rq_pending_open")       \
  N(circuit_breakers_##priority##_rq_retry_open, gauge, always, "circuit_breakers." #priority ".rq_retry_open")           \
  N(circuit_breakers_##priority##_remaining_cx, gauge, when_used, "circuit_breakers." #priority ".remaining_cx")          \
  N(circuit_breakers_##priority##_remaining_cx_pools, gauge, when_used,                                                   \
    "circuit_breakers." #priority ".remaining_cx_pools")                                                                  \
  N(circuit_breakers_##priority##_remaining_pending, gauge, when_used,                                                    \
    "circuit_breakers." #priority ".remaining_pending")                                                                   \
  N(circuit_breakers_##priority##_remaining_retries, gauge, when_used,                                                    \
    "circuit_breakers." #priority ".remaining_retries")                                                                   \
  N(circuit_breakers_##priority##_remaining_rq, gauge, when_used, "circuit_breakers." #priority ".remaining_rq")

// upstream_rq_codes gives upstream_rq_<code>, upstream_rq_<N>xx and upstream_rq_completed.
#define RS_CLUSTER_STATS(C, G, H, N)                                                                       \
  C(upstream_rq_total) G(upstream_rq_active) N(upstream_rq_time, histogram, when_used, "upstream_rq_time") \
  N(upstream_rq_codes, response_codes, when_used, "upstream_rq")                                           \
  N(external_upstream_rq_codes, response_codes, when_used, "external.upstream_rq")                         \
  N(external_upstream_rq_time, histogram, when_used, "external.upstream_rq_time")                          \
  C(upstream_cx_rx_bytes_total) C(upstream_cx_tx_bytes_total)                                              \
  G(upstream_cx_rx_bytes_buffered) G(upstream_cx_tx_bytes_buffered)                                        \
  N(default_total_match_count, counter, always, "default.total_match_count")                               \
  C(upstream_rq_pending_total) G(upstream_rq_pending_active)                                               \
  C(upstream_cx_total) G(upstream_cx_active) C(upstream_cx_http1_total) C(upstream_cx_destroy)             \
  C(upstream_cx_destroy_local) C(upstream_cx_destroy_remote) H(upstream_cx_connect_ms)                     \
  H(upstream_cx_length_ms) H(upstream_rq_per_cx)                                                           \
  N(internal_upstream_rq_codes, response_codes, when_used, "internal.upstream_rq")                         \
  N(internal_upstream_rq_time, histogram, when_used, "internal.upstream_rq_time")                          \
  N(canary_upstream_rq_codes, response_codes, when_used, "canary.upstream_rq")                             \
  N(retry_upstream_rq_codes, response_codes, when_used, "retry.upstream_rq")                               \
  N(canary_upstream_rq_time, histogram, when_used, "canary.upstream_rq_time")                              \
  C(upstream_cx_destroy_with_active_rq) C(upstream_cx_destroy_local_with_active_rq)                        \
  C(upstream_cx_destroy_remote_with_active_rq) C(upstream_cx_connect_fail) C(upstream_cx_connect_timeout)  \
  C(upstream_cx_connect_attempts_exceeded) C(upstream_cx_connect_with_0_rtt) C(upstream_cx_idle_timeout)   \
  C(upstream_cx_max_duration_reached) C(upstream_cx_max_requests) C(upstream_cx_none_healthy)              \
  C(upstream_cx_overflow) C(upstream_cx_pool_overflow) C(upstream_cx_preconnect_skipped)                   \
  C(upstream_cx_protocol_error) C(upstream_cx_close_notify) C(upstream_cx_http2_total)                     \
  C(upstream_cx_http3_total) C(upstream_http3_broken)                                                      \
  C(upstream_rq_0rtt) C(upstream_rq_active_overflow) C(upstream_rq_cancelled)                              \
  C(upstream_rq_maintenance_mode) C(upstream_rq_max_duration_reached) C(upstream_rq_pending_failure_eject) \
  C(upstream_rq_pending_overflow) C(upstream_rq_per_try_idle_timeout) C(upstream_rq_per_try_timeout)       \
  C(upstream_rq_retry) C(upstream_rq_retry_backoff_exponential) C(upstream_rq_retry_backoff_ratelimited)   \
  C(upstream_rq_retry_limit_exceeded) C(upstream_rq_retry_overflow) C(upstream_rq_retry_success)           \
  C(upstream_rq_rx_reset) C(upstream_rq_rx_reset_no_error) C(upstream_rq_timeout) C(upstream_rq_tx_reset)  \
  C(upstream_flow_control_backed_up_total) C(upstream_flow_control_drained_total)                          \
  C(upstream_flow_control_paused_reading_total) C(upstream_flow_control_resumed_reading_total)             \
  C(upstream_internal_redirect_failed_total) C(upstream_internal_redirect_succeeded_total)                 \
  G(upstream_queue_overloaded) C(retry_or_shadow_abandoned) C(original_dst_host_invalid) C(bind_errors)    \
  RS_BREAKER_STATS(N, default) RS_BREAKER_STATS(N, high)                                                   \
  G(membership_total) G(membership_healthy) G(membership_degraded) G(membership_excluded)                  \
  C(membership_change) G(max_host_weight) C(update_attempt) C(update_success) C(update_failure)            \
  C(update_empty) C(update_no_rebuild) G(version) G(warming_state)                                         \
  C(assignment_stale) C(assignment_timeout_received) C(assignment_use_cached)                              \
  C(lb_healthy_panic) C(lb_local_cluster_not_ok) C(lb_recalculate_zone_structures) G(lb_subsets_active)    \
  C(lb_subsets_created) C(lb_subsets_fallback) C(lb_subsets_fallback_panic) C(lb_subsets_removed)          \
  C(lb_subsets_selected) C(lb_zone_cluster_too_small) C(lb_zone_no_capacity_left)                          \
  C(lb_zone_routing_all_directly) C(lb_zone_routing_cross_zone) C(lb_zone_routing_sampled)                 \
  N(http1_dropped_headers_with_underscores, counter, always, "http1.dropped_headers_with_underscores")     \
  N(http1_metadata_not_supported_error, counter, always, "http1.metadata_not_supported_error")             \
  N(http1_requests_rejected_with_underscores_in_headers, counter, always,                                  \
    "http1.requests_rejected_with_underscores_in_headers")                                                 \
  N(http1_response_flood, counter, always, "http1.response_flood")

// tls_files.
#define RS_TLS_FILES_STATS(C, G, H, N) C(update_success) C(update_rejected)

// cluster.<name>.<transport socket match>.
#define RS_SOCKET_MATCH_STATS(C, G, H, N) C(total_match_count)

// listener.<address>.
#define RS_LISTENER_STATS(C, G, H, N)                                                                            \
  C(downstream_cx_total) G(downstream_cx_active) C(downstream_cx_destroy) H(downstream_cx_length_ms)             \
  H(connections_accepted_per_socket_event) C(downstream_cx_overflow) C(downstream_cx_overload_reject)            \
  C(downstream_cx_transport_socket_connect_timeout) C(downstream_global_cx_overflow)                             \
  C(downstream_listener_filter_error) C(downstream_listener_filter_remote_close) G(downstream_pre_cx_active)     \
  C(downstream_pre_cx_timeout) C(extension_config_missing) C(network_extension_config_missing) C(no_filter_chain_match)

// listener.<address>.worker_<N>.; for the admin listener listener.admin.main_thread.
#define RS_LISTENER_WORKER_STATS(C, G, H, N) C(downstream_cx_total) G(downstream_cx_active)

// listener.<address>.http.<stat_prefix>.
#define RS_LISTENER_HTTP_STATS(C, G, H, N)                                                                   \
  C(downstream_rq_1xx) C(downstream_rq_2xx) C(downstream_rq_3xx) C(downstream_rq_4xx) C(downstream_rq_5xx)   \
  C(downstream_rq_completed)

// tcp.<stat_prefix>.
#define RS_TCP_STATS(C, G, H, N)                                                                                     \
  C(downstream_cx_rx_bytes_total) C(downstream_cx_tx_bytes_total) G(downstream_cx_rx_bytes_buffered)                 \
  G(downstream_cx_tx_bytes_buffered) C(downstream_cx_total) C(downstream_cx_no_route) C(downstream_cx_drain_close)   \
  C(downstream_cx_overload_close) C(downstream_flow_control_paused_reading_total)                                    \
  C(downstream_flow_control_resumed_reading_total) C(early_data_received_count_total) C(idle_timeout)                \
  C(max_downstream_connection_duration) C(route_delayed_total) G(upstream_flush_active) C(upstream_flush_total)

// tls_inspector., http_inspector., proxy_proto.[<stat_prefix>.] and no prefix at all: listener filters.
#define RS_TLS_INSPECTOR_STATS(C, G, H, N)                                                                     \
  C(alpn_found) C(alpn_not_found) H(bytes_processed) C(client_hello_too_large) C(sni_found) C(sni_not_found)   \
  C(tls_found) C(tls_not_found)
#define RS_HTTP_INSPECTOR_STATS(C, G, H, N) C(http10_found) C(http11_found) C(http2_found) C(http_not_found) C(read_error)
#define RS_PROXY_PROTOCOL_STATS(C, G, H, N)                                                                    \
  C(not_found_allowed) C(not_found_disallowed)                                                                 \
  N(v1_disallowed, counter, always, "versions.v1.disallowed") N(v1_error, counter, always, "versions.v1.error") \
  N(v1_found, counter, always, "versions.v1.found")                                                            \
  N(v2_disallowed, counter, always, "versions.v2.disallowed") N(v2_error, counter, always, "versions.v2.error") \
  N(v2_found, counter, always, "versions.v2.found")
#define RS_PROXY_PROTOCOL_ERROR_STATS(C, G, H, N) C(downstream_cx_proxy_proto_error)

// http1.: the codec on the downstream side.
#define RS_HTTP1_STATS(C, G, H, N)                                                 \
  C(dropped_headers_with_underscores) C(metadata_not_supported_error)              \
  C(requests_rejected_with_underscores_in_headers) C(response_flood)

// http2.: the codec on the downstream side; cluster.<name>.http2.: the one upstream. The names are the fields of H2Stats.
#define RS_HTTP2_STATS(C, G, H, N)                                                                      \
  C(dropped_headers_with_underscores) C(goaway_sent) C(header_overflow) C(headers_cb_no_stream)         \
  C(inbound_empty_frames_flood) C(inbound_priority_frames_flood)                                        \
  C(inbound_window_update_frames_flood) C(inbound_reset_flood) C(inbound_other_frames_flood)            \
  C(keepalive_timeout) C(metadata_empty_frames) C(outbound_control_flood) C(outbound_flood)             \
  C(requests_rejected_with_underscores_in_headers) C(rx_messaging_error) C(rx_reset)                    \
  C(stream_refused_errors) C(too_many_header_frames) C(trailers) C(tx_flush_timeout) C(tx_reset)        \
  G(streams_active) G(pending_send_bytes)

// listener_manager.
#define RS_LISTENER_MANAGER_STATS(C, G, H, N)                                                              \
  C(listener_added) C(listener_create_failure) C(listener_create_success) C(listener_in_place_updated)     \
  C(listener_modified) C(listener_removed) C(listener_stopped) G(total_filter_chains_draining)             \
  G(total_listeners_active) G(total_listeners_draining) G(total_listeners_warming) G(workers_pinned) G(workers_started)

// cluster_manager.
#define RS_CLUSTER_MANAGER_STATS(C, G, H, N)                                                                     \
  G(active_clusters) C(cluster_added) C(cluster_modified) C(cluster_removed) C(cluster_updated)                  \
  C(cluster_updated_via_merge) C(update_merge_cancelled) C(update_out_of_merge_window) G(warming_clusters)

// server.
#define RS_SERVER_STATS(C, G, H, N)                                                                        \
  N(compilation_settings_fips_mode, gauge, always, "compilation_settings.fips_mode")                       \
  G(concurrency) G(days_until_first_cert_expiring) C(debug_assertion_failures) C(dropped_stat_flushes)     \
  C(dynamic_unknown_fields) C(envoy_bug_failures) C(envoy_notifications) G(hot_restart_epoch)              \
  N(hot_restart_generation, gauge, when_used, "hot_restart_generation") H(initialization_time_ms) G(live)  \
  G(memory_allocated) G(memory_heap_size) G(memory_physical_size) G(parent_connections)                    \
  G(seconds_until_first_ocsp_response_expiring) G(state) C(static_unknown_fields) G(stats_recent_lookups)  \
  G(total_connections) G(uptime) G(version) C(wip_protos)

// cluster.<name>.health_check.
#define RS_HEALTH_CHECK_STATS(C, G, H, N) \
  C(attempt) C(success) C(failure) C(passive_failure) C(network_failure) C(verify_cluster) G(healthy) G(degraded)

// filesystem.: access logs.
#define RS_FILESYSTEM_STATS(C, G, H, N)                                                                        \
  C(write_buffered) C(write_completed) G(write_total_buffered) C(write_failed) C(flushed_by_timer) C(reopen_failed)

// cluster.<cluster>.grpc.[<service>.<method>.]: calls by their status, and messages.
#define RS_GRPC_COUNTER(N, id, name) N(id, counter, when_used, name)
#define RS_GRPC_STATS(C, G, H, N)                                                                          \
  RS_GRPC_COUNTER(N, status_0, "0") RS_GRPC_COUNTER(N, status_1, "1") RS_GRPC_COUNTER(N, status_2, "2")    \
  RS_GRPC_COUNTER(N, status_3, "3") RS_GRPC_COUNTER(N, status_4, "4") RS_GRPC_COUNTER(N, status_5, "5")    \
  RS_GRPC_COUNTER(N, status_6, "6") RS_GRPC_COUNTER(N, status_7, "7") RS_GRPC_COUNTER(N, status_8, "8")    \
  RS_GRPC_COUNTER(N, status_9, "9") RS_GRPC_COUNTER(N, status_10, "10") RS_GRPC_COUNTER(N, status_11, "11") \
  RS_GRPC_COUNTER(N, status_12, "12") RS_GRPC_COUNTER(N, status_13, "13") RS_GRPC_COUNTER(N, status_14, "14") \
  RS_GRPC_COUNTER(N, status_15, "15") RS_GRPC_COUNTER(N, status_16, "16")                                  \
  RS_GRPC_COUNTER(N, success, "success") RS_GRPC_COUNTER(N, failure, "failure") RS_GRPC_COUNTER(N, total, "total") \
  RS_GRPC_COUNTER(N, request_message_count, "request_message_count")                                       \
  RS_GRPC_COUNTER(N, response_message_count, "response_message_count")                                     \
  N(upstream_rq_time, histogram, when_used, "upstream_rq_time")

// http.<stat_prefix>.websocket.<name>.: what is inspected, by the side that sent it.
#define RS_WEBSOCKET_SIDE_STATS(C, H, side)                                                                \
  C(side##_text_messages) C(side##_text_bytes) C(side##_binary_messages) C(side##_binary_bytes)            \
  C(side##_continuation_frames) C(side##_pings) C(side##_ping_bytes) C(side##_pongs) C(side##_pong_bytes)  \
  C(side##_closes) C(side##_close_bytes) C(side##_protocol_error) C(side##_invalid_utf8)                   \
  H(side##_ping_rtt_us)
#define RS_WEBSOCKET_CLOSE_STAT(N, code) N(close_##code, counter, when_used, "close_" #code)
#define RS_WEBSOCKET_STATS(C, G, H, N)                                                                     \
  RS_WEBSOCKET_SIDE_STATS(C, H, downstream) RS_WEBSOCKET_SIDE_STATS(C, H, upstream)                        \
  C(cx_total) G(cx_active) C(closed_by_downstream) C(closed_by_upstream) C(closed_by_proxy)                \
  C(limit_message_bytes) C(limit_frame_bytes) C(limit_message_rate) C(limit_idle)                          \
  C(rejected_origin) C(rejected_subprotocol) C(rejected_handshake)                                         \
  RS_WEBSOCKET_CLOSE_STAT(N, 1000) RS_WEBSOCKET_CLOSE_STAT(N, 1001) RS_WEBSOCKET_CLOSE_STAT(N, 1002)       \
  RS_WEBSOCKET_CLOSE_STAT(N, 1003) RS_WEBSOCKET_CLOSE_STAT(N, 1004) RS_WEBSOCKET_CLOSE_STAT(N, 1005)       \
  RS_WEBSOCKET_CLOSE_STAT(N, 1006) RS_WEBSOCKET_CLOSE_STAT(N, 1007) RS_WEBSOCKET_CLOSE_STAT(N, 1008)       \
  RS_WEBSOCKET_CLOSE_STAT(N, 1009) RS_WEBSOCKET_CLOSE_STAT(N, 1010) RS_WEBSOCKET_CLOSE_STAT(N, 1011)       \
  RS_WEBSOCKET_CLOSE_STAT(N, 1012) RS_WEBSOCKET_CLOSE_STAT(N, 1013) RS_WEBSOCKET_CLOSE_STAT(N, 1014)       \
  RS_WEBSOCKET_CLOSE_STAT(N, 3xxx) RS_WEBSOCKET_CLOSE_STAT(N, 4xxx)

// main_thread. and workers.
#define RS_WATCHDOG_STATS(C, G, H, N) C(watchdog_mega_miss) C(watchdog_miss)

// ringside.: our own; what the rings of all workers did.
#define RS_RINGSIDE_STATS(C, G, H, N)                                                                      \
  G(ring_uring) G(ring_epoll) C(turns) C(sqes) C(cqes) C(recv_starved) C(send_short) C(cq_overflow) C(piped_bytes) \
  C(accept_paused) C(accept_failed) C(log_lines_suppressed) G(blocks_small) G(blocks_large) C(snapshots_adopted)
// clang-format on

// --- Enums and tables --------------------------------------------------------------------------------------------------

#define RS_STAT_ID(id) id,
#define RS_STAT_ID_NAMED(id, kind, show, name) id,
#define RS_STAT_COUNTER(id) {#id, ::ringside::StatKind::counter, ::ringside::StatShow::always},
#define RS_STAT_GAUGE(id) {#id, ::ringside::StatKind::gauge, ::ringside::StatShow::always},
#define RS_STAT_HISTOGRAM(id) {#id, ::ringside::StatKind::histogram, ::ringside::StatShow::always},
#define RS_STAT_NAMED(id, kind, show, name) {name, ::ringside::StatKind::kind, ::ringside::StatShow::show},
#define RS_STAT_GROUP(Enum, table, LIST)                                                                       \
  enum class Enum : uint16_t { LIST(RS_STAT_ID, RS_STAT_ID, RS_STAT_ID, RS_STAT_ID_NAMED) count_ };            \
  inline constexpr StatDef table[] = {LIST(RS_STAT_COUNTER, RS_STAT_GAUGE, RS_STAT_HISTOGRAM, RS_STAT_NAMED)}; \
  constexpr std::span<const StatDef> stat_defs(Enum) { return table; }

RS_STAT_GROUP(HttpStat, http_stat_defs, RS_HTTP_STATS)
RS_STAT_GROUP(ClusterStat, cluster_stat_defs, RS_CLUSTER_STATS)
RS_STAT_GROUP(TlsFilesStat, tls_files_stat_defs, RS_TLS_FILES_STATS)
RS_STAT_GROUP(SocketMatchStat, socket_match_stat_defs, RS_SOCKET_MATCH_STATS)
RS_STAT_GROUP(ListenerStat, listener_stat_defs, RS_LISTENER_STATS)
RS_STAT_GROUP(ListenerWorkerStat, listener_worker_stat_defs, RS_LISTENER_WORKER_STATS)
RS_STAT_GROUP(ListenerHttpStat, listener_http_stat_defs, RS_LISTENER_HTTP_STATS)
RS_STAT_GROUP(TcpStat, tcp_stat_defs, RS_TCP_STATS)
RS_STAT_GROUP(TlsInspectorStat, tls_inspector_stat_defs, RS_TLS_INSPECTOR_STATS)
RS_STAT_GROUP(HttpInspectorStat, http_inspector_stat_defs, RS_HTTP_INSPECTOR_STATS)
RS_STAT_GROUP(ProxyProtocolStat, proxy_protocol_stat_defs, RS_PROXY_PROTOCOL_STATS)
RS_STAT_GROUP(ProxyProtocolErrorStat, proxy_protocol_error_stat_defs, RS_PROXY_PROTOCOL_ERROR_STATS)
RS_STAT_GROUP(Http1Stat, http1_stat_defs, RS_HTTP1_STATS)
RS_STAT_GROUP(Http2Stat, http2_stat_defs, RS_HTTP2_STATS)
RS_STAT_GROUP(GrpcStat, grpc_stat_defs, RS_GRPC_STATS)
RS_STAT_GROUP(WebSocketStat, websocket_stat_defs, RS_WEBSOCKET_STATS)
RS_STAT_GROUP(ListenerManagerStat, listener_manager_stat_defs, RS_LISTENER_MANAGER_STATS)
RS_STAT_GROUP(ClusterManagerStat, cluster_manager_stat_defs, RS_CLUSTER_MANAGER_STATS)
RS_STAT_GROUP(ServerStat, server_stat_defs, RS_SERVER_STATS)
RS_STAT_GROUP(HealthCheckStat, health_check_stat_defs, RS_HEALTH_CHECK_STATS)
RS_STAT_GROUP(FilesystemStat, filesystem_stat_defs, RS_FILESYSTEM_STATS)
RS_STAT_GROUP(WatchdogStat, watchdog_stat_defs, RS_WATCHDOG_STATS)
RS_STAT_GROUP(RingsideStat, ringside_stat_defs, RS_RINGSIDE_STATS)

// The counter of a final status; `code` is in 100 ... 599.
HttpStat downstream_rq_class(uint32_t code);
ListenerHttpStat listener_rq_class(uint32_t code);

// The counter of the code that a WebSocket was closed with: 1000 ... 1014, or 3000 ... 4999.
WebSocketStat websocket_close_stat(uint16_t code);

// --- Scopes: where a group appears, with Prometheus labels as Envoy extracts them -----------------------------------------

// A name as it may stand between two dots: "://", ":/", ':' and NUL become '_'.
std::string stat_name_part(std::string_view name);

// `name` is alt_stat_name if set, else the cluster's name.
StatScope cluster_scope(std::string_view name);
// `match` is the name of a transport socket match.
StatScope cluster_match_scope(std::string_view name, std::string_view match);
// What the codec of HTTP/2 counts for a cluster.
StatScope cluster_http2_scope(std::string_view name);
// What its active health checks count.
StatScope cluster_health_scope(std::string_view name);
// `protocol` is "grpc" or "grpc-web"; without a service, of all methods together.
StatScope cluster_grpc_scope(std::string_view name, std::string_view protocol, std::string_view service, std::string_view method);
StatScope http_scope(std::string_view stat_prefix);
// `name` is that of a route, say.
StatScope websocket_scope(std::string_view stat_prefix, std::string_view name);
StatScope tcp_scope(std::string_view stat_prefix);
// `address` is the listener's stat_prefix if set, else the address as text ("127.0.0.1:80"). The admin's is "admin".
StatScope listener_scope(std::string_view address);
StatScope listener_worker_scope(std::string_view address, uint32_t worker);
StatScope listener_http_scope(std::string_view address, std::string_view stat_prefix);
// `stat_prefix` may be empty.
StatScope proxy_protocol_scope(std::string_view stat_prefix);

}  // namespace ringside
