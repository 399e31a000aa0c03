#pragma once
// The one HTTP vocabulary of all codecs: Head, Stream, StreamUser, Codec. Codecs are sans-I/O: bytes in, events out; calls
// in, bytes out. They never see a ring, a socket or a clock.
#include <cstdint>
#include <string_view>

#include "codecs/header_map.h"
#include "core/arena.h"
#include "core/buffer.h"
#include "core/error.h"

namespace ringside {

enum class HttpVersion : uint8_t { http10, http11, http2 };
enum class End : bool { no, yes };

// A request that asks to leave HTTP has the same form whatever it came by: HTTP/1's Upgrade and HTTP/2's extended CONNECT (RFC 8441)
// are a GET with `upgrade` and `upgrade_protocol`, the answer that agrees has status 101 and `upgrade`.
//
// Start line and fields of one message. Views live as long as the arena of `fields`.
// A request has method, authority ("" when the client sent none: the owner refuses that of HTTP/1.1, RFC 9112 3.2), path (origin form, or "*") and scheme ("" when unknown:
// the owner knows the transport); a response has status. Host is never in `fields`: it is `authority`. Hop-by-hop fields
// (RFC 9110 7.6.1) and transfer-encoding are removed by the codec, content-length stays, checked. `te: trailers` stays when it came
// by HTTP/2, and goes out by HTTP/2 only.
struct Head {
  explicit Head(Arena& arena) : fields(arena) {}
  HttpVersion version = HttpVersion::http11;
  uint16_t status = 0;
  bool upgrade = false;          // request: asked to leave HTTP (Upgrade, CONNECT); response: status 101
  bool expect_continue = false;  // request: Expect: 100-continue
  // response: the upstream's body is framed by the end of its connection (RFC 9112 6.3 rule 8)
  bool until_close = false;
  std::string_view method;
  std::string_view scheme;
  std::string_view authority;
  std::string_view path;
  std::string_view upgrade_protocol;  // value of Upgrade, for messages and later tunnels
  HeaderMap fields;
  // Size on the wire, counting the start line; for stats and logs.
  uint32_t wire_bytes = 0;
};

// Receives one message. on_reset is the last call; after an End::yes no further call but on_sent comes.
class StreamUser {
 public:
  // Where the message's head is to live.
  virtual Arena& arena() = 0;
  virtual void on_head(Head& head, End end) = 0;
  // 1xx other than 101; client side only. Valid during the call.
  virtual void on_informational(Head& head) = 0;
  virtual void on_body(Slice piece, End end) = 0;
  // Trailers end the message.
  virtual void on_trailers(HeaderMap& fields) = 0;
  // So much of what was given to Stream::send_body went to the kernel.
  virtual void on_sent(size_t body_bytes) = 0;
  // The stream is gone without having ended, both ways.
  virtual void on_reset(Error why) = 0;

 protected:
  ~StreamUser() = default;
};

// Sends the opposite message. After the sender's End and the receiver's End, or after reset()/on_reset, it must not be used.
class Stream {
 public:
  virtual void send_informational(const Head& head) = 0;
  virtual void send_head(const Head& head, End end) = 0;
  // An empty piece with End::yes ends the body.
  virtual void send_body(Slice piece, End end) = 0;
  // Ends the message. Dropped where the framing cannot carry them.
  virtual void send_trailers(const HeaderMap& fields) = 0;
  // So many body bytes of the received message were consumed.
  virtual void grant(size_t body_bytes) = 0;
  // Abandons both directions; no on_reset follows. HTTP/1: the connection cannot be used again. HTTP/2: after its End::yes a
  // server's message still goes out whole.
  virtual void reset(Error why) = 0;
  // Somebody else receives from now on.
  virtual void hand_over(StreamUser& user) = 0;

 protected:
  ~Stream() = default;
};

// Where a codec's output goes, in order: the transport, or a test.
class CodecSink {
 public:
  virtual void write(Slice bytes) = 0;
  // Room for at least `bytes` contiguous bytes of output. Valid until commit.
  virtual char* reserve(size_t bytes) = 0;
  // Sends the first `bytes` of what was reserved.
  virtual void commit(size_t bytes) = 0;

 protected:
  ~CodecSink() = default;
};

// Owner of a codec.
class CodecUser {
 public:
  // Server side: a complete and valid request head is about to be delivered to the StreamUser returned.
  virtual StreamUser& on_stream(Stream& stream) = 0;
  // The peer broke the protocol, or ended in the middle. Streams had their on_reset before; for a server codec an error
  // answer (RFC 9110 15.5) with `status` should be sent when status is not 0 and no response has begun; then close.
  virtual void on_codec_error(Error why, uint16_t status) = 0;
  // A message exchange ended on both sides. The codec may be reused at once, unless `reusable()` is false.
  // Outside of any call to a StreamUser, as the last act of decode(), resume() or of the send_* call that ended the exchange.
  // HTTP/2: a stream ended, in whatever way; also as the last act of on_sent() and of Stream::reset().
  virtual void on_idle() = 0;
  // So many received bytes are done with (heads, framing and discarded bytes at once, body bytes when Stream::grant says so):
  // the transport may deliver as many more. HTTP/2: all bytes at once, its windows are the credit of bodies.
  virtual void on_grant(size_t wire_bytes) = 0;

 protected:
  ~CodecUser() = default;
};

}  // namespace ringside
