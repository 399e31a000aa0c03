// TCP relays, listener to upstream, under everything that networks, kernels and peers do: bytes in order and never of another
// stream, half-closes carried through, nothing left over.
#include <gtest/gtest.h>

#include <algorithm>
#include <charconv>
#include <cstdio>

#include "tests/sim/sim_proxy.h"
#include "tests/sim/sim_talker.h"

namespace ringside::sim {
namespace {

// What one relayed connection shall carry, and what arrived.
struct TcpPlan {
  uint64_t id = 0;
  size_t up_bytes = 0;        // from the client, without its number
  size_t down_bytes = 0;      // from the server
  bool server_waits = false;  // answers when the client has ended
  uint32_t breaks_off = 0;
  std::string header;  // of the PROXY protocol, where the listener reads one
  size_t up_arrived = 0;
  size_t down_arrived = 0;
  bool up_ended = false;    // FIN arrived at the server
  bool down_ended = false;  // FIN arrived at the client
  bool broken = false;      // reset, or somebody broke off
  bool over = false;

  uint64_t up_pattern() const { return 2 * id; }
  uint64_t down_pattern() const { return 2 * id + 1; }
  // The first bytes tell the server who it is.
  std::string up_text() const {
    char name[24];
    std::snprintf(name, sizeof name, "%08llu", static_cast<unsigned long long>(id));
    return name + pattern_text(up_pattern(), up_bytes);
  }
};
constexpr size_t name_bytes = 8;

// From 192.0.2.7, with an addition behind the addresses.
std::string header_v2() {
  return {"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x11\xc0\0\2\7\xc6\x33\x64\x09\x0f\xa0\0\x50\4\0\2ok", 33};
}

class TcpClient final : public Talker {
 public:
  TcpClient(Network& net, TcpPlan& plan) : Talker(net), plan_(plan) {}
  void give_up() {
    if (plan_.over) return;
    on_broke_off();
    close();
  }

 private:
  void on_connected() override { talk(plan_.header + plan_.up_text(), plan_.breaks_off); }
  void on_bytes(std::string_view bytes) override {
    EXPECT_TRUE(matches_pattern(plan_.down_pattern(), plan_.down_arrived, bytes)) << "connection " << plan_.id;
    plan_.down_arrived += bytes.size();
  }
  void on_end() override {
    plan_.down_ended = true;
    if (!open()) return;
    // A FIN may be a half-close: the rest is said before the connection goes.
    if (!has_said_all()) return later(milliseconds(1), [this] { on_end(); });
    plan_.over = true;
    close();
  }
  void on_failed(int) override { plan_.broken = plan_.over = true; }
  void on_broke_off() override { plan_.broken = plan_.over = true; }
  TcpPlan& plan_;
};

class TcpServer final : public Talker {
 public:
  TcpServer(Network& net, std::vector<TcpPlan>& plans, SocketPtr socket) : Talker(net), plans_(plans) {
    adopt(std::move(socket));
  }

 private:
  void on_bytes(std::string_view bytes) override {
    const size_t missing = std::min(name_bytes - name_.size(), bytes.size());
    name_ += bytes.substr(0, missing);
    bytes.remove_prefix(missing);
    if (name_.size() < name_bytes) return;
    if (plan_ == nullptr) {
      uint64_t id = 0;
      std::from_chars(name_.data(), name_.data() + name_.size(), id);
      ASSERT_TRUE(id >= 1 && id <= plans_.size()) << name_;
      plan_ = &plans_[id - 1];
      if (!plan_->server_waits) answer();
    }
    EXPECT_TRUE(matches_pattern(plan_->up_pattern(), plan_->up_arrived, bytes)) << "connection " << plan_->id;
    plan_->up_arrived += bytes.size();
  }
  void on_end() override {
    if (plan_ == nullptr) return close();
    plan_->up_ended = true;
    if (plan_->server_waits) answer();
  }
  void answer() { talk(pattern_text(plan_->down_pattern(), plan_->down_bytes), plan_->breaks_off); }
  void on_failed(int) override {
    if (plan_ != nullptr) plan_->broken = true;
  }
  void on_broke_off() override { plan_->broken = true; }
  std::vector<TcpPlan>& plans_;
  std::string name_;
  TcpPlan* plan_ = nullptr;
};

class TcpScenario {
 public:
  enum class Surroundings : uint8_t { sound, faulty };
  TcpScenario(uint64_t seed, Surroundings surroundings)
      : proxy_(seed), random_(proxy_.random), faulty_(surroundings == Surroundings::faulty) {}
  void run();

 private:
  Specs make_specs();
  void make_plans();
  void start_server();
  void start_clients();
  void check();
  bool all_over() const {
    return std::ranges::all_of(plans_, [](const TcpPlan& plan) { return plan.over; });
  }

  ProxyWorld proxy_;
  Random& random_;
  bool faulty_;
  bool inspects_ = random_.chance(400'000);
  Address origin_ = *Address::from_ip("10.2.0.1", 5432);
  ListeningSocketPtr listener_;
  std::vector<TcpPlan> plans_;
  std::vector<std::unique_ptr<TcpClient>> clients_;
  std::vector<std::unique_ptr<TcpServer>> servers_;
};

Specs TcpScenario::make_specs() {
  auto relay = std::make_shared<TcpProxySpec>();
  relay->stat_prefix = "sim";
  relay->cluster = "origin";
  relay->idle_timeout = faulty_ ? Duration(milliseconds(random_.between(500, 3000))) : Duration(minutes(2));
  if (faulty_ && random_.chance(100'000)) relay->connection_duration_max = milliseconds(random_.between(10, 1000));
  relay->connect_attempts_max = static_cast<uint32_t>(random_.between(1, 3));
  relay->access_logs.push_back({proxy_.log_path(), "%BYTES_RECEIVED% %BYTES_SENT% %RESPONSE_FLAGS%\n"});
  ListenerSpec listener;
  listener.name = "sim";
  listener.address = *Address::from_ip("10.0.0.1", 80);
  if (random_.chance(500'000)) listener.connection_buffer_bytes_max = static_cast<uint32_t>(random_.between(1, 100'000));
  listener.chains.emplace_back().tcp = relay;
  if (inspects_) {
    listener.filters.resize(2);
    listener.filters[0].kind = ListenerFilterKind::proxy_protocol;
    if (faulty_) listener.filters_timeout = milliseconds(random_.between(1, 3000));
    listener.chains[0].match.sources.push_back({*Address::from_ip("192.0.2.0", 0), 24});
  }
  ClusterSpec cluster;
  cluster.name = "origin";
  EndpointSpec endpoint;
  endpoint.address = origin_;
  cluster.endpoints.push_back(std::move(endpoint));
  cluster.connect_timeout = milliseconds(random_.between(100, 1000));
  if (random_.chance(500'000)) cluster.connection_buffer_bytes_max = static_cast<uint32_t>(random_.between(1, 100'000));
  Specs specs;
  specs.listeners.push_back(std::move(listener));
  specs.clusters.push_back(std::move(cluster));
  return specs;
}

void TcpScenario::make_plans() {
  plans_.resize(random_.between(1, 12));
  for (size_t at = 0; at < plans_.size(); ++at) {
    TcpPlan& plan = plans_[at];
    plan.id = at + 1;
    plan.up_bytes = random_.chance(200'000) ? 0 : random_.below(random_.chance(200'000) ? 600'000 : 10'000);
    plan.down_bytes = random_.chance(200'000) ? 0 : random_.below(random_.chance(200'000) ? 600'000 : 10'000);
    plan.server_waits = random_.chance(300'000);
    if (random_.chance(150'000)) plan.breaks_off = 100'000;
    if (inspects_) plan.header = random_.chance(500'000) ? "PROXY TCP4 192.0.2.7 198.51.100.9 4000 80\r\n" : header_v2();
  }
}

void TcpScenario::start_server() {
  Network& network = proxy_.world.network;
  listener_ = network.listen(origin_, false);
  listener_->on_pending = [this, &network] {
    network.after(Duration::zero(), [this, &network] {  // not from inside the network's own call
      while (!listener_->pending.empty()) {
        servers_.push_back(std::make_unique<TcpServer>(network, plans_, listener_->pending.front()));
        listener_->pending.pop_front();
        if (random_.chance(200'000))
          servers_.back()->read_slowly(random_.between(500, 20'000), microseconds(random_.between(1, 2000)));
      }
    });
  };
}

void TcpScenario::start_clients() {
  Network& network = proxy_.world.network;
  for (TcpPlan& plan : plans_) {
    clients_.push_back(std::make_unique<TcpClient>(network, plan));
    TcpClient* client = clients_.back().get();
    if (random_.chance(200'000)) client->read_slowly(random_.between(500, 20'000), microseconds(random_.between(1, 2000)));
    network.after(microseconds(random_.below(10'000)), [client] { client->connect(*Address::from_ip("10.0.0.1", 80)); });
    network.after(seconds(10), [client] {
      if (!client->connected()) client->give_up();  // nobody answered
    });
  }
}

void TcpScenario::check() {
  for (const TcpPlan& plan : plans_) {
    EXPECT_LE(plan.up_arrived, plan.up_bytes) << "connection " << plan.id;
    EXPECT_LE(plan.down_arrived, plan.down_bytes) << "connection " << plan.id;
    if (faulty_ || plan.breaks_off != 0) continue;
    EXPECT_FALSE(plan.broken) << "connection " << plan.id;
    EXPECT_TRUE(plan.up_ended && plan.down_ended) << "connection " << plan.id;
    EXPECT_EQ(plan.up_arrived, plan.up_bytes) << "connection " << plan.id;
    EXPECT_EQ(plan.down_arrived, plan.down_bytes) << "connection " << plan.id;
  }
  EXPECT_LE(proxy_.log_lines().size(), plans_.size());
  // Who breaks off in a header has not been relayed.
  const bool all_relayed = !inspects_ || std::ranges::all_of(plans_, [](const TcpPlan& plan) { return plan.breaks_off == 0; });
  if (!faulty_ && all_relayed) {
    EXPECT_EQ(proxy_.log_lines().size(), plans_.size());
  }
}

void TcpScenario::run() {
  World& world = proxy_.world;
  start_server();
  make_plans();
  proxy_.start(make_specs());
  if (faulty_) world.network.faults() = Faults::swarm(random_);
  start_clients();
  if (faulty_) {
    world.run_for(milliseconds(random_.below(100)));
    world.network.heal();
  }
  EXPECT_TRUE(world.run_until([&] { return all_over(); }, minutes(1)));
  for (const auto& client : clients_) client->give_up();
  EXPECT_TRUE(world.run_until([&] { return proxy_.shard->connections() == 0; }, minutes(3)));
  // What a server that reads slowly has in its socket is its own.
  if (!faulty_) world.run_until([&] { return std::ranges::all_of(plans_, [](const TcpPlan& plan) { return plan.up_ended || plan.broken; }); }, seconds(10));
  servers_.clear();  // one that reads slowly ticks as long as it has a socket
  proxy_.expect_quiet();
  proxy_.stop();
  check();
}

using enum TcpScenario::Surroundings;
TEST(SimTcp, relays_on_a_good_network) {
  World::piped_bytes_seen = 0;
  over_seeds(300, [](uint64_t seed) { TcpScenario(seed, sound).run(); });
  EXPECT_TRUE(replays_one_seed() || World::piped_bytes_seen > 0);
}
TEST(SimTcp, relays_under_everything) {
  over_seeds(700, [](uint64_t seed) { TcpScenario(seed, faulty).run(); });
}

}  // namespace
}  // namespace ringside::sim
