#include "control/dns_resolver.h"

#include <gmock/gmock.h>

#include <memory>
#include <string>
#include <vector>

#include "control/dns_refresher.h"
#include "tests/control/dns_test_server.h"
#include "tests/control/worker_fixture.h"

namespace ringside {
namespace {

using testing::ElementsAre;
using testing::UnorderedElementsAre;

class Asker final : public DnsUser {
 public:
  void on_resolved(DnsAnswer answer) override {
    ++calls;
    last = std::move(answer);
  }
  std::vector<std::string> texts() const {
    std::vector<std::string> out;
    for (const Address& address : last.addresses) out.push_back(address.ip_text());
    return out;
  }
  int calls = 0;
  DnsAnswer last;
  DnsQuery query{*this};
};

class DnsResolverTest : public WorkerTest {
 protected:
  ~DnsResolverTest() override {
    resolver_.close();
    EXPECT_TRUE(run_until([&] { return resolver_.quiet(); }, seconds(2)));
  }
  void ask(Asker& asker, const std::string& host, DnsFamily family = DnsFamily::v4_only) {
    resolver_.resolve(asker.query, host, family);
    EXPECT_EQ(asker.calls, 0) << "no call from inside resolve()";
    EXPECT_TRUE(run_until([&] { return asker.calls == 1; })) << host;
    EXPECT_FALSE(asker.query.running());
  }

  DnsTestServer server_;
  DnsResolver resolver_{*worker_, {.servers = server_.address(), .timeout = milliseconds(100), .tries = 2}};
  Asker asker_;
};

INSTANTIATE_TEST_SUITE_P(Rings, DnsResolverTest, testing::ValuesIn(real_rings()));

TEST_P(DnsResolverTest, AddressesAndSmallestTtl) {
  server_.set("web.test", {.addresses = {"10.0.0.1", "10.0.0.2"}, .ttl_s = 17});
  ask(asker_, "web.test");
  EXPECT_EQ(asker_.last.status, DnsStatus::ok);
  EXPECT_THAT(asker_.texts(), ElementsAre("10.0.0.1", "10.0.0.2"));
  EXPECT_EQ(asker_.last.ttl, seconds(17));
  EXPECT_EQ(asker_.last.addresses[0].port(), 0);
}

TEST_P(DnsResolverTest, Families) {
  server_.set("both.test", {.addresses = {"10.0.0.1", "fd00::1"}});
  server_.set("only4.test", {.addresses = {"10.0.0.4"}});
  const struct {
    const char* host;
    DnsFamily family;
    std::vector<std::string> expected;
  } cases[] = {
      {"both.test", DnsFamily::v4_only, {"10.0.0.1"}},        {"both.test", DnsFamily::v6_only, {"fd00::1"}},
      {"both.test", DnsFamily::automatic, {"fd00::1"}},       {"both.test", DnsFamily::v4_preferred, {"10.0.0.1"}},
      {"both.test", DnsFamily::all, {"10.0.0.1", "fd00::1"}}, {"only4.test", DnsFamily::automatic, {"10.0.0.4"}},
      {"only4.test", DnsFamily::all, {"10.0.0.4"}},           {"only4.test", DnsFamily::v6_only, {}},
  };
  for (const auto& c : cases) {
    Asker asker;
    ask(asker, c.host, c.family);
    EXPECT_THAT(asker.texts(), testing::UnorderedElementsAreArray(c.expected))
        << c.host << " " << static_cast<int>(c.family);
    EXPECT_EQ(asker.last.status, c.expected.empty() ? DnsStatus::not_found : DnsStatus::ok);
  }
}

TEST_P(DnsResolverTest, NoSuchName) {
  ask(asker_, "nowhere.test");
  EXPECT_EQ(asker_.last.status, DnsStatus::not_found);
}

TEST_P(DnsResolverTest, NoSuchRecord) {
  server_.set("empty.test", {});
  ask(asker_, "empty.test");
  EXPECT_EQ(asker_.last.status, DnsStatus::not_found);
}

TEST_P(DnsResolverTest, ServerFailure) {
  server_.set("broken.test", {.rcode = 2});
  ask(asker_, "broken.test");
  EXPECT_EQ(asker_.last.status, DnsStatus::failed);
}

TEST_P(DnsResolverTest, SilenceEndsInATimeout) {
  server_.set("silent.test", {.silent = true});
  const Instant begin = ring_->now();
  ask(asker_, "silent.test");
  EXPECT_EQ(asker_.last.status, DnsStatus::failed);
  EXPECT_STREQ(asker_.last.error, "Timeout while contacting DNS servers");
  EXPECT_EQ(server_.udp_questions(), 2U);
  EXPECT_LT(ring_->now() - begin, seconds(3));
}

TEST_P(DnsResolverTest, NobodyListens) {
  DnsResolver lonely(*worker_, {.servers = "127.0.0.1:1", .timeout = milliseconds(100), .tries = 2});
  lonely.resolve(asker_.query, "web.test", DnsFamily::v4_only);
  EXPECT_TRUE(run_until([&] { return asker_.calls == 1; }));
  EXPECT_EQ(asker_.last.status, DnsStatus::failed);
  lonely.close();
  EXPECT_TRUE(run_until([&] { return lonely.quiet(); }));
}

TEST_P(DnsResolverTest, BadServerList) {
  DnsResolver bad(*worker_, {.servers = "not an address"});
  bad.resolve(asker_.query, "web.test", DnsFamily::v4_only);
  EXPECT_TRUE(run_until([&] { return asker_.calls == 1; }));
  EXPECT_EQ(asker_.last.status, DnsStatus::failed);
}

TEST_P(DnsResolverTest, GarbageIsAFailure) {
  const std::string garbage[] = {
      std::string("\xc0"), std::string(3, '\xff'), std::string("\xc0\x0c\x00\x01\x00\x01\x00\x00\x00", 9),
      std::string("\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x05\xff\xff", 12), std::string("\xc0\xff\x00\x01", 4)};
  for (const std::string& bytes : garbage) {
    server_.set("garbage.test", {.garbage = bytes});
    Asker asker;
    ask(asker, "garbage.test");
    EXPECT_NE(asker.last.status, DnsStatus::ok);
    EXPECT_TRUE(asker.last.addresses.empty());
  }
}

TEST_P(DnsResolverTest, TruncatedAnswerIsAskedForOverTcp) {
  DnsTestName many{.truncate_udp = true};
  for (int host = 1; host <= 250; ++host) many.addresses.push_back("10.1.0." + std::to_string(host));
  server_.set("many.test", many);
  ask(asker_, "many.test");
  EXPECT_EQ(asker_.last.status, DnsStatus::ok);
  EXPECT_EQ(asker_.last.addresses.size(), 250U);
  EXPECT_GE(server_.tcp_questions(), 1U);
}

TEST_P(DnsResolverTest, LiteralsNeedNoServer) {
  for (const char* literal : {"192.0.2.1", "::1", "[::1]"}) {
    Asker asker;
    ask(asker, literal);
    EXPECT_EQ(asker.last.status, DnsStatus::ok);
    EXPECT_EQ(asker.last.addresses.size(), 1U);
  }
  EXPECT_EQ(server_.udp_questions(), 0U);
}

TEST_P(DnsResolverTest, LocalhostNeedsNoServer) {
  ask(asker_, "localhost");
  EXPECT_EQ(asker_.last.status, DnsStatus::ok);
  EXPECT_THAT(asker_.texts(), testing::Contains("127.0.0.1"));
  EXPECT_EQ(server_.udp_questions(), 0U);
}

TEST_P(DnsResolverTest, ImpossibleNames) {
  for (const std::string& name :
       {std::string(".."), std::string(300, 'a'), std::string(64, 'b') + ".test", std::string()}) {
    Asker asker;
    ask(asker, name);
    EXPECT_NE(asker.last.status, DnsStatus::ok) << name;
  }
}

TEST_P(DnsResolverTest, ManyAtOnce) {
  std::vector<std::unique_ptr<Asker>> askers;
  for (int index = 0; index < 100; ++index) {
    const std::string host = "h" + std::to_string(index) + ".test";
    server_.set(host, {.addresses = {"10.2.0." + std::to_string(index)}});
    askers.push_back(std::make_unique<Asker>());
    resolver_.resolve(askers.back()->query, host, DnsFamily::v4_only);
  }
  for (int index = 0; index < 100; ++index) {
    EXPECT_TRUE(run_until([&] { return askers[static_cast<size_t>(index)]->calls == 1; }));
    EXPECT_THAT(askers[static_cast<size_t>(index)]->texts(), ElementsAre("10.2.0." + std::to_string(index)));
  }
}

TEST_P(DnsResolverTest, CancelAndDestroy) {
  server_.set("silent.test", {.silent = true});
  server_.set("web.test", {.addresses = {"10.0.0.1"}});
  resolver_.resolve(asker_.query, "silent.test", DnsFamily::automatic);
  resolver_.cancel(asker_.query);
  EXPECT_FALSE(asker_.query.running());
  {
    Asker gone;
    resolver_.resolve(gone.query, "web.test", DnsFamily::v4_only);
  }
  Asker other;
  ask(other, "web.test");
  EXPECT_EQ(asker_.calls, 0);
  // The query object is free for another name while its old look-up still runs inside.
  ask(asker_, "web.test");
}

TEST_P(DnsResolverTest, CloseWithQueriesInFlight) {
  server_.set("silent.test", {.silent = true});
  server_.set("tcp.test", {.silent = false, .truncate_udp = true});
  std::vector<std::unique_ptr<Asker>> askers;
  for (int index = 0; index < 10; ++index) {
    askers.push_back(std::make_unique<Asker>());
    resolver_.resolve(askers.back()->query, index % 2 == 0 ? "silent.test" : "tcp.test", DnsFamily::all);
    if (index == 5) run_until([] { return false; }, milliseconds(20));
  }
  const std::vector<bool> ended_before = [&] {
    std::vector<bool> ended;
    for (const auto& asker : askers) ended.push_back(asker->calls > 0);
    return ended;
  }();
  resolver_.close();
  EXPECT_TRUE(run_until([&] { return resolver_.quiet(); }, seconds(2)));
  for (size_t index = 0; index < askers.size(); ++index) {
    EXPECT_FALSE(askers[index]->query.running());
    EXPECT_EQ(askers[index]->calls > 0, ended_before[index]);
  }
}

// --- DnsRefresher ------------------------------------------------------------------------------------------------------------

class Published final : public EndpointsPort {
 public:
  void publish_endpoints(uint32_t cluster, const std::string& name, std::vector<ResolvedEndpoint> endpoints) override {
    ++calls;
    last_cluster = cluster;
    last_name = name;
    texts.clear();
    for (const ResolvedEndpoint& endpoint : endpoints)
      texts.push_back(endpoint.hostname + "=" + endpoint.address.text() + "*" + std::to_string(endpoint.weight));
  }
  void on_first_resolution() override { ++first_resolutions; }
  int calls = 0, first_resolutions = 0;
  uint32_t last_cluster = 0;
  std::string last_name;
  std::vector<std::string> texts;
};

class DnsRefresherTest : public DnsResolverTest {
 protected:
  ~DnsRefresherTest() override {
    if (refresher_) refresher_->stop();
  }
  static ClusterSpec cluster(const std::string& name, const std::vector<std::string>& hosts) {
    ClusterSpec spec;
    spec.name = name;
    spec.kind = ClusterKind::strict_dns;
    spec.dns_family = DnsFamily::v4_only;
    for (const std::string& host : hosts) {
      EndpointSpec endpoint;
      endpoint.port = 80;
      if (const auto literal = Address::from_ip(host, 80))
        endpoint.address = *literal;
      else
        endpoint.host = host;
      spec.endpoints.push_back(endpoint);
    }
    return spec;
  }
  void start(Duration initial_timeout = seconds(5)) {
    refresher_ = std::make_unique<DnsRefresher>(*worker_, resolver_, registry_, port_, clusters_,
                                                DnsRefresher::Settings{.initial_timeout = initial_timeout});
    refresher_->start();
    EXPECT_EQ(port_.first_resolutions, 0) << "never from inside start()";
  }
  bool until_first() {
    return run_until([&] { return port_.first_resolutions == 1; });
  }

  StatsRegistry registry_{1};
  Published port_;
  std::vector<ClusterSpec> clusters_;
  std::unique_ptr<DnsRefresher> refresher_;
};

INSTANTIATE_TEST_SUITE_P(Rings, DnsRefresherTest, testing::ValuesIn(real_rings()));

TEST_P(DnsRefresherTest, NothingToResolve) {
  ClusterSpec fixed = cluster("fixed", {"127.0.0.1"});
  fixed.kind = ClusterKind::fixed;
  clusters_ = {fixed};
  start();
  EXPECT_TRUE(until_first());
  EXPECT_EQ(port_.calls, 0);
}

TEST_P(DnsRefresherTest, MergesItsEndpointsWithoutDuplicates) {
  server_.set("a.test", {.addresses = {"10.0.0.2", "10.0.0.1"}});
  server_.set("b.test", {.addresses = {"10.0.0.1", "10.0.0.3"}});
  clusters_ = {cluster("other", {}), cluster("c", {"a.test", "10.9.9.9", "b.test"})};
  clusters_[0].kind = ClusterKind::fixed;
  clusters_[1].endpoints[2].hostname = "given";
  clusters_[1].endpoints[2].weight = 3;
  start();
  EXPECT_THAT(refresher_->unresolved(), ElementsAre("c"));
  EXPECT_TRUE(until_first());
  EXPECT_THAT(refresher_->unresolved(), testing::IsEmpty());
  EXPECT_EQ(port_.last_cluster, 1U);
  EXPECT_EQ(port_.last_name, "c");
  EXPECT_THAT(port_.texts,
              ElementsAre("a.test=10.0.0.1:80*1", "a.test=10.0.0.2:80*1", "=10.9.9.9:80*1", "given=10.0.0.3:80*3"));
}

TEST_P(DnsRefresherTest, RefreshesAndKeepsTheLastGoodAnswer) {
  server_.set("a.test", {.addresses = {"10.0.0.1"}});
  clusters_ = {cluster("c", {"a.test"})};
  clusters_[0].dns_refresh_rate = seconds(1);
  start();
  EXPECT_TRUE(until_first());
  const int calls = port_.calls;
  server_.set("a.test", {.addresses = {"10.0.0.1", "10.0.0.2"}});
  EXPECT_TRUE(run_until([&] { return port_.calls == calls + 1; }));
  EXPECT_EQ(port_.texts.size(), 2U);
  server_.set("a.test", {.rcode = 2});
  EXPECT_TRUE(run_until([&] { return registry_.value("cluster.c.update_failure") >= 1; }));
  EXPECT_EQ(port_.calls, calls + 1) << "a failure changes nothing";
  server_.set("a.test", {.rcode = 3});
  EXPECT_TRUE(run_until([&] { return port_.calls == calls + 2; }));
  EXPECT_TRUE(port_.texts.empty()) << "a name that is gone takes its hosts along";
  EXPECT_GE(registry_.value("cluster.c.update_success").value_or(0), 3);
  EXPECT_GE(registry_.value("cluster.c.update_attempt").value_or(0), 4);
}

TEST_P(DnsRefresherTest, TtlDecidesWhenAskedTo) {
  server_.set("a.test", {.addresses = {"10.0.0.1"}, .ttl_s = 1});
  clusters_ = {cluster("c", {"a.test"})};
  clusters_[0].dns_refresh_rate = minutes(5);
  clusters_[0].respect_dns_ttl = true;
  start();
  EXPECT_TRUE(until_first());
  EXPECT_TRUE(run_until([&] { return registry_.value("cluster.c.update_attempt") >= 2; }, seconds(4)));
  EXPECT_TRUE(run_until([&] { return registry_.value("cluster.c.update_no_rebuild") >= 1; }, seconds(2)));
}

TEST_P(DnsRefresherTest, ReadinessDoesNotWaitForEver) {
  server_.set("silent.test", {.silent = true});
  clusters_ = {cluster("c", {"silent.test"})};
  start(milliseconds(50));
  EXPECT_TRUE(until_first());
  EXPECT_THAT(refresher_->unresolved(), ElementsAre("c"));
  EXPECT_TRUE(run_until([&] { return refresher_->unresolved().empty(); })) << "a timeout is a result";
  EXPECT_EQ(port_.first_resolutions, 1);
}

TEST_P(DnsRefresherTest, NothingIsToldAfterStop) {
  server_.set("a.test", {.addresses = {"10.0.0.1"}});
  clusters_ = {cluster("c", {"a.test"})};
  start();
  refresher_->stop();
  run_until([] { return false; }, milliseconds(100));
  EXPECT_EQ(port_.calls, 0);
  EXPECT_EQ(port_.first_resolutions, 0);
}

}  // namespace
}  // namespace ringside
