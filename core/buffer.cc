#include "core/buffer.h"

#include <new>

namespace ringside {
namespace {

constexpr uint32_t slots_first_log = 2;
constexpr uint32_t slots_first = 1U << slots_first_log;
constexpr uint32_t rows_spare_max = 64;

// Rows of the first size that no buffer needs now. Per thread, as buffers are: there is nothing of the worker that a Buffer could
// ask, and a pointer in each would cost an idle connection as much as the row.
struct SpareRows {
  struct Row {
    Row* next;
  };
  Row* first = nullptr;
  uint32_t count = 0;
  ~SpareRows() {
    while (first != nullptr) ::operator delete(std::exchange(first, first->next));
    count = rows_spare_max;  // buffers that outlive this keep nothing
  }
};
thread_local SpareRows spare_rows;

Slice* take_row(uint32_t slots) {
  if (slots != slots_first || spare_rows.first == nullptr) return static_cast<Slice*>(::operator new(slots * sizeof(Slice)));
  --spare_rows.count;
  return reinterpret_cast<Slice*>(std::exchange(spare_rows.first, spare_rows.first->next));
}

void give_row(Slice* row, uint32_t slots) {
  if (slots != slots_first || spare_rows.count >= rows_spare_max) return ::operator delete(row);
  spare_rows.first = new (row) SpareRows::Row{spare_rows.first};
  ++spare_rows.count;
}

}  // namespace

Buffer::Buffer(Buffer&& other) noexcept { *this = std::move(other); }

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  if (this == &other) return *this;
  clear();
  slots_ = std::exchange(other.slots_, nullptr);
  size_bytes_ = std::exchange(other.size_bytes_, 0);
  count_ = std::exchange(other.count_, 0);
  first_ = other.first_;
  capacity_log_ = other.capacity_log_;
  other.first_ = 0;
  return *this;
}

void Buffer::append(Slice piece) {
  if (piece.empty()) return;
  size_bytes_ += piece.size();
  if (count_ > 0 && slots_[place(count_ - 1)].try_extend(piece)) return;
  if (count_ == capacity()) grow();
  new (&slots_[place(count_)]) Slice(std::move(piece));
  ++count_;
}

void Buffer::grow() {
  const uint32_t log = slots_ == nullptr ? slots_first_log : capacity_log_ + 2U;
  RS_CHECK((1U << log) <= slots_max);
  Slice* bigger = take_row(1U << log);
  for (uint32_t at = 0; at < count_; ++at) {
    Slice& old = slots_[place(at)];
    new (&bigger[at]) Slice(std::move(old));
    old.~Slice();
  }
  if (slots_ != nullptr) give_row(slots_, capacity());
  slots_ = bigger;
  capacity_log_ = log & 0x1f;
  first_ = 0;
}

void Buffer::drop_first() {
  slots_[first_].~Slice();
  first_ = place(1) & (slots_max - 1);
  if (--count_ > 0) return;
  const uint32_t slots = capacity();
  give_row(std::exchange(slots_, nullptr), slots);
  first_ = 0;
}

void Buffer::consume(size_t bytes) {
  RS_CHECK(bytes <= size_bytes_);
  size_bytes_ -= bytes;
  while (bytes > 0) {
    Slice& front = slots_[first_];
    if (front.size() > bytes) {
      front.remove_prefix(bytes);
      return;
    }
    bytes -= front.size();
    drop_first();
  }
}

Slice Buffer::pop_front() {
  RS_CHECK(count_ > 0);
  Slice front = std::move(slots_[first_]);
  size_bytes_ -= front.size();
  drop_first();
  return front;
}

void Buffer::clear() {
  while (count_ > 0) drop_first();
  size_bytes_ = 0;
}

}  // namespace ringside
