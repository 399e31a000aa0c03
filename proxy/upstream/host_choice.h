#pragma once
// Which endpoints of a cluster take requests, by their health, and whose turn it is. Made anew when something changes, so that a
// request only takes the next one.
#include <cstdint>
#include <vector>

#include "core/ring.h"
#include "proxy/health_flags.h"
#include "proxy/upstream/host.h"

namespace ringside {

class Endpoint;

// How a cluster's requests are shared out.
struct HealthShares {
  bool panic = false;  // too few are well: all hosts take part, whatever their health
  uint32_t healthy_percent = 100;
  uint32_t degraded_percent = 0;
  bool operator==(const HealthShares&) const = default;
};
// As Envoy for one priority: a cluster does without 2 of 7 hosts before degraded ones take part (overprovisioning, 140 %), and panics
// below `panic_percent` of hosts that are well or degraded.
HealthShares share_out(const HealthCounts& counts, uint32_t panic_percent);

// Weighted round robin.
class Rotation {
 public:
  void clear() { members_.clear(); }
  void add(Endpoint& endpoint) { members_.push_back(&endpoint); }
  // After the last one; `start` is any number.
  void begin_at(uint64_t start);
  // Null when there is none.
  Endpoint* next();

 private:
  Endpoint* next_weighted();
  std::vector<Endpoint*> members_;
  size_t next_ = 0;
  bool weighted_ = false;
};

class HostChoice {
 public:
  // begin(), add() for each endpoint, end(). Endpoints outlive the choice, or the next begin().
  void begin(uint32_t panic_percent);
  void add(Endpoint& endpoint, HealthFlags flags);
  void end(uint64_t start);
  bool in_panic() const { return shares_.panic; }
  Endpoint* pick(Ring& ring) {
    if (shares_.degraded_percent > 0 && ring.random() % 100 < shares_.degraded_percent) [[unlikely]]
      return degraded_.next();
    return main_.next();
  }

 private:
  HealthCounts counts_;
  HealthShares shares_;
  uint32_t panic_percent_ = 0;
  std::vector<Endpoint*> all_;  // between begin() and end()
  Rotation main_;               // in a panic: all
  Rotation degraded_;
};

}  // namespace ringside
