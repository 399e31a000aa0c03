#include "perf/load_connection.h"

#include <fmt/format.h>

#include "core/limits.h"

namespace ringside::perf {
namespace {

constexpr Duration connect_timeout = seconds(5);
// More than any one answer in flight: a generator must never be what slows a proxy down.
constexpr size_t window_bytes = 8 * 1024 * 1024;

}  // namespace

// --- LoadConnection ------------------------------------------------------------------------------------------------------

void LoadConnection::dial(const Address& address) {
  closing_ = false;
  dialer_.dial(address, connect_timeout);
}

void LoadConnection::close() {
  if (dialer_.dialing()) return dialer_.cancel();
  if (transport_ == nullptr || closing_) return;
  closing_ = true;
  transport_->close({});
}

void LoadConnection::fail(Failure failure, std::string_view detail) {
  if (closing_) return;
  counts_.failed(failure, detail);
  close();
}

void LoadConnection::on_connected(int fd) {
  transport_ = TcpTransport::make(worker_, fd);
  if (tls_ == nullptr) {
    transport_->start(*this, window_bytes);
    return connected();
  }
  std::unique_ptr<TlsTransport> over = tls_->wrap(worker_, std::move(transport_), *this);
  tls_transport_ = over.get();
  transport_ = std::move(over);
  handshaking_ = true;
  transport_->start(*this, window_bytes);
}

void LoadConnection::on_handshake() {
  handshaking_ = false;
  counts_.shook_hands(tls_transport_->facts().resumed);
  connected();
}

void LoadConnection::on_connect_failed(Error why) {
  if (why.code != ErrorCode::cancelled) counts_.failed(Failure::connect, why.detail);
  worker_.flush_later(*this);
}

void LoadConnection::on_bytes(Slice bytes) {
  const size_t size = bytes.size();
  received(bytes.text());
  if (!closing_) transport_->grant(size);
}

void LoadConnection::on_closed(Error why) {
  if (!closing_ && handshaking_) counts_.failed(Failure::handshake, tls_transport_->failure_text());
  if (!closing_ && !handshaking_) counts_.failed(Failure::reset, why.detail);
  closing_ = true;
  worker_.flush_later(*this);
}

void LoadConnection::on_flush() {
  transport_.reset();
  tls_transport_ = nullptr;
  handshaking_ = closing_ = false;
  gone();
}

// --- HttpConnection ------------------------------------------------------------------------------------------------------

void HttpConnection::request(std::string_view head, const RequestShape& shape) {
  RS_CHECK(!busy());
  shape_ = &shape;
  scanner_.reset();
  send(Slice::of_static(head));
  if (shape.body_bytes > 0) send_pattern(pattern_, shape.body_bytes, [this](Slice piece) { send(std::move(piece)); });
}

void HttpConnection::received(std::string_view bytes) {
  if (!busy()) return fail(Failure::bad_message, "bytes that nobody asked for");
  const bool first = scanner_.fresh();
  const size_t used = scanner_.feed(bytes);
  if (scanner_.state() == ScanState::failed) return fail(Failure::bad_message, "not an HTTP/1.1 answer");
  if (scanner_.state() == ScanState::done) {
    if (used != bytes.size()) return fail(Failure::bad_message, "bytes behind the answer");
    return finish_answer();
  }
  if (first && scanner_.body_left_bytes() >= limits::bulk_body_bytes) expect(scanner_.body_left_bytes());
}

void HttpConnection::finish_answer() {
  const RequestShape& shape = *shape_;
  if (scanner_.head().status != 200) return fail(Failure::bad_status, fmt::format("status {}", scanner_.head().status));
  if (scanner_.body_bytes() != shape.answer_bytes)
    return fail(Failure::bad_body, fmt::format("{} bytes, not {}", scanner_.body_bytes(), shape.answer_bytes));
  if (!scanner_.body_matches()) return fail(Failure::bad_body, "not the bytes that the backend sent");
  if (scanner_.head().close && shape.reuse == Reuse::keep_alive)
    return fail(Failure::reset, "the answer says connection: close");
  shape_ = nullptr;
  user_.on_answer(*this);
}

void HttpConnection::ended() {
  if (busy()) return fail(Failure::short_answer, "FIN before the answer's end");
  if (scanner_.state() == ScanState::done && scanner_.head().close) return close();
  fail(Failure::reset, "FIN on an idle connection");
}

void HttpConnection::gone() {
  shape_ = nullptr;
  user_.on_gone(*this);
}

}  // namespace ringside::perf
