#include "control/admin_server.h"

#include <fmt/format.h>

#include <cstring>

#include "control/control_limits.h"
#include "core/log.h"

namespace ringside {

namespace {

StatScope main_thread_scope() {
  StatScope scope = listener_scope("admin");
  scope.prefix += "main_thread.";
  if (!scope.tagless_prefix.empty()) scope.tagless_prefix += "main_thread.";
  return scope;
}

}  // namespace

AdminServer::AdminServer(Worker& worker, AdminContext context) : worker_(worker), context_(context) {
  h1_limits_.accept_http_10 = true;
  StatsRegistry& registry = context.registry;
  StatCells& cells = registry.control_cells();
  listener_stats_ = cells.block(registry.group<ListenerStat>(listener_scope("admin")));
  thread_stats_ = cells.block(registry.group<ListenerWorkerStat>(main_thread_scope()));
  http_stats_ = cells.block(registry.group<HttpStat>(http_scope("admin")));
  listener_http_stats_ = cells.block(registry.group<ListenerHttpStat>(listener_http_scope("admin", "admin")));
}

AdminServer::~AdminServer() { RS_CHECK(quiet()); }

std::expected<void, std::string> AdminServer::start(const Address& address) {
  int error_number = 0;
  // Without SO_REUSEPORT, so that a second program on the same address is told.
  const Result<int> fd = worker_.ring().listen(address, {.reuse_port = false}, &error_number);
  if (!fd) return std::unexpected(fmt::format("cannot bind '{}': {}", address.text(), std::strerror(error_number)));
  address_ = worker_.ring().local_address(*fd);
  listener_.emplace(worker_, static_cast<ListenerUser&>(*this), *fd);
  listening_ = true;
  listener_->start();
  RS_LOG_INFO(admin, "admin address: {}", address_.text());
  return {};
}

void AdminServer::close() {
  if (std::exchange(closing_, true)) return;
  if (listening_) listener_->close();
  sessions_.for_each([](AdminSession& session) { session.close({}); });
}

void AdminServer::on_listener_closed() { listening_ = false; }

// --- connections -----------------------------------------------------------------------------------------------------------------

void AdminServer::on_accept(int fd) {
  if (closing_ || (live_ >= limits::admin_connections_max && !make_room())) {
    listener_stats_.inc(ListenerStat::downstream_cx_overflow);
    return worker_.ring().close(fd);
  }
  auto* session = new AdminSession(*this, fd);  // retires itself
  sessions_.push_back(*session);
  ++live_;
  listener_stats_.inc(ListenerStat::downstream_cx_total);
  listener_stats_.inc(ListenerStat::downstream_cx_active);
  thread_stats_.inc(ListenerWorkerStat::downstream_cx_total);
  thread_stats_.inc(ListenerWorkerStat::downstream_cx_active);
  http_stats_.inc(HttpStat::downstream_cx_total);
  http_stats_.inc(HttpStat::downstream_cx_active);
  http_stats_.inc(HttpStat::downstream_cx_http1_total);
  http_stats_.inc(HttpStat::downstream_cx_http1_active);
  session->start();
}

// Whoever kept a connection for later gives way to who wants to know something now.
bool AdminServer::make_room() {
  AdminSession* oldest = nullptr;
  sessions_.for_each([&](AdminSession& session) {
    if (oldest == nullptr && session.idle()) oldest = &session;
  });
  if (oldest != nullptr) oldest->close({});
  return oldest != nullptr;
}

void AdminServer::on_session_closed() {
  --live_;
  listener_stats_.inc(ListenerStat::downstream_cx_destroy);
  listener_stats_.dec(ListenerStat::downstream_cx_active);
  thread_stats_.dec(ListenerWorkerStat::downstream_cx_active);
  http_stats_.inc(HttpStat::downstream_cx_destroy);
  http_stats_.dec(HttpStat::downstream_cx_active);
  http_stats_.dec(HttpStat::downstream_cx_http1_active);
  if (listening_) listener_->resume();
}

void AdminServer::count_request() {
  http_stats_.inc(HttpStat::downstream_rq_total);
  http_stats_.inc(HttpStat::downstream_rq_active);
  http_stats_.inc(HttpStat::downstream_rq_http1_total);
}

void AdminServer::count_reply(uint16_t status) {
  http_stats_.inc(downstream_rq_class(status));
  http_stats_.inc(HttpStat::downstream_rq_completed);
  listener_http_stats_.inc(listener_rq_class(status));
  listener_http_stats_.inc(ListenerHttpStat::downstream_rq_completed);
}

}  // namespace ringside
