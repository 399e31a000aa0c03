#include "codecs/http2/h2_frame_reader.h"

#include <algorithm>
#include <cstring>

namespace ringside {

// True when what is wanted is complete.
bool H2FrameReader::gather(Slice& bytes) {
  const size_t size = std::min<size_t>(wanted_ - gathered_size_, bytes.size());
  if (size > 0) std::memcpy(gathered_ + gathered_size_, bytes.data(), size);
  gathered_size_ = static_cast<uint8_t>(gathered_size_ + size);
  bytes.remove_prefix(size);
  return gathered_size_ == wanted_;
}

H2FrameReader::Step H2FrameReader::next(Slice& bytes) {
  switch (state_) {
    case State::header:
      if (!gather(bytes)) return Step::more;
      header_ = parse_frame_header(gathered_);
      payload_left_ = header_.length;
      padding_left_ = 0;
      return Step::header;
    case State::fixed:
      if (!gather(bytes)) return Step::more;
      state_ = State::payload;
      return Step::fixed;
    case State::payload:
      if (payload_left_ > 0) return bytes.empty() ? Step::more : Step::payload;
      state_ = State::padding;
      [[fallthrough]];
    case State::padding: {
      const size_t size = std::min<size_t>(padding_left_, bytes.size());
      bytes.remove_prefix(size);
      padding_left_ -= static_cast<uint32_t>(size);
      if (padding_left_ > 0) return Step::more;
      state_ = State::header;
      gathered_size_ = 0;
      wanted_ = h2::frame_header_bytes;
      return Step::end;
    }
  }
  check_failed("no such state");
}

void H2FrameReader::expect(uint32_t fixed_bytes) {
  RS_DCHECK(fixed_bytes <= 8 && fixed_bytes <= payload_left_);
  gathered_size_ = 0;
  wanted_ = static_cast<uint8_t>(fixed_bytes);
  payload_left_ -= fixed_bytes;
  state_ = fixed_bytes > 0 ? State::fixed : State::payload;
}

void H2FrameReader::skip() {
  padding_left_ += payload_left_;
  payload_left_ = 0;
  state_ = State::padding;
}

bool H2FrameReader::set_padding(uint32_t padding_bytes) {
  if (padding_bytes > payload_left_) return false;
  payload_left_ -= padding_bytes;
  padding_left_ = padding_bytes;
  return true;
}

bool H2FrameReader::repeat() {
  if (payload_left_ < wanted_) return false;
  expect(wanted_);
  return true;
}

Slice H2FrameReader::take(Slice& bytes) {
  const size_t size = std::min<size_t>(payload_left_, bytes.size());
  payload_left_ -= static_cast<uint32_t>(size);
  if (size == bytes.size()) return std::move(bytes);
  Slice piece = bytes.share(0, size);
  bytes.remove_prefix(size);
  return piece;
}

}  // namespace ringside
