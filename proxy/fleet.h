#pragma once
// The workers of the data plane: threads, their shards, and the messages to them. Called from the control thread only.
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "core/mailbox.h"
#include "core/stats.h"
#include "proxy/shard.h"
#include "proxy/snapshot.h"

namespace ringside {

enum class RingKind : uint8_t { uring, epoll };

struct FleetOptions {
  uint32_t workers = 1;
  RingKind ring = RingKind::uring;
  std::vector<int> cpus;  // worker n runs on cpus[n % size]; empty: wherever the system puts it
  ShardOptions shard;
};

class FleetWorker;

class Fleet {
 public:
  Fleet(FleetOptions options, StatsRegistry& registry);
  ~Fleet();

  // Binds every listener, starts the workers and waits until all accept. An error's text is for the operator.
  std::expected<void, std::string> start(std::shared_ptr<const Snapshot> snapshot);
  void publish_hosts(uint32_t cluster, std::shared_ptr<const HostSet> hosts);
  // New connections begin with `now` where the snapshot says `first`.
  void publish_tls(TlsContextPtr first, TlsContextPtr now);
  // Flags of hosts of this cluster changed.
  void publish_health(uint32_t cluster);
  // Listening sockets close; connections live on.
  void stop_accepting();
  // Keep-alive connections end with their next answer.
  void drain();
  void reopen_logs();
  void flush_logs();
  // Downstream connections of all workers, as last counted.
  uint32_t connections() const;
  // Ends every worker, cutting what is still open, and joins the threads.
  void stop();
  bool started() const { return !workers_.empty(); }
  uint32_t worker_count() const { return options_.workers; }
  // The addresses bound, in the order of the listeners (port 0 resolved).
  const std::vector<Address>& bound_addresses() const { return bound_; }

 private:
  std::expected<void, std::string> bind_all(const Snapshot& snapshot, std::vector<std::vector<int>>* fds);
  template <class Action>
  void post_to_all(Action action);

  FleetOptions options_;
  StatsRegistry& registry_;
  std::vector<std::unique_ptr<FleetWorker>> workers_;
  std::vector<Address> bound_;
};

}  // namespace ringside
