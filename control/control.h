#pragma once
// What runs on the control thread: signals, the admin server, DNS, the statistics' flush. main.cc makes the ring and the worker,
// wires the ports and calls run().
#include <expected>
#include <memory>
#include <string>
#include <vector>

#include "control/admin_port.h"
#include "control/dns_refresher.h"
#include "control/dns_resolver.h"
#include "core/stats.h"
#include "core/worker.h"
#include "proxy/specs.h"

namespace ringside {

class AdminServer;
class ServerGauges;
class SignalWatch;
class TlsPort;
class TlsWatch;

class Control {
 public:
  // Everything given lives longer. `worker` is the control thread's own.
  Control(Worker& worker, StatsRegistry& registry, AdminPort& admin_port, EndpointsPort& endpoints_port,
          TlsPort& tls_port, const Specs& specs);
  Control(const Control&) = delete;
  Control& operator=(const Control&) = delete;
  // Ends in order what still runs.
  ~Control();

  // First thing in main, before any thread exists: the signals that Control reads are delivered nowhere else.
  static void block_signals();

  // Binds the admin server (when the specs have one), watches signals, starts the flush timer. An error's text is for the
  // operator: "cannot bind '127.0.0.1:15000': Address already in use".
  std::expected<void, std::string> start();
  // Begins to resolve STRICT_DNS clusters; EndpointsPort::on_first_resolution() follows, never from inside this call.
  void start_dns();
  // Turns the worker until stop(), then until everything has ended in order.
  void run();
  // From the control thread. Also before run(), which then ends at once.
  void stop() { stopping_ = true; }

  // As bound; empty without an admin server.
  Address admin_address() const;
  // Clusters without a first answer, for AdminPort::unready_targets().
  std::vector<std::string> unresolved_clusters() const;

 private:
  friend class SignalWatch;
  std::expected<void, std::string> start_admin();
  void on_flush_timer();
  void on_signal(int signal_number);
  void close_all();
  bool quiet() const;

  Worker& worker_;
  StatsRegistry& registry_;
  AdminPort& port_;
  const Specs& specs_;
  std::unique_ptr<TlsWatch> tls_watch_;
  std::unique_ptr<ServerGauges> gauges_;
  std::unique_ptr<DnsResolver> resolver_;
  std::unique_ptr<DnsRefresher> refresher_;
  std::unique_ptr<AdminServer> admin_;
  std::unique_ptr<SignalWatch> signals_;
  bool stopping_ = false;
  TimerFor<Control, &Control::on_flush_timer> flush_timer_{*this};
};

}  // namespace ringside
