#pragma once
// Doubly linked lists through the objects themselves: no allocation, removal without search.
#include "core/check.h"

namespace ringside {

// `Tag` lets an object sit in several lists: derive from Link<A> and Link<B>.
template <class Tag = void>
class Link {
 public:
  Link() = default;
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;
  ~Link() { RS_CHECK(next_ == nullptr); }
  bool linked() const { return next_ != nullptr; }
  void unlink() {
    if (next_ == nullptr) return;
    next_->previous_ = previous_;
    previous_->next_ = next_;
    next_ = previous_ = nullptr;
  }

 private:
  template <class, class>
  friend class List;
  Link* next_ = nullptr;
  Link* previous_ = nullptr;
};

template <class T, class Tag = void>
class List {
 public:
  List() { head_.next_ = head_.previous_ = &head_; }
  List(const List&) = delete;
  List& operator=(const List&) = delete;
  ~List() {
    clear();
    head_.next_ = head_.previous_ = nullptr;
  }

  bool empty() const { return head_.next_ == &head_; }
  void push_back(T& item) { insert_before(head_, item); }
  void push_front(T& item) { insert_before(*head_.next_, item); }
  T& front() { return as_item(*head_.next_); }
  T& back() { return as_item(*head_.previous_); }
  // Null when empty.
  T* pop_front() {
    if (empty()) return nullptr;
    T& item = front();
    static_cast<Link<Tag>&>(item).unlink();
    return &item;
  }
  // Takes over everything that is in `other`.
  void splice_back(List& other) {
    while (T* item = other.pop_front()) push_back(*item);
  }
  void clear() {
    while (pop_front() != nullptr) {
    }
  }
  // `visit(T&)` may unlink the item that it is given, and no other.
  template <class Visit>
  void for_each(Visit visit) {
    for (Link<Tag>* at = head_.next_; at != &head_;) {
      Link<Tag>* next = at->next_;
      visit(as_item(*at));
      at = next;
    }
  }

 private:
  static T& as_item(Link<Tag>& link) { return static_cast<T&>(link); }
  void insert_before(Link<Tag>& place, T& item) {
    Link<Tag>& link = static_cast<Link<Tag>&>(item);
    RS_CHECK(!link.linked());
    link.next_ = &place;
    link.previous_ = place.previous_;
    place.previous_->next_ = &link;
    place.previous_ = &link;
  }
  Link<Tag> head_;
};

}  // namespace ringside
