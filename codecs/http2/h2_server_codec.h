#pragma once
// Our end of a connection from a client: requests in, responses out, many at a time.
#include "codecs/http2/h2_codec.h"

namespace ringside {

class H2ServerCodec final : public H2Codec {
 public:
  // `limits`, `pool` and `stats` outlive the codec.
  H2ServerCodec(CodecUser& user, CodecSink& sink, const H2Limits& limits, H2ScratchPool& pool, H2Stats& stats)
      : H2Codec(user, sink, limits, pool, stats, Origin::downstream) {}

 private:
  Opening open_block(uint32_t stream_id) override;
  const char* on_message(uint32_t stream_id, H2Stream* stream) override;
  void send_head(H2Stream& stream, const Head& head, End end) override;
  void send_informational(H2Stream& stream, const Head& head) override;
  void on_goaway(uint32_t last_stream_id) override;
  bool is_idle(uint32_t stream_id) const override { return stream_id % 2 == 0 || stream_id > last_stream_; }
  uint32_t last_peer_stream() const override { return last_served_stream_; }

  uint32_t last_stream_ = 0;
  uint32_t last_served_stream_ = 0;  // without those that came after GOAWAY
};

}  // namespace ringside
