// TlsTransport on both ends of a network that cuts, delays and resets: every connection ends once, whole or with a reason.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>

#include "core/dialer.h"
#include "core/listener.h"
#include "core/tcp_transport.h"
#include "tests/sim/sim_world.h"
#include "tests/tls/test_certificates.h"
#include "tls/tls_transport.h"

namespace ringside::testing {
namespace {

using sim::World;

struct Contexts {
  TlsContextPtr server, client;
};

// The simulated clock shows another day than the one on which the certificates are made.
Contexts& contexts() {
  static Contexts made = [] {
    const TestCertificate authority = TestCertificate::authority("Simulated authority");
    TlsServerSpec server;
    server.common.certificates.push_back(authority.issue({.key = TestKey::p256}).spec());
    TlsClientSpec client;
    client.common.validation.trusted_ca_pem = authority.pem();
    client.common.validation.allow_expired = true;
    return Contexts{*TlsContext::make_server(std::move(server)), *TlsContext::make_client(std::move(client))};
  }();
  return made;
}

// Sends back what it receives, on credit, and ends when its client has.
class TlsEcho final : public Retired, private TransportUser {
 public:
  TlsEcho(Worker& worker, int fd, size_t credit_bytes, size_t* live)
      : worker_(worker), live_(live), transport_(worker, contexts().server, TcpTransport::make(worker, fd)) {
    ++*live_;
    transport_.start(*this, credit_bytes);
  }
  ~TlsEcho() override { --*live_; }

 private:
  void on_bytes(Slice bytes) override {
    held_ += bytes.size();
    transport_.send(std::move(bytes));
  }
  void on_end() override {
    EXPECT_FALSE(ended_);
    ended_ = true;
    transport_.finish();
    if (held_ == 0) transport_.close({});
  }
  void on_sent(size_t bytes) override {
    ASSERT_GE(held_, bytes);
    held_ -= bytes;
    transport_.grant(bytes);
    if (ended_ && held_ == 0) transport_.close({});
  }
  void on_closed(Error) override {
    EXPECT_FALSE(closed_);
    closed_ = true;
    worker_.retire(*this);
  }
  Worker& worker_;
  size_t* live_;
  size_t held_ = 0;
  bool ended_ = false, closed_ = false;
  TlsTransport transport_;
};

class TlsEchoServer final : private ListenerUser {
 public:
  TlsEchoServer(World& world, int fd, size_t credit_bytes) : world_(world), credit_bytes_(credit_bytes), listener_(world.worker, *this, fd) {
    listener_.start();
  }
  void close() { listener_.close(); }
  bool closed() const { return closed_; }
  size_t live() const { return live_; }

 private:
  void on_accept(int fd) override { new TlsEcho(world_.worker, fd, credit_bytes_, &live_); }  // retires itself
  void on_accept_paused(bool) override {}
  void on_listener_closed() override { closed_ = true; }
  World& world_;
  size_t credit_bytes_;
  size_t live_ = 0;
  bool closed_ = false;
  Listener listener_;
};

// Sends its text in pieces and wants it back.
class TlsEchoClient final : private DialerUser, private TransportUser {
 public:
  TlsEchoClient(World& world, uint64_t id, size_t size)
      : world_(world), id_(id), text_(sim::pattern_text(id, size)), dialer_(world.worker, *this) {}
  void dial(const Address& address) { dialer_.dial(address, seconds(30)); }
  bool over() const { return over_; }
  bool whole() const { return ended_ && received_ == text_.size(); }
  // The network goes on without this one.
  void give_up() {
    if (transport_ != nullptr) transport_->close({ErrorCode::timed_out, Origin::local, Retry::never, "given up"});
  }

 private:
  void on_connected(int fd) override {
    transport_ = std::make_unique<TlsTransport>(world_.worker, contexts().client, TcpTransport::make(world_.worker, fd));
    transport_->start(*this, world_.network.random().between(1, 200'000));
    send_some();
  }
  void on_connect_failed(Error) override { over_ = true; }
  void send_some() {
    while (sent_ < text_.size() && transport_->unsent_bytes() < 100'000) {
      const size_t size = std::min<size_t>(text_.size() - sent_, world_.network.random().between(1, 40'000));
      transport_->send(Slice::of_static(std::string_view(text_).substr(sent_, size)));
      sent_ += size;
    }
    if (sent_ == text_.size()) transport_->finish();
  }
  void on_bytes(Slice bytes) override {
    EXPECT_TRUE(sim::matches_pattern(id_, received_, bytes.text()));
    received_ += bytes.size();
    transport_->grant(bytes.size());
  }
  void on_sent(size_t) override { send_some(); }
  void on_end() override {
    EXPECT_EQ(received_, text_.size());  // an end that the server did not say would be a lie
    ended_ = true;
    transport_->close({});
  }
  void on_closed(Error why) override {
    EXPECT_FALSE(over_);
    EXPECT_TRUE(ended_ || why.code != ErrorCode::none);
    over_ = true;
  }
  World& world_;
  const uint64_t id_;
  const std::string text_;
  size_t sent_ = 0, received_ = 0;
  bool over_ = false, ended_ = false;
  std::unique_ptr<TlsTransport> transport_;
  Dialer dialer_;
};

void tls_scenario(uint64_t seed) {
  World world(seed);
  Random& random = world.network.random();
  const bool faulty = random.chance(700'000);
  int error = 0;
  const int fd = *world.ring.listen(*Address::from_ip("10.0.0.1", 443), {}, &error);
  const Address address = world.ring.local_address(fd);
  if (faulty) world.network.faults() = sim::Faults::swarm(random);
  TlsEchoServer server(world, fd, random.between(1, 300'000));
  std::vector<std::unique_ptr<TlsEchoClient>> clients;
  for (uint64_t id = 1 + random.below(4); id > 0; --id) {
    clients.push_back(std::make_unique<TlsEchoClient>(world, id, random.between(1, random.chance(300'000) ? 500'000 : 20'000)));
    clients.back()->dial(address);
  }
  const auto all_over = [&] { return std::ranges::all_of(clients, [](const auto& client) { return client->over(); }); };
  if (faulty) {
    world.run_for(milliseconds(random.below(200)));
    world.network.heal();
    // What a fault took on the way is not resent: whoever waits for it has a time limit of its own.
    world.run_until(all_over, minutes(1));
    for (const auto& client : clients) client->give_up();
  }
  EXPECT_TRUE(world.run_until(all_over, minutes(10)));
  if (!faulty) {
    for (const auto& client : clients) EXPECT_TRUE(client->whole());
  }
  EXPECT_TRUE(world.run_until([&] { return server.live() == 0; }, minutes(10)));
  clients.clear();
  server.close();
  EXPECT_TRUE(world.run_until([&] { return server.closed(); }, seconds(10)));
  world.worker.output().reset();
  world.worker.bulk_output().reset();
  world.expect_nothing_left();
}

TEST(SimTls, echo) { sim::over_seeds(300, tls_scenario); }

}  // namespace
}  // namespace ringside::testing
