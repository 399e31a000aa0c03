// Frames in: what is about the connection and its streams, and the budgets for it.
#include <utility>

#include "codecs/http2/h2_codec.h"

namespace ringside {

// --- Budgets ---------------------------------------------------------------------------------------------------------------------

void H2Codec::calm_down(uint64_t& counter, const char* detail) {
  if (dead_) return;
  ++counter;
  fail({H2Code::enhance_your_calm, detail});
}

bool H2Codec::spend(H2Event event) {
  if (sender_.guard().spend(event)) return true;
  switch (event) {
    case H2Event::reset: calm_down(stats_.inbound_reset_flood, "too many streams were reset"); break;
    case H2Event::priority: calm_down(stats_.inbound_priority_frames_flood, "too many PRIORITY frames"); break;
    case H2Event::window_update:
      calm_down(stats_.inbound_window_update_frames_flood, "too many WINDOW_UPDATE frames");
      break;
    case H2Event::other:
      calm_down(stats_.inbound_other_frames_flood, "too many PING, SETTINGS or unknown frames");
      break;
  }
  return false;
}

// Of a peer that makes us answer and does not read.
void H2Codec::check_outbound() {
  if (sender_.control_frames_unsent() > limits_.outbound_control_frames_max)
    calm_down(stats_.outbound_control_flood, "too many control frames wait to be sent");
  if (sender_.frames_unsent() > limits_.outbound_frames_max)
    calm_down(stats_.outbound_flood, "too many frames wait to be sent");
}

// --- Frames that are read past ---------------------------------------------------------------------------------------------------

// RFC 9113 5.3.2: read, checked, and without effect.
void H2Codec::begin_priority(const H2FrameHeader& frame) {
  if (!spend(H2Event::priority)) return;
  if (frame.length == 5) return reader_.expect(5);
  const H2Fault fault{H2Code::frame_size_error, "PRIORITY of a wrong size"};
  if (is_idle(frame.stream_id)) return fail(fault);
  reset_by_fault(frame.stream_id, streams_.find(frame.stream_id), fault);
  reader_.skip();
}

void H2Codec::begin_other(const H2FrameHeader& frame) {
  if (frame.type == H2FrameType::metadata && frame.length == 0) ++stats_.metadata_empty_frames;
  if (spend(H2Event::other)) reader_.skip();
}

// --- SETTINGS --------------------------------------------------------------------------------------------------------------------

void H2Codec::begin_settings(const H2FrameHeader& frame) {
  settings_seen_ = true;
  if (!spend(H2Event::other)) return;
  if (frame.has(h2::ack)) {
    on_settings_ack();
    return reader_.skip();
  }
  if (frame.length > 0) return reader_.expect(6);
  reader_.skip();
  sender_.write_settings_ack();
}

void H2Codec::on_settings_ack() {
  if (std::exchange(settings_acknowledged_, true)) return;
  if (limits_.decoder_table_bytes != h2::table_default_bytes) decoder_.set_table_bytes(limits_.decoder_table_bytes);
}

void H2Codec::on_setting(uint32_t setting, uint32_t value) {
  switch (static_cast<H2Setting>(setting)) {
    case H2Setting::header_table_size: return sender_.set_peer_table_bytes(value);
    case H2Setting::enable_push:
      if (value > (peer_ == Origin::downstream ? 1u : 0u)) fail({H2Code::protocol_error, "invalid ENABLE_PUSH"});
      return;
    case H2Setting::max_concurrent_streams: peer_streams_max_ = value; return;
    case H2Setting::initial_window_size: return on_peer_window(value);
    case H2Setting::max_frame_size:  // we send no frame larger than the smallest that it can be
      if (value < h2::frame_default_bytes_max || value > 0xffffff)
        fail({H2Code::protocol_error, "invalid MAX_FRAME_SIZE"});
      return;
    case H2Setting::max_header_list_size: peer_list_bytes_max_ = value; return;
    case H2Setting::enable_connect_protocol:
      if (value > 1 || (value == 0 && peer_connect_protocol_))
        return fail({H2Code::protocol_error, "invalid ENABLE_CONNECT_PROTOCOL"});
      peer_connect_protocol_ = value == 1;
      return;
  }
}

// RFC 9113 6.9.2: changes the windows of all streams, which may fall below zero.
void H2Codec::on_peer_window(uint32_t window_bytes) {
  if (window_bytes > h2::window_bytes_max)
    return fail({H2Code::flow_control_error, "INITIAL_WINDOW_SIZE beyond the maximum"});
  const int64_t change = static_cast<int64_t>(window_bytes) - static_cast<int64_t>(peer_window_bytes_);
  peer_window_bytes_ = window_bytes;
  bool fits = true;
  streams_.for_each([&](H2Stream& stream) { fits = H2Sender::add_window(stream, change) && fits; });
  if (!fits) fail({H2Code::flow_control_error, "INITIAL_WINDOW_SIZE makes a window too large"});
}

// --- PING, GOAWAY, RST_STREAM, WINDOW_UPDATE -------------------------------------------------------------------------------------

void H2Codec::on_goaway_frame(std::string_view fixed) {
  peer_going_ = true;
  on_goaway(h2::get_u32(fixed.data()) & 0x7fffffff);
}

void H2Codec::on_reset_frame(uint32_t stream_id, uint32_t code) {
  if (is_idle(stream_id)) return fail({H2Code::protocol_error, "RST_STREAM on an idle stream"});
  ++stats_.rx_reset;
  H2Stream* const stream = streams_.find(stream_id);
  if (stream == nullptr) {
    spend(H2Event::other);
    return;
  }
  resets_.remember(stream_id, H2ResetMemory::By::peer);
  Error why{ErrorCode::peer_reset, peer_, Retry::never, h2_reset_text(code)};
  if (peer_ == Origin::upstream && code == static_cast<uint32_t>(H2Code::refused_stream)) {
    why.retry = Retry::always;  // RFC 9113 8.7: nothing was done with it
  } else if (peer_ == Origin::upstream && code == static_cast<uint32_t>(H2Code::cancel)) {
    why.code = ErrorCode::cancelled;
  } else if (stream->in == H2Stream::In::ended && code == static_cast<uint32_t>(H2Code::no_error)) {
    why.code = ErrorCode::none;
  }
  cut(*stream, why);
  if (peer_ == Origin::downstream && !dead_) spend(H2Event::reset);
}

void H2Codec::on_window_update(uint32_t stream_id, uint32_t bytes) {
  if (!spend(H2Event::window_update)) return;
  if (stream_id == 0) {
    if (bytes == 0) return fail({H2Code::protocol_error, "WINDOW_UPDATE of zero"});
    if (!sender_.add_window(bytes)) fail({H2Code::flow_control_error, "connection's window too large"});
    return;
  }
  if (is_idle(stream_id)) return fail({H2Code::protocol_error, "WINDOW_UPDATE on an idle stream"});
  H2Stream* const stream = streams_.find(stream_id);
  if (stream == nullptr) return;  // late, after the end
  if (bytes == 0) return reset_by_fault(stream_id, stream, {H2Code::protocol_error, "WINDOW_UPDATE of zero"});
  if (!H2Sender::add_window(*stream, bytes))
    return reset_by_fault(stream_id, stream, {H2Code::flow_control_error, "stream's window too large"});
  sender_.send(*stream);
}

}  // namespace ringside
