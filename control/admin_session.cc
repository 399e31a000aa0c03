#include "control/admin_session.h"

#include <algorithm>
#include <cstring>
#include <ctime>

#include "control/admin_server.h"
#include "control/control_limits.h"

namespace ringside {

namespace {

// A page is asked for so much at a time.
constexpr size_t piece_bytes = 16 * 1024;
constexpr Duration linger_timeout = seconds(1);

Slice slice_of(const std::string& text) {
  if (text.empty()) return {};
  char* bytes = nullptr;
  Slice slice = make_heap_slice(text.size(), &bytes);
  std::memcpy(bytes, text.data(), text.size());
  return slice;
}

std::string_view http_date(Arena& arena, WallTime now) {
  const std::time_t second = std::chrono::system_clock::to_time_t(std::chrono::floor<seconds>(now));
  std::tm civil{};
  gmtime_r(&second, &civil);
  constexpr size_t size_max = 40;
  char* text = arena.allocate_text(size_max);
  return {text, std::strftime(text, size_max, "%a, %d %b %Y %H:%M:%S GMT", &civil)};
}

constexpr Error too_slow{ErrorCode::timed_out, Origin::downstream, Retry::never, "admin client timed out"};

}  // namespace

AdminSession::AdminSession(AdminServer& server, int fd)
    : server_(server),
      worker_(server.worker()),
      transport_(TcpTransport::make(worker_, fd)),
      codec_(*this, *this, server.h1_limits(), server.h1_scratch()),
      arena_(worker_.arenas()) {}

AdminSession::~AdminSession() = default;

void AdminSession::start() {
  progress_ = worker_.now();
  transport_->start(*this, limits::admin_receive_window_bytes);
  arm();
}

// --- bytes -------------------------------------------------------------------------------------------------------------------

bool AdminSession::crowded() const { return transport_->unsent_bytes() >= limits::admin_unsent_bytes_max; }

void AdminSession::on_bytes(Slice bytes) {
  server_.count_received(bytes.size());
  progress_ = worker_.now();
  if (phase_ != Phase::serving) return transport_->grant(bytes.size());  // lingering: discarded
  if (idle()) asked_ = worker_.now();
  if (!waiting_.empty() || (stream_ == nullptr && crowded())) return waiting_.append(std::move(bytes));
  codec_.decode(std::move(bytes));
  arm();
}

void AdminSession::on_end() {
  ended_ = true;
  if (phase_ == Phase::lingering && transport_->unsent_bytes() == 0) return close({});
  if (phase_ != Phase::serving) return;
  codec_.on_end();
  if (phase_ == Phase::serving && stream_ == nullptr && waiting_.empty()) linger();
}

void AdminSession::on_sent(size_t bytes) {
  server_.count_sent(bytes);
  progress_ = worker_.now();
  codec_.on_sent(bytes);
  if (transport_->unsent_bytes() == 0) shut_down_if_due();
  if (phase_ == Phase::lingering && ended_ && transport_->unsent_bytes() == 0) return close({});
  if (phase_ != Phase::serving) return;
  if (stream_ != nullptr)
    pump();
  else if (!crowded() && (codec_.held_bytes() > 0 || !waiting_.empty()))
    worker_.flush_later(*this);
  arm();
}

void AdminSession::on_flush() {
  if (phase_ != Phase::serving || stream_ != nullptr || crowded()) return;
  asked_ = worker_.now();
  if (codec_.held_bytes() > 0)
    codec_.resume();
  else if (!waiting_.empty())
    codec_.decode(waiting_.pop_front());
  arm();
}

void AdminSession::on_grant(size_t wire_bytes) { transport_->grant(wire_bytes); }
void AdminSession::write(Slice bytes) { transport_->send(std::move(bytes)); }
char* AdminSession::reserve(size_t bytes) { return worker_.output().reserve(bytes); }
void AdminSession::commit(size_t bytes) { transport_->send(worker_.output().commit(bytes)); }

// --- the request -----------------------------------------------------------------------------------------------------------------

StreamUser& AdminSession::on_stream(Stream& stream) {
  arena_.reset();
  stream_ = &stream;
  body_bytes_ = 0;
  server_.count_request();
  return incoming_;
}

void AdminSession::on_request_head(const Head& head, End end) {
  if (head.authority.empty() && head.version == HttpVersion::http11) return refuse(400, "missing host");
  const std::string_view target = head.path;
  const size_t question = std::min(target.find('?'), target.size());
  const HeaderField* site = head.fields.find("sec-fetch-site");
  request_ = {.method = std::string(head.method),
              .path = std::string(target.substr(0, question)),
              .query = std::string(target.substr(std::min(question + 1, target.size()))),
              .host = std::string(head.authority),
              .origin = std::string(head.fields.value(HeaderId::origin)),
              .sec_fetch_site = site != nullptr ? std::string(site->value()) : std::string()};
  if (end == End::yes) return respond();
  if (!head.expect_continue) return;
  Head go_on(arena_);
  go_on.status = 100;
  stream_->send_informational(go_on);
}

// No endpoint reads a body; one is accepted, because clients send them.
void AdminSession::on_request_body(size_t bytes, End end) {
  body_bytes_ += bytes;
  if (body_bytes_ > limits::admin_request_body_bytes_max) return refuse(413, "The body is too large.\n");
  stream_->grant(bytes);
  if (end == End::yes) respond();
}

void AdminSession::end_exchange() {
  if (stream_ != nullptr) server_.count_exchange_end();
  stream_ = nullptr;
  reply_ = {};
}

void AdminSession::on_codec_error(Error why, uint16_t status) {
  server_.count_protocol_error();
  if (phase_ != Phase::serving) return;
  if (status == 0) return close(why);
  refuse(status, why.detail);
}

// --- the reply -------------------------------------------------------------------------------------------------------------------

void AdminSession::respond() {
  reply_ = server_.answer(request_);
  server_.count_reply(reply_.status);
  if (reply_.shut_down_after) {
    shut_down_ = true;
    codec_.drain();
  }
  send_reply_head();
  pump();
}

void AdminSession::send_reply_head() {
  Head head(arena_);
  head.status = reply_.status;
  head.fields.add(HeaderId::content_type, reply_.content_type);
  head.fields.add(HeaderId::cache_control, "no-cache, max-age=0");
  head.fields.add("x-content-type-options", "nosniff");
  if (reply_.status == 405) head.fields.add("allow", "POST");
  if (reply_.content_type == admin_html)
    head.fields.add("content-security-policy",
                    "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'");
  head.fields.add(HeaderId::date, http_date(arena_, worker_.ring().wall_now()));
  head.fields.add(HeaderId::server, "envoy");
  if (reply_.page == nullptr)
    head.fields.add(HeaderId::content_length, arena_.copy(std::to_string(reply_.body.size())));
  if (request_.method == "HEAD") {
    reply_ = {};
    return stream_->send_head(head, End::yes);
  }
  stream_->send_head(head, End::no);
  if (reply_.page == nullptr && stream_ != nullptr)
    stream_->send_body(slice_of(std::exchange(reply_.body, {})), End::yes);
}

void AdminSession::pump() {
  while (stream_ != nullptr && reply_.page != nullptr && !crowded()) {
    std::string piece;
    const bool more = reply_.page->render(piece, piece_bytes);
    if (!more) reply_.page.reset();
    stream_->send_body(slice_of(piece), more ? End::no : End::yes);  // the last one ends the exchange
  }
}

void AdminSession::on_idle() {
  end_exchange();
  progress_ = worker_.now();
  if (phase_ != Phase::serving) return;
  if (!codec_.reusable()) return linger();
  if (!crowded() && (codec_.held_bytes() > 0 || !waiting_.empty())) worker_.flush_later(*this);
  arm();
}

// An answer to something that never became a request.
void AdminSession::refuse(uint16_t status, std::string_view text) {
  Head head(arena_);
  head.status = status;
  head.fields.add(HeaderId::content_length, arena_.copy(std::to_string(text.size())));
  head.fields.add(HeaderId::content_type, "text/plain");
  head.fields.add(HeaderId::date, http_date(arena_, worker_.ring().wall_now()));
  head.fields.add(HeaderId::server, "envoy");
  codec_.send_error(head, text);
  end_exchange();
  linger();
}

// --- the end -----------------------------------------------------------------------------------------------------------------------

void AdminSession::shut_down_if_due() {
  if (!shut_down_ || stream_ != nullptr) return;
  shut_down_ = false;
  server_.shut_down();
}

// FIN after what is queued. What the client still sends is discarded until its FIN: closing with unread input would destroy the
// reply on its way (RFC 9112 9.6).
void AdminSession::linger() {
  if (phase_ != Phase::serving) return;
  phase_ = Phase::lingering;
  progress_ = worker_.now();
  transport_->finish();
  for (; !waiting_.empty(); waiting_.pop_front()) transport_->grant(waiting_.slice(0).size());
  if (ended_ && transport_->unsent_bytes() == 0) return close({});
  arm();
}

void AdminSession::close(Error why) {
  if (phase_ == Phase::closing) return;
  phase_ = Phase::closing;
  timer_.disarm();
  codec_.abort(why);
  transport_->close(why);
}

void AdminSession::on_closed(Error why) {
  phase_ = Phase::closing;
  timer_.disarm();
  codec_.abort(why);
  shut_down_if_due();
  Link<AdminSession>::unlink();
  server_.on_session_closed();
  worker_.retire(*this);
}

// --- time ----------------------------------------------------------------------------------------------------------------------------

Instant AdminSession::deadline() const {
  if (phase_ == Phase::lingering)
    return progress_ + (transport_->unsent_bytes() > 0 ? limits::admin_send_stall_timeout : linger_timeout);
  if (reply_.page != nullptr || transport_->unsent_bytes() > 0) return progress_ + limits::admin_send_stall_timeout;
  if (!idle()) return asked_ + limits::admin_request_timeout;
  return progress_ + limits::admin_idle_timeout;
}

void AdminSession::arm() {
  if (phase_ != Phase::closing) worker_.timers().arm(timer_, deadline());
}

void AdminSession::on_timer() {
  if (worker_.now() < deadline()) return arm();
  if (phase_ == Phase::lingering || reply_.page != nullptr || transport_->unsent_bytes() > 0) return close(too_slow);
  if (idle()) return linger();
  refuse(408, "The request takes too long.\n");
}

}  // namespace ringside
