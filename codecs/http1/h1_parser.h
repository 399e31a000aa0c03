#pragma once
// The llhttp adapter: bytes of a head, or of a trailer section, into field lines.
//
// llhttp (8.1, and not in its strict mode in Debian) tolerates bare line ends, folded lines, spaces before the colon, several
// spaces in the start line and more. So it is asked only where the names are and where the head ends; then every byte between
// them is accounted for here, and what does not fit the grammar of RFC 9112 exactly is refused. Nothing depends on how lenient
// the installed version is. Bodies and chunks do not pass through llhttp: see h1_chunks.h.
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "codecs/header_map.h"
#include "codecs/http1/h1_limits.h"
#include "core/error.h"

namespace ringside {

enum class H1Part : uint8_t { request, response, trailers };

// Why a message is refused, and what a server answers. `status` 0: nothing to answer.
struct H1Failure {
  const char* detail = "";
  ErrorCode code = ErrorCode::bad_message;
  uint16_t status = 400;
};

// One field line: offsets into the head's text.
struct H1Line {
  uint32_t name = 0;
  uint32_t value = 0;
  uint32_t value_size = 0;
  uint16_t name_size = 0;
  HeaderId id = HeaderId::other;
  bool dropped = false;  // not to be forwarded
};

// Memory for one head being parsed. Taken with its first byte, given back with its last.
class H1Scratch {
 public:
  H1Scratch() = default;
  H1Scratch(const H1Scratch&) = delete;
  H1Scratch& operator=(const H1Scratch&) = delete;

  // The head as received: where it was received if it came in one piece, otherwise gathered here.
  const char* text() const { return text_; }
  std::string_view view(size_t offset, size_t size) const { return {text_ + offset, size}; }
  uint32_t size() const { return size_; }
  std::vector<H1Line>& lines() { return lines_; }
  // Where the request target lies.
  uint32_t target() const { return target_; }
  uint32_t target_size() const { return target_size_; }
  std::string_view value(const H1Line& line) const { return view(line.value, line.value_size); }
  std::string_view name(const H1Line& line) const { return view(line.name, line.name_size); }

 private:
  friend class H1HeadParser;
  friend class H1ScratchPool;
  friend struct H1Callbacks;
  static constexpr size_t engine_bytes = 96;  // llhttp's state
  void begin(H1Part part, const H1Limits& limits);
  void gather(std::string_view bytes);
  void shrink();

  alignas(8) unsigned char engine_[engine_bytes];
  const char* text_ = nullptr;
  std::unique_ptr<char[]> gathered_;
  std::vector<H1Line> lines_;
  H1Scratch* next_ = nullptr;  // in the pool's list
  // Of the call to llhttp under way: position 0 of the head, as if all of it were contiguous with the bytes given.
  uintptr_t origin_ = 0;
  uint32_t capacity_ = 0;
  uint32_t size_ = 0;
  uint32_t target_ = 0;
  uint32_t target_size_ = 0;
  uint32_t lines_max_ = 0;
  bool too_many_lines_ = false;
  bool name_too_long_ = false;
};

// Scratch memory of one worker.
class H1ScratchPool {
 public:
  H1ScratchPool() = default;
  H1ScratchPool(const H1ScratchPool&) = delete;
  H1ScratchPool& operator=(const H1ScratchPool&) = delete;
  ~H1ScratchPool();
  H1Scratch* take();
  void give(H1Scratch* scratch);

 private:
  H1Scratch* spare_ = nullptr;
  uint32_t spare_count_ = 0;
};

// Parses one head at a time, at any split of its bytes. A pointer in size, and null between heads.
class H1HeadParser {
 public:
  enum class Step : uint8_t { more, done, failed };

  bool started() const { return scratch_ != nullptr; }
  // Takes bytes until the head is complete; `consumed` says how many. Failures are described in `failure`.
  Step feed(H1ScratchPool& pool, const H1Limits& limits, H1Part part, std::string_view bytes, size_t& consumed,
            H1Failure& failure);
  // After `done`: the complete head, checked line by line; its text lies in the bytes given if they held all of it.
  H1Scratch& head() { return *scratch_; }
  void release(H1ScratchPool& pool) {
    if (scratch_ != nullptr) pool.give(scratch_);
    scratch_ = nullptr;
  }

 private:
  H1Scratch* scratch_ = nullptr;
};

}  // namespace ringside
