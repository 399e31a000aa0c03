#include "codecs/grpc.h"

#include <algorithm>

namespace ringside {

size_t GrpcFrameReader::read_message_part(std::string_view bytes) {
  size_t at = 0;
  while (left_ == 0 && at < bytes.size()) {
    if (header_read_ == 0) length_ = 0;  // the flags
    else length_ = length_ << 8 | static_cast<unsigned char>(bytes[at]);
    ++at;
    if (++header_read_ < grpc_frame_header_bytes) continue;
    header_read_ = 0;
    left_ = length_;
    if (left_ == 0) return at;
  }
  const size_t body = std::min<size_t>(left_, bytes.size() - at);
  left_ -= static_cast<uint32_t>(body);
  return at + body;
}

uint32_t GrpcFrameReader::read(std::string_view bytes) {
  uint32_t begun = 0;
  while (!bytes.empty()) {
    if (between_messages()) ++begun;
    bytes.remove_prefix(read_message_part(bytes));
  }
  return begun;
}

}  // namespace ringside
