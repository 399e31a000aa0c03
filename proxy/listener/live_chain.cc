#include "proxy/listener/live_chain.h"

#include <algorithm>

#include "proxy/listener/listener_gate.h"
#include "proxy/mongo/mongo_chain.h"
#include "proxy/shard.h"

namespace ringside {
namespace {

// What a line says of the certificates, which must be read for it.
bool tells_peer(const AccessLogFormat& format) {
  using Record = AccessLogRecord;
  return format.tells(&Record::tls_peer_subject) || format.tells(&Record::tls_peer_uri_san) ||
         format.tells(&Record::tls_peer_dns_san);
}

bool edit_holds(const HeaderEditSpec& edit, std::string_view text) {
  const auto holds = [text](const HeaderValueSpec& value) { return value.value.find(text) != std::string::npos; };
  return std::any_of(edit.request_add.begin(), edit.request_add.end(), holds) ||
         std::any_of(edit.response_add.begin(), edit.response_add.end(), holds);
}

// Whether the value of a header to add has this text.
bool headers_hold(const RouteConfigSpec& routes, std::string_view text) {
  bool holds = edit_holds(routes.headers, text);
  for (const VirtualHostSpec& host : routes.virtual_hosts) {
    holds |= edit_holds(host.headers, text);
    for (const RouteSpec& route : host.routes) holds |= edit_holds(route.headers, text);
  }
  return holds;
}

std::string_view joined(const std::vector<std::string>& names, Arena& arena) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ",") + name;
  return arena.copy(text);
}

}  // namespace

LiveChain::LiveChain(ListenerGate& gate, const ListenerEntry& listener, const ChainEntry& entry)
    : gate_(gate), shard_(gate.shard()), worker_(gate.worker()), listener_(listener), entry_(entry) {
  StatCells& cells = shard_.stat_cells();
  if (has_tls()) tls_stats_ = cells.block(entry_.tls_stats);
  if (entry_.http != nullptr) {
    http_stats_ = cells.block(entry_.http_stats);
    listener_http_stats_ = cells.block(entry_.listener_http_stats);
  } else {
    tcp_stats_ = cells.block(entry_.tcp_stats);
    if (const MongoSpec* mongo = chain_spec().tcp->mongo.get()) {
      auto judge = mongo->rules != nullptr ? make_mongo_judge(mongo->rules, mongo->stat_prefix, shard_) : nullptr;
      mongo_ = std::make_unique<MongoChain>(*mongo, *entry_.mongo_stats, spec().name, shard_, std::move(judge));
    }
  }
  open_logs();
}

LiveChain::~LiveChain() = default;

bool LiveChain::draining() const { return gate_.draining(); }

Cluster* LiveChain::tcp_cluster() { return shard_.cluster(entry_.tcp_cluster); }

StatBlock<ListenerStat>& LiveChain::stats() { return gate_.stats(); }

Instant LiveChain::handshake_deadline(const Transport& transport, Instant accepted) const {
  const TlsTransport* const tls = tls_of(transport);
  const bool waits = tls != nullptr && tls->state() <= TlsState::handshaking;
  const Duration timeout = chain_spec().handshake_timeout;
  return waits && timeout > Duration::zero() ? accepted + timeout : Instant::max();
}

// --- connections -------------------------------------------------------------------------------------------------------

void LiveChain::take(std::unique_ptr<TcpTransport> socket, Slice first_bytes) {
  TcpTransport& plain = *socket;
  start_session(make_transport(std::move(socket), first_bytes));
  if (!first_bytes.empty()) plain.deliver(std::move(first_bytes));
}

std::unique_ptr<Transport> LiveChain::make_transport(std::unique_ptr<TcpTransport> socket, Slice& first_bytes) {
  if (!has_tls()) return socket;
  TlsConnectionOptions options{.stats = &tls_stats_};
  options.keep_chain = entry_.http != nullptr && http().spec().client_cert.chain;
  auto tls = std::make_unique<TlsTransport>(worker_, shard_.tls_now(chain_spec().tls), std::move(socket), std::move(options));
  if (!first_bytes.empty()) tls->feed(std::move(first_bytes));
  return tls;
}

void LiveChain::start_session(std::unique_ptr<Transport> transport) {
  if (entry_.http == nullptr) {
    auto* session = new TcpSession(*this, std::move(transport));  // retires itself when both sides are closed
    tcp_sessions_.push_back(*session);
    return session->start();
  }
  http_stats_.inc(HttpStat::downstream_cx_total);
  http_stats_.inc(HttpStat::downstream_cx_active);
  if (has_tls()) {
    http_stats_.inc(HttpStat::downstream_cx_ssl_total);
    http_stats_.inc(HttpStat::downstream_cx_ssl_active);
  }
  if (http().spec().codec == CodecType::http2) {
    H2Session* session = shard_.new_h2_session(*this, std::move(transport), shard_.next_connection_id());
    h2_sessions_.push_back(*session);
    session->start();
    if (gate_.draining()) session->drain();
    return;
  }
  Session* session = shard_.new_session(*this, std::move(transport));  // retires itself when its transport is closed
  sessions_.push_back(*session);
  session->start();
  if (gate_.draining()) session->drain();
}

void LiveChain::on_http2(std::unique_ptr<Transport> transport, Http2Found found) {
  H2Session* session = shard_.new_h2_session(*this, std::move(transport), found.id);
  h2_sessions_.push_back(*session);
  session->take_over(found.started, found.preface_seen_bytes, std::move(found.first_bytes));
  if (found.draining) session->drain();
}

void LiveChain::on_session_closed(SessionEnd end) {
  http_stats_.dec(HttpStat::downstream_cx_active);
  if (end.protocol == SessionProtocol::http1) http_stats_.dec(HttpStat::downstream_cx_http1_active);
  if (end.protocol == SessionProtocol::http2) http_stats_.dec(HttpStat::downstream_cx_http2_active);
  if (has_tls()) http_stats_.dec(HttpStat::downstream_cx_ssl_active);
  http_stats_.inc(HttpStat::downstream_cx_destroy);
  http_stats_.inc(end.by_client ? HttpStat::downstream_cx_destroy_remote : HttpStat::downstream_cx_destroy_local);
  if (end.cut_an_exchange) {
    http_stats_.inc(HttpStat::downstream_cx_destroy_active_rq);
    http_stats_.inc(end.by_client ? HttpStat::downstream_cx_destroy_remote_active_rq
                                  : HttpStat::downstream_cx_destroy_local_active_rq);
  }
  http_stats_.record(HttpStat::downstream_cx_length_ms, static_cast<uint64_t>(end.lived / milliseconds(1)));
  on_tcp_session_gone(end.lived);
}

void LiveChain::on_tcp_session_gone(Duration lived) { gate_.on_connection_gone(lived); }

void LiveChain::drain_sessions() {
  sessions_.for_each([](Session& session) { session.drain(); });
  h2_sessions_.for_each([](H2Session& session) { session.drain(); });
}

void LiveChain::close_sessions_with(const std::vector<const Host*>& hosts) {
  tcp_sessions_.for_each([&](TcpSession& session) {
    if (std::find(hosts.begin(), hosts.end(), session.host()) != hosts.end())
      session.close({ErrorCode::cancelled, Origin::local, Retry::never, "the host fails its health checks"});
  });
  tunnels_.for_each([&](Tunnel& tunnel) {
    if (std::find(hosts.begin(), hosts.end(), tunnel.host()) != hosts.end())
      tunnel.close({ErrorCode::cancelled, Origin::local, Retry::never, "the host fails its health checks"});
  });
}

void LiveChain::close_sessions(Error why) {
  tunnels_.for_each([&](Tunnel& tunnel) { tunnel.close(why); });
  sessions_.for_each([&](Session& session) { session.close(why); });
  h2_sessions_.for_each([&](H2Session& session) { session.close(why); });
  tcp_sessions_.for_each([&](TcpSession& session) { session.close(why); });
}

// --- access logs -------------------------------------------------------------------------------------------------------

void LiveChain::open_logs() {
  const std::vector<AccessLogSpec>& specs =
      entry_.http != nullptr ? chain_spec().http->access_logs : chain_spec().tcp->access_logs;
  if ((has_tls() || !spec().filters.empty()) && entry_.http != nullptr) {
    const RouteConfigSpec& routes = chain_spec().http->routes;
    tells_tls_peer_ = headers_hold(routes, "%DOWNSTREAM_PEER_");
    headers_tell_tls_ = headers_hold(routes, "%DOWNSTREAM_") || headers_hold(routes, "%REQUESTED_SERVER_NAME") ||
                        headers_hold(routes, "%TLS_JA");
  }
  formats_.reserve(specs.size());  // logs_ points into it
  for (const AccessLogSpec& spec : specs) {
    auto format = AccessLogFormat::parse(spec.format.empty() ? AccessLogFormat::default_text() : std::string_view(spec.format));
    RS_CHECK(format.has_value());  // control/ has parsed it before
    logs_local_address_ |= format->tells(&AccessLogRecord::downstream_local);
    logs_upstream_local_address_ |= format->tells(&AccessLogRecord::upstream_local);
    tells_tls_peer_ |= tells_peer(*format);
    formats_.push_back(std::move(*format));
    logs_.push_back({&formats_.back(), &shard_.log_file(spec.path)});
  }
}

void LiveChain::write_access_logs(const AccessLogRecord& record) {
  for (const Log& log : logs_) log.file->append(*log.format, record, shard_.second_cache());
}

void LiveChain::describe_tls(const Transport& transport, AccessLogRecord& record, Arena& arena) const {
  if (const ConnectionFacts* facts = transport.facts_before()) {
    record.tls_server_name = facts->server_name;
    record.tls_ja3 = facts->ja3;
    record.tls_ja4 = facts->ja4;
  }
  const TlsTransport* const tls = tls_of(transport);
  if (tls == nullptr) return;
  record.tls_failure = tls->failure_text();
  const TlsFacts facts = tls->facts();
  record.tls_server_name = facts.server_name;
  if (facts.cipher == "(NONE)") return;  // the handshake did not get so far
  record.tls_version = facts.version;
  record.tls_cipher = facts.cipher;
  if (const CertificateInfo* own = tls->local_certificate()) record.tls_local_subject = own->subject;
  if (!tells_tls_peer_) return;
  if (const auto peer = tls->peer_certificate()) {
    record.tls_peer_subject = arena.copy(peer->subject);
    record.tls_peer_uri_san = joined(peer->uri_sans, arena);
    record.tls_peer_dns_san = joined(peer->dns_sans, arena);
  }
}

// Counted as Envoy does, for which a request begins with its first byte.
void LiveChain::log_refused(Session& session, Error why, const Head& answer) {
  http_stats_.inc(downstream_rq_class(answer.status));
  http_stats_.inc(HttpStat::downstream_rq_completed);
  http_stats_.inc(HttpStat::downstream_rq_total);
  http_stats_.inc(HttpStat::downstream_rq_http1_total);
  http_stats_.inc(HttpStat::downstream_rq_response_before_rq_complete);
  http_stats_.inc(HttpStat::downstream_rq_rx_reset);
  listener_http_stats_.inc(listener_rq_class(answer.status));
  listener_http_stats_.inc(ListenerHttpStat::downstream_rq_completed);
  if (!has_access_logs()) return;
  AccessLogRecord record;
  record.response_code = answer.status;
  record.response_code_details = why.detail;
  record.bytes_sent = std::string_view(why.detail).size();
  record.response = &answer;
  if (why.code != ErrorCode::timed_out) record.flags.set(ResponseFlag::downstream_protocol_error);
  log_without_request(session, record);
}

void LiveChain::log_cut_head(Session& session) {
  http_stats_.inc(HttpStat::downstream_rq_total);
  http_stats_.inc(HttpStat::downstream_rq_http1_total);
  http_stats_.inc(HttpStat::downstream_rq_rx_reset);
  if (!has_access_logs()) return;
  AccessLogRecord record;
  record.response_code_details = "downstream_remote_disconnect";
  record.flags.set(ResponseFlag::downstream_connection_termination);
  log_without_request(session, record);
}

void LiveChain::log_without_request(Session& session, AccessLogRecord& record) {
  record.start_time = worker_.ring().wall_now();
  const Address peer = session.peer_address();
  const Address local = logs_local_address_ ? session.local_address() : Address();
  const Address direct_peer = session.direct_peer_address();
  record.downstream_remote = &peer;
  record.downstream_direct_remote = &direct_peer;
  record.downstream_local = &local;
  record.connection_id = session.id();
  record.listener_name = spec().name;
  record.filter_chain_name = chain_spec().name;
  record.version = HttpVersion::http11;
  write_access_logs(record);
}

}  // namespace ringside
