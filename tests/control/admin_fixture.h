#pragma once
// An admin server on a real ring with a port of made-up data, and a small HTTP client beside it in the same thread.
#include <map>
#include <string>
#include <vector>

#include "control/admin_server.h"
#include "control/server_gauges.h"
#include "tests/control/worker_fixture.h"

namespace ringside {

class FakeAdminPort final : public AdminPort {
 public:
  ServerState state() const override { return state_; }
  Duration uptime() const override { return milliseconds(3900); }
  const Options& options() const override { return options_; }
  const NodeSpec& node() const override { return node_; }
  std::string_view ring_name() const override { return "epoll"; }
  std::vector<ClusterStatus> clusters() const override { return clusters_; }
  std::vector<ListenerStatus> listeners() const override { return listeners_; }
  uint64_t connections() const override { return 7; }
  std::vector<std::string> unready_targets() const override { return unready_; }
  void shutdown(ShutdownCause cause) override { shutdowns_.push_back(cause); }
  void drain_listeners(DrainRequest request) override { drains_.push_back(request); }
  void set_healthy(bool healthy) override { state_ = healthy ? ServerState::live : ServerState::draining; }
  void reopen_logs() override { ++reopened_; }

  ServerState state_ = ServerState::live;
  Options options_;
  NodeSpec node_;
  std::vector<ClusterStatus> clusters_;
  std::vector<ListenerStatus> listeners_;
  std::vector<std::string> unready_;
  std::vector<ShutdownCause> shutdowns_;
  std::vector<DrainRequest> drains_;
  int reopened_ = 0;
};

struct HttpReply {
  int status = 0;
  std::map<std::string, std::string> fields;
  std::string body;
  bool whole = false;  // framed to its end
};

// Parses the reply at the front of `bytes`, and removes it when it is whole.
HttpReply take_reply(std::string& bytes, bool head_only = false);

class AdminTest : public WorkerTest {
 protected:
  AdminTest();
  ~AdminTest() override;
  void start(const Address& address);
  // A connection to the server, in non-blocking mode.
  int connect_client();
  void send_text(int client, std::string_view text);
  // Takes what is there; false when the connection has ended.
  bool receive_more(int client);
  // Turns until a whole reply came; status 0 when the connection ended before that.
  HttpReply receive_reply(int client, bool head_only = false);
  // Turns until the server closed the connection; what came before it.
  std::string receive_to_end(int client, Duration at_most = seconds(5));
  // One request on a connection of its own.
  HttpReply request(const std::string& method, const std::string& target, const std::string& fields = "");
  HttpReply get(const std::string& target) { return request("GET", target); }
  HttpReply post(const std::string& target) { return request("POST", target); }
  static std::string golden(const std::string& name);

  FakeAdminPort port_;
  StatsRegistry registry_{2};
  ServerGauges gauges_{port_, registry_};
  AdminServer server_{*worker_, AdminContext{port_, registry_, gauges_}};
  std::map<int, std::string> received_;  // by client, not yet parsed
};

}  // namespace ringside
