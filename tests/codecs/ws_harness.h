#pragma once
// Frames to feed, and what our reader says of them, as text.
#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "codecs/websocket/ws_frame_reader.h"
#include "core/check.h"

namespace ringside::ws_test {

struct Frame {
  WsOpcode opcode = WsOpcode::text;
  std::string payload = {};
  bool final = true;
  uint8_t rsv = 0;  // bits 0x70
  bool masked = true;
};

inline std::string header_of(uint8_t first, uint64_t length, bool masked) {
  std::string out(1, static_cast<char>(first));
  const auto flag = static_cast<uint8_t>(masked ? 0x80 : 0);
  const auto big = [&](int bytes) {
    for (int at = bytes - 1; at >= 0; --at) out += static_cast<char>(length >> 8 * at);
  };
  if (length < 126) {
    out += static_cast<char>(flag | length);
  } else if (length <= 0xffff) {
    out += static_cast<char>(flag | 126);
    big(2);
  } else {
    out += static_cast<char>(flag | 127);
    big(8);
  }
  return out;
}

inline std::string bytes_of(const Frame& frame) {
  constexpr std::string_view mask = "\x37\xfa\x21\xbd";
  const auto first = static_cast<uint8_t>((frame.final ? 0x80 : 0) | frame.rsv | static_cast<uint8_t>(frame.opcode));
  std::string out = header_of(first, frame.payload.size(), frame.masked);
  if (!frame.masked) return out + frame.payload;
  out += mask;
  for (size_t at = 0; at < frame.payload.size(); ++at) out += static_cast<char>(frame.payload[at] ^ mask[at % 4]);
  return out;
}

inline std::string close_payload(uint16_t code, std::string_view reason = {}) {
  return std::string{static_cast<char>(code >> 8), static_cast<char>(code)} + std::string(reason);
}

// "1+(5" begins a final frame of text with five bytes, "0-(3" one that is not final and continues; ")" ends it.
inline std::string start_text(unsigned opcode, bool final, uint64_t length) {
  return std::to_string(opcode) + (final ? "+" : "-") + "(" + std::to_string(length);
}

// Our reader at work.
class Reading {
 public:
  explicit Reading(WsFrameReader::Rules rules) : reader(rules) {}

  void feed(std::string_view bytes) {
    while (reader.fault() == WsFault::none) {
      const WsFrameReader::Step step = reader.read(bytes);
      RS_CHECK(step.bytes <= bytes.size());
      bytes.remove_prefix(step.bytes);
      if (step.event == WsFrameReader::Event::none) {
        RS_CHECK(bytes.empty());
        return;
      }
      on_event(step.event);
    }
  }
  // Events, then how it stands.
  std::string text() const {
    std::string out = events;
    if (reader.fault() != WsFault::none) out += " " + std::to_string(close_code_of(reader.fault()));
    else if (reader.closed()) out += " closed " + std::to_string(reader.close_code());
    return out;
  }

  WsFrameReader reader;
  std::string events;
  std::vector<uint64_t> message_sizes;

 private:
  void on_event(WsFrameReader::Event event) {
    if (event == WsFrameReader::Event::fault) return;
    if (event == WsFrameReader::Event::frame) {
      events += start_text(static_cast<unsigned>(reader.opcode()), reader.final(), reader.frame_bytes());
      return;
    }
    events += ")";
    if (reader.final() && !is_ws_control(reader.opcode())) message_sizes.push_back(reader.message_bytes());
  }
};

inline std::string read_all(std::string_view bytes, WsFrameReader::Rules rules, size_t piece = SIZE_MAX) {
  Reading reading(rules);
  for (; !bytes.empty(); bytes.remove_prefix(std::min(piece, bytes.size()))) reading.feed(bytes.substr(0, piece));
  return reading.text();
}

}  // namespace ringside::ws_test
