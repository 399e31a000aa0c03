#include <algorithm>
#include <cstring>
#include <memory>

#include "codecs/mongo/mongo_inflater.h"

namespace ringside {

namespace {

// A block: its length when decompressed (a varint), then elements. An element begins with a byte whose low two bits say what it
// is: a literal (its bytes follow) or a copy of what came out before, with a distance of 11, 16 or 32 bits.
class SnappyInflater final : public MongoInflater {
 public:
  void begin(uint32_t uncompressed_bytes) override {
    state_ = State::preamble;
    announced_bytes_ = uncompressed_bytes;
    left_bytes_ = 0;
    gathered_ = shift_ = 0;
    end_ = seen_ = 0;
  }

  bool next(std::string_view& bytes, std::string_view& out) override {
    make_room();
    const size_t begin = end_;
    const bool good = read(bytes);
    out = {window_.get() + begin, end_ - begin};
    return good;
  }

 private:
  enum class State : uint8_t { preamble, tag, argument, literal, copy, broken };

  // Encoders work on blocks of 64 KB: no copy reaches back further.
  static constexpr size_t distance_max = 64 * 1024;
  static constexpr size_t window_bytes = 2 * distance_max;

  // What is far enough behind goes: a copy may still need the last 64 KB.
  void make_room() {
    if (end_ < window_bytes) return;
    std::memmove(window_.get(), window_.get() + end_ - distance_max, distance_max);
    end_ = distance_max;
  }

  bool read(std::string_view& bytes) {
    for (;;) {
      switch (state_) {
        case State::preamble:
          if (bytes.empty()) return true;
          if (!read_preamble(take(bytes))) return fail();
          break;
        case State::tag:
          if (bytes.empty()) return true;
          if (left_bytes_ == 0 || !read_tag(take(bytes))) return fail();
          break;
        case State::argument:
          if (bytes.empty()) return true;
          if (!read_argument(take(bytes))) return fail();
          break;
        case State::literal:
          if (!copy_literal(bytes)) return true;
          break;
        case State::copy:
          if (!copy_back()) return true;
          break;
        case State::broken: return false;
      }
    }
  }

  static uint8_t take(std::string_view& bytes) {
    const auto byte = static_cast<uint8_t>(bytes.front());
    bytes.remove_prefix(1);
    return byte;
  }

  bool fail() {
    state_ = State::broken;
    return false;
  }

  bool read_preamble(uint8_t byte) {
    if (shift_ > 28) return false;
    const uint64_t part = uint64_t{byte & 0x7fu} << shift_;
    gathered_ = static_cast<uint32_t>(gathered_ + part);
    shift_ = static_cast<uint8_t>(shift_ + 7);
    if (part > UINT32_MAX) return false;
    if ((byte & 0x80) != 0) return true;
    left_bytes_ = gathered_;
    state_ = State::tag;
    return gathered_ == announced_bytes_;
  }

  bool read_tag(uint8_t byte) {
    const uint32_t size = byte >> 2;
    gathered_ = shift_ = 0;
    kind_ = byte & 3;
    state_ = State::argument;
    switch (kind_) {
      case 0:
        arguments_left_ = size < 60 ? 0 : static_cast<uint8_t>(size - 59);
        if (arguments_left_ == 0) return begin_element(State::literal, size + 1);
        return true;
      case 1:
        element_bytes_ = (size & 7) + 4;
        high_ = size >> 3;
        arguments_left_ = 1;
        return true;
      default:
        element_bytes_ = size + 1;
        high_ = 0;
        arguments_left_ = kind_ == 2 ? 2 : 4;
        return true;
    }
  }

  bool read_argument(uint8_t byte) {
    gathered_ += uint32_t{byte} << shift_;
    shift_ = static_cast<uint8_t>(shift_ + 8);
    if (--arguments_left_ != 0) return true;
    if (kind_ == 0) return gathered_ != UINT32_MAX && begin_element(State::literal, gathered_ + 1);
    distance_ = gathered_ + (high_ << 8);
    if (distance_ == 0 || distance_ > distance_max || distance_ > seen_) return false;
    return begin_element(State::copy, element_bytes_);
  }

  bool begin_element(State state, uint32_t size) {
    if (size > left_bytes_) return false;
    left_bytes_ -= size;
    element_bytes_ = size;
    state_ = state;
    return true;
  }

  // true: the element is over; false: bytes or room are used up.
  bool copy_literal(std::string_view& bytes) {
    const size_t part = std::min({bytes.size(), size_t{element_bytes_}, window_bytes - end_});
    if (part == 0) return false;
    std::memcpy(window_.get() + end_, bytes.data(), part);
    bytes.remove_prefix(part);
    return advance(part);
  }

  bool copy_back() {
    const size_t part = std::min<size_t>(element_bytes_, window_bytes - end_);
    char* to = window_.get() + end_;
    const char* from = to - distance_;
    for (size_t at = 0; at < part; ++at) to[at] = from[at];  // may overlap: that repeats a pattern
    return advance(part);
  }

  bool advance(size_t part) {
    end_ += part;
    seen_ = std::min(seen_ + part, distance_max);
    element_bytes_ -= static_cast<uint32_t>(part);
    if (element_bytes_ != 0) return false;
    state_ = State::tag;
    return true;
  }

  std::unique_ptr<char[]> window_ = std::make_unique_for_overwrite<char[]>(window_bytes);
  size_t end_ = 0;   // of what came out, in the window
  size_t seen_ = 0;  // how far a copy may reach back
  uint32_t announced_bytes_ = 0;
  uint32_t left_bytes_ = 0;  // to come out behind the element under way
  uint32_t element_bytes_ = 0;
  uint32_t distance_ = 0;
  uint32_t high_ = 0;
  uint32_t gathered_ = 0;
  uint8_t shift_ = 0;
  uint8_t arguments_left_ = 0;
  uint8_t kind_ = 0;
  State state_ = State::preamble;
};

}  // namespace

std::unique_ptr<MongoInflater> make_snappy_inflater() { return std::make_unique<SnappyInflater>(); }

}  // namespace ringside
