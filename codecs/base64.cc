#include "codecs/base64.h"

namespace ringside {
namespace {

constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

constexpr std::array<int8_t, 256> make_values() {
  std::array<int8_t, 256> values{};
  values.fill(-1);
  for (size_t at = 0; at < alphabet.size(); ++at) values[static_cast<unsigned char>(alphabet[at])] = static_cast<int8_t>(at);
  return values;
}
constexpr std::array<int8_t, 256> values = make_values();

char* write_group(uint32_t group, char* out) {
  for (int shift = 18; shift >= 0; shift -= 6) *out++ = alphabet[group >> shift & 63];
  return out;
}

uint32_t byte(char c) { return static_cast<unsigned char>(c); }

}  // namespace

size_t Base64Encoder::write(std::string_view bytes, char* out) {
  char* at = out;
  if (kept_size_ != 0 && kept_size_ + bytes.size() >= 3) {
    const bool two = kept_size_ == 2;
    const uint32_t second = two ? kept_[1] : byte(bytes[0]);
    at = write_group(uint32_t{kept_[0]} << 16 | second << 8 | byte(bytes[two ? 0 : 1]), at);
    bytes.remove_prefix(two ? 1 : 2);
    kept_size_ = 0;
  }
  if (kept_size_ == 0)
    for (; bytes.size() >= 3; bytes.remove_prefix(3))
      at = write_group(byte(bytes[0]) << 16 | byte(bytes[1]) << 8 | byte(bytes[2]), at);
  for (const char c : bytes) kept_[kept_size_++] = static_cast<unsigned char>(c);
  return static_cast<size_t>(at - out);
}

size_t Base64Encoder::finish(char* out) {
  if (kept_size_ == 0) return 0;
  write_group(uint32_t{kept_[0]} << 16 | (kept_size_ == 2 ? uint32_t{kept_[1]} << 8 : 0), out);
  if (kept_size_ == 1) out[2] = '=';
  out[3] = '=';
  kept_size_ = 0;
  return 4;
}

size_t Base64Decoder::write(std::string_view text, char* out) {
  char* at = out;
  for (const char c : text) {
    const int8_t value = values[static_cast<unsigned char>(c)];
    if (c == '=' && kept_size_ >= 2) {
      ++padding_;
      kept_ <<= 6;
    } else if (value >= 0 && padding_ == 0) {
      kept_ = kept_ << 6 | static_cast<uint32_t>(value);
    } else {
      return failed;
    }
    if (++kept_size_ < 4) continue;
    for (int shift = 16; shift >= 8 * padding_; shift -= 8) *at++ = static_cast<char>(kept_ >> shift);
    kept_ = 0;
    kept_size_ = padding_ = 0;
  }
  return static_cast<size_t>(at - out);
}

}  // namespace ringside
