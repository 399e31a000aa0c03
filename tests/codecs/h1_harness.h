#pragma once
// Both ends of the HTTP/1 codec over plain strings: what a peer sends goes in at any split, what happens comes out as text.
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "codecs/http1/h1_client_codec.h"
#include "codecs/http1/h1_server_codec.h"
#include "core/arena.h"
#include "core/block_pool.h"

namespace ringside::h1_test {

// A slice with memory of its own, so that a sanitizer sees a step beyond its end.
inline Slice slice_of(std::string_view text) {
  char* writable = nullptr;
  Slice slice = make_heap_slice(text.size(), &writable);
  if (!text.empty()) text.copy(writable, text.size());
  return slice;
}

class TextSink final : public CodecSink {
 public:
  void write(Slice bytes) override { text.append(bytes.text()); }
  char* reserve(size_t bytes) override {
    room_ = std::make_unique<char[]>(bytes);
    return room_.get();
  }
  void commit(size_t bytes) override { text.append(room_.get(), bytes); }
  std::string take() { return std::exchange(text, {}); }
  std::string text;

 private:
  std::unique_ptr<char[]> room_;
};

inline std::string text_of(const HeaderMap& fields) {
  std::string text;
  for (const HeaderField& field : fields) {
    text.append(field.name()).append("=").append(field.value()).append(";");
    if (header_id(field.name()) != field.id()) text.append("(wrong id);");
  }
  return text;
}

// Writes down every event. Neighbouring body pieces are one event, so that a split does not show.
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
    log += head.version == HttpVersion::http10 ? " 1.0" : " 1.1";
    if (head.upgrade) log.append(" upgrade=").append(head.upgrade_protocol);
    if (head.expect_continue) log += " expect";
    if (head.until_close) log += " until-close";
    log += " {" + text_of(head.fields) + "}";
    note_end(end);
    last_head = &head;
  }
  void on_informational(Head& head) override {
    add("info " + std::to_string(head.status) + " {" + text_of(head.fields) + "}");
  }
  void on_body(Slice piece, End end) override {
    if (!piece.empty() && !in_body_) add("body ");
    if (!piece.empty()) in_body_ = true;
    log.append(piece.text());
    body_bytes += piece.size();
    note_end(end);
    if (auto_grant && stream != nullptr && !piece.empty()) stream->grant(piece.size());
  }
  void on_trailers(HeaderMap& fields) override {
    add("trailers {" + text_of(fields) + "}");
    ended = true;
  }
  void on_sent(size_t bytes) override { sent += bytes; }
  void on_reset(Error why) override {
    add(std::string("reset: ") + why.detail);
    reset_error = why;
    was_reset = true;
  }

  std::string log;
  Head* last_head = nullptr;
  Stream* stream = nullptr;
  size_t body_bytes = 0;
  size_t sent = 0;
  bool ended = false;
  bool was_reset = false;
  bool auto_grant = false;
  Error reset_error;

 private:
  void add(const std::string& event) {
    if (!log.empty()) log += "\n";
    log += event;
    in_body_ = false;
  }
  void note_end(End end) {
    if (end == End::no) return;
    log += " END";
    ended = true;
    in_body_ = false;
  }

  ArenaPool arena_pool_;
  Arena arena_{arena_pool_};
  bool in_body_ = false;
};

struct ErrorSeen {
  bool seen = false;
  Error why;
  uint16_t status = 0;
};

// A server codec whose owner keeps every request.
class ServerEnd final : public CodecUser {
 public:
  explicit ServerEnd(const H1Limits& given) : limits(given), codec(*this, sink, limits, pool) {}
  StreamUser& on_stream(Stream& stream) override {
    requests.push_back(std::make_unique<Recorder>());
    requests.back()->stream = &stream;
    requests.back()->auto_grant = auto_grant;
    return *requests.back();
  }
  void on_codec_error(Error why, uint16_t status) override { error = {true, why, status}; }
  void on_idle() override { ++idles; }
  void on_grant(size_t bytes) override { granted += bytes; }
  void feed(std::string_view text) { codec.decode(slice_of(text)); }
  Recorder& last() { return *requests.back(); }
  // Answers the last request.
  void answer(uint16_t status, std::string_view body = {}) {
    Arena arena(arena_pool);
    Head head(arena);
    head.status = status;
    codec.send_head(head, body.empty() ? End::yes : End::no);
    if (!body.empty()) codec.send_body(slice_of(body), End::yes);
  }
  // All events and the error as one text.
  std::string events() const {
    std::string text;
    for (const auto& request : requests) text += request->log + "\n";
    if (error.seen) text += std::string("error ") + std::to_string(error.status) + ": " + error.why.detail + "\n";
    return text;
  }

  const H1Limits limits;
  TextSink sink;
  H1ScratchPool pool;
  ArenaPool arena_pool;
  std::vector<std::unique_ptr<Recorder>> requests;
  ErrorSeen error;
  int idles = 0;
  size_t granted = 0;
  bool auto_grant = false;
  H1ServerCodec codec;
};

// A client codec with one exchange at a time.
class ClientEnd final : public CodecUser {
 public:
  explicit ClientEnd(const H1Limits& given) : limits(given), codec(*this, sink, limits, pool) {}
  StreamUser& on_stream(Stream&) override { check_failed("on_stream of a client codec"); }
  void on_codec_error(Error why, uint16_t status) override { error = {true, why, status}; }
  void on_idle() override { ++idles; }
  void on_grant(size_t bytes) override { granted += bytes; }
  void feed(std::string_view text) { codec.decode(slice_of(text)); }
  // Begins an exchange and sends the request.
  void ask(std::string_view method = "GET", End end = End::yes) {
    response = std::make_unique<Recorder>();
    response->stream = &codec;
    codec.open(*response);
    Arena arena(arena_pool);
    Head head(arena);
    head.method = method;
    head.authority = "up";
    head.path = "/";
    codec.send_head(head, end);
  }
  std::string events() const {
    std::string text = response != nullptr ? response->log + "\n" : "";
    if (error.seen) text += std::string("error ") + std::to_string(error.status) + ": " + error.why.detail + "\n";
    return text;
  }

  const H1Limits limits;
  TextSink sink;
  H1ScratchPool pool;
  ArenaPool arena_pool;
  std::unique_ptr<Recorder> response;
  ErrorSeen error;
  int idles = 0;
  size_t granted = 0;
  H1ClientCodec codec;
};

}  // namespace ringside::h1_test
