// The whole proxy, listener to upstream, under everything that networks, kernels, clients and origins do. After each run: each
// request ended exactly once, bytes in equal bytes out, no byte in a stream of another, nothing left over; and once the faults
// heal, everything that is open ends within its timeouts.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <map>

#include "tests/sim/sim_client.h"
#include "tests/sim/sim_origin.h"
#include "tests/sim/sim_proxy.h"

namespace ringside::sim {
namespace {

// How unruly clients and origins are.
enum class Manners : uint8_t { good, bad };
// Whether origins fail some attempts, and the proxy makes several.
enum class Tries : uint8_t { one, several };

constexpr int retries_max = 3;

class HttpScenario {
 public:
  enum class Surroundings : uint8_t { sound, faulty };
  // How often a request comes back to the proxy by HTTP/2 before it goes to an origin: with two, each pair of protocols is there.
  enum class Hops : uint8_t { none, one, two };
  HttpScenario(uint64_t seed, Manners manners, Surroundings surroundings, Tries tries = Tries::one, Hops hops = Hops::none)
      : proxy_(seed),
        random_(proxy_.random),
        manners_(manners),
        faulty_(surroundings == Surroundings::faulty),
        retrying_(tries == Tries::several),
        hops_(static_cast<uint32_t>(hops)) {}
  void run();

 private:
  void start_origins();
  void make_retry_policy(Specs& specs);
  Plan make_plan();
  size_t body_size() { return random_.chance(100'000) ? 0 : random_.between(1, random_.chance(150'000) ? 400'000 : 5000); }
  void make_plans();
  void leave_it_to_the_proxy(Specs& specs);
  void start_clients();
  HttpClient::Habits make_habits();
  void disturb();
  bool all_over() const {
    return started_ == clients_.size() && std::ranges::all_of(clients_, [](const auto& client) { return client->over(); });
  }
  void check_plans();
  void check_log();
  void describe();

  ProxyWorld proxy_;
  Random& random_;
  Manners manners_;
  bool faulty_;
  bool retrying_;
  uint32_t hops_;
  std::vector<Address> addresses_;
  std::vector<std::unique_ptr<Origin>> origins_;
  std::vector<Plan> plans_;
  std::vector<std::unique_ptr<HttpClient>> clients_;
  size_t started_ = 0;
  bool limited_ = false;  // breakers or timeouts may answer in the origin's place
};

void HttpScenario::start_origins() {
  for (uint64_t count = random_.between(1, 3); count > 0; --count) {
    addresses_.push_back(*Address::from_ip("10.2.0." + std::to_string(count), 8080));
    origins_.push_back(std::make_unique<Origin>(proxy_.world.network, addresses_.back(), [this](uint64_t id) {
      return id >= 1 && id <= plans_.size() ? &plans_[id - 1] : nullptr;
    }));
    if (manners_ == Manners::bad) origins_.back()->set_impatient(random_.chance(300'000));
  }
}

Plan HttpScenario::make_plan() {
  Plan plan;
  plan.id = plans_.size() + 1;
  const uint64_t kind = random_.below(10);
  if (kind < 4) {
    plan.method = "POST";
    plan.request_framing = random_.chance(500'000) ? BodyFraming::length : BodyFraming::chunked;
    plan.request_body_bytes = body_size();
    plan.expect_continue = random_.chance(100'000);
  } else if (kind == 4) {
    plan.method = "HEAD";
  }
  plan.close = random_.chance(50'000);
  plan.body_bytes = body_size();
  const uint64_t framing = random_.below(10);
  plan.framing = framing < 5 ? BodyFraming::length : framing < 9 ? BodyFraming::chunked : BodyFraming::until_close;
  const uint64_t status = random_.below(20);
  if (status == 0) plan.status = 204;
  if (status == 1) plan.status = 304;
  if (status == 2) plan.status = 503;
  if (status == 3) plan.status = 404;
  if (plan.status == 204 || plan.status == 304) plan.framing = BodyFraming::length;
  plan.origin_close = random_.chance(50'000);
  plan.interim = random_.chance(50'000);
  if (random_.chance(300'000)) plan.think = microseconds(random_.below(20'000));
  if (retrying_) {
    plan.failures = static_cast<int>(random_.below(retries_max + 1));
    plan.attempts_max = retries_max + 1;
  }
  if (manners_ == Manners::good) return plan;
  // Of a head that is refused nobody knows that it is one of HEAD: its answer has a body.
  plan.malformed = random_.chance(20'000) && plan.method != "HEAD";
  plan.early = random_.chance(100'000);
  plan.garbage = random_.chance(20'000);
  plan.silent = random_.chance(20'000);
  if (!faulty_ && random_.chance(20'000)) {
    plan.junk_after = true;
    plan.framing = BodyFraming::length;
    plan.body_bytes = random_.below(1000);
  }
  if (!plan.junk_after && random_.chance(100'000)) {
    plan.death = random_.chance(300'000) ? Death::before_head : random_.chance(300'000) ? Death::in_head : Death::in_body;
    plan.death_at = random_.below(plan.body_bytes + 1);
    plan.death_by_reset = random_.chance(500'000);
    if (plan.death == Death::in_body && (!plan.has_answer_body() || plan.death_at >= plan.body_bytes)) plan.death = Death::in_head;
  }
  return plan;
}

void HttpScenario::make_plans() {
  const uint64_t count = random_.between(1, 30);
  plans_.reserve(count);
  while (plans_.size() < count) plans_.push_back(make_plan());
}

HttpClient::Habits HttpScenario::make_habits() {
  HttpClient::Habits habits;
  habits.pipelines = random_.chance(200'000);
  habits.dribbles = random_.chance(300'000);
  habits.half_closes = random_.chance(100'000);
  habits.pause_max = random_.chance(500'000) ? Duration::zero() : Duration(microseconds(random_.below(3000)));
  if (manners_ == Manners::bad && random_.chance(200'000)) habits.breaks_off = 100'000;
  return habits;
}

void HttpScenario::start_clients() {
  for (size_t next = 0; next < plans_.size();) {
    std::vector<Plan*> mine;
    for (uint64_t count = random_.between(1, 8); count > 0 && next < plans_.size(); --count) mine.push_back(&plans_[next++]);
    clients_.push_back(std::make_unique<HttpClient>(proxy_.world.network, mine, make_habits()));
  }
  for (const auto& client : clients_) {
    HttpClient* start = client.get();
    if (manners_ == Manners::bad && random_.chance(200'000))
      client->read_slowly(random_.between(100, 20'000), microseconds(random_.between(1, 3000)));
    if (manners_ == Manners::bad && random_.chance(50'000)) {
      // Never reads, and so never learns how it ended: it goes away by itself.
      client->read_slowly(0, milliseconds(1));
      proxy_.world.network.after(seconds(60), [start] { start->abandon(); });
    }
    proxy_.world.network.after(microseconds(random_.below(20'000)), [this, start] {
      ++started_;
      start->connect(*Address::from_ip("10.0.0.1", 80));
    });
    proxy_.world.network.after(seconds(10), [start] {
      if (!start->connected()) start->abandon();  // nobody answered
    });
  }
}

// Origins that vanish and return, endpoints that change, a proxy that drains.
void HttpScenario::disturb() {
  if (manners_ == Manners::good) return;
  Network& network = proxy_.world.network;
  for (const auto& origin : origins_) {
    if (!random_.chance(200'000)) continue;
    const Duration when = microseconds(random_.below(30'000));
    network.after(when, [down = origin.get()] { down->go_down(); });
    network.after(when + microseconds(random_.below(50'000)), [up = origin.get()] { up->come_up(); });
  }
}

void HttpScenario::check_plans() {
  for (const Plan& plan : plans_) {
    EXPECT_NE(plan.outcome, Outcome::pending) << "request " << plan.id;
    EXPECT_LE(plan.seen_at_origin, plan.attempts_max) << "request " << plan.id;
    if (plan.outcome == Outcome::whole) {
      EXPECT_GT(plan.seen_at_origin, plan.failures) << "request " << plan.id;
    }
    if (!faulty_ && manners_ == Manners::good && !limited_ && plan.outcome != Outcome::never_sent) {
      EXPECT_EQ(plan.outcome, Outcome::whole) << "request " << plan.id << " of " << plan.method;
    }
  }
}

// Each request that the proxy saw is in its log, once.
void HttpScenario::check_log() {
  std::map<std::string, int> lines;
  for (const std::string& line : proxy_.log_lines()) ++lines[line.substr(0, line.find(' '))];
  for (const Plan& plan : plans_) {
    const int count = lines[std::to_string(plan.id)];
    EXPECT_LE(count, 1) << "request " << plan.id;
    const bool answered = plan.outcome == Outcome::whole;
    if (answered || plan.seen_at_origin > 0) {
      EXPECT_EQ(count, 1) << "request " << plan.id;
    }
  }
}

// What a reader of a failure wants to know first.
void HttpScenario::describe() {
  static constexpr const char* outcomes[] = {"pending", "never_sent", "whole", "local", "broken", "abandoned"};
  for (const Plan& plan : plans_) {
    std::fprintf(stderr, "  %2llu %-4s %6zu bytes%s%s%s -> %u framing %d %6zu bytes%s%s%s%s%s%s death %d: %s, seen %d\n",
                 static_cast<unsigned long long>(plan.id), plan.method.c_str(), plan.request_body_bytes,
                 plan.expect_continue ? " expect" : "", plan.close ? " close" : "", plan.malformed ? " malformed" : "",
                 plan.status, static_cast<int>(plan.framing), plan.body_bytes, plan.origin_close ? " close" : "",
                 plan.early ? " early" : "", plan.interim ? " interim" : "", plan.garbage ? " garbage" : "",
                 plan.silent ? " silent" : "", plan.junk_after ? " junk" : "", static_cast<int>(plan.death),
                 outcomes[static_cast<size_t>(plan.outcome)], plan.seen_at_origin);
  }
  for (const std::string& line : proxy_.log_lines()) std::fprintf(stderr, "  log: %s\n", line.c_str());
}

// With good manners on a sound network it is enough for every failure.
void HttpScenario::make_retry_policy(Specs& specs) {
  auto policy = std::make_shared<RetryPolicySpec>();
  policy->conditions.add(RetryOn::server_error);
  policy->retries_max = retries_max;
  policy->back_off_base = milliseconds(random_.between(1, 20));
  policy->back_off_max = policy->back_off_base * static_cast<int64_t>(random_.between(1, 10));
  policy->avoids_previous_hosts = random_.chance(500'000);
  auto manager = std::make_shared<HttpManagerSpec>(*specs.listeners[0].chains[0].http);
  RouteSpec& route = manager->routes.virtual_hosts[0].routes[0];
  manager->routes.virtual_hosts[0].tells_attempts_upstream = random_.chance(500'000);
  route.request_buffer.within_connection = false;
  specs.clusters[0].thresholds.retries_max = 1000;
  if (limited_) {
    policy->retries_max = static_cast<uint32_t>(random_.between(0, retries_max));
    if (random_.chance(300'000)) policy->per_try_timeout = milliseconds(random_.between(10, 500));
    if (random_.chance(300'000)) policy->per_try_idle_timeout = milliseconds(random_.between(10, 500));
    if (random_.chance(300'000)) route.request_buffer.bytes_max = random_.below(10'000);
    if (random_.chance(300'000)) specs.clusters[0].thresholds.retries_max = static_cast<uint32_t>(random_.below(3));
  }
  route.retry = std::move(policy);
  specs.listeners[0].chains[0].http = manager;
}

// Nothing but the proxy's own mistakes can keep an answer from its client.
void HttpScenario::leave_it_to_the_proxy(Specs& specs) {
  for (ListenerSpec& listener : specs.listeners) {
    auto manager = std::make_shared<HttpManagerSpec>(*listener.chains[0].http);
    manager->stream_idle_timeout = manager->protocol.idle_timeout = minutes(1);
    manager->request_headers_timeout = manager->request_timeout = Duration::zero();
    manager->protocol.stream_duration_max = Duration::zero();
    if (&listener == &specs.listeners.front()) {  // HTTP/2 ends connections without losing a request
      manager->protocol.connection_duration_max = Duration::zero();
      manager->protocol.requests_per_connection_max = 0;
    }
    manager->delayed_close_timeout = seconds(10);
    manager->routes.virtual_hosts[0].routes[0].timeout = Duration::zero();
    listener.chains[0].http = manager;
  }
  for (ClusterSpec& cluster : specs.clusters) {
    cluster.thresholds = {};
    cluster.connect_timeout = seconds(10);
  }
}

void HttpScenario::run() {
  World& world = proxy_.world;
  start_origins();
  make_plans();
  Specs specs = random_http_specs(random_, addresses_, proxy_.log_path());
  for (uint32_t hop = 0; hop < hops_; ++hop) add_http2_hop(random_, specs);
  limited_ = manners_ == Manners::bad || faulty_;
  if (!limited_) leave_it_to_the_proxy(specs);
  if (retrying_) make_retry_policy(specs);
  proxy_.start(std::move(specs));
  if (faulty_) world.network.faults() = Faults::swarm(random_);
  start_clients();
  disturb();
  if (faulty_) {
    world.run_for(milliseconds(random_.below(100)));
    world.network.heal();
  }
  EXPECT_TRUE(world.run_until([&] { return all_over(); }, minutes(1)));
  for (const auto& client : clients_) client->abandon();
  EXPECT_TRUE(world.run_until([&] { return proxy_.shard->connections() == 0; }, seconds(30)));
  EXPECT_TRUE(world.run_until([&] { return proxy_.shard->exchanges_live() == 0; }, seconds(30)));
  proxy_.expect_quiet();
  proxy_.stop();
  check_plans();
  check_log();
  if (::testing::Test::HasFailure()) describe();
}

using enum HttpScenario::Surroundings;
void good_manners(uint64_t seed) { HttpScenario(seed, Manners::good, sound).run(); }
void bad_manners(uint64_t seed) { HttpScenario(seed, Manners::bad, sound).run(); }
void bad_network(uint64_t seed) { HttpScenario(seed, Manners::good, faulty).run(); }
void everything_bad(uint64_t seed) { HttpScenario(seed, Manners::bad, faulty).run(); }

void good_manners_retried(uint64_t seed) { HttpScenario(seed, Manners::good, sound, Tries::several).run(); }
void everything_bad_retried(uint64_t seed) { HttpScenario(seed, Manners::bad, faulty, Tries::several).run(); }

TEST(SimHttp, attempts_fail_and_all_answers_arrive) { over_seeds(400, good_manners_retried); }
TEST(SimHttp, attempts_fail_and_everything_else) { over_seeds(800, everything_bad_retried); }
TEST(SimHttp, all_answers_arrive_on_a_good_network) {
  World::piped_bytes_seen = 0;
  over_seeds(300, good_manners);
  EXPECT_TRUE(replays_one_seed() || World::piped_bytes_seen > 0);
}
TEST(SimHttp, unruly_clients_and_origins) { over_seeds(600, bad_manners); }
TEST(SimHttp, a_faulty_network_and_kernel) { over_seeds(600, bad_network); }
TEST(SimHttp, everything_at_once) { over_seeds(1000, everything_bad); }

// --- HTTP/2 between hops of the proxy: HTTP/1 to HTTP/2, HTTP/2 to itself, HTTP/2 to HTTP/1 ------------------------------------

using enum HttpScenario::Hops;
HttpScenario::Hops hops_of(uint64_t seed) { return seed % 2 == 0 ? one : two; }
void good_manners_by_http2(uint64_t seed) { HttpScenario(seed, Manners::good, sound, Tries::one, hops_of(seed)).run(); }
void bad_manners_by_http2(uint64_t seed) { HttpScenario(seed, Manners::bad, sound, Tries::one, hops_of(seed)).run(); }
void bad_network_by_http2(uint64_t seed) { HttpScenario(seed, Manners::good, faulty, Tries::one, hops_of(seed)).run(); }
void everything_bad_by_http2(uint64_t seed) { HttpScenario(seed, Manners::bad, faulty, Tries::one, hops_of(seed)).run(); }

TEST(SimHttp2, all_answers_arrive_on_a_good_network) { over_seeds(300, good_manners_by_http2); }
TEST(SimHttp2, unruly_clients_and_origins) { over_seeds(400, bad_manners_by_http2); }
TEST(SimHttp2, a_faulty_network_and_kernel) { over_seeds(400, bad_network_by_http2); }
TEST(SimHttp2, everything_at_once) { over_seeds(500, everything_bad_by_http2); }

}  // namespace
}  // namespace ringside::sim
