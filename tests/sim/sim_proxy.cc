#include "tests/sim/sim_proxy.h"

#include <sys/mman.h>
#include <unistd.h>

#include <sstream>

#include "core/log.h"

namespace ringside::sim {

ProxyWorld::ProxyWorld(uint64_t seed)
    : world(seed),
      random(world.network.random()),
      registry(std::make_unique<StatsRegistry>(1)),
      log_fd_(memfd_create("access_log", MFD_CLOEXEC)),
      log_path_("/proc/self/fd/" + std::to_string(log_fd_)) {
  log_set_level(LogLevel::off);  // what is simulated would drown the test's own words
}

ProxyWorld::~ProxyWorld() {
  shard.reset();
  snapshot.reset();
  ::close(log_fd_);
  log_set_level(LogLevel::info);
}

void ProxyWorld::start(Specs specs) {
  auto built = Snapshot::build(specs, *registry, 1);
  ASSERT_TRUE(built.has_value()) << built.error();
  snapshot = *built;
  shard = std::make_unique<Shard>(world.worker, *registry, ShardOptions{});
  std::vector<int> fds;
  for (const auto& listener : snapshot->listeners) {
    int error = 0;
    const Result<int> fd = world.ring.listen(listener->spec.address, {}, &error);
    ASSERT_TRUE(fd.has_value()) << error;
    fds.push_back(*fd);
  }
  shard->adopt(snapshot, fds);
}

void ProxyWorld::expect_quiet() {
  EXPECT_EQ(shard->connections(), 0U);
  EXPECT_EQ(shard->exchanges_live(), 0U);
  for (const StatSample& sample : registry->snapshot()) {
    const bool active = sample.name.ends_with("_active") || sample.name.ends_with("_buffered");
    if (sample.kind != StatKind::gauge || !active || sample.name.find("upstream_cx") != std::string::npos) continue;
    if (sample.name.ends_with("http2.streams_active")) continue;  // shown once a second: see stop()
    EXPECT_EQ(sample.value, 0) << sample.name;
  }
  for (const auto& cluster : snapshot->clusters) {
    EXPECT_EQ(cluster->breaker->total(Resource::requests), 0U);
    EXPECT_EQ(cluster->breaker->total(Resource::pending), 0U);
    EXPECT_EQ(cluster->breaker->total(Resource::retries), 0U);
  }
}

void ProxyWorld::stop() {
  world.run_for(seconds(2));  // the statistics of HTTP/2 are shown once a second, and no more after the end
  shard->close_all();
  EXPECT_TRUE(world.run_until([&] { return shard->quiet(); }, seconds(30)));
  for (const StatSample& sample : registry->snapshot()) {
    if (sample.kind != StatKind::gauge || !sample.name.ends_with("_active")) continue;
    EXPECT_EQ(sample.value, 0) << sample.name;
  }
  for (const auto& cluster : snapshot->clusters) {
    EXPECT_EQ(cluster->breaker->total(Resource::connections), 0U);
  }
  world.worker.turn(Duration::zero());
  shard.reset();
  // A timer that somebody left armed in memory that is gone would fire now.
  world.run_for(hours(3));
  world.expect_nothing_left();
}

std::vector<std::string> ProxyWorld::log_lines() const {
  std::string text(static_cast<size_t>(lseek(log_fd_, 0, SEEK_END)), '\0');
  EXPECT_EQ(pread(log_fd_, text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

Specs random_http_specs(Random& random, const std::vector<Address>& origins, const std::string& log_path) {
  auto manager = std::make_shared<HttpManagerSpec>();
  manager->stat_prefix = "sim";
  manager->access_logs.push_back({log_path, "%REQ(X-ID)% %RESPONSE_CODE% %RESPONSE_FLAGS%\n"});
  manager->stream_idle_timeout = milliseconds(random.between(500, 3000));
  manager->delayed_close_timeout = milliseconds(random.between(1, 1000));
  manager->drain_timeout = milliseconds(random.between(1, 1000));
  if (random.chance(300'000)) manager->request_headers_timeout = milliseconds(random.between(100, 2000));
  if (random.chance(300'000)) manager->request_timeout = milliseconds(random.between(500, 3000));
  manager->protocol.idle_timeout = milliseconds(random.between(500, 5000));
  if (random.chance(300'000)) manager->protocol.stream_duration_max = milliseconds(random.between(500, 3000));
  if (random.chance(200'000)) manager->protocol.connection_duration_max = milliseconds(random.between(50, 3000));
  if (random.chance(200'000)) manager->protocol.requests_per_connection_max = static_cast<uint32_t>(random.between(1, 4));
  manager->use_remote_address = random.chance(500'000);
  manager->proxy_100_continue = random.chance(300'000);
  RouteSpec route;
  route.match_path = "/";
  route.cluster = "origins";
  route.timeout = milliseconds(random.between(200, 2000));
  VirtualHostSpec host;
  host.name = "all";
  host.domains = {"*"};
  host.routes.push_back(std::move(route));
  manager->routes.virtual_hosts.push_back(std::move(host));

  ListenerSpec listener;
  listener.name = "sim";
  listener.address = *Address::from_ip("10.0.0.1", 80);
  if (random.chance(500'000)) listener.connection_buffer_bytes_max = static_cast<uint32_t>(random.between(1, 100'000));
  listener.chains.emplace_back().http = manager;

  ClusterSpec cluster;
  cluster.name = "origins";
  for (const Address& address : origins) {
    EndpointSpec endpoint;
    endpoint.address = address;
    cluster.endpoints.push_back(std::move(endpoint));
  }
  cluster.connect_timeout = milliseconds(random.between(100, 1000));
  if (random.chance(500'000)) cluster.connection_buffer_bytes_max = static_cast<uint32_t>(random.between(1, 100'000));
  if (random.chance(300'000)) cluster.protocol.idle_timeout = milliseconds(random.between(1, 500));
  if (random.chance(200'000)) cluster.protocol.requests_per_connection_max = static_cast<uint32_t>(random.between(1, 4));
  if (random.chance(200'000)) {
    cluster.thresholds.connections_max = static_cast<uint32_t>(random.between(1, 4));
    cluster.thresholds.pending_max = static_cast<uint32_t>(random.between(1, 4));
    cluster.thresholds.requests_max = static_cast<uint32_t>(random.between(1, 8));
  }
  if (random.chance(300'000)) {
    listener.filters.push_back({});  // sees at the first byte that it is no TLS
    listener.filters_timeout = milliseconds(random.between(500, 20'000));
    listener.continue_on_filters_timeout = random.chance(500'000);
    listener.chains[0].match.transport_protocol = "raw_buffer";
  }
  Specs specs;
  specs.listeners.push_back(std::move(listener));
  specs.clusters.push_back(std::move(cluster));
  return specs;
}

void add_http2_hop(Random& random, Specs& specs) {
  ListenerSpec inner = specs.listeners.back();
  const std::string name = "hop" + std::to_string(specs.listeners.size());
  inner.name = name;
  inner.address = *Address::from_ip("10.0." + std::to_string(specs.listeners.size()) + ".1", 80);
  auto manager = std::make_shared<HttpManagerSpec>(*inner.chains[0].http);
  manager->stat_prefix = name;
  manager->access_logs.clear();
  manager->codec = random.chance(500'000) ? CodecType::http2 : CodecType::auto_detect;
  const auto streams_max = static_cast<uint32_t>(random.chance(300'000) ? random.between(1, 4) : 100);
  manager->http2.streams_max = streams_max;
  manager->http2.stream_window_bytes = static_cast<uint32_t>(random.between(65535, 300'000));
  manager->http2.connection_window_bytes = static_cast<uint32_t>(random.between(65535, 300'000));
  if (random.chance(300'000)) manager->http2.table_bytes = static_cast<uint32_t>(random.below(5000));
  inner.chains[0].http = manager;

  auto outer = std::make_shared<HttpManagerSpec>(*specs.listeners.back().chains[0].http);
  outer->routes.virtual_hosts[0].routes[0].cluster = name;
  specs.listeners.back().chains[0].http = outer;

  ClusterSpec cluster = specs.clusters.front();
  cluster.name = name;
  cluster.endpoints.resize(1);
  cluster.endpoints[0].address = inner.address;
  cluster.upstream_protocol = UpstreamProtocol::http2;
  cluster.protocol.idle_timeout = milliseconds(random.between(1, 500));  // for whoever waits until all connections are gone
  // Not more than the other side takes: requests that come before its SETTINGS may be refused, and nobody asks again here.
  cluster.http2.streams_max = streams_max;
  cluster.http2.stream_window_bytes = static_cast<uint32_t>(random.between(65535, 300'000));
  cluster.http2.connection_window_bytes = static_cast<uint32_t>(random.between(65535, 300'000));
  if (random.chance(200'000)) {
    const Duration interval = milliseconds(random.between(10, 300));
    cluster.http2.keepalive = KeepaliveSpec{.interval = interval, .timeout = milliseconds(random.between(200, 2000))};
  }
  specs.clusters.push_back(std::move(cluster));
  specs.listeners.push_back(std::move(inner));
}

}  // namespace ringside::sim
