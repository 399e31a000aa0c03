#include "tls/record_counter.h"

#include <algorithm>

namespace ringside {

void RecordCounter::pass(const char* bytes, size_t size) {
  constexpr uint8_t encrypted = 23;
  size_t at = 0;
  while (at < size) {
    if (filled_ < header_bytes) {
      header_[filled_++] = static_cast<uint8_t>(bytes[at++]);
      if (filled_ < header_bytes) continue;
      body_left_ = static_cast<uint32_t>(header_[3]) << 8 | header_[4];
    }
    const size_t part = std::min<size_t>(body_left_, size - at);
    body_left_ -= static_cast<uint32_t>(part);
    at += part;
    if (body_left_ > 0) continue;
    filled_ = 0;
    if (header_[0] == encrypted) ++count_;
  }
}

}  // namespace ringside
