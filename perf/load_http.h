#pragma once
// HTTP/1 loads: closed loop, open loop, a connection per request, idle connections.
#include <deque>
#include <memory>
#include <vector>

#include "perf/load.h"
#include "perf/load_connection.h"
#include "perf/load_schedule.h"

namespace ringside::perf {

struct HttpLoadOptions {
  Address target;
  uint32_t connections = 64;
  RequestShape shape;
  ClientTls* tls = nullptr;  // null: none
};

class HttpLoad : public Load, public HttpConnectionUser {
 public:
  HttpLoad(Worker& worker, const Pattern& pattern, const HttpLoadOptions& options);
  void start() override;
  bool ready() const override { return open_count_ == connections_.size(); }
  void check_stalled(Instant now, Duration patience) override;

 protected:
  void on_gone(HttpConnection& connection) override;
  // Sends the next request; its latency counts from `since`.
  void request(HttpConnection& connection, Instant since);
  // Counts the answer that `connection` has just had.
  void answered(HttpConnection& connection) {
    counts.answered(worker_.now() - connection.since, connection.answer_body_bytes() + options_.shape.body_bytes);
  }

  Worker& worker_;
  const HttpLoadOptions options_;
  RequestTexts texts_;
  std::vector<std::unique_ptr<HttpConnection>> connections_;
  size_t open_count_ = 0;
  bool running_ = false;
};

// Each connection sends its next request as soon as it has the answer to the last one.
class ClosedHttpLoad final : public HttpLoad {
 public:
  using HttpLoad::HttpLoad;
  Duration drive(Instant now) override;

 private:
  void on_open(HttpConnection&) override { ++open_count_; }
  void on_answer(HttpConnection& connection) override;
};

// Requests are due by a schedule. One that finds no free connection waits for one; its latency counts from when it was due.
class OpenHttpLoad final : public HttpLoad {
 public:
  OpenHttpLoad(Worker& worker, const Pattern& pattern, const HttpLoadOptions& options, const ArrivalSchedule& schedule)
      : HttpLoad(worker, pattern, options), schedule_(schedule) {}
  Duration drive(Instant now) override;
  void check_stalled(Instant now, Duration patience) override;

 private:
  void on_open(HttpConnection& connection) override;
  void on_answer(HttpConnection& connection) override;

  ArrivalSchedule schedule_;
  std::vector<HttpConnection*> idle_;
  std::deque<Instant> waiting_;  // when each was due
};

// A new connection for each request, so many at a time. The latency includes the connect.
class ChurnHttpLoad final : public HttpLoad {
 public:
  ChurnHttpLoad(Worker& worker, const Pattern& pattern, const HttpLoadOptions& options)
      : HttpLoad(worker, pattern, asking_to_close(options)) {}
  void start() override {}
  bool ready() const override { return true; }
  Duration drive(Instant now) override;

 private:
  static HttpLoadOptions asking_to_close(HttpLoadOptions options);
  void dial(HttpConnection& connection);
  void on_open(HttpConnection& connection) override;
  void on_answer(HttpConnection& connection) override { answered(connection); }
  void on_gone(HttpConnection& connection) override;
};

// Many connections that have had one request each and then stay silent.
class IdleHttpLoad final : public HttpLoad {
 public:
  using HttpLoad::HttpLoad;
  void start() override;
  bool ready() const override { return served_count_ == connections_.size(); }
  Duration drive(Instant) override { return Duration::max(); }
  void check_stalled(Instant, Duration) override {}

 private:
  // So few at a time that the proxy needs a handful of upstream connections only.
  static constexpr size_t at_once = 32;
  void dial_next();
  void on_open(HttpConnection& connection) override { request(connection, worker_.now()); }
  void on_answer(HttpConnection& connection) override;

  size_t dialed_count_ = 0;
  size_t served_count_ = 0;
};

}  // namespace ringside::perf
