// MongoDB through the whole data plane, under everything that networks, kernels and peers do: each message arrives as it was
// sent, and the statistics agree with what the clients and the server counted.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "codecs/mongo/mongo_message.h"
#include "tests/sim/sim_mongo.h"
#include "tests/sim/sim_peer.h"
#include "tests/sim/sim_proxy.h"

namespace ringside::sim {
namespace {

// What all connections of a scenario counted.
struct Tally {
  uint64_t messages = 0, queries = 0, one_way = 0, failed = 0, replies = 0;
};

// Cuts a stream into messages.
class Messages {
 public:
  template <class Visit>
  void take(std::string_view bytes, Visit visit) {
    text_ += bytes;
    size_t at = 0;
    while (text_.size() - at >= mongo::header_bytes) {
      const MongoHeader header = mongo_header_of(text_.data() + at);
      ASSERT_GE(header.length_bytes, 16);
      if (text_.size() - at < static_cast<size_t>(header.length_bytes)) break;
      visit(header, std::string_view(text_).substr(at, static_cast<size_t>(header.length_bytes)));
      at += static_cast<size_t>(header.length_bytes);
    }
    text_.erase(0, at);
  }

 private:
  std::string text_;
};

// Writes in pieces.
class MongoTalker : public Peer {
 public:
  explicit MongoTalker(Network& net) : Peer(net) {}

 protected:
  void say(std::string_view text) {
    text_ += text;
    if (!std::exchange(talking_, true)) say_more();
  }
  bool has_said_all() const { return text_.empty() && unsent_bytes() == 0; }

 private:
  void say_more() {
    if (!open() || text_.empty()) {
      talking_ = false;
      return;
    }
    Random& random = network().random();
    const size_t size = std::min<size_t>(text_.size(), random.between(1, random.chance(300'000) ? 7 : 3000));
    send(std::string_view(text_).substr(0, size));
    text_.erase(0, size);
    later(microseconds(random.below(random.chance(100'000) ? 2000 : 50)), [this] { say_more(); });
  }
  std::string text_;
  bool talking_ = false;
};

class MongoServer final : public MongoTalker {
 public:
  MongoServer(Network& net, SocketPtr socket) : MongoTalker(net) { adopt(std::move(socket)); }

 private:
  void on_bytes(std::string_view bytes) override {
    messages_.take(bytes, [this](const MongoHeader& header, std::string_view message) { answer(header, message); });
  }
  void answer(const MongoHeader& header, std::string_view message) {
    const bool one_way = header.opcode() == MongoOpcode::msg && (message[16] & 2) != 0;
    if (one_way) return;
    const BsonText body = message.find("fails") != message.npos ? BsonText().number("ok", 0).number("code", 26).text("errmsg", "no")
                                                                : BsonText().text("pad", std::string(network().random().below(5000), 'p')).number("ok", 1);
    const int32_t id = header.request_id + 1'000'000;
    say(header.opcode() == MongoOpcode::query ? op_reply(id, header.request_id, 0, body) : op_msg(id, header.request_id, body));
  }
  void on_end() override { end_soon(); }
  void end_soon() {
    if (!open()) return;
    if (!has_said_all()) return later(milliseconds(1), [this] { end_soon(); });
    finish();
  }
  Messages messages_;
};

class MongoClient final : public MongoTalker {
 public:
  MongoClient(Network& net, Tally& tally, int32_t first_id, uint32_t breaks_off)
      : MongoTalker(net), tally_(tally), next_id_(first_id), breaks_off_(breaks_off) {}
  void give_up() {
    over_ = true;
    close();
  }
  bool over() const { return over_; }
  bool complete() const { return waiting_.empty() && left_ == 0; }

 private:
  void on_connected() override {
    left_ = static_cast<uint32_t>(network().random().between(1, 30));
    ask();
  }
  // One request, or several behind each other.
  void ask() {
    Random& random = network().random();
    if (breaks_off_ != 0 && random.chance(breaks_off_)) {
      random.chance(500'000) ? reset() : close();
      over_ = true;
      return;
    }
    for (uint64_t count = random.chance(300'000) ? random.between(2, 8) : 1; count > 0 && left_ > 0; --count, --left_) say(request());
    if (waiting_.empty() && left_ > 0) return later(Duration::zero(), [this] { ask(); });
    end_if_done();
  }
  std::string request() {
    Random& random = network().random();
    const int32_t id = next_id_++;
    if (random.chance(150'000)) {
      ++tally_.messages, ++tally_.one_way;
      return op_msg(id, 0, command_of("insert", "fish").text("pad", std::string(random.below(20'000), 'x')), 2);
    }
    waiting_.insert(id);
    if (random.chance(200'000)) {
      ++tally_.queries;
      return op_query(id, "shop.birds", BsonText().number("_id", 5));
    }
    ++tally_.messages;
    const bool fails = random.chance(200'000);
    if (fails) ++tally_.failed;
    return op_msg(id, 0, command_of("find", fails ? "fails" : "fish").text("pad", std::string(random.below(2000), 'x')));
  }
  void on_bytes(std::string_view bytes) override {
    messages_.take(bytes, [this](const MongoHeader& header, std::string_view) {
      EXPECT_EQ(waiting_.erase(header.response_to), 1u) << "a reply for " << header.response_to;
      EXPECT_EQ(header.request_id, header.response_to + 1'000'000);
      ++tally_.replies;
    });
    if (waiting_.empty() && left_ > 0) ask();
    end_if_done();
  }
  void end_if_done() {
    if (!open() || !complete() || finished_) return;
    if (!has_said_all()) return later(milliseconds(1), [this] { end_if_done(); });
    finished_ = true;
    finish();
  }
  void on_end() override { give_up(); }
  void on_failed(int) override { over_ = true; }

  Tally& tally_;
  Messages messages_;
  std::set<int32_t> waiting_;
  int32_t next_id_;
  uint32_t left_ = 0;
  const uint32_t breaks_off_;
  bool finished_ = false;
  bool over_ = false;
};

class MongoScenario {
 public:
  enum class Surroundings : uint8_t { sound, faulty };
  MongoScenario(uint64_t seed, Surroundings surroundings)
      : proxy_(seed), random_(proxy_.random), faulty_(surroundings == Surroundings::faulty) {}
  void run();

 private:
  Specs make_specs();
  void start_peers();
  void check();
  int64_t stat(const std::string& name) { return proxy_.registry->value("mongo.m." + name).value_or(-1); }

  ProxyWorld proxy_;
  Random& random_;
  bool faulty_;
  Address origin_ = *Address::from_ip("10.2.0.1", 27017);
  ListeningSocketPtr listener_;
  Tally tally_;
  std::vector<std::unique_ptr<MongoClient>> clients_;
  std::vector<std::unique_ptr<MongoServer>> servers_;
};

Specs MongoScenario::make_specs() {
  auto mongo = std::make_shared<MongoSpec>();
  mongo->stat_prefix = "m";
  mongo->commands = {"insert"};
  if (random_.chance(400'000)) mongo->access_log = proxy_.log_path();
  if (random_.chance(400'000)) {
    mongo->delay = milliseconds(random_.between(1, 40));
    mongo->delay_part = {.numerator = static_cast<uint32_t>(random_.between(1, 100))};
  }
  auto relay = std::make_shared<TcpProxySpec>();
  relay->stat_prefix = "sim";
  relay->cluster = "origin";
  relay->idle_timeout = faulty_ ? Duration(milliseconds(random_.between(500, 3000))) : Duration(minutes(2));
  relay->mongo = mongo;
  ListenerSpec listener;
  listener.name = "sim";
  listener.address = *Address::from_ip("10.0.0.1", 80);
  if (random_.chance(500'000)) listener.connection_buffer_bytes_max = static_cast<uint32_t>(random_.between(1, 100'000));
  listener.chains.emplace_back().tcp = relay;
  ClusterSpec cluster;
  cluster.name = "origin";
  EndpointSpec endpoint;
  endpoint.address = origin_;
  cluster.endpoints.push_back(std::move(endpoint));
  if (random_.chance(500'000)) cluster.connection_buffer_bytes_max = static_cast<uint32_t>(random_.between(1, 100'000));
  Specs specs;
  specs.listeners.push_back(std::move(listener));
  specs.clusters.push_back(std::move(cluster));
  return specs;
}

void MongoScenario::start_peers() {
  Network& network = proxy_.world.network;
  listener_ = network.listen(origin_, false);
  listener_->on_pending = [this, &network] {
    network.after(Duration::zero(), [this, &network] {
      while (!listener_->pending.empty()) {
        servers_.push_back(std::make_unique<MongoServer>(network, listener_->pending.front()));
        listener_->pending.pop_front();
      }
    });
  };
  const uint64_t count = random_.between(1, 8);
  for (uint64_t at = 0; at < count; ++at) {
    const uint32_t breaks_off = faulty_ && random_.chance(200'000) ? 100'000 : 0;
    clients_.push_back(std::make_unique<MongoClient>(network, tally_, static_cast<int32_t>(at * 1000 + 1), breaks_off));
    MongoClient* client = clients_.back().get();
    network.after(microseconds(random_.below(5000)), [client] { client->connect(*Address::from_ip("10.0.0.1", 80)); });
    network.after(seconds(20), [client] {
      if (!client->over()) client->give_up();
    });
  }
}

void MongoScenario::check() {
  EXPECT_EQ(stat("op_query_active"), 0);
  EXPECT_EQ(stat("decoding_error"), 0);
  EXPECT_EQ(stat("reply_unexpected"), 0);
  if (faulty_) return;
  for (const auto& client : clients_) EXPECT_TRUE(client->complete());
  EXPECT_EQ(stat("op_msg"), static_cast<int64_t>(tally_.messages));
  EXPECT_EQ(stat("op_query"), static_cast<int64_t>(tally_.queries));
  EXPECT_EQ(stat("op_msg_reply") + stat("op_reply"), static_cast<int64_t>(tally_.replies));
  EXPECT_EQ(stat("unacknowledged_write"), static_cast<int64_t>(tally_.one_way));
  EXPECT_EQ(stat("cmd.insert.total"), static_cast<int64_t>(tally_.one_way));
  EXPECT_EQ(stat("command_error"), static_cast<int64_t>(tally_.failed));
  EXPECT_EQ(stat("cx_destroy_local_with_active_rq") + stat("cx_destroy_remote_with_active_rq"), 0);
  const size_t lines = proxy_.log_lines().size();
  EXPECT_TRUE(lines == 0 || lines == tally_.messages + tally_.queries) << lines;
}

void MongoScenario::run() {
  World& world = proxy_.world;
  proxy_.start(make_specs());
  start_peers();
  if (faulty_) world.network.faults() = Faults::swarm(random_);
  if (faulty_) {
    world.run_for(milliseconds(random_.below(100)));
    world.network.heal();
  }
  const auto all_over = [&] { return std::ranges::all_of(clients_, [](const auto& client) { return client->over(); }); };
  EXPECT_TRUE(world.run_until(all_over, minutes(1)));
  EXPECT_TRUE(world.run_until([&] { return proxy_.shard->connections() == 0; }, minutes(3)));
  servers_.clear();
  proxy_.expect_quiet();
  const auto registry_view = [&] { check(); };
  proxy_.stop();
  registry_view();
}

using enum MongoScenario::Surroundings;
TEST(SimMongo, counts_what_passes) {
  over_seeds(200, [](uint64_t seed) { MongoScenario(seed, sound).run(); });
}
TEST(SimMongo, survives_everything) {
  over_seeds(300, [](uint64_t seed) { MongoScenario(seed, faulty).run(); });
}

}  // namespace
}  // namespace ringside::sim
