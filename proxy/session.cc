#include "proxy/session.h"

#include <algorithm>
#include <charconv>

#include "codecs/http2/h2_frame.h"
#include "core/limits.h"
#include "proxy/exchange.h"
#include "proxy/http_manager.h"
#include "proxy/listener/live_chain.h"
#include "proxy/shard.h"

namespace ringside {
namespace {

// So much of HTTP/2's preface is nothing that HTTP/1 has a use for, as Envoy holds it.
constexpr std::string_view preface_decides = h2::preface.substr(0, h2::preface_decides_bytes);

}  // namespace

Session::Session(LiveChain& listener, std::unique_ptr<Transport> transport)
    : Downstream(listener, transport->peer_address(), listener.shard().next_connection_id()),
      transport_(std::move(transport)),
      codec_(*this, *this, listener.http().h1_limits(), listener.shard().h1_scratch()),
      started_(listener.worker().now()),
      since_(started_) {}

Session::~Session() = default;

void Session::on_retired() { listener_.shard().free_session(*this); }

void Session::start() {
  if (listener_.http().spec().codec != CodecType::auto_detect) begin_serving();
  transport_->start(*this, listener_.spec().connection_buffer_bytes_max);
  worker().timers().arm_by(timer_, next_deadline());
}

void Session::begin_serving() {
  phase_ = Phase::serving;
  counted_ = true;
  listener_.http_stats().inc(HttpStat::downstream_cx_http1_total);
  listener_.http_stats().inc(HttpStat::downstream_cx_http1_active);
}

// ALPN decides where it was agreed on. Otherwise, what a client of HTTP/2 begins with is counted, not kept: what it is, is known.
// HTTP/1 begins with the first other byte.
void Session::sniff(Slice bytes) {
  const TlsTransport* const tls = listener_.tls_of(*transport_);
  const std::string_view agreed = tls != nullptr ? tls->alpn() : std::string_view();
  if (agreed == "h2") return hand_over(std::move(bytes));
  if (!agreed.empty()) {
    begin_serving();
    return decode(std::move(bytes));
  }
  const std::string_view due = preface_decides.substr(preface_seen_bytes_);
  const std::string_view seen = bytes.text().substr(0, due.size());
  if (!due.starts_with(seen)) {
    begin_serving();
    if (preface_seen_bytes_ > 0) decode(worker().output().copy(preface_decides.substr(0, preface_seen_bytes_)));
    return decode(std::move(bytes));
  }
  preface_seen_bytes_ += static_cast<uint8_t>(seen.size());
  if (seen.size() < due.size()) return;
  bytes.remove_prefix(seen.size());
  hand_over(std::move(bytes));
}

// The transport is the other's from here on, and we are nobody.
void Session::hand_over(Slice bytes) {
  phase_ = Phase::closing;
  timer_.disarm();
  listener_.on_http2(std::move(transport_), {.started = started_, .id = id(), .draining = draining_, .preface_seen_bytes = preface_seen_bytes_, .first_bytes = std::move(bytes)});
  Link<Session>::unlink();
  worker().retire(*this);
}

// --- bytes -------------------------------------------------------------------------------------------------------------

void Session::on_bytes(Slice bytes) {
  listener_.http_stats().inc(HttpStat::downstream_cx_rx_bytes_total, bytes.size());
  if (phase_ == Phase::sniffing) return sniff(std::move(bytes));
  decode(std::move(bytes));
}

void Session::decode(Slice bytes) {
  if (phase_ != Phase::serving) return transport_->grant(bytes.size());  // lingering: discarded
  // A client that asks on and on and does not read: what it has not taken of the last answers is bounded.
  if (waiting_ != nullptr || (exchange_ == nullptr && crowded())) {
    if (waiting_ == nullptr) waiting_ = std::make_unique<Buffer>();
    return waiting_->append(std::move(bytes));
  }
  const size_t size = bytes.size();
  codec_.decode(std::move(bytes));
  watch_head();
  announce_body(size);
}

// Tells the transport what it may pass on without us, which ends when the body does.
void Session::announce_body(size_t came_bytes) {
  const size_t due = phase_ == Phase::serving && exchange_ != nullptr ? codec_.body_bytes_due() : 0;
  if (due == 0 && !announced_ && came_bytes < limits::piped_bytes_min) return;
  announced_ = due > 0;
  transport_->relay(due > 0 && exchange_->relays_request_body() ? due : 0);
  transport_->expect(due);
}

bool Session::crowded() const { return transport_->unsent_bytes() > listener_.spec().connection_buffer_bytes_max; }

void Session::on_sent(size_t bytes) {
  listener_.http_stats().inc(HttpStat::downstream_cx_tx_bytes_total, bytes);
  codec_.on_sent(bytes);
  if (phase_ == Phase::serving && exchange_ == nullptr && (waiting_ != nullptr || codec_.held_bytes() > 0) && !crowded())
    worker().flush_later(*this);
  if (phase_ != Phase::lingering) return;
  since_ = worker().now();
  if (transport_->unsent_bytes() > 0) return;
  if (ended_) return close({});
  worker().timers().arm_by(timer_, next_deadline());
}

void Session::on_end() {
  ended_ = true;
  if (phase_ == Phase::lingering && transport_->unsent_bytes() == 0) return close({});
  if (phase_ == Phase::sniffing) return close({});
  if (phase_ != Phase::serving) return;
  if (waiting_ == nullptr) end_of_input();
}

// Nothing asked, nothing owed. Otherwise the answers to what was asked are still sent: the last one closes.
void Session::end_of_input() {
  const bool asked = exchange_ != nullptr;
  codec_.on_end();
  if (asked && exchange_ == nullptr) cut_ = true;  // it ended in the middle of its request
  if (phase_ == Phase::serving && exchange_ == nullptr && codec_.held_bytes() == 0) close({});
}

void Session::on_grant(size_t wire_bytes) { transport_->grant(wire_bytes); }
void Session::write(Slice bytes) { transport_->send(std::move(bytes)); }
char* Session::reserve(size_t bytes) { return worker().output().reserve(bytes); }
void Session::commit(size_t bytes) { transport_->send(worker().output().commit(bytes)); }

// --- exchanges ---------------------------------------------------------------------------------------------------------

StreamUser& Session::on_stream(Stream& stream) {
  head_started_ = false;
  ++requests_;
  const uint32_t requests_max = listener_.http().spec().protocol.requests_per_connection_max;
  if (requests_max != 0 && requests_ >= requests_max) {
    if (requests_ == requests_max) listener_.http_stats().inc(HttpStat::downstream_cx_max_requests_reached);
    drain();
  }
  exchange_ = listener_.shard().new_exchange(*this, stream);
  return exchange_->request_side();
}

void Session::on_exchange_end(ExchangeEnd how) {
  exchange_ = nullptr;
  since_ = worker().now();
  if (how == ExchangeEnd::abort) {
    if (phase_ != Phase::closing) transport_->abort({ErrorCode::cancelled, Origin::local, Retry::never, "exchange aborted"});
    return close({ErrorCode::cancelled, Origin::local, Retry::never, "exchange aborted"});
  }
  if (how == ExchangeEnd::close_after_flush) linger();
}

RawConnection Session::leave() {
  H1Codec::Left left = codec_.leave();
  RawConnection connection{.transport = std::move(transport_),
                           .early = std::move(left.early),
                           .unsent_bytes = left.unsent_bytes,
                           .ended = ended_};
  while (waiting_ != nullptr && !waiting_->empty()) connection.early.append(waiting_->pop_front());
  exchange_ = nullptr;
  phase_ = Phase::closing;
  timer_.disarm();
  Link<Session>::unlink();
  worker().retire(*this);
  return connection;
}

void Session::on_idle() {
  if (phase_ != Phase::serving) return;
  if (draining_ || (!codec_.reusable() && waiting_ == nullptr)) return linger();
  if ((codec_.held_bytes() > 0 || waiting_ != nullptr) && !crowded()) worker().flush_later(*this);
}

void Session::on_flush() {
  if (phase_ != Phase::serving || exchange_ != nullptr) return;
  if (codec_.held_bytes() > 0) codec_.resume();
  while (waiting_ != nullptr && phase_ == Phase::serving && !(exchange_ == nullptr && crowded())) {
    Slice bytes = waiting_->pop_front();
    const bool last = waiting_->empty();
    if (last) waiting_.reset();
    codec_.decode(std::move(bytes));
    if (last && ended_ && phase_ == Phase::serving) end_of_input();
  }
  watch_head();
  // What was waiting was nothing but surplus behind the last request: no event of the codec will end this.
  const bool over = phase_ == Phase::serving && exchange_ == nullptr && waiting_ == nullptr && codec_.idle();
  if (over && codec_.held_bytes() == 0 && !codec_.reusable()) linger();
}

void Session::on_codec_error(Error why, uint16_t status) {
  if (status != 0 || why.code == ErrorCode::bad_message || why.code == ErrorCode::too_large)
    listener_.http_stats().inc(HttpStat::downstream_cx_protocol_error);
  if (phase_ != Phase::serving) return;
  if (status != 0) return refuse(why, status);
  RS_CHECK(exchange_ == nullptr);
  if (why.code == ErrorCode::peer_closed && exchange_ == nullptr) note_cut_head();
  close(why);
}

// An answer to something that never became a request, or whose body is none.
void Session::refuse(Error why, uint16_t status) {
  Arena arena(worker().arenas());
  const bool is_grpc = exchange_ != nullptr && exchange_->is_grpc();
  const Head& head = is_grpc ? make_grpc_refusal(arena, why, status) : make_refusal(arena, why, status);
  if (exchange_ != nullptr)
    exchange_->on_refused(head, why);
  else
    listener_.log_refused(*this, why, head);
  codec_.send_error(head, is_grpc ? "" : why.detail);
  linger();
}

Head& Session::make_grpc_refusal(Arena& arena, Error why, uint16_t status) {
  Head& head = *arena.make<Head>(arena);
  set_grpc_answer(head, grpc_status_of_http(status), why.detail);
  head.fields.add(HeaderId::content_length, "0");
  return finish_refusal(head);
}

Head& Session::make_refusal(Arena& arena, Error why, uint16_t status) {
  Head& head = *arena.make<Head>(arena);
  head.status = status;
  constexpr size_t digits_max = 20;
  char* const digits = arena.allocate_text(digits_max);
  const auto end = std::to_chars(digits, digits + digits_max, std::string_view(why.detail).size()).ptr;
  head.fields.add(HeaderId::content_length, {digits, static_cast<size_t>(end - digits)});
  head.fields.add(HeaderId::content_type, "text/plain");
  return finish_refusal(head);
}

Head& Session::finish_refusal(Head& head) {
  const Head no_request(head.fields.arena());
  listener_.http().forwarding().on_response(head, no_request, listener_.shard().second_cache(), worker().ring().wall_now());
  return head;
}

// Envoy counts a request from its first byte on.
void Session::note_cut_head() {
  cut_ = true;
  listener_.log_cut_head(*this);
}

// --- ending ------------------------------------------------------------------------------------------------------------

void Session::drain() {
  if (draining_) return;
  draining_ = true;
  codec_.drain();
  // An idle connection may have a request on its way: it is answered if it comes within drain_timeout.
  if (exchange_ == nullptr && (phase_ == Phase::serving || phase_ == Phase::sniffing)) {
    since_ = worker().now();
    worker().timers().arm_by(timer_, next_deadline());
  }
}

// FIN after what is queued; the client may still be sending, and closing with unread input would destroy the answer on its
// way (RFC 9112 9.6), so input is discarded until its FIN or the deadline.
void Session::linger() {
  if (phase_ != Phase::serving && phase_ != Phase::sniffing) return;
  phase_ = Phase::lingering;
  left_ = !ended_;
  since_ = worker().now();
  transport_->relay(0);  // nobody takes pieces of pipes any more
  if (codec_.client_is_done()) transport_->finish_and_close();
  else transport_->finish();
  if (ended_ && transport_->unsent_bytes() == 0) return close({});
  worker().timers().arm_by(timer_, next_deadline());
}

void Session::close(Error why) {
  if (phase_ == Phase::closing) return;
  if (phase_ == Phase::serving || phase_ == Phase::sniffing) left_ = !ended_;
  phase_ = Phase::closing;
  timer_.disarm();
  if (exchange_ != nullptr) {
    cut_ = true;
    codec_.abort(why);  // ends the exchange by on_reset
    exchange_ = nullptr;
  }
  transport_->close(why);
}

void Session::on_closed(Error why) {
  phase_ = Phase::closing;
  timer_.disarm();
  why.origin = Origin::downstream;
  if (why.code == ErrorCode::bad_message) why.code = ErrorCode::peer_reset;  // it is TLS that broke: no answer is under way
  if (exchange_ != nullptr) {
    cut_ = true;
    codec_.abort(why);
  } else if (codec_.head_started() && !left_) {
    note_cut_head();
  }
  exchange_ = nullptr;
  listener_.on_session_closed({.lived = worker().now() - started_,
                               .protocol = counted_ ? SessionProtocol::http1 : SessionProtocol::unknown,
                               .by_client = !left_,
                               .cut_an_exchange = cut_});
  Link<Session>::unlink();
  worker().retire(*this);
}

// --- time --------------------------------------------------------------------------------------------------------------

void Session::watch_head() {
  if (phase_ != Phase::serving || exchange_ != nullptr) return;
  const bool started = codec_.head_started();
  if (started == head_started_) return;
  head_started_ = started;
  since_ = worker().now();
  if (listener_.http().spec().request_headers_timeout > Duration::zero()) worker().timers().arm_by(timer_, next_deadline());
}

Duration Session::idle_timeout() const {
  const HttpManagerSpec& spec = listener_.http().spec();
  return draining_ ? std::max<Duration>(spec.drain_timeout, milliseconds(1)) : spec.protocol.idle_timeout;
}

Instant Session::next_deadline() const {
  const HttpManagerSpec& spec = listener_.http().spec();
  if (phase_ == Phase::lingering) {
    // A slow reader keeps the time that it had while its answer was under way; what it says afterwards is not waited for long.
    if (transport_->unsent_bytes() > 0)
      return spec.stream_idle_timeout > Duration::zero() ? since_ + spec.stream_idle_timeout : Instant::max();
    return since_ + std::max<Duration>(spec.delayed_close_timeout, milliseconds(1));
  }
  Instant deadline = listener_.handshake_deadline(*transport_, started_);
  if (exchange_ == nullptr) {
    const Duration wait = head_started_ ? spec.request_headers_timeout : idle_timeout();
    if (wait > Duration::zero()) deadline = std::min(deadline, since_ + wait);
    // Without a timeout of its own, a head that dribbles in is bounded by the idle timeout.
    else if (head_started_ && spec.protocol.idle_timeout > Duration::zero())
      deadline = std::min(deadline, since_ + spec.protocol.idle_timeout);
  } else if (spec.protocol.idle_timeout > Duration::zero()) {
    deadline = worker().now() + spec.protocol.idle_timeout;  // look again later
  }
  if (spec.protocol.connection_duration_max > Duration::zero())
    deadline = std::min(deadline, std::max(started_ + spec.protocol.connection_duration_max, worker().now()));
  return deadline;
}

void Session::on_timer() {
  const HttpManagerSpec& spec = listener_.http().spec();
  const Instant now = worker().now();
  if (phase_ == Phase::lingering) {
    if (next_deadline() > now) return worker().timers().arm_by(timer_, next_deadline());
    listener_.http_stats().inc(HttpStat::downstream_cx_delayed_close_timeout);
    return close({});
  }
  if (phase_ != Phase::serving && phase_ != Phase::sniffing) return;
  if (now >= listener_.handshake_deadline(*transport_, started_)) {
    listener_.stats().inc(ListenerStat::downstream_cx_transport_socket_connect_timeout);
    return close({ErrorCode::timed_out, Origin::downstream, Retry::never, "TLS handshake timeout"});
  }
  if (spec.protocol.connection_duration_max > Duration::zero() && now >= started_ + spec.protocol.connection_duration_max &&
      !draining_) {
    listener_.http_stats().inc(HttpStat::downstream_cx_max_duration_reached);
    drain();
    if (phase_ == Phase::closing) return;
    if (exchange_ == nullptr) return linger();
  }
  if (exchange_ == nullptr && head_started_ && spec.request_headers_timeout > Duration::zero() &&
      now >= since_ + spec.request_headers_timeout) {
    listener_.http_stats().inc(HttpStat::downstream_rq_header_timeout);
    return refuse({ErrorCode::timed_out, Origin::downstream, Retry::never, "request header timeout"}, 408);
  }
  if (exchange_ == nullptr && idle_timeout() > Duration::zero() && now >= since_ + idle_timeout()) {
    if (!draining_) listener_.http_stats().inc(HttpStat::downstream_cx_idle_timeout);
    return linger();
  }
  if (!draining_ || exchange_ == nullptr) worker().timers().arm_by(timer_, next_deadline());
}

}  // namespace ringside
