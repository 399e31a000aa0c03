#pragma once
// What the admin pages show and do, as the control thread sees it. Implemented where the program is wired together; called on
// the control thread only, never blocking. Numbers of the workers are read through atomics and stat cells.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "control/options.h"
#include "core/address.h"
#include "core/time.h"
#include "proxy/health_flags.h"
#include "proxy/specs.h"

namespace ringside {

// The numbers are the values of the gauge server.state.
enum class ServerState : uint8_t { live = 0, draining = 1, pre_initializing = 2, initializing = 3 };

struct HostStatus {
  Address address = {};
  std::string hostname = {};
  uint32_t weight = 1;
  HealthFlags health = {};
  uint64_t cx_active = 0, cx_connect_fail = 0, cx_total = 0;
  uint64_t rq_active = 0, rq_error = 0, rq_success = 0, rq_timeout = 0, rq_total = 0;
};

struct ClusterStatus {
  std::string name = {};
  std::string observability_name = {};  // empty: the name
  ThresholdsSpec thresholds = {}, thresholds_high = {};
  bool added_via_api = false;
  std::vector<HostStatus> hosts = {};
};

struct ListenerStatus {
  std::string name = {};
  Address address = {};  // as bound: port 0 resolved
};

struct DrainRequest {
  bool inbound_only = false;
  bool graceful = false;   // let the drain time pass before the sockets close
  bool skip_exit = false;  // drain, and never close
};

enum class ShutdownCause : uint8_t { admin, sigterm, sigint };

class AdminPort {
 public:
  // --- what is shown ---
  virtual ServerState state() const = 0;
  virtual Duration uptime() const = 0;
  // Lives as long as the port.
  virtual const Options& options() const = 0;
  virtual const NodeSpec& node() const = 0;
  // "io_uring" or "epoll": what the workers run on.
  virtual std::string_view ring_name() const = 0;
  // Sorted by name, hosts in the order of the configuration.
  virtual std::vector<ClusterStatus> clusters() const = 0;
  // In the order of the configuration.
  virtual std::vector<ListenerStatus> listeners() const = 0;
  // Downstream connections of all workers.
  virtual uint64_t connections() const = 0;
  // What still stands before the state "live": names for /init_dump.
  virtual std::vector<std::string> unready_targets() const = 0;

  // --- what is done ---
  // Ends the program in order. Returns at once; may be called again (a second signal).
  virtual void shutdown(ShutdownCause cause) = 0;
  virtual void drain_listeners(DrainRequest request) = 0;
  // /healthcheck/fail and /ok: false makes the state "draining" and tells the filters; traffic is still served.
  virtual void set_healthy(bool healthy) = 0;
  virtual void reopen_logs() = 0;

 protected:
  ~AdminPort() = default;
};

}  // namespace ringside
