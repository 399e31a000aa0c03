// One end of a tunnel: what a transport and a stream have in common.
#include <algorithm>

#include "proxy/tunnel.h"

namespace ringside {

Tunnel& TunnelEnd::tunnel() {
  if (is_up_) return static_cast<Tunnel&>(static_cast<UpEnd&>(*this));
  return static_cast<Tunnel&>(static_cast<DownEnd&>(*this));
}

void TunnelEnd::attach(RawConnection& connection) {
  is_raw_ = true;
  transport_ = connection.transport.release();
  transport_->hand_over(*this);
  unsent_head_bytes_ = static_cast<uint32_t>(connection.unsent_bytes);
}

void TunnelEnd::attach(Stream& stream, bool input_over) {
  stream_ = &stream;
  input_over_ = input_over;
  stream.hand_over(*this);
}

void TunnelEnd::send(Slice bytes) {
  if (finished_ || gone_) return;
  if (is_raw_) return transport_->send(std::move(bytes));
  if (stream_ != nullptr) stream_->send_body(std::move(bytes), End::no);
}

void TunnelEnd::finish() { send_last(Slice()); }

void TunnelEnd::send_last(Slice bytes) {
  if (finished_ || gone_) return;
  finished_ = true;
  if (is_raw_) {
    if (!bytes.empty()) transport_->send(std::move(bytes));
    return transport_->finish();
  }
  Stream* const stream = stream_;
  if (stream == nullptr) return;
  if (input_over_) stream_ = nullptr;  // it ends with this, and is not ours any more
  stream->send_body(std::move(bytes), End::yes);
  let_go_when_over();
}

void TunnelEnd::grant(size_t bytes) {
  if (gone_ || bytes == 0) return;
  if (is_raw_) return transport_->grant(bytes);
  if (stream_ != nullptr) stream_->grant(bytes);
}

void TunnelEnd::close_when_sent() {
  if (gone_ || !is_raw_) return;
  transport_->unsent_bytes() > 0 ? transport_->finish_and_close() : transport_->close({});
}

void TunnelEnd::cut(Error why) {
  if (gone_) return;
  if (is_raw_) {
    finished_ = cut_ = true;
    cut_when_delivered();
    if (cut_ && transport_->unsent_bytes() > 0) tunnel().worker().ring().hurry();
    return;
  }
  close(why);
}

// The last words of a peer that broke off: a reset would destroy them (RFC 9110 9.3.6).
void TunnelEnd::cut_when_delivered() {
  if (gone_ || !cut_ || !transport_->is_delivered()) return;
  cut_ = false;
  transport_->abort({ErrorCode::peer_reset, Origin::local, Retry::never, "the other side broke off"});
}

void TunnelEnd::cut_behind_the_rest() {
  cut_when_delivered();
  if (!cuts()) return;
  cut_ = false;
  transport_->finish();
}

void TunnelEnd::abort() {
  finished_ = true;
  transport_->abort({ErrorCode::timed_out, Origin::local, Retry::never, "the reader is too slow"});
}

void TunnelEnd::close(Error why) {
  if (gone_) return;
  finished_ = true;
  if (is_raw_) return transport_->close(why);
  ended_ = true;
  gone_ = true;
  if (Stream* const stream = std::exchange(stream_, nullptr)) stream->reset(why);
}

// A stream that is over in both directions says nothing more.
void TunnelEnd::let_go_when_over() {
  if (is_raw_ || !ended_ || !finished_) return;
  stream_ = nullptr;
  gone_ = true;
}

// --- a transport -------------------------------------------------------------------------------------------------------

void TunnelEnd::on_bytes(Slice bytes) { tunnel().pass(*this, std::move(bytes)); }

void TunnelEnd::on_end() {
  ended_ = true;
  let_go_when_over();
  tunnel().on_ended(*this);
}

void TunnelEnd::on_closed(Error why) {
  gone_ = true;
  ended_ = finished_ = true;
  tunnel().on_broken(*this, why);
}

void TunnelEnd::on_sent(size_t bytes) {
  const auto head = static_cast<uint32_t>(std::min<size_t>(bytes, unsent_head_bytes_));
  unsent_head_bytes_ -= head;
  tunnel().on_sent(*this, bytes, head);
  cut_when_delivered();
}

// --- a stream ------------------------------------------------------------------------------------------------------------

// The codec lets DATA through, and nothing else.
Arena& TunnelEnd::arena() { check_failed("a head in a tunnel"); }
void TunnelEnd::on_head(Head&, End) { check_failed("a head in a tunnel"); }
void TunnelEnd::on_informational(Head&) { check_failed("a head in a tunnel"); }
void TunnelEnd::on_trailers(HeaderMap&) { check_failed("trailers in a tunnel"); }

void TunnelEnd::on_body(Slice piece, End end) {
  if (end == End::yes) {
    input_over_ = ended_ = true;
    if (finished_) stream_ = nullptr;
  }
  if (!piece.empty()) tunnel().pass(*this, std::move(piece), end);
  if (end == End::no) return;
  let_go_when_over();
  tunnel().on_ended(*this);
}

void TunnelEnd::on_reset(Error why) {
  stream_ = nullptr;
  gone_ = ended_ = finished_ = true;
  // It had ended before, and wants no more (RFC 9113 8.1).
  why.code == ErrorCode::none ? tunnel().on_sated() : tunnel().on_broken(*this, why);
}

}  // namespace ringside
