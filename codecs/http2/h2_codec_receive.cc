// Frames in: bodies and header blocks.
#include <utility>

#include "codecs/http2/h2_codec.h"

namespace ringside {

void H2Codec::run(Slice& bytes) {
  if (preface_seen_bytes_ < h2::preface.size() && !dead_) run_preface(bytes);
  while (!dead_) {
    switch (reader_.next(bytes)) {
      case H2FrameReader::Step::more: return;
      case H2FrameReader::Step::header: on_frame_header(); break;
      case H2FrameReader::Step::fixed: on_fixed(); break;
      case H2FrameReader::Step::payload: on_payload(reader_.take(bytes)); break;
      case H2FrameReader::Step::end: on_frame_end(); break;
    }
  }
}

void H2Codec::run_preface(Slice& bytes) {
  while (!bytes.empty() && preface_seen_bytes_ < h2::preface.size()) {
    if (bytes.data()[0] != h2::preface[preface_seen_bytes_]) return fail({H2Code::protocol_error, "invalid preface"});
    ++preface_seen_bytes_;
    bytes.remove_prefix(1);
  }
}

void H2Codec::on_frame_header() {
  const H2FrameHeader& frame = reader_.header();
  if (scratch_ != nullptr) return continue_headers(frame);
  if (const H2Fault fault = check_frame_header(frame)) return fail(fault);
  if (!settings_seen_ && (frame.type != H2FrameType::settings || frame.has(h2::ack)))
    return fail({H2Code::protocol_error, "first frame is not SETTINGS"});
  on_frame_of_type(frame);
}

void H2Codec::on_frame_of_type(const H2FrameHeader& frame) {
  switch (frame.type) {
    case H2FrameType::data: return begin_data(frame);
    case H2FrameType::headers: return begin_headers(frame);
    case H2FrameType::priority: return begin_priority(frame);
    case H2FrameType::settings: return begin_settings(frame);
    case H2FrameType::reset:
    case H2FrameType::window_update: return reader_.expect(4);
    case H2FrameType::ping:
    case H2FrameType::goaway: return reader_.expect(8);
    case H2FrameType::push_promise:
    case H2FrameType::continuation:
    case H2FrameType::metadata: break;
  }
  begin_other(frame);
}

void H2Codec::on_fixed() {
  const std::string_view fixed = reader_.fixed();
  const uint32_t stream_id = reader_.header().stream_id;
  switch (reader_.header().type) {
    case H2FrameType::data: {
      const auto padding = static_cast<unsigned char>(fixed[0]);
      if (!reader_.set_padding(padding)) return fail({H2Code::protocol_error, "padding longer than its frame"});
      credit(1u + padding);
      if (data_stream_ != nullptr && data_stream_->user != nullptr) credit(*data_stream_, 1u + padding);
      return start_data();
    }
    case H2FrameType::headers: return start_fragment();
    case H2FrameType::priority:
      if ((h2::get_u32(fixed.data()) & 0x7fffffff) != stream_id) return;
      // RST_STREAM may not be sent on an idle stream.
      if (is_idle(stream_id)) return fail({H2Code::protocol_error, "stream depends on itself"});
      return reset_by_fault(stream_id, streams_.find(stream_id), {H2Code::protocol_error, "stream depends on itself"});
    case H2FrameType::reset: return on_reset_frame(stream_id, h2::get_u32(fixed.data()));
    case H2FrameType::settings:
      on_setting(h2::get_u16(fixed.data()), h2::get_u32(fixed.data() + 2));
      if (dead_ || reader_.repeat()) return;
      sender_.write_settings_ack();
      return sender_.schedule(streams_);  // windows may have opened, and nothing goes before the answer (RFC 9113 6.5.3)
    case H2FrameType::ping: return on_ping(fixed);
    case H2FrameType::goaway: return on_goaway_frame(fixed);
    case H2FrameType::window_update: return on_window_update(stream_id, h2::get_u32(fixed.data()) & 0x7fffffff);
    case H2FrameType::push_promise:
    case H2FrameType::continuation:
    case H2FrameType::metadata: break;
  }
  check_failed("no fixed part");
}

void H2Codec::on_payload(Slice piece) {
  const H2FrameType type = reader_.header().type;
  if (type == H2FrameType::data) return deliver_data(std::move(piece));
  if (type != H2FrameType::headers && type != H2FrameType::continuation) return;  // GOAWAY's text
  scratch_->wire_bytes += static_cast<uint32_t>(piece.size());
  if (!decoder_.decode(piece.text(), HpackDecoder::Last::no, *scratch_))
    return fail({H2Code::compression_error, "invalid header block"});
  if (!scratch_->absurd()) return;
  calm_down(stats_.header_overflow, "header list far beyond the limit");
}

void H2Codec::on_frame_end() {
  const H2FrameHeader& frame = reader_.header();
  if (frame.type == H2FrameType::data) {
    H2Stream* const stream = std::exchange(data_stream_, nullptr);
    if (stream == nullptr || !frame.has(h2::end_stream) || stream->in == H2Stream::In::ended) return;
    stream->in = H2Stream::In::ended;
    if (stream->user != nullptr) stream->user->on_body(Slice(), End::yes);
    return end_if_over(*stream);
  }
  const bool of_block = frame.type == H2FrameType::headers || frame.type == H2FrameType::continuation;
  if (of_block && frame.has(h2::end_headers)) finish_block();
}

// --- DATA ----------------------------------------------------------------------------------------------------------------------

void H2Codec::begin_data(const H2FrameHeader& frame) {
  if (is_idle(frame.stream_id)) return fail({H2Code::protocol_error, "DATA on an idle stream"});
  if (frame.length > receive_window_bytes_)
    return fail({H2Code::flow_control_error, "DATA beyond the connection's window"});
  receive_window_bytes_ -= frame.length;
  H2Stream* const stream = streams_.find(frame.stream_id);
  H2Fault fault;
  if (stream == nullptr) {
    fault = reopen(frame.stream_id).stream_fault;
    if (dead_) return;
  } else if (stream->in == H2Stream::In::head) {
    fault = {H2Code::protocol_error, "DATA before the head"};
  } else if (stream->in == H2Stream::In::ended) {
    fault = {H2Code::stream_closed, "DATA after the end of its stream"};
  } else if (frame.length > stream->receive_window_bytes) {
    fault = {H2Code::flow_control_error, "DATA beyond its stream's window"};
  }
  if (fault) reset_by_fault(frame.stream_id, stream, fault);
  if (dead_) return;
  if (stream == nullptr || fault) {
    credit(frame.length);
    return reader_.skip();
  }
  stream->receive_window_bytes -= frame.length;
  data_stream_ = stream;
  reader_.expect(frame.has(h2::padded) ? 1 : 0);
  if (!frame.has(h2::padded)) start_data();
}

// The size of the content is known, nothing of it was delivered.
void H2Codec::start_data() {
  const uint32_t size = reader_.payload_left();
  const bool end = reader_.header().has(h2::end_stream);
  if (!sender_.guard().on_frame(size == 0 && !end, limits_))
    return calm_down(stats_.inbound_empty_frames_flood, "too many empty frames");
  sender_.guard().on_progress();
  if (data_stream_ == nullptr) return;
  uint64_t& left = data_stream_->receive_left;
  if (left == H2Stream::length_unknown) return;
  if (size > left || (end && size < left)) {
    const char* detail =
        size > left ? "body is longer than its content-length" : "body is shorter than its content-length";
    return reset_by_fault(data_stream_->id, data_stream_, {H2Code::protocol_error, detail});
  }
  left -= size;
}

void H2Codec::deliver_data(Slice piece) {
  const auto size = static_cast<uint32_t>(piece.size());
  H2Stream* const stream = data_stream_;
  if (stream == nullptr || stream->user == nullptr) return credit(size);
  if (size <= h2::pack_bytes_max && stream->ungranted_bytes > 0) piece = stream->packing.copy(piece.text());
  stream->ungranted_bytes += size;
  wants_credit_ |= stream->receive_window_bytes < limits_.stream_window_bytes / 2 ||
                   receive_window_bytes_ < std::max(limits_.connection_window_bytes, h2::window_default_bytes) / 2;
  const bool last = reader_.payload_left() == 0 && reader_.padding_left() == 0 && reader_.header().has(h2::end_stream);
  if (last) stream->in = H2Stream::In::ended;
  stream->begun = true;
  stream->user->on_body(std::move(piece), last ? End::yes : End::no);
  end_if_over(*stream);
}

// --- HEADERS and CONTINUATION --------------------------------------------------------------------------------------------------

void H2Codec::begin_headers(const H2FrameHeader& frame) {
  sender_.guard().on_progress();
  Opening opening;
  H2Stream* const stream = streams_.find(frame.stream_id);
  if (stream == nullptr) {
    opening = open_block(frame.stream_id);
    if (dead_) return;
  } else if (stream->in == H2Stream::In::ended) {
    opening.stream_fault = {H2Code::stream_closed, "HEADERS after the end of its stream"};
  } else if (stream->in == H2Stream::In::body) {
    opening.block = Block::trailers;
    if (stream->connect) {
      opening.stream_fault = {H2Code::protocol_error, "HEADERS in a tunnel"};
    } else if (!frame.has(h2::end_stream))
      opening.stream_fault = {H2Code::protocol_error, "trailers that do not end their stream"};
  } else {
    opening.block = Block::message;
  }
  block_ = opening;
  block_header_ = frame;
  block_of_open_stream_ = stream != nullptr;
  scratch_ = pool_.take();
  const bool kept = opening.block != Block::ignored && !opening.stream_fault;
  scratch_->begin(limits_, stats_, kept ? H2Scratch::Keep::yes : H2Scratch::Keep::no);
  const uint32_t prefix_bytes = (frame.has(h2::padded) ? 1 : 0) + (frame.has(h2::priority) ? 5 : 0);
  reader_.expect(prefix_bytes);
  if (prefix_bytes == 0) start_fragment();
}

void H2Codec::continue_headers(const H2FrameHeader& frame) {
  if (frame.type != H2FrameType::continuation || frame.stream_id != block_header_.stream_id)
    return fail({H2Code::protocol_error, "frame inside of a header block"});
  if (frame.length > h2::frame_default_bytes_max) return fail({H2Code::frame_size_error, "frame larger than allowed"});
  if (++scratch_->continuations > h2::continuations_max)
    return calm_down(stats_.too_many_header_frames, "too many CONTINUATION frames");
  reader_.expect(0);
  start_fragment();
}

// After what stands in front of the fragment of a header block.
void H2Codec::start_fragment() {
  const H2FrameHeader& frame = reader_.header();
  if (frame.type == H2FrameType::headers) {
    const char* fixed = reader_.fixed().data();
    if (frame.has(h2::padded) && !reader_.set_padding(static_cast<unsigned char>(*fixed++)))
      return fail({H2Code::protocol_error, "padding longer than its frame"});
    if (frame.has(h2::priority) && (h2::get_u32(fixed) & 0x7fffffff) == frame.stream_id && !block_.stream_fault)
      block_.stream_fault = {H2Code::protocol_error, "stream depends on itself"};
  }
  const bool useless = reader_.payload_left() == 0 && !block_header_.has(h2::end_stream);
  if (!sender_.guard().on_frame(useless, limits_))
    calm_down(stats_.inbound_empty_frames_flood, "too many empty frames");
}

void H2Codec::finish_block() {
  if (!decoder_.decode({}, HpackDecoder::Last::yes, *scratch_))
    return fail({H2Code::compression_error, "invalid header block"});
  const uint32_t stream_id = block_header_.stream_id;
  H2Stream* const stream = streams_.find(stream_id);
  if (block_of_open_stream_ && stream == nullptr) return release_block();  // reset by its user in between
  H2Fault fault = block_.stream_fault;
  if (!fault && block_.block != Block::ignored) {
    if (scratch_->overflowed()) {
      ++stats_.header_overflow;
      fault = {H2Code::enhance_your_calm, "header list larger than allowed"};
    } else if (scratch_->wrong() != nullptr) {
      fault = {H2Code::protocol_error, scratch_->wrong()};
    } else if (block_.block == Block::message) {
      fault = {H2Code::protocol_error, on_message(stream_id, stream)};
    } else {
      fault = {H2Code::protocol_error, check_trailers(*scratch_)};
      if (!fault && stream->receive_left != 0 && stream->receive_left != H2Stream::length_unknown)
        fault.detail = "body is shorter than its content-length";
      if (!fault) on_trailers(*stream);
    }
  }
  release_block();
  if (!fault || dead_) return;
  if (fault.code == H2Code::protocol_error) ++stats_.rx_messaging_error;
  if (fault.code == H2Code::protocol_error && !limits_.stream_error_on_invalid_message) return fail(fault);
  reset_by_fault(stream_id, streams_.find(stream_id), fault);
}

void H2Codec::on_trailers(H2Stream& stream) {
  ++stats_.trailers;
  stream.in = H2Stream::In::ended;
  if (StreamUser* const user = stream.user) {
    HeaderMap& fields = build_trailers(*scratch_, user->arena());
    if (fields.empty()) {
      user->on_body(Slice(), End::yes);
    } else {
      user->on_trailers(fields);
    }
  }
  end_if_over(stream);
}

void H2Codec::begin_body_in(H2Stream& stream, const H2Meaning& meaning) {
  const bool end = block_ends_stream();
  stream.in = end ? H2Stream::In::ended : H2Stream::In::body;
  if (stream.connect && meaning.status / 100 == 2) return;  // a tunnel has no length (RFC 9110 9.3.6)
  const bool without = stream.head_request || meaning.status == 204 || meaning.status == 304;
  if (without) {
    stream.receive_left = 0;
  } else if (meaning.length.has_value()) {
    stream.receive_left = *meaning.length;
  }
}

}  // namespace ringside
