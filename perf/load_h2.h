#pragma once
// HTTP/2 loads: so many requests at a time on each connection, and idle connections.
#include <memory>
#include <vector>

#include "perf/load.h"
#include "perf/load_h2_connection.h"
#include "perf/load_http.h"

namespace ringside::perf {

struct H2LoadOptions {
  uint32_t streams = 1;  // at a time, per connection
  Call call = Call::plain;
};

class H2Load : public Load, public H2ConnectionUser {
 public:
  H2Load(Worker& worker, const Pattern& pattern, const HttpLoadOptions& http, const H2LoadOptions& options);
  void check_stalled(Instant now, Duration patience) override;

 protected:
  void on_gone(H2Connection& connection) override;
  void request(H2Connection& connection);
  // As many requests as there may be at a time.
  void fill(H2Connection& connection);

  Worker& worker_;
  const HttpLoadOptions http_;
  const H2LoadOptions options_;
  std::vector<std::string> frames_;
  size_t next_frame_ = 0;
  std::vector<std::unique_ptr<H2Connection>> connections_;
  size_t open_count_ = 0;
  bool running_ = false;
};

// Each stream that ends is followed by another.
class ClosedH2Load final : public H2Load {
 public:
  using H2Load::H2Load;
  void start() override;
  bool ready() const override { return open_count_ == connections_.size(); }
  Duration drive(Instant now) override;

 private:
  void on_open(H2Connection& connection) override;
  void on_answer(H2Connection& connection, Instant since, uint64_t body_bytes) override;
};

// Many connections that have had one request each and then stay silent.
class IdleH2Load final : public H2Load {
 public:
  using H2Load::H2Load;
  void start() override;
  bool ready() const override { return served_count_ == connections_.size(); }
  Duration drive(Instant) override { return Duration::max(); }
  void check_stalled(Instant, Duration) override {}

 private:
  // So few at a time that the proxy needs a handful of upstream connections only.
  static constexpr size_t at_once = 32;
  void dial_next();
  void on_open(H2Connection& connection) override { request(connection); }
  void on_answer(H2Connection& connection, Instant since, uint64_t body_bytes) override;
  void on_gone(H2Connection&) override { counts.failed(Failure::reset, "an idle connection was closed"); }

  size_t dialed_count_ = 0;
  size_t served_count_ = 0;
};

}  // namespace ringside::perf
