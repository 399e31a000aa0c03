#include "proxy/observe/access_log.h"

#include <gtest/gtest.h>

#include <ctime>

#include "proxy/observe/time_format.h"

namespace ringside {
namespace {

const WallTime noon = WallTime(seconds(1'709'294'400)) + microseconds(123'456);  // 2024-03-01 12:00:00.123456

struct Line {
  Line() {
    request.method = "GET";
    request.path = "/p?q";
    request.authority = "h.com";
    request.fields.add(HeaderId::x_forwarded_for, "1.2.3.4");
    request.fields.add(HeaderId::user_agent, "curl/8");
    request.fields.add(HeaderId::x_request_id, "id-1");
    request.fields.add("x-own", "own value");
    response.fields.add(HeaderId::x_envoy_upstream_service_time, "7");
    response.fields.add(HeaderId::content_type, "text/html");
    record.start_time = noon;
    record.duration = microseconds(12'900);
    record.bytes_received = 10;
    record.bytes_sent = 1024;
    record.response_code = 200;
    record.version = HttpVersion::http11;
    record.upstream_host = "10.0.0.1:8080";
    record.upstream_cluster = "cluster";
    record.request = &request;
    record.response = &response;
  }
  std::string write(std::string_view format, AccessLogFormat::Missing missing = AccessLogFormat::Missing::dash) {
    const auto parsed = AccessLogFormat::parse(format, missing);
    if (!parsed) return "error: " + parsed.error().message + " @" + std::to_string(parsed.error().offset);
    ArenaText out(arena);
    parsed->write(record, second, out);
    return std::string(out.text());
  }

  ArenaPool pool;
  Arena arena{pool};
  Head request{arena}, response{arena};
  SecondCache second;
  AccessLogRecord record;
};

TEST(AccessLogTest, DefaultFormat) {
  Line line;
  EXPECT_EQ(
      line.write(AccessLogFormat::default_text()),
      "[2024-03-01T12:00:00.123Z] \"GET /p?q HTTP/1.1\" 200 - 10 1024 12 7 \"1.2.3.4\" \"curl/8\" \"id-1\" \"h.com\" "
      "\"10.0.0.1:8080\"\n");
  line.request.fields.add(HeaderId::x_envoy_original_path, "/before");
  line.record.flags.set(ResponseFlag::upstream_connection_failure);
  line.record.flags.set(ResponseFlag::upstream_retry_limit_exceeded);
  line.record.response_code = 503;
  line.record.upstream_host = {};
  line.response.fields.remove(HeaderId::x_envoy_upstream_service_time);
  EXPECT_EQ(
      line.write(AccessLogFormat::default_text()),
      "[2024-03-01T12:00:00.123Z] \"GET /before HTTP/1.1\" 503 UF,URX 10 1024 12 - \"1.2.3.4\" \"curl/8\" \"id-1\" "
      "\"h.com\" \"-\"\n");
}

// What Envoy writes of bytes that were no request, and of a TCP connection.
TEST(AccessLogTest, RecordsWithNextToNothing) {
  Line line;
  AccessLogRecord garbage;
  garbage.start_time = noon;
  garbage.version = HttpVersion::http11;
  garbage.response_code = 400;
  garbage.bytes_sent = 11;
  garbage.flags.set(ResponseFlag::downstream_protocol_error);
  line.record = garbage;
  EXPECT_EQ(line.write(AccessLogFormat::default_text()),
            "[2024-03-01T12:00:00.123Z] \"- - HTTP/1.1\" 400 DPE 0 11 0 - \"-\" \"-\" \"-\" \"-\" \"-\"\n");
  line.record = AccessLogRecord();
  EXPECT_EQ(line.write(AccessLogFormat::default_text()),
            "[1970-01-01T00:00:00.000Z] \"- - -\" 0 - 0 0 0 - \"-\" \"-\" \"-\" \"-\" \"-\"\n");
  EXPECT_EQ(line.write("%DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_LOCAL_PORT% %ROUTE_NAME% %REQUEST_DURATION% "
                       "%RESPONSE_TX_DURATION% %PATH% %REQUESTED_SERVER_NAME%"),
            "- - - - - - -");
}

TEST(AccessLogTest, HeadersAndAlternatives) {
  Line line;
  EXPECT_EQ(line.write("%REQ(X-Own)% %REQ(NOPE)% %REQ(nope?x-own)% %REQ(x-own?nope)% %RESP(Content-Type)%"),
            "own value - own value own value text/html");
  EXPECT_EQ(line.write("%REQ(:METHOD)% %REQ(:path)% %REQ(:AUTHORITY)% %REQ(Host)% %REQ(:SCHEME)% %REQ(:NOPE)%"),
            "GET /p?q h.com h.com - -");
  EXPECT_EQ(line.write("%REQ(x-own):3%|%REQ(x-own):0%|%REQ(x-own):99%|%REQ(NOPE):2%|%REQ(NOPE):0%"),
            "own||own value|-|");
  EXPECT_EQ(line.write("%REQUEST_HEADER(x-own)% %RESPONSE_HEADER(content-type):4% %PATH%"), "own value text /p?q");
}

TEST(AccessLogTest, AddressesAndNames) {
  Line line;
  const Address direct = *Address::from_ip("10.9.8.7", 1234), forwarded = *Address::from_ip("2001:db8::1", 0),
                local = *Address::from_ip("10.0.0.2", 443), path = *Address::from_path("/run/x");
  line.record.downstream_direct_remote = &direct;
  line.record.downstream_local = &local;
  line.record.upstream_local = &path;
  const char* format =
      "%DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_REMOTE_PORT% "
      "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_PORT% %UPSTREAM_LOCAL_ADDRESS%";
  EXPECT_EQ(line.write(format), "10.9.8.7:1234 10.9.8.7 1234 10.9.8.7:1234 10.0.0.2:443 443 /run/x");
  line.record.downstream_remote = &forwarded;
  EXPECT_EQ(line.write(format), "[2001:db8::1]:0 2001:db8::1 0 10.9.8.7:1234 10.0.0.2:443 443 /run/x");

  line.record.route_name = "route";
  line.record.response_code_details = "via upstream";
  line.record.upstream_transport_failure_reason = "connection refused";
  line.record.connection_termination_details = "a\nb";
  line.record.connection_id = 18'446'744'073'709'551'615u;
  EXPECT_EQ(line.write("%ROUTE_NAME% %UPSTREAM_CLUSTER% %RESPONSE_CODE_DETAILS% %UPSTREAM_TRANSPORT_FAILURE_REASON% "
                       "%CONNECTION_TERMINATION_DETAILS% %CONNECTION_ID% %CONNECTION_ID:3%"),
            "route cluster via_upstream connection_refused a_b 18446744073709551615 184");
}

TEST(AccessLogTest, Durations) {
  Line line;
  line.record.duration = milliseconds(100);
  line.record.request_duration = milliseconds(5);
  line.record.response_duration = microseconds(30'500);
  EXPECT_EQ(line.write("%DURATION% %REQUEST_DURATION% %RESPONSE_DURATION% %RESPONSE_TX_DURATION%"), "100 5 30 69");
  line.record.duration = milliseconds(-5);
  EXPECT_EQ(line.write("%DURATION%"), "0");
}

TEST(AccessLogTest, WebSockets) {
  constexpr std::string_view format =
      "%WEBSOCKET_CLOSE_CODE% %WEBSOCKET_CLOSED_BY% %WEBSOCKET_MESSAGES_RECEIVED% %WEBSOCKET_MESSAGES_SENT% "
      "%WEBSOCKET_BYTES_RECEIVED% %WEBSOCKET_BYTES_SENT% %WEBSOCKET_CLOSED_BY:2%";
  Line line;
  EXPECT_EQ(line.write(format), "- - - - - - -");
  const WebSocketRecord seen{.messages_received = 1, .messages_sent = 2, .bytes_received = 3, .bytes_sent = 4, .close_code = 1009, .closed_by = "proxy"};
  line.record.websocket = &seen;
  EXPECT_EQ(line.write(format), "1009 proxy 1 2 3 4 pr");
}

TEST(AccessLogTest, Flags) {
  Line line;
  EXPECT_EQ(line.write("%RESPONSE_FLAGS% %RESPONSE_FLAGS_LONG%"), "- -");
  line.record.flags.set(ResponseFlag::no_route_found);
  line.record.flags.set(ResponseFlag::failed_local_health_check);
  line.record.flags.set(ResponseFlag::drop_overload);
  EXPECT_EQ(line.write("%RESPONSE_FLAGS%"), "LH,NR,DO");
  EXPECT_EQ(line.write("%RESPONSE_FLAGS_LONG%"), "FailedLocalHealthCheck,NoRouteFound,DropOverload");
  ResponseFlags all;
  for (uint32_t flag = 0; flag < static_cast<uint32_t>(ResponseFlag::count_); ++flag)
    all.set(static_cast<ResponseFlag>(flag));
  char text[ResponseFlags::text_bytes_max];
  EXPECT_EQ(std::string_view(text, all.write(text)),
            "LH,UH,UT,LR,UR,UF,UC,UO,NR,DI,FI,RL,UAEX,RLSE,DC,URX,SI,IH,DPE,UMSDR,RFCF,NFCF,DT,UPE,NC,OM,DF,DO");
}

// One record is one line, whatever a client sends and however it got past the codec.
TEST(AccessLogTest, ControlCharactersAreEscaped) {
  Line line;
  std::string every;
  for (int c = 1; c < 128; ++c) every += static_cast<char>(c);
  line.request.fields.add("x-every", every);
  const std::string text = line.write("%REQ(X-EVERY)%");
  for (const char c : text) EXPECT_TRUE(c == '\t' || (c >= 0x20 && c < 0x7f)) << int(c);
  EXPECT_NE(text.find("\\x0a"), std::string::npos);
  EXPECT_NE(text.find("\\x7f"), std::string::npos);
  EXPECT_NE(text.find("!\"#$%&'()"), std::string::npos);
  for (size_t at = 0; at < 20; ++at) {  // wherever it lies in a group of eight
    std::string value(20, 'v');
    value[at] = '\n';
    line.request.fields.set("x-every", value);
    EXPECT_EQ(line.write("%REQ(X-EVERY)%"), std::string(at, 'v') + "\\x0a" + std::string(19 - at, 'v'));
    value[at] = '\xff';
    line.request.fields.set("x-every", value);
    EXPECT_EQ(line.write("%REQ(X-EVERY)%"), value) << "not for us to judge";
  }
}

TEST(AccessLogTest, MissingAsNothing) {
  Line line;
  EXPECT_EQ(line.write("<%REQ(NOPE)%%RESPONSE_FLAGS%%REQUEST_DURATION%>", AccessLogFormat::Missing::nothing), "<->");
}

TEST(AccessLogTest, LiteralsAndPercentSigns) {
  Line line;
  EXPECT_EQ(line.write(""), "");
  EXPECT_EQ(line.write("100%% sure\n"), "100% sure\n");
  EXPECT_EQ(line.write("%%%RESPONSE_CODE%%%"), "%200%");
}

TEST(AccessLogTest, BadFormats) {
  Line line;
  EXPECT_EQ(line.write("ab %NOT_ONE% c"), "error: unknown operator %NOT_ONE% @3");
  EXPECT_EQ(line.write("%"), "error: the operator % does not end with % @0");
  EXPECT_EQ(line.write("x %PROTOCOL"), "error: the operator %PROTOCOL does not end with % @2");
  EXPECT_EQ(line.write("%REQ(A"), "error: %REQ: its parenthesis is not closed @4");
  EXPECT_EQ(line.write("%REQ%"), "error: %REQ% needs the name of a header @0");
  EXPECT_EQ(line.write("%REQ()%"), "error: %REQ% needs the name of a header @0");
  EXPECT_EQ(line.write("%REQ(?B)%"), "error: %REQ% needs the name of a header @0");
  EXPECT_EQ(line.write("%REQ(A?)%"), "error: %REQ%: one alternative header may follow the question mark @0");
  EXPECT_EQ(line.write("%REQ(A?B?C)%"), "error: %REQ%: one alternative header may follow the question mark @0");
  EXPECT_EQ(line.write("%REQ(A):x%"), "error: %REQ: a number of bytes must follow the colon @7");
  EXPECT_EQ(line.write("%PROTOCOL(x)%"), "error: %PROTOCOL% takes no argument @0");
  EXPECT_EQ(line.write("%lower%"), "error: the operator % does not end with % @0");
  EXPECT_EQ(line.write("%START_TIME(%Q)%"),
            "error: %START_TIME%: unknown conversion \"%Q\" in the format of a time @0");
  EXPECT_EQ(line.write("%START_TIME(" + std::string(600, 'x') + ")%"),
            "error: %START_TIME%: the format of a time is too long @0");
}

TEST(AccessLogTest, StartTimeFormats) {
  Line line;
  EXPECT_EQ(line.write("%START_TIME(%Y/%m/%dT%H:%M:%S%z)%"), "2024/03/01T12:00:00+0000");
  EXPECT_EQ(line.write("%START_TIME(%s.%3f)%"), "1709294400.123");
  EXPECT_EQ(line.write("%START_TIME(%f %1f %6f %9f)%"), "123456000 1 123456 123456000");
  EXPECT_EQ(line.write("%START_TIME(%E3S %E*S %Ez %S)%"), "00.123 00.123456 +00:00 00");
  EXPECT_EQ(line.write("%START_TIME(%a %A %b %B %e %j %y %I %p %Z %T %D %F %R %%)%"),
            "Fri Friday Mar March  1 061 24 12 PM UTC 12:00:00 03/01/24 2024-03-01 12:00 %");
  EXPECT_EQ(line.write("%START_TIME%"), "2024-03-01T12:00:00.123Z");
  EXPECT_EQ(line.write("%START_TIME():10%"), "2024-03-01");
  line.record.start_time = WallTime(seconds(1) + milliseconds(-1));
  EXPECT_EQ(line.write("%START_TIME%"), "1970-01-01T00:00:00.999Z");
  line.record.start_time = WallTime(milliseconds(-1));
  EXPECT_EQ(line.write("%START_TIME%"), "1969-12-31T23:59:59.999Z") << "a clock that is off must not break a line";
}

TEST(AccessLogTest, TimesEqualTheSystems) {
  SecondCache cache;
  for (int64_t second = -86'400 * 400; second < 5'000'000'000; second += 7'654'321) {
    const time_t raw = second;
    tm broken{};
    gmtime_r(&raw, &broken);
    char text[200];
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S|%a, %d %b %Y %H:%M:%S GMT|%A %B %j %y %e %I %p", &broken);
    const WallTime time{seconds(second)};
    std::string ours = std::string(cache.iso(time)) + "|" + std::string(cache.http_date(time)) + "|";
    char rest[time_text_bytes_max];
    ours.append(rest, write_time(rest, "%A %B %j %y %e %I %p", time, cache.civil(time)));
    EXPECT_EQ(ours, text);
  }
}

// A sink that passes on what it has whenever it needs room: formatting must not look back.
class TinySink final : public TextSink {
 public:
  std::string all() {
    passed_.append(begin_, size());
    begin_ = at_;
    return passed_;
  }

 private:
  void grow(size_t bytes) override {
    if (begin_ != nullptr) passed_.append(begin_, size());
    memory_ = std::make_unique<char[]>(bytes);
    begin_ = at_ = memory_.get();
    end_ = begin_ + bytes;
  }
  std::unique_ptr<char[]> memory_;
  std::string passed_;
};

TEST(AccessLogTest, AnySinkGetsTheSameText) {
  Line line;
  line.record.route_name = "a long\nroute name with a line end";
  const std::string format =
      std::string(AccessLogFormat::default_text()) + "%ROUTE_NAME% %CONNECTION_ID:1% %RESPONSE_FLAGS_LONG%";
  TinySink sink;
  AccessLogFormat::parse(format)->write(line.record, line.second, sink);
  EXPECT_EQ(sink.all(), line.write(format));
}

}  // namespace
}  // namespace ringside
