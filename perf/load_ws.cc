#include "perf/load_ws.h"

#include <fmt/format.h>

#include <algorithm>

#include "codecs/ascii.h"
#include "codecs/websocket/ws_handshake.h"
#include "core/limits.h"
#include "perf/load_scanner.h"

namespace ringside::perf {

std::string ws_request(const RequestShape& shape) {
  return fmt::format(
      "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: ringside-load\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
      "Sec-WebSocket-Key: {}\r\nSec-WebSocket-Version: 13\r\n\r\n",
      shape.path, shape.host, ws_key);
}

std::string_view refusal_of_ws(std::string_view head) {
  static const WsAccept accept = ws_accept_of(ws_key);
  if (!head.starts_with("HTTP/1.1 101 ")) return "the answer to the handshake is not 101";
  if (!equals_any_case(header_of(head, "upgrade"), "websocket")) return "no Upgrade: websocket";
  if (!equals_any_case(header_of(head, "connection"), "upgrade")) return "no Connection: Upgrade";
  if (header_of(head, "sec-websocket-accept") != accept.text()) return "a wrong Sec-WebSocket-Accept";
  return {};
}

// --- WsConnection --------------------------------------------------------------------------------------------------------

void WsConnection::connected() {
  scanner_.reset();
  answer_.clear();
  agreed_ = false;
  sent_ = received_ = 0;
  send(Slice::of_static(request_));
}

void WsConnection::ping() {
  RS_CHECK(sent_ - received_ < sent_at_.size());
  sent_at_[sent_ % sent_at_.size()] = worker().now();
  send(Slice::of_static(messages_.frame(sent_++)));
}

void WsConnection::received(std::string_view bytes) {
  if (agreed_)
    read_frames(bytes);
  else
    read_answer(bytes);
}

void WsConnection::read_answer(std::string_view bytes) {
  answer_.append(bytes);
  const size_t end = answer_.find("\r\n\r\n");
  if (end == std::string::npos) {
    if (answer_.size() > HttpScanner::head_bytes_max) fail(Failure::bad_message, "no end of the answer to the handshake");
    return;
  }
  if (const std::string_view why = refusal_of_ws(answer_); !why.empty()) return fail(Failure::bad_status, why);
  if (end + 4 != answer_.size()) return fail(Failure::bad_message, "a frame before the first message");
  answer_ = {};
  agreed_ = true;
  user_.on_open(*this);
}

void WsConnection::read_frames(std::string_view bytes) {
  while (!bytes.empty() && open()) {
    const bool first = scanner_.state() == WsScanState::head;
    bytes.remove_prefix(scanner_.feed(bytes));
    if (scanner_.state() == WsScanState::failed) return fail(Failure::bad_message, "not a frame of a server");
    if (scanner_.state() == WsScanState::head) return;
    if (!check_frame()) return;
    if (scanner_.state() == WsScanState::done)
      finish_frame();
    else if (first && scanner_.left_bytes() >= limits::bulk_body_bytes)
      expect(scanner_.left_bytes());
  }
}

bool WsConnection::check_frame() {
  if (!waiting() || scanner_.opcode() != WsOpcode::text) fail(Failure::bad_message, "a frame that nobody asked for");
  else if (scanner_.frame_bytes() != messages_.message_bytes())
    fail(Failure::bad_body, fmt::format("{} bytes, not {}", scanner_.frame_bytes(), messages_.message_bytes()));
  else if (!messages_.matches(received_, scanner_.payload_offset(), scanner_.payload()))
    fail(Failure::bad_body, "not the bytes that were sent");
  return open();
}

void WsConnection::finish_frame() {
  const Duration latency = worker().now() - since();
  ++received_;
  scanner_.reset();
  user_.on_echo(*this, latency);
}

// --- WsLoad --------------------------------------------------------------------------------------------------------------

WsLoad::WsLoad(Worker& worker, const Pattern& pattern, const WsLoadOptions& options)
    : options_(options), messages_(pattern, options.message_bytes), request_(ws_request(options.shape)) {
  for (uint32_t count = 0; count < options.connections; ++count)
    connections_.push_back(std::make_unique<WsConnection>(worker, counts, *this, messages_, request_, options_));
}

void PingWsLoad::start() {
  for (const auto& connection : connections_) connection->dial(options_.target);
}

bool PingWsLoad::ready() const {
  return std::ranges::all_of(connections_, [](const auto& connection) { return connection->agreed(); });
}

Duration PingWsLoad::drive(Instant) {
  if (!running_)
    for (const auto& connection : connections_)
      for (uint32_t count = 0; count < options_.depth; ++count) connection->ping();
  running_ = true;
  return Duration::max();
}

void PingWsLoad::on_echo(WsConnection& connection, Duration latency) {
  counts.answered(latency, 2 * options_.message_bytes);
  connection.ping();
}

void PingWsLoad::check_stalled(Instant now, Duration patience) {
  for (const auto& connection : connections_)
    if (connection->waiting() && now - connection->since() > patience) counts.failed(Failure::stalled, "no echo");
}

void IdleWsLoad::start() {
  for (size_t count = 0; count < at_once; ++count) dial_next();
}

void IdleWsLoad::dial_next() {
  if (dialed_count_ < connections_.size()) connections_[dialed_count_++]->dial(options_.target);
}

void IdleWsLoad::on_echo(WsConnection&, Duration) {
  ++served_count_;
  dial_next();
}

}  // namespace ringside::perf
