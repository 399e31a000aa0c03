#include "perf/load_ws_frames.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace ringside::perf {
namespace {

constexpr uint8_t final_bit = 0x80;
constexpr uint8_t mask_bit = 0x80;
constexpr size_t mask_bytes = 4;
// Frames are made once; of large ones few, so that sending them does not sweep the cache.
constexpr size_t small_message_bytes_max = 4096;
constexpr size_t small_frames = 16;
constexpr size_t large_frames = 2;

char to_char(uint64_t value) { return static_cast<char>(value & 0xff); }
uint8_t byte_at(std::string_view text, size_t at) { return static_cast<uint8_t>(text[at]); }

size_t length_bytes(uint8_t short_length) { return short_length == 127 ? 8 : short_length == 126 ? 2 : 0; }

// Of a head whose first two bytes are there.
size_t head_bytes(std::string_view head) {
  const uint8_t second = byte_at(head, 1);
  return 2 + length_bytes(second & 0x7f) + ((second & mask_bit) != 0 ? mask_bytes : 0);
}

size_t write_big_endian(char* out, uint64_t value, size_t size) {
  for (size_t at = 0; at < size; ++at) out[at] = to_char(value >> 8 * (size - 1 - at));
  return size;
}

size_t write_head(char* out, WsOpcode opcode, uint64_t payload_bytes, uint8_t second) {
  out[0] = to_char(final_bit | static_cast<uint8_t>(opcode));
  const uint64_t short_length = payload_bytes < 126 ? payload_bytes : payload_bytes < 65536 ? 126 : 127;
  out[1] = to_char(second | short_length);
  return 2 + write_big_endian(out + 2, payload_bytes, length_bytes(static_cast<uint8_t>(short_length)));
}

bool known(uint8_t opcode) { return opcode == 1 || opcode == 2 || (opcode >= 8 && opcode <= 10); }

}  // namespace

size_t write_ws_head(char* out, WsOpcode opcode, uint64_t payload_bytes) {
  return write_head(out, opcode, payload_bytes, 0);
}

size_t write_ws_masked_head(char* out, WsOpcode opcode, uint64_t payload_bytes, WsMask mask) {
  const size_t size = write_head(out, opcode, payload_bytes, mask_bit);
  std::memcpy(out + size, &mask, mask_bytes);
  return size + mask_bytes;
}

void apply_ws_mask(char* out, std::string_view bytes, WsMask mask, uint64_t offset) {
  const uint32_t turned = std::rotr(mask, static_cast<int>(offset % mask_bytes * 8));
  const uint64_t wide = (uint64_t{turned} << 32) | turned;
  size_t at = 0;
  for (; at + sizeof wide <= bytes.size(); at += sizeof wide) {
    uint64_t word;
    std::memcpy(&word, bytes.data() + at, sizeof word);
    word ^= wide;
    std::memcpy(out + at, &word, sizeof word);
  }
  for (; at < bytes.size(); ++at) out[at] = to_char(byte_at(bytes, at) ^ (turned >> at % mask_bytes * 8));
}

// --- WsScanner -----------------------------------------------------------------------------------------------------------

size_t WsScanner::feed(std::string_view bytes) {
  size_t used = 0;
  payload_ = {};
  if (state_ == WsScanState::head) used = feed_head(bytes);
  if (state_ != WsScanState::payload) return used;
  payload_ = bytes.substr(used, left_bytes());
  seen_bytes_ += payload_.size();
  if (left_bytes() == 0) state_ = WsScanState::done;
  return used + payload_.size();
}

void WsScanner::reset() {
  state_ = WsScanState::head;
  seen_bytes_ = frame_bytes_ = 0;
  payload_ = {};
  kept_.clear();
}

size_t WsScanner::feed_head(std::string_view bytes) {
  if (kept_.empty() && bytes.size() >= 2 && bytes.size() >= head_bytes(bytes)) {
    const size_t size = head_bytes(bytes);
    state_ = read_head(bytes.substr(0, size)) ? WsScanState::payload : WsScanState::failed;
    return size;
  }
  for (size_t used = 0; used < bytes.size();) {
    kept_ += bytes[used++];
    if (kept_.size() < 2 || kept_.size() < head_bytes(kept_)) continue;
    state_ = read_head(kept_) ? WsScanState::payload : WsScanState::failed;
    return used;
  }
  return bytes.size();
}

bool WsScanner::read_head(std::string_view head) {
  const uint8_t first = byte_at(head, 0);
  const uint8_t second = byte_at(head, 1);
  const uint8_t opcode = first & 0x0f;
  const bool masked = (second & mask_bit) != 0;
  if ((first & 0xf0) != final_bit || !known(opcode) || masked != (sender_ == WsSender::client)) return false;
  opcode_ = static_cast<WsOpcode>(opcode);
  const size_t size = length_bytes(second & 0x7f);
  frame_bytes_ = size == 0 ? second & 0x7f : 0;
  for (size_t at = 0; at < size; ++at) frame_bytes_ = frame_bytes_ << 8 | byte_at(head, 2 + at);
  mask_ = 0;
  if (masked) std::memcpy(&mask_, head.data() + 2 + size, mask_bytes);
  // The shortest form of a length is the only one.
  return (size != 2 || frame_bytes_ >= 126) && (size != 8 || (frame_bytes_ >= 65536 && frame_bytes_ >> 63 == 0)) &&
         (opcode < 8 || size == 0);
}

// --- WsMessages ----------------------------------------------------------------------------------------------------------

WsMessages::WsMessages(const Pattern& pattern, size_t message_bytes)
    : pattern_(pattern), message_bytes_(message_bytes) {
  frames_.resize(message_bytes <= small_message_bytes_max ? small_frames : large_frames);
  uint32_t mask = 0x9e3779b9;
  for (size_t number = 0; number < frames_.size(); ++number) {
    mask = mask * 1664525 + 1013904223;
    std::string& frame = frames_[number];
    frame.resize(ws_head_bytes_max + message_bytes);
    size_t size = write_ws_masked_head(frame.data(), WsOpcode::text, message_bytes, mask);
    for (size_t at = 0; at < message_bytes;) {
      const size_t piece = std::min(message_bytes - at, size_t{Pattern::period_bytes});
      apply_ws_mask(frame.data() + size, pattern.at(begin_of(number) + at, piece), mask, at);
      at += piece;
      size += piece;
    }
    frame.resize(size);
  }
}

}  // namespace ringside::perf
