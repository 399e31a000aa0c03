#pragma once
// What a configuration says about HTTP/2, as the codec takes it.
#include "codecs/http2/h2_limits.h"
#include "proxy/specs.h"

namespace ringside {

// Everything but what the limits of headers say, which HTTP/1 has as well.
inline H2Limits h2_limits_of(const Http2Spec& spec) {
  H2Limits limits;
  limits.streams_max = spec.streams_max;
  limits.stream_window_bytes = spec.stream_window_bytes;
  limits.connection_window_bytes = spec.connection_window_bytes;
  limits.decoder_table_bytes = spec.table_bytes;
  limits.encoder_table_bytes_max = spec.table_bytes;
  limits.outbound_frames_max = spec.outbound_frames_max;
  limits.outbound_control_frames_max = spec.outbound_control_frames_max;
  limits.empty_frames_max = spec.empty_frames_max;
  limits.priority_frames_per_stream = spec.priority_frames_per_stream;
  limits.window_updates_per_data_frame = spec.window_updates_per_data_frame;
  limits.connect_protocol = spec.allow_connect;
  limits.stream_error_on_invalid_message = spec.stream_error_on_invalid_message;
  for (const Http2SettingSpec& custom : spec.custom_settings)
    limits.custom_settings.push_back({custom.identifier, custom.value});
  return limits;
}

}  // namespace ringside
