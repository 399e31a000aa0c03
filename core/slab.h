#pragma once
// Memory for objects of one type on one worker: freed ones are handed out again, last in first out, so that the warm one is
// used next and a request costs no malloc.
#include <cstddef>
#include <new>
#include <utility>

#include "core/check.h"

namespace ringside {

template <class T>
class Slab {
 public:
  // Keeps at most `spare_max` freed places.
  explicit Slab(size_t spare_max) : spare_max_(spare_max) {}
  Slab(const Slab&) = delete;
  Slab& operator=(const Slab&) = delete;
  ~Slab() {
    RS_CHECK(live_ == 0);
    while (spare_ != nullptr) ::operator delete(std::exchange(spare_, spare_->next), std::align_val_t{alignof(T)});
  }

  template <class... Args>
  T* make(Args&&... args) {
    void* place = spare_;
    if (place != nullptr) {
      spare_ = spare_->next;
      --spare_count_;
    } else {
      place = ::operator new(sizeof(T), std::align_val_t{alignof(T)});
    }
    ++live_;
    return new (place) T(std::forward<Args>(args)...);
  }
  void destroy(T* object) {
    object->~T();
    --live_;
    if (spare_count_ >= spare_max_) return ::operator delete(object, std::align_val_t{alignof(T)});
    spare_ = new (object) Spare{spare_};
    ++spare_count_;
  }
  size_t live() const { return live_; }

 private:
  struct Spare {
    Spare* next;
  };
  static_assert(sizeof(T) >= sizeof(Spare));
  Spare* spare_ = nullptr;
  size_t spare_count_ = 0;
  size_t spare_max_;
  size_t live_ = 0;
};

}  // namespace ringside
