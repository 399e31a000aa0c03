#pragma once
// WebSocket for the load generator and its backend: masks, heads of frames, and a reader of frames. For trusted peers on loopback;
// whatever looks odd is an error. Independent of the codec that it measures.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "perf/load_pattern.h"

namespace ringside::perf {

enum class WsOpcode : uint8_t { text = 1, binary = 2, close = 8, ping = 9, pong = 10 };

// A client masks all its frames, a server none.
enum class WsSender : uint8_t { client, server };

// The bytes of a key in the order in which they are sent.
using WsMask = uint32_t;
inline constexpr size_t ws_head_bytes_max = 14;

// Writes the head of a frame that is a message of its own, and says how long it is. `out` has room for ws_head_bytes_max.
size_t write_ws_head(char* out, WsOpcode opcode, uint64_t payload_bytes);
size_t write_ws_masked_head(char* out, WsOpcode opcode, uint64_t payload_bytes, WsMask mask);
// Masks or unmasks the part of a payload that begins at `offset`. `out` may be where `bytes` are.
void apply_ws_mask(char* out, std::string_view bytes, WsMask mask, uint64_t offset);

enum class WsScanState : uint8_t { head, payload, done, failed };

// One unfragmented frame after the other.
class WsScanner {
 public:
  explicit WsScanner(WsSender sender) : sender_(sender) {}
  // Consumes up to the end of the frame, and says how many bytes that was. To be called until state() is done or failed.
  size_t feed(std::string_view bytes);
  // Ready for the next frame.
  void reset();

  WsScanState state() const { return state_; }
  // Valid once state() is past head.
  WsOpcode opcode() const { return opcode_; }
  WsMask mask() const { return mask_; }
  uint64_t frame_bytes() const { return frame_bytes_; }  // of payload
  // Payload that the last feed() consumed, as it came, and where in the frame it belongs.
  std::string_view payload() const { return payload_; }
  uint64_t payload_offset() const { return seen_bytes_ - payload_.size(); }
  uint64_t left_bytes() const { return frame_bytes_ - seen_bytes_; }

 private:
  size_t feed_head(std::string_view bytes);
  bool read_head(std::string_view head);

  const WsSender sender_;
  WsScanState state_ = WsScanState::head;
  WsOpcode opcode_ = WsOpcode::text;
  WsMask mask_ = 0;
  uint64_t frame_bytes_ = 0;
  uint64_t seen_bytes_ = 0;
  std::string_view payload_;
  std::string kept_;  // the part of a head that came in pieces
};

// The frames that a client sends: text of the pattern, each with another mask and another place in the pattern, so that messages
// that change places or masks are seen.
class WsMessages {
 public:
  WsMessages(const Pattern& pattern, size_t message_bytes);
  size_t message_bytes() const { return message_bytes_; }
  // The frame of the message with this number.
  std::string_view frame(uint64_t number) const { return frames_[number % frames_.size()]; }
  // Whether `payload`, from `offset` on, is that of the message with this number.
  bool matches(uint64_t number, uint64_t offset, std::string_view payload) const {
    return pattern_.matches(begin_of(number) + offset, payload);
  }

 private:
  uint64_t begin_of(uint64_t number) const { return number % frames_.size() * 4099; }

  const Pattern& pattern_;
  const size_t message_bytes_;
  std::vector<std::string> frames_;
};

}  // namespace ringside::perf
