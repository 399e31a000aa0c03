#pragma once
// Counts the encrypted records in a stream of them, cut anywhere. For the sources of this folder only.
#include <cstddef>
#include <cstdint>

namespace ringside {

class RecordCounter {
 public:
  void pass(const char* bytes, size_t size);
  // No record has begun that did not end.
  bool between() const { return filled_ == 0; }
  // Those that ended since the beginning, or the last restart().
  uint64_t count() const { return count_; }
  void restart() { count_ = 0; }

 private:
  static constexpr uint8_t header_bytes = 5;
  uint64_t count_ = 0;
  uint32_t body_left_ = 0;
  uint8_t header_[header_bytes] = {};
  uint8_t filled_ = 0;
};

}  // namespace ringside
