#pragma once
// The backend's side of a WebSocket: agrees to the handshake, and echoes.
#include <string_view>

#include "core/transport.h"
#include "perf/backend.h"
#include "perf/load_ws_frames.h"

namespace ringside::perf {

enum class WsEchoState : uint8_t {
  open,
  closed,  // the closing handshake is done: nothing is to be sent after what was
  failed,  // not a frame of a client
};

class WsEcho {
 public:
  // Answers the request with this head. Both outlive it.
  WsEcho(Backend& backend, Transport& transport, std::string_view request_head);
  // Sends messages back as they come, without their masks; answers pings and the close.
  WsEchoState feed(std::string_view bytes);

 private:
  void begin_frame();
  void send_payload();

  Backend& backend_;
  Transport& transport_;
  WsScanner scanner_{WsSender::client};
};

}  // namespace ringside::perf
