// Upgraded connections, listener to upstream, under everything that networks, kernels, clients and origins do: bytes in order and
// never of another connection, ends carried through, and whenever it breaks, whatever counts what is going on back at zero.
#include <gtest/gtest.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <map>

#include "codecs/websocket/ws_handshake.h"
#include "tests/sim/sim_proxy.h"
#include "tests/sim/sim_talker.h"

namespace ringside::sim {
namespace {

constexpr std::string_view client_key = "dGhlIHNhbXBsZSBub25jZQ==";

// What the origin does with a request to switch.
enum class Answer : uint8_t { agrees, refuses, other_protocol, dies_before, dies_behind };

// What one upgraded connection shall carry, and what arrived.
struct UpgradePlan {
  uint64_t id = 0;
  bool websocket = true;      // else a protocol without keys
  size_t up_bytes = 0;        // from the client, behind its head
  size_t down_bytes = 0;      // from the origin, behind its own
  bool client_waits = false;  // for the 101; else its bytes follow the head at once
  bool server_waits = false;  // for the client's end
  Answer answer = Answer::agrees;
  Duration think{};
  uint32_t client_breaks_off = 0;
  uint32_t server_breaks_off = 0;

  int status = 0;  // that the client heard
  size_t up_arrived = 0;
  size_t down_arrived = 0;
  bool up_ended = false;    // FIN arrived at the origin
  bool down_ended = false;  // FIN arrived at the client
  bool broken = false;      // reset, or somebody broke off
  bool over = false;

  bool benign() const { return answer == Answer::agrees && client_breaks_off == 0 && server_breaks_off == 0; }
  uint64_t up_pattern() const { return 2 * id; }
  uint64_t down_pattern() const { return 2 * id + 1; }
  std::string protocol() const { return websocket ? "websocket" : "chat"; }
  std::string request() const {
    std::string text = "GET /r/" + std::to_string(id) + " HTTP/1.1\r\nhost: sim\r\nx-id: " + std::to_string(id) +
                       "\r\nconnection: upgrade\r\nupgrade: " + protocol() + "\r\n";
    if (websocket) text += "sec-websocket-version: 13\r\nsec-websocket-key: " + std::string(client_key) + "\r\n";
    return text + "\r\n";
  }
};

// Takes the head off what arrived. False: there is more to come.
bool take_head(std::string* arrived, std::string* head) {
  const size_t end = arrived->find("\r\n\r\n");
  if (end == std::string::npos) return false;
  *head = arrived->substr(0, end + 4);
  arrived->erase(0, end + 4);
  return true;
}

std::string field_of(const std::string& head, const std::string& name) {
  const size_t at = head.find("\r\n" + name + ": ");
  if (at == std::string::npos) return {};
  const size_t begin = at + name.size() + 4;
  return head.substr(begin, head.find("\r\n", begin) - begin);
}

class UpgradeClient final : public Talker {
 public:
  UpgradeClient(Network& net, UpgradePlan& plan) : Talker(net), plan_(plan) {}
  void give_up() {
    if (plan_.over) return;
    on_broke_off();
    close();
  }

 private:
  void on_connected() override {
    const std::string body = pattern_text(plan_.up_pattern(), plan_.up_bytes);
    if (plan_.client_waits) return send(plan_.request());
    talk(plan_.request() + body, plan_.client_breaks_off);
  }
  void on_bytes(std::string_view bytes) override {
    if (plan_.status == 101) return on_tunnel_bytes(bytes);
    if (plan_.status != 0) return;  // a body
    arrived_ += bytes;
    std::string head;
    if (!take_head(&arrived_, &head)) return;
    std::from_chars(head.data() + std::min<size_t>(9, head.size()), head.data() + head.size(), plan_.status);
    if (plan_.status != 101) return;
    EXPECT_EQ(field_of(head, "upgrade"), plan_.protocol()) << "connection " << plan_.id;
    if (plan_.websocket) {
      EXPECT_EQ(field_of(head, "sec-websocket-accept"), ws_accept_of(client_key).text()) << "connection " << plan_.id;
    }
    if (plan_.client_waits) talk(pattern_text(plan_.up_pattern(), plan_.up_bytes), plan_.client_breaks_off);
    on_tunnel_bytes(arrived_);
  }
  void on_tunnel_bytes(std::string_view bytes) {
    EXPECT_TRUE(matches_pattern(plan_.down_pattern(), plan_.down_arrived, bytes)) << "connection " << plan_.id;
    plan_.down_arrived += bytes.size();
  }
  void on_end() override {
    plan_.down_ended = true;
    if (!open()) return;
    // Behind a 101 a FIN may be a half-close: the rest is said before the connection goes.
    if (plan_.status == 101 && !has_said_all()) return later(milliseconds(1), [this] { on_end(); });
    plan_.over = true;
    close();
  }
  void on_failed(int) override { plan_.broken = plan_.over = true; }
  void on_broke_off() override { plan_.broken = plan_.over = true; }
  UpgradePlan& plan_;
  std::string arrived_;
};

class UpgradeServer final : public Talker {
 public:
  UpgradeServer(Network& net, std::vector<UpgradePlan>& plans, SocketPtr socket) : Talker(net), plans_(plans) {
    adopt(std::move(socket));
  }

 private:
  void on_bytes(std::string_view bytes) override {
    if (plan_ != nullptr) return on_tunnel_bytes(bytes);
    arrived_ += bytes;
    std::string head;
    if (!take_head(&arrived_, &head)) return;
    const std::string id = field_of(head, "x-id");
    uint64_t number = 0;
    std::from_chars(id.data(), id.data() + id.size(), number);
    ASSERT_TRUE(number >= 1 && number <= plans_.size()) << head;
    UpgradePlan& plan = plans_[number - 1];
    EXPECT_EQ(field_of(head, "upgrade"), plan.protocol());
    EXPECT_EQ(is_ws_key(field_of(head, "sec-websocket-key")), plan.websocket) << head;
    if (plan.answer == Answer::refuses) return later(plan.think, [this] { send("HTTP/1.1 403 No\r\ncontent-length: 2\r\n\r\nno"); });
    plan_ = &plan;
    if (plan.answer == Answer::dies_before) return later(plan.think, [this] { die(); });
    later(plan.think, [this, head] { agree(head); });
    EXPECT_EQ(arrived_, "") << "bytes before the 101";
  }
  void agree(const std::string& head) {
    std::string text = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: ";
    text += (plan_->answer == Answer::other_protocol ? "other" : plan_->protocol()) + "\r\n";
    if (plan_->websocket) text += "sec-websocket-accept: " + std::string(ws_accept_of(field_of(head, "sec-websocket-key")).text()) + "\r\n";
    text += "\r\n";
    agreed_ = true;
    if (plan_->answer == Answer::dies_behind) {
      send(text);
      return die();
    }
    if (!plan_->server_waits) return talk(text + pattern_text(plan_->down_pattern(), plan_->down_bytes), plan_->server_breaks_off);
    send(text);
    if (plan_->up_ended) answer();
  }
  void die() {
    if (!open()) return;
    on_broke_off();
    network().random().chance(500'000) ? reset() : close();
  }
  void on_tunnel_bytes(std::string_view bytes) {
    EXPECT_TRUE(agreed_) << "bytes before the 101, connection " << plan_->id;
    EXPECT_TRUE(matches_pattern(plan_->up_pattern(), plan_->up_arrived, bytes)) << "connection " << plan_->id;
    plan_->up_arrived += bytes.size();
  }
  void on_end() override {
    if (plan_ == nullptr) return close();
    plan_->up_ended = true;
    if (plan_->server_waits && agreed_) answer();
  }
  void answer() { talk(pattern_text(plan_->down_pattern(), plan_->down_bytes), plan_->server_breaks_off); }
  void on_failed(int) override {
    if (plan_ != nullptr) plan_->broken = true;
  }
  void on_broke_off() override { plan_->broken = true; }
  std::vector<UpgradePlan>& plans_;
  std::string arrived_;
  UpgradePlan* plan_ = nullptr;
  bool agreed_ = false;
};

class UpgradeScenario {
 public:
  enum class Surroundings : uint8_t { sound, unruly, faulty };
  // Every third goes by HTTP/2 once, every third twice: then each pair of protocols is there.
  UpgradeScenario(uint64_t seed, Surroundings surroundings)
      : proxy_(seed), random_(proxy_.random), surroundings_(surroundings), hops_(seed % 3) {}
  void run();

 private:
  Specs make_specs();
  void allow_upgrades(Specs& specs);
  void make_plans();
  void start_server();
  void start_clients();
  void shut_down_amidst();
  void check();
  void check_log();
  void describe();
  bool all_over() const {
    return std::ranges::all_of(plans_, [](const UpgradePlan& plan) { return plan.over; });
  }
  bool sound() const { return surroundings_ == Surroundings::sound; }

  ProxyWorld proxy_;
  Random& random_;
  Surroundings surroundings_;
  uint64_t hops_;
  bool shuts_down_ = !sound() && random_.chance(300'000);
  bool logs_ = random_.chance(600'000);
  Address origin_ = *Address::from_ip("10.2.0.1", 8080);
  ListeningSocketPtr listener_;
  std::vector<UpgradePlan> plans_;
  std::vector<std::unique_ptr<UpgradeClient>> clients_;
  std::vector<std::unique_ptr<UpgradeServer>> servers_;
};

// What the seeds differ in is there already; an upgraded connection in sound surroundings has all the time that it needs.
Specs UpgradeScenario::make_specs() {
  Specs specs = random_http_specs(random_, {origin_}, proxy_.log_path());
  for (uint64_t hop = 0; hop < hops_; ++hop) add_http2_hop(random_, specs);
  allow_upgrades(specs);
  return specs;
}

void UpgradeScenario::allow_upgrades(Specs& specs) {
  for (ListenerSpec& listener : specs.listeners) {
    auto manager = std::make_shared<HttpManagerSpec>(*listener.chains[0].http);
    manager->upgrades = {{.type = "websocket"}, {.type = "chat"}};
    manager->http2.allow_connect = sound() || !random_.chance(50'000);
    if (!logs_) manager->access_logs.clear();
    else if (!manager->access_logs.empty()) manager->access_logs[0].format = "%REQ(X-ID)% %RESPONSE_CODE% %BYTES_RECEIVED% %BYTES_SENT% %RESPONSE_FLAGS%\n";
    RouteSpec& route = manager->routes.virtual_hosts[0].routes[0];
    if (sound()) {
      manager->stream_idle_timeout = manager->protocol.idle_timeout = minutes(1);
      manager->request_headers_timeout = manager->request_timeout = Duration::zero();
      manager->protocol.stream_duration_max = manager->protocol.connection_duration_max = Duration::zero();
      manager->protocol.requests_per_connection_max = 0;
      manager->delayed_close_timeout = seconds(10);
      route.timeout = Duration::zero();
    }
    listener.chains[0].http = manager;
  }
  for (ClusterSpec& cluster : specs.clusters) {
    cluster.http2.allow_connect = sound() || !random_.chance(50'000);
    if (!sound()) continue;
    cluster.thresholds = {};
    cluster.connect_timeout = seconds(10);
  }
}

void UpgradeScenario::make_plans() {
  plans_.resize(random_.between(1, 12));
  for (size_t at = 0; at < plans_.size(); ++at) {
    UpgradePlan& plan = plans_[at];
    plan.id = at + 1;
    plan.websocket = random_.chance(700'000);
    plan.up_bytes = random_.chance(200'000) ? 0 : random_.below(random_.chance(200'000) ? 400'000 : 10'000);
    plan.down_bytes = random_.chance(200'000) ? 0 : random_.below(random_.chance(200'000) ? 400'000 : 10'000);
    plan.client_waits = random_.chance(500'000);
    plan.server_waits = random_.chance(300'000);
    if (random_.chance(300'000)) plan.think = microseconds(random_.below(10'000));
    if (random_.chance(100'000)) plan.answer = random_.chance(500'000) ? Answer::refuses : Answer::other_protocol;
    if (sound()) continue;
    if (random_.chance(150'000)) plan.answer = random_.chance(300'000) ? Answer::dies_before : Answer::dies_behind;
    if (random_.chance(150'000)) plan.client_breaks_off = 100'000;
    if (random_.chance(150'000)) plan.server_breaks_off = 100'000;
  }
}

void UpgradeScenario::start_server() {
  Network& network = proxy_.world.network;
  listener_ = network.listen(origin_, false);
  listener_->on_pending = [this, &network] {
    network.after(Duration::zero(), [this, &network] {  // not from inside the network's own call
      while (!listener_->pending.empty()) {
        servers_.push_back(std::make_unique<UpgradeServer>(network, plans_, listener_->pending.front()));
        listener_->pending.pop_front();
        if (random_.chance(200'000))
          servers_.back()->read_slowly(random_.between(500, 20'000), microseconds(random_.between(1, 2000)));
      }
    });
  };
}

void UpgradeScenario::start_clients() {
  Network& network = proxy_.world.network;
  for (UpgradePlan& plan : plans_) {
    clients_.push_back(std::make_unique<UpgradeClient>(network, plan));
    UpgradeClient* client = clients_.back().get();
    if (random_.chance(200'000)) client->read_slowly(random_.between(500, 20'000), microseconds(random_.between(1, 2000)));
    network.after(microseconds(random_.below(10'000)), [client] { client->connect(*Address::from_ip("10.0.0.1", 80)); });
    network.after(seconds(10), [client] {
      if (!client->connected()) client->give_up();  // nobody answered
    });
  }
}

// Between any two turns: also between the 101 and the tunnel, which begins with the next one.
void UpgradeScenario::shut_down_amidst() {
  for (uint64_t turns = random_.below(400); turns > 0; --turns) proxy_.world.worker.turn(milliseconds(1));
  if (random_.chance(500'000)) proxy_.shard->drain();
  else proxy_.shard->close_all();
}

void UpgradeScenario::check() {
  for (const UpgradePlan& plan : plans_) {
    EXPECT_LE(plan.up_arrived, plan.up_bytes) << "connection " << plan.id;
    EXPECT_LE(plan.down_arrived, plan.down_bytes) << "connection " << plan.id;
    if (plan.answer == Answer::refuses || plan.answer == Answer::other_protocol || plan.answer == Answer::dies_before) {
      EXPECT_NE(plan.status, 101) << "connection " << plan.id;
    }
    if (!sound()) continue;
    // An answer to one who goes on talking may be lost behind the reset that this earns.
    if (plan.answer == Answer::refuses) {
      EXPECT_TRUE(plan.status == 403 || (plan.status == 0 && !plan.client_waits)) << "connection " << plan.id << " " << plan.status;
    } else if (plan.answer == Answer::other_protocol) {
      EXPECT_TRUE(plan.status == 502 || (plan.status == 0 && !plan.client_waits)) << "connection " << plan.id << " " << plan.status;
    }
    if (!plan.benign()) continue;
    EXPECT_EQ(plan.status, 101) << "connection " << plan.id;
    EXPECT_FALSE(plan.broken) << "connection " << plan.id;
    EXPECT_TRUE(plan.up_ended && plan.down_ended) << "connection " << plan.id;
    EXPECT_EQ(plan.up_arrived, plan.up_bytes) << "connection " << plan.id;
    EXPECT_EQ(plan.down_arrived, plan.down_bytes) << "connection " << plan.id;
  }
}

// A line for each, with the bytes of the tunnel.
void UpgradeScenario::check_log() {
  std::map<uint64_t, std::string> lines;
  for (const std::string& line : proxy_.log_lines()) {
    uint64_t id = 0;
    std::from_chars(line.data(), line.data() + line.size(), id);
    if (id == 0) continue;  // a head that did not come
    EXPECT_TRUE(lines.emplace(id, line).second) << "a second line: " << line;
  }
  for (const UpgradePlan& plan : plans_) {
    if (logs_ && plan.status != 0) {
      EXPECT_TRUE(lines.contains(plan.id)) << "connection " << plan.id;
    }
    if (!logs_ || !sound() || !plan.benign()) continue;
    char expected[96];
    std::snprintf(expected, sizeof expected, "%llu 101 %zu %zu -", static_cast<unsigned long long>(plan.id), plan.up_bytes,
                  plan.down_bytes);
    EXPECT_EQ(lines[plan.id], expected);
  }
}

// What a reader of a failure wants to know first.
void UpgradeScenario::describe() {
  std::fprintf(stderr, "  %llu hops%s%s\n", static_cast<unsigned long long>(hops_), logs_ ? ", logged" : "",
               shuts_down_ ? ", shut down" : "");
  for (const UpgradePlan& plan : plans_) {
    std::fprintf(stderr, "  %2llu %-9s up %6zu of %6zu%s down %6zu of %6zu%s%s%s answer %d breaks %u/%u: %d%s%s\n",
                 static_cast<unsigned long long>(plan.id), plan.protocol().c_str(), plan.up_arrived, plan.up_bytes,
                 plan.up_ended ? " FIN" : "", plan.down_arrived, plan.down_bytes, plan.down_ended ? " FIN" : "",
                 plan.client_waits ? " client waits" : "", plan.server_waits ? " server waits" : "", static_cast<int>(plan.answer),
                 plan.client_breaks_off, plan.server_breaks_off, plan.status, plan.broken ? " broken" : "", plan.over ? "" : " open");
  }
  for (const std::string& line : proxy_.log_lines()) std::fprintf(stderr, "  log: %s\n", line.c_str());
}

void UpgradeScenario::run() {
  World& world = proxy_.world;
  start_server();
  make_plans();
  proxy_.start(make_specs());
  const bool faulty = surroundings_ == Surroundings::faulty;
  if (faulty) world.network.faults() = Faults::swarm(random_);
  start_clients();
  if (shuts_down_) shut_down_amidst();
  if (faulty) {
    if (!shuts_down_) world.run_for(milliseconds(random_.below(100)));
    world.network.heal();
  }
  EXPECT_TRUE(world.run_until([&] { return all_over(); }, minutes(2)));
  for (const auto& client : clients_) client->give_up();
  EXPECT_TRUE(world.run_until([&] { return proxy_.shard->connections() == 0 && proxy_.shard->exchanges_live() == 0; }, minutes(3)));
  // What a server that reads slowly has in its socket is its own.
  if (sound()) world.run_until([&] { return std::ranges::all_of(plans_, [](const UpgradePlan& plan) { return !plan.benign() || plan.up_ended; }); }, seconds(10));
  servers_.clear();  // one that reads slowly ticks as long as it has a socket
  world.run_for(seconds(1));
  proxy_.expect_quiet();
  proxy_.stop();
  check();
  check_log();
  if (::testing::Test::HasFailure()) describe();
}

using enum UpgradeScenario::Surroundings;
TEST(SimUpgrade, all_bytes_arrive_on_a_good_network) {
  World::piped_bytes_seen = 0;
  over_seeds(300, [](uint64_t seed) { UpgradeScenario(seed, UpgradeScenario::Surroundings::sound).run(); });
  EXPECT_TRUE(replays_one_seed() || World::piped_bytes_seen > 0);
}
TEST(SimUpgrade, unruly_clients_and_origins) {
  over_seeds(400, [](uint64_t seed) { UpgradeScenario(seed, unruly).run(); });
}
TEST(SimUpgrade, everything_at_once) {
  over_seeds(700, [](uint64_t seed) { UpgradeScenario(seed, faulty).run(); });
}

}  // namespace
}  // namespace ringside::sim
