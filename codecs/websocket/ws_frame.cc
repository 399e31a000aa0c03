#include "codecs/websocket/ws_frame.h"

#include "codecs/http_text.h"
#include "core/check.h"

namespace ringside {
namespace {

constexpr char final_close = static_cast<char>(0x88);
constexpr char masked = static_cast<char>(0x80);

char* put_payload(char* out, uint16_t code, std::string_view reason) {
  RS_CHECK(ws_close::may_be_sent(code));
  *out++ = static_cast<char>(code >> 8);
  *out++ = static_cast<char>(code);
  return http::put(out, reason);
}

}  // namespace

WsCloseFrame::WsCloseFrame(uint16_t code, std::string_view reason) {
  reason = reason.substr(0, reason_bytes_max);
  bytes_[0] = final_close;
  bytes_[1] = static_cast<char>(2 + reason.size());
  size_ = static_cast<uint8_t>(put_payload(bytes_.data() + 2, code, reason) - bytes_.data());
}

WsCloseFrame::WsCloseFrame(uint16_t code, std::string_view reason, uint32_t mask) {
  reason = reason.substr(0, reason_bytes_max);
  bytes_[0] = final_close;
  bytes_[1] = static_cast<char>(masked | static_cast<char>(2 + reason.size()));
  std::array<char, 4> key;
  for (size_t at = 0; at < key.size(); ++at) bytes_[2 + at] = key[at] = static_cast<char>(mask >> 8 * at);
  char* const payload = bytes_.data() + 6;
  size_ = static_cast<uint8_t>(put_payload(payload, code, reason) - bytes_.data());
  for (size_t at = 0; at + 6 < size_; ++at) payload[at] = static_cast<char>(payload[at] ^ key[at % key.size()]);
}

}  // namespace ringside
