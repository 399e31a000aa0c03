#pragma once
// The admin server: HTTP/1.1 on the control thread, over TCP or a unix socket.
#include <expected>
#include <optional>
#include <string>

#include "codecs/http1/h1_limits.h"
#include "codecs/http1/h1_parser.h"
#include "control/admin_page.h"
#include "control/admin_session.h"
#include "core/listener.h"
#include "core/stats.h"
#include "core/worker.h"
#include "proxy/observe/stat_names.h"

namespace ringside {

class AdminServer final : private ListenerUser {
 public:
  // Everything given lives longer.
  AdminServer(Worker& worker, AdminContext context);
  AdminServer(const AdminServer&) = delete;
  AdminServer& operator=(const AdminServer&) = delete;
  // start() was not called or failed, or close() was called and quiet() became true.
  ~AdminServer();

  // An error's text is for the operator: "cannot bind '127.0.0.1:15000': Address already in use".
  std::expected<void, std::string> start(const Address& address);
  // As bound.
  const Address& address() const { return address_; }
  // Ends every connection and the listening socket; quiet() becomes true some turns later.
  void close();
  bool quiet() const { return !listening_ && live_ == 0; }

  // --- for sessions ---
  Worker& worker() { return worker_; }
  const H1Limits& h1_limits() const { return h1_limits_; }
  H1ScratchPool& h1_scratch() { return h1_scratch_; }
  AdminReply answer(const AdminRequest& request) { return answer_admin_request(context_, request); }
  void shut_down() { context_.port.shutdown(ShutdownCause::admin); }
  void on_session_closed();
  void count_received(size_t bytes) { http_stats_.inc(HttpStat::downstream_cx_rx_bytes_total, bytes); }
  void count_sent(size_t bytes) { http_stats_.inc(HttpStat::downstream_cx_tx_bytes_total, bytes); }
  void count_protocol_error() { http_stats_.inc(HttpStat::downstream_cx_protocol_error); }
  void count_request();
  void count_exchange_end() { http_stats_.dec(HttpStat::downstream_rq_active); }
  void count_reply(uint16_t status);

 private:
  void on_accept(int fd) override;
  void on_accept_paused(bool) override {}
  void on_listener_closed() override;
  bool make_room();

  Worker& worker_;
  AdminContext context_;
  H1Limits h1_limits_;
  H1ScratchPool h1_scratch_;
  Address address_;
  std::optional<Listener> listener_;
  List<AdminSession, AdminSession> sessions_;  // oldest first
  uint32_t live_ = 0;
  bool listening_ = false;
  bool closing_ = false;
  StatBlock<ListenerStat> listener_stats_;
  StatBlock<ListenerWorkerStat> thread_stats_;
  StatBlock<HttpStat> http_stats_;
  StatBlock<ListenerHttpStat> listener_http_stats_;
};

}  // namespace ringside
