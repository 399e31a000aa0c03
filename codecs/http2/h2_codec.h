#pragma once
// What the two ends of an HTTP/2 connection have in common: frames in, streams, both directions of credit, settings, the end.
//
// Stream:      in: head -> body -> ended     out: head -> body -> ended     closed: both ended and END_STREAM written, or reset
// Connection:  open -> draining (GOAWAY) -> dead (an error, abort()): input is discarded, output refused
//
// Events come from inside decode(), on_sent() and the calls of a Stream; on_idle, on_grant and on_codec_error as the last acts of
// the outermost of these. A stream error ends a stream by on_reset; a connection error ends all of them, and then says
// on_codec_error with status 0: GOAWAY is written already, the owner closes when it has gone.
#include "codecs/http.h"
#include "codecs/http2/h2_frame_reader.h"
#include "codecs/http2/h2_head.h"
#include "codecs/http2/h2_pool.h"
#include "codecs/http2/h2_sender.h"
#include "codecs/http2/h2_stream_table.h"

namespace ringside {

class H2Codec : private H2SenderUser {
 public:
  H2Codec(const H2Codec&) = delete;
  H2Codec& operator=(const H2Codec&) = delete;

  // Writes what a connection begins with; once, before anything else.
  void start();
  // Received bytes, all of which are taken. Never call it from a callback of this codec.
  void decode(Slice bytes);
  // So many bytes of what went to the sink were sent: tells the StreamUsers, and writes what had to wait.
  void on_sent(size_t wire_bytes);
  // The peer sent FIN. Messages that were not complete end by on_reset; a server's answers to complete requests still go out.
  void on_end();
  // The connection is gone, or is being closed: ends what is under way by StreamUser::on_reset, and is silent otherwise.
  void abort(Error why);

  // Announces the end (GOAWAY). gracefully: first without a last stream, then with it when the peer has answered a PING, so that
  // no request on its way is lost; now: with it at once. Streams under way go on.
  enum class Drain : uint8_t { gracefully, now };
  void drain(Drain how);
  // Asks for a sign of life; the owner keeps the time. No effect while one is due.
  void ping();
  bool ping_due() const { return ping_due_; }
  // The sign did not come: ends everything by on_reset and on_codec_error.
  void fail_keepalive();
  // So many seconds went by: refills the budgets against abuse. Without it they are refilled by traffic only.
  void pass_time(uint32_t seconds_passed) { sender_.guard().on_time(limits_, seconds_passed); }
  // Nothing has been under way for a while: gives memory back that is easily made again.
  void rest() { sender_.rest(); }
  // Resets streams of which the user has let go and of which not a byte went since the last call: peers that do not read.
  void reset_stalled();

  uint32_t streams_active() const { return streams_.size() + fresh_count_; }
  bool idle() const { return streams_active() == 0 && scratch_ == nullptr; }
  bool settings_acknowledged() const { return settings_acknowledged_; }
  // A header block has begun and is not complete: what a head's timeout is for.
  bool head_started() const { return scratch_ != nullptr; }
  // GOAWAY with the last stream was written: no further one will be served.
  bool drained() const { return goaway_sent_; }
  bool dead() const { return dead_; }
  uint32_t unsent_bytes() const { return sender_.unsent_bytes(); }
  // Since the last call the peer came to have less than half a window left: whoever grants should hear soon of what has gone out.
  bool take_wants_credit() { return std::exchange(wants_credit_, false); }

 protected:
  friend struct H2Stream;
  // What a header block is.
  enum class Block : uint8_t { message, trailers, ignored };
  // What an end does with HEADERS that begin on a stream.
  struct Opening {
    Block block = Block::ignored;
    H2Fault stream_fault = {};  // after the block is decoded
  };

  H2Codec(CodecUser& user, CodecSink& sink, const H2Limits& limits, H2ScratchPool& pool, H2Stats& stats, Origin peer);
  ~H2Codec();

  // HEADERS on a stream that is not open; may fail() the connection.
  virtual Opening open_block(uint32_t stream_id) = 0;
  // A complete block without a fault, not trailers. Null, or why the stream is malformed.
  virtual const char* on_message(uint32_t stream_id, H2Stream* stream) = 0;
  // What Stream::send_head does.
  virtual void send_head(H2Stream& stream, const Head& head, End end) = 0;
  virtual void send_informational(H2Stream& stream, const Head& head) = 0;
  virtual void on_goaway(uint32_t last_stream_id) = 0;
  // Never opened, by whoever opens that kind of stream.
  virtual bool is_idle(uint32_t stream_id) const = 0;
  virtual uint32_t last_peer_stream() const { return 0; }

  // --- For derived classes.
  // `id` 0: becomes known to the peer by enter().
  H2Stream& new_stream(uint32_t id);
  void enter(H2Stream& stream, uint32_t id);
  // The head came: the body is to have this length.
  void begin_body_in(H2Stream& stream, const H2Meaning& meaning);
  bool block_ends_stream() const { return block_header_.has(h2::end_stream); }
  // After an event that may have been the last of a message.
  void end_if_over(H2Stream& stream);
  // Writes a head that was listed, and what it means for the body.
  void write_head(H2Stream& stream, const H2Listed& listed, End end);
  // Something of ours cannot be sent.
  void fail_local(H2Stream& stream, const char* detail);
  // Takes it out of the table and forgets its user; freed when the outermost call ends.
  void close(H2Stream& stream);
  // The same, and tells the user.
  void cut(H2Stream& stream, Error why);
  // A stream error of the peer; `stream` may be null.
  void reset_by_fault(uint32_t stream_id, H2Stream* stream, H2Fault fault);
  // The same for a stream that is open no more.
  Opening reopen(uint32_t stream_id);
  void fail(H2Fault fault);
  // Every outermost call has one of these around it.
  class Turn;
  void settle();
  void end_all(Error why);
  H2Stream* any_stream() { return fresh_.empty() ? streams_.any() : &fresh_.front(); }

  CodecUser& user_;
  const H2Limits& limits_;
  H2ScratchPool& pool_;
  H2Stats& stats_;
  H2FrameReader reader_;
  HpackDecoder decoder_;
  H2Sender sender_;
  H2StreamTable streams_;
  H2ResetMemory resets_;
  List<H2Stream> fresh_;          // client: opened, with nothing sent yet
  List<H2Stream> closed_;         // to be freed
  H2Scratch* scratch_ = nullptr;  // of the header block under way
  H2Stream* data_stream_ = nullptr;
  H2FrameHeader block_header_;  // of the HEADERS that began the block
  Opening block_;
  Error error_{};
  int64_t receive_window_bytes_;
  bool wants_credit_ = false;
  uint32_t credit_bytes_ = 0;   // of the connection, not told yet
  uint32_t granted_bytes_ = 0;  // for the owner's transport
  uint32_t depth_ = 0;          // of calls
  uint32_t fresh_count_ = 0;
  uint32_t lingering_ = 0;  // streams that are over, but for what the kernel has not taken yet
  // The peer's settings.
  uint32_t peer_window_bytes_ = h2::window_default_bytes;
  uint32_t peer_streams_max_ = 0xffffffff;
  uint32_t peer_list_bytes_max_ = 0xffffffff;
  const Origin peer_;
  uint8_t preface_seen_bytes_ = 0;
  bool peer_connect_protocol_ = false;
  bool settings_seen_ = false;
  bool settings_acknowledged_ = false;
  bool ping_due_ = false;
  bool drain_ping_due_ = false;
  bool drain_began_ = false;
  bool goaway_sent_ = false;
  bool peer_going_ = false;  // GOAWAY received
  bool peer_ended_ = false;
  bool dead_ = false;
  bool block_of_open_stream_ = false;
  bool idle_due_ = false;
  bool error_due_ = false;

 private:
  // H2SenderUser
  void on_end_written(H2Stream& stream) override;
  void on_body_sent(uint32_t stream_id, size_t body_bytes) override;
  void on_end_sent(uint32_t stream_id) override;
  // Of H2Stream.
  void send_body(H2Stream& stream, Slice piece, End end);
  void send_trailers(H2Stream& stream, const HeaderMap& fields);
  void grant(H2Stream& stream, size_t body_bytes);
  void reset(H2Stream& stream, Error why);

  // h2_codec_receive.cc
  void run(Slice& bytes);
  void run_preface(Slice& bytes);
  void on_frame_header();
  void on_frame_of_type(const H2FrameHeader& frame);
  void on_fixed();
  void on_payload(Slice piece);
  void on_frame_end();
  void begin_data(const H2FrameHeader& frame);
  void start_data();
  void deliver_data(Slice piece);
  void begin_headers(const H2FrameHeader& frame);
  void continue_headers(const H2FrameHeader& frame);
  void start_fragment();
  void finish_block();
  void on_trailers(H2Stream& stream);
  // h2_codec_control.cc
  void begin_priority(const H2FrameHeader& frame);
  void begin_settings(const H2FrameHeader& frame);
  void begin_other(const H2FrameHeader& frame);
  void on_reset_frame(uint32_t stream_id, uint32_t code);
  void on_setting(uint32_t setting, uint32_t value);
  void on_peer_window(uint32_t window_bytes);
  void on_settings_ack();
  void on_ping(std::string_view opaque);
  void on_goaway_frame(std::string_view fixed);
  void on_window_update(uint32_t stream_id, uint32_t bytes);
  void calm_down(uint64_t& counter, const char* detail);
  bool spend(H2Event event);
  void check_outbound();
  // Bytes of bodies, or around them, that nobody will grant.
  void credit(uint32_t bytes);
  void credit(H2Stream& stream, uint32_t bytes);
  void release_block();
};

// In scope while a call is under way; what is due is told when the outermost one ends.
class H2Codec::Turn {
 public:
  explicit Turn(H2Codec& codec) : codec_(codec) { ++codec_.depth_; }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
  ~Turn() {
    if (--codec_.depth_ == 0) codec_.settle();
  }

 private:
  H2Codec& codec_;
};

}  // namespace ringside
