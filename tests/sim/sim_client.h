#pragma once
// A scripted HTTP/1.1 client on one connection: sends the requests that it was planned for, and checks every byte that comes
// back.
#include <deque>
#include <vector>

#include "tests/sim/sim_http.h"
#include "tests/sim/sim_peer.h"

namespace ringside::sim {

class HttpClient final : public Peer, private MessageUser {
 public:
  struct Habits {
    bool pipelines = false;   // does not wait for answers
    bool dribbles = false;    // sends in small pieces
    bool half_closes = false;  // FIN behind the last request
    uint32_t breaks_off = 0;  // per million, at each piece
    Duration pause_max{};     // between pieces and requests
  };
  HttpClient(Network& network, std::vector<Plan*> plans, Habits habits);

  // The connection is over, and every plan has its outcome.
  bool over() const { return over_; }
  // Gives up what is still open.
  void abandon();

 private:
  void on_connected() override;
  void on_bytes(std::string_view bytes) override;
  void on_end() override;
  void on_failed(int error) override;
  void on_message_head(const HttpHead& head) override;
  void on_message_body(std::string_view bytes) override;
  void on_message_end() override;
  void next_request();
  void send_piece();
  void settle(Plan& plan, Outcome outcome);
  void finish_all(Outcome sent, Outcome unsent);

  Habits habits_;
  std::deque<Plan*> unsent_;   // the front one may be under way
  std::deque<Plan*> waiting_;  // for an answer; in order
  std::string outgoing_;       // of the request under way
  size_t outgoing_at_ = 0;
  bool sending_ = false;
  bool last_request_ = false;  // we said "connection: close"
  bool last_answer_ = false;   // the proxy said "connection: close"
  bool from_origin_ = false;
  size_t body_bytes_ = 0;
  int status_ = 0;
  bool over_ = false;
  MessageReader reader_{MessageReader::Kind::response, *this};
};

// A request as it goes over the wire.
std::string request_text(const Plan& plan);

}  // namespace ringside::sim
