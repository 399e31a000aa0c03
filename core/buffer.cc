#include "core/buffer.h"

#include <new>

namespace ringside {
namespace {

constexpr uint32_t slots_first = 4;
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
  capacity_ = std::exchange(other.capacity_, 0);
  first_ = std::exchange(other.first_, 0);
  count_ = std::exchange(other.count_, 0);
  return *this;
}

void Buffer::append(Slice piece) {
  if (piece.empty()) return;
  size_bytes_ += piece.size();
  if (count_ > 0 && slots_[(first_ + count_ - 1) & (capacity_ - 1)].try_extend(piece)) return;
  if (count_ == capacity_) grow();
  new (&slots_[(first_ + count_) & (capacity_ - 1)]) Slice(std::move(piece));
  ++count_;
}

void Buffer::grow() {
  const uint32_t capacity = capacity_ == 0 ? slots_first : capacity_ * 4;
  Slice* bigger = take_row(capacity);
  for (uint32_t at = 0; at < count_; ++at) {
    Slice& old = slots_[(first_ + at) & (capacity_ - 1)];
    new (&bigger[at]) Slice(std::move(old));
    old.~Slice();
  }
  if (slots_ != nullptr) give_row(slots_, capacity_);
  slots_ = bigger;
  capacity_ = capacity;
  first_ = 0;
}

void Buffer::drop_first() {
  slots_[first_].~Slice();
  first_ = (first_ + 1) & (capacity_ - 1);
  if (--count_ > 0) return;
  give_row(std::exchange(slots_, nullptr), capacity_);
  capacity_ = first_ = 0;
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
