#pragma once
// Where generated text is appended. Room is made ahead of time, so that putting bytes costs no check each.
#include <cstddef>
#include <cstring>
#include <string_view>

#include "core/arena.h"

namespace ringside {

class TextSink {
 public:
  TextSink(const TextSink&) = delete;
  TextSink& operator=(const TextSink&) = delete;
  // At least `bytes` contiguous bytes; what was put before may move or be gone already. Valid until the next call.
  char* reserve(size_t bytes) {
    if (static_cast<size_t>(end_ - at_) < bytes) [[unlikely]]
      grow(bytes);
    return at_;
  }
  // The text now ends here; within what was reserved.
  void commit(char* end) { at_ = end; }
  void put(std::string_view text) {
    if (!text.empty()) std::memcpy(reserve(text.size()), text.data(), text.size());
    at_ += text.size();
  }
  void put(char c) {
    *reserve(1) = c;
    ++at_;
  }
  // Of what is in the sink's present piece of memory.
  size_t size() const { return static_cast<size_t>(at_ - begin_); }

 protected:
  TextSink() = default;
  ~TextSink() = default;
  // Makes room for so many bytes at at_. What was put before may be passed on.
  virtual void grow(size_t bytes) = 0;
  char* begin_ = nullptr;
  char* at_ = nullptr;
  char* end_ = nullptr;
};

// Text in an Arena: for values of header fields.
class ArenaText final : public TextSink {
 public:
  explicit ArenaText(Arena& arena) : arena_(arena) {}
  // All of it.
  std::string_view text() const { return {begin_, size()}; }

 private:
  void grow(size_t bytes) override {
    const size_t used = size(), capacity = (used + bytes) * 2 + 64;
    char* memory = arena_.allocate_text(capacity);
    if (used > 0) std::memcpy(memory, begin_, used);
    begin_ = memory;
    at_ = memory + used;
    end_ = memory + capacity;
  }
  Arena& arena_;
};

}  // namespace ringside
