#include "proxy/filters/websocket_inspection.h"

#include <algorithm>
#include <memory>

#include "codecs/ascii.h"
#include "codecs/websocket/ws_handshake.h"
#include "proxy/filters/websocket_watch.h"
#include "proxy/shard.h"

namespace ringside {
namespace {

constexpr std::string_view protocol_field = "sec-websocket-protocol";
constexpr std::string_view extensions_field = "sec-websocket-extensions";

// Calls visit(value) for each line of that name, until it says false.
template <class Visit>
bool for_each_line(const HeaderMap& fields, std::string_view name, Visit visit) {
  for (const HeaderField& field : fields)
    if (field.name() == name && !visit(field.value())) return false;
  return true;
}

class Part final : public FilterPart {
 public:
  Part(FilterHost& host, const WebSocketInspection& filter, StatBlock<WebSocketStat>& stats)
      : FilterPart(host), filter_(filter), stats_(stats) {}

  Verdict on_request(Head& head, End) override {
    if (!is_well_formed(head.fields)) {
      return refuse(WebSocketStat::rejected_handshake, {.status = 400, .body = "malformed WebSocket handshake", .details = "websocket_malformed_handshake"});
    }
    if (!origin_is_good(head.fields)) {
      return refuse(WebSocketStat::rejected_origin, {.status = 403, .body = "origin not allowed", .details = "websocket_origin_not_allowed"});
    }
    if (!choose_subprotocols(head.fields)) {
      return refuse(WebSocketStat::rejected_subprotocol, {.status = 403, .body = "subprotocol not allowed", .details = "websocket_subprotocol_not_allowed"});
    }
    return Verdict::proceed;
  }

  Verdict on_response(Head& head, End) override {
    if (head.status != 101) return Verdict::proceed;
    WebSocketWatch::Agreed agreed;
    for_each_line(head.fields, extensions_field, [&agreed](std::string_view line) {
      const WsExtensions found = read_ws_extensions(line);
      agreed.deflate |= found.deflate;
      agreed.other_extension |= found.other || !found.valid;
      return true;
    });
    host_.watch_tunnel(std::make_unique<WebSocketWatch>(host_.worker(), stats_, filter_.spec(), agreed));
    return Verdict::proceed;
  }

 private:
  Verdict refuse(WebSocketStat stat, const FilterHost::Answer& answer) {
    stats_.inc(stat);
    host_.answer(answer);
    return Verdict::answered;
  }

  static bool is_well_formed(const HeaderMap& fields) {
    return for_each_line(fields, extensions_field, [](std::string_view line) { return read_ws_extensions(line).valid; }) &&
           for_each_line(fields, protocol_field, [](std::string_view line) { return is_ws_protocol_list(line); });
  }

  // Several of them are none that anything could be said about.
  bool origin_is_good(const HeaderMap& fields) const {
    if (filter_.spec().origins.empty()) return true;
    bool any = false;
    const bool good = for_each_line(fields, header_name(HeaderId::origin), [&](std::string_view line) {
      return !std::exchange(any, true) && filter_.takes_origin(line);
    });
    return good && (any || filter_.spec().origin_may_be_missing);
  }

  // Leaves those that are allowed.
  bool choose_subprotocols(HeaderMap& fields) {
    if (filter_.spec().subprotocols.empty()) return true;
    const size_t offered_bytes = protocol_bytes(fields);
    if (offered_bytes == 0) return filter_.spec().subprotocol_may_be_missing;
    char* const kept = host_.arena().allocate_text(offered_bytes);
    char* end = kept;
    for_each_line(fields, protocol_field, [&](std::string_view list) {
      for (std::string_view item; take_ws_item(list, item);) {
        if (!filter_.takes_subprotocol(item)) continue;
        if (end != kept) *end++ = ',', *end++ = ' ';
        end = std::copy(item.begin(), item.end(), end);
      }
      return true;
    });
    if (end == kept) return false;
    fields.set(protocol_field, {kept, static_cast<size_t>(end - kept)});
    return true;
  }

  // What all of them need at most, with separators: an item has one byte at least and a comma behind it, or ends its line.
  static size_t protocol_bytes(const HeaderMap& fields) {
    size_t bytes = 0;
    for_each_line(fields, protocol_field, [&bytes](std::string_view line) {
      bytes += 2 * line.size() + 2;
      return true;
    });
    return bytes;
  }

  const WebSocketInspection& filter_;
  StatBlock<WebSocketStat>& stats_;
};

}  // namespace

WebSocketInspection::WebSocketInspection(const WebSocketSpec& spec) : spec_(spec) {
  for (const TextMatchSpec& origin : spec_.origins) origins_.emplace_back(origin);
}

bool WebSocketInspection::takes_origin(std::string_view origin) const {
  return std::any_of(origins_.begin(), origins_.end(), [origin](const TextMatcher& match) { return match.matches(origin); });
}

bool WebSocketInspection::takes_subprotocol(std::string_view protocol) const {
  return std::find(spec_.subprotocols.begin(), spec_.subprotocols.end(), protocol) != spec_.subprotocols.end();
}

FilterPart* WebSocketInspection::start(FilterHost& host, const Head& request) const {
  if (!request.upgrade || !equals_any_case(request.upgrade_protocol, "websocket")) return nullptr;
  const FilterHost::Place place = host.place();
  std::string_view name = spec_.stat_name;
  if (name.empty()) name = !place.route.empty() ? place.route : place.virtual_host;
  return host.make<Part>(host, *this, host.shard().websocket_stats(place.stat_prefix, name));
}

}  // namespace ringside
