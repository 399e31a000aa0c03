#pragma once
// Follows the frames that one side of a WebSocket sends, wherever the bytes are cut. Payloads are passed over: nothing is copied or
// kept but a header that is not whole. docs/websocket.md says why wslay does not stand here.
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "codecs/utf8_check.h"
#include "codecs/websocket/ws_frame.h"

namespace ringside {

// How a sender broke the rules.
enum class WsFault : uint8_t {
  none,
  reserved_bits,
  unknown_opcode,
  not_masked,
  masked,
  long_control_frame,
  fragmented_control_frame,
  length_not_minimal,
  length_too_large,
  nothing_to_continue,
  message_not_ended,
  bad_close_code,
  not_utf8,
};
// The code to close with.
constexpr uint16_t close_code_of(WsFault fault) {
  return fault == WsFault::not_utf8 ? ws_close::not_utf8 : ws_close::protocol_error;
}
// In words, for people.
std::string_view text_of(WsFault fault);

class WsFrameReader {
 public:
  // What both sides agreed on, and what is wanted.
  struct Rules {
    WsSender sender = WsSender::client;
    bool deflate = false;          // RSV1 marks compressed messages
    bool other_extension = false;  // nobody knows what the reserved bits say, nor what texts are made of
    bool check_utf8 = true;
  };
  enum class Event : uint8_t {
    none,       // more bytes are needed
    frame,      // a frame begins: opcode(), final(), frame_bytes(), message_bytes() tell which
    frame_end,  // it has passed
    fault,      // fault() tells which; nothing may be read after it
  };
  struct Step {
    size_t bytes = 0;  // so many of them were passed over
    Event event = Event::none;
  };

  explicit WsFrameReader(Rules rules);

  // Reads on, to the next event at most. After a Close frame all is passed over: RFC 6455 5.5.1 gives it no meaning.
  Step read(std::string_view bytes);

  // From `frame` to `frame_end`.
  WsOpcode opcode() const { return opcode_; }
  bool final() const { return (bits_ & final_bit) != 0; }
  // At `frame`.
  uint64_t frame_bytes() const { return left_; }
  // What the message has so far, this frame included; as on the wire.
  uint64_t message_bytes() const { return message_bytes_; }
  // text or binary: what the data frame is a part of.
  WsOpcode message_opcode() const { return message_; }
  // At the end of a Ping or Pong: the same for the same payload.
  uint32_t digest() const { return digest_; }

  WsFault fault() const { return fault_; }
  // A frame has begun and not ended; a few bytes of its header count.
  bool within_frame() const { return header_read_ != 0 || (bits_ & payload_bit) != 0; }
  // A Close frame has passed. Its code; ws_close::no_code: it had none.
  bool closed() const { return (bits_ & closed_bit) != 0; }
  uint16_t close_code() const { return close_code_; }

 private:
  enum Bits : uint16_t {
    final_bit = 1,
    payload_bit = 2,  // between `frame` and `frame_end`
    text_bit = 4,     // the message under way is text to be checked
    closed_bit = 8,
    client_bit = 16,
    deflate_bit = 32,
    other_bit = 64,
    utf8_bit = 128,
    message_bit = 256,  // a message is under way
  };
  bool has(Bits bit) const { return (bits_ & bit) != 0; }
  void set(Bits bit, bool on) { bits_ = static_cast<uint16_t>(on ? bits_ | bit : bits_ & ~bit); }
  Step read_header(std::string_view bytes);
  Step read_payload(std::string_view bytes);
  Event begin_frame(const char* header);
  WsFault begin_message(uint8_t first);
  WsFault check_control(uint8_t first, uint8_t second) const;
  bool check_payload(std::string_view bytes);
  bool check_close(std::string_view bytes);
  void digest(std::string_view bytes);
  bool end_frame();
  Event fail(WsFault fault);

  uint64_t left_ = 0;           // of the payload
  uint64_t message_bytes_ = 0;
  uint32_t mask_ = 0;           // lowest byte: for the next byte of the payload
  uint32_t digest_ = 0;         // begins with the size of the payload
  uint16_t close_code_ = 0;
  uint16_t bits_ = 0;
  std::array<char, ws_header_bytes_max> header_;
  uint8_t header_read_ = 0;     // bytes of a header that is not whole
  WsOpcode opcode_ = WsOpcode::continuation;
  WsOpcode message_ = WsOpcode::continuation;  // of the last message
  Utf8Check utf8_;
  WsFault fault_ = WsFault::none;
};
static_assert(sizeof(WsFrameReader) <= 48);

}  // namespace ringside
