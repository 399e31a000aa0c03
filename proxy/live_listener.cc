#include "proxy/live_listener.h"

#include "core/log.h"
#include "core/tcp_transport.h"
#include "proxy/shard.h"

namespace ringside {

LiveListener::LiveListener(Shard& shard, std::shared_ptr<const ListenerEntry> entry, int listening_fd)
    : shard_(shard), worker_(shard.worker()), entry_(std::move(entry)) {
  StatCells& cells = shard.stat_cells();
  stats_ = cells.block(entry_->stats);
  worker_stats_ = cells.block(shard.registry().group<ListenerWorkerStat>(listener_worker_scope(entry_->stat_address, worker_.index())));
  if (entry_->http != nullptr) {
    http_stats_ = cells.block(entry_->http_stats);
    listener_http_stats_ = cells.block(entry_->listener_http_stats);
  } else {
    tcp_stats_ = cells.block(entry_->tcp_stats);
  }
  if (listening_fd >= 0) accept_ = std::make_unique<Listener>(worker_, static_cast<ListenerUser&>(*this), listening_fd);
  open_logs();
}

LiveListener::~LiveListener() = default;

void LiveListener::start() {
  if (accept_ != nullptr) accept_->start();
}

Cluster* LiveListener::tcp_cluster() { return shard_.cluster(entry_->tcp_cluster); }

// --- connections -------------------------------------------------------------------------------------------------------

void LiveListener::on_accept(int fd) {
  ++connections_;
  stats_.inc(ListenerStat::downstream_cx_total);
  stats_.inc(ListenerStat::downstream_cx_active);
  worker_stats_.inc(ListenerWorkerStat::downstream_cx_total);
  worker_stats_.inc(ListenerWorkerStat::downstream_cx_active);
  if (entry_->http == nullptr) {
    auto* session = new TcpSession(*this, fd);  // retires itself when both sides are closed
    tcp_sessions_.push_back(*session);
    return session->start();
  }
  http_stats_.inc(HttpStat::downstream_cx_total);
  http_stats_.inc(HttpStat::downstream_cx_active);
  if (http().spec().codec == CodecType::http2) {
    H2Session* session =
        shard_.new_h2_session(*this, std::make_unique<TcpTransport>(worker_, fd), shard_.next_connection_id());
    h2_sessions_.push_back(*session);
    session->start();
    if (draining_) session->drain();
    return;
  }
  Session* session = shard_.new_session(*this, fd);  // retires itself when its transport is closed
  sessions_.push_back(*session);
  session->start();
  if (draining_) session->drain();
}

void LiveListener::on_http2(std::unique_ptr<Transport> transport, Http2Found found) {
  H2Session* session = shard_.new_h2_session(*this, std::move(transport), found.id);
  h2_sessions_.push_back(*session);
  session->take_over(found.started, std::move(found.first_bytes));
  if (found.draining) session->drain();
}

void LiveListener::on_session_closed(SessionEnd end) {
  http_stats_.dec(HttpStat::downstream_cx_active);
  if (end.protocol == SessionProtocol::http1) http_stats_.dec(HttpStat::downstream_cx_http1_active);
  if (end.protocol == SessionProtocol::http2) http_stats_.dec(HttpStat::downstream_cx_http2_active);
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

void LiveListener::on_tcp_session_gone(Duration lived) {
  --connections_;
  stats_.dec(ListenerStat::downstream_cx_active);
  stats_.inc(ListenerStat::downstream_cx_destroy);
  stats_.record(ListenerStat::downstream_cx_length_ms, static_cast<uint64_t>(lived / milliseconds(1)));
  worker_stats_.dec(ListenerWorkerStat::downstream_cx_active);
  shard_.on_descriptor_freed();
}

void LiveListener::on_accept_paused(bool paused) {
  if (!paused) return;
  shard_.ringside_stats().inc(RingsideStat::accept_paused);
  RS_LOG_WARN(connection, "listener {}: out of file descriptors, accepting pauses until one is free (see ulimit -n)",
              entry_->spec.name);
}

void LiveListener::resume_accepting() {
  if (accept_ != nullptr && accept_->paused()) accept_->resume();
}

void LiveListener::stop_accepting() {
  if (accept_ != nullptr) accept_->close();
}

void LiveListener::on_listener_closed() {
  // Called by the object itself: it goes at the end of the turn, with us or later.
  shard_.bury(std::move(accept_));
}

void LiveListener::drain_sessions() {
  draining_ = true;
  sessions_.for_each([](Session& session) { session.drain(); });
  h2_sessions_.for_each([](H2Session& session) { session.drain(); });
}

void LiveListener::close_sessions(Error why) {
  sessions_.for_each([&](Session& session) { session.close(why); });
  h2_sessions_.for_each([&](H2Session& session) { session.close(why); });
  tcp_sessions_.for_each([&](TcpSession& session) { session.close(why); });
}

// --- access logs -------------------------------------------------------------------------------------------------------

void LiveListener::open_logs() {
  const std::vector<AccessLogSpec>& specs =
      entry_->http != nullptr ? entry_->spec.http->access_logs : entry_->spec.tcp->access_logs;
  formats_.reserve(specs.size());  // logs_ points into it
  for (const AccessLogSpec& spec : specs) {
    auto format = AccessLogFormat::parse(spec.format.empty() ? AccessLogFormat::default_text() : std::string_view(spec.format));
    RS_CHECK(format.has_value());  // control/ has parsed it before
    logs_local_address_ |= format->tells(&AccessLogRecord::downstream_local);
    logs_upstream_local_address_ |= format->tells(&AccessLogRecord::upstream_local);
    formats_.push_back(std::move(*format));
    logs_.push_back({&formats_.back(), &shard_.log_file(spec.path)});
  }
}

void LiveListener::write_access_logs(const AccessLogRecord& record) {
  for (const Log& log : logs_) log.file->append(*log.format, record, shard_.second_cache());
}

// Counted as Envoy does, for which a request begins with its first byte.
void LiveListener::log_refused(Session& session, Error why, const Head& answer) {
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

void LiveListener::log_cut_head(Session& session) {
  http_stats_.inc(HttpStat::downstream_rq_total);
  http_stats_.inc(HttpStat::downstream_rq_http1_total);
  http_stats_.inc(HttpStat::downstream_rq_rx_reset);
  if (!has_access_logs()) return;
  AccessLogRecord record;
  record.response_code_details = "downstream_remote_disconnect";
  record.flags.set(ResponseFlag::downstream_connection_termination);
  log_without_request(session, record);
}

void LiveListener::log_without_request(Session& session, AccessLogRecord& record) {
  record.start_time = worker_.ring().wall_now();
  const Address peer = session.peer_address();
  const Address local = logs_local_address_ ? session.local_address() : Address();
  record.downstream_direct_remote = &peer;
  record.downstream_local = &local;
  record.connection_id = session.id();
  record.listener_name = spec().name;
  record.version = HttpVersion::http11;
  write_access_logs(record);
}

}  // namespace ringside
