#pragma once
// One client connection of a load generator: dial, bytes, end; and HTTP/1 upon it.
#include <memory>
#include <optional>
#include <string_view>

#include "core/dialer.h"
#include "core/worker.h"
#include "perf/load_counts.h"
#include "perf/load_pattern.h"
#include "perf/load_request.h"
#include "perf/load_scanner.h"
#include "perf/load_tls.h"

namespace ringside::perf {

// Dials, carries one TransportUser's worth of events to the derived class, and can be dialed again once it is gone.
class LoadConnection : private TransportUser, private TlsUser, private DialerUser, private Flushable {
 public:
  // `tls` outlives it; null: none.
  LoadConnection(Worker& worker, LoadCounts& counts, ClientTls* tls = nullptr)
      : worker_(worker), counts_(counts), tls_(tls), dialer_(worker, *this) {}
  virtual ~LoadConnection() = default;
  LoadConnection(const LoadConnection&) = delete;
  LoadConnection& operator=(const LoadConnection&) = delete;

  void dial(const Address& address);
  // An end that we want: gone() follows, no failure is counted.
  void close();
  bool open() const { return transport_ != nullptr && !handshaking_ && !closing_; }
  bool dialing() const { return dialer_.dialing(); }

 protected:
  // The handshake, if there is one, is over.
  virtual void connected() = 0;
  virtual void received(std::string_view bytes) = 0;
  // The peer's FIN.
  virtual void ended() = 0;
  virtual void sent(size_t) {}
  // The last call of one dial(); never from inside another call of ours, so that it may dial again.
  virtual void gone() = 0;

  void send(Slice bytes) { transport_->send(std::move(bytes)); }
  void expect(size_t bytes) { transport_->expect(bytes); }
  size_t unsent_bytes() const { return transport_->unsent_bytes(); }
  // Counts the failure and closes.
  void fail(Failure failure, std::string_view detail);
  Worker& worker() { return worker_; }
  LoadCounts& counts() { return counts_; }

 private:
  void on_connected(int fd) override;
  void on_handshake() override;
  void on_connect_failed(Error why) override;
  void on_bytes(Slice bytes) override;
  void on_end() override { ended(); }
  void on_sent(size_t bytes) override { sent(bytes); }
  void on_closed(Error why) override;
  void on_flush() override;

  Worker& worker_;
  LoadCounts& counts_;
  ClientTls* tls_;
  Dialer dialer_;
  std::unique_ptr<Transport> transport_;
  TlsTransport* tls_transport_ = nullptr;  // the same, if it is one
  bool handshaking_ = false;
  bool closing_ = false;
};

class HttpConnection;

// Who decides what an HTTP connection does next. Calls come from inside handlers; request() and close() are allowed in each.
class HttpConnectionUser {
 public:
  virtual void on_open(HttpConnection& connection) = 0;
  virtual void on_answer(HttpConnection& connection) = 0;
  virtual void on_gone(HttpConnection& connection) = 0;

 protected:
  ~HttpConnectionUser() = default;
};

class HttpConnection final : public LoadConnection {
 public:
  HttpConnection(Worker& worker, LoadCounts& counts, const Pattern& pattern, HttpConnectionUser& user, ClientTls* tls)
      : LoadConnection(worker, counts, tls), pattern_(pattern), user_(user), scanner_(pattern) {}

  // Sends one request; on_answer follows, or on_gone. `head` and `shape` outlive the answer.
  void request(std::string_view head, const RequestShape& shape);
  bool busy() const { return shape_ != nullptr; }
  uint64_t answer_body_bytes() const { return scanner_.body_bytes(); }

  // For the user: the instant from which the latency of the request in flight counts.
  Instant since{};

 private:
  void connected() override { user_.on_open(*this); }
  void received(std::string_view bytes) override;
  void ended() override;
  void gone() override;
  void finish_answer();

  const Pattern& pattern_;
  HttpConnectionUser& user_;
  HttpScanner scanner_;
  const RequestShape* shape_ = nullptr;  // of the request in flight
};

// Appends `size` bytes of the pattern, from its beginning, to what `send(Slice)` takes.
template <class Send>
void send_pattern(const Pattern& pattern, uint64_t size, Send send) {
  for (uint64_t at = 0; at < size;) {
    const auto piece = static_cast<size_t>(size - at < Pattern::period_bytes ? size - at : Pattern::period_bytes);
    send(Slice::of_static(pattern.at(at, piece)));
    at += piece;
  }
}

}  // namespace ringside::perf
