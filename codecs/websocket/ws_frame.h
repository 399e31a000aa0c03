#pragma once
// The vocabulary of WebSocket frames (RFC 6455 5 and 7): opcodes, close codes, and a Close frame to send.
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace ringside {

enum class WsOpcode : uint8_t { continuation = 0, text = 1, binary = 2, close = 8, ping = 9, pong = 10 };
constexpr bool is_ws_control(WsOpcode opcode) { return (static_cast<uint8_t>(opcode) & 8) != 0; }

// Whose frames: those of a client are masked, those of a server are not.
enum class WsSender : uint8_t { client, server };

inline constexpr size_t ws_header_bytes_max = 14;
inline constexpr size_t ws_control_bytes_max = 125;

namespace ws_close {
inline constexpr uint16_t going_away = 1001;
inline constexpr uint16_t protocol_error = 1002;
inline constexpr uint16_t no_code = 1005;   // a Close frame without a code; never in a frame
inline constexpr uint16_t no_frame = 1006;  // the connection ended without a Close frame; never in a frame
inline constexpr uint16_t not_utf8 = 1007;
inline constexpr uint16_t policy = 1008;
inline constexpr uint16_t too_big = 1009;
// May stand in a frame: registered with IANA, or left to libraries and applications (RFC 6455 7.4.2).
constexpr bool may_be_sent(uint16_t code) {
  if (code >= 3000) return code < 5000;
  return code >= 1000 && code <= 1014 && code != 1004 && code != no_code && code != no_frame;
}
}  // namespace ws_close

// A Close frame as bytes.
class WsCloseFrame {
 public:
  static constexpr size_t reason_bytes_max = 40;
  // Of a server.
  WsCloseFrame(uint16_t code, std::string_view reason);
  // Of a client.
  WsCloseFrame(uint16_t code, std::string_view reason, uint32_t mask);
  std::string_view bytes() const { return {bytes_.data(), size_}; }

 private:
  std::array<char, 2 + 4 + 2 + reason_bytes_max> bytes_;
  uint8_t size_ = 0;
};

}  // namespace ringside
