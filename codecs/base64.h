#pragma once
// Base64 (RFC 4648 4) of bytes that come in pieces.
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace ringside {

class Base64Encoder {
 public:
  static constexpr size_t text_bytes_max(size_t bytes) { return (bytes + 2) / 3 * 4 + 4; }
  // Writes what `bytes` complete; up to two are kept for the next call. `out` has room for text_bytes_max(bytes.size()).
  size_t write(std::string_view bytes, char* out);
  // Ends the text with what is kept, and padding. `out` has room for four.
  size_t finish(char* out);

 private:
  std::array<unsigned char, 2> kept_{};
  uint8_t kept_size_ = 0;
};

class Base64Decoder {
 public:
  static constexpr size_t bytes_max(size_t text_bytes) { return (text_bytes / 4 + 1) * 3; }
  static constexpr size_t failed = static_cast<size_t>(-1);
  // Up to three characters are kept for the next call. Padded texts may follow each other. `out` has room for
  // bytes_max(text.size()). Returns how many bytes it wrote, or `failed`.
  size_t write(std::string_view text, char* out);
  // Whether the text is whole so far.
  bool between_groups() const { return kept_size_ == 0; }

 private:
  uint32_t kept_ = 0;
  uint8_t kept_size_ = 0;
  uint8_t padding_ = 0;
};

}  // namespace ringside
