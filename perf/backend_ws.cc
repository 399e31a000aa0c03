#include "perf/backend_ws.h"

#include <fmt/format.h>

#include <algorithm>

#include "codecs/websocket/ws_handshake.h"
#include "core/limits.h"
#include "perf/load_scanner.h"

namespace ringside::perf {
namespace {

constexpr size_t piece_bytes_max = 16 * 1024;

}  // namespace

WsEcho::WsEcho(Backend& backend, Transport& transport, std::string_view request_head)
    : backend_(backend), transport_(transport) {
  const std::string head = fmt::format(
      "HTTP/1.1 101 Switching Protocols\r\nServer: ringside-backend\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
      "Sec-WebSocket-Accept: {}\r\n\r\n",
      ws_accept_of(header_of(request_head, "sec-websocket-key")).text());
  transport_.send(backend_.worker().output().copy(head));
}

WsEchoState WsEcho::feed(std::string_view bytes) {
  while (!bytes.empty()) {
    const bool first = scanner_.state() == WsScanState::head;
    bytes.remove_prefix(scanner_.feed(bytes));
    if (scanner_.state() == WsScanState::failed) return WsEchoState::failed;
    if (scanner_.state() == WsScanState::head) break;
    if (first) begin_frame();
    send_payload();
    if (scanner_.state() != WsScanState::done) continue;
    const bool was_close = scanner_.opcode() == WsOpcode::close;
    scanner_.reset();
    if (was_close) return WsEchoState::closed;
  }
  return WsEchoState::open;
}

void WsEcho::begin_frame() {
  const WsOpcode opcode = scanner_.opcode() == WsOpcode::ping ? WsOpcode::pong : scanner_.opcode();
  if (opcode == WsOpcode::text || opcode == WsOpcode::binary) backend_.count_request();
  if (scanner_.left_bytes() >= limits::bulk_body_bytes) transport_.expect(scanner_.left_bytes());
  OutputWriter& output = backend_.worker().output();
  char* out = output.reserve(ws_head_bytes_max);
  transport_.send(output.commit(write_ws_head(out, opcode, scanner_.frame_bytes())));
}

void WsEcho::send_payload() {
  OutputWriter& output = backend_.worker().output();
  uint64_t offset = scanner_.payload_offset();
  for (std::string_view left = scanner_.payload(); !left.empty();) {
    const std::string_view piece = left.substr(0, piece_bytes_max);
    apply_ws_mask(output.reserve(piece.size()), piece, scanner_.mask(), offset);
    transport_.send(output.commit(piece.size()));
    left.remove_prefix(piece.size());
    offset += piece.size();
  }
}

}  // namespace ringside::perf
