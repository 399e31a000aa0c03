#pragma once
// wslay as an independent judge of frames, in the same words as ws_harness.h. It is header-only, so that a fuzz target may have it.
#include <wslay/wslay.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>

#include "tests/codecs/ws_harness.h"

namespace ringside::ws_test {

class WslayPeer {
 public:
  explicit WslayPeer(WsFrameReader::Rules rules) {
    wslay_event_callbacks callbacks{};
    callbacks.recv_callback = &on_recv;
    callbacks.send_callback = &on_send;
    callbacks.genmask_callback = &on_mask;
    callbacks.on_frame_recv_start_callback = &on_start;
    callbacks.on_frame_recv_end_callback = &on_end;
    if (rules.sender == WsSender::client) wslay_event_context_server_init(&context_, &callbacks, this);
    else wslay_event_context_client_init(&context_, &callbacks, this);
    wslay_event_config_set_allowed_rsv_bits(context_, rules.deflate ? WSLAY_RSV1_BIT : WSLAY_RSV_NONE);
    wslay_event_config_set_no_buffering(context_, 1);
    wslay_event_config_set_max_recv_msg_length(context_, UINT64_MAX);
  }
  WslayPeer(const WslayPeer&) = delete;
  WslayPeer& operator=(const WslayPeer&) = delete;
  ~WslayPeer() { wslay_event_context_free(context_); }

  void feed(std::string_view bytes) {
    input_ = bytes;
    while (!input_.empty() && !failed_ && wslay_event_want_read(context_) != 0)
      failed_ = wslay_event_recv(context_) != 0;
  }

  void forget_events() { events_.clear(); }
  std::string text() {
    std::string out = events_;
    if (wslay_event_get_close_received(context_) != 0)
      return out + " closed " + std::to_string(wslay_event_get_status_code_received(context_));
    if (failed_) return out + " 1002";  // of the framing itself
    wslay_event_send(context_);
    // What it sends by itself is a Close frame, or a Pong before it.
    if (close_code_ == 0) return out;
    // It looks at the code of a Close frame after its end.
    if (out.ends_with(')') && out.rfind("8+(") == out.find_last_of("+-", out.rfind('(')) - 1) out.pop_back();
    return out + " " + std::to_string(close_code_);
  }

 private:
  static WslayPeer& self(void* user) { return *static_cast<WslayPeer*>(user); }
  static ssize_t on_recv(wslay_event_context_ptr context, uint8_t* out, size_t size, int, void* user) {
    std::string_view& input = self(user).input_;
    if (input.empty()) {
      wslay_event_set_error(context, WSLAY_ERR_WOULDBLOCK);
      return -1;
    }
    const size_t count = std::min(size, input.size());
    std::memcpy(out, input.data(), count);
    input.remove_prefix(count);
    return static_cast<ssize_t>(count);
  }
  static ssize_t on_send(wslay_event_context_ptr, const uint8_t* data, size_t size, int, void* user) {
    self(user).take_output(data, size);
    return static_cast<ssize_t>(size);
  }
  static int on_mask(wslay_event_context_ptr, uint8_t* out, size_t size, void*) {
    std::memset(out, 0, size);
    return 0;
  }
  static void on_start(wslay_event_context_ptr, const wslay_event_on_frame_recv_start_arg* frame, void* user) {
    self(user).events_ += start_text(frame->opcode, frame->fin != 0, frame->payload_length);
  }
  static void on_end(wslay_event_context_ptr, void* user) { self(user).events_ += ")"; }

  void take_output(const uint8_t* data, size_t size) { output_.append(reinterpret_cast<const char*>(data), size); find_close(); }
  // Frames of ours have short headers and, as a client, masks of zero.
  void find_close() {
    std::string_view rest = output_;
    while (rest.size() >= 2) {
      const auto flags = static_cast<uint8_t>(rest[1]);
      const size_t header = (flags & 0x80) != 0 ? 6 : 2, payload = flags & 0x7f;
      if (rest.size() < header + payload) return;
      if ((rest[0] & 0xf) == 8 && payload >= 2)
        close_code_ = static_cast<uint16_t>(static_cast<uint8_t>(rest[header]) << 8 | static_cast<uint8_t>(rest[header + 1]));
      rest.remove_prefix(header + payload);
    }
  }

  wslay_event_context_ptr context_ = nullptr;
  std::string_view input_;
  std::string events_, output_;
  uint16_t close_code_ = 0;
  bool failed_ = false;
};

inline std::string wslay_reads(std::string_view bytes, WsFrameReader::Rules rules) {
  WslayPeer peer(rules);
  peer.feed(bytes);
  return peer.text();
}

}  // namespace ringside::ws_test
