#pragma once
// Frames of RFC 9113 4 and 6 as bytes: their header, what can be judged by it alone, and the small ones that we write.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/error.h"

namespace ringside {

// RFC 9113 6; `metadata` is an extension that Envoy counts by name.
enum class H2FrameType : uint8_t {
  data = 0,
  headers = 1,
  priority = 2,
  reset = 3,
  settings = 4,
  push_promise = 5,
  ping = 6,
  goaway = 7,
  window_update = 8,
  continuation = 9,
  metadata = 0x4d,
};

// RFC 9113 7
enum class H2Code : uint32_t {
  no_error = 0,
  protocol_error = 1,
  internal_error = 2,
  flow_control_error = 3,
  settings_timeout = 4,
  stream_closed = 5,
  frame_size_error = 6,
  refused_stream = 7,
  cancel = 8,
  compression_error = 9,
  connect_error = 10,
  enhance_your_calm = 11,
  inadequate_security = 12,
  http_1_1_required = 13,
};

// RFC 9113 6.5.2, RFC 8441 3
enum class H2Setting : uint16_t {
  header_table_size = 1,
  enable_push = 2,
  max_concurrent_streams = 3,
  initial_window_size = 4,
  max_frame_size = 5,
  max_header_list_size = 6,
  enable_connect_protocol = 8,
};

namespace h2 {

inline constexpr std::string_view preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
inline constexpr size_t preface_decides_bytes = 12;  // "PRI * HTTP/2": nothing else begins so
inline constexpr size_t frame_header_bytes = 9;

// Flags.
inline constexpr uint8_t end_stream = 0x1;
inline constexpr uint8_t ack = 0x1;
inline constexpr uint8_t end_headers = 0x4;
inline constexpr uint8_t padded = 0x8;
inline constexpr uint8_t priority = 0x20;

inline uint32_t get_u16(const char* at) {
  return static_cast<uint32_t>(static_cast<unsigned char>(at[0])) << 8 | static_cast<unsigned char>(at[1]);
}
inline uint32_t get_u32(const char* at) { return get_u16(at) << 16 | get_u16(at + 2); }
inline char* put_u16(char* at, uint32_t value) {
  at[0] = static_cast<char>(value >> 8);
  at[1] = static_cast<char>(value);
  return at + 2;
}
inline char* put_u32(char* at, uint32_t value) { return put_u16(put_u16(at, value >> 16), value & 0xffff); }

}  // namespace h2

struct H2FrameHeader {
  uint32_t length = 0;
  uint32_t stream_id = 0;
  H2FrameType type = H2FrameType::data;
  uint8_t flags = 0;

  bool has(uint8_t flag) const { return (flags & flag) != 0; }
};

H2FrameHeader parse_frame_header(const char* nine_bytes);
// Returns the end of what was written: nine bytes.
char* put_frame_header(char* out, const H2FrameHeader& header);

// Why a connection, or a stream, is given up.
struct H2Fault {
  H2Code code = H2Code::no_error;
  const char* detail = nullptr;  // static; null: no fault
  explicit operator bool() const { return detail != nullptr; }
};

// What is wrong for the whole connection with a frame of a known type, whatever the state: its length, its stream.
H2Fault check_frame_header(const H2FrameHeader& header);

// Static text for a reset by the peer with `code`.
const char* h2_reset_text(uint32_t code);

}  // namespace ringside
