#pragma once
// Memory for objects of one type on one worker: in pages, without a header per object, so that ten thousand idle ones are no larger
// than they must be; a freed place is handed out next, while it is warm.
#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>

#include "core/check.h"
#include "core/intrusive_list.h"

namespace ringside {

// Memory of a power of two of bytes, at a multiple of that; zeroed, and not there before it is touched. From the system itself: an
// allocator loses as much as it gives when it has to align.
void* map_aligned(size_t bytes);
void unmap(void* memory, size_t bytes);

template <class T>
class Slab {
 public:
  // Keeps pages for at most so many objects when they are empty.
  explicit Slab(size_t spare_max) : empty_max_(spare_max / places + 1) {}
  Slab(const Slab&) = delete;
  Slab& operator=(const Slab&) = delete;
  ~Slab() {
    RS_CHECK(live_ == 0);
    while (Page* page = with_room_.pop_front()) free_page(page);
  }

  template <class... Args>
  T* make(Args&&... args) {
    if (with_room_.empty()) add_page();
    Page& page = with_room_.front();
    void* place = page.free;
    if (place != nullptr) {
      page.free = page.free->next;
    } else {
      place = page.place(page.touched++);
    }
    if (page.live++ == 0) --empty_;
    if (page.live == places) with_room_.pop_front();
    ++live_;
    return ::new (place) T(std::forward<Args>(args)...);
  }
  void destroy(T* object) {
    object->~T();
    --live_;
    Page& page = *reinterpret_cast<Page*>(reinterpret_cast<uintptr_t>(object) & ~(page_bytes - 1));
    page.free = new (object) Free{page.free};
    if (page.live-- == places) with_room_.push_front(page);
    if (page.live > 0) return;
    if (empty_ < empty_max_) {
      ++empty_;
      return;
    }
    page.unlink();
    free_page(&page);
  }
  size_t live() const { return live_; }

 private:
  struct Free {
    Free* next;
  };
  struct Page : Link<Page> {
    Free* free = nullptr;
    uint32_t touched = 0;  // places that were ever used: the memory behind them is not even mapped
    uint32_t live = 0;
    void* place(size_t index) { return reinterpret_cast<char*>(this) + first_place + index * sizeof(T); }
  };
  static constexpr size_t round_up(size_t bytes, size_t to) { return (bytes + to - 1) / to * to; }
  // An object finds its page by its address.
  static constexpr size_t page_bytes = 64 * 1024;
  static constexpr size_t first_place = round_up(sizeof(Page), alignof(T));
  static constexpr size_t places = (page_bytes - first_place) / sizeof(T);
  static_assert(sizeof(T) >= sizeof(Free) && places >= 4);

  void add_page() {
    with_room_.push_back(*new (map_aligned(page_bytes)) Page);
    ++empty_;
  }
  static void free_page(Page* page) {
    page->~Page();
    unmap(page, page_bytes);
  }

  List<Page, Page> with_room_;
  size_t live_ = 0;
  size_t empty_ = 0;  // pages without an object
  size_t empty_max_;
};

}  // namespace ringside
