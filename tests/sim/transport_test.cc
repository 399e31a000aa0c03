// TcpTransport, Listener and Dialer under everything that the network and the kernel may do.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>

#include "core/dialer.h"
#include "core/limits.h"
#include "core/listener.h"
#include "core/tcp_transport.h"
#include "tests/sim/sim_peer.h"
#include "tests/sim/sim_world.h"

namespace ringside::sim {
namespace {

// Sends back what it receives, on credit, and ends when its client has.
class Echo final : public Retired, private TransportUser {
 public:
  Echo(World& world, int fd, size_t credit_bytes, size_t* live)
      : worker_(world.worker),
        credit_(static_cast<int64_t>(credit_bytes)),
        on_time_(world.network.faults().late_completion + world.network.faults().stall == 0),
        live_(live),
        transport_(worker_, fd) {
    ++*live_;
    transport_.start(*this, credit_bytes);
  }
  ~Echo() override { --*live_; }

 private:
  void on_bytes(Slice bytes) override {
    held_ += static_cast<int64_t>(bytes.size());
    // One receive may bring a block more than its credit. What a multishot took while the worker was late is not counted.
    if (on_time_) {
      EXPECT_LE(held_, credit_ + static_cast<int64_t>(limits::large_block_bytes + limits::multishot_held_bytes_max));
    }
    transport_.send(std::move(bytes));
  }
  void on_end() override {
    EXPECT_FALSE(ended_);
    ended_ = true;
    transport_.finish();
    if (held_ == 0) transport_.close({});
  }
  void on_sent(size_t bytes) override {
    held_ -= static_cast<int64_t>(bytes);
    EXPECT_GE(held_, 0);
    transport_.grant(bytes);
    // Everything is with the kernel: it ends the connection in order.
    if (ended_ && held_ == 0) transport_.close({});
  }
  void on_closed(Error) override {
    EXPECT_FALSE(closed_);
    closed_ = true;
    worker_.retire(*this);
  }
  Worker& worker_;
  int64_t credit_;
  int64_t held_ = 0;
  bool on_time_;
  size_t* live_;
  bool ended_ = false;
  bool closed_ = false;
  TcpTransport transport_;
};

class EchoServer final : private ListenerUser {
 public:
  EchoServer(World& world, int fd, size_t credit_bytes)
      : world_(world), credit_bytes_(credit_bytes), listener_(world.worker, *this, fd) {
    listener_.start();
  }
  void close() { listener_.close(); }
  bool closed() const { return closed_; }
  size_t live() const { return live_; }

 private:
  void on_accept(int fd) override { new Echo(world_, fd, credit_bytes_, &live_); }  // retires itself
  void on_accept_paused(bool) override {}
  void on_listener_closed() override { closed_ = true; }
  World& world_;
  size_t credit_bytes_;
  size_t live_ = 0;
  bool closed_ = false;
  Listener listener_;
};

// Sends its text in pieces and wants it back.
class EchoClient final : public Peer {
 public:
  EchoClient(Network& net, uint64_t id, size_t size) : Peer(net), id_(id), text_(pattern_text(id, size)) {}
  bool over() const { return over_; }
  bool whole() const { return received_ == text_.size() && ended_; }
  bool impatient = false;  // breaks off in the middle

 private:
  void on_connected() override { send_some(); }
  void send_some() {
    if (over_) return;
    Random& random = network().random();
    if (impatient && sent_ > 0 && random.chance(100'000)) {
      over_ = true;
      return random.chance(500'000) ? reset() : close();
    }
    const size_t size = std::min<size_t>(text_.size() - sent_, random.between(1, random.chance(500'000) ? 100 : 60'000));
    send(std::string_view(text_).substr(sent_, size));
    sent_ += size;
    if (sent_ == text_.size()) return finish();
    later(microseconds(random.below(random.chance(200'000) ? 20'000 : 200)), [this] { send_some(); });
  }
  void on_bytes(std::string_view bytes) override {
    EXPECT_TRUE(matches_pattern(id_, received_, bytes)) << "client " << id_ << " at " << received_;
    received_ += bytes.size();
    EXPECT_LE(received_, sent_);
  }
  void on_end() override {
    ended_ = over_ = true;
    close();
  }
  void on_failed(int) override { over_ = true; }

  uint64_t id_;
  std::string text_;
  size_t sent_ = 0;
  size_t received_ = 0;
  bool ended_ = false;
  bool over_ = false;
};

std::vector<std::unique_ptr<EchoClient>> make_clients(World& world, const Address& address) {
  Random& random = world.network.random();
  std::vector<std::unique_ptr<EchoClient>> clients;
  for (uint64_t id = 1 + random.below(8); id > 0; --id) {
    const size_t size = random.between(1, random.chance(300'000) ? 1'000'000 : 30'000);
    clients.push_back(std::make_unique<EchoClient>(world.network, id, size));
    EchoClient& client = *clients.back();
    if (random.chance(300'000)) client.read_slowly(random.between(100, 20'000), microseconds(random.between(1, 3000)));
    client.impatient = random.chance(200'000);
    client.connect(address);
  }
  return clients;
}

bool all_over(const std::vector<std::unique_ptr<EchoClient>>& clients) {
  return std::ranges::all_of(clients, [](const auto& client) { return client->over(); });
}

void echo_scenario(uint64_t seed) {
  World world(seed);
  Random& random = world.network.random();
  const bool faulty = random.chance(800'000);
  int error = 0;
  const int fd = *world.ring.listen(*Address::from_ip("10.0.0.1", 80), {}, &error);
  const Address address = world.ring.local_address(fd);
  if (faulty) world.network.faults() = Faults::swarm(random);
  EchoServer server(world, fd, random.between(1, 300'000));
  std::vector<std::unique_ptr<EchoClient>> clients = make_clients(world, address);
  if (faulty) {
    world.run_for(milliseconds(random.below(200)));
    world.network.heal();
  }
  EXPECT_TRUE(world.run_until([&] { return all_over(clients); }, minutes(10)));
  if (!faulty) {
    for (const auto& client : clients) EXPECT_TRUE(client->impatient || client->whole());
  }
  for (const auto& client : clients) client->close();
  EXPECT_TRUE(world.run_until([&] { return server.live() == 0; }, minutes(10)));
  server.close();
  EXPECT_TRUE(world.run_until([&] { return server.closed(); }, seconds(10)));
  world.expect_nothing_left();
}

TEST(SimTransport, echo) { over_seeds(1500, echo_scenario); }

// --- Dialer --------------------------------------------------------------------------------------------------------------

class Dial final : private DialerUser {
 public:
  explicit Dial(World& world) : world_(world), dialer_(world.worker, *this) {}
  void start(const Address& address, Duration timeout) {
    in_call_ = true;
    dialer_.dial(address, timeout);
    in_call_ = false;
  }
  void cancel() { dialer_.cancel(); }
  int ended = 0;
  bool connected = false;
  Error error{};

 private:
  void on_connected(int fd) override {
    EXPECT_FALSE(in_call_);
    ++ended;
    connected = true;
    world_.ring.close(fd);
  }
  void on_connect_failed(Error why) override {
    EXPECT_FALSE(in_call_);
    ++ended;
    error = why;
  }
  World& world_;
  bool in_call_ = false;
  Dialer dialer_;
};

// Each dial ends exactly once, in time, whatever the network does and whoever gives up.
void dial_scenario(uint64_t seed) {
  World world(seed);
  Random& random = world.network.random();
  const Address good = *Address::from_ip("10.0.0.1", 80), nobody = *Address::from_ip("10.0.0.2", 80);
  const ListeningSocketPtr listener = world.network.listen(good, false);
  world.network.faults() = Faults::swarm(random);
  std::vector<std::unique_ptr<Dial>> dials;
  const Duration timeout = milliseconds(random.between(1, 500));
  const Instant start = world.worker.now();
  for (int count = 0; count < 20; ++count) {
    dials.push_back(std::make_unique<Dial>(world));
    dials.back()->start(random.chance(700'000) ? good : nobody, timeout);
    if (random.chance(200'000)) world.run_for(microseconds(random.below(3000)));
    if (random.chance(200'000)) dials.back()->cancel();
  }
  EXPECT_TRUE(world.run_until([&] { return std::ranges::all_of(dials, [](auto& dial) { return dial->ended > 0; }); }, seconds(10)));
  EXPECT_LE(world.worker.now() - start, timeout + seconds(3));  // stalls of the worker included
  for (const auto& dial : dials) {
    EXPECT_EQ(dial->ended, 1);
    EXPECT_TRUE(dial->connected || dial->error.code != ErrorCode::none);
  }
  world.network.unlisten(listener);
  world.run_for(seconds(1));
  for (const auto& dial : dials) EXPECT_EQ(dial->ended, 1);
  world.expect_nothing_left();
}

TEST(SimTransport, dials_end_once) { over_seeds(500, dial_scenario); }

}  // namespace
}  // namespace ringside::sim
