#pragma once
// One end of a simulated connection that a script holds: a client or an origin server, without ring or transport.
#include <deque>
#include <memory>
#include <string>
#include <string_view>

#include "tests/sim/sim_network.h"

namespace ringside::sim {

class Peer : private SocketUser {
 public:
  explicit Peer(Network& network) : network_(network) {}
  virtual ~Peer();
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  void connect(const Address& address);
  void adopt(SocketPtr socket);
  bool open() const { return socket_ != nullptr; }
  bool connected() const { return connected_; }

  // Sent in order, as the network takes it.
  void send(std::string_view bytes);
  // FIN after what was sent; RST now; both directions.
  void finish();
  void reset();
  void close();
  size_t unsent_bytes() const { return output_.size(); }

  // How it reads: everything at once, or `bytes` each `tick`. Zero bytes: not at all.
  void read_slowly(size_t bytes, Duration tick);
  void read_freely();

 protected:
  Network& network() { return network_; }
  // Calls after `delay`, unless the peer is gone by then.
  template <class Run>
  void later(Duration delay, Run run) {
    network_.after(delay, [alive = std::weak_ptr<bool>(alive_), run] {
      if (!alive.expired()) run();
    });
  }
  virtual void on_connected() {}
  virtual void on_bytes(std::string_view bytes) = 0;
  virtual void on_end() {}
  // `error` as errno: a reset, or a connect that failed. The connection is gone.
  virtual void on_failed(int error) { static_cast<void>(error); }

 private:
  void on_socket(Socket& socket) override;
  void write_out();
  void read_in();
  void start_ticking();
  void tick();

  Network& network_;
  SocketPtr socket_;
  ByteQueue output_;
  bool connected_ = false;
  bool finishing_ = false;
  bool ended_ = false;
  bool ticking_ = false;
  size_t read_bytes_ = static_cast<size_t>(-1);
  size_t allowance_ = 0;
  Duration read_tick_{};
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace ringside::sim
