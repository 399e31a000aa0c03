#include "tests/sim/sim_origin.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <charconv>
#include <cstdio>

#include "tests/sim/sim_world.h"

namespace ringside::sim {
namespace {

std::string answer_head(const Plan& plan) {
  std::string text = "HTTP/1.1 " + std::to_string(plan.status) + " Planned\r\nx-origin-id: " + std::to_string(plan.id) + "\r\n";
  if (plan.origin_close || plan.framing == BodyFraming::until_close) text += "connection: close\r\n";
  if (plan.status == 204 || plan.status == 304) return text + "\r\n";
  if (plan.framing == BodyFraming::chunked) text += "transfer-encoding: chunked\r\n";
  if (plan.framing == BodyFraming::length) text += "content-length: " + std::to_string(plan.body_bytes) + "\r\n";
  return text + "\r\n";
}

}  // namespace

class Origin::Connection final : public Peer, private MessageUser {
 public:
  Connection(Origin& origin, Network& net, SocketPtr socket) : Peer(net), origin_(origin) { adopt(std::move(socket)); }

 private:
  void on_bytes(std::string_view bytes) override {
    if (dead_) return;
    if (!reader_.read(bytes)) {
      ADD_FAILURE() << "the proxy sent what is not HTTP: " << reader_.problem();
      reset();
    }
  }
  void on_end() override {
    // A proxy that ends its side in the middle has given up.
    close();
    dead_ = true;
  }
  void on_failed(int) override { dead_ = true; }

  void on_message_head(const HttpHead& head) override;
  void on_message_body(std::string_view bytes) override;
  void on_message_end() override;
  void answer();
  void fail_attempt();
  void send_body();
  void send_piece(std::string_view piece);
  void end_answer();
  void die();

  Origin& origin_;
  MessageReader reader_{MessageReader::Kind::request, *this};
  Plan* plan_ = nullptr;
  size_t request_bytes_ = 0;
  size_t body_at_ = 0;
  bool request_whole_ = true;
  bool answering_ = false;
  bool failing_ = false;
  bool early_ = false;
  bool dead_ = false;
  uint64_t exchanges_ = 0;
};

void Origin::Connection::on_message_head(const HttpHead& head) {
  EXPECT_FALSE(answering_) << "a request into the middle of an answer";
  EXPECT_TRUE(request_whole_);
  uint64_t id = 0;
  const std::string_view text = head.field("x-id");
  std::from_chars(text.data(), text.data() + text.size(), id);
  plan_ = origin_.find_(id);
  if (plan_ == nullptr) {
    ADD_FAILURE() << "a request of nobody: " << head.start_line;
    return reset();
  }
  ++exchanges_;
  EXPECT_LE(++plan_->seen_at_origin, plan_->attempts_max) << "request " << id << " came once too often";
  EXPECT_FALSE(plan_->malformed);
  EXPECT_EQ(head.method(), plan_->method);
  EXPECT_EQ(head.fields.count("x-request-id"), 1U);
  request_bytes_ = 0;
  request_whole_ = false;
  body_at_ = 0;
  answering_ = true;
  failing_ = plan_->seen_at_origin <= plan_->failures;
  early_ = failing_ ? network().random().chance(400'000) : plan_->early;
  if (early_) later(plan_->think, [this] { answer(); });
}

void Origin::Connection::on_message_body(std::string_view bytes) {
  if (plan_ == nullptr) return;
  EXPECT_TRUE(matches_pattern(plan_->request_pattern(), request_bytes_, bytes)) << "body of request " << plan_->id;
  request_bytes_ += bytes.size();
}

void Origin::Connection::on_message_end() {
  if (plan_ == nullptr) return;
  EXPECT_EQ(request_bytes_, plan_->request_body_bytes) << "body of request " << plan_->id;
  plan_->request_whole_at_origin = true;
  request_whole_ = true;
  if (!early_) later(plan_->think, [this] { answer(); });
}

void Origin::Connection::answer() {
  if (dead_ || plan_ == nullptr || plan_->silent) return;
  if (failing_) return fail_attempt();
  const Plan& plan = *plan_;
  if (plan.death == Death::before_head) return die();
  if (plan.garbage) {
    send("HTTP/1.1 2zz nonsense\r\nx-origin-id: 0\r\n\r\n");
    return;
  }
  if (plan.interim) send("HTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\n");
  const std::string head = answer_head(plan);
  if (plan.death == Death::in_head) {
    send(std::string_view(head).substr(0, head.size() / 2));
    return die();
  }
  // In one piece: what comes later cannot be told from an answer to the next request.
  if (plan.junk_after) {
    const std::string body = plan.has_answer_body() ? pattern_text(plan.answer_pattern(), plan.body_bytes) : "";
    send(head + body + "HTTP/1.1 200 OK\r\nx-origin-id: 666\r\ncontent-length: 4\r\n\r\nevil");
    return end_answer();
  }
  send(head);
  if (!plan.has_answer_body()) return end_answer();
  send_body();
}

// No answer that the client is meant to see.
void Origin::Connection::fail_attempt() {
  Random& random = network().random();
  const uint64_t kind = random.below(4);
  if (kind == 0) {
    dead_ = true;
    return reset();
  }
  if (kind == 1) return finish();
  const std::string text = "HTTP/1.1 503 Not yet\r\ncontent-length: 5\r\n\r\nlater";
  answering_ = false;
  if (plan_->method == "HEAD") return send(std::string_view(text).substr(0, text.size() - 5));
  if (kind == 2) return send(text);
  send(std::string_view(text).substr(0, text.size() - 3));
  dead_ = true;
  reset();
}

void Origin::Connection::send_body() {
  if (dead_ || !open()) return;
  Random& random = network().random();
  const size_t end = plan_->death == Death::in_body ? std::min(plan_->death_at, plan_->body_bytes) : plan_->body_bytes;
  if (body_at_ < end) {
    const size_t size = std::min<size_t>(end - body_at_, random.between(1, 20'000));
    send_piece(std::string_view(pattern_text(plan_->answer_pattern(), body_at_ + size)).substr(body_at_));
    body_at_ += size;
    // With its last byte such an answer is over for whoever reads it, who may ask again at once.
    if (body_at_ == plan_->body_bytes && plan_->framing == BodyFraming::length && plan_->death != Death::in_body) return end_answer();
    return later(microseconds(random.chance(200'000) ? random.below(3000) : 0), [this] { send_body(); });
  }
  if (plan_->death == Death::in_body) return die();
  if (plan_->framing == BodyFraming::chunked) send("0\r\n\r\n");
  end_answer();
}

void Origin::Connection::send_piece(std::string_view piece) {
  if (plan_->framing != BodyFraming::chunked) return send(piece);
  char line[24];
  std::snprintf(line, sizeof line, "%zx\r\n", piece.size());
  send(line);
  send(piece);
  send("\r\n");
}

void Origin::Connection::end_answer() {
  answering_ = false;
  const Plan& plan = *plan_;
  if (plan.origin_close || plan.framing == BodyFraming::until_close) return finish();
  if (!origin_.impatient_) return;
  later(microseconds(network().random().below(20'000)), [this, seen = exchanges_] {
    if (!answering_ && !reader_.in_message() && exchanges_ == seen) {
      dead_ = true;
      close();
    }
  });
}

void Origin::Connection::die() {
  if (plan_->death_by_reset) {
    dead_ = true;
    return reset();
  }
  finish();
}

// --- Origin --------------------------------------------------------------------------------------------------------------

Origin::Origin(Network& network, const Address& address, std::function<Plan*(uint64_t)> find)
    : network_(network), address_(address), find_(std::move(find)) {
  come_up();
}

Origin::~Origin() { go_down(); }

void Origin::go_down() {
  if (listener_ == nullptr) return;
  network_.unlisten(listener_);
  listener_.reset();
}

void Origin::come_up() {
  if (listener_ != nullptr) return;
  listener_ = network_.listen(address_, false);
  // Not from inside the network's own call.
  listener_->on_pending = [this] {
    network_.after(Duration::zero(), [this, alive = std::weak_ptr<bool>(alive_)] {
      if (!alive.expired()) accept_all();
    });
  };
}

void Origin::accept_all() {
  while (listener_ != nullptr && !listener_->pending.empty()) {
    SocketPtr socket = listener_->pending.front();
    listener_->pending.pop_front();
    connections_.push_back(std::make_unique<Connection>(*this, network_, std::move(socket)));
  }
}

size_t Origin::connections_open() const {
  return static_cast<size_t>(std::ranges::count_if(connections_, [](const auto& connection) { return connection->open(); }));
}

}  // namespace ringside::sim
