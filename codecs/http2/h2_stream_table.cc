#include "codecs/http2/h2_stream_table.h"

#include <algorithm>

#include "core/check.h"

namespace ringside {

void H2StreamTable::insert(H2Stream& stream) {
  if (count_ >= slots_ * 2) resize(slots_ * 4);
  H2Stream*& bucket = buckets()[slot_of(stream.id)];
  stream.next_in_bucket = bucket;
  bucket = &stream;
  ++count_;
}

void H2StreamTable::remove(H2Stream& stream) {
  H2Stream** at = &buckets()[slot_of(stream.id)];
  while (*at != &stream) {
    RS_CHECK(*at != nullptr);
    at = &(*at)->next_in_bucket;
  }
  *at = stream.next_in_bucket;
  stream.next_in_bucket = nullptr;
  if (--count_ == 0 && heap_ != nullptr) {
    heap_.reset();
    slots_ = inline_slots;
    inline_.fill(nullptr);
  }
}

void H2StreamTable::resize(uint32_t slots) {
  auto bigger = std::make_unique<H2Stream*[]>(slots);
  for (uint32_t slot = 0; slot < slots_; ++slot) {
    H2Stream* stream = buckets()[slot];
    while (stream != nullptr) {
      H2Stream* const next = stream->next_in_bucket;
      H2Stream*& bucket = bigger[(stream->id >> 1) & (slots - 1)];
      stream->next_in_bucket = bucket;
      bucket = stream;
      stream = next;
    }
  }
  heap_ = std::move(bigger);
  slots_ = slots;
}

H2Stream* H2StreamTable::any() const {
  if (count_ == 0) return nullptr;
  for (uint32_t slot = 0;; ++slot)
    if (buckets()[slot] != nullptr) return buckets()[slot];
}

void H2ResetMemory::remember(uint32_t id, By by) {
  if (ring_ == nullptr) ring_ = std::make_unique<Ring>();
  (*ring_)[next_] = id | (by == By::peer ? by_peer : 0);
  next_ = (next_ + 1) % h2::streams_remembered_max;
  count_ = std::min(count_ + 1, h2::streams_remembered_max + 1);
}

H2ResetMemory::By H2ResetMemory::find(uint32_t id) const {
  if (ring_ == nullptr) return By::nobody;
  for (uint32_t at = 0; at < std::min(count_, h2::streams_remembered_max); ++at)
    if (((*ring_)[at] & ~by_peer) == id) return ((*ring_)[at] & by_peer) != 0 ? By::peer : By::us;
  return By::nobody;
}

}  // namespace ringside
