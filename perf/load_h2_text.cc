#include "perf/load_h2_text.h"

#include <fmt/format.h>

#include "codecs/http2/h2_frame.h"
#include "core/check.h"
#include "perf/load_h2_scanner.h"

namespace ringside::perf {

H2BlockText& H2BlockText::add(H2Static entry) {
  put_number(0x80, 7, static_cast<size_t>(entry));
  return *this;
}

H2BlockText& H2BlockText::add(H2StaticName name, std::string_view value) {
  put_number(0x00, 4, static_cast<size_t>(name));
  put_string(value);
  return *this;
}

H2BlockText& H2BlockText::add(std::string_view name, std::string_view value) {
  put_number(0x00, 4, 0);
  put_string(name);
  put_string(value);
  return *this;
}

// RFC 7541 5.1
void H2BlockText::put_number(uint8_t first_byte, uint8_t prefix_bits, size_t number) {
  const size_t prefix_max = (size_t{1} << prefix_bits) - 1;
  if (number < prefix_max) {
    text_ += static_cast<char>(first_byte | number);
    return;
  }
  text_ += static_cast<char>(first_byte | prefix_max);
  for (number -= prefix_max; number >= 128; number >>= 7) text_ += static_cast<char>(number % 128 + 128);
  text_ += static_cast<char>(number);
}

void H2BlockText::put_string(std::string_view text) {
  put_number(0x00, 7, text.size());
  text_ += text;
}

std::string headers_frame(const H2BlockText& block, uint8_t flags) {
  const std::string& text = block.text();
  RS_CHECK(text.size() <= H2Scanner::frame_bytes_max);
  std::string frame(h2::frame_header_bytes, '\0');
  put_frame_header(frame.data(), {.length = static_cast<uint32_t>(text.size()),
                                  .type = H2FrameType::headers,
                                  .flags = static_cast<uint8_t>(flags | h2::end_headers)});
  return frame + text;
}

void set_stream(char* frame, uint32_t stream_id) { h2::put_u32(frame + 5, stream_id); }

std::string request_frame(const RequestShape& shape, std::string_view path, Scheme scheme, Call call) {
  const bool has_body = call == Call::grpc || shape.body_bytes > 0;
  H2BlockText block;
  block.add(has_body ? H2Static::method_post : H2Static::method_get)
      .add(scheme == Scheme::https ? H2Static::scheme_https : H2Static::scheme_http)
      .add(H2StaticName::path, path)
      .add(H2StaticName::authority, shape.host);
  if (call == Call::grpc) {
    block.add("te", "trailers").add(H2StaticName::content_type, grpc_content_type);
    block.add(H2StaticName::user_agent, "ringside-load");
    return headers_frame(block, 0);
  }
  block.add(H2StaticName::user_agent, "ringside-load").add(H2StaticName::accept, "*/*");
  if (!has_body) return headers_frame(block, h2::end_stream);
  block.add(H2StaticName::content_type, "text/plain");
  block.add(H2StaticName::content_length, fmt::to_string(shape.body_bytes));
  return headers_frame(block, 0);
}

}  // namespace ringside::perf
