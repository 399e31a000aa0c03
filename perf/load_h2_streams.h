#pragma once
// The streams of one connection that are under way, found by their number at the cost of an index.
#include <cstdint>
#include <utility>
#include <vector>

#include "core/check.h"

namespace ringside::perf {

// Numbers of one parity that go up: the table is as wide as the span from the oldest to the newest.
template <class State>
class LoadStreams {
 public:
  // A new state for `stream_id`, which is not zero and not in the table. Valid until the next call of add().
  State& add(uint32_t stream_id) {
    while (slot(stream_id).stream_id != 0) grow();
    Slot& found = slot(stream_id);
    found = {stream_id, {}};
    ++count_;
    return found.state;
  }
  // Null: not there.
  State* find(uint32_t stream_id) {
    Slot& found = slot(stream_id);
    return found.stream_id == stream_id ? &found.state : nullptr;
  }
  void remove(uint32_t stream_id) {
    RS_CHECK(slot(stream_id).stream_id == stream_id);
    slot(stream_id).stream_id = 0;
    --count_;
  }
  void clear() {
    slots_.assign(slots_.size(), {});
    count_ = 0;
  }
  size_t count() const { return count_; }
  // Calls `visit(stream_id, state)` for each.
  template <class Visit>
  void each(Visit visit) {
    for (Slot& at : slots_)
      if (at.stream_id != 0) visit(at.stream_id, at.state);
  }

 private:
  static constexpr size_t first_slots = 8;
  static constexpr size_t slots_max = size_t{1} << 22;
  struct Slot {
    uint32_t stream_id = 0;
    State state{};
  };

  Slot& slot(uint32_t stream_id) { return slots_[(stream_id >> 1) & (slots_.size() - 1)]; }
  void grow() {
    std::vector<Slot> old(slots_.size() * 2);
    RS_CHECK(old.size() <= slots_max);
    old.swap(slots_);
    for (Slot& at : old)
      if (at.stream_id != 0) slot(at.stream_id) = std::move(at);
  }

  std::vector<Slot> slots_ = std::vector<Slot>(first_slots);
  size_t count_ = 0;
};

}  // namespace ringside::perf
