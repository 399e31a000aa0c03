#pragma once
// Is a text that comes in pieces UTF-8 (RFC 3629: no surrogates, nothing overlong, nothing above U+10FFFF)?
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace ringside {

class Utf8Check {
 public:
  // The next bytes, each XORed with the byte of `mask` whose turn it is, lowest first; 0: as they are. False as soon as no text can
  // begin like that; nothing may follow then.
  bool read(std::string_view bytes, uint32_t mask = 0);
  // Whether it may end here.
  bool whole() const { return state_ == 0; }
  void restart() { state_ = 0; }

 private:
  uint8_t state_ = 0;  // what must follow; see utf8_check.cc
};

}  // namespace ringside
