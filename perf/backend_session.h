#pragma once
// What the sessions of the backend have in common.
#include <memory>

#include "core/transport.h"
#include "core/worker.h"
#include "perf/backend.h"

namespace ringside::perf {

// One accepted connection; deletes itself when it is closed.
class ServerSession : protected TransportUser, private Retired {
 public:
  ServerSession(Backend& backend, std::unique_ptr<Transport> transport)
      : backend_(backend), transport_(std::move(transport)) {}
  void start() {
    transport_->start(*this, window_bytes);
    started();
  }

 protected:
  ~ServerSession() override { set_hungry(false); }

  virtual void started() {}
  void on_end() override {
    ended_ = true;
    transport_->finish();  // so that the last send is reported although nothing else happens
    close_when_sent();
  }
  void on_sent(size_t) override {
    if (transport_->unsent_bytes() == 0) set_hungry(false);
    close_when_sent();
  }
  void on_closed(Error) override { backend_.worker().retire(*this); }
  void close_when_sent() {
    if (ended_ && transport_->unsent_bytes() == 0) close();
  }
  // The message that just came is none that the load sends.
  void refuse() {
    backend_.count_bad();
    close();
  }
  void close() {
    closing_ = true;
    transport_->close({});
  }

  // Sends are to be reported at once: behind them waits what was not encrypted yet.
  void set_hungry(bool hungry) {
    if (hungry_ == hungry) return;
    hungry_ = hungry;
    backend_.worker().ring().add_hungry(hungry ? 1 : -1);
  }

  static constexpr size_t window_bytes = 8 * 1024 * 1024;
  Backend& backend_;
  const std::unique_ptr<Transport> transport_;
  bool ended_ = false;
  bool closing_ = false;
  bool hungry_ = false;
};

// Services, see there. The session owns itself.
void open_h2_session(Backend& backend, std::unique_ptr<Transport> transport);
void open_mongo_session(Backend& backend, std::unique_ptr<Transport> transport);

}  // namespace ringside::perf
