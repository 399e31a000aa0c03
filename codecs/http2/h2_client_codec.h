#pragma once
// Our end of a connection to an upstream: requests out, responses in, as many at a time as both sides allow.
#include "codecs/http2/h2_codec.h"

namespace ringside {

class H2ClientCodec final : public H2Codec {
 public:
  // `limits`, `pool` and `stats` outlive the codec.
  H2ClientCodec(CodecUser& user, CodecSink& sink, const H2Limits& limits, H2ScratchPool& pool, H2Stats& stats)
      : H2Codec(user, sink, limits, pool, stats, Origin::upstream) {}

  // Begins an exchange; the request follows by send_head, the response comes to `user`. Only when streams_available() > 0.
  Stream& open(StreamUser& user);
  // How many more exchanges may begin now; 0 for ever after a GOAWAY, ours or the peer's.
  uint32_t streams_available() const;
  // May it be used again, now or when a stream has ended?
  bool reusable() const {
    return !dead_ && !peer_going_ && !drain_began_ && !peer_ended_ && next_stream_ <= h2::window_bytes_max;
  }
  // The upstream takes extended CONNECT (RFC 8441).
  bool takes_connect_protocol() const { return peer_connect_protocol_; }
  // It has said what it takes.
  bool settings_seen() const { return settings_seen_; }

 private:
  Opening open_block(uint32_t stream_id) override;
  const char* on_message(uint32_t stream_id, H2Stream* stream) override;
  void send_head(H2Stream& stream, const Head& head, End end) override;
  void send_informational(H2Stream& stream, const Head& head) override;
  void on_goaway(uint32_t last_stream_id) override;
  bool is_idle(uint32_t stream_id) const override { return stream_id % 2 == 0 || stream_id >= next_stream_; }

  uint32_t next_stream_ = 1;
  uint32_t goaway_last_stream_ = h2::window_bytes_max;
};

}  // namespace ringside
