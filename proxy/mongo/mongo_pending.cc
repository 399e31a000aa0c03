#include "proxy/mongo/mongo_pending.h"

#include <utility>

namespace ringside {

MongoPendingTable::Slot* MongoPendingTable::slot_of(int32_t id) {
  if (capacity_ == 0) return nullptr;
  for (uint32_t at = home(id); slots_[at].used; at = (at + 1) & (capacity_ - 1))
    if (slots_[at].id == id) return &slots_[at];
  return nullptr;
}

MongoPending* MongoPendingTable::find(int32_t request_id) {
  Slot* const slot = slot_of(request_id);
  return slot != nullptr ? &slot->entry : nullptr;
}

MongoPending* MongoPendingTable::add(int32_t request_id, bool& replaced) {
  Slot* slot = slot_of(request_id);
  replaced = slot != nullptr;
  if (replaced) {
    slot->entry = MongoPending();
    return &slot->entry;
  }
  if (size_ >= size_max) return nullptr;
  if ((size_ + 1) * 2 > capacity_) grow();
  uint32_t at = home(request_id);
  while (slots_[at].used) at = (at + 1) & (capacity_ - 1);
  slot = &slots_[at];
  slot->id = request_id;
  slot->used = true;
  ++size_;
  return &slot->entry;
}

void MongoPendingTable::grow() {
  const auto old = std::exchange(slots_, nullptr);
  const uint32_t old_capacity = capacity_;
  capacity_ = old_capacity == 0 ? 2 : old_capacity * 2;
  slots_ = std::make_unique<Slot[]>(capacity_);
  for (uint32_t i = 0; i < old_capacity; ++i) {
    if (!old[i].used) continue;
    uint32_t at = home(old[i].id);
    while (slots_[at].used) at = (at + 1) & (capacity_ - 1);
    slots_[at] = std::move(old[i]);
  }
}

// What stands behind moves up, so that no search ends too early. Slots that are not used are fresh.
void MongoPendingTable::remove(MongoPending& entry) {
  auto hole = static_cast<uint32_t>(reinterpret_cast<Slot*>(&entry) - slots_.get());
  const uint32_t mask = capacity_ - 1;
  for (uint32_t at = (hole + 1) & mask; slots_[at].used; at = (at + 1) & mask) {
    const uint32_t wanted = home(slots_[at].id);
    if (((at - wanted) & mask) < ((at - hole) & mask)) continue;
    slots_[hole] = std::move(slots_[at]);
    hole = at;
  }
  slots_[hole].entry = MongoPending();
  slots_[hole].used = false;
  --size_;
}

}  // namespace ringside
