#pragma once
// One client connection of a generator that speaks HTTP/2: many requests at a time.
#include <memory>
#include <string_view>

#include "codecs/http2/h2_hpack.h"
#include "perf/load_connection.h"
#include "perf/load_h2_endpoint.h"
#include "perf/load_h2_streams.h"
#include "perf/load_h2_text.h"

namespace ringside::perf {

class H2Connection;

// Who decides what a connection does next. Calls come from inside handlers; request() and close() are allowed in each.
class H2ConnectionUser {
 public:
  // The server has said hello.
  virtual void on_open(H2Connection& connection) = 0;
  // One of the answers is complete and right. `since` is what its request() was given.
  virtual void on_answer(H2Connection& connection, Instant since, uint64_t body_bytes) = 0;
  virtual void on_gone(H2Connection& connection) = 0;

 protected:
  ~H2ConnectionUser() = default;
};

class H2Connection final : public LoadConnection, private H2Endpoint {
 public:
  // Everything outlives it; `tls` may be null.
  H2Connection(Worker& worker, LoadCounts& counts, const Pattern& pattern, H2ConnectionUser& user, ClientTls* tls)
      : LoadConnection(worker, counts, tls), H2Endpoint(worker, pattern), pattern_(pattern), user_(user) {}
  // What each answer must be like; before the first request. `shape` outlives the connection.
  void expect_answers(const RequestShape& shape, Call call) {
    shape_ = &shape;
    call_ = call;
  }

  // Sends one request, a HEADERS frame and the body that the shape asks for; on_answer follows, or on_gone.
  void request(std::string_view frame, Instant since);
  // More requests may be sent.
  bool accepts() const { return open() && !draining_ && streams_.count() < peer_streams_max(); }
  size_t busy_streams() const { return streams_.count(); }
  // Counts the requests that have waited for longer than `patience`.
  void check_stalled(Instant now, Duration patience);

 private:
  struct Answer {
    Instant since{};
    uint64_t body_bytes = 0;
    bool has_head = false;
  };

  // LoadConnection
  void connected() override { greet(h2::preface, 0); }
  void received(std::string_view bytes) override;
  void ended() override;
  void gone() override;
  // H2Endpoint
  void write(Slice bytes) override { send(std::move(bytes)); }
  bool on_headers(uint32_t stream_id, std::string_view block, H2End end) override;
  bool on_body(uint32_t stream_id, std::string_view piece, H2End end) override;
  bool on_reset(uint32_t stream_id, uint32_t code) override;
  bool on_goaway(uint32_t last_stream_id, uint32_t code) override;
  void on_greeted() override { user_.on_open(*this); }

  bool give_up(Failure failure, std::string_view detail);
  bool finish_answer(uint32_t stream_id, const Answer& answer);
  bool body_is_right(uint64_t offset, std::string_view piece) const;
  uint64_t answer_bytes_wanted() const;

  const Pattern& pattern_;
  H2ConnectionUser& user_;
  const RequestShape* shape_ = nullptr;
  Call call_ = Call::plain;
  LoadStreams<Answer> streams_;
  std::unique_ptr<HpackDecoder> decoder_;
  uint32_t next_stream_id_ = 1;
  bool draining_ = false;
};

}  // namespace ringside::perf
