#pragma once
// What was written and is not yet sent, in order: tells whose body left when the kernel took so many bytes.
#include <array>
#include <cstdint>
#include <memory>

namespace ringside {

class H2SentLog {
 public:
  // Neighbouring frames of one stream are one entry; framing counts as sent before body.
  struct Entry {
    uint32_t stream_id = 0;  // 0: control frames, and frames whose body is nobody's
    uint32_t framing_bytes = 0;
    uint32_t body_bytes = 0;
    uint16_t frames = 0;
    uint8_t control_frames = 0;
    bool end = false;  // the last of its stream
  };

  bool empty() const { return count_ == 0; }
  Entry& front() { return entries()[first_]; }
  void pop();
  void push(const Entry& entry);

 private:
  static constexpr uint32_t inline_entries = 4;
  static constexpr uint16_t frames_merged_max = 64;
  Entry* entries() { return heap_ != nullptr ? heap_.get() : inline_.data(); }
  void grow();

  std::array<Entry, inline_entries> inline_{};
  std::unique_ptr<Entry[]> heap_;
  uint32_t capacity_ = inline_entries;  // a power of two
  uint32_t first_ = 0;
  uint32_t count_ = 0;
};

}  // namespace ringside
