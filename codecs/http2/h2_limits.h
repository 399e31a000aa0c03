#pragma once
// What one side of an HTTP/2 connection accepts and offers. Held by reference: outlives the codecs.
#include <cstddef>
#include <cstdint>
#include <vector>

namespace ringside {

// Field names with an underscore: many applications read `a_b` and `a-b` as the same variable.
enum class H2Underscore : uint8_t { allow, reject, drop };

// A setting that we announce for others to read.
struct H2CustomSetting {
  uint16_t identifier = 0;
  uint32_t value = 0;
};

struct H2Limits {
  // Decoded fields of one head, each with four bytes on top, whether they are kept or not; the same again for trailers.
  uint32_t header_bytes_max = 60 * 1024;
  uint32_t header_count_max = 100;
  // Streams that the peer may have open (server); that we open although the peer would allow more (client).
  uint32_t streams_max = 100;
  // Credit of one stream and of the whole connection. The connection's bounds what all unread bodies may hold.
  uint32_t stream_window_bytes = 256 * 1024;       // 65535 at least
  uint32_t connection_window_bytes = 1024 * 1024;  // 65535 at least
  // Dynamic tables of HPACK: the peer's, as we offer it; ours, whatever the peer offers.
  uint32_t decoder_table_bytes = 4096;
  uint32_t encoder_table_bytes_max = 4096;
  // Written to the sink and not yet sent: bodies wait in their streams' queues beyond it.
  uint32_t unsent_bytes_max = 256 * 1024;
  H2Underscore underscore = H2Underscore::allow;
  // Extended CONNECT (RFC 8441) is offered to clients (server), or used where the upstream offers it (client).
  bool connect_protocol = false;
  // A head or trailers that HTTP forbids end their stream alone; otherwise the connection.
  bool stream_error_on_invalid_message = true;
  std::vector<H2CustomSetting> custom_settings;  // custom_settings_max at most

  // Abuse. Budgets are spent by events and refilled by what honest peers do in between; see docs/http2.md.
  uint32_t outbound_frames_max = 10000;         // written and not yet sent, of any kind
  uint32_t outbound_control_frames_max = 1000;  // the same: answers that the peer asked for and does not read
  uint32_t empty_frames_max = 10;               // in a row
  uint32_t resets_burst = 200;                  // streams reset by the peer, or by us because of what it sent
  uint32_t resets_per_second = 20;
  uint32_t priority_frames_per_stream = 100;
  uint32_t window_updates_per_data_frame = 10;
  uint32_t other_frames_burst = 1000;  // PING, SETTINGS, unknown types
  uint32_t other_frames_per_second = 100;
};

// Not configurable.
namespace h2 {
inline constexpr uint32_t window_default_bytes = 65535;     // RFC 9113 6.9.2
inline constexpr uint32_t window_bytes_max = 0x7fffffff;    // RFC 9113 6.9.1
inline constexpr uint32_t frame_default_bytes_max = 16384;  // RFC 9113 6.5.2; what we accept, and the most that we send
inline constexpr uint32_t table_default_bytes = 4096;       // RFC 9113 6.5.2
inline constexpr uint32_t turn_bytes_max = 16384;           // of one stream before it is the next one's turn
inline constexpr uint32_t copy_bytes_max = 256;             // shorter DATA is copied beside its frame header
inline constexpr uint32_t pack_bytes_max = 512;             // shorter received DATA is copied when more of its stream waits
inline constexpr uint32_t packed_block_bytes = 2048;        // to here
inline constexpr uint32_t continuations_max = 16;           // of one header block
inline constexpr uint32_t informationals_max = 32;          // 1xx in front of one response
inline constexpr uint32_t custom_settings_max = 16;
inline constexpr uint32_t streams_remembered_max = 32;      // streams that were reset, to know late frames by
inline constexpr uint32_t budget_max = 1'000'000;           // no refill saves up more than this
inline constexpr uint32_t name_bytes_max = 8 * 1024;
}  // namespace h2

}  // namespace ringside
