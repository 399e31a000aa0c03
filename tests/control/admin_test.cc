// The admin server over real sockets. The golden files are what Envoy 1.40 printed for the same clusters and listeners.
#include <gmock/gmock.h>
#include <sys/socket.h>
#include <unistd.h>

#include <set>

#include "control/admin_json.h"
#include "control/admin_query.h"
#include "control/control_limits.h"
#include "core/log.h"
#include "tests/control/admin_fixture.h"

namespace ringside {
namespace {

using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

INSTANTIATE_TEST_SUITE_P(Rings, AdminTest, testing::ValuesIn(real_rings()));

// --- Pages -------------------------------------------------------------------------------------------------------------------

TEST_P(AdminTest, ReadyNamesTheState) {
  EXPECT_EQ(get("/ready").body, "LIVE\n");
  const struct {
    ServerState state;
    const char* name;
  } others[] = {{ServerState::draining, "DRAINING\n"},
                {ServerState::pre_initializing, "PRE_INITIALIZING\n"},
                {ServerState::initializing, "INITIALIZING\n"}};
  for (const auto& other : others) {
    port_.state_ = other.state;
    const HttpReply reply = get("/ready");
    EXPECT_EQ(reply.status, 503);
    EXPECT_EQ(reply.body, other.name);
  }
}

TEST_P(AdminTest, FieldsOfEveryReply) {
  HttpReply reply = get("/ready");
  EXPECT_EQ(reply.fields["content-type"], "text/plain; charset=UTF-8");
  EXPECT_EQ(reply.fields["cache-control"], "no-cache, max-age=0");
  EXPECT_EQ(reply.fields["x-content-type-options"], "nosniff");
  EXPECT_EQ(reply.fields["server"], "envoy");
  EXPECT_THAT(reply.fields["date"], testing::MatchesRegex("[A-Z][a-z]+, [0-9]+ [A-Z][a-z]+ [0-9]+ [0-9:]+ GMT"));
  EXPECT_EQ(get("/memory").fields["content-type"], "application/json");
}

class AdminGolden : public AdminTest {
 protected:
  AdminGolden() {
    port_.listeners_ = {{.name = "web", .address = *Address::from_ip("127.0.0.1", 29910)},
                        {.name = "pipe", .address = *Address::from_path("/tmp/rs_pipe.sock")},
                        {.name = "v6", .address = *Address::from_ip("::1", 29911)}};
    ClusterStatus a{.name = "a", .observability_name = "alt_a"};
    a.hosts.push_back({.address = *Address::from_ip("127.0.0.1", 29920),
                       .hostname = "hh",
                       .cx_connect_fail = 1,
                       .cx_total = 1,
                       .rq_error = 1});
    a.hosts.push_back({.address = *Address::from_path("/tmp/rs_host.sock")});
    a.hosts.push_back({.address = *Address::from_ip("::1", 29920)});
    ClusterStatus b{.name = "b", .thresholds = {10, 11, 12, 13}, .thresholds_high = {.connections_max = 5}};
    b.hosts.push_back({.address = *Address::from_ip("127.0.0.1", 29921), .hostname = "localhost", .weight = 7});
    port_.clusters_ = {a, b};
  }
};
INSTANTIATE_TEST_SUITE_P(Rings, AdminGolden, testing::ValuesIn(real_rings()));

TEST_P(AdminGolden, AsEnvoyPrintsThem) {
  EXPECT_EQ(get("/listeners").body, golden("admin_listeners.txt"));
  EXPECT_EQ(get("/listeners?format=json").body, golden("admin_listeners.json"));
  EXPECT_EQ(get("/clusters").body, golden("admin_clusters.txt"));
  EXPECT_EQ(get("/clusters?format=json").body, golden("admin_clusters.json"));
}

TEST_P(AdminGolden, ClustersByName) {
  EXPECT_THAT(get("/clusters?filter=%5Eb%24").body, StartsWith("b::observability_name::b\n"));
  EXPECT_EQ(get("/clusters?filter=nothing").body, "");
  EXPECT_EQ(get("/clusters?filter=nothing&format=json").body, "{}\n");
  const HttpReply bad = get("/clusters?filter=(");
  EXPECT_EQ(bad.status, 400);
  EXPECT_EQ(bad.body, "Invalid re2 regex");
}

// Keys in the order of the page, nested ones after their parent.
std::string keys_of(const std::string& json, const std::set<std::string>& opaque) {
  std::string out;
  std::vector<std::string> path;
  std::istringstream lines(json);
  size_t skip_below = SIZE_MAX;
  for (std::string line; std::getline(lines, line);) {
    const size_t depth = line.find_first_not_of(' ');
    if (depth == std::string::npos || line[depth] != '"' || line.find("\": ") == std::string::npos) continue;
    if (depth > skip_below) continue;
    skip_below = SIZE_MAX;
    path.resize(depth - 1);
    path.push_back(line.substr(depth + 1, line.find('"', depth + 1) - depth - 1));
    for (size_t at = 0; at < path.size(); ++at) out += (at > 0 ? "." : "") + path[at];
    out += '\n';
    if (opaque.contains(path.back())) skip_below = depth;
  }
  return out;
}

TEST_P(AdminTest, ServerInfoHasEnvoysKeys) {
  port_.node_ = {"n1", "c1", "r", "z", "s"};
  const HttpReply reply = get("/server_info");
  EXPECT_EQ(reply.fields.at("content-type"), "application/json");
  EXPECT_EQ(keys_of(reply.body, {"metadata", "extensions"}), golden("admin_server_info_keys.txt"));
  EXPECT_THAT(reply.body, HasSubstr("\"uptime_current_epoch\": \"3s\""));
  EXPECT_THAT(reply.body, HasSubstr("\"state\": \"LIVE\""));
  EXPECT_THAT(reply.body, HasSubstr("\"drain_time\": \"600s\""));
}

TEST_P(AdminTest, Stats) {
  EXPECT_EQ(get("/stats?usedonly&filter=%5Eserver%5C.(state%7Ctotal_connections)$").body,
            "server.state: 0\nserver.total_connections: 7\n");
  port_.state_ = ServerState::draining;
  EXPECT_EQ(get("/stats?filter=^server.state$").body, "server.state: 1\n");
  EXPECT_EQ(get("/stats?filter=^server.state$&format=json").body,
            "{\"stats\":[{\"name\":\"server.state\",\"value\":1}]}");
  EXPECT_THAT(get("/stats/prometheus?filter=^server.state$").body,
              StartsWith("# TYPE envoy_server_state gauge\nenvoy_server_state{} 1\n"));
  EXPECT_EQ(get("/stats?filter=listener.admin.downstream_cx_active").body, "listener.admin.downstream_cx_active: 1\n");
  const HttpReply bad = get("/stats?format=bad");
  EXPECT_EQ(bad.status, 400);
  EXPECT_EQ(bad.body, "usage: /stats?format=(html|active-html|json|prometheus|text)\n\n");
  const HttpReply regex = get("/stats?filter=(");
  EXPECT_EQ(regex.status, 400);
  EXPECT_EQ(regex.body, "Invalid re2 regex: missing ): (");
}

TEST_P(AdminTest, SmallPages) {
  EXPECT_EQ(get("/hot_restart_version").body, "disabled");
  EXPECT_EQ(get("/runtime").body, "{\n \"entries\": {},\n \"layers\": []\n}\n");
  EXPECT_EQ(get("/certs").body, "{\n \"certificates\": []\n}\n");
  EXPECT_EQ(get("/init_dump").body, "{}\n");
  port_.unready_ = {"cluster a"};
  EXPECT_THAT(get("/init_dump").body, HasSubstr("\"target_names\": [\n    \"cluster a\"\n   ]"));
  EXPECT_THAT(get("/memory").body,
              testing::MatchesRegex("\\{\n \"allocated\": \"[0-9]+\",\n \"heap_size\": (.|\n)*\n\\}\n"));
  EXPECT_EQ(get("/config_dump?include_eds").status, 501);
  EXPECT_EQ(get("/config_dump").body, "/config_dump is not available in Ringside " RINGSIDE_VERSION ".\n");
}

TEST_P(AdminTest, HomeAndHelp) {
  HttpReply home = get("/");
  EXPECT_EQ(home.fields["content-type"], "text/html; charset=UTF-8");
  EXPECT_THAT(home.fields["content-security-policy"], HasSubstr("default-src 'none'"));
  EXPECT_THAT(home.body, HasSubstr("<a href=\"stats/prometheus\">"));
  EXPECT_THAT(home.body, HasSubstr("<form action=\"quitquitquit\" method=\"post\">"));
  const HttpReply help = get("/help");
  EXPECT_THAT(help.body, StartsWith("admin commands are:\n  /: "));
  EXPECT_THAT(help.body, HasSubstr("\n  /quitquitquit (POST): "));
  const HttpReply missing = get("/nosuch");
  EXPECT_EQ(missing.status, 404);
  EXPECT_EQ(missing.body, "invalid path. " + help.body);
  EXPECT_EQ(get("/ready/").status, 404);
  EXPECT_EQ(get("/?x").status, 200);
}

// --- Methods and origins -----------------------------------------------------------------------------------------------------------

TEST_P(AdminTest, CommandsNeedPost) {
  const HttpReply reply = get("/quitquitquit");
  EXPECT_EQ(reply.status, 405);
  EXPECT_EQ(reply.body, "Method GET not allowed, POST required.");
  EXPECT_EQ(reply.fields.at("allow"), "POST");
  EXPECT_EQ(request("DELETE", "/quitquitquit").body, "Method DELETE not allowed, POST required.");
  EXPECT_EQ(request("HEAD", "/quitquitquit").status, 405);
  EXPECT_EQ(request("PUT", "/ready").body, "LIVE\n");
  EXPECT_EQ(post("/ready").body, "LIVE\n");
  EXPECT_TRUE(port_.shutdowns_.empty());
}

TEST_P(AdminTest, HeadHasNoBody) {
  const int client = connect_client();
  send_text(client,
            "HEAD /ready HTTP/1.1\r\nhost: x\r\n\r\nHEAD /stats HTTP/1.1\r\nhost: x\r\n\r\nGET /ready "
            "HTTP/1.1\r\nhost: x\r\n\r\n");
  EXPECT_EQ(receive_reply(client, true).status, 200);
  EXPECT_EQ(receive_reply(client, true).status, 200);
  EXPECT_EQ(receive_reply(client).body, "LIVE\n");
}

TEST_P(AdminTest, PagesOfOtherSitesMayNotCommand) {
  struct Case {
    const char* fields;
    int status;
  };
  const Case cases[] = {
      {"", 200},
      {"origin: http://127.0.0.1:9901\r\n", 200},
      {"origin: http://127.0.0.1:9901\r\nsec-fetch-site: same-origin\r\n", 200},
      {"sec-fetch-site: none\r\n", 200},
      {"origin: http://evil.example\r\n", 403},
      {"origin: null\r\n", 403},
      {"origin: http://127.0.0.1:8000\r\n", 403},
      {"origin: http://127.0.0.1:9901.evil.example\r\n", 403},
      {"sec-fetch-site: cross-site\r\n", 403},
      {"sec-fetch-site: same-site\r\n", 403},
  };
  for (const Case& c : cases) EXPECT_EQ(request("POST", "/reopen_logs", c.fields).status, c.status) << c.fields;
  EXPECT_EQ(port_.reopened_, 4);
  // A foreign name that was made to point here is no better.
  const int client = connect_client();
  send_text(client,
            "POST /reopen_logs HTTP/1.1\r\nhost: evil.example:9901\r\norigin: http://evil.example:9901\r\n\r\n");
  EXPECT_EQ(receive_reply(client).status, 403);
  send_text(client, "POST /reopen_logs HTTP/1.1\r\nhost: localhost:9901\r\norigin: http://localhost:9901\r\n\r\n");
  EXPECT_EQ(receive_reply(client).status, 200);
  send_text(client, "POST /reopen_logs HTTP/1.1\r\nhost: [::1]:9901\r\norigin: http://[::1]:9901\r\n\r\n");
  EXPECT_EQ(receive_reply(client).status, 200);
}

TEST_P(AdminTest, Commands) {
  EXPECT_EQ(post("/healthcheck/fail").body, "OK\n");
  EXPECT_EQ(get("/ready").body, "DRAINING\n");
  EXPECT_EQ(post("/healthcheck/ok").body, "OK\n");
  EXPECT_EQ(get("/ready").body, "LIVE\n");
  EXPECT_EQ(post("/drain_listeners?inboundonly&graceful").body, "OK\n");
  EXPECT_EQ(post("/drain_listeners?skip_exit").body, "OK\n");
  ASSERT_EQ(port_.drains_.size(), 2U);
  EXPECT_TRUE(port_.drains_[0].inbound_only && port_.drains_[0].graceful && !port_.drains_[0].skip_exit);
  EXPECT_TRUE(!port_.drains_[1].inbound_only && !port_.drains_[1].graceful && port_.drains_[1].skip_exit);
  EXPECT_EQ(post("/reopen_logs").body, "OK\n");
  EXPECT_EQ(port_.reopened_, 1);
  EXPECT_EQ(post("/reset_counters").body, "OK\n");
  EXPECT_EQ(get("/stats?filter=http.admin.downstream_rq_total").body, "http.admin.downstream_rq_total: 1\n");
  const HttpReply modify = post("/runtime_modify?a=b");
  EXPECT_EQ(modify.status, 503);
  EXPECT_EQ(modify.body, "No admin layer specified");
}

TEST_P(AdminTest, Logging) {
  const LogLevel before = log_level(LogComponent::admin);
  EXPECT_THAT(post("/logging").body, StartsWith("active loggers:\n  main: "));
  EXPECT_THAT(post("/logging?level=error").body, HasSubstr("  admin: error\n"));
  EXPECT_THAT(post("/logging?admin=warning").body, HasSubstr("  admin: warning\n"));
  const std::string several = post("/logging?paths=admin:critical,upstream:off,misc:info").body;
  EXPECT_THAT(several, HasSubstr("  admin: critical\n"));
  EXPECT_THAT(several, HasSubstr("  upstream: off\n"));
  for (const char* target : {"/logging?nosuch=info", "/logging?paths=nosuch:info"}) {
    const HttpReply reply = post(target);
    EXPECT_EQ(reply.status, 400) << target;
    EXPECT_THAT(reply.body, StartsWith("error: unknown logger name\n\nusage: ")) << target;
  }
  for (const char* target : {"/logging?admin=loud", "/logging?level=loud", "/logging?paths=admin"}) {
    const HttpReply reply = post(target);
    EXPECT_EQ(reply.status, 400) << target;
    EXPECT_THAT(reply.body, StartsWith("error: unknown logger level\n\nusage: ")) << target;
  }
  log_set_level(before);
}

TEST_P(AdminTest, QuitAnswersFirst) {
  const int client = connect_client();
  send_text(client, "POST /quitquitquit HTTP/1.1\r\nhost: x\r\n\r\n");
  EXPECT_EQ(receive_reply(client).body, "OK\n");
  EXPECT_TRUE(run_until([&] { return !port_.shutdowns_.empty(); }));
  EXPECT_THAT(port_.shutdowns_, ElementsAre(ShutdownCause::admin));
  EXPECT_EQ(receive_to_end(client), "");
}

TEST_P(AdminTest, QuitWithoutWaitingForTheAnswer) {
  const int client = connect_client();
  send_text(client, "POST /quitquitquit HTTP/1.1\r\nhost: x\r\n\r\n");
  ::close(client);
  received_.erase(client);
  EXPECT_TRUE(run_until([&] { return !port_.shutdowns_.empty(); }));
}

// --- Connections -------------------------------------------------------------------------------------------------------------------

TEST_P(AdminTest, KeepAliveAndPipelining) {
  const int client = connect_client();
  for (int round = 0; round < 3; ++round) {
    send_text(client, "GET /ready HTTP/1.1\r\nhost: x\r\n\r\n");
    EXPECT_EQ(receive_reply(client).body, "LIVE\n");
  }
  std::string many;
  for (int index = 0; index < 200; ++index) many += "GET /help HTTP/1.1\r\nhost: x\r\n\r\n";
  send_text(client, many);
  for (int index = 0; index < 200; ++index) EXPECT_EQ(receive_reply(client).status, 200) << index;
  EXPECT_EQ(registry_.value("listener.admin.downstream_cx_total"), 1);
  send_text(client, "GET /ready HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
  EXPECT_THAT(receive_to_end(client), EndsWith("\r\n\r\nLIVE\n"));
}

TEST_P(AdminTest, Http10) {
  const int client = connect_client();
  send_text(client, "GET /stats HTTP/1.0\r\n\r\n");
  const std::string all = receive_to_end(client);
  EXPECT_THAT(all, StartsWith("HTTP/1.0 200 OK\r\n"));
  EXPECT_THAT(all, Not(HasSubstr("transfer-encoding")));
  EXPECT_THAT(all, HasSubstr("\nserver.state: 0\n"));
}

TEST_P(AdminTest, BodiesAreReadAndBounded) {
  EXPECT_EQ(request("POST", "/reopen_logs", "content-length: 0\r\n").status, 200);
  const int client = connect_client();
  send_text(client, "POST /reopen_logs HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n");
  EXPECT_EQ(receive_reply(client, true).status, 100);
  send_text(client, "hello");
  EXPECT_EQ(receive_reply(client).status, 200);
  send_text(client, "POST /reopen_logs HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
  EXPECT_EQ(receive_reply(client).status, 200);
  EXPECT_EQ(port_.reopened_, 3);
  send_text(client, "POST /reopen_logs HTTP/1.1\r\nhost: x\r\ncontent-length: 10000000\r\n\r\n");
  const std::string block(16384, 'x');
  for (int index = 0; index < 8; ++index) {
    send_text(client, block);
    worker_->turn(milliseconds(1));
  }
  EXPECT_THAT(receive_to_end(client), StartsWith("HTTP/1.1 413 "));
  EXPECT_EQ(port_.reopened_, 3);
}

TEST_P(AdminTest, NonsenseIsRefused) {
  for (const char* nonsense :
       {"\x16\x03\x01\x02\r\n\r\n", "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", "GET / HTTP/3.0\r\n\r\n",
        "GET /ready HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n"}) {
    const int client = connect_client();
    send_text(client, nonsense);
    EXPECT_THAT(receive_to_end(client), testing::ContainsRegex("^HTTP/1.1 (4|505)")) << nonsense;
    ::close(client);
    received_.erase(client);
  }
  EXPECT_GE(registry_.value("http.admin.downstream_cx_protocol_error").value_or(0), 3);
  EXPECT_EQ(get("/ready").status, 200);
}

TEST_P(AdminTest, ClientsThatGoAway) {
  for (const char* part : {"", "GET /sta", "POST /reopen_logs HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nabc",
                           "GET /stats HTTP/1.1\r\nhost: x\r\n\r\n"}) {
    const int client = connect_client();
    send_text(client, part);
    worker_->turn(milliseconds(1));
    const linger reset{1, 0};
    setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    ::close(client);
    received_.erase(client);
  }
  EXPECT_TRUE(run_until([&] { return registry_.value("listener.admin.downstream_cx_active") == 0; }));
  EXPECT_EQ(port_.reopened_, 0);
}

// A client that sends its request and then FIN still gets its answer.
TEST_P(AdminTest, HalfClose) {
  const int client = connect_client();
  send_text(client, "GET /ready HTTP/1.1\r\nhost: x\r\n\r\n");
  shutdown(client, SHUT_WR);
  EXPECT_THAT(receive_to_end(client), EndsWith("\r\n\r\nLIVE\n"));
}

TEST_P(AdminTest, ALargePageIsMadeAsItIsRead) {
  for (int cluster = 0; cluster < 2000; ++cluster) {
    ClusterStatus status{.name = "cluster_" + std::to_string(cluster)};
    for (int host = 0; host < 5; ++host)
      status.hosts.push_back({.address = *Address::from_ip("10.0.0.1", static_cast<uint16_t>(1 + host))});
    port_.clusters_.push_back(status);
  }
  const int client = connect_client();
  const int some = 128 * 1024;
  setsockopt(client, SOL_SOCKET, SO_RCVBUF, &some, sizeof some);
  send_text(client, "GET /clusters?format=json HTTP/1.1\r\nhost: x\r\n\r\n");
  run_until([] { return false; }, milliseconds(100));
  // Nobody reads: what was made is what the sockets and one window hold.
  const auto sent = registry_.value("http.admin.downstream_cx_tx_bytes_total").value_or(0);
  EXPECT_LT(sent, 5'000'000);
  // Others are served meanwhile.
  EXPECT_EQ(get("/ready").body, "LIVE\n");
  const HttpReply reply = receive_reply(client);
  EXPECT_GT(reply.body.size(), 7'000'000U);
  EXPECT_THAT(reply.body.substr(reply.body.size() - 40), EndsWith("\n ]\n}\n"));
}

// Requests without end from a client that never reads must not pile up answers.
TEST_P(AdminTest, AsksAndNeverReads) {
  const int client = connect_client();
  const int small = 4096;
  setsockopt(client, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
  const std::string ask = "GET /help HTTP/1.1\r\nhost: x\r\n\r\n";
  for (int index = 0; index < 20000; ++index) {
    if (send(client, ask.data(), ask.size(), MSG_NOSIGNAL | MSG_DONTWAIT) <= 0) break;
    if (index % 10 == 0) worker_->turn(Duration::zero());
  }
  const auto answered = registry_.value("http.admin.downstream_rq_total").value_or(0);
  run_until([] { return false; }, milliseconds(50));
  EXPECT_LT(registry_.value("http.admin.downstream_rq_total").value_or(0), answered + 100);
  EXPECT_LT(registry_.value("http.admin.downstream_rq_total").value_or(0), 5000);
  EXPECT_EQ(get("/ready").body, "LIVE\n");
}

TEST_P(AdminTest, IdleConnectionsGiveWay) {
  std::vector<int> clients;
  for (uint32_t index = 0; index < limits::admin_connections_max; ++index) {
    clients.push_back(connect_client());
    worker_->turn(Duration::zero());
  }
  EXPECT_TRUE(run_until(
      [&] { return registry_.value("listener.admin.downstream_cx_active") == limits::admin_connections_max; }));
  EXPECT_EQ(get("/ready").body, "LIVE\n");
  EXPECT_EQ(receive_to_end(clients.front()), "");
}

TEST_P(AdminTest, OverAUnixSocket) {
  server_.close();
  EXPECT_TRUE(run_until([&] { return server_.quiet(); }));
  const std::string path = testing::TempDir() + "rs_admin_" + std::to_string(getpid()) + ".sock";
  AdminServer on_pipe(*worker_, AdminContext{port_, registry_, gauges_});
  ASSERT_TRUE(on_pipe.start(*Address::from_path(path)).has_value());
  const int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const Address address = *Address::from_path(path);
  ASSERT_EQ(connect(client, address.data(), address.size()), 0);
  received_[client];
  send_text(client, "GET /ready HTTP/1.1\r\nhost: x\r\n\r\n");
  EXPECT_EQ(receive_reply(client).body, "LIVE\n");
  on_pipe.close();
  EXPECT_TRUE(run_until([&] { return on_pipe.quiet(); }));
  worker_->turn(Duration::zero());
  unlink(path.c_str());
}

TEST_P(AdminTest, ABusyAddressIsSaid) {
  AdminServer second(*worker_, AdminContext{port_, registry_, gauges_});
  const auto started = second.start(server_.address());
  ASSERT_FALSE(started.has_value());
  EXPECT_EQ(started.error(), "cannot bind '" + server_.address().text() + "': Address already in use");
}

// --- Parts -------------------------------------------------------------------------------------------------------------------------

TEST(AdminQueryTest, Decodes) {
  const AdminQuery query("a=1&b&c=%41%zz+%4&=x&&a=2&%64=");
  EXPECT_EQ(query.find("a"), "1");
  EXPECT_EQ(query.find("b"), "");
  EXPECT_EQ(query.find("c"), "A%zz+%4");
  EXPECT_EQ(query.find("d"), "");
  EXPECT_FALSE(query.has("e"));
  EXPECT_TRUE(AdminQuery("").all().empty());
}

TEST(AdminJsonTest, EscapesText) {
  std::string out;
  append_json_text(out, "a\"\\\n\t\x01\x7f<b>\xc3\xa9\xff\xe2\x80\xa8\xed\xa0\x80z");
  EXPECT_EQ(out, "\"a\\\"\\\\\\n\\t\\u0001\\u007f\\u003cb\\u003e\xc3\xa9\\ufffd\\u2028\\ufffd\\ufffd\\ufffdz\"");
}

TEST(AdminJsonTest, Layout) {
  JsonWriter json;
  json.begin_object().key("a").begin_array().number(1).text("x").begin_object().end_object().end_array();
  json.key("b").begin_object().key("c").boolean(false).key("d").number_text(7).end_object().end_object();
  EXPECT_EQ(json.take(),
            "{\n \"a\": [\n  1,\n  \"x\",\n  {}\n ],\n \"b\": {\n  \"c\": false,\n  \"d\": \"7\"\n }\n}\n");
}

}  // namespace
}  // namespace ringside
