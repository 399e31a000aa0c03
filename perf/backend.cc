#include "perf/backend.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>

#include "codecs/http2/h2_frame.h"
#include "core/limits.h"
#include "core/tcp_transport.h"
#include "perf/backend_session.h"
#include "perf/backend_ws.h"
#include "perf/load_connection.h"
#include "perf/load_h2_text.h"
#include "perf/load_scanner.h"

namespace ringside::perf {
namespace {

// A body up to this size is copied beside its head: one piece to send instead of two.
constexpr size_t copied_body_bytes_max = 2048;
// A body above this size is not encrypted at once.
constexpr size_t unreported_bytes_max = 128 * 1024;

class HttpSession final : public ServerSession {
 public:
  HttpSession(Backend& backend, std::unique_ptr<Transport> transport)
      : ServerSession(backend, std::move(transport)), scanner_(backend.pattern()) {}

 private:
  void on_bytes(Slice bytes) override {
    const size_t size = bytes.size();
    for (std::string_view rest = bytes.text(); !rest.empty();) {
      if (echo_ != nullptr) return echo(rest, size);
      const bool first = scanner_.fresh();
      rest.remove_prefix(scanner_.feed(rest));
      if (scanner_.state() == ScanState::failed) return refuse();
      if (scanner_.state() == ScanState::done)
        answer();
      else if (first && scanner_.body_left_bytes() >= limits::bulk_body_bytes)
        transport_->expect(scanner_.body_left_bytes());
    }
    transport_->grant(size);
  }

  void echo(std::string_view bytes, size_t granted_bytes) {
    const WsEchoState state = echo_->feed(bytes);
    if (state == WsEchoState::failed) return refuse();
    if (state == WsEchoState::closed) return on_end();
    transport_->grant(granted_bytes);
  }

  void answer() {
    backend_.count_request();
    if (!scanner_.body_matches()) backend_.count_bad();
    const ScannedHead& head = scanner_.head();
    if (head.websocket)
      echo_ = std::make_unique<WsEcho>(backend_, *transport_, scanner_.head_text());
    else if (head.answer_head)
      send(scanner_.head_text());
    else
      send_bytes(head.answer_bytes);
    if (head.close) on_end();
    scanner_.reset();
  }

  void send(std::string_view body) {
    OutputWriter& output = backend_.worker().output();
    transport_->send(output.copy(backend_.answer_head(body.size(), scanner_.head().close)));
    transport_->send(output.copy(body));
  }

  void send_bytes(uint64_t body_bytes) {
    const std::string_view head = backend_.answer_head(body_bytes, scanner_.head().close);
    OutputWriter& output = backend_.worker().output();
    if (body_bytes > copied_body_bytes_max) {
      set_hungry(body_bytes > unreported_bytes_max && !transport_->sends_piped());
      transport_->send(output.copy(head));
      return send_pattern(backend_.pattern(), body_bytes, [this](Slice piece) { transport_->send(std::move(piece)); });
    }
    const size_t total_bytes = head.size() + body_bytes;
    char* out = output.reserve(total_bytes);
    std::memcpy(out, head.data(), head.size());
    std::memcpy(out + head.size(), backend_.pattern().at(0, body_bytes).data(), body_bytes);
    transport_->send(output.commit(total_bytes));
  }

  HttpScanner scanner_;
  std::unique_ptr<WsEcho> echo_;  // the connection is a WebSocket by now
};

class EchoSession final : public ServerSession {
 public:
  using ServerSession::ServerSession;

 private:
  void on_bytes(Slice bytes) override { transport_->send(std::move(bytes)); }
  void on_sent(size_t bytes) override {
    transport_->grant(bytes);
    close_when_sent();
  }
};

class SourceSession final : public ServerSession {
 public:
  using ServerSession::ServerSession;

 private:
  void started() override {
    set_hungry(true);  // there is always more
    fill();
  }
  void on_bytes(Slice) override { refuse(); }
  void on_end() override { close(); }
  void on_sent(size_t) override { fill(); }
  void fill() {
    while (transport_->unsent_bytes() < bulk_unsent_bytes_max) {
      transport_->send(Slice::of_static(backend_.pattern().at(sent_bytes_, Pattern::period_bytes)));
      sent_bytes_ += Pattern::period_bytes;
    }
  }
  uint64_t sent_bytes_ = 0;
};

class SinkSession final : public ServerSession {
 public:
  using ServerSession::ServerSession;

 private:
  void started() override { transport_->expect(bulk_bytes_announced); }
  void on_bytes(Slice bytes) override {
    if (!backend_.pattern().matches(received_bytes_, bytes.text())) return refuse();
    received_bytes_ += bytes.size();
    backend_.count_sunk(bytes.size());
    transport_->grant(bytes.size());
  }
  uint64_t received_bytes_ = 0;
};

std::string http_date(std::time_t second) {
  std::tm fields{};
  gmtime_r(&second, &fields);
  char text[64];
  return {text, std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &fields)};
}

template <class Session>
void open_session(Backend& backend, std::unique_ptr<Transport> transport) {
  (new Session(backend, std::move(transport)))->start();
}

}  // namespace

class Backend::Port final : public ListenerUser {
 public:
  Port(Backend& backend, Service service, int fd)
      : backend_(backend), service_(service), listener_(backend.worker(), *this, fd) {
    listener_.start();
  }

 private:
  void on_accept(int fd) override {
    backend_.count_connection();
    std::unique_ptr<Transport> transport = TcpTransport::make(backend_.worker(), fd);
    switch (service_) {
      case Service::https:
        transport = std::make_unique<TlsTransport>(backend_.worker(), backend_.tls(), std::move(transport));
        return open_session<HttpSession>(backend_, std::move(transport));
      case Service::http: return open_session<HttpSession>(backend_, std::move(transport));
      case Service::h2: return open_h2_session(backend_, std::move(transport));
      case Service::echo: return open_session<EchoSession>(backend_, std::move(transport));
      case Service::source: return open_session<SourceSession>(backend_, std::move(transport));
      case Service::sink: return open_session<SinkSession>(backend_, std::move(transport));
      case Service::mongo: return open_mongo_session(backend_, std::move(transport));
    }
  }
  void on_accept_paused(bool) override {}
  void on_listener_closed() override {}

  Backend& backend_;
  const Service service_;
  Listener listener_;
};

Backend::Backend(Worker& worker, const Pattern& pattern) : worker_(worker), pattern_(pattern) {}

Backend::~Backend() = default;

bool Backend::listen(Service service, const Address& address, std::string* why) {
  if (service == Service::https && tls_ == nullptr) {
    *why = "TLS needs --backend-certificate and --backend-key";
    return false;
  }
  // A listener of an io_uring that has just ended stays for some milliseconds. Not SO_REUSEPORT: two backends on one port would
  // share the load in silence.
  int error_number = EADDRINUSE;
  Result<int> fd = std::unexpected(Error{});
  for (int attempt = 0; attempt < 100 && !fd && error_number == EADDRINUSE; ++attempt) {
    if (attempt > 0) usleep(2000);
    fd = worker_.ring().listen(address, {.reuse_port = false, .backlog = 0}, &error_number);
  }
  if (!fd) {
    *why = fmt::format("{}: {}", address.text(), std::strerror(error_number));
    return false;
  }
  ports_.push_back(std::make_unique<Port>(*this, service, *fd));
  return true;
}

std::string_view Backend::answer_head(uint64_t body_bytes, bool close) {
  const int64_t second = worker_.ring().wall_now().time_since_epoch() / seconds(1);
  if (second != head_second_ || body_bytes != head_body_bytes_ || close != head_close_) {
    head_ = fmt::format(
        "HTTP/1.1 200 OK\r\nDate: {}\r\nServer: ringside-backend\r\nContent-Type: text/plain\r\n"
        "Cache-Control: no-store\r\n{}Content-Length: {}\r\n\r\n",
        http_date(second), close ? "Connection: close\r\n" : "", body_bytes);
    head_second_ = second;
    head_body_bytes_ = body_bytes;
    head_close_ = close;
  }
  return head_;
}

std::string_view Backend::answer_frame(uint64_t body_bytes) {
  const int64_t second = worker_.ring().wall_now().time_since_epoch() / seconds(1);
  if (second != frame_second_ || body_bytes != frame_body_bytes_) {
    H2BlockText block;
    block.add(H2Static::status_200)
        .add(H2StaticName::date, http_date(second))
        .add(H2StaticName::server, "ringside-backend");
    block.add(H2StaticName::content_type, "text/plain").add(H2StaticName::cache_control, "no-store");
    block.add(H2StaticName::content_length, fmt::to_string(body_bytes));
    frame_ = headers_frame(block, body_bytes > 0 ? 0 : h2::end_stream);
    frame_second_ = second;
    frame_body_bytes_ = body_bytes;
  }
  return frame_;
}

}  // namespace ringside::perf
