#pragma once
// A peer that says what it has to say in pieces, and finishes then: ends of relayed and of upgraded connections.
#include <algorithm>
#include <string>
#include <utility>

#include "tests/sim/sim_peer.h"

namespace ringside::sim {

// Sends a text in pieces, with pauses.
class Talker : public Peer {
 public:
  explicit Talker(Network& net) : Peer(net) {}

 protected:
  // Once; `breaks_off`: how often it ends without a word, per million, at each piece.
  void talk(std::string text, uint32_t breaks_off) {
    text_ = std::move(text);
    breaks_off_ = breaks_off;
    say_more();
  }
  virtual void on_broke_off() = 0;
  // Everything is with the network.
  bool has_said_all() const { return at_ == text_.size() && unsent_bytes() == 0; }

 private:
  void say_more() {
    if (!open()) return;
    Random& random = network().random();
    if (breaks_off_ != 0 && random.chance(breaks_off_)) {
      random.chance(500'000) ? reset() : close();
      return on_broke_off();
    }
    const size_t size = std::min<size_t>(text_.size() - at_, random.between(1, 30'000));
    send(std::string_view(text_).substr(at_, size));
    at_ += size;
    if (at_ == text_.size()) return finish();
    later(microseconds(random.below(random.chance(200'000) ? 5000 : 100)), [this] { say_more(); });
  }
  std::string text_;
  size_t at_ = 0;
  uint32_t breaks_off_ = 0;
};

}  // namespace ringside::sim
