#pragma once
// A scripted origin server: answers each request as its plan says, and checks what it is sent.
#include <functional>
#include <memory>
#include <vector>

#include "tests/sim/sim_http.h"
#include "tests/sim/sim_peer.h"

namespace ringside::sim {

class Origin {
 public:
  // `find` gives the plan of an id, or null.
  Origin(Network& network, const Address& address, std::function<Plan*(uint64_t)> find);
  ~Origin();
  // Refuses connections, or takes them again.
  void go_down();
  void come_up();
  // Connections that idle are closed now and then.
  void set_impatient(bool impatient) { impatient_ = impatient; }
  size_t connections_open() const;

 private:
  class Connection;
  void accept_all();

  Network& network_;
  Address address_;
  std::function<Plan*(uint64_t)> find_;
  ListeningSocketPtr listener_;
  std::vector<std::unique_ptr<Connection>> connections_;
  bool impatient_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace ringside::sim
