#include "codecs/http2/h2_sent_log.h"

#include "core/check.h"

namespace ringside {

void H2SentLog::push(const Entry& entry) {
  if (count_ > 0) {
    Entry& last = entries()[(first_ + count_ - 1) & (capacity_ - 1)];
    if (last.stream_id == entry.stream_id && last.frames < frames_merged_max) {
      last.framing_bytes += entry.framing_bytes;
      last.body_bytes += entry.body_bytes;
      last.frames = static_cast<uint16_t>(last.frames + entry.frames);
      last.control_frames = static_cast<uint8_t>(last.control_frames + entry.control_frames);
      last.end = last.end || entry.end;
      return;
    }
  }
  if (count_ == capacity_) grow();
  entries()[(first_ + count_) & (capacity_ - 1)] = entry;
  ++count_;
}

void H2SentLog::pop() {
  RS_DCHECK(count_ > 0);
  first_ = (first_ + 1) & (capacity_ - 1);
  if (--count_ > 0) return;
  first_ = 0;
  heap_.reset();
  capacity_ = inline_entries;
}

void H2SentLog::grow() {
  const uint32_t capacity = capacity_ * 4;
  auto bigger = std::make_unique<Entry[]>(capacity);
  for (uint32_t at = 0; at < count_; ++at) bigger[at] = entries()[(first_ + at) & (capacity_ - 1)];
  heap_ = std::move(bigger);
  capacity_ = capacity;
  first_ = 0;
}

}  // namespace ringside
