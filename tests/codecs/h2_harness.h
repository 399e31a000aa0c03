#pragma once
// Both ends of the HTTP/2 codec over plain strings, and a peer made by hand: frames in as bytes, events and frames out as text.
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "codecs/http2/h2_client_codec.h"
#include "codecs/http2/h2_server_codec.h"
#include "tests/codecs/h1_harness.h"

namespace ringside::h2_test {

using h1_test::slice_of;
using h1_test::text_of;
using h1_test::TextSink;
using Fields = std::vector<std::pair<std::string, std::string>>;

// --- Frames by hand ----------------------------------------------------------------------------------------------------------

inline std::string frame(H2FrameType type, uint8_t flags, uint32_t stream_id, std::string_view payload) {
  char header[h2::frame_header_bytes];
  put_frame_header(header, {static_cast<uint32_t>(payload.size()), stream_id, type, flags});
  return std::string(header, sizeof header).append(payload);
}
inline std::string u32(uint32_t value) {
  char bytes[4];
  h2::put_u32(bytes, value);
  return {bytes, sizeof bytes};
}
inline std::string setting(H2Setting name, uint32_t value) {
  char bytes[2];
  h2::put_u16(bytes, static_cast<uint32_t>(name));
  return std::string(bytes, sizeof bytes) + u32(value);
}
inline std::string settings(std::string_view payload = {}) { return frame(H2FrameType::settings, 0, 0, payload); }
inline std::string settings_ack() { return frame(H2FrameType::settings, h2::ack, 0, {}); }
inline std::string data(uint32_t stream_id, std::string_view body, uint8_t flags = 0) {
  return frame(H2FrameType::data, flags, stream_id, body);
}
inline std::string window_update(uint32_t stream_id, uint32_t bytes) {
  return frame(H2FrameType::window_update, 0, stream_id, u32(bytes));
}
inline std::string reset(uint32_t stream_id, H2Code code) {
  return frame(H2FrameType::reset, 0, stream_id, u32(static_cast<uint32_t>(code)));
}
inline std::string ping(std::string_view opaque = "12345678") { return frame(H2FrameType::ping, 0, 0, opaque); }
inline std::string goaway(uint32_t last, H2Code code) {
  return frame(H2FrameType::goaway, 0, 0, u32(last) + u32(static_cast<uint32_t>(code)));
}

// A block without dynamic table, so that tests can put any field anywhere.
inline std::string block_of(const Fields& fields) {
  std::string block;
  const auto put_text = [&block](std::string_view text) {
    size_t size = text.size();
    if (size < 127) {
      block += static_cast<char>(size);
    } else {
      block += '\x7f';
      for (size -= 127; size >= 128; size >>= 7) block += static_cast<char>(size % 128 + 128);
      block += static_cast<char>(size);
    }
    block += text;
  };
  for (const auto& [name, value] : fields) {
    block += '\0';
    put_text(name);
    put_text(value);
  }
  return block;
}
inline std::string headers(uint32_t stream_id, const Fields& fields, uint8_t flags = h2::end_stream) {
  return frame(H2FrameType::headers, flags | h2::end_headers, stream_id, block_of(fields));
}
inline Fields request_fields(std::string method = "GET", std::string path = "/") {
  return {{":method", std::move(method)}, {":scheme", "http"}, {":authority", "a"}, {":path", std::move(path)}};
}
inline Fields with(Fields fields, std::string name, std::string value) {
  fields.emplace_back(std::move(name), std::move(value));
  return fields;
}
inline std::string request(uint32_t stream_id, std::string method = "GET", uint8_t flags = h2::end_stream) {
  return headers(stream_id, request_fields(std::move(method)), flags);
}

// --- Frames as text ------------------------------------------------------------------------------------------------------------

// Reads what a codec wrote, decoding its header blocks in order.
class FrameDump final : private HpackUser {
 public:
  // A header block could not be decoded.
  bool broken = false;
  // One line per complete frame; a rest stays for the next call.
  std::string dump(std::string_view bytes) {
    rest_.append(bytes);
    std::string text;
    if (rest_.starts_with(h2::preface)) {
      text += "preface\n";
      rest_.erase(0, h2::preface.size());
    }
    while (rest_.size() >= h2::frame_header_bytes) {
      const H2FrameHeader header = parse_frame_header(rest_.data());
      if (rest_.size() < h2::frame_header_bytes + header.length) break;
      text += one(header, std::string_view(rest_).substr(h2::frame_header_bytes, header.length)) + "\n";
      rest_.erase(0, h2::frame_header_bytes + header.length);
    }
    return text;
  }

 private:
  void on_field(std::string_view name, std::string_view value) override {
    fields_.append(name).append("=").append(value).append(";");
  }
  std::string one(const H2FrameHeader& header, std::string_view payload) {
    const std::string id = std::to_string(header.stream_id);
    const std::string end = header.has(h2::end_stream) ? " END" : "";
    const auto number = [payload](size_t at) { return std::to_string(h2::get_u32(payload.data() + at)); };
    switch (header.type) {
      case H2FrameType::data:
        return "DATA " + id + " " + std::string(payload.substr(0, 40)) + " (" + std::to_string(payload.size()) + ")" +
               end;
      case H2FrameType::headers:
      case H2FrameType::continuation:
        return "HEADERS " + id + block(header, payload) + (header.type == H2FrameType::headers ? end : "");
      case H2FrameType::reset: return "RST_STREAM " + id + " " + number(0);
      case H2FrameType::settings:
        return header.has(h2::ack) ? "SETTINGS ACK" : "SETTINGS " + std::to_string(payload.size() / 6);
      case H2FrameType::ping: return std::string("PING ") + (header.has(h2::ack) ? "ACK " : "") + std::string(payload);
      case H2FrameType::goaway: return "GOAWAY " + number(0) + " " + number(4) + " " + std::string(payload.substr(8));
      case H2FrameType::window_update: return "WINDOW_UPDATE " + id + " " + number(0);
      case H2FrameType::priority:
      case H2FrameType::push_promise:
      case H2FrameType::metadata: break;
    }
    return "UNKNOWN " + id;
  }
  std::string block(const H2FrameHeader& header, std::string_view payload) {
    fields_.clear();
    const auto last = header.has(h2::end_headers) ? HpackDecoder::Last::yes : HpackDecoder::Last::no;
    if (!decoder_.decode(payload, last, *this)) {
      broken = true;
      return " (invalid)";
    }
    return " {" + fields_ + "}";
  }

  HpackDecoder decoder_;
  std::string rest_;
  std::string fields_;
};

// --- Ends ------------------------------------------------------------------------------------------------------------------------

// As the one of HTTP/1, with what only HTTP/2 says.
class Recorder final : public StreamUser {
 public:
  Arena& arena() override { return arena_; }
  void on_head(Head& head, End end) override {
    add("head");
    if (head.status != 0) {
      log += " " + std::to_string(head.status);
    } else {
      for (const std::string_view part : {head.method, head.scheme, head.authority, head.path})
        log.append(" [").append(part).append("]");
    }
    if (head.version != HttpVersion::http2) log += " (wrong version)";
    if (head.upgrade) log.append(" upgrade=").append(head.upgrade_protocol);
    if (head.expect_continue) log += " expect";
    log += " {" + text_of(head.fields) + "}";
    last_head = &head;
    note_end(end);
    if (reset_on_head) stream->reset({ErrorCode::cancelled, Origin::local, Retry::never, "test"});
  }
  void on_informational(Head& head) override {
    add("info " + std::to_string(head.status) + " {" + text_of(head.fields) + "}");
  }
  void on_body(Slice piece, End end) override {
    if (!piece.empty() && !in_body_) add("body ");
    if (!piece.empty()) in_body_ = true;
    log.append(piece.text());
    body.append(piece.text());
    note_end(end);
    if (auto_grant && !piece.empty()) stream->grant(piece.size());
  }
  void on_trailers(HeaderMap& fields) override {
    add("trailers {" + text_of(fields) + "}");
    RS_CHECK(!ended);
    ended = true;
  }
  void on_sent(size_t bytes) override { sent += bytes; }
  void on_reset(Error why) override {
    RS_CHECK(!was_reset);
    add(std::string("reset: ") + why.detail);
    reset_error = why;
    was_reset = true;
    stream = nullptr;
  }

  std::string log;
  std::string body;
  Head* last_head = nullptr;
  Stream* stream = nullptr;
  size_t sent = 0;
  bool ended = false;
  bool was_reset = false;
  bool auto_grant = false;
  bool reset_on_head = false;
  bool answered = false;
  bool was_let_go = false;
  Error reset_error;
  // Over on both sides, or reset: nothing more may come.
  void let_go() {
    stream = nullptr;
    was_let_go = true;
  }

 private:
  void add(const std::string& event) {
    RS_CHECK(!was_reset && !was_let_go);
    if (!log.empty()) log += "\n";
    log += event;
    in_body_ = false;
  }
  void note_end(End end) {
    if (end == End::no) return;
    RS_CHECK(!ended);
    log += " END";
    ended = true;
    in_body_ = false;
  }

  ArenaPool arena_pool_;
  Arena arena_{arena_pool_};
  bool in_body_ = false;
};

// What the owners of both ends have in common.
class Owner : public CodecUser {
 public:
  explicit Owner(const H2Limits& given) : limits(given) {}
  void on_codec_error(Error why, uint16_t status) override {
    RS_CHECK(!failed && status == 0);
    failed = true;
    error = why;
  }
  void on_idle() override { ++idles; }
  void on_grant(size_t bytes) override { granted += bytes; }
  // What was written since the last call, as text. Everything is taken as sent when `codec` is to go on.
  std::string wrote() { return dump.dump(sink.take()); }

  const H2Limits limits;
  TextSink sink;
  FrameDump dump;
  H2ScratchPool pool;
  H2Stats stats;
  ArenaPool arena_pool;
  Error error;
  bool failed = false;
  int idles = 0;
  size_t granted = 0;
};

class ServerEnd final : public Owner {
 public:
  explicit ServerEnd(const H2Limits& given = {}) : Owner(given), codec(*this, sink, limits, pool, stats) {
    codec.start();
  }
  ~ServerEnd() { codec.abort({}); }
  StreamUser& on_stream(Stream& stream) override {
    requests.push_back(std::make_unique<Recorder>());
    requests.back()->stream = &stream;
    requests.back()->auto_grant = auto_grant;
    requests.back()->reset_on_head = reset_on_head;
    return *requests.back();
  }
  void feed(std::string_view bytes) { codec.decode(slice_of(bytes)); }
  // Preface and settings of a client, and what the server says to it is thrown away.
  void greet(std::string_view client_settings = {}) {
    feed(std::string(h2::preface) + settings(client_settings) + settings_ack());
    flush();
  }
  // What was written, with all of it sent.
  std::string flush() {
    std::string text;
    while (!sink.text.empty()) {
      const std::string bytes = sink.take();
      text += dump.dump(bytes);
      codec.on_sent(bytes.size());
    }
    return text;
  }
  Recorder& last() { return *requests.back(); }
  void answer(Recorder& to, uint16_t status, std::string_view body = {}, const Fields& fields = {}) {
    Arena arena(arena_pool);
    Head head(arena);
    head.status = status;
    for (const auto& [name, value] : fields) head.fields.add(name, value);
    to.answered = true;
    to.stream->send_head(head, body.empty() ? End::yes : End::no);
    if (!body.empty() && to.stream != nullptr) to.stream->send_body(slice_of(body), End::yes);
  }
  std::string events() const {
    std::string text;
    for (const auto& request : requests) text += request->log + "\n";
    if (failed) text += std::string("error: ") + error.detail + "\n";
    return text;
  }

  std::vector<std::unique_ptr<Recorder>> requests;
  bool auto_grant = false;
  bool reset_on_head = false;
  H2ServerCodec codec;
};

class ClientEnd final : public Owner {
 public:
  explicit ClientEnd(const H2Limits& given = {}) : Owner(given), codec(*this, sink, limits, pool, stats) {
    codec.start();
  }
  ~ClientEnd() { codec.abort({}); }
  StreamUser& on_stream(Stream&) override { check_failed("on_stream of a client codec"); }
  void feed(std::string_view bytes) { codec.decode(slice_of(bytes)); }
  void greet(std::string_view server_settings = {}) {
    feed(settings(server_settings) + settings_ack());
    flush();
  }
  std::string flush() {
    std::string text;
    while (!sink.text.empty()) {
      const std::string bytes = sink.take();
      text += dump.dump(bytes);
      codec.on_sent(bytes.size());
    }
    return text;
  }
  Recorder& ask(std::string_view method = "GET", End end = End::yes, const Fields& fields = {}) {
    responses.push_back(std::make_unique<Recorder>());
    Recorder& response = *responses.back();
    response.stream = &codec.open(response);
    response.auto_grant = auto_grant;
    Arena arena(arena_pool);
    Head head(arena);
    head.method = method;
    head.scheme = "http";
    head.authority = "up";
    head.path = "/";
    for (const auto& [name, value] : fields) head.fields.add(name, value);
    response.stream->send_head(head, end);
    return response;
  }
  std::string events() const {
    std::string text;
    for (const auto& response : responses) text += response->log + "\n";
    if (failed) text += std::string("error: ") + error.detail + "\n";
    return text;
  }

  std::vector<std::unique_ptr<Recorder>> responses;
  bool auto_grant = false;
  H2ClientCodec codec;
};

}  // namespace ringside::h2_test
