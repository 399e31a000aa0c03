#pragma once
// Cuts received bytes into frames, at any split: header, the fixed part in front of a payload, payload, padding. Keeps nothing
// but nine bytes; payloads are seen where they were received.
#include <cstdint>
#include <string_view>

#include "codecs/http2/h2_frame.h"
#include "core/buffer.h"

namespace ringside {

class H2FrameReader {
 public:
  enum class Step : uint8_t {
    more,     // all bytes were taken
    header,   // header() is complete: say by expect() or skip() how to go on
    fixed,    // fixed() is complete
    payload,  // bytes of the payload: take them by take()
    end,      // the frame is over
  };

  Step next(Slice& bytes);
  const H2FrameHeader& header() const { return header_; }
  // After `header`: the payload begins with so many bytes (8 at most) that are wanted in one piece; 0: none.
  void expect(uint32_t fixed_bytes);
  // After `header`: nothing of this frame matters.
  void skip();
  // After `fixed`: the payload ends with so much padding; false when there is not so much payload.
  bool set_padding(uint32_t padding_bytes);
  // After `fixed`, for a payload that is a row of fixed parts: another one of the same size, if there are bytes left.
  bool repeat();
  std::string_view fixed() const { return {gathered_, gathered_size_}; }
  // Of the payload, without padding, not yet taken.
  uint32_t payload_left() const { return payload_left_; }
  uint32_t padding_left() const { return padding_left_; }
  // After `payload`: as much of it as there is in `bytes`.
  Slice take(Slice& bytes);

 private:
  enum class State : uint8_t { header, fixed, payload, padding };
  bool gather(Slice& bytes);

  H2FrameHeader header_;
  uint32_t payload_left_ = 0;
  uint32_t padding_left_ = 0;
  char gathered_[h2::frame_header_bytes];
  uint8_t gathered_size_ = 0;
  uint8_t wanted_ = h2::frame_header_bytes;
  State state_ = State::header;
};

}  // namespace ringside
