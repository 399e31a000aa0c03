// Who may open a WebSocket, and for what: the filter's part before the upgrade, and what it makes of the answer.
#include "proxy/filters/websocket_inspection.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "codecs/websocket/ws_frame.h"
#include "proxy/shard.h"
#include "tests/codecs/ws_harness.h"
#include "tests/sim/sim_world.h"

namespace ringside {
namespace {

using Fields = std::vector<std::pair<std::string, std::string>>;

// An exchange, as far as a filter sees one.
class Host final : public FilterHost {
 public:
  Arena& arena() override { return arena_; }
  Worker& worker() override { return world_.worker; }
  Shard& shard() override { return shard_; }
  HttpVersion downstream_version() const override { return HttpVersion::http11; }
  Cluster* cluster() override { return nullptr; }
  Instant upstream_sent() const override { return {}; }
  size_t kept_bytes_max() const override { return 0; }
  Place place() const override { return {.stat_prefix = "ingress", .virtual_host = "all", .route = route}; }
  void watch_tunnel(std::unique_ptr<TunnelWatch> made) override { watch = std::move(made); }
  void answer(const Answer& answer) override { status = answer.status; }
  void resume_request() override {}
  void resume_response() override {}

  int64_t count(std::string_view name, std::string_view scope = "all") const {
    return registry_.value("http.ingress.websocket." + std::string(scope) + "." + std::string(name)).value_or(-1);
  }

  std::unique_ptr<TunnelWatch> watch;
  std::optional<uint16_t> status;
  std::string_view route;

 private:
  sim::World world_{1};
  StatsRegistry registry_{1};
  Shard shard_{world_.worker, registry_, {}};
  Arena arena_{world_.worker.arenas()};
};

// One request through the filter.
class Try {
 public:
  explicit Try(const WebSocketSpec& spec, const Fields& fields = {}, std::string_view route = {}) : filter_(spec) {
    host.route = route;
    request.upgrade = true;
    request.upgrade_protocol = "WebSocket";
    for (const auto& [name, value] : fields) request.fields.add(host.arena().copy(name), host.arena().copy(value));
    part_ = filter_.start(host, request);
    if (part_ != nullptr) verdict = part_->on_request(request, End::no);
  }
  ~Try() {
    host.watch.reset();
    if (part_ != nullptr) part_->~FilterPart();
  }
  // What the upstream answers.
  void answer(uint16_t status, const Fields& fields = {}) {
    Head response(host.arena());
    response.status = status;
    response.upgrade = status == 101;
    for (const auto& [name, value] : fields) response.fields.add(host.arena().copy(name), host.arena().copy(value));
    EXPECT_EQ(part_->on_response(response, End::no), Verdict::proceed);
  }
  // Whether the watch lets these bytes of the upstream pass.
  bool passes(const ws_test::Frame& frame) {
    return !host.watch->on_bytes(TunnelSide::upstream, ws_test::bytes_of(frame)).ends;
  }
  bool takes_part() const { return part_ != nullptr; }

  Host host;
  Head request{host.arena()};
  Verdict verdict = Verdict::proceed;

 private:
  WebSocketInspection filter_;
  FilterPart* part_ = nullptr;
};

WebSocketSpec with_origins() {
  WebSocketSpec spec;
  spec.origins = {{.text = "https://App.example.com", .ignore_case = true}, {.how = TextMatchHow::suffix, .text = ".example.org"},
                  {.how = TextMatchHow::regex, .text = "https://[a-z]+\\.test"}};
  return spec;
}

WebSocketSpec with_subprotocols() {
  WebSocketSpec spec;
  spec.subprotocols = {"chat", "v12.stomp"};
  return spec;
}

TEST(WebSocketInspection, OtherRequestsAreNoneOfItsBusiness) {
  Host host;
  WebSocketInspection filter{WebSocketSpec{}};
  Head plain(host.arena());
  EXPECT_EQ(filter.start(host, plain), nullptr);
  plain.upgrade = true;
  plain.upgrade_protocol = "foo";
  EXPECT_EQ(filter.start(host, plain), nullptr);
}

TEST(WebSocketInspection, Origins) {
  for (const char* good : {"https://app.example.com", "HTTPS://APP.EXAMPLE.COM", "https://a.example.org", "https://abc.test"}) {
    Try attempt(with_origins(), {{"origin", good}});
    EXPECT_EQ(attempt.verdict, Verdict::proceed) << good;
  }
  for (const char* bad : {"https://app.example.com.evil.net", "null", "", "https://abc.test.net", "http://app.example.com"}) {
    Try attempt(with_origins(), {{"origin", bad}});
    EXPECT_EQ(attempt.verdict, Verdict::answered) << bad;
    EXPECT_EQ(attempt.host.status, 403);
    EXPECT_EQ(attempt.host.count("rejected_origin"), 1);
  }
  Try twice(with_origins(), {{"origin", "https://abc.test"}, {"origin", "https://abc.test"}});
  EXPECT_EQ(twice.host.status, 403);
}

TEST(WebSocketInspection, ARequestWithoutOrigin) {
  EXPECT_EQ(Try(with_origins()).verdict, Verdict::proceed);
  WebSocketSpec spec = with_origins();
  spec.origin_may_be_missing = false;
  Try attempt(spec);
  EXPECT_EQ(attempt.host.status, 403);
}

TEST(WebSocketInspection, TheUpstreamHearsOfAllowedSubprotocolsOnly) {
  Try attempt(with_subprotocols(), {{"sec-websocket-protocol", "mqtt, chat"}, {"x", "y"}, {"sec-websocket-protocol", "soap,v12.stomp"}});
  EXPECT_EQ(attempt.verdict, Verdict::proceed);
  EXPECT_EQ(attempt.request.fields.find("sec-websocket-protocol")->value(), "chat, v12.stomp");
  EXPECT_EQ(attempt.request.fields.size(), 2u);
  Try same(WebSocketSpec{}, {{"sec-websocket-protocol", "mqtt,  chat"}});
  EXPECT_EQ(same.request.fields.find("sec-websocket-protocol")->value(), "mqtt,  chat");
}

TEST(WebSocketInspection, SubprotocolsThatAreNotAllowed) {
  Try other(with_subprotocols(), {{"sec-websocket-protocol", "mqtt, Chat"}});
  EXPECT_EQ(other.host.status, 403);
  EXPECT_EQ(other.host.count("rejected_subprotocol"), 1);
  Try none(with_subprotocols());
  EXPECT_EQ(none.host.status, 403);
  WebSocketSpec spec = with_subprotocols();
  spec.subprotocol_may_be_missing = true;
  EXPECT_EQ(Try(spec).verdict, Verdict::proceed);
  EXPECT_EQ(Try(spec, {{"sec-websocket-protocol", "mqtt"}}).host.status, 403);
}

TEST(WebSocketInspection, MalformedFieldsAreRefused) {
  for (const Fields& fields : {Fields{{"sec-websocket-protocol", "a b"}}, Fields{{"sec-websocket-protocol", ""}},
                               Fields{{"sec-websocket-extensions", "permessage-deflate; ="}}}) {
    Try attempt(WebSocketSpec{}, fields);
    EXPECT_EQ(attempt.host.status, 400);
    EXPECT_EQ(attempt.host.count("rejected_handshake"), 1);
  }
}

TEST(WebSocketInspection, WatchesWhatWasAgreed) {
  Try attempt(WebSocketSpec{}, {{"sec-websocket-extensions", "permessage-deflate"}});
  attempt.answer(101);
  ASSERT_NE(attempt.host.watch, nullptr);
  EXPECT_EQ(attempt.host.count("cx_active"), 1);
  EXPECT_TRUE(attempt.passes({.payload = "a", .masked = false}));
  EXPECT_FALSE(attempt.passes({.payload = "a", .rsv = 0x40, .masked = false}));  // offered, not agreed
}

TEST(WebSocketInspection, DeflateIsReadFromTheAnswer) {
  Try attempt(WebSocketSpec{});
  attempt.answer(101, {{"sec-websocket-extensions", "permessage-deflate; server_no_context_takeover"}});
  EXPECT_TRUE(attempt.passes({.payload = "\xff", .rsv = 0x40, .masked = false}));
  EXPECT_FALSE(attempt.passes({.payload = "\xff", .rsv = 0x20, .masked = false}));
}

TEST(WebSocketInspection, UnknownExtensionsMayDoAnything) {
  for (const char* text : {"x-own", "permessage-deflate, x-own;a=1", "no grammar at all"}) {
    Try attempt(WebSocketSpec{});
    attempt.answer(101, {{"sec-websocket-extensions", text}});
    EXPECT_TRUE(attempt.passes({.payload = "\xff", .rsv = 0x30, .masked = false})) << text;
  }
}

TEST(WebSocketInspection, ARefusalIsNotWatched) {
  Try attempt(WebSocketSpec{});
  attempt.answer(404);
  EXPECT_EQ(attempt.host.watch, nullptr);
}

TEST(WebSocketInspection, NamesOfStatistics) {
  Try by_route(WebSocketSpec{}, {}, "feed");
  by_route.answer(101);
  EXPECT_EQ(by_route.host.count("cx_total", "feed"), 1);
  WebSocketSpec spec;
  spec.stat_name = "own";
  Try by_name(spec, {}, "feed");
  by_name.answer(101);
  EXPECT_EQ(by_name.host.count("cx_total", "own"), 1);
}

}  // namespace
}  // namespace ringside
