#pragma once
// The open streams of a connection by their number, and a short memory of those that were reset.
#include <array>
#include <cstdint>
#include <memory>

#include "codecs/http2/h2_limits.h"
#include "codecs/http2/h2_stream.h"

namespace ringside {

// Chained buckets: a few inside the object, more on the heap while there are many streams.
class H2StreamTable {
 public:
  H2Stream* find(uint32_t id) const {
    H2Stream* stream = buckets()[slot_of(id)];
    while (stream != nullptr && stream->id != id) stream = stream->next_in_bucket;
    return stream;
  }
  void insert(H2Stream& stream);
  void remove(H2Stream& stream);
  uint32_t size() const { return count_; }
  bool empty() const { return count_ == 0; }
  // Any one; null when empty.
  H2Stream* any() const;
  // `visit(H2Stream&)` may remove none.
  template <class Visit>
  void for_each(Visit visit) const {
    for (uint32_t slot = 0; slot < slots_; ++slot)
      for (H2Stream* stream = buckets()[slot]; stream != nullptr; stream = stream->next_in_bucket) visit(*stream);
  }

 private:
  static constexpr uint32_t inline_slots = 4;
  // Numbers of one side are all odd or all even.
  uint32_t slot_of(uint32_t id) const { return (id >> 1) & (slots_ - 1); }
  H2Stream* const* buckets() const { return heap_ != nullptr ? heap_.get() : inline_.data(); }
  H2Stream** buckets() { return heap_ != nullptr ? heap_.get() : inline_.data(); }
  void resize(uint32_t slots);

  std::array<H2Stream*, inline_slots> inline_{};
  std::unique_ptr<H2Stream*[]> heap_;
  uint32_t slots_ = inline_slots;  // a power of two
  uint32_t count_ = 0;
};

// Frames that were on their way when a stream was reset are no error; of streams long gone nobody can tell.
class H2ResetMemory {
 public:
  enum class By : uint8_t { nobody, us, peer };
  void remember(uint32_t id, By by);
  By find(uint32_t id) const;
  // An older reset may have been forgotten.
  bool forgets() const { return count_ > h2::streams_remembered_max; }

 private:
  static constexpr uint32_t by_peer = 0x80000000;
  using Ring = std::array<uint32_t, h2::streams_remembered_max>;
  std::unique_ptr<Ring> ring_;
  uint32_t count_ = 0;
  uint32_t next_ = 0;
};

}  // namespace ringside
