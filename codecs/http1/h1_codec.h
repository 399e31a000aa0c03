#pragma once
// What the two ends of an HTTP/1 connection have in common: one message in, one message out, and the credit of both.
//
//   in:   idle -> start -> head -> (length | chunked -> trailers | until_close) -> ended -> idle | start ...
//   out:  idle -> head -> (length | chunked | until_close | bodiless) -> ended -> idle ...
//   tunnel: both sides agreed to leave HTTP; what comes is held until leave() gives it to whoever goes on.
//   dead: after an error, reset() or abort(): input is discarded, output refused.
//
// An exchange is over when both have ended. The owner hears of it by on_idle, never from inside a StreamUser's call.
#include <memory>

#include "codecs/http.h"
#include "codecs/http1/h1_chunks.h"
#include "codecs/http1/h1_head.h"
#include "codecs/http1/h1_parser.h"

namespace ringside {

class H1Codec : public Stream {
 public:
  H1Codec(const H1Codec&) = delete;
  H1Codec& operator=(const H1Codec&) = delete;

  // Received bytes, all of which are taken. Never call it from a callback of this codec.
  void decode(Slice bytes);
  // So many bytes of what went to the sink were sent; tells the StreamUser which part of them was body.
  void on_sent(size_t wire_bytes);
  // The connection is gone, or is being closed: ends an exchange under way by StreamUser::on_reset, and is silent otherwise.
  void abort(Error why);
  // May another exchange follow? Meaningful when idle: in on_idle and after.
  bool reusable() const;
  // No exchange under way and no part of one received.
  bool idle() const { return stream_ == nullptr && (in_ == In::idle || in_ == In::start); }
  // Bytes of a head have come that is not complete.
  bool head_started() const { return in_ == In::head; }
  // So many bytes are sure to come before any that this codec looks at: the rest of a body, or of its chunk.
  size_t body_bytes_due() const;
  // Received and not looked at yet, because an exchange is under way.
  size_t held_bytes() const { return held_ != nullptr ? held_->size_bytes() : 0; }

  // Stream
  void send_body(Slice piece, End end) final;
  void send_trailers(const HeaderMap& fields) final;
  void grant(size_t body_bytes) final;
  void reset(Error why) final;
  void hand_over(StreamUser& user) final { stream_ = &user; }

  // After a head with status 101 went through: the connection is HTTP's no more, and this codec is dead. Never from inside a
  // callback of it.
  struct Left {
    Buffer early;             // received behind the head, and not granted
    size_t unsent_bytes = 0;  // written, and not reported to on_sent() yet
    bool peer_ended = false;
  };
  Left leave();

 protected:
  enum class In : uint8_t { idle, start, head, length, chunked, trailers, until_close, tunnel, ended, dead };
  enum class Out : uint8_t { idle, head, length, chunked, until_close, bodiless, tunnel, ended, dead };

  H1Codec(CodecUser& user, CodecSink& sink, const H1Limits& limits, H1ScratchPool& pool, Origin peer)
      : user_(user), sink_(sink), limits_(limits), pool_(pool), peer_(peer) {}
  ~H1Codec() { parser_.release(pool_); }

  // A whole head lies in parser_.head(). Sets in_, tells the StreamUser.
  virtual void on_head() = 0;
  // Bytes where no message can begin: idle, or after the end. Takes them all.
  virtual void on_surplus(Slice& bytes) = 0;

  // For derived classes.
  void run(Slice& bytes);
  // What follows the head received is framed so; End::yes when nothing follows.
  End begin_body_in(const H1Meaning& meaning);
  // The head was written; what follows is framed so.
  void begin_body_out(Out framing, uint64_t length, size_t head_wire_bytes);
  // After an event that may have been the last of its message.
  void end_exchange_if_over();
  void message_out_ended();
  // The received message ends without further bytes.
  void deliver_end();
  // Tells the owner what became due while events were delivered.
  void settle();
  // Keeps what came for later.
  void hold(Slice& bytes);
  void fail(const H1Failure& failure);
  void fail(Error why, uint16_t status);
  // Something of ours cannot be sent.
  void fail_local(const char* detail);
  void die();
  void count_out(size_t wire_bytes) { unsent_wire_ += static_cast<uint32_t>(wire_bytes); }

  CodecUser& user_;
  CodecSink& sink_;
  const H1Limits& limits_;
  H1ScratchPool& pool_;
  StreamUser* stream_ = nullptr;  // of the exchange under way
  H1HeadParser parser_;
  std::unique_ptr<Buffer> held_;
  uint64_t receive_left_ = 0;        // In::length
  H1ChunkReader chunks_;             // In::chunked
  uint64_t send_left_ = 0;           // Out::length
  uint32_t consumed_ = 0;            // to be granted by settle()
  uint32_t ungranted_ = 0;           // body bytes delivered for which no grant has come
  uint32_t unsent_wire_ = 0;         // written and not yet sent, of any exchange
  uint32_t unsent_before_body_ = 0;  // the part of it in front of the present body
  uint32_t unsent_body_ = 0;         // body bytes written for which on_sent is due
  In in_ = In::idle;
  Out out_ = Out::idle;
  const Origin peer_;
  uint8_t informationals_ = 0;
  bool persistent_ : 1 = true;  // as far as is known by now
  bool draining_ : 1 = false;
  bool peer_ended_ : 1 = false;  // the peer sent FIN
  bool decoding_ : 1 = false;
  bool resuming_ : 1 = false;
  bool idle_due_ : 1 = false;
  bool response_begun_ : 1 = false;  // server: a final head was written; client: a byte of the response came
  bool http10_peer_ : 1 = false;
  bool head_request_ : 1 = false;
  bool upgrade_asked_ : 1 = false;  // by the present request
  bool connect_asked_ : 1 = false;  // and it is a CONNECT
  bool client_is_done_ : 1 = false;  // server: the client announced that its request is the last
  bool cr_skipped_ : 1 = false;  // server: of one empty line in front of the request line
  bool crlf_skipped_ : 1 = false;

 private:
  void run_start(Slice& bytes);
  void run_head(Slice& bytes);
  void run_length(Slice& bytes);
  void run_chunked(Slice& bytes);
  void run_trailers(Slice& bytes);
  void deliver_body(Slice& bytes, size_t size, End end);
  void consume(Slice& bytes, size_t size);
  void write_body(Slice piece, End end);
};

}  // namespace ringside
