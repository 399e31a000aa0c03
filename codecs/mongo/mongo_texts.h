#pragma once
// Where the texts of one message's facts lie.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace ringside {

class MongoTexts {
 public:
  void clear() { used_bytes_ = 0; }
  // A copy that lives as long as the message's facts; cut when there is no room left.
  std::string_view keep(std::string_view text) {
    const size_t size = std::min(text.size(), bytes_.size() - used_bytes_);
    char* begin = bytes_.data() + used_bytes_;
    if (size != 0) std::memcpy(begin, text.data(), size);
    used_bytes_ += size;
    return {begin, size};
  }

 private:
  size_t used_bytes_ = 0;
  std::array<char, 4096> bytes_;
};

}  // namespace ringside
