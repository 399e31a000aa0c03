#pragma once
// The whole data plane of one worker on a simulated ring: snapshot, shard and access log, with clients and origins around it.
#include <memory>
#include <string>
#include <vector>

#include "core/stats.h"
#include "proxy/shard.h"
#include "proxy/snapshot.h"
#include "tests/sim/sim_world.h"

namespace ringside::sim {

class ProxyWorld {
 public:
  explicit ProxyWorld(uint64_t seed);
  ~ProxyWorld();

  // Starts the proxy; the addresses of the listeners are those of the specs.
  void start(Specs specs);
  // Everything that counts what is going on must stand at zero, but for idle upstream connections.
  void expect_quiet();
  // Ends the proxy and looks for what was left.
  void stop();
  // The access log so far; complete after stop().
  std::vector<std::string> log_lines() const;
  const std::string& log_path() const { return log_path_; }

  World world;
  Random& random;
  std::unique_ptr<StatsRegistry> registry;
  std::shared_ptr<const Snapshot> snapshot;
  std::unique_ptr<Shard> shard;

 private:
  int log_fd_ = -1;
  std::string log_path_;
};

// An HTTP listener on 10.0.0.1:80 and a cluster of `origins`, with limits and timeouts that differ from seed to seed. Nothing
// takes longer than a few seconds.
Specs random_http_specs(Random& random, const std::vector<Address>& origins, const std::string& log_path);
// Puts one more listener, which speaks HTTP/2, in front of the origins; the listener in front of it goes there now.
void add_http2_hop(Random& random, Specs& specs);

}  // namespace ringside::sim
