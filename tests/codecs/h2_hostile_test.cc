// What a peer must not send, and what it must not do too often.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/codecs/h2_harness.h"

namespace ringside::h2_test {
namespace {

using ::testing::HasSubstr;

std::string many(size_t count, const std::string& bytes) {
  std::string all;
  for (size_t at = 0; at < count; ++at) all += bytes;
  return all;
}

// --- Malformed requests: the stream ends, the connection goes on ----------------------------------------------------------------

struct BadRequest {
  Fields fields;
  std::string wrong;
};

Fields without(const std::string& name) {
  Fields fields = request_fields();
  std::erase_if(fields, [&](const auto& field) { return field.first == name; });
  return fields;
}

Fields changed(const std::string& name, const std::string& value) {
  Fields fields = request_fields();
  for (auto& field : fields)
    if (field.first == name) field.second = value;
  return fields;
}

const BadRequest bad_requests[] = {
    {without(":method"), "missing :method"},
    {without(":scheme"), "missing :scheme"},
    {without(":path"), "missing :path"},
    {without(":authority"), "missing :authority"},
    {changed(":method", "G T"), "invalid :method"},
    {changed(":method", ""), "invalid :method"},
    {changed(":scheme", "ftp"), "unsupported :scheme"},
    {changed(":path", ""), "empty :path"},
    {changed(":path", "*"), "invalid :path"},
    {changed(":path", "http://b/"), "invalid :path"},
    {changed(":path", "/a b"), "invalid :path"},
    {changed(":path", "/a#b"), "invalid :path"},
    {changed(":path", "/\x80"), "invalid :path"},
    {changed(":authority", "user@a"), "invalid :authority"},
    {changed(":authority", "a:99999"), "invalid :authority"},
    {changed(":authority", ""), "invalid :authority"},
    {with(request_fields(), ":path", "/"), "pseudo-header field twice"},
    {with(request_fields(), ":other", "/"), "unknown pseudo-header field"},
    {with(request_fields(), ":status", "200"), ":status in a request"},
    {with(with(without(":path"), "x", "y"), ":path", "/"), "pseudo-header field after a regular one"},
    {with(request_fields(), "host", "b"), "host differs from :authority"},
    {with(with(request_fields(), "host", "a"), "host", "a"), "more than one host"},
    {with(request_fields(), "connection", "close"), "connection-specific field"},
    {with(request_fields(), "transfer-encoding", "chunked"), "connection-specific field"},
    {with(request_fields(), "upgrade", "h2c"), "connection-specific field"},
    {with(request_fields(), "keep-alive", "1"), "connection-specific field"},
    {with(request_fields(), "proxy-connection", "1"), "connection-specific field"},
    {with(request_fields(), "te", "gzip"), "te other than trailers"},
    {with(request_fields(), "Upper", "x"), "invalid field name"},
    {with(request_fields(), "sp ace", "x"), "invalid field name"},
    {with(request_fields(), "", "x"), "invalid field name"},
    {with(request_fields(), "x:y", "x"), "invalid field name"},
    {with(request_fields(), "x", "a\rb"), "invalid field value"},
    {with(request_fields(), "x", "a\nb"), "invalid field value"},
    {with(request_fields(), "x", std::string("a\0b", 3)), "invalid field value"},
    {with(request_fields(), "x", " a"), "invalid field value"},
    {with(request_fields(), "x", "a\t"), "invalid field value"},
    {with(request_fields(), "content-length", "-1"), "invalid content-length"},
    {with(request_fields(), "content-length", "1, 1"), "invalid content-length"},
    {with(request_fields(), "content-length", "99999999999999999999"), "invalid content-length"},
    {with(with(request_fields(), "content-length", "0"), "content-length", "0"), "more than one content-length"},
    {with(request_fields(), "content-length", "1"), "body is shorter than its content-length"},
    {{{":method", "CONNECT"}, {":authority", "a"}}, "CONNECT needs host and port"},
    {{{":method", "CONNECT"}}, "missing :authority"},
    {changed(":method", "CONNECT"), "CONNECT with :scheme or :path"},
};

TEST(H2Hostile, MalformedRequests) {
  for (const BadRequest& bad : bad_requests) {
    ServerEnd server;
    server.greet();
    server.feed(headers(1, bad.fields) + request(3));
    EXPECT_EQ(server.flush(), "RST_STREAM 1 1\n") << bad.wrong;
    EXPECT_EQ(server.requests.size(), 1u) << bad.wrong;
    EXPECT_EQ(server.stats.rx_messaging_error, 1u);
  }
}

TEST(H2Hostile, HostAloneIsTheAuthority) {
  ServerEnd server;
  server.greet();
  server.feed(headers(1, with(without(":authority"), "host", "h:1")) + headers(3, with(request_fields(), "host", "A")));
  EXPECT_EQ(server.requests[0]->log, "head [GET] [http] [h:1] [/] {} END");
  EXPECT_EQ(server.requests[1]->log, "head [GET] [http] [a] [/] {} END");
}

TEST(H2Hostile, BodiesThatAreNotAsAnnounced) {
  const auto with_length = [](const std::string& length) {
    return headers(1, with(request_fields("POST"), "content-length", length), 0);
  };
  for (const std::string& rest : {data(1, "abcdef"), data(1, "abc") + data(1, "def"), data(1, "a", h2::end_stream),
                                  data(1, "abcd") + headers(1, {{"x", "y"}})}) {
    ServerEnd server;
    server.greet();
    server.feed(with_length("5") + rest);
    EXPECT_TRUE(server.last().was_reset);
    EXPECT_EQ(server.flush(), "RST_STREAM 1 1\n");
  }
  ServerEnd server;
  server.greet();
  server.feed(with_length("5") + data(1, "abc") + data(1, "de", h2::end_stream));
  EXPECT_TRUE(server.last().ended);
}

TEST(H2Hostile, MalformedTrailers) {
  for (const Fields& fields : std::vector<Fields>{{{":path", "/"}},
                                                  {{"content-length", "1"}},
                                                  {{"host", "a"}},
                                                  {{"connection", "x"}},
                                                  {{"transfer-encoding", "chunked"}},
                                                  {{"A", "b"}}}) {
    ServerEnd server;
    server.greet();
    server.feed(request(1, "POST", 0) + headers(1, fields));
    EXPECT_TRUE(server.last().was_reset);
    EXPECT_EQ(server.flush(), "RST_STREAM 1 1\n");
  }
  ServerEnd server;
  server.greet();
  server.feed(request(1, "POST", 0) + headers(1, {{"x", "y"}}, 0));
  EXPECT_THAT(server.last().log, HasSubstr("reset: trailers that do not end their stream"));
}

TEST(H2Hostile, Underscores) {
  for (const auto how : {H2Underscore::allow, H2Underscore::drop, H2Underscore::reject}) {
    H2Limits limits;
    limits.underscore = how;
    ServerEnd server(limits);
    server.greet();
    server.feed(headers(1, with(with(request_fields(), "a_b", "1"), "c", "2")));
    if (how == H2Underscore::reject) {
      EXPECT_TRUE(server.requests.empty());
      EXPECT_EQ(server.stats.requests_rejected_with_underscores_in_headers, 1u);
      continue;
    }
    EXPECT_EQ(server.last().log, how == H2Underscore::drop ? "head [GET] [http] [a] [/] {c=2;} END"
                                                           : "head [GET] [http] [a] [/] {a_b=1;c=2;} END");
  }
}

TEST(H2Hostile, TooLargeHeads) {
  H2Limits limits;
  limits.header_bytes_max = 1000;
  limits.header_count_max = 10;
  ServerEnd server(limits);
  server.greet();
  server.feed(headers(1, with(request_fields(), "x", std::string(1000, 'x'))));
  Fields fields = request_fields();
  for (int at = 0; at < 11; ++at) fields.emplace_back("cookie", "a");  // every crumb counts
  server.feed(headers(3, fields));
  fields.pop_back();
  server.feed(headers(5, fields));
  EXPECT_EQ(server.flush(), "RST_STREAM 1 11\nRST_STREAM 3 11\n");
  EXPECT_EQ(server.requests.size(), 1u);
  EXPECT_EQ(server.stats.header_overflow, 2u);
}

// --- Broken frames: the connection ends -------------------------------------------------------------------------------------------

struct BadFrames {
  std::string bytes;
  H2Code code;
  std::string wrong;
};

const BadFrames bad_frames[] = {
    {data(0, "x"), H2Code::protocol_error, "DATA without a stream"},
    {data(1, "x"), H2Code::protocol_error, "DATA on an idle stream"},
    {data(2, "x"), H2Code::protocol_error, "DATA on an idle stream"},
    {request(0), H2Code::protocol_error, "HEADERS without a stream"},
    {request(2), H2Code::protocol_error, "request on a stream of ours"},
    {request(3) + request(1), H2Code::stream_closed, "frame on a closed stream"},
    {frame(H2FrameType::priority, 0, 0, u32(1) + "x"), H2Code::protocol_error, "PRIORITY without a stream"},
    {frame(H2FrameType::priority, 0, 1, u32(1) + "x"), H2Code::protocol_error, "stream depends on itself"},
    {frame(H2FrameType::priority, 0, 1, "1234"), H2Code::frame_size_error, "PRIORITY of a wrong size"},
    {reset(0, H2Code::cancel), H2Code::protocol_error, "RST_STREAM without a stream"},
    {reset(1, H2Code::cancel), H2Code::protocol_error, "RST_STREAM on an idle stream"},
    {frame(H2FrameType::reset, 0, 1, "123"), H2Code::frame_size_error, "RST_STREAM of a wrong size"},
    {frame(H2FrameType::settings, 0, 1, {}), H2Code::protocol_error, "SETTINGS on a stream"},
    {frame(H2FrameType::settings, 0, 0, "12345"), H2Code::frame_size_error, "SETTINGS of a wrong size"},
    {frame(H2FrameType::settings, h2::ack, 0, "123456"), H2Code::frame_size_error,
     "SETTINGS acknowledgement with a payload"},
    {settings(setting(H2Setting::enable_push, 2)), H2Code::protocol_error, "invalid ENABLE_PUSH"},
    {settings(setting(H2Setting::initial_window_size, 0x80000000)), H2Code::flow_control_error,
     "INITIAL_WINDOW_SIZE beyond the maximum"},
    {settings(setting(H2Setting::max_frame_size, 16383)), H2Code::protocol_error, "invalid MAX_FRAME_SIZE"},
    {settings(setting(H2Setting::max_frame_size, 1 << 24)), H2Code::protocol_error, "invalid MAX_FRAME_SIZE"},
    {settings(setting(H2Setting::enable_connect_protocol, 2)), H2Code::protocol_error,
     "invalid ENABLE_CONNECT_PROTOCOL"},
    {frame(H2FrameType::push_promise, 0, 1, u32(2)), H2Code::protocol_error, "PUSH_PROMISE, which was not allowed"},
    {frame(H2FrameType::ping, 0, 1, "12345678"), H2Code::protocol_error, "PING on a stream"},
    {frame(H2FrameType::ping, 0, 0, "1234567"), H2Code::frame_size_error, "PING of a wrong size"},
    {frame(H2FrameType::goaway, 0, 1, "12345678"), H2Code::protocol_error, "GOAWAY on a stream"},
    {frame(H2FrameType::goaway, 0, 0, "1234567"), H2Code::frame_size_error, "GOAWAY of a wrong size"},
    {frame(H2FrameType::window_update, 0, 0, "123"), H2Code::frame_size_error, "WINDOW_UPDATE of a wrong size"},
    {window_update(0, 0), H2Code::protocol_error, "WINDOW_UPDATE of zero"},
    {window_update(0, 0x7fffffff), H2Code::flow_control_error, "connection's window too large"},
    {window_update(1, 1), H2Code::protocol_error, "WINDOW_UPDATE on an idle stream"},
    {frame(H2FrameType::continuation, 0, 1, {}), H2Code::protocol_error, "CONTINUATION without a header block"},
    {data(1, std::string(16385, 'x')), H2Code::frame_size_error, "frame larger than allowed"},
    {request(1, "POST", 0) + data(1, "", h2::padded), H2Code::frame_size_error, "frame too short for its flags"},
    {request(1, "POST", 0) + data(1,
                                  "\x05"
                                  "1234",
                                  h2::padded),
     H2Code::protocol_error, "padding longer than its frame"},
    {frame(H2FrameType::headers, h2::end_headers | h2::priority, 1, "123"), H2Code::frame_size_error,
     "frame too short for its flags"},
    {frame(H2FrameType::headers, h2::end_headers | h2::padded, 1,
           "\x05"
           "123"),
     H2Code::protocol_error, "padding longer than its frame"},
    {frame(H2FrameType::headers, h2::end_headers, 1, "\x80"), H2Code::compression_error, "invalid header block"},
    {frame(H2FrameType::headers, h2::end_headers, 1, "\xff\xff\xff\xff\xff\xff"), H2Code::compression_error,
     "invalid header block"},
    {frame(H2FrameType::headers, h2::end_headers, 1, std::string("\x00\x05", 2) + "ab"), H2Code::compression_error,
     "invalid header block"},
    {frame(H2FrameType::headers, 0, 1, "") + ping(), H2Code::protocol_error, "frame inside of a header block"},
    {frame(H2FrameType::headers, 0, 1, "") + frame(H2FrameType::continuation, 0, 3, ""), H2Code::protocol_error,
     "frame inside of a header block"},
    {frame(H2FrameType::headers, 0, 1, "x") + many(17, frame(H2FrameType::continuation, 0, 1, "x")),
     H2Code::enhance_your_calm, "too many CONTINUATION frames"},
};

TEST(H2Hostile, BrokenFrames) {
  for (const BadFrames& bad : bad_frames) {
    ServerEnd server;
    server.greet();
    server.feed(bad.bytes);
    ASSERT_TRUE(server.failed) << bad.wrong;
    EXPECT_EQ(server.error.detail, bad.wrong);
    EXPECT_THAT(server.flush(),
                HasSubstr(" " + std::to_string(static_cast<uint32_t>(bad.code)) + " " + bad.wrong + "\n"));
    EXPECT_EQ(server.codec.streams_active(), 0u);
    const size_t granted = server.granted;
    server.feed("whatever");
    EXPECT_EQ(server.granted, granted + 8);
    EXPECT_EQ(server.sink.text, "");
  }
}

TEST(H2Hostile, Beginnings) {
  for (const std::string& bytes : {std::string("GET / HTTP/1.1\r\n\r\n"), std::string(h2::preface) + ping(),
                                   std::string(h2::preface) + settings_ack(), std::string(h2::preface) + request(1)}) {
    ServerEnd server;
    server.feed(bytes);
    EXPECT_TRUE(server.failed);
  }
}

TEST(H2Hostile, FramesAfterTheEnd) {
  struct Case {
    std::string bytes;
    std::string said;
  };
  const Case cases[] = {
      // Half closed by the client, answer not sent: the stream's fault.
      {request(1) + data(1, "x"), "RST_STREAM 1 5\n"},
      {request(1) + headers(1, {{"x", "y"}}), "RST_STREAM 1 5\n"},
      // Reset by the client.
      {request(1, "POST", 0) + reset(1, H2Code::cancel) + data(1, "x"), "RST_STREAM 1 5\n"},
      {request(1, "POST", 0) + reset(1, H2Code::cancel) + headers(1, {{"x", "y"}}), "RST_STREAM 1 5\n"},
      // Always allowed.
      {request(1) + reset(1, H2Code::cancel) + reset(1, H2Code::cancel) + window_update(1, 1), ""},
  };
  for (const Case& each : cases) {
    ServerEnd server;
    server.greet();
    server.feed(each.bytes);
    EXPECT_EQ(server.flush(), each.said);
    EXPECT_FALSE(server.failed);
  }
  ServerEnd server;
  server.greet();
  server.feed(request(1));
  server.answer(server.last(), 204);
  server.flush();
  server.feed(window_update(1, 1) + reset(1, H2Code::cancel));
  EXPECT_FALSE(server.failed);
  server.feed(data(1, "x"));
  EXPECT_THAT(server.flush(), HasSubstr("GOAWAY 1 5 frame on a closed stream"));
}

TEST(H2Hostile, StreamErrorsOnOpenStreams) {
  struct Case {
    std::string bytes;
    std::string said;
  };
  const Case cases[] = {
      {window_update(1, 0), "RST_STREAM 1 1\n"},
      {window_update(1, 0x7fffffff), "RST_STREAM 1 3\n"},
      {frame(H2FrameType::priority, 0, 1, u32(1) + "x"), "RST_STREAM 1 1\n"},
      {frame(H2FrameType::priority, 0, 1, "1234"), "RST_STREAM 1 6\n"},
  };
  for (const Case& each : cases) {
    ServerEnd server;
    server.greet();
    server.feed(request(1, "POST", 0) + each.bytes);
    EXPECT_EQ(server.flush(), each.said);
    EXPECT_TRUE(server.last().was_reset);
    EXPECT_FALSE(server.failed);
  }
}

TEST(H2Hostile, RefusedStreamsKeepTheTableInStep) {
  H2Limits limits;
  limits.streams_max = 1;
  ServerEnd server(limits);
  server.greet();
  HpackEncoder encoder;
  HpackFields fields;
  const auto encoded = [&](uint32_t stream_id) {
    fields.clear();
    for (const auto& [name, value] :
         {std::pair{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {":authority", "a"}})
      fields.add(name, value);
    fields.add("x-number", stream_id == 3 ? "three" : "other");
    std::string block(encoder.encoded_bytes_max(fields), '\0');
    block.resize(encoder.encode(fields, block.data(), block.size()));
    return frame(H2FrameType::headers, h2::end_headers | h2::end_stream, stream_id, block);
  };
  server.feed(encoded(1));
  server.feed(encoded(3));
  EXPECT_EQ(server.flush(), "RST_STREAM 3 7\n");
  EXPECT_EQ(server.stats.stream_refused_errors, 1u);
  server.answer(server.last(), 204);
  // A client may know that its answer came before we know that it went: as many answers again may be on their way.
  server.feed(encoded(5));
  EXPECT_EQ(server.requests.size(), 2u);
  server.answer(server.last(), 204);
  server.feed(encoded(7));
  EXPECT_EQ(server.requests.size(), 2u);
  server.flush();
  server.feed(encoded(9));
  EXPECT_THAT(server.last().log, HasSubstr("x-number=other;"));
  EXPECT_EQ(server.requests.size(), 3u);
}

// --- Floods -----------------------------------------------------------------------------------------------------------------------

void expect_calm(ServerEnd& server, uint64_t counter, const std::string& wrong) {
  EXPECT_TRUE(server.failed) << wrong;
  EXPECT_EQ(server.error.detail, wrong);
  EXPECT_EQ(server.error.code, ErrorCode::too_large);
  EXPECT_EQ(counter, 1u);
  EXPECT_THAT(server.flush(), HasSubstr(" 11 " + wrong));
}

TEST(H2Flood, RapidReset) {
  ServerEnd server;
  server.greet();
  for (uint32_t id = 1; id <= 1000 && !server.failed; id += 2) server.feed(request(id) + reset(id, H2Code::cancel));
  expect_calm(server, server.stats.inbound_reset_flood, "too many streams were reset");
  EXPECT_EQ(server.requests.size(), 201u);
}

TEST(H2Flood, ProvokedResets) {
  ServerEnd server;
  server.greet();
  for (uint32_t id = 1; id <= 1000 && !server.failed; id += 2)
    server.feed(request(id, "POST", 0) + window_update(id, 0));
  expect_calm(server, server.stats.inbound_reset_flood, "too many streams were reset");
}

TEST(H2Flood, ResetsAreForgivenWithTimeAndUse) {
  ServerEnd server;
  server.greet();
  uint32_t id = 1;
  for (int round = 0; round < 1000; ++round, id += 4) {
    server.feed(request(id) + reset(id, H2Code::cancel) + request(id + 2));
    server.answer(server.last(), 204);
    server.flush();
  }
  EXPECT_FALSE(server.failed);
  for (int round = 0; round < 1000; ++round, id += 2) {
    server.feed(request(id) + reset(id, H2Code::cancel));
    if (round % 20 == 0) server.codec.pass_time(1);
  }
  EXPECT_FALSE(server.failed);
}

TEST(H2Flood, EmptyFrames) {
  for (const std::string& bytes :
       {request(1, "POST", 0) + many(11, data(1, "")),
        request(1, "POST", 0) + many(11, data(1, std::string(1, '\0'), h2::padded)),
        frame(H2FrameType::headers, 0, 1, "") + many(11, frame(H2FrameType::continuation, 0, 1, ""))}) {
    ServerEnd server;
    server.greet();
    server.feed(bytes);
    expect_calm(server, server.stats.inbound_empty_frames_flood, "too many empty frames");
  }
}

TEST(H2Flood, Priority) {
  ServerEnd server;
  server.greet();
  server.feed(many(101, frame(H2FrameType::priority, 0, 9, u32(0) + "x")));
  expect_calm(server, server.stats.inbound_priority_frames_flood, "too many PRIORITY frames");
}

TEST(H2Flood, WindowUpdate) {
  ServerEnd server;
  server.greet();
  server.feed(many(101, window_update(0, 1)));
  expect_calm(server, server.stats.inbound_window_update_frames_flood, "too many WINDOW_UPDATE frames");
}

TEST(H2Flood, PingSettingsAndUnknown) {
  for (const std::string& bytes : {ping(), settings(), frame(static_cast<H2FrameType>(0x40), 0, 0, "")}) {
    ServerEnd server;
    server.greet();
    for (int at = 0; at < 1100 && !server.failed; ++at) {
      server.feed(bytes);
      if (!server.failed) server.flush();
    }
    expect_calm(server, server.stats.inbound_other_frames_flood, "too many PING, SETTINGS or unknown frames");
  }
}

TEST(H2Flood, AnswersThatNobodyReads) {
  H2Limits limits;
  limits.other_frames_burst = 100000;
  ServerEnd server(limits);
  server.greet();
  for (int at = 0; at < 1001; ++at) server.feed(ping());
  expect_calm(server, server.stats.outbound_control_flood, "too many control frames wait to be sent");
  // Of streams that ended with an answer that waits there may be as many again.
  H2Limits few;
  few.streams_max = 10;
  ServerEnd second(few);
  second.greet();
  for (uint32_t id = 1; id < 100; id += 2) {
    second.feed(request(id));
    if (second.requests.back()->answered) continue;
    second.answer(second.last(), 204);
  }
  EXPECT_EQ(second.requests.size(), 20u);
  EXPECT_EQ(second.stats.stream_refused_errors, 30u);
}

TEST(H2Flood, HeaderBomb) {
  ServerEnd server;
  server.greet();
  // A large field in the table, then one byte for each repetition.
  std::string block = block_of(request_fields());
  block += std::string("\x40\x01x\x7f\xa1\x1e", 6) + std::string(4000, 'y');
  block += std::string(5000, '\xbe');
  server.feed(frame(H2FrameType::headers, h2::end_headers | h2::end_stream, 1, block));
  expect_calm(server, server.stats.header_overflow, "header list far beyond the limit");
}

TEST(H2Flood, LateFramesOfManyResetStreams) {
  ServerEnd server;
  server.reset_on_head = true;
  server.greet();
  std::string all;
  for (uint32_t id = 1; id < 200; id += 2) all += request(id, "POST", 0);
  server.feed(all);
  server.flush();
  server.feed(data(199, "late"));  // remembered
  EXPECT_EQ(server.flush(), "");
  server.feed(data(1, "late"));  // forgotten
  EXPECT_EQ(server.flush(), "RST_STREAM 1 5\n");
  EXPECT_FALSE(server.failed);
}

}  // namespace
}  // namespace ringside::h2_test
