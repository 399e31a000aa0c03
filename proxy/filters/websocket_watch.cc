#include "proxy/filters/websocket_watch.h"

#include <algorithm>

namespace ringside {
namespace {

using Stat = WebSocketStat;
using Event = WsFrameReader::Event;

constexpr size_t nowhere = SIZE_MAX;

TunnelSide other(TunnelSide side) { return side == TunnelSide::client ? TunnelSide::upstream : TunnelSide::client; }

}  // namespace

// --- set-up and end ------------------------------------------------------------------------------------------------------

WsFrameReader::Rules WebSocketWatch::rules_of(const WebSocketSpec& spec, Agreed agreed, WsSender sender) {
  return {.sender = sender, .deflate = agreed.deflate, .other_extension = agreed.other_extension, .check_utf8 = spec.validate_utf8};
}

WebSocketWatch::WebSocketWatch(Worker& worker, StatBlock<Stat>& stats, const WebSocketSpec& spec, Agreed agreed)
    : worker_(worker),
      stats_(stats),
      spec_(spec),
      sides_{Side(rules_of(spec, agreed, WsSender::client)), Side(rules_of(spec, agreed, WsSender::server))},
      last_message_(worker.now()) {
  stats_.inc(Stat::cx_total);
  stats_.inc(Stat::cx_active);
}

WebSocketWatch::~WebSocketWatch() {
  stats_.dec(Stat::cx_active);
  switch (closer_) {
    case Closer::nobody:
    case Closer::proxy: stats_.inc(Stat::closed_by_proxy); break;
    case Closer::downstream: stats_.inc(Stat::closed_by_downstream); break;
    case Closer::upstream: stats_.inc(Stat::closed_by_upstream); break;
  }
  stats_.inc(websocket_close_stat(close_code_ != 0 ? close_code_ : ws_close::no_frame));
}

// Both sides have the same statistics, in the same order.
Stat WebSocketWatch::stat_of(TunnelSide side, Stat downstream_stat) {
  constexpr auto distance = static_cast<size_t>(Stat::upstream_text_messages) - static_cast<size_t>(Stat::downstream_text_messages);
  static_assert(static_cast<size_t>(Stat::upstream_ping_rtt_us) - static_cast<size_t>(Stat::downstream_ping_rtt_us) == distance);
  return static_cast<Stat>(static_cast<size_t>(downstream_stat) + static_cast<size_t>(side) * distance);
}

// The first one counts.
void WebSocketWatch::set_closer(Closer closer, uint16_t code) {
  if (closer_ != Closer::nobody) return;
  closer_ = closer;
  close_code_ = code;
}

void WebSocketWatch::on_end(TunnelSide by) { set_closer(closer_of(by), ws_close::no_frame); }

void WebSocketWatch::describe(AccessLogRecord& record) {
  record_.close_code = close_code_ != 0 ? close_code_ : ws_close::no_frame;
  switch (closer_) {
    case Closer::nobody:
    case Closer::proxy: record_.closed_by = "proxy"; break;
    case Closer::downstream: record_.closed_by = "downstream"; break;
    case Closer::upstream: record_.closed_by = "upstream"; break;
  }
  record.websocket = &record_;
  if (!why_.empty()) record.connection_termination_details = why_;
}

// --- frames --------------------------------------------------------------------------------------------------------------

TunnelWatch::Verdict WebSocketWatch::on_bytes(TunnelSide from, std::string_view bytes) {
  Side& side = side_of(from);
  WsFrameReader& reader = side.reader;
  if (side.unread) {
    touch();  // whatever it is
    return {.pass_bytes = bytes.size()};
  }
  size_t boundary = reader.within_frame() ? nowhere : 0;  // where the frame under way begins
  std::string_view rest = bytes;
  while (true) {
    const WsFrameReader::Step step = reader.read(rest);
    rest.remove_prefix(step.bytes);
    switch (step.event) {
      case Event::none:
        if (spec_.idle_timeout != Duration{0} && reader.within_frame() && !is_ws_control(reader.opcode())) touch();
        return {.pass_bytes = bytes.size()};
      case Event::frame:
        if (const Ending* ending = check_frame(from, reader)) return end_before(from, boundary, *ending);
        break;
      case Event::frame_end:
        on_frame_end(from, side);
        boundary = bytes.size() - rest.size();
        if (rest.empty()) return {.pass_bytes = bytes.size()};
        break;
      case Event::fault: return on_fault(from, boundary, bytes.size());
    }
  }
}

const WebSocketWatch::Ending* WebSocketWatch::check_frame(TunnelSide from, const WsFrameReader& reader) {
  static constexpr Ending frame_too_big{ws_close::too_big, "frame too big", Stat::limit_frame_bytes};
  static constexpr Ending message_too_big{ws_close::too_big, "message too big", Stat::limit_message_bytes};
  static constexpr Ending too_many{ws_close::policy, "too many messages", Stat::limit_message_rate};
  side_of(from).frame_bytes = reader.frame_bytes();
  if (is_ws_control(reader.opcode())) return nullptr;
  if (reader.frame_bytes() > spec_.frame_bytes_max) return &frame_too_big;
  if (reader.message_bytes() > spec_.message_bytes_max) return &message_too_big;
  const bool limited = spec_.client_messages_per_second != 0 && from == TunnelSide::client;
  if (limited && reader.opcode() != WsOpcode::continuation && !take_message()) return &too_many;
  return nullptr;
}

// A bucket of tokens, as the time at which the next one would be there if none had been saved.
bool WebSocketWatch::take_message() {
  const Duration interval = Duration{seconds(1)} / spec_.client_messages_per_second;
  const Instant now = worker_.now();
  if (next_message_ > now + interval * (int64_t{spec_.client_message_burst} - 1)) return false;
  next_message_ = std::max(next_message_, now) + interval;
  return true;
}

void WebSocketWatch::on_frame_end(TunnelSide from, Side& side) {
  if (is_ws_control(side.reader.opcode())) return on_control(from, side);
  count_data(from, side);
  if (spec_.idle_timeout != Duration{0}) touch();
}

void WebSocketWatch::count_data(TunnelSide from, const Side& side) {
  const WsFrameReader& reader = side.reader;
  const bool text = reader.message_opcode() == WsOpcode::text;
  stats_.inc(stat_of(from, text ? Stat::downstream_text_bytes : Stat::downstream_binary_bytes), side.frame_bytes);
  const bool received = from == TunnelSide::client;
  (received ? record_.bytes_received : record_.bytes_sent) += side.frame_bytes;
  if (reader.opcode() == WsOpcode::continuation) stats_.inc(stat_of(from, Stat::downstream_continuation_frames));
  if (!reader.final()) return;
  stats_.inc(stat_of(from, text ? Stat::downstream_text_messages : Stat::downstream_binary_messages));
  ++(received ? record_.messages_received : record_.messages_sent);
}

void WebSocketWatch::on_control(TunnelSide from, Side& side) {
  const WsFrameReader& reader = side.reader;
  if (spec_.pings_keep_alive && reader.opcode() != WsOpcode::close) touch();
  switch (reader.opcode()) {
    case WsOpcode::ping:
      side.pinged = worker_.now();
      side.ping_digest = reader.digest();
      return count(from, Stat::downstream_pings, Stat::downstream_ping_bytes, side.frame_bytes);
    case WsOpcode::pong:
      on_pong(from, reader);
      return count(from, Stat::downstream_pongs, Stat::downstream_pong_bytes, side.frame_bytes);
    case WsOpcode::close:
      set_closer(closer_of(from), reader.close_code());
      return count(from, Stat::downstream_closes, Stat::downstream_close_bytes, side.frame_bytes);
    case WsOpcode::continuation:
    case WsOpcode::text:
    case WsOpcode::binary: break;
  }
}

void WebSocketWatch::count(TunnelSide from, Stat frames, Stat bytes, uint64_t size) {
  stats_.inc(stat_of(from, frames));
  stats_.inc(stat_of(from, bytes), size);
}

// Only the last Ping of a side is remembered: RFC 6455 5.5.3 lets the other one answer no other.
void WebSocketWatch::on_pong(TunnelSide from, const WsFrameReader& reader) {
  Side& asker = side_of(other(from));
  if (asker.pinged == Instant::max() || asker.ping_digest != reader.digest()) return;
  stats_.record(stat_of(from, Stat::downstream_ping_rtt_us), static_cast<uint64_t>((worker_.now() - asker.pinged) / microseconds(1)));
  asker.pinged = Instant::max();
}

// --- ends ----------------------------------------------------------------------------------------------------------------

TunnelWatch::Verdict WebSocketWatch::on_fault(TunnelSide from, size_t boundary, size_t size) {
  Side& side = side_of(from);
  const WsFault fault = side.reader.fault();
  const Stat stat =
      stat_of(from, fault == WsFault::not_utf8 ? Stat::downstream_invalid_utf8 : Stat::downstream_protocol_error);
  if (spec_.on_protocol_error == WebSocketSpec::OnProtocolError::close)
    return end_before(from, boundary, {close_code_of(fault), text_of(fault), stat});
  stats_.inc(stat);
  side.unread = true;
  return {.pass_bytes = size};
}

// Nothing of the frame that is wrong is forwarded, if that can still be.
TunnelWatch::Verdict WebSocketWatch::end_before(TunnelSide from, size_t boundary, const Ending& ending) {
  side_of(from).cut = boundary == nowhere;
  side_of(other(from)).cut = side_of(other(from)).reader.within_frame();
  end(ending);
  return {.pass_bytes = boundary == nowhere ? 0 : boundary, .ends = true};
}

void WebSocketWatch::end(const Ending& ending) {
  stats_.inc(ending.stat);
  why_ = ending.text;
  set_closer(Closer::proxy, ending.code);
  const auto mask = static_cast<uint32_t>(worker_.ring().random());
  farewells_ = std::make_unique<Farewells>(WsCloseFrame(ending.code, ending.text), WsCloseFrame(ending.code, ending.text, mask));
}

// None inside of a frame, and none behind the Close frame of the other side.
std::string_view WebSocketWatch::farewell(TunnelSide to) {
  const Side& sender = side_of(other(to));
  if (farewells_ == nullptr || sender.cut || sender.unread || sender.reader.closed()) return {};
  return (to == TunnelSide::client ? farewells_->to_client : farewells_->to_upstream).bytes();
}

// --- time ----------------------------------------------------------------------------------------------------------------

void WebSocketWatch::touch() { last_message_ = worker_.now(); }

Instant WebSocketWatch::deadline() const {
  return spec_.idle_timeout == Duration{0} || farewells_ != nullptr ? Instant::max() : last_message_ + spec_.idle_timeout;
}

TunnelWatch::Verdict WebSocketWatch::on_deadline(Instant now) {
  if (now < deadline()) return {};
  for (Side& side : sides_) side.cut = side.reader.within_frame();
  end({ws_close::going_away, "idle", Stat::limit_idle});
  return {.pass_bytes = 0, .ends = true};
}

}  // namespace ringside
