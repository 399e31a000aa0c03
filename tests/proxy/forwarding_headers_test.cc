#include "proxy/forwarding_headers.h"

#include <gtest/gtest.h>

#include <memory>

namespace ringside {
namespace {

constexpr RandomBits random_bits{0x0123456789abcdef, 0xfedcba9876543210};
constexpr std::string_view generated_id = "01234567-89ab-4def-bedc-ba9876543210";

Address ip(std::string_view text, uint16_t port = 0) { return Address::from_ip(text, port).value(); }

NodeSpec node() {
  NodeSpec spec;
  spec.id = "node-1";
  spec.cluster = "frontend";
  return spec;
}

using Fields = std::vector<std::pair<std::string, std::string>>;

// One request or response and its way through a policy.
struct Message {
  explicit Message(Fields fields = {}) : kept(std::move(fields)) {
    for (const auto& [name, value] : kept) head.fields.add(name, value);
  }
  ClientFacts request(const HttpManagerSpec& spec, std::string_view peer = "203.0.113.9", bool tls = false) {
    policy = std::make_unique<ForwardingPolicy>(spec, node(), ip("192.0.2.2"));
    return policy->on_request(head, {.peer = peer.empty() ? Address() : ip(peer, 4000), .tls = tls}, random_bits);
  }
  std::string value(std::string_view name) const {
    const HeaderField* field = head.fields.find(name);
    return field == nullptr ? "(none)" : std::string(field->value());
  }
  size_t count(std::string_view name) const {
    size_t found = 0;
    for (const HeaderField& field : head.fields) found += field.name() == name;
    return found;
  }

  Fields kept;
  std::unique_ptr<ForwardingPolicy> policy;  // its texts are in the fields
  ArenaPool pool;
  Arena arena{pool};
  Head head{arena};
};

HttpManagerSpec edge(uint32_t trusted_hops = 0) {
  HttpManagerSpec spec;
  spec.use_remote_address = true;
  spec.xff_trusted_hops = trusted_hops;
  return spec;
}

HttpManagerSpec with_internal(HttpManagerSpec spec) {
  spec.internal_ranges = {{ip("10.0.0.0"), 8}, {ip("127.0.0.0"), 8}};
  return spec;
}

// --- who is the client -----------------------------------------------------------------------------------------------

struct XffCase {
  const char* forwarded_for;  // null: no such field
  const char* address;
  const char* forwarded_for_after;
};

TEST(ForwardingHeadersTest, EdgeTrustsItsPeerOnly) {
  const XffCase cases[] = {{nullptr, "203.0.113.9", "203.0.113.9"},
                           {"10.1.1.1, 8.8.8.8", "203.0.113.9", "10.1.1.1, 8.8.8.8,203.0.113.9"},
                           {"", "203.0.113.9", "203.0.113.9"}};
  for (const auto& [before, address, after] : cases) {
    Message message(before == nullptr ? Message() : Message(Fields{{"x-forwarded-for", before}}));
    const ClientFacts client = message.request(edge());
    EXPECT_EQ(client.address.ip_text(), address);
    EXPECT_TRUE(client.is_edge);
    EXPECT_FALSE(client.is_internal);
    EXPECT_FALSE(client.is_forwarded);
    EXPECT_EQ(message.value("x-forwarded-for"), after);
    EXPECT_EQ(message.value("x-envoy-external-address"), address);
    EXPECT_EQ(message.count("x-forwarded-for"), 1u);
  }
}

// Each was seen at Envoy 1.40, but for the zone, which Envoy reads as one of its own interfaces.
TEST(ForwardingHeadersTest, EdgeBehindOneTrustedProxy) {
  const XffCase cases[] = {{nullptr, "203.0.113.9", "203.0.113.9"},
                           {"1.2.3.4", "1.2.3.4", "1.2.3.4,203.0.113.9"},
                           {"10.1.1.1, 8.8.8.8", "8.8.8.8", "10.1.1.1, 8.8.8.8,203.0.113.9"},
                           {"1.2.3.4,", "203.0.113.9", "1.2.3.4,,203.0.113.9"},
                           {"bad", "203.0.113.9", "bad,203.0.113.9"},
                           {"1.2.3.4:80", "203.0.113.9", "1.2.3.4:80,203.0.113.9"},
                           {"[2001:db8::1]", "203.0.113.9", "[2001:db8::1],203.0.113.9"},
                           {"2001:db8::1", "2001:db8::1", "2001:db8::1,203.0.113.9"},
                           {"01.2.3.4", "203.0.113.9", "01.2.3.4,203.0.113.9"},
                           {"1.2.3.4, , 5.6.7.8", "5.6.7.8", "1.2.3.4, , 5.6.7.8,203.0.113.9"},
                           {"fe80::1%eth0", "203.0.113.9", "fe80::1%eth0,203.0.113.9"}};
  for (const auto& [before, address, after] : cases) {
    Message message(before == nullptr ? Message() : Message(Fields{{"x-forwarded-for", before}}));
    const ClientFacts client = message.request(edge(1));
    EXPECT_EQ(client.address.ip_text(), address) << (before == nullptr ? "-" : before);
    EXPECT_EQ(message.value("x-forwarded-for"), after);
    EXPECT_EQ(message.value("x-envoy-external-address"), address);
  }
}

TEST(ForwardingHeadersTest, SeveralLinesAreOneList) {
  Message message(Fields{{"x-forwarded-for", "1.2.3.4"}, {"x", "y"}, {"x-forwarded-for", "5.6.7.8"}});
  EXPECT_EQ(message.request(edge(1)).address.ip_text(), "5.6.7.8");
  EXPECT_EQ(message.value("x-forwarded-for"), "1.2.3.4,5.6.7.8,203.0.113.9");
  EXPECT_EQ(message.count("x-forwarded-for"), 1u);
}

// Also where nothing is added to them.
TEST(ForwardingHeadersTest, SeveralLinesAreOneListBehindAProxyOfOurs) {
  Message message(Fields{{"x-forwarded-for", "1.2.3.4, 2.3.4.5"}, {"x", "y"}, {"x-forwarded-for", "5.6.7.8"}});
  EXPECT_EQ(message.request({}).address.ip_text(), "5.6.7.8");
  EXPECT_EQ(message.value("x-forwarded-for"), "1.2.3.4, 2.3.4.5,5.6.7.8");
  EXPECT_EQ(message.count("x-forwarded-for"), 1u);
}

TEST(ForwardingHeadersTest, BehindAProxyOfOurs) {
  Message message(Fields{{"x-forwarded-for", "8.8.8.8, 1.2.3.4"}});
  const ClientFacts client = message.request({});
  EXPECT_EQ(client.address.ip_text(), "1.2.3.4");
  EXPECT_TRUE(client.is_forwarded);
  EXPECT_FALSE(client.is_edge);
  EXPECT_EQ(message.value("x-forwarded-for"), "8.8.8.8, 1.2.3.4") << "our peer wrote it";
  EXPECT_EQ(message.value("x-envoy-external-address"), "(none)");
  HttpManagerSpec hops;
  hops.xff_trusted_hops = 1;
  Message hopped(Fields{{"x-forwarded-for", "8.8.8.8, 1.2.3.4"}});
  EXPECT_EQ(hopped.request(hops).address.ip_text(), "8.8.8.8");
  Message short_list(Fields{{"x-forwarded-for", "8.8.8.8"}});
  EXPECT_EQ(short_list.request(hops).address.ip_text(), "203.0.113.9");
  Message none;
  EXPECT_EQ(none.request({}).address.text(), "203.0.113.9:4000");
}

TEST(ForwardingHeadersTest, LoopbackPeersAreNamedByTheMachine) {
  Message message;
  EXPECT_EQ(message.request(edge(), "127.0.0.1").address.ip_text(), "127.0.0.1");
  EXPECT_EQ(message.value("x-forwarded-for"), "192.0.2.2");
  EXPECT_EQ(message.value("x-envoy-external-address"), "127.0.0.1");
  Message unix_socket;
  EXPECT_FALSE(unix_socket.request(edge(), "").address.is_ip());
  EXPECT_EQ(unix_socket.value("x-forwarded-for"), "(none)");
  EXPECT_EQ(unix_socket.value("x-envoy-external-address"), "(none)");
  HttpManagerSpec skip = edge();
  skip.skip_xff_append = true;
  Message skipped(Fields{{"x-forwarded-for", "1.1.1.1"}});
  skipped.request(skip);
  EXPECT_EQ(skipped.value("x-forwarded-for"), "1.1.1.1");
}

TEST(ForwardingHeadersTest, NobodyIsInternalByDefault) {
  for (const char* peer : {"127.0.0.1", "10.0.0.1", "192.168.0.1", "::1"}) {
    Message message;
    EXPECT_FALSE(message.request(edge(), peer).is_internal) << peer;
    EXPECT_EQ(message.value("x-envoy-internal"), "(none)");
  }
  Message forwarded(Fields{{"x-forwarded-for", "10.1.1.1"}});
  EXPECT_FALSE(forwarded.request({}).is_internal);
}

TEST(ForwardingHeadersTest, UnixSocketsAreInternalWhenToldSo) {
  for (const bool told : {false, true}) {
    HttpManagerSpec spec = edge();
    spec.internal_unix_sockets = told;
    Message unix_socket;
    EXPECT_EQ(unix_socket.request(spec, "").is_internal, told);
    EXPECT_EQ(unix_socket.value("x-envoy-internal"), told ? "true" : "(none)");
    Message other;
    EXPECT_FALSE(other.request(spec, "127.0.0.1").is_internal);
  }
}

TEST(ForwardingHeadersTest, InternalIsOneHopFromAKnownRange) {
  Message direct(Fields{{"x-request-id", "mine"}});
  const ClientFacts client = direct.request(with_internal(edge()), "10.2.3.4");
  EXPECT_TRUE(client.is_internal);
  EXPECT_FALSE(client.is_edge);
  EXPECT_EQ(direct.value("x-envoy-internal"), "true");
  EXPECT_EQ(direct.value("x-request-id"), "mine");
  Message two_hops(Fields{{"x-forwarded-for", "10.1.1.1"}});
  EXPECT_FALSE(two_hops.request(with_internal(edge()), "10.2.3.4").is_internal) << "somebody forwarded it";
  Message one_word(Fields{{"x-forwarded-for", "10.1.1.1"}});
  EXPECT_TRUE(one_word.request(with_internal({})).is_internal);
  Message two_words(Fields{{"x-forwarded-for", "10.1.1.1,10.1.1.2"}});
  EXPECT_FALSE(two_words.request(with_internal({})).is_internal);
  Message silent;
  EXPECT_FALSE(silent.request(with_internal({}), "10.2.3.4").is_internal) << "a proxy of ours would have said";
}

// --- what a client may not say ---------------------------------------------------------------------------------------

const Fields claims = {{"x-envoy-max-retries", "9"},
                       {"x-envoy-retry-on", "5xx"},
                       {"x-envoy-retry-grpc-on", "x"},
                       {"x-envoy-retriable-status-codes", "1"},
                       {"x-envoy-retriable-header-names", "1"},
                       {"x-envoy-upstream-rq-timeout-ms", "777"},
                       {"x-envoy-upstream-rq-per-try-timeout-ms", "1"},
                       {"x-envoy-upstream-rq-timeout-alt-response", "1"},
                       {"x-envoy-upstream-alt-stat-name", "1"},
                       {"x-envoy-hedge-on-per-try-timeout", "1"},
                       {"x-envoy-force-trace", "1"},
                       {"x-envoy-ip-tags", "1"},
                       {"x-envoy-original-url", "1"},
                       {"x-envoy-expected-rq-timeout-ms", "5"},
                       {"x-envoy-internal", "true"},
                       {"x-forwarded-client-cert", "x"},
                       {"x-envoy-original-path", "/z"},
                       {"x-envoy-original-host", "z"},
                       {"x-envoy-decorator-operation", "q"},
                       {"x-envoy-downstream-service-cluster", "c"},
                       {"x-envoy-downstream-service-node", "n"},
                       {"x_envoy_internal", "true"},
                       {"x-forwarded_for", "1.1.1.1"},
                       {"x-something", "kept"},
                       {"x-envoy-peer-metadata", "kept"}};

std::string claims_left(const HttpManagerSpec& spec, std::string_view peer) {
  Message message(claims);
  message.request(spec, peer);
  std::string left;
  for (const auto& [name, value] : claims)
    if (message.value(name) == value) left += name + " ";
  return left;
}

TEST(ForwardingHeadersTest, ClaimsOfStrangersAreRemoved) {
  EXPECT_EQ(claims_left(edge(), "203.0.113.9"), "x-something x-envoy-peer-metadata ");
  EXPECT_EQ(
      claims_left({}, "203.0.113.9"),
      "x-envoy-original-path x-envoy-original-host x-envoy-decorator-operation x-envoy-downstream-service-cluster "
      "x-envoy-downstream-service-node x-something x-envoy-peer-metadata ");
  const std::string internal = claims_left(with_internal(edge()), "10.0.0.1");
  EXPECT_NE(internal.find("x-envoy-retry-on "), std::string::npos);
  EXPECT_NE(internal.find("x-envoy-force-trace "), std::string::npos);
  EXPECT_EQ(internal.find("x-forwarded-client-cert"), std::string::npos);
}

std::string client_cert_after(ForwardClientCert how, Fields fields, const std::string* element) {
  HttpManagerSpec spec = edge();
  spec.client_cert.how = how;
  Message message(std::move(fields));
  message.policy = std::make_unique<ForwardingPolicy>(spec, node(), ip("192.0.2.2"));
  message.policy->on_request(message.head, {.peer = ip("203.0.113.9"), .tls = true, .client_cert = element}, random_bits);
  EXPECT_LE(message.count("x-forwarded-client-cert"), 1u);
  return message.value("x-forwarded-client-cert");
}

TEST(ForwardingHeadersTest, ClientCertificatesAreToldByMode) {
  using Mode = ForwardClientCert;
  const Fields none{}, two{{"x-forwarded-client-cert", "a"}, {"x", "y"}, {"x-forwarded-client-cert", "b"}};
  const std::string mine = "Hash=1";
  EXPECT_EQ(client_cert_after(Mode::sanitize, two, &mine), "(none)");
  EXPECT_EQ(client_cert_after(Mode::forward_only, two, &mine), "a,b");
  EXPECT_EQ(client_cert_after(Mode::forward_only, two, nullptr), "(none)");
  EXPECT_EQ(client_cert_after(Mode::append_forward, two, &mine), "a,b,Hash=1");
  EXPECT_EQ(client_cert_after(Mode::append_forward, none, &mine), "Hash=1");
  EXPECT_EQ(client_cert_after(Mode::append_forward, two, nullptr), "(none)");
  EXPECT_EQ(client_cert_after(Mode::sanitize_set, two, &mine), "Hash=1");
  EXPECT_EQ(client_cert_after(Mode::sanitize_set, two, nullptr), "(none)");
  EXPECT_EQ(client_cert_after(Mode::always_forward_only, two, nullptr), "a,b");
}

TEST(ForwardingHeadersTest, TheInternalMarkIsOurs) {
  Message message(Fields{{"x-envoy-internal", "true"}, {"x-envoy-internal", "true"}});
  message.request(with_internal(edge()), "10.0.0.1");
  EXPECT_EQ(message.count("x-envoy-internal"), 1u);
}

TEST(ForwardingHeadersTest, TrailersSayNothingAboutTheClient) {
  Message message(Fields{{"x-envoy-internal", "true"},
                         {"x-envoy-anything", "1"},
                         {"x-forwarded-for", "1.1.1.1"},
                         {"x-forwarded-client-cert", "x"},
                         {"x_forwarded_for", "x"},
                         {"x-request-id", "x"},
                         {"grpc-status", "0"}});
  ForwardingPolicy::on_request_trailers(message.head.fields);
  EXPECT_EQ(message.head.fields.size(), 1u);
  EXPECT_EQ(message.value("grpc-status"), "0");
}

TEST(ForwardingHeadersTest, BadReferersGo) {
  for (const char* good : {"http://a.com/x", "/rel", "a.com", "https://a.com", "ftp://x/y", "http://[::1]:80/",
                           "http://h?x", "//h/x", "?q", "x", "a:80", "android-app://x"}) {
    Message message(Fields{{"referer", good}});
    message.request({});
    EXPECT_EQ(message.value("referer"), good);
  }
  for (const char* bad : {"http://a b", "http://", "http://a.com/\xe9", "about:blank", "http://a:99999/",
                          "http://u:p@h/", "/a b", "http:///x", "http://h:/", "a:b", "mailto:x@y", ""}) {
    Message message(Fields{{"referer", bad}});
    message.request({});
    EXPECT_EQ(message.value("referer"), "(none)") << bad;
  }
  Message twice(Fields{{"referer", "/a"}, {"referer", "/b"}});
  twice.request({});
  EXPECT_EQ(twice.count("referer"), 0u);
}

// --- the other fields ------------------------------------------------------------------------------------------------

TEST(ForwardingHeadersTest, ForwardedProto) {
  const auto proto = [](const HttpManagerSpec& spec, const char* before, bool tls) {
    Message message(before == nullptr ? Message() : Message(Fields{{"x-forwarded-proto", before}}));
    message.request(spec, "203.0.113.9", tls);
    EXPECT_EQ(message.count("x-forwarded-proto"), 1u);
    return message.value("x-forwarded-proto") + " " + std::string(message.head.scheme);
  };
  EXPECT_EQ(proto({}, nullptr, false), "http http");
  EXPECT_EQ(proto({}, nullptr, true), "https https");
  EXPECT_EQ(proto({}, "https", false), "https https");
  EXPECT_EQ(proto({}, "ftp", false), "ftp http");
  EXPECT_EQ(proto({}, "", false), "http http");
  EXPECT_EQ(proto(edge(), "https", false), "http http");
  EXPECT_EQ(proto(edge(1), "https", false), "https https");
  EXPECT_EQ(proto(edge(1), nullptr, true), "https https");
}

TEST(ForwardingHeadersTest, RequestId) {
  const auto id = [](const HttpManagerSpec& spec, const char* before) {
    Message message(before == nullptr ? Message() : Message(Fields{{"x-request-id", before}}));
    message.request(spec);
    EXPECT_LE(message.count("x-request-id"), 1u);
    return message.value("x-request-id");
  };
  EXPECT_EQ(id({}, nullptr), generated_id);
  EXPECT_EQ(id({}, "theirs"), "theirs");
  EXPECT_EQ(id({}, ""), generated_id);
  EXPECT_EQ(id(edge(), "theirs"), generated_id) << "an edge makes its own";
  HttpManagerSpec preserving = edge();
  preserving.preserve_external_request_id = true;
  EXPECT_EQ(id(preserving, "theirs"), "theirs");
  EXPECT_EQ(id(preserving, nullptr), generated_id);
  HttpManagerSpec without;
  without.generate_request_id = false;
  EXPECT_EQ(id(without, nullptr), "(none)");
  EXPECT_EQ(id(without, "theirs"), "theirs");
}

TEST(ForwardingHeadersTest, UserAgentAndVia) {
  HttpManagerSpec spec;
  spec.add_user_agent = true;
  spec.via = "v1 x";
  Message message(Fields{{"via", "1.0 a"}, {"user-agent", "curl"}, {"x-envoy-downstream-service-cluster", "forged"}});
  message.request(spec);
  EXPECT_EQ(message.value("via"), "1.0 a, v1 x");
  EXPECT_EQ(message.value("user-agent"), "curl");
  EXPECT_EQ(message.value("x-envoy-downstream-service-cluster"), "frontend");
  EXPECT_EQ(message.value("x-envoy-downstream-service-node"), "node-1");
  Message anonymous;
  anonymous.request(spec);
  EXPECT_EQ(anonymous.value("user-agent"), "frontend");
  EXPECT_EQ(anonymous.value("via"), "v1 x");
}

TEST(ForwardingHeadersTest, WishesOfTheClient) {
  const auto wished = [](Fields fields, bool respect = false) {
    Message message(std::move(fields));
    HttpManagerSpec spec;
    spec.respect_expected_timeout = respect;
    const ForwardingPolicy policy(spec, node(), ip("192.0.2.2"));
    const RouterWishes wishes = policy.take_wishes(message.head);
    for (const char* name : {"x-envoy-upstream-rq-timeout-ms", "x-envoy-upstream-rq-per-try-timeout-ms"})
      EXPECT_EQ(message.count(name), 0u);
    return wishes;
  };
  const auto timeout = [&](const char* text) { return wished({{"x-envoy-upstream-rq-timeout-ms", text}}).timeout; };
  EXPECT_FALSE(wished({}).any);
  EXPECT_EQ(timeout("777"), milliseconds(777));
  EXPECT_EQ(timeout("0"), Duration::zero());
  EXPECT_EQ(timeout("4294967295"), milliseconds(4294967295));
  for (const char* bad : {"", "-1", "1.5", "1s", " 1", "99999999999999999999", "4294967296"}) EXPECT_FALSE(timeout(bad)) << bad;
  EXPECT_EQ(wished({{"x-envoy-upstream-rq-per-try-timeout-ms", "5"}}).per_try_timeout, milliseconds(5));
  EXPECT_EQ(wished({{"x-envoy-upstream-stream-duration-ms", "5"}}).stream_duration, milliseconds(5));
  EXPECT_TRUE(wished({{"x-envoy-upstream-rq-timeout-alt-response", "1"}}).alternative_timeout_status);
  const Fields told = {{"x-envoy-expected-rq-timeout-ms", "5"}, {"x-envoy-upstream-rq-timeout-ms", "7"}};
  EXPECT_EQ(wished(told).timeout, milliseconds(7));
  EXPECT_EQ(wished(told, true).timeout, milliseconds(5));

  Message consumed(claims);
  const ForwardingPolicy policy({}, node(), ip("192.0.2.2"));
  policy.take_wishes(consumed.head);
  EXPECT_EQ(consumed.value("x-envoy-retry-on"), "(none)");
  EXPECT_EQ(consumed.value("x-envoy-hedge-on-per-try-timeout"), "(none)");
  EXPECT_EQ(consumed.value("x-envoy-peer-metadata"), "kept");
}

TEST(ForwardingHeadersTest, EnvoyHeadersCanBeSuppressed) {
  HttpManagerSpec spec;
  spec.suppress_envoy_headers = true;
  const ForwardingPolicy policy(spec, node(), ip("192.0.2.2"));
  Message message;
  policy.on_upstream_request(message.head, seconds(1));
  policy.on_upstream_response(message.head, seconds(1));
  EXPECT_EQ(message.head.fields.size(), 0u);
}

// --- responses -------------------------------------------------------------------------------------------------------

std::string answered(const HttpManagerSpec& spec, Message& response, const Message& request) {
  const ForwardingPolicy policy(spec, node(), ip("192.0.2.2"));
  SecondCache second;
  policy.on_response(response.head, request.head, second, WallTime(seconds(1'700'000'000)));
  second.http_date(WallTime(seconds(0)));  // what was written stays
  std::string text;
  for (const HeaderField& field : response.head.fields)
    text += std::string(field.name()) + ": " + std::string(field.value()) + "; ";
  return text;
}

TEST(ForwardingHeadersTest, ServerAndDate) {
  HttpManagerSpec spec;
  const Message request;
  Message local;
  EXPECT_EQ(answered(spec, local, request), "date: Tue, 14 Nov 2023 22:13:20 GMT; server: envoy; ");
  Message upstream(Fields{{"server", "up"}, {"date", "theirs"}});
  EXPECT_EQ(answered(spec, upstream, request), "server: envoy; date: theirs; ");
  spec.server_header = ServerHeader::append_if_absent;
  Message kept(Fields{{"server", "up"}, {"date", "theirs"}});
  EXPECT_EQ(answered(spec, kept, request), "server: up; date: theirs; ");
  Message absent(Fields{{"date", "theirs"}});
  EXPECT_EQ(answered(spec, absent, request), "date: theirs; server: envoy; ");
  spec.server_header = ServerHeader::pass_through;
  spec.via = "v";
  Message passed(Fields{{"date", "theirs"}, {"via", "x"}});
  EXPECT_EQ(answered(spec, passed, request), "date: theirs; via: x, v; ");
}

TEST(ForwardingHeadersTest, RequestIdInTheResponse) {
  HttpManagerSpec spec;
  spec.server_header = ServerHeader::pass_through;
  const Message plain(Fields{{"x-request-id", "r"}});
  const Message traced(Fields{{"x-request-id", "r"}, {"x-envoy-force-trace", "1"}});
  Message one(Fields{{"date", "d"}}), two(Fields{{"date", "d"}}),
      three(Fields{{"date", "d"}, {"x-request-id", "upstream's"}});
  EXPECT_EQ(answered(spec, one, plain), "date: d; ");
  EXPECT_EQ(answered(spec, two, traced), "date: d; x-request-id: r; ");
  spec.always_set_request_id_in_response = true;
  EXPECT_EQ(answered(spec, three, plain), "date: d; x-request-id: r; ");
}

TEST(ForwardingHeadersTest, ServiceTime) {
  const ForwardingPolicy policy({}, node(), ip("192.0.2.2"));
  Message message(Fields{{"x-envoy-upstream-service-time", "forged"}});
  policy.on_upstream_response(message.head, microseconds(12'999));
  EXPECT_EQ(message.value("x-envoy-upstream-service-time"), "12");
  policy.on_upstream_response(message.head, nanoseconds(-1));
  EXPECT_EQ(message.value("x-envoy-upstream-service-time"), "0");
}

}  // namespace
}  // namespace ringside
