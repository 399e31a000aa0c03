#include "perf/load_h2_endpoint.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

namespace ringside::perf {
namespace {

constexpr int64_t window_bytes_default = 65535;  // RFC 9113 6.9.2
// A payload up to this size is copied beside its header: one piece to send instead of two.
constexpr uint32_t copied_payload_bytes_max = 2048;

}  // namespace

void H2Endpoint::greet(std::string_view preface, uint32_t streams_max) {
  scanner_ = {};
  waiting_.clear();
  window_bytes_ = initial_window_bytes_ = window_bytes_default;
  unacknowledged_bytes_ = 0;
  peer_streams_max_ = std::numeric_limits<uint32_t>::max();
  greeted_ = false;
  if (!preface.empty()) write(Slice::of_static(preface));
  const std::array<std::pair<H2Setting, uint32_t>, 3> settings = {
      {{H2Setting::enable_push, 0},
       {H2Setting::max_concurrent_streams, streams_max},
       {H2Setting::initial_window_size, h2_stream_window_bytes}}};
  char payload[6 * settings.size()];
  char* end = payload;
  // A server must not speak of push; the first one is the client's.
  for (size_t at = preface.empty() ? 1 : 0; at < settings.size(); ++at)
    end = h2::put_u32(h2::put_u16(end, static_cast<uint32_t>(settings[at].first)), settings[at].second);
  const auto size = static_cast<uint32_t>(end - payload);
  write_small({.length = size, .type = H2FrameType::settings}, {payload, size});
  write_u32({.length = 4, .type = H2FrameType::window_update},
            h2_connection_window_bytes - static_cast<uint32_t>(window_bytes_default));
}

bool H2Endpoint::feed(std::string_view bytes) { return scanner_.feed(bytes, *this); }

// --- What comes ----------------------------------------------------------------------------------------------------------

bool H2Endpoint::on_data(const H2FrameHeader& header, std::string_view piece, uint32_t left_bytes) {
  received_data(piece.size());
  const bool last = left_bytes == 0 && header.has(h2::end_stream);
  return on_body(header.stream_id, piece, last ? H2End::yes : H2End::no);
}

void H2Endpoint::received_data(size_t bytes) {
  unacknowledged_bytes_ += bytes;
  if (unacknowledged_bytes_ < h2_connection_window_bytes / 2) return;
  write_u32({.length = 4, .type = H2FrameType::window_update}, static_cast<uint32_t>(unacknowledged_bytes_));
  unacknowledged_bytes_ = 0;
}

bool H2Endpoint::on_frame(const H2FrameHeader& header, std::string_view payload) {
  const H2End end = header.has(h2::end_stream) ? H2End::yes : H2End::no;
  switch (header.type) {
    case H2FrameType::data: received_data(header.length); return on_body(header.stream_id, payload, end);
    case H2FrameType::headers: return header.has(h2::end_headers) && on_headers(header.stream_id, payload, end);
    case H2FrameType::reset:
      if (payload.size() != 4) return false;
      drop_body(header.stream_id);
      return on_reset(header.stream_id, h2::get_u32(payload.data()));
    case H2FrameType::settings: return header.has(h2::ack) || read_settings(payload);
    case H2FrameType::ping:
      if (!header.has(h2::ack))
        write_small({.length = header.length, .type = H2FrameType::ping, .flags = h2::ack}, payload);
      return true;
    case H2FrameType::goaway:
      if (payload.size() < 8) return false;
      return on_goaway(h2::get_u32(payload.data()) & 0x7fffffff, h2::get_u32(payload.data() + 4));
    case H2FrameType::window_update: return read_window_update(header.stream_id, payload);
    case H2FrameType::continuation:  // heads as large as that are not what the load is about
    case H2FrameType::push_promise: return false;
    case H2FrameType::priority:
    case H2FrameType::metadata: return true;
  }
  return true;  // an extension
}

bool H2Endpoint::read_settings(std::string_view payload) {
  if (payload.size() % 6 != 0) return false;
  for (; !payload.empty(); payload.remove_prefix(6)) {
    const auto setting = static_cast<H2Setting>(h2::get_u16(payload.data()));
    const uint32_t value = h2::get_u32(payload.data() + 2);
    if (setting == H2Setting::max_concurrent_streams) peer_streams_max_ = value;
    if (setting == H2Setting::initial_window_size) set_initial_window(value);
  }
  write_small({.type = H2FrameType::settings, .flags = h2::ack}, {});
  if (!greeted_) on_greeted();
  greeted_ = true;
  return true;
}

void H2Endpoint::set_initial_window(uint32_t bytes) {
  for (Waiting& item : waiting_) item.window_bytes += bytes - initial_window_bytes_;
  initial_window_bytes_ = bytes;
  write_waiting();
}

// What an update adds to a stream with nothing waiting is not kept: the other end gives more when it has read what the first window held.
bool H2Endpoint::read_window_update(uint32_t stream_id, std::string_view payload) {
  if (payload.size() != 4) return false;
  const uint32_t bytes = h2::get_u32(payload.data()) & 0x7fffffff;
  if (stream_id == 0) window_bytes_ += bytes;
  for (Waiting& item : waiting_)
    if (item.stream_id == stream_id) item.window_bytes += bytes;
  write_waiting();
  return true;
}

// --- What goes -----------------------------------------------------------------------------------------------------------

void H2Endpoint::write_frame(std::string_view frame, uint32_t stream_id) {
  OutputWriter& output = h2_worker_.output();
  char* out = output.reserve(frame.size());
  std::memcpy(out, frame.data(), frame.size());
  h2::put_u32(out + 5, stream_id);
  write(output.commit(frame.size()));
}

void H2Endpoint::write_small(const H2FrameHeader& header, std::string_view payload) {
  OutputWriter& output = h2_worker_.output();
  char* out = output.reserve(h2::frame_header_bytes + payload.size());
  char* end = put_frame_header(out, header);
  std::copy(payload.begin(), payload.end(), end);
  write(output.commit(h2::frame_header_bytes + payload.size()));
}

void H2Endpoint::write_u32(const H2FrameHeader& header, uint32_t value) {
  char payload[4];
  h2::put_u32(payload, value);
  write_small(header, {payload, sizeof payload});
}

void H2Endpoint::write_body(uint32_t stream_id, H2Body body) {
  Waiting item{stream_id, initial_window_bytes_, 0, std::move(body)};
  if (!write_some(item)) waiting_.push_back(std::move(item));
}

void H2Endpoint::drop_body(uint32_t stream_id) {
  std::erase_if(waiting_, [stream_id](const Waiting& item) { return item.stream_id == stream_id; });
}

void H2Endpoint::write_waiting() {
  if (!waiting_.empty()) std::erase_if(waiting_, [this](Waiting& item) { return write_some(item); });
}

// True when all of it has been written.
bool H2Endpoint::write_some(Waiting& item) {
  const uint64_t size_bytes = item.body.size_bytes();
  do {
    const auto left_bytes = static_cast<int64_t>(size_bytes - item.written_bytes);
    const int64_t bytes = std::min({left_bytes, window_bytes_, item.window_bytes, int64_t{H2Scanner::frame_bytes_max}});
    if (bytes <= 0 && left_bytes > 0) return false;
    write_data(item, static_cast<uint32_t>(bytes));
    window_bytes_ -= bytes;
    item.window_bytes -= bytes;
    item.written_bytes += static_cast<uint64_t>(bytes);
  } while (item.written_bytes < size_bytes);
  if (!item.body.trailers.empty()) write_frame(item.body.trailers, item.stream_id);
  return true;
}

void H2Endpoint::write_data(const Waiting& item, uint32_t bytes) {
  const H2Body& body = item.body;
  const bool last = body.trailers.empty() && item.written_bytes + bytes == body.size_bytes();
  const H2FrameHeader header{bytes, item.stream_id, H2FrameType::data, last ? h2::end_stream : uint8_t{0}};
  const auto text_offset = static_cast<size_t>(std::min<uint64_t>(item.written_bytes, body.text.size()));
  const size_t text_bytes = std::min<size_t>(bytes, body.text.size() - text_offset);
  // What lies behind the text is the pattern from its beginning.
  const std::string_view filler = h2_pattern_.at(item.written_bytes - text_offset, bytes - text_bytes);
  OutputWriter& output = h2_worker_.output();
  if (bytes <= copied_payload_bytes_max) {
    char* end = put_frame_header(output.reserve(h2::frame_header_bytes + bytes), header);
    std::copy_n(body.text.data() + text_offset, text_bytes, end);
    std::copy(filler.begin(), filler.end(), end + text_bytes);
    return write(output.commit(h2::frame_header_bytes + bytes));
  }
  write_small(header, {});
  if (text_bytes > 0) write(body.text.share(text_offset, text_bytes));
  if (!filler.empty()) write(Slice::of_static(filler));
}

}  // namespace ringside::perf
