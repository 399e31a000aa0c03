#pragma once
// WebSocket loads: messages back and forth, and sockets that stay silent.
#include <memory>
#include <string>
#include <vector>

#include "perf/load.h"
#include "perf/load_connection.h"
#include "perf/load_ws_frames.h"

namespace ringside::perf {

// The key of every handshake, from RFC 6455 1.3; a proxy passes it on as it is.
inline constexpr std::string_view ws_key = "dGhlIHNhbXBsZSBub25jZQ==";
// The whole request, without a body.
std::string ws_request(const RequestShape& shape);
// Why the head of this answer does not agree; empty when it does.
std::string_view refusal_of_ws(std::string_view head);

struct WsLoadOptions {
  Address target;
  uint32_t connections = 64;
  uint32_t depth = 1;  // messages in flight on each
  size_t message_bytes = 64;
  RequestShape shape;  // host and path
  ClientTls* tls = nullptr;
};

class WsConnection;

// Calls come from inside handlers; ping() is allowed in each but on_gone.
class WsConnectionUser {
 public:
  virtual void on_open(WsConnection& connection) = 0;
  virtual void on_echo(WsConnection& connection, Duration latency) = 0;
  virtual void on_gone(WsConnection& connection) = 0;

 protected:
  ~WsConnectionUser() = default;
};

// Shakes hands, and then sends messages that must come back as they are, in order, each in one frame.
class WsConnection final : public LoadConnection {
 public:
  // What it refers to outlives it.
  WsConnection(Worker& worker, LoadCounts& counts, WsConnectionUser& user, const WsMessages& messages,
               const std::string& request, const WsLoadOptions& options)
      : LoadConnection(worker, counts, options.tls),
        user_(user),
        messages_(messages),
        request_(request),
        sent_at_(options.depth) {}
  // Sends the next message; at most `depth` may be in flight.
  void ping();
  bool agreed() const { return agreed_ && open(); }
  bool waiting() const { return sent_ > received_; }
  // When the oldest message in flight was sent.
  Instant since() const { return sent_at_[received_ % sent_at_.size()]; }

 private:
  void connected() override;
  void received(std::string_view bytes) override;
  void ended() override { fail(Failure::reset, "FIN"); }
  void gone() override { user_.on_gone(*this); }
  void read_answer(std::string_view bytes);
  void read_frames(std::string_view bytes);
  // False when the piece of a frame that the scanner has is not what was sent.
  bool check_frame();
  void finish_frame();

  WsConnectionUser& user_;
  const WsMessages& messages_;
  const std::string& request_;
  WsScanner scanner_{WsSender::server};
  std::vector<Instant> sent_at_;
  uint64_t sent_ = 0;
  uint64_t received_ = 0;
  std::string answer_;
  bool agreed_ = false;
};

class WsLoad : public Load, public WsConnectionUser {
 public:
  WsLoad(Worker& worker, const Pattern& pattern, const WsLoadOptions& options);

 protected:
  void on_gone(WsConnection&) override {}

  const WsLoadOptions options_;
  const WsMessages messages_;
  const std::string request_;
  std::vector<std::unique_ptr<WsConnection>> connections_;
};

// Each message that came back is followed by another.
class PingWsLoad final : public WsLoad {
 public:
  using WsLoad::WsLoad;
  void start() override;
  bool ready() const override;
  Duration drive(Instant now) override;
  void check_stalled(Instant now, Duration patience) override;

 private:
  void on_open(WsConnection&) override {}
  void on_echo(WsConnection& connection, Duration latency) override;
  bool running_ = false;
};

// Many sockets that have had one message each and then stay silent.
class IdleWsLoad final : public WsLoad {
 public:
  using WsLoad::WsLoad;
  void start() override;
  bool ready() const override { return served_count_ == connections_.size(); }
  Duration drive(Instant) override { return Duration::max(); }
  void check_stalled(Instant, Duration) override {}

 private:
  static constexpr size_t at_once = 32;
  void dial_next();
  void on_open(WsConnection& connection) override { connection.ping(); }
  void on_echo(WsConnection&, Duration) override;

  size_t dialed_count_ = 0;
  size_t served_count_ = 0;
};

}  // namespace ringside::perf
