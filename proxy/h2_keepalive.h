#pragma once
// PINGs on one HTTP/2 connection, and its end when they are not answered. Made only where a configuration asks for it.
#include "codecs/http2/h2_codec.h"
#include "core/worker.h"
#include "proxy/specs.h"

namespace ringside {

// The codec tells its owner when the peer is taken for dead, by on_codec_error.
class H2Keepalive {
 public:
  H2Keepalive(Worker& worker, H2Codec& codec, const KeepaliveSpec& spec) : worker_(worker), codec_(codec), spec_(spec) {}
  // When the codec has started.
  void start();
  // After the codec took bytes: the peer is there.
  void on_bytes();
  // A client is about to begin a request: on a connection that was silent for long, a PING goes first.
  void before_request();
  // The connection is being closed.
  void stop() { timer_.disarm(); }

 private:
  void ask();
  void wait();
  void on_timer();

  Worker& worker_;
  H2Codec& codec_;
  const KeepaliveSpec spec_;
  TimerFor<H2Keepalive, &H2Keepalive::on_timer> timer_{*this};  // of the next PING, or of the answer to the last
  Instant heard_{};
  bool asked_ = false;
};

}  // namespace ringside
