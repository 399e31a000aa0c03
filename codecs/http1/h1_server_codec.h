#pragma once
// Our end of a connection from a client: requests in, responses out, one exchange at a time.
//
// A pipelined request is held, unparsed, until the owner calls resume() after on_idle; an owner that lets the queue of the
// transport drain first bounds what a client that pipelines and does not read can cost.
#include "codecs/http1/h1_codec.h"

namespace ringside {

class H1ServerCodec final : public H1Codec {
 public:
  // `limits` and `pool` outlive the codec.
  H1ServerCodec(CodecUser& user, CodecSink& sink, const H1Limits& limits, H1ScratchPool& pool);

  // Parses what was held. Only when no exchange is under way.
  void resume();
  // The client sent FIN. A complete request still gets its answer, which is the last; in the middle of one it is an error.
  void on_end();
  // The request now answered was the last: its client said so, and it had no body that could end in a stray line end.
  bool client_is_done() const { return client_is_done_ && idle() && held_bytes() == 0; }
  // The next response head says "connection: close" and the connection ends with it.
  void drain() { draining_ = true; }
  // A complete response to something that never became a request; for on_codec_error and timeouts. Writes nothing when a
  // response has begun. `head` has the content-length of `body`. Nothing is decoded after it.
  void send_error(const Head& head, std::string_view body);

  void send_informational(const Head& head) override;
  void send_head(const Head& head, End end) override;

 private:
  void send_upgrade(const Head& head);
  void on_head() override;
  void on_surplus(Slice& bytes) override;
};

static_assert(sizeof(H1ServerCodec) <= 128, "an idle connection is to stay small");

}  // namespace ringside
