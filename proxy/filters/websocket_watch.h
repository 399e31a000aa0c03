#pragma once
// Inspects one WebSocket: counts what passes, ends it when a limit is met or the protocol is broken. Frames are read where they pass; all
// that is kept is here.
#include <array>
#include <memory>

#include "codecs/websocket/ws_frame_reader.h"
#include "core/stats.h"
#include "core/worker.h"
#include "proxy/observe/access_log.h"
#include "proxy/observe/stat_names.h"
#include "proxy/specs.h"
#include "proxy/tunnel_watch.h"

namespace ringside {

class WebSocketWatch final : public TunnelWatch {
 public:
  // What the handshake agreed on.
  struct Agreed {
    bool deflate = false;
    bool other_extension = false;
  };
  // All outlive it.
  WebSocketWatch(Worker& worker, StatBlock<WebSocketStat>& stats, const WebSocketSpec& spec, Agreed agreed);
  ~WebSocketWatch() override;

  Verdict on_bytes(TunnelSide from, std::string_view bytes) override;
  std::string_view farewell(TunnelSide to) override;
  Instant deadline() const override;
  Verdict on_deadline(Instant now) override;
  void on_end(TunnelSide by) override;
  void describe(AccessLogRecord& record) override;

 private:
  // Who brought it to its end.
  enum class Closer : uint8_t { nobody, downstream, upstream, proxy };
  // What one side sends.
  struct Side {
    explicit Side(WsFrameReader::Rules rules) : reader(rules) {}
    WsFrameReader reader;
    Instant pinged = Instant::max();  // max: no Ping waits for its Pong
    uint64_t frame_bytes = 0;  // of the frame under way
    uint32_t ping_digest = 0;
    bool unread = false;    // broke the protocol, and may
    bool cut = false;       // a frame of it was forwarded in part, and nothing more will be
  };
  struct Farewells {
    WsCloseFrame to_client, to_upstream;
  };
  // Why it is ended here. `text`, which is static, stands in the Close frame and in the log.
  struct Ending {
    uint16_t code;
    std::string_view text;
    WebSocketStat stat;
  };

  static WsFrameReader::Rules rules_of(const WebSocketSpec& spec, Agreed agreed, WsSender sender);
  static WebSocketStat stat_of(TunnelSide side, WebSocketStat downstream_stat);
  Side& side_of(TunnelSide side) { return sides_[static_cast<size_t>(side)]; }
  const Ending* check_frame(TunnelSide from, const WsFrameReader& reader);
  bool take_message();
  void on_frame_end(TunnelSide from, Side& side);
  void count_data(TunnelSide from, const Side& side);
  void on_control(TunnelSide from, Side& side);
  void count(TunnelSide from, WebSocketStat frames, WebSocketStat bytes, uint64_t size);
  void on_pong(TunnelSide from, const WsFrameReader& reader);
  void touch();
  Verdict on_fault(TunnelSide from, size_t boundary, size_t size);
  Verdict end_before(TunnelSide from, size_t boundary, const Ending& ending);
  void end(const Ending& ending);
  void set_closer(Closer closer, uint16_t code);
  static Closer closer_of(TunnelSide side) { return side == TunnelSide::client ? Closer::downstream : Closer::upstream; }

  Worker& worker_;
  StatBlock<WebSocketStat>& stats_;
  const WebSocketSpec& spec_;
  std::array<Side, 2> sides_;
  Instant last_message_;
  Instant next_message_{};  // of the client, at its rate; what is ahead of now is burst that was used
  std::unique_ptr<Farewells> farewells_;
  WebSocketRecord record_;
  std::string_view why_;  // it was ended here
  uint16_t close_code_ = 0;
  Closer closer_ = Closer::nobody;
};

}  // namespace ringside
