#include "codecs/http1/h1_codec.h"

#include <algorithm>
#include <utility>

#include "codecs/http1/h1_writer.h"
#include "core/check.h"

namespace ringside {

// --- bytes in ------------------------------------------------------------------------------------------------------------

void H1Codec::decode(Slice bytes) {
  RS_CHECK(!decoding_);
  if (held_bytes() > 0) {  // in order
    held_->append(std::move(bytes));
    return;
  }
  decoding_ = true;
  run(bytes);
  decoding_ = false;
  settle();
}

void H1Codec::settle() {
  if (consumed_ > 0) user_.on_grant(std::exchange(consumed_, 0));
  if (!idle_due_) return;
  idle_due_ = false;
  user_.on_idle();
}

void H1Codec::run(Slice& bytes) {
  while (!bytes.empty()) {
    if (idle_due_) return on_surplus(bytes);
    switch (in_) {
      case In::idle:
      case In::ended: return on_surplus(bytes);
      case In::start: run_start(bytes); break;
      case In::head: run_head(bytes); break;
      case In::length: run_length(bytes); break;
      case In::chunked: run_chunked(bytes); break;
      case In::trailers: run_trailers(bytes); break;
      case In::until_close: deliver_body(bytes, bytes.size(), End::no); break;
      case In::tunnel: return hold(bytes);
      case In::dead: return;
    }
  }
}

void H1Codec::hold(Slice& bytes) {
  if (held_ == nullptr) held_ = std::make_unique<Buffer>();
  held_->append(std::move(bytes));
}

size_t H1Codec::body_bytes_due() const {
  if (in_ == In::length) return receive_left_;
  if (in_ == In::chunked) return chunks_.data_due();
  return in_ == In::until_close ? SIZE_MAX : 0;
}

void H1Codec::consume(Slice& bytes, size_t size) {
  bytes.remove_prefix(size);
  consumed_ += static_cast<uint32_t>(size);
}

// One empty line in front of a request is left over from a client that ends its body with one (RFC 9112 2.2).
void H1Codec::run_start(Slice& bytes) {
  if (peer_ == Origin::downstream) {
    if (!persistent_) return consume(bytes, bytes.size());  // we said that there will be no further answer
    const char first = bytes.data()[0];
    if (cr_skipped_ ? first == '\n' : first == '\r' && !crlf_skipped_) {
      crlf_skipped_ = cr_skipped_;
      cr_skipped_ = !cr_skipped_;
      return consume(bytes, 1);
    }
    if (cr_skipped_) return fail({.detail = "line does not end in CRLF"});
    crlf_skipped_ = false;
  } else {
    response_begun_ = true;
  }
  in_ = In::head;
}

void H1Codec::run_head(Slice& bytes) {
  const H1Part part = peer_ == Origin::downstream ? H1Part::request : H1Part::response;
  size_t used = 0;
  H1Failure failure;
  const H1HeadParser::Step step = parser_.feed(pool_, limits_, part, bytes.text(), used, failure);
  if (step == H1HeadParser::Step::failed) return fail(failure);
  consume(bytes, used);
  if (step == H1HeadParser::Step::done) on_head();
}

End H1Codec::begin_body_in(const H1Meaning& meaning) {
  switch (meaning.framing) {
    case H1Framing::none: in_ = In::ended; return End::yes;
    case H1Framing::length:
      in_ = In::length;
      receive_left_ = meaning.length;
      return End::no;
    case H1Framing::chunked:
      in_ = In::chunked;
      chunks_.begin();
      return End::no;
    case H1Framing::until_close: in_ = In::until_close; return End::no;
  }
  check_failed("no such framing");
}

void H1Codec::run_length(Slice& bytes) {
  const size_t size = static_cast<size_t>(std::min<uint64_t>(receive_left_, bytes.size()));
  receive_left_ -= size;
  deliver_body(bytes, size, receive_left_ == 0 ? End::yes : End::no);
}

void H1Codec::run_chunked(Slice& bytes) {
  size_t used = 0;
  const char* wrong = nullptr;
  const H1ChunkReader::Step step = chunks_.advance(bytes.text(), used, wrong);
  consume(bytes, used);
  switch (step) {
    case H1ChunkReader::Step::more: return;
    case H1ChunkReader::Step::data: {
      const size_t size = static_cast<size_t>(std::min<uint64_t>(chunks_.data_left(), bytes.size()));
      if (size == 0) return;
      chunks_.take(size);
      return deliver_body(bytes, size, End::no);
    }
    case H1ChunkReader::Step::trailers: in_ = In::trailers; return;
    case H1ChunkReader::Step::end: return deliver_end();
    case H1ChunkReader::Step::failed: return fail({.detail = wrong});
  }
}

void H1Codec::run_trailers(Slice& bytes) {
  size_t used = 0;
  H1Failure failure;
  const H1HeadParser::Step step = parser_.feed(pool_, limits_, H1Part::trailers, bytes.text(), used, failure);
  if (step == H1HeadParser::Step::failed) return fail(failure);
  consume(bytes, used);
  if (step == H1HeadParser::Step::more) return;
  if (!check_trailers(parser_.head(), failure)) return fail(failure);
  if (!limits_.enable_trailers) {
    parser_.release(pool_);
    return deliver_end();
  }
  HeaderMap& fields = build_trailers(parser_.head(), stream_->arena());
  parser_.release(pool_);
  if (fields.empty()) return deliver_end();
  in_ = In::ended;
  stream_->on_trailers(fields);
  end_exchange_if_over();
}

void H1Codec::deliver_body(Slice& bytes, size_t size, End end) {
  ungranted_ += static_cast<uint32_t>(size);
  Slice piece;
  if (size == bytes.size()) {
    piece = std::move(bytes);
  } else {
    piece = bytes.share(0, size);
    bytes.remove_prefix(size);
  }
  if (end == End::yes) in_ = In::ended;
  stream_->on_body(std::move(piece), end);
  end_exchange_if_over();
}

void H1Codec::deliver_end() {
  in_ = In::ended;
  stream_->on_body(Slice(), End::yes);
  end_exchange_if_over();
}

void H1Codec::grant(size_t body_bytes) {
  if (in_ == In::dead) return;
  RS_DCHECK(body_bytes <= ungranted_);
  const uint32_t granted = std::min(static_cast<uint32_t>(body_bytes), ungranted_);
  ungranted_ -= granted;
  if (decoding_) {
    consumed_ += granted;
  } else if (granted > 0) {
    user_.on_grant(granted);
  }
}

// --- bytes out -----------------------------------------------------------------------------------------------------------

void H1Codec::begin_body_out(Out framing, uint64_t length, size_t head_wire_bytes) {
  out_ = framing;
  send_left_ = length;
  count_out(head_wire_bytes);
  unsent_before_body_ = unsent_wire_;
  unsent_body_ = 0;
}

void H1Codec::write_body(Slice piece, End end) {
  const size_t size = piece.size();
  if (out_ == Out::bodiless) return;
  if (out_ == Out::chunked) {
    if (size > 0 || end == End::yes) count_out(write_chunk(sink_, std::move(piece), end));
  } else if (size > 0) {
    count_out(size);
    sink_.write(std::move(piece));
  }
  unsent_body_ += static_cast<uint32_t>(size);
}

void H1Codec::send_body(Slice piece, End end) {
  if (out_ == Out::dead) return;
  RS_CHECK(out_ != Out::idle && out_ != Out::head && out_ != Out::tunnel && out_ != Out::ended);
  if (out_ == Out::length) {
    // What was announced was checked where it came from. If a body was replaced on its way without its length, the
    // connection is worth less than what the peer would make of the surplus.
    if (piece.size() > send_left_) return fail_local("body is longer than its content-length");
    send_left_ -= piece.size();
    if (end == End::yes && send_left_ > 0) return fail_local("body is shorter than its content-length");
  }
  write_body(std::move(piece), end);
  if (end == End::yes) message_out_ended();
}

void H1Codec::send_trailers(const HeaderMap& fields) {
  if (out_ != Out::chunked || !limits_.enable_trailers) return send_body(Slice(), End::yes);
  const size_t written = write_trailers(sink_, fields);
  if (written == 0) return fail_local("trailers that cannot be sent");
  count_out(written);
  message_out_ended();
}

void H1Codec::on_sent(size_t wire_bytes) {
  RS_DCHECK(wire_bytes <= unsent_wire_);
  uint32_t sent = std::min(static_cast<uint32_t>(wire_bytes), unsent_wire_);
  unsent_wire_ -= sent;
  const uint32_t before = std::min(sent, unsent_before_body_);
  unsent_before_body_ -= before;
  sent -= before;
  // Chunk framing counts as body until the body is used up; it is a few bytes for each piece.
  const uint32_t body = unsent_wire_ == 0 ? unsent_body_ : std::min(sent, unsent_body_);
  unsent_body_ -= body;
  if (body > 0 && stream_ != nullptr) stream_->on_sent(body);
}

// --- the end of an exchange ------------------------------------------------------------------------------------------------

void H1Codec::message_out_ended() {
  out_ = Out::ended;
  end_exchange_if_over();
  if (!decoding_) settle();
}

void H1Codec::end_exchange_if_over() {
  if (in_ != In::ended || out_ != Out::ended) return;
  stream_ = nullptr;
  consumed_ += std::exchange(ungranted_, 0);
  unsent_body_ = 0;
  informationals_ = 0;
  response_begun_ = false;
  upgrade_asked_ = false;
  connect_asked_ = false;
  in_ = peer_ == Origin::downstream ? In::start : In::idle;
  out_ = Out::idle;
  idle_due_ = true;
}

bool H1Codec::reusable() const {
  return persistent_ && stream_ == nullptr && (in_ == In::idle || in_ == In::start) &&
         !(peer_ended_ && held_bytes() == 0);
}

// --- the end of everything -------------------------------------------------------------------------------------------------

void H1Codec::die() {
  parser_.release(pool_);
  held_.reset();
  stream_ = nullptr;
  in_ = In::dead;
  out_ = Out::dead;
  persistent_ = false;
  idle_due_ = false;
  consumed_ = 0;
}

void H1Codec::reset(Error) { die(); }

H1Codec::Left H1Codec::leave() {
  RS_CHECK(!decoding_ && (in_ == In::tunnel || out_ == Out::tunnel));
  Left left{.early = {}, .unsent_bytes = unsent_wire_, .peer_ended = peer_ended_};
  if (held_ != nullptr) left.early = std::move(*held_);
  die();
  return left;
}

void H1Codec::abort(Error why) {
  StreamUser* stream = stream_;
  die();
  if (stream != nullptr) stream->on_reset(why);
}

void H1Codec::fail(const H1Failure& failure) {
  fail(Error{failure.code, peer_, Retry::never, failure.detail}, failure.status);
}

void H1Codec::fail(Error why, uint16_t status) {
  if (response_begun_ || peer_ == Origin::upstream) status = 0;
  abort(why);
  user_.on_codec_error(why, status);
}

void H1Codec::fail_local(const char* detail) {
  fail(Error{ErrorCode::bad_message, Origin::local, Retry::never, detail}, 500);
}

}  // namespace ringside
