#include "core/buffer.h"

#include <new>

namespace ringside {

Buffer::Buffer(Buffer&& other) noexcept { *this = std::move(other); }

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  if (this == &other) return *this;
  clear();
  if (other.heap_ != nullptr) {
    heap_ = std::exchange(other.heap_, nullptr);
    capacity_ = std::exchange(other.capacity_, inline_slots);
    first_ = std::exchange(other.first_, 0);
    count_ = std::exchange(other.count_, 0);
    size_bytes_ = std::exchange(other.size_bytes_, 0);
    return *this;
  }
  while (!other.empty()) append(other.pop_front());
  return *this;
}

Buffer::~Buffer() { clear(); }

void Buffer::append(Slice piece) {
  if (piece.empty()) return;
  size_bytes_ += piece.size();
  if (count_ > 0 && slots()[(first_ + count_ - 1) & (capacity_ - 1)].try_extend(piece)) return;
  if (count_ == capacity_) grow();
  new (&slots()[(first_ + count_) & (capacity_ - 1)]) Slice(std::move(piece));
  ++count_;
}

void Buffer::grow() {
  const uint32_t capacity = capacity_ * 4;
  auto* bigger = static_cast<Slice*>(::operator new(capacity * sizeof(Slice)));
  for (uint32_t at = 0; at < count_; ++at) {
    Slice& old = slots()[(first_ + at) & (capacity_ - 1)];
    new (&bigger[at]) Slice(std::move(old));
    old.~Slice();
  }
  ::operator delete(heap_);
  heap_ = bigger;
  capacity_ = capacity;
  first_ = 0;
}

void Buffer::drop_first() {
  slots()[first_].~Slice();
  first_ = (first_ + 1) & (capacity_ - 1);
  if (--count_ > 0) return;
  first_ = 0;
  if (heap_ == nullptr) return;
  ::operator delete(heap_);
  heap_ = nullptr;
  capacity_ = inline_slots;
}

void Buffer::consume(size_t bytes) {
  RS_CHECK(bytes <= size_bytes_);
  size_bytes_ -= bytes;
  while (bytes > 0) {
    Slice& front = slots()[first_];
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
  Slice front = std::move(slots()[first_]);
  size_bytes_ -= front.size();
  drop_first();
  return front;
}

void Buffer::clear() {
  while (count_ > 0) drop_first();
  size_bytes_ = 0;
}

}  // namespace ringside
