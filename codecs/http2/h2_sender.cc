#include "codecs/http2/h2_sender.h"

#include <algorithm>
#include <cstring>

#include "codecs/http_text.h"

namespace ringside {

H2Sender::H2Sender(H2SenderUser& user, CodecSink& sink, const H2Limits& limits, H2ScratchPool& pool, H2Stats& stats)
    : user_(user), sink_(sink), limits_(limits), pool_(pool), stats_(stats), guard_(limits) {
  encoder_.set_table_bytes_max(limits.encoder_table_bytes_max);
}

// --- Control frames --------------------------------------------------------------------------------------------------------

void H2Sender::count(const H2SentLog::Entry& entry) {
  unsent_bytes_ += entry.framing_bytes + entry.body_bytes;
  frames_unsent_ += entry.frames;
  control_frames_unsent_ += entry.control_frames;
  log_.push(entry);
}

void H2Sender::write_control(const H2FrameHeader& header, std::string_view payload, std::string_view more) {
  H2FrameHeader whole = header;
  whole.length = static_cast<uint32_t>(payload.size() + more.size());
  const size_t size = h2::frame_header_bytes + whole.length;
  char* const out = sink_.reserve(size);
  http::put(http::put(put_frame_header(out, whole), payload), more);
  sink_.commit(size);
  count({.framing_bytes = static_cast<uint32_t>(size), .frames = 1, .control_frames = 1});
}

void H2Sender::write_start(Origin peer) {
  const bool client = peer == Origin::upstream;
  char settings[(7 + h2::custom_settings_max) * 6];
  char* out = settings;
  const auto add = [&out](H2Setting setting, uint32_t value) {
    out = h2::put_u32(h2::put_u16(out, static_cast<uint32_t>(setting)), value);
  };
  RS_CHECK(limits_.custom_settings.size() <= h2::custom_settings_max);
  if (client) add(H2Setting::enable_push, 0);
  if (!client) add(H2Setting::max_concurrent_streams, limits_.streams_max);
  if (limits_.decoder_table_bytes != h2::table_default_bytes)
    add(H2Setting::header_table_size, limits_.decoder_table_bytes);
  add(H2Setting::initial_window_size, limits_.stream_window_bytes);
  add(H2Setting::max_header_list_size, limits_.header_bytes_max);
  if (!client && limits_.connect_protocol) add(H2Setting::enable_connect_protocol, 1);
  for (const H2CustomSetting& custom : limits_.custom_settings) add(static_cast<H2Setting>(custom.identifier), custom.value);
  if (client) {
    char* const room = sink_.reserve(h2::preface.size());
    http::put(room, h2::preface);
    sink_.commit(h2::preface.size());
    count({.framing_bytes = static_cast<uint32_t>(h2::preface.size())});
  }
  write_control({.type = H2FrameType::settings}, {settings, static_cast<size_t>(out - settings)});
  if (limits_.connection_window_bytes > h2::window_default_bytes)
    write_window_update(0, limits_.connection_window_bytes - h2::window_default_bytes);
}

void H2Sender::write_settings_ack() { write_control({.type = H2FrameType::settings, .flags = h2::ack}, {}); }

void H2Sender::write_ping(std::string_view eight_bytes, Ack ack) {
  write_control({.type = H2FrameType::ping, .flags = ack == Ack::yes ? h2::ack : uint8_t{0}}, eight_bytes);
}

void H2Sender::write_goaway(uint32_t last_stream_id, H2Code code, std::string_view debug) {
  char payload[8];
  h2::put_u32(h2::put_u32(payload, last_stream_id), static_cast<uint32_t>(code));
  write_control({.type = H2FrameType::goaway}, {payload, sizeof payload}, debug);
  ++stats_.goaway_sent;
}

void H2Sender::write_reset(uint32_t stream_id, H2Code code) {
  char payload[4];
  h2::put_u32(payload, static_cast<uint32_t>(code));
  write_control({.stream_id = stream_id, .type = H2FrameType::reset}, {payload, sizeof payload});
  ++stats_.tx_reset;
}

void H2Sender::write_window_update(uint32_t stream_id, uint32_t bytes) {
  char payload[4];
  h2::put_u32(payload, bytes);
  write_control({.stream_id = stream_id, .type = H2FrameType::window_update}, {payload, sizeof payload});
}

// --- Heads -----------------------------------------------------------------------------------------------------------------

// HEADERS, and CONTINUATION as long as the block is longer than a frame: encoded in one piece, then moved apart from behind.
void H2Sender::write_fields(uint32_t stream_id, End end) {
  constexpr size_t piece_max = h2::frame_default_bytes_max;
  const HpackFields& fields = pool_.fields();
  const size_t bound = encoder_.encoded_bytes_max(fields);
  char* const room = sink_.reserve(bound + h2::frame_header_bytes * (bound / piece_max + 1));
  const size_t size = encoder_.encode(fields, room + h2::frame_header_bytes, bound);
  const size_t pieces = std::max<size_t>(1, (size + piece_max - 1) / piece_max);
  for (size_t piece = pieces; piece-- > 0;) {
    const size_t length = std::min(piece_max, size - piece * piece_max);
    char* const at = room + piece * (piece_max + h2::frame_header_bytes);
    if (piece > 0) std::memmove(at + h2::frame_header_bytes, room + h2::frame_header_bytes + piece * piece_max, length);
    H2FrameHeader header{.length = static_cast<uint32_t>(length), .stream_id = stream_id};
    header.type = piece == 0 ? H2FrameType::headers : H2FrameType::continuation;
    if (piece == 0 && end == End::yes) header.flags |= h2::end_stream;
    if (piece == pieces - 1) header.flags |= h2::end_headers;
    put_frame_header(at, header);
  }
  const size_t written = size + pieces * h2::frame_header_bytes;
  sink_.commit(written);
  count({.stream_id = stream_id,
         .framing_bytes = static_cast<uint32_t>(written),
         .frames = static_cast<uint16_t>(pieces),
         .end = end == End::yes});
}

// --- Bodies ----------------------------------------------------------------------------------------------------------------

void H2Sender::enqueue(H2Stream& stream, Slice piece) {
  stats_.pending_send_bytes += piece.size();
  stream.queue.append(std::move(piece));
}

void H2Sender::drop(H2Stream& stream) {
  stream.unlink();
  stats_.pending_send_bytes -= stream.queue.size_bytes();
  stream.queue.clear();
  stream.trailers.clear();
}

void H2Sender::send(H2Stream& stream) {
  if (!stream.linked() && stream.wants_to_send()) ready_.push_back(stream);
  pump();
}

void H2Sender::schedule(const H2StreamTable& streams) {
  streams.for_each([this](H2Stream& stream) {
    if (!stream.linked() && stream.wants_to_send()) ready_.push_back(stream);
  });
  pump();
}

void H2Sender::pump() {
  if (pumping_) return;
  pumping_ = true;
  while (unsent_bytes_ < limits_.unsent_bytes_max) {
    H2Stream* const stream = ready_.pop_front();
    if (stream == nullptr) break;
    write_turn(*stream);
  }
  pumping_ = false;
}

// One stream's turn: a frame at most.
void H2Sender::write_turn(H2Stream& stream) {
  if (stream.queue.empty()) {
    if (!stream.trailers) return write_data(stream, 0, End::yes);
    const H2Listed listed = stream.trailers.list(pool_.fields());
    RS_CHECK(listed.wrong == nullptr);  // looked at when they were held
    write_fields(stream.id, End::yes);
    stream.trailers.clear();
    stream.end_written = true;
    return user_.on_end_written(stream);
  }
  const auto waiting = static_cast<int64_t>(stream.queue.size_bytes());
  const int64_t size =
      std::min({waiting, stream.send_window_bytes, window_bytes_, static_cast<int64_t>(h2::turn_bytes_max)});
  if (size <= 0) {  // its own window brings it back when it opens
    if (stream.send_window_bytes > 0) blocked_.push_back(stream);
    return;
  }
  const bool last = size == waiting && stream.out == H2Stream::Out::ended && !stream.trailers;
  write_data(stream, static_cast<size_t>(size), last ? End::yes : End::no);
  if (!last && stream.wants_to_send()) ready_.push_back(stream);
}

void H2Sender::write_data(H2Stream& stream, size_t size, End end) {
  H2FrameHeader header{.length = static_cast<uint32_t>(size), .stream_id = stream.id, .type = H2FrameType::data};
  if (end == End::yes) header.flags = h2::end_stream;
  if (size <= h2::copy_bytes_max) {
    char* out = put_frame_header(sink_.reserve(h2::frame_header_bytes + size), header);
    for (size_t left = size; left > 0;) {
      const Slice& front = stream.queue.slice(0);
      const size_t part = std::min(left, front.size());
      out = http::put(out, front.text().substr(0, part));
      stream.queue.consume(part);
      left -= part;
    }
    sink_.commit(h2::frame_header_bytes + size);
  } else {
    put_frame_header(sink_.reserve(h2::frame_header_bytes), header);
    sink_.commit(h2::frame_header_bytes);
    write_body(stream, size);
  }
  stats_.pending_send_bytes -= size;
  stream.send_window_bytes -= static_cast<int64_t>(size);
  window_bytes_ -= static_cast<int64_t>(size);
  stream.moved = true;
  guard_.on_data_sent(limits_);
  count({.stream_id = stream.id,
         .framing_bytes = h2::frame_header_bytes,
         .body_bytes = static_cast<uint32_t>(size),
         .frames = 1,
         .end = end == End::yes});
  if (end == End::no) return;
  stream.end_written = true;
  user_.on_end_written(stream);
}

void H2Sender::write_body(H2Stream& stream, size_t size) {
  while (size > 0) {
    const Slice& front = stream.queue.slice(0);
    if (front.size() <= size) {
      size -= front.size();
      sink_.write(stream.queue.pop_front());
    } else {
      sink_.write(front.share(0, size));
      stream.queue.consume(size);
      size = 0;
    }
  }
}

// --- Credit ----------------------------------------------------------------------------------------------------------------

bool H2Sender::add_window(uint32_t bytes) {
  if (window_bytes_ + bytes > h2::window_bytes_max) return false;
  window_bytes_ += bytes;
  if (window_bytes_ > 0) ready_.splice_back(blocked_);
  pump();
  return true;
}

bool H2Sender::add_window(H2Stream& stream, int64_t bytes) {
  if (stream.send_window_bytes + bytes > h2::window_bytes_max) return false;
  stream.send_window_bytes += bytes;
  return true;
}

void H2Sender::on_sent(size_t wire_bytes) {
  RS_DCHECK(wire_bytes <= unsent_bytes_);
  uint32_t left = std::min(static_cast<uint32_t>(wire_bytes), unsent_bytes_);
  unsent_bytes_ -= left;
  while (left > 0) {
    H2SentLog::Entry& entry = log_.front();
    const uint32_t framing = std::min(left, entry.framing_bytes);
    entry.framing_bytes -= framing;
    const uint32_t body = std::min(left - framing, entry.body_bytes);
    entry.body_bytes -= body;
    left -= framing + body;
    const uint32_t stream_id = entry.stream_id;
    bool ended = false;
    if (entry.framing_bytes == 0 && entry.body_bytes == 0) {
      frames_unsent_ -= entry.frames;
      control_frames_unsent_ -= entry.control_frames;
      ended = entry.end;
      log_.pop();
    }
    if (body > 0 && stream_id != 0) user_.on_body_sent(stream_id, body);
    if (ended) user_.on_end_sent(stream_id);
  }
  pump();
}

}  // namespace ringside
