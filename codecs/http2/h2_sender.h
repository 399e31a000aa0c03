#pragma once
// The way out of an HTTP/2 connection: control frames and heads at once, bodies in turns as far as windows and the budget of
// unsent bytes allow.
#include <cstdint>
#include <string_view>

#include "codecs/http.h"
#include "codecs/http2/h2_frame.h"
#include "codecs/http2/h2_guard.h"
#include "codecs/http2/h2_hpack.h"
#include "codecs/http2/h2_pool.h"
#include "codecs/http2/h2_sent_log.h"
#include "codecs/http2/h2_stats.h"
#include "codecs/http2/h2_stream_table.h"

namespace ringside {

// The codec that owns a sender.
class H2SenderUser {
 public:
  // END_STREAM went to the sink.
  virtual void on_end_written(H2Stream& stream) = 0;
  // The kernel took so much of this stream's body.
  virtual void on_body_sent(uint32_t stream_id, size_t body_bytes) = 0;
  // The kernel took the last of this stream.
  virtual void on_end_sent(uint32_t stream_id) = 0;

 protected:
  ~H2SenderUser() = default;
};

class H2Sender {
 public:
  H2Sender(H2SenderUser& user, CodecSink& sink, const H2Limits& limits, H2ScratchPool& pool, H2Stats& stats);

  // --- Control frames
  // What a connection begins with; a client's begins with the preface.
  void write_start(Origin peer);
  void write_settings_ack();
  enum class Ack : bool { no, yes };
  void write_ping(std::string_view eight_bytes, Ack ack);
  void write_goaway(uint32_t last_stream_id, H2Code code, std::string_view debug);
  void write_reset(uint32_t stream_id, H2Code code);
  void write_window_update(uint32_t stream_id, uint32_t bytes);

  // --- Messages
  // Encodes and writes the pool's fields.
  void write_fields(uint32_t stream_id, End end);
  // Something of `stream` changed: writes what may be written now.
  void send(H2Stream& stream);
  void enqueue(H2Stream& stream, Slice piece);
  // Forgets what it has queued.
  void drop(H2Stream& stream);
  // The windows of all streams changed.
  void schedule(const H2StreamTable& streams);
  void pump();
  void on_sent(size_t wire_bytes);

  // --- The peer's credit. False: more than a window may have.
  bool add_window(uint32_t bytes);
  static bool add_window(H2Stream& stream, int64_t bytes);
  void set_peer_table_bytes(uint32_t bytes) { encoder_.set_peer_table_bytes(bytes); }
  void rest() { encoder_.rest(); }

  uint32_t unsent_bytes() const { return unsent_bytes_; }
  uint32_t frames_unsent() const { return frames_unsent_; }
  uint32_t control_frames_unsent() const { return control_frames_unsent_; }
  H2Guard& guard() { return guard_; }

 private:
  void write_control(const H2FrameHeader& header, std::string_view payload, std::string_view more = {});
  void write_turn(H2Stream& stream);
  void write_data(H2Stream& stream, size_t size, End end);
  void write_body(H2Stream& stream, size_t size);
  void count(const H2SentLog::Entry& entry);

  H2SenderUser& user_;
  CodecSink& sink_;
  const H2Limits& limits_;
  H2ScratchPool& pool_;
  H2Stats& stats_;
  H2Guard guard_;
  HpackEncoder encoder_;
  H2SentLog log_;
  List<H2Stream> ready_;    // have something to send, in turn
  List<H2Stream> blocked_;  // the same, but for the connection's window
  int64_t window_bytes_ = h2::window_default_bytes;
  uint32_t unsent_bytes_ = 0;
  uint32_t frames_unsent_ = 0;
  uint32_t control_frames_unsent_ = 0;
  bool pumping_ = false;
};

}  // namespace ringside
