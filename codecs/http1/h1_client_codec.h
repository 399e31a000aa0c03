#pragma once
// Our end of a connection to an upstream: requests out, responses in, one exchange at a time.
#include "codecs/http1/h1_codec.h"

namespace ringside {

class H1ClientCodec final : public H1Codec {
 public:
  // `limits` and `pool` outlive the codec.
  H1ClientCodec(CodecUser& user, CodecSink& sink, const H1Limits& limits, H1ScratchPool& pool);

  // Begins an exchange; the request follows by send_head, the response comes to `user`. Only when reusable().
  void open(StreamUser& user);
  // Behind open(): there is no exchange in HTTP, and leave() may be called.
  void skip_http();
  // The upstream sent FIN: the end of a body that is framed so; otherwise an error, if an answer was due. The error says
  // Retry::if_reused when not a byte of an answer had come.
  void on_end();
  // A response has begun that says itself where it ends.
  bool in_framed_response() const {
    return in_ == In::head || in_ == In::length || in_ == In::chunked || in_ == In::trailers;
  }

  // A client sends none.
  void send_informational(const Head& head) override;
  void send_head(const Head& head, End end) override;

 private:
  void on_head() override;
  void on_surplus(Slice& bytes) override;
};

static_assert(sizeof(H1ClientCodec) <= 128, "an idle connection is to stay small");

}  // namespace ringside
