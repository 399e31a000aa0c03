#pragma once
// A connection between its accept and its filter chain: the listener filters look at its first bytes, which are held and then go on
// to whoever takes the connection.
//
//   accepted -> filters, each with what has come so far -> a chain takes it, and this one retires
//                                                      `-> closed: refused by a filter, too slow, left, or no chain's
#include <memory>
#include <string>
#include <vector>

#include "core/tcp_transport.h"
#include "core/worker.h"
#include "proxy/listener/filter_chain_table.h"
#include "proxy/specs.h"
#include "tls/client_hello.h"

namespace ringside {

class ListenerGate;

class Inspection final : public Retired, public Link<Inspection>, private TransportUser {
 public:
  Inspection(ListenerGate& gate, std::unique_ptr<TcpTransport> socket);
  ~Inspection() override;
  // It may be over, and this one retired, when this returns.
  void start(Slice first_bytes);
  void close(Error why);

 private:
  enum class Step : uint8_t { next, more, refused };
  void on_bytes(Slice bytes) override;
  void on_end() override;
  void on_sent(size_t bytes) override { static_cast<void>(bytes); }
  void on_closed(Error why) override;
  void on_timer();

  bool waits() const { return socket_ != nullptr && !closing_; }
  void look_at_fresh();
  void look();
  Step apply(const ListenerFilterSpec& filter);
  Step apply_tls(const ListenerFilterSpec& filter);
  Step hello_broken(const ListenerFilterSpec& filter);
  void note_hello(const ListenerFilterSpec& filter);
  Step apply_http();
  Step apply_proxy_header(const ListenerFilterSpec& filter);
  Step header_absent(const ListenerFilterSpec& filter);
  Step refuse(const char* why);
  void ask_original_destination();
  std::string_view held() const { return gathered_.empty() ? fresh_.text() : std::string_view(gathered_); }
  void consume(size_t bytes);
  Slice take_held();
  void conclude();
  void end();

  ListenerGate& gate_;
  std::unique_ptr<TcpTransport> socket_;  // null once a chain has it
  Slice fresh_;           // what came now
  std::string gathered_;  // what came before, and now
  std::unique_ptr<ClientHelloReader> hello_;
  std::string server_name_;
  std::vector<std::string> protocols_;
  TimerFor<Inspection, &Inspection::on_timer> timer_{*this};
  uint8_t at_ = 0;  // the filter whose turn it is
  bool tls_ = false;
  bool closing_ = false;
};

}  // namespace ringside
