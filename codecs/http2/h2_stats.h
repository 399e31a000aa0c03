#pragma once
// What the owner shows as Envoy's http2.* statistics: plain numbers of one worker, shared by the codecs of one listener or
// cluster.
#include <cstdint>

namespace ringside {

struct H2Stats {
  uint64_t dropped_headers_with_underscores = 0;
  uint64_t goaway_sent = 0;
  uint64_t header_overflow = 0;
  uint64_t headers_cb_no_stream = 0;
  uint64_t inbound_empty_frames_flood = 0;
  uint64_t inbound_priority_frames_flood = 0;
  uint64_t inbound_window_update_frames_flood = 0;
  uint64_t inbound_reset_flood = 0;         // not Envoy's: rapid resets, provoked ones included
  uint64_t inbound_other_frames_flood = 0;  // not Envoy's: PING, SETTINGS and unknown types
  uint64_t keepalive_timeout = 0;
  uint64_t metadata_empty_frames = 0;
  uint64_t outbound_control_flood = 0;
  uint64_t outbound_flood = 0;
  uint64_t requests_rejected_with_underscores_in_headers = 0;
  uint64_t rx_messaging_error = 0;
  uint64_t rx_reset = 0;
  uint64_t stream_refused_errors = 0;
  uint64_t too_many_header_frames = 0;
  uint64_t trailers = 0;
  uint64_t tx_flush_timeout = 0;
  uint64_t tx_reset = 0;
  // Gauges.
  uint64_t streams_active = 0;
  uint64_t pending_send_bytes = 0;  // in the streams' queues
};

}  // namespace ringside
