// TlsTransport after the library has been let go: our own records.
#include <algorithm>

#include "core/limits.h"
#include "tls/openssl_errors.h"
#include "tls/tls_limits.h"
#include "tls/tls_transport.h"

namespace ringside {

void TlsTransport::open_records() {
  while (state_ == TlsState::open && !peer_finished_) {
    if (!deliver() || credit_bytes_ == 0) return;
    const RecordLayer::Opened opened = records_->open(in_, opened_);
    consumed_bytes_ += opened.wire_bytes;
    settle_credit();
    if (opened.kind == RecordLayer::Kind::partial) {
      // What is there of a record must not keep the rest of it from coming.
      if (in_.size_bytes() > granted_early_bytes_) below_->grant(in_.size_bytes() - granted_early_bytes_);
      granted_early_bytes_ = in_.size_bytes();
      return end_if_truncated();
    }
    if (!on_record(opened)) return;
  }
}

// As much of what is decrypted as the credit allows. False when some of it stays, or the user closed.
bool TlsTransport::deliver() {
  while (!opened_.empty()) {
    if (credit_bytes_ == 0) return false;
    Slice piece;
    if (opened_.slice(0).size() <= credit_bytes_) {
      piece = opened_.pop_front();
    } else {
      piece = opened_.slice(0).share(0, credit_bytes_);
      opened_.consume(credit_bytes_);
    }
    deliver_piece(std::move(piece));
    if (state_ != TlsState::open) return false;
  }
  return true;
}

// A user that holds much gets small pieces packed: each would keep the block that its record came in.
void TlsTransport::deliver_piece(Slice piece) {
  const bool holds_much = window_bytes_ > credit_bytes_ + limits::multishot_held_bytes_max;
  if (holds_much && piece.size() < limits::copy_below_bytes) piece = worker_.output().copy(piece.text());
  credit_bytes_ -= piece.size();
  user_->on_bytes(std::move(piece));
}

// False when that was the end.
bool TlsTransport::on_record(const RecordLayer::Opened& opened) {
  using Kind = RecordLayer::Kind;
  switch (opened.kind) {
    case Kind::data:
      if (opened_.empty()) return accept_late("too many empty records");
      late_messages_ = 0;
      return true;
    case Kind::key_update:
      // One answer for all requests since the last that went out (RFC 8446, section 4.6.3): a peer that does not read gets no more.
      owes_key_update_ = true;
      if (cipher_below_bytes_ == 0) pay_key_update();
      [[fallthrough]];
    case Kind::message:
      return accept_late("too many key updates");
    case Kind::end:
      peer_finished_ = true;
      drop_input();
      user_->on_end();
      return false;
    case Kind::alerted:
      count(TlsStat::connection_error);
      fail(error(ErrorCode::bad_message, "TLS record refused"), "TLS_error: " + alert_text(opened.alert));
      return false;
    case Kind::refused:
      count(TlsStat::connection_error);
      send_alert(static_cast<TlsAlert>(opened.alert));
      fail(error(ErrorCode::bad_message, "TLS record refused"), std::string("TLS_error: ") + opened.text);
      return false;
    case Kind::partial: break;
  }
  return true;
}

// Each record without data costs as much as one with it.
bool TlsTransport::accept_late(const char* excess) {
  if (++late_messages_ <= limits::tls_late_messages_max) return true;
  count(TlsStat::connection_error);
  fail(error(ErrorCode::bad_message, "too many TLS handshake messages"), std::string("TLS_error: ") + excess);
  return false;
}

// One record of what was sent, from where it lies into the output. Bulk is encrypted where it lies: a second copy of it would only
// drive other things out of the cache.
void TlsTransport::seal_some() {
  if (owes_key_update_ || records_->wants_key_update()) pay_key_update();
  if (plain_.slice(0).size() >= RecordLayer::plain_bytes_max && plain_.slice(0).exclusive()) return seal_bulk(plain_.pop_front());
  const size_t bytes = std::min<size_t>(plain_.size_bytes(), RecordLayer::plain_bytes_max);
  const size_t size = RecordLayer::sealed_bytes(bytes);
  OutputWriter& output = size > limits::small_block_bytes ? worker_.bulk_output() : worker_.output();
  records_->seal_data(plain_, bytes, output.reserve(size));
  send_record(output.commit(size));
  plain_.consume(bytes);
  plain_below_bytes_ += bytes;
}

// A whole block, in records whose edges are small pieces between its parts.
void TlsTransport::seal_bulk(Slice bulk) {
  OutputWriter& output = worker_.output();
  plain_below_bytes_ += bulk.size();
  for (size_t at = 0; at < bulk.size(); at += RecordLayer::plain_bytes_max) {
    const size_t bytes = std::min<size_t>(bulk.size() - at, RecordLayer::plain_bytes_max);
    char* const edges = output.reserve(RecordLayer::front_edge_bytes + RecordLayer::back_edge_bytes);
    records_->seal_in_place(const_cast<char*>(bulk.data()) + at, bytes, edges, edges + RecordLayer::front_edge_bytes);
    send_record(output.commit(RecordLayer::front_edge_bytes));
    send_record(bulk.share(at, bytes));
    send_record(output.commit(RecordLayer::back_edge_bytes));
  }
}

void TlsTransport::pay_key_update() {
  owes_key_update_ = false;
  send_control(&RecordLayer::seal_key_update);
}

void TlsTransport::send_control(size_t (RecordLayer::*seal)(char*)) {
  char* const room = worker_.output().reserve(RecordLayer::sealed_bytes(RecordLayer::control_bytes));
  const size_t size = (*records_.*seal)(room);
  send_record(worker_.output().commit(size));
}

void TlsTransport::send_alert(TlsAlert alert) {
  char* const room = worker_.output().reserve(RecordLayer::sealed_bytes(RecordLayer::control_bytes));
  const size_t size = records_->seal_alert(alert, room);
  send_record(worker_.output().commit(size));
}

void TlsTransport::send_record(Slice record) {
  if (finished_ || state_ == TlsState::closed) return;  // the transport below takes nothing after its FIN
  cipher_below_bytes_ += record.size();
  below_->send(std::move(record));
}

}  // namespace ringside
