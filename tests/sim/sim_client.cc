#include "tests/sim/sim_client.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>

#include "tests/sim/sim_world.h"

namespace ringside::sim {

std::string request_text(const Plan& plan) {
  if (plan.malformed) return "GET /r/" + std::to_string(plan.id) + " HTTP/1.1\r\nhost: a\r\nbad field\r\n\r\n";
  std::string text = plan.method + " /r/" + std::to_string(plan.id) + " HTTP/1.1\r\nhost: sim\r\nx-id: " +
                     std::to_string(plan.id) + "\r\n";
  if (plan.expect_continue) text += "expect: 100-continue\r\n";
  if (plan.close) text += "connection: close\r\n";
  const std::string body = pattern_text(plan.request_pattern(), plan.request_body_bytes);
  if (plan.request_framing == BodyFraming::none) return text + "\r\n";
  if (plan.request_framing == BodyFraming::length)
    return text + "content-length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  text += "transfer-encoding: chunked\r\n\r\n";
  for (size_t at = 0; at < body.size();) {
    const size_t size = std::min<size_t>(body.size() - at, 1 + (plan.id * 7919 + at) % 9000);
    char line[24];
    std::snprintf(line, sizeof line, "%zx\r\n", size);
    text += line + body.substr(at, size) + "\r\n";
    at += size;
  }
  return text + "0\r\n\r\n";
}

HttpClient::HttpClient(Network& net, std::vector<Plan*> plans, Habits habits)
    : Peer(net), habits_(habits), unsent_(plans.begin(), plans.end()) {}

void HttpClient::settle(Plan& plan, Outcome outcome) {
  EXPECT_EQ(plan.outcome, Outcome::pending) << "request " << plan.id << " ended twice";
  plan.outcome = outcome;
}

void HttpClient::finish_all(Outcome sent, Outcome unsent) {
  if (over_) return;
  over_ = true;
  for (Plan* plan : waiting_) settle(*plan, sent);
  if (sending_) unsent_.pop_front();  // it waits already
  for (Plan* plan : unsent_) settle(*plan, unsent);
  waiting_.clear();
  unsent_.clear();
  sending_ = false;
}

void HttpClient::abandon() {
  finish_all(Outcome::abandoned, Outcome::never_sent);
  close();
}

// --- asking ------------------------------------------------------------------------------------------------------------

void HttpClient::on_connected() { next_request(); }

void HttpClient::next_request() {
  if (over_ || sending_) return;
  if (unsent_.empty() || last_request_ || last_answer_) {
    if (!waiting_.empty()) return;
    finish_all(Outcome::broken, Outcome::never_sent);
    return close();
  }
  sending_ = true;
  outgoing_ = request_text(*unsent_.front());
  outgoing_at_ = 0;
  waiting_.push_back(unsent_.front());
  send_piece();
}

void HttpClient::send_piece() {
  if (over_ || !sending_) return;
  Random& random = network().random();
  if (habits_.breaks_off != 0 && random.chance(habits_.breaks_off)) {
    finish_all(Outcome::abandoned, Outcome::never_sent);
    return random.chance(500'000) ? reset() : close();
  }
  const size_t left = outgoing_.size() - outgoing_at_;
  const size_t size = habits_.dribbles ? std::min<size_t>(left, random.between(1, 2000)) : left;
  send(std::string_view(outgoing_).substr(outgoing_at_, size));
  outgoing_at_ += size;
  const Duration pause(static_cast<int64_t>(random.below(static_cast<uint64_t>(habits_.pause_max.count()) + 1)));
  if (outgoing_at_ < outgoing_.size()) return later(pause, [this] { send_piece(); });
  sending_ = false;
  if (unsent_.front()->close) last_request_ = true;
  unsent_.pop_front();
  if ((last_request_ || unsent_.empty()) && habits_.half_closes) return finish();
  if (habits_.pipelines) later(pause, [this] { next_request(); });
}

// --- answers -----------------------------------------------------------------------------------------------------------

void HttpClient::on_bytes(std::string_view bytes) {
  if (over_) return;
  if (waiting_.empty()) {
    ADD_FAILURE() << "bytes that nobody asked for: " << bytes.substr(0, 200);
    return abandon();
  }
  reader_.set_method(waiting_.front()->method);
  if (!reader_.read(bytes)) {
    ADD_FAILURE() << "not HTTP: " << reader_.problem() << ", answer of request "
                  << (waiting_.empty() ? 0 : waiting_.front()->id) << ": " << bytes.substr(0, 300);
    abandon();
  }
}

void HttpClient::on_message_head(const HttpHead& head) {
  if (over_) return;
  ASSERT_FALSE(waiting_.empty());
  const Plan& plan = *waiting_.front();
  const std::string_view origin = head.field("x-origin-id");
  from_origin_ = !origin.empty();
  status_ = head.status();
  body_bytes_ = 0;
  if (head.field("connection") == "close") last_answer_ = true;
  if (!from_origin_) {
    EXPECT_GE(status_, 400) << "a local answer to request " << plan.id;
    return;
  }
  EXPECT_EQ(origin, std::to_string(plan.id)) << "the answer of another request";
  EXPECT_EQ(status_, plan.status);
}

void HttpClient::on_message_body(std::string_view bytes) {
  if (over_ || !from_origin_) return;
  const Plan& plan = *waiting_.front();
  EXPECT_TRUE(matches_pattern(plan.answer_pattern(), body_bytes_, bytes))
      << "request " << plan.id << " at " << body_bytes_ << ": " << bytes.substr(0, 100);
  body_bytes_ += bytes.size();
}

void HttpClient::on_message_end() {
  if (over_) return;
  Plan& plan = *waiting_.front();
  if (from_origin_) {
    // An origin that ended a body without length by FIN has said all, for all that one can know.
    const bool unseen = plan.death == Death::in_body && plan.framing == BodyFraming::until_close && !plan.death_by_reset;
    const size_t expected = unseen ? plan.death_at : plan.has_answer_body() ? plan.body_bytes : 0;
    EXPECT_EQ(body_bytes_, expected) << "request " << plan.id;
    EXPECT_TRUE(plan.death == Death::none || unseen) << "request " << plan.id << " broke off, and looks whole";
  }
  settle(plan, from_origin_ ? Outcome::whole : Outcome::local);
  waiting_.pop_front();
  if (!waiting_.empty()) reader_.set_method(waiting_.front()->method);
  if (sending_ && waiting_.empty()) {
    // Answered while still sending: a final word, since the rest of the request has nowhere to go.
    unsent_.pop_front();
    sending_ = false;
    last_answer_ = true;
  }
  const Duration pause(static_cast<int64_t>(network().random().below(static_cast<uint64_t>(habits_.pause_max.count()) + 1)));
  later(pause, [this] { next_request(); });
}

void HttpClient::on_end() {
  reader_.end();
  finish_all(Outcome::broken, Outcome::never_sent);
  close();
}

void HttpClient::on_failed(int) { finish_all(Outcome::broken, Outcome::never_sent); }

}  // namespace ringside::sim
