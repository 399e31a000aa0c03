#include "codecs/websocket/ws_frame_reader.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "core/check.h"

namespace ringside {
namespace {

constexpr uint8_t final_flag = 0x80, rsv1_flag = 0x40, rsv_flags = 0x70, opcode_flags = 0x0f;
constexpr uint8_t mask_flag = 0x80, length_flags = 0x7f;
constexpr uint8_t length16 = 126, length64 = 127;

uint8_t byte(char c) { return static_cast<uint8_t>(c); }

size_t header_bytes(uint8_t second) {
  const uint8_t length = second & length_flags;
  const size_t longer = length == length64 ? 8 : length == length16 ? 2 : 0;
  return 2 + longer + ((second & mask_flag) != 0 ? 4 : 0);
}

template <class Word>
uint64_t big_endian(const char* at) {
  Word word;
  std::memcpy(&word, at, sizeof word);
  if constexpr (sizeof word == 2) return __builtin_bswap16(word);
  else return __builtin_bswap64(word);
}

bool is_known(uint8_t opcode) { return opcode <= 2 || (opcode >= 8 && opcode <= 10); }

}  // namespace

std::string_view text_of(WsFault fault) {
  switch (fault) {
    case WsFault::none: return "";
    case WsFault::reserved_bits: return "reserved bits set";
    case WsFault::unknown_opcode: return "unknown opcode";
    case WsFault::not_masked: return "frame not masked";
    case WsFault::masked: return "frame masked";
    case WsFault::long_control_frame: return "control frame too long";
    case WsFault::fragmented_control_frame: return "control frame fragmented";
    case WsFault::length_not_minimal: return "length not minimal";
    case WsFault::length_too_large: return "length too large";
    case WsFault::nothing_to_continue: return "nothing to continue";
    case WsFault::message_not_ended: return "message not ended";
    case WsFault::bad_close_code: return "bad close code";
    case WsFault::not_utf8: return "text is not UTF-8";
  }
  return "";
}

WsFrameReader::WsFrameReader(Rules rules) {
  set(client_bit, rules.sender == WsSender::client);
  set(deflate_bit, rules.deflate);
  set(other_bit, rules.other_extension);
  set(utf8_bit, rules.check_utf8 && !rules.other_extension);
}

WsFrameReader::Step WsFrameReader::read(std::string_view bytes) {
  RS_DCHECK(fault_ == WsFault::none);
  if (has(payload_bit)) return read_payload(bytes);
  if (bytes.empty()) return {};
  if (has(closed_bit)) [[unlikely]]
    return {.bytes = bytes.size(), .event = Event::none};
  return read_header(bytes);
}

// --- headers -----------------------------------------------------------------------------------------------------------

WsFrameReader::Step WsFrameReader::read_header(std::string_view bytes) {
  if (header_read_ == 0 && bytes.size() >= 2) {
    const size_t size = header_bytes(byte(bytes[1]));
    if (bytes.size() >= size) [[likely]]
      return {.bytes = size, .event = begin_frame(bytes.data())};
  }
  size_t taken = 0;
  size_t wanted = header_read_ < 2 ? 2 : header_bytes(byte(header_[1]));
  while (taken < bytes.size()) {
    header_[header_read_++] = bytes[taken++];
    if (header_read_ == 2) wanted = header_bytes(byte(header_[1]));
    if (header_read_ < wanted) continue;
    header_read_ = 0;
    return {.bytes = taken, .event = begin_frame(header_.data())};
  }
  return {.bytes = taken, .event = Event::none};
}

WsFrameReader::Event WsFrameReader::begin_frame(const char* header) {
  const uint8_t first = byte(header[0]), second = byte(header[1]);
  const bool is_masked = (second & mask_flag) != 0;
  if (is_masked != has(client_bit)) return fail(is_masked ? WsFault::masked : WsFault::not_masked);
  if (!is_known(first & opcode_flags)) return fail(WsFault::unknown_opcode);
  opcode_ = static_cast<WsOpcode>(first & opcode_flags);
  left_ = second & length_flags;
  const char* at = header + 2;
  if (left_ == length16) {
    left_ = big_endian<uint16_t>(at);
    at += 2;
    if (left_ < length16) return fail(WsFault::length_not_minimal);
  } else if (left_ == length64) {
    left_ = big_endian<uint64_t>(at);
    at += 8;
    if (left_ <= UINT16_MAX) return fail(WsFault::length_not_minimal);
    if (left_ > INT64_MAX) return fail(WsFault::length_too_large);
  }
  mask_ = 0;
  if (is_masked) std::memcpy(&mask_, at, sizeof mask_);
  const WsFault fault = is_ws_control(opcode_) ? check_control(first, second) : begin_message(first);
  if (fault != WsFault::none) return fail(fault);
  set(final_bit, (first & final_flag) != 0);
  set(payload_bit, true);
  if (opcode_ == WsOpcode::close) {
    close_code_ = 0;
    utf8_.restart();
  }
  digest_ = static_cast<uint32_t>(left_);
  return Event::frame;
}

WsFault WsFrameReader::check_control(uint8_t first, uint8_t second) const {
  if ((first & rsv_flags) != 0 && !has(other_bit)) return WsFault::reserved_bits;
  if ((first & final_flag) == 0) return WsFault::fragmented_control_frame;
  if ((second & length_flags) > ws_control_bytes_max) return WsFault::long_control_frame;
  if (opcode_ == WsOpcode::close && (second & length_flags) == 1) return WsFault::bad_close_code;
  return WsFault::none;
}

WsFault WsFrameReader::begin_message(uint8_t first) {
  const bool begins = opcode_ != WsOpcode::continuation;
  const uint8_t allowed = begins && has(deflate_bit) ? rsv1_flag : 0;
  if ((first & rsv_flags & ~allowed) != 0 && !has(other_bit)) return WsFault::reserved_bits;
  if (begins == has(message_bit)) return begins ? WsFault::message_not_ended : WsFault::nothing_to_continue;
  if (begins) {
    message_ = opcode_;
    set(message_bit, true);
    message_bytes_ = 0;
    utf8_.restart();
    set(text_bit, opcode_ == WsOpcode::text && has(utf8_bit) && (first & rsv1_flag) == 0);
  }
  message_bytes_ = left_ > UINT64_MAX - message_bytes_ ? UINT64_MAX : message_bytes_ + left_;
  return WsFault::none;
}

// --- payloads ----------------------------------------------------------------------------------------------------------

WsFrameReader::Step WsFrameReader::read_payload(std::string_view bytes) {
  const size_t size = std::min<uint64_t>(left_, bytes.size());
  if (size != 0) {
    if (!check_payload(bytes.substr(0, size))) return {.bytes = size, .event = Event::fault};
    left_ -= size;
    mask_ = std::rotr(mask_, static_cast<int>(size % 4 * 8));
  }
  if (left_ != 0) return {.bytes = size, .event = Event::none};
  return {.bytes = size, .event = end_frame() ? Event::frame_end : Event::fault};
}

bool WsFrameReader::check_payload(std::string_view bytes) {
  if (!is_ws_control(opcode_)) [[likely]] {
    if (!has(text_bit) || utf8_.read(bytes, mask_)) return true;
    fail(WsFault::not_utf8);
    return false;
  }
  if (opcode_ == WsOpcode::close) return check_close(bytes);
  digest(bytes);
  return true;
}

// Two bytes of code, then text. It takes the place of a message that it interrupts: nothing of that follows.
bool WsFrameReader::check_close(std::string_view bytes) {
  uint32_t mask = mask_;
  for (uint64_t at = digest_ - left_; at < 2 && !bytes.empty(); ++at, bytes.remove_prefix(1)) {
    close_code_ = static_cast<uint16_t>(close_code_ << 8 | byte(static_cast<char>(bytes[0] ^ static_cast<char>(mask))));
    mask = std::rotr(mask, 8);
    if (at == 0) continue;
    if (!ws_close::may_be_sent(close_code_)) fail(WsFault::bad_close_code);
  }
  if (fault_ == WsFault::none && has(utf8_bit) && !utf8_.read(bytes, mask)) fail(WsFault::not_utf8);
  return fault_ == WsFault::none;
}

// FNV-1a, begun with the size.
void WsFrameReader::digest(std::string_view bytes) {
  uint32_t mask = mask_;
  for (const char c : bytes) {
    digest_ = (digest_ ^ byte(static_cast<char>(c ^ static_cast<char>(mask)))) * 16777619U;
    mask = std::rotr(mask, 8);
  }
}

bool WsFrameReader::end_frame() {
  set(payload_bit, false);
  if (opcode_ == WsOpcode::close) {
    if (has(utf8_bit) && !utf8_.whole()) fail(WsFault::not_utf8);
    if (digest_ == 0) close_code_ = ws_close::no_code;
    set(closed_bit, true);
  } else if (has(final_bit) && !is_ws_control(opcode_)) {
    set(message_bit, false);
    if (has(text_bit) && !utf8_.whole()) fail(WsFault::not_utf8);
  }
  return fault_ == WsFault::none;
}

WsFrameReader::Event WsFrameReader::fail(WsFault fault) {
  fault_ = fault;
  return Event::fault;
}

}  // namespace ringside
