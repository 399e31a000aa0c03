#include "codecs/http2/h2_frame.h"

#include <array>

#include "codecs/http2/h2_limits.h"

namespace ringside {

H2FrameHeader parse_frame_header(const char* nine_bytes) {
  H2FrameHeader header;
  header.length = h2::get_u32(nine_bytes) >> 8;
  header.type = static_cast<H2FrameType>(nine_bytes[3]);
  header.flags = static_cast<uint8_t>(nine_bytes[4]);
  header.stream_id = h2::get_u32(nine_bytes + 5) & 0x7fffffff;  // the reserved bit is ignored
  return header;
}

char* put_frame_header(char* out, const H2FrameHeader& header) {
  h2::put_u32(out, header.length << 8 | static_cast<uint32_t>(header.type));
  out[4] = static_cast<char>(header.flags);
  return h2::put_u32(out + 5, header.stream_id);
}

namespace {

constexpr H2Fault wrong_size(const char* detail) { return {H2Code::frame_size_error, detail}; }
constexpr H2Fault wrong(const char* detail) { return {H2Code::protocol_error, detail}; }

// Room for what stands in front of the payload proper.
H2Fault check_prefix(const H2FrameHeader& header) {
  uint32_t prefix = header.has(h2::padded) ? 1 : 0;
  if (header.type == H2FrameType::headers && header.has(h2::priority)) prefix += 5;
  if (header.length < prefix) return wrong_size("frame too short for its flags");
  return {};
}

H2Fault check_settings(const H2FrameHeader& header) {
  if (header.stream_id != 0) return wrong("SETTINGS on a stream");
  if (header.has(h2::ack) && header.length != 0) return wrong_size("SETTINGS acknowledgement with a payload");
  if (header.length % 6 != 0) return wrong_size("SETTINGS of a wrong size");
  return {};
}

}  // namespace

H2Fault check_frame_header(const H2FrameHeader& header) {
  if (header.length > h2::frame_default_bytes_max) return wrong_size("frame larger than allowed");
  const bool on_connection = header.stream_id == 0;
  switch (header.type) {
    case H2FrameType::data:
      if (on_connection) return wrong("DATA without a stream");
      return check_prefix(header);
    case H2FrameType::headers:
      if (on_connection) return wrong("HEADERS without a stream");
      return check_prefix(header);
    case H2FrameType::priority:
      if (on_connection) return wrong("PRIORITY without a stream");
      return {};  // a wrong size is the stream's fault only
    case H2FrameType::reset:
      if (on_connection) return wrong("RST_STREAM without a stream");
      return header.length == 4 ? H2Fault{} : wrong_size("RST_STREAM of a wrong size");
    case H2FrameType::settings: return check_settings(header);
    case H2FrameType::push_promise: return wrong("PUSH_PROMISE, which was not allowed");
    case H2FrameType::ping:
      if (!on_connection) return wrong("PING on a stream");
      return header.length == 8 ? H2Fault{} : wrong_size("PING of a wrong size");
    case H2FrameType::goaway:
      if (!on_connection) return wrong("GOAWAY on a stream");
      return header.length >= 8 ? H2Fault{} : wrong_size("GOAWAY of a wrong size");
    case H2FrameType::window_update:
      return header.length == 4 ? H2Fault{} : wrong_size("WINDOW_UPDATE of a wrong size");
    case H2FrameType::continuation: return wrong("CONTINUATION without a header block");
    case H2FrameType::metadata: break;
  }
  return {};
}

const char* h2_reset_text(uint32_t code) {
  static constexpr std::array<const char*, 14> names = {"peer reset the stream: NO_ERROR",
                                                        "peer reset the stream: PROTOCOL_ERROR",
                                                        "peer reset the stream: INTERNAL_ERROR",
                                                        "peer reset the stream: FLOW_CONTROL_ERROR",
                                                        "peer reset the stream: SETTINGS_TIMEOUT",
                                                        "peer reset the stream: STREAM_CLOSED",
                                                        "peer reset the stream: FRAME_SIZE_ERROR",
                                                        "peer reset the stream: REFUSED_STREAM",
                                                        "peer reset the stream: CANCEL",
                                                        "peer reset the stream: COMPRESSION_ERROR",
                                                        "peer reset the stream: CONNECT_ERROR",
                                                        "peer reset the stream: ENHANCE_YOUR_CALM",
                                                        "peer reset the stream: INADEQUATE_SECURITY",
                                                        "peer reset the stream: HTTP_1_1_REQUIRED"};
  return code < names.size() ? names[code] : "peer reset the stream: unknown code";
}

}  // namespace ringside
