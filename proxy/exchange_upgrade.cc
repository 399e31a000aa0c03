// Requests to leave HTTP: WebSocket, or whatever else the route allows. Until both sides have agreed they are requests like others,
// but for the client's bytes behind them, which wait; then a Tunnel goes on, and the exchange is over but for its access log.
#include "codecs/ascii.h"
#include "codecs/websocket/ws_handshake.h"
#include "proxy/downstream.h"
#include "proxy/exchange.h"
#include "proxy/filter_run.h"
#include "proxy/http_manager.h"
#include "proxy/listener/live_chain.h"
#include "proxy/session.h"
#include "proxy/shard.h"
#include "proxy/tunnel.h"

namespace ringside {
namespace {

constexpr std::string_view key_name = "sec-websocket-key";
constexpr std::string_view accept_name = "sec-websocket-accept";

std::string_view value_of(const HeaderMap& fields, std::string_view name) {
  const HeaderField* const field = fields.find(name);
  return field != nullptr ? field->value() : std::string_view{};
}

}  // namespace

// --- the request ---------------------------------------------------------------------------------------------------------

// False: it was answered.
bool Exchange::take_upgrade(Head& head) {
  StatBlock<HttpStat>& stats = session_.listener().http_stats();
  std::span<const UpgradeSpec> of_route;
  if (route_ != nullptr) of_route = route_->spec().upgrades;
  const bool connect = head.method == "CONNECT";
  const AllowedUpgrade allowed =
      connect ? allowed_upgrade(UpgradeKind::connect, "CONNECT", of_route, manager_.spec().upgrades)
              : allowed_upgrade(UpgradeKind::protocol, head.upgrade_protocol, of_route, manager_.spec().upgrades);
  if (allowed.type.empty()) {
    refuse_upgrade();
    return false;
  }
  // A request of HTTP/1 that asks for it ends with its head, a stream of HTTP/2 must not.
  const bool http2 = session_.version() == HttpVersion::http2;
  if (request_end_ == http2) {
    session_.forgo_reuse();
    reply({.status = 400,
           .body = http2 ? "a CONNECT that ends its stream" : "a request to switch protocols must not have a body",
           .details = "upgrade_with_body",
           .charge = Charge::nobody});
    return false;
  }
  upgrade_ = UpgradePtr(new (arena_.allocate(sizeof(Upgrade), alignof(Upgrade))) Upgrade());
  upgrade_->is_websocket = equals_any_case(allowed.type, "websocket");
  upgrade_->terminates = allowed.terminates;
  upgrade_->client_key = value_of(head.fields, key_name);
  if (!connect) head.upgrade_protocol = allowed.type;
  head.fields.remove(HeaderId::content_length);  // 0 at most: a tunnel has no length
  request_end_ = false;
  stats.inc(HttpStat::downstream_cx_upgrades_total);
  stats.inc(HttpStat::downstream_cx_upgrades_active);
  return true;
}

void Exchange::refuse_upgrade() {
  session_.forgo_reuse();  // what follows may be the other protocol already
  StatBlock<HttpStat>& stats = session_.listener().http_stats();
  if (request_->method == "CONNECT" && route_ == nullptr) {  // only a connect_matcher matches it
    stats.inc(HttpStat::no_route);
    stats.inc(HttpStat::rq_total);
    flags_.set(ResponseFlag::no_route_found);
    return reply({.status = 404, .body = {}, .details = "route_not_found"});
  }
  stats.inc(HttpStat::downstream_rq_ws_on_non_ws_route);
  reply({.status = 403, .body = "this upgrade is not enabled here (upgrade_configs)", .details = "upgrade_failed"});
}

// Of the client, before both sides have agreed. No credit is given, so that its window bounds it.
void Exchange::hold_early(Slice piece, End end) {
  if (end == End::yes) upgrade_->client_ended = true;
  if (piece.empty()) return;
  if (upgrade_->refused) return down_stream_.grant(piece.size());
  held_body_.append(std::move(piece));
}

// Extended CONNECT has no key, the Upgrade of HTTP/1 needs one.
void Exchange::send_upgrade_request() {
  if (upgrade_->is_websocket) {
    if (connection_->version() == HttpVersion::http2) {
      request_->fields.remove(key_name);
    } else {
      Ring& ring = worker_.ring();
      if (upgrade_->key.empty())
        upgrade_->key = upgrade_->client_key.empty() ? arena_.copy(make_ws_key(ring.random(), ring.random()).text()) : upgrade_->client_key;
      request_->fields.set(key_name, upgrade_->key);
    }
  }
  up_stream_->send_head(*request_, End::no);
}

// CONNECT ends here: there is a connection, and the client hears of it as of an upstream's answer.
void Exchange::connect_raw() {
  up_stream_ = &connection_->open_raw(up_);
  Head& head = *arena_.make<Head>(arena_);
  head.status = 200;
  head.upgrade = true;
  on_response_head(head, End::no);
}

// --- the answer ----------------------------------------------------------------------------------------------------------

// What an upstream says that agrees, made into what this client is to hear. Null, or what is wrong with it.
const char* Exchange::check_upgrade_answer(Head& head) {
  if (request_->method == "CONNECT") return nullptr;
  const bool up_http2 = head.version == HttpVersion::http2;
  const bool down_http2 = session_.version() == HttpVersion::http2;
  if (!up_http2 && !equals_any_case(head.upgrade_protocol, request_->upgrade_protocol)) return "switched to another protocol";
  head.upgrade_protocol = request_->upgrade_protocol;
  if (!upgrade_->is_websocket || up_http2 == down_http2) return nullptr;
  if (up_http2) {
    if (!upgrade_->client_key.empty()) head.fields.set(accept_name, arena_.copy(ws_accept_of(upgrade_->client_key).text()));
    return nullptr;
  }
  const bool right = value_of(head.fields, accept_name) == ws_accept_of(upgrade_->key).text();
  head.fields.remove(accept_name);
  return right ? nullptr : "wrong sec-websocket-accept";
}

// False: the client was told that there is no answer.
bool Exchange::take_upgrade_answer(Head& head, End end) {
  if (!head.upgrade) {
    upgrade_->refused = true;
    // What the client sent ahead is for nobody.
    const size_t early_bytes = held_body_.size_bytes();
    held_body_.clear();
    if (early_bytes > 0 && session_.version() == HttpVersion::http2) down_stream_.grant(early_bytes);
    // To the upstream the request ends here. The client of HTTP/1 has said all that it may; a stream of HTTP/2 is still to be closed.
    if (connection_->version() == HttpVersion::http2) up_stream_->send_body(Slice(), End::yes);
    if (phase_ == Phase::done) return false;  // it could not be sent
    if (session_.version() != HttpVersion::http2) on_request_end();
    return true;
  }
  if (const char* wrong = check_upgrade_answer(head)) {
    host_->cells(worker_.index()).add(HostStat::rq_error);
    cluster_->stats().inc(ClusterStat::upstream_cx_protocol_error);
    flags_.set(ResponseFlag::upstream_protocol_error);
    record_.upstream_transport_failure_reason = wrong;
    reply({.status = 502,
           .body = arena_.concat("the upstream's answer to the upgrade is none: ", std::string_view(wrong)),
           .details = "upstream_reset_before_response_started{protocol_error}"});
    return false;
  }
  upgrade_->agreed = true;
  upgrade_->upstream_ended = end == End::yes;
  return true;
}

void Exchange::watch_tunnel(std::unique_ptr<TunnelWatch> watch) {
  if (upgrade_ != nullptr) upgrade_->watch = std::move(watch);
}

// --- the tunnel ----------------------------------------------------------------------------------------------------------

void Exchange::on_flush() {
  if (phase_ != Phase::done && upgrade_ != nullptr && upgrade_->agreed && response_started_) start_tunnel();
}

// Outside of all codecs: their connections and streams change hands.
void Exchange::start_tunnel() {
  LiveChain& listener = session_.listener();
  const bool down_http2 = session_.version() == HttpVersion::http2;
  timer_.disarm();
  end_attempts();
  if (filters_ != nullptr) filters_->on_finish();
  const bool logged = listener.has_access_logs();
  if (logged) describe_for_log();
  // The session of HTTP/2 may be gone, and its TLS, when the log is written.
  for (std::string_view* each : {&record_.tls_server_name, &record_.tls_ja3, &record_.tls_ja4, &record_.tls_version,
                                 &record_.tls_cipher, &record_.tls_local_subject, &record_.tls_failure})
    if (down_http2 && logged) *each = arena_.copy(*each);
  const auto after = [](Instant from, Duration time) { return time > Duration::zero() ? from + time : Instant::max(); };
  const Instant of_client = after(started_, stream_duration_max());
  const Instant of_cluster = attempts_ != nullptr ? after(attempts_->began, attempts_->upstream_duration) : Instant::max();
  const Instant ends_at = std::min(of_client, of_cluster);
  Tunnel::Terms terms{.listener = &listener,
                      .cluster = cluster_,
                      .host = std::move(host_),
                      .watch = std::move(upgrade_->watch),
                      .log = logged ? this : nullptr,
                      .session = down_http2 ? &session_ : nullptr,
                      .session_started = {},
                      .started = started_,
                      .upstream_started = upstream_started_,
                      .ends_at = ends_at,
                      .cluster_ends_it = of_cluster < of_client,
                      .idle_timeout = idle_timeout_,
                      .status = status_};
  Tunnel::Early early;
  RawConnection down, up;
  if (!down_http2) {
    Session& session = static_cast<Session&>(session_);
    terms.session_started = session.started();
    down = session.leave();
    early.from_client = std::move(down.early);
    early.client_ended = down.ended;
  } else {
    early.from_client = std::move(held_body_);
    early.client_ended = upgrade_->client_ended;
  }
  const bool up_gone = upgrade_->upstream_gone.has_value();
  const bool up_http2 = up_gone || connection_->version() == HttpVersion::http2;
  early.upstream_gone = upgrade_->upstream_gone;
  if (!up_http2) {
    up = connection_->leave_http();
    early.from_upstream = std::move(up.early);
    early.upstream_ended = up.ended;
  } else {
    early.from_upstream = std::move(upgrade_->early);
    early.upstream_ended = upgrade_->upstream_ended;
  }
  Tunnel& tunnel = *listener.shard().new_tunnel(std::move(terms));
  listener.add_tunnel(tunnel);
  down_http2 ? tunnel.down().attach(down_stream_, early.client_ended) : tunnel.down().attach(down);
  if (up_gone) tunnel.up().attach_nothing();
  else if (up_http2) tunnel.up().attach(*up_stream_, early.upstream_ended);
  else tunnel.up().attach(up);
  phase_ = Phase::done;
  connection_ = nullptr;
  up_stream_ = nullptr;
  leased_ = false;
  if (!logged) worker_.retire(*this);
  tunnel.start(std::move(early));
}

void Exchange::on_tunnel_over(const TunnelEnding& ending) {
  request_bytes_ = ending.from_client_bytes;
  response_bytes_ = ending.from_upstream_bytes;
  flags_.add(ending.flags);
  if (ending.details != nullptr) record_.response_code_details = ending.details;
  if (ending.watch != nullptr) ending.watch->describe(record_);
  write_log();
  worker_.retire(*this);
}

}  // namespace ringside
