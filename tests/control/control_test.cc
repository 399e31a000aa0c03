// The control thread's loop: signals, the flush, the admin server and DNS together.
#include "control/control.h"

#include <gmock/gmock.h>
#include <signal.h>

#include <cstdio>
#include <fstream>

#include "control/tls_watch.h"
#include "core/log.h"
#include "tests/control/admin_fixture.h"

namespace ringside {
namespace {

using testing::ElementsAre;

class NoEndpoints final : public EndpointsPort {
 public:
  void publish_endpoints(uint32_t, const std::string&, std::vector<ResolvedEndpoint>) override { ++published; }
  void on_first_resolution() override { ++first_resolutions; }
  int published = 0, first_resolutions = 0;
};

class NoTls final : public TlsPort {
 public:
  void publish_tls(TlsContextPtr, TlsContextPtr) override {}
};

class ControlTest : public WorkerTest {
 protected:
  ControlTest() {
    log_set_level(LogLevel::off);
    pthread_sigmask(SIG_SETMASK, nullptr, &mask_before_);
    Control::block_signals();
    specs_.admin.address = Address::from_ip("127.0.0.1", 0);
    specs_.stats_flush_interval = milliseconds(20);
  }
  ~ControlTest() override { pthread_sigmask(SIG_SETMASK, &mask_before_, nullptr); }

  sigset_t mask_before_{};
  Specs specs_;
  StatsRegistry registry_{1};
  FakeAdminPort port_;
  NoEndpoints endpoints_;
  NoTls tls_port_;
};
INSTANTIATE_TEST_SUITE_P(Rings, ControlTest, testing::ValuesIn(real_rings()));

TEST_P(ControlTest, Signals) {
  Control control(*worker_, registry_, port_, endpoints_, tls_port_, specs_);
  ASSERT_TRUE(control.start().has_value());
  raise(SIGHUP);
  raise(SIGUSR1);
  EXPECT_TRUE(run_until([&] { return port_.reopened_ == 1; }));
  EXPECT_TRUE(port_.shutdowns_.empty());
  raise(SIGTERM);
  EXPECT_TRUE(run_until([&] { return port_.shutdowns_.size() == 1; }));
  raise(SIGINT);
  EXPECT_TRUE(run_until([&] { return port_.shutdowns_.size() == 2; }));
  EXPECT_THAT(port_.shutdowns_, ElementsAre(ShutdownCause::sigterm, ShutdownCause::sigint));
}

TEST_P(ControlTest, FlushesStatisticsAndEndsInOrder) {
  const std::string path = testing::TempDir() + "rs_admin_address_" + std::to_string(getpid());
  port_.options_.admin_address_path = path;
  Control control(*worker_, registry_, port_, endpoints_, tls_port_, specs_);
  ASSERT_TRUE(control.start().has_value());
  std::string written;
  std::getline(std::ifstream(path), written);
  EXPECT_EQ(written, control.admin_address().text());
  std::remove(path.c_str());
  control.start_dns();
  EXPECT_EQ(endpoints_.first_resolutions, 0);
  EXPECT_TRUE(run_until([&] { return endpoints_.first_resolutions == 1; }));
  EXPECT_EQ(registry_.value("server.state"), 0);
  port_.state_ = ServerState::draining;
  EXPECT_TRUE(run_until([&] { return registry_.value("server.state") == 1; }));
  EXPECT_EQ(registry_.value("server.live"), 0);
  EXPECT_EQ(registry_.value("server.uptime"), 3);
  EXPECT_GT(registry_.value("server.memory_physical_size").value_or(0), 0);
  control.stop();
  control.run();
}

TEST_P(ControlTest, ABusyAdminAddressIsAnError) {
  Control first(*worker_, registry_, port_, endpoints_, tls_port_, specs_);
  ASSERT_TRUE(first.start().has_value());
  Specs same = specs_;
  same.admin.address = first.admin_address();
  Control second(*worker_, registry_, port_, endpoints_, tls_port_, same);
  const auto started = second.start();
  ASSERT_FALSE(started.has_value());
  EXPECT_EQ(started.error(), "cannot bind '" + first.admin_address().text() + "': Address already in use");
}

// DNS look-ups under way do not keep the program from ending.
TEST_P(ControlTest, StopsInTheMiddleOfAResolution) {
  ClusterSpec cluster;
  cluster.name = "c";
  cluster.kind = ClusterKind::strict_dns;
  cluster.endpoints.push_back({.address = {}, .host = "name.invalid", .port = 80, .hostname = {}, .weight = 1});
  specs_.clusters.push_back(cluster);
  specs_.admin.address.reset();
  Control control(*worker_, registry_, port_, endpoints_, tls_port_, specs_);
  ASSERT_TRUE(control.start().has_value());
  control.start_dns();
  EXPECT_THAT(control.unresolved_clusters(), ElementsAre("c"));
  control.stop();
  control.run();
  EXPECT_EQ(endpoints_.first_resolutions, 0);
}

}  // namespace
}  // namespace ringside
