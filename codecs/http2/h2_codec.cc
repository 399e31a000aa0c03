#include "codecs/http2/h2_codec.h"

#include <algorithm>
#include <utility>

namespace ringside {
namespace {

// What our PINGs say: whether an answer is for the keepalive or for the drain.
constexpr std::string_view keepalive_ping = "ringside";
constexpr std::string_view drain_ping = "drainage";

}  // namespace

H2Codec::H2Codec(CodecUser& user, CodecSink& sink, const H2Limits& limits, H2ScratchPool& pool, H2Stats& stats,
                 Origin peer)
    : user_(user),
      limits_(limits),
      pool_(pool),
      stats_(stats),
      sender_(*this, sink, limits, pool, stats),
      receive_window_bytes_(std::max(limits.connection_window_bytes, h2::window_default_bytes)),
      peer_(peer) {
  RS_CHECK(limits.stream_window_bytes >= h2::window_default_bytes &&
           limits.stream_window_bytes <= h2::window_bytes_max);
  RS_CHECK(limits.connection_window_bytes >= h2::window_default_bytes &&
           limits.connection_window_bytes <= h2::window_bytes_max);
  if (peer == Origin::upstream) preface_seen_bytes_ = h2::preface.size();  // a server sends none
}

H2Codec::~H2Codec() {
  release_block();
  while (H2Stream* stream = any_stream()) close(*stream);
  while (H2Stream* stream = closed_.pop_front()) pool_.streams().destroy(stream);
}

void H2Codec::release_block() {
  if (scratch_ != nullptr) pool_.give(std::exchange(scratch_, nullptr));
}

// --- The owner's calls -------------------------------------------------------------------------------------------------------

void H2Codec::start() { sender_.write_start(peer_); }

void H2Codec::decode(Slice bytes) {
  RS_CHECK(depth_ == 0);
  const Turn turn(*this);
  granted_bytes_ += static_cast<uint32_t>(bytes.size());
  if (!peer_ended_) run(bytes);  // nothing follows a FIN
  check_outbound();
}

void H2Codec::on_sent(size_t wire_bytes) {
  const Turn turn(*this);
  sender_.on_sent(wire_bytes);
}

void H2Codec::settle() {
  while (H2Stream* stream = closed_.pop_front()) pool_.streams().destroy(stream);
  if (granted_bytes_ > 0) user_.on_grant(std::exchange(granted_bytes_, 0));
  if (std::exchange(error_due_, false)) {
    idle_due_ = false;
    return user_.on_codec_error(error_, 0);
  }
  if (std::exchange(idle_due_, false)) user_.on_idle();
}

void H2Codec::on_end() {
  if (std::exchange(peer_ended_, true) || dead_) return;
  const Turn turn(*this);
  release_block();
  // Cutting one changes the table, so each round looks for another.
  const bool server = peer_ == Origin::downstream;
  bool any = false;
  while (true) {
    H2Stream* broken = fresh_.empty() ? nullptr : &fresh_.front();
    streams_.for_each([&](H2Stream& stream) {
      if (stream.in != H2Stream::In::ended || !server) broken = &stream;
    });
    if (broken == nullptr) break;
    any = any || broken->user != nullptr;
    const Retry retry = server || broken->begun ? Retry::never : Retry::if_reused;
    cut(*broken, {ErrorCode::peer_closed, peer_, retry, "peer closed in the middle of an exchange"});
  }
  if (server || !any) return;
  error_ = {ErrorCode::peer_closed, peer_, Retry::never, "peer closed in the middle of an exchange"};
  error_due_ = dead_ = true;
}

void H2Codec::abort(Error why) {
  const Turn turn(*this);
  end_all(why);
  error_due_ = false;
  idle_due_ = false;
}

void H2Codec::end_all(Error why) {
  dead_ = true;
  release_block();
  while (H2Stream* stream = any_stream()) cut(*stream, why);
}

void H2Codec::drain(Drain how) {
  if (dead_ || goaway_sent_) return;
  if (how == Drain::now || peer_ == Origin::upstream) {
    goaway_sent_ = drain_began_ = true;
    return sender_.write_goaway(last_peer_stream(), H2Code::no_error, {});
  }
  if (std::exchange(drain_began_, true)) return;
  sender_.write_goaway(h2::window_bytes_max, H2Code::no_error, {});
  drain_ping_due_ = true;
  sender_.write_ping(drain_ping, H2Sender::Ack::no);
}

void H2Codec::ping() {
  if (dead_ || std::exchange(ping_due_, true)) return;
  sender_.write_ping(keepalive_ping, H2Sender::Ack::no);
}

void H2Codec::on_ping(std::string_view opaque) {
  if (!spend(H2Event::other)) return;
  if (!reader_.header().has(h2::ack)) return sender_.write_ping(opaque, H2Sender::Ack::yes);
  if (opaque == keepalive_ping) ping_due_ = false;
  if (opaque != drain_ping || !std::exchange(drain_ping_due_, false)) return;
  drain(Drain::now);
}

void H2Codec::fail_keepalive() {
  if (dead_) return;
  const Turn turn(*this);
  ++stats_.keepalive_timeout;
  sender_.write_goaway(last_peer_stream(), H2Code::no_error, "keepalive timeout");
  // To requests under way it is one more connection that ended.
  const ErrorCode code = peer_ == Origin::upstream ? ErrorCode::peer_closed : ErrorCode::timed_out;
  error_ = {code, peer_, Retry::never, "no answer to PING"};
  error_due_ = true;
  end_all(error_);
}

void H2Codec::reset_stalled() {
  const Turn turn(*this);
  while (true) {
    H2Stream* stalled = nullptr;
    streams_.for_each([&](H2Stream& stream) {
      if (stream.user == nullptr && !stream.moved) stalled = &stream;
    });
    if (stalled == nullptr) break;
    ++stats_.tx_flush_timeout;
    sender_.write_reset(stalled->id, H2Code::cancel);
    resets_.remember(stalled->id, H2ResetMemory::By::us);
    close(*stalled);
  }
  streams_.for_each([](H2Stream& stream) { stream.moved = false; });
}

// --- The life of a stream ----------------------------------------------------------------------------------------------------

H2Stream& H2Codec::new_stream(uint32_t id) {
  H2Stream& stream = *pool_.streams().make(*this, id);
  ++stats_.streams_active;
  if (id != 0) {
    enter(stream, id);
  } else {
    fresh_.push_back(stream);
    ++fresh_count_;
  }
  return stream;
}

void H2Codec::enter(H2Stream& stream, uint32_t id) {
  if (stream.linked()) {
    stream.unlink();
    --fresh_count_;
  }
  stream.id = id;
  stream.send_window_bytes = peer_window_bytes_;
  stream.receive_window_bytes = limits_.stream_window_bytes;
  streams_.insert(stream);
  sender_.guard().on_stream_opened(limits_);
}

void H2Codec::close(H2Stream& stream) {
  if (stream.closed) return;
  stream.closed = true;
  stream.user = nullptr;
  if (stream.end_written && !stream.end_sent) ++lingering_;
  if (data_stream_ == &stream) data_stream_ = nullptr;
  sender_.drop(stream);
  if (stream.id != 0) {
    streams_.remove(stream);
  } else {
    --fresh_count_;
  }
  --stats_.streams_active;
  closed_.push_back(stream);
  idle_due_ = true;
  credit(std::exchange(stream.ungranted_bytes, 0));
}

void H2Codec::cut(H2Stream& stream, Error why) {
  StreamUser* const user = stream.user;
  close(stream);
  if (user != nullptr) user->on_reset(why);
}

void H2Codec::end_if_over(H2Stream& stream) {
  if (stream.closed || stream.out != H2Stream::Out::ended) return;
  if (stream.in == H2Stream::In::ended) stream.user = nullptr;  // what is queued needs nobody
  if (!stream.end_written) return;
  if (stream.in == H2Stream::In::ended) {
    sender_.guard().on_stream_completed(limits_);
    return close(stream);
  }
  if (!stream.reset_after_end) return;
  // RFC 9113 8.1: the whole answer was sent, the rest of the request is not wanted.
  sender_.write_reset(stream.id, H2Code::no_error);
  resets_.remember(stream.id, H2ResetMemory::By::us);
  close(stream);
}

void H2Codec::on_end_written(H2Stream& stream) { end_if_over(stream); }

void H2Codec::on_body_sent(uint32_t stream_id, size_t body_bytes) {
  H2Stream* const stream = streams_.find(stream_id);
  if (stream != nullptr && stream->user != nullptr) stream->user->on_sent(body_bytes);
}

void H2Codec::on_end_sent(uint32_t stream_id) {
  if (H2Stream* const stream = streams_.find(stream_id)) {
    stream->end_sent = true;
  } else {
    --lingering_;
  }
}

void H2Codec::reset_by_fault(uint32_t stream_id, H2Stream* stream, H2Fault fault) {
  sender_.write_reset(stream_id, fault.code);
  resets_.remember(stream_id, H2ResetMemory::By::us);
  if (fault.code == H2Code::refused_stream) ++stats_.stream_refused_errors;
  if (stream != nullptr) cut(*stream, {ErrorCode::bad_message, peer_, Retry::never, fault.detail});
  // What we reset because of a peer's frames costs as much as what it resets itself.
  if (peer_ == Origin::downstream && !dead_) spend(H2Event::reset);
}

H2Codec::Opening H2Codec::reopen(uint32_t stream_id) {
  switch (resets_.find(stream_id)) {
    case H2ResetMemory::By::us: return {};
    case H2ResetMemory::By::peer: return {Block::ignored, {H2Code::stream_closed, "frame on a stream that was reset"}};
    case H2ResetMemory::By::nobody: break;
  }
  if (resets_.forgets()) return {Block::ignored, {H2Code::stream_closed, "frame on a closed stream"}};
  fail({H2Code::stream_closed, "frame on a closed stream"});
  return {};
}

void H2Codec::fail(H2Fault fault) {
  if (dead_) return;
  sender_.write_goaway(last_peer_stream(), fault.code, fault.detail);
  goaway_sent_ = true;
  const ErrorCode code = fault.code == H2Code::enhance_your_calm ? ErrorCode::too_large : ErrorCode::bad_message;
  error_ = {code, peer_, Retry::never, fault.detail};
  error_due_ = true;
  end_all(error_);
}

void H2Codec::fail_local(H2Stream& stream, const char* detail) {
  if (stream.id != 0) {
    sender_.write_reset(stream.id, H2Code::internal_error);
    resets_.remember(stream.id, H2ResetMemory::By::us);
  }
  cut(stream, {ErrorCode::bad_message, Origin::local, Retry::never, detail});
}

// --- Bytes out ---------------------------------------------------------------------------------------------------------------

void H2Codec::write_head(H2Stream& stream, const H2Listed& listed, End end) {
  if (listed.wrong != nullptr) return fail_local(stream, listed.wrong);
  if (pool_.fields().list_bytes() > peer_list_bytes_max_)
    return fail_local(stream, "head larger than the peer accepts");
  if (end == End::yes && !stream.bodiless && listed.length.value_or(0) > 0)
    return fail_local(stream, "body is shorter than its content-length");
  stream.send_left = listed.length.value_or(H2Stream::length_unknown);
  stream.out = end == End::yes ? H2Stream::Out::ended : H2Stream::Out::body;
  const bool last = end == End::yes || stream.bodiless;
  stream.end_written = last;
  stream.moved = true;
  sender_.write_fields(stream.id, last ? End::yes : End::no);
  end_if_over(stream);
}

void H2Codec::send_body(H2Stream& stream, Slice piece, End end) {
  if (stream.closed) return;
  RS_CHECK(stream.out == H2Stream::Out::body);
  if (!stream.bodiless) {
    if (piece.size() > stream.send_left) return fail_local(stream, "body is longer than its content-length");
    if (stream.send_left != H2Stream::length_unknown) stream.send_left -= piece.size();
    if (end == End::yes && stream.send_left != 0 && stream.send_left != H2Stream::length_unknown)
      return fail_local(stream, "body is shorter than its content-length");
    sender_.enqueue(stream, std::move(piece));
  }
  if (end == End::yes) stream.out = H2Stream::Out::ended;
  sender_.send(stream);
  end_if_over(stream);
}

void H2Codec::send_trailers(H2Stream& stream, const HeaderMap& fields) {
  if (stream.closed) return;
  const H2Listed listed = list_trailers(fields, pool_.fields());
  if (listed.wrong != nullptr) return fail_local(stream, listed.wrong);
  const bool none = stream.bodiless || pool_.fields().list_bytes() == 0;
  const bool short_body = stream.send_left != 0 && stream.send_left != H2Stream::length_unknown;
  if (none || short_body) return send_body(stream, Slice(), End::yes);
  RS_CHECK(stream.out == H2Stream::Out::body);
  stream.out = H2Stream::Out::ended;
  if (stream.queue.empty()) {
    stream.end_written = true;
    sender_.write_fields(stream.id, End::yes);
  } else {
    stream.trailers.hold(fields);
    sender_.send(stream);
  }
  end_if_over(stream);
}

void H2Codec::reset(H2Stream& stream, Error why) {
  if (stream.closed) return;
  const bool server = peer_ == Origin::downstream;
  if (server && stream.out == H2Stream::Out::ended) {
    stream.user = nullptr;
    stream.reset_after_end = true;
    credit(std::exchange(stream.ungranted_bytes, 0));
    return end_if_over(stream);
  }
  H2Code code = H2Code::cancel;
  if (server && why.code == ErrorCode::overloaded && stream.out == H2Stream::Out::head) {
    code = H2Code::refused_stream;
  } else if (server && why.code != ErrorCode::cancelled) {
    code = H2Code::internal_error;
  }
  if (stream.connect && why.code == ErrorCode::peer_reset) code = H2Code::connect_error;  // RFC 9113 8.5
  if (stream.id != 0) {  // a request that was never sent is none
    sender_.write_reset(stream.id, code);
    resets_.remember(stream.id, H2ResetMemory::By::us);
  }
  close(stream);
}

// --- Credit --------------------------------------------------------------------------------------------------------------------

void H2Codec::grant(H2Stream& stream, size_t body_bytes) {
  if (stream.closed) return;
  RS_DCHECK(body_bytes <= stream.ungranted_bytes);
  const uint32_t granted = std::min(static_cast<uint32_t>(body_bytes), stream.ungranted_bytes);
  stream.ungranted_bytes -= granted;
  credit(stream, granted);
  credit(granted);
}

// Told at half a window: fewer frames, and the sender never waits for us alone.
void H2Codec::credit(uint32_t bytes) {
  credit_bytes_ += bytes;
  if (dead_ || credit_bytes_ < std::max(limits_.connection_window_bytes, h2::window_default_bytes) / 2) return;
  receive_window_bytes_ += credit_bytes_;
  sender_.write_window_update(0, std::exchange(credit_bytes_, 0));
}

void H2Codec::credit(H2Stream& stream, uint32_t bytes) {
  if (stream.in == H2Stream::In::ended) return;
  stream.credit_bytes += bytes;
  if (stream.credit_bytes < limits_.stream_window_bytes / 2) return;
  stream.receive_window_bytes += stream.credit_bytes;
  sender_.write_window_update(stream.id, std::exchange(stream.credit_bytes, 0));
}

// --- Stream ----------------------------------------------------------------------------------------------------------------------

void H2Stream::send_informational(const Head& head) {
  if (closed) return;
  const H2Codec::Turn turn(codec);
  codec.send_informational(*this, head);
}

void H2Stream::send_head(const Head& head, End end) {
  if (closed) return;
  const H2Codec::Turn turn(codec);
  codec.send_head(*this, head, end);
}

void H2Stream::send_body(Slice piece, End end) {
  const H2Codec::Turn turn(codec);
  codec.send_body(*this, std::move(piece), end);
}

void H2Stream::send_trailers(const HeaderMap& fields) {
  const H2Codec::Turn turn(codec);
  codec.send_trailers(*this, fields);
}

void H2Stream::grant(size_t body_bytes) {
  const H2Codec::Turn turn(codec);
  codec.grant(*this, body_bytes);
}

void H2Stream::reset(Error why) {
  const H2Codec::Turn turn(codec);
  codec.reset(*this, why);
}

}  // namespace ringside
