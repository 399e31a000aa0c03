#include "proxy/mongo/mongo_filter.h"

#include <algorithm>
#include <utility>

#include "codecs/mongo/mongo_hello.h"
#include "core/limits.h"
#include "core/log.h"
#include "core/worker.h"
#include "proxy/mongo/mongo_chain.h"

namespace ringside {
namespace {

std::string_view name_of(MongoSide way) { return way == MongoSide::requests ? "requests" : "replies"; }

}  // namespace

MongoFilter::MongoFilter(MongoChain& chain, MongoFilterUser& user, const MongoPeer& peer)
    : chain_(chain),
      user_(user),
      requests_(chain.readers(), chain.request_options(), MongoSide::requests),
      replies_(chain.readers(), chain.reply_options(), MongoSide::replies),
      observer_(chain, peer) {
  if (chain_.holds()) requests_.fate = replies_.fate = Fate::hold;
}

void MongoFilter::stop(EndedBy by) {
  if (std::exchange(stopped_, true)) return;
  timer_.disarm();
  waiting_.reset();
  requests_.held.clear();
  replies_.held.clear();
  observer_.end(by == EndedBy::client ? MongoObserver::EndedBy::client : MongoObserver::EndedBy::other);
}

// --- bytes -------------------------------------------------------------------------------------------------------------

void MongoFilter::on_bytes(MongoSide way, Slice bytes) {
  if (stopped_) return user_.consumed(way, bytes.size());
  if (way == MongoSide::requests && (timer_.armed() || has_waiting()))
    return wait(std::move(bytes), chain_.worker().now(), Place::last);
  arrived_ = chain_.worker().now();
  run(way, std::move(bytes));
}

void MongoFilter::run(MongoSide way, Slice slice) {
  Lane& lane = this->lane(way);
  if (lane.blind) return user_.pass(way, std::move(slice));
  std::string_view text = slice.text();
  const size_t size = text.size();
  const bool holds = chain_.holds();
  size_t from = 0;
  for (;;) {
    const MongoStep step = lane.reader.next(text);
    const size_t at = size - text.size();
    if (step == MongoStep::more) break;
    if (step == MongoStep::malformed) {
      if (!on_malformed(way)) return;
      break;
    }
    if (step == MongoStep::end && holds) {
      settle(way, slice, from, at);
      if (stopped_) return;
      from = at;
    }
    if (!this->step(way, step)) return;
    if (step == MongoStep::end) lane.begun_at_bytes = lane.passed_bytes + at;
    if (way == MongoSide::requests && timer_.armed()) {
      settle(way, slice, from, at);
      lane.passed_bytes += at;
      if (at < size) {
        slice.remove_prefix(at);
        wait(std::move(slice), arrived_, Place::first);
      }
      return;
    }
  }
  settle(way, slice, from, size);
  lane.passed_bytes += size;
  if (std::exchange(drains_, false) && !stopped_) {
    observer_.count_drain();
    user_.close_after_flush();
  }
}

// False: the connection is over.
bool MongoFilter::step(MongoSide way, MongoStep step) {
  switch (step) {
    case MongoStep::header: begin_message(way); break;
    case MongoStep::facts: on_facts(way); break;
    case MongoStep::undecodable: on_undecodable(way); break;
    case MongoStep::end: end_message(way); break;
    case MongoStep::more:
    case MongoStep::malformed: break;
  }
  return !stopped_;
}

void MongoFilter::settle(MongoSide way, Slice& slice, size_t from, size_t to) {
  if (from == to) return;
  Lane& lane = this->lane(way);
  if (lane.fate == Fate::swallow) return user_.consumed(way, to - from);
  Slice part = from == 0 && to == slice.size() ? std::move(slice) : slice.share(from, to - from);
  if (lane.fate == Fate::pass) return user_.pass(way, std::move(part));
  const size_t bytes = part.size();
  hold(lane, std::move(part));
  // The bound is ours, and not that of the connection, which the message may be longer than.
  user_.consumed(way, bytes);
  if (way == MongoSide::requests && !judged_ && lane.held_bytes > chain_.held_bytes_max()) decide_at_once(MongoUnread::too_long);
}

void MongoFilter::hold(Lane& lane, Slice bytes) {
  lane.held_bytes += bytes.size();
  lane.held.append(unpinned(std::move(bytes)));
}

void MongoFilter::wait(Slice bytes, Instant arrived, Place place) {
  if (bytes.empty()) return;
  if (waiting_ == nullptr) waiting_ = std::make_unique<std::deque<Waiting>>();
  Waiting entry{unpinned(std::move(bytes)), arrived};
  place == Place::first ? waiting_->push_front(std::move(entry)) : waiting_->push_back(std::move(entry));
}

// A small piece does not keep its block from others.
Slice MongoFilter::unpinned(Slice bytes) {
  const bool pins = bytes.size() < limits::copy_below_bytes && bytes.held_bytes() > bytes.size();
  return pins ? chain_.worker().output().copy(bytes.text()) : std::move(bytes);
}

void MongoFilter::pass_held(MongoSide way) {
  Lane& lane = this->lane(way);
  lane.foreign_bytes += std::exchange(lane.held_bytes, 0);
  while (!lane.held.empty()) user_.pass(way, lane.held.pop_front());
}

void MongoFilter::swallow_held(MongoSide way) {
  Lane& lane = this->lane(way);
  lane.held.clear();
  lane.held_bytes = 0;
}

void MongoFilter::pass_foreign(MongoSide way, std::string_view bytes) {
  if (bytes.empty()) return;
  char* writable = nullptr;
  Slice slice = make_heap_slice(bytes.size(), &writable);
  std::copy(bytes.begin(), bytes.end(), writable);
  lane(way).foreign_bytes += bytes.size();
  user_.pass(way, std::move(slice));
}

size_t MongoFilter::earned(MongoSide way, size_t bytes) {
  size_t& foreign = lane(way).foreign_bytes;
  const size_t ours = std::min(foreign, bytes);
  foreign -= ours;
  return bytes - ours;
}

void MongoFilter::on_end(MongoSide way) {
  lane(way).ended = true;
  if (!stopped_) end_if_empty(way);
}

void MongoFilter::end_if_empty(MongoSide way) {
  Lane& lane = this->lane(way);
  if (!lane.ended || (way == MongoSide::requests && (timer_.armed() || has_waiting()))) return;
  // The begin of a request on which there is no verdict goes nowhere; a reply may.
  way == MongoSide::requests && chain_.judge() != nullptr ? swallow_held(way) : pass_held(way);
  if (way == MongoSide::replies) {
    lane.in_message = false;
    pass_answers();
  }
  user_.end(way);
}

// --- messages ----------------------------------------------------------------------------------------------------------

void MongoFilter::begin_message(MongoSide way) {
  Lane& lane = this->lane(way);
  lane.in_message = true;
  lane.has_facts = lane.undecodable = false;
  const MongoHeader& header = lane.reader.header();
  if (way == MongoSide::requests) {
    judged_ = false;
    action_ = MongoAction::forward;
    return observer_.begin_request(header);
  }
  observer_.begin_reply(header);
  if (!chain_.holds()) return;
  const bool whole = observer_.reply_is_rewritten() && static_cast<uint32_t>(header.length_bytes) <= mongo::hello_bytes_max;
  lane.fate = whole ? Fate::gather : Fate::pass;
  if (!whole) pass_held(way);
}

void MongoFilter::on_facts(MongoSide way) {
  lane(way).has_facts = true;
  if (way == MongoSide::requests && chain_.holds()) decide();
}

void MongoFilter::on_undecodable(MongoSide way) {
  Lane& lane = this->lane(way);
  lane.undecodable = true;
  observer_.count_undecodable(lane.reader.failure());
  if (way == MongoSide::requests && chain_.holds() && !judged_) take_and_delay(judge_unread(MongoUnread::undecodable));
}

void MongoFilter::end_message(MongoSide way) {
  Lane& lane = this->lane(way);
  const MongoObserver::Seen seen{.facts = lane.has_facts, .undecodable = lane.undecodable};
  lane.in_message = false;
  if (way == MongoSide::requests) {
    if (chain_.holds() && !judged_) decide_at_once(MongoUnread::undecodable);
    if (stopped_) return;
    if (lane.fate == Fate::gather) pass_gathered(way);
    action_ == MongoAction::deny ? observer_.deny_request(lane.reader) : observer_.end_request(lane.reader, seen);
    if (!answer_.empty()) {
      answers_ += std::exchange(answer_, {});
      pass_answers();
    }
  } else {
    if (lane.fate == Fate::gather) pass_gathered(way);
    observer_.end_reply(lane.reader, seen);
    drains_ = observer_.pending() == 0 && !requests_.in_message && !has_waiting() && user_.draining();
  }
  if (!chain_.holds()) return;
  lane.fate = Fate::hold;
  if (way == MongoSide::replies) pass_answers();
}

void MongoFilter::pass_gathered(MongoSide way) {
  Lane& lane = this->lane(way);
  std::string& whole = chain_.scratch();
  whole.clear();
  for (size_t i = 0; i < lane.held.slice_count(); ++i) whole += lane.held.slice(i).text();
  MongoJudge& judge = *chain_.judge();
  const auto changed = way == MongoSide::requests ? judge.rewrite_request(observer_.peer(), whole)
                                                  : judge.rewrite_reply(observer_.peer(), whole);
  if (!changed) return pass_held(way);
  swallow_held(way);
  pass_foreign(way, *changed);
}

// True: what follows passes unread.
bool MongoFilter::on_malformed(MongoSide way) {
  Lane& lane = this->lane(way);
  const MongoHeader& header = lane.reader.header();
  observer_.count_malformed(lane.reader.failure());
  const bool relays = chain_.spec().relay_malformed && chain_.judge() == nullptr;
  RS_LOG_WARN(connection, "mongo: connection {} of {} at listener \"{}\": {} with a malformed header behind {} good bytes: length {} ({}): {}",
              observer_.peer().connection_id, observer_.peer().client.text(), chain_.listener_name(), name_of(way),
              lane.begun_at_bytes, header.length_bytes,
              ringside::name_of(lane.reader.failure()), relays ? "passing on without reading" : "closed");
  if (relays) {
    lane.blind = true;
    lane.fate = Fate::pass;
    pass_held(way);
    return true;
  }
  const Origin origin = way == MongoSide::requests ? Origin::downstream : Origin::upstream;
  user_.close_for(way, {ErrorCode::bad_message, origin, Retry::never, "malformed header of a MongoDB message"});
  return false;
}

// --- verdicts ----------------------------------------------------------------------------------------------------------

Duration MongoFilter::fault_delay() {
  const MongoSpec& spec = chain_.spec();
  if (spec.delay <= Duration::zero()) return Duration::zero();
  if (chain_.worker().ring().random() % spec.delay_part.denominator >= spec.delay_part.numerator) return Duration::zero();
  return spec.delay;
}

MongoVerdict MongoFilter::judge_unread(MongoUnread why) {
  MongoJudge* const judge = chain_.judge();
  const MongoReader& reader = requests_.reader;
  return judge != nullptr ? judge->judge_unread(observer_.peer(), reader.header(), reader.request(), why) : MongoVerdict{};
}

void MongoFilter::decide() {
  MongoJudge* const judge = chain_.judge();
  const MongoReader& reader = requests_.reader;
  take_and_delay(judge != nullptr ? judge->judge(observer_.peer(), reader.header(), reader.request()) : MongoVerdict{});
}

void MongoFilter::decide_at_once(MongoUnread why) {
  take(judge_unread(why));
  apply(action_);
}

void MongoFilter::take(const MongoVerdict& verdict) {
  judged_ = true;
  action_ = verdict.action;
  rewrites_request_ = verdict.rewrites_request;
  observer_.set_verdict(verdict);
  if (verdict.action == MongoAction::deny) answer(verdict);
}

void MongoFilter::take_and_delay(const MongoVerdict& verdict) {
  take(verdict);
  const Duration fault = fault_delay();
  if (fault > Duration::zero()) observer_.count_delay();
  const Duration delay = std::max(verdict.delay, fault) - (chain_.worker().now() - arrived_);
  if (delay <= Duration::zero()) return apply(action_);
  observer_.set_delayed(delay);
  chain_.worker().arm(timer_, delay);
}

void MongoFilter::answer(const MongoVerdict& verdict) {
  const MongoReader& reader = requests_.reader;
  answer_ = mongo_error_reply(reader.header(), reader.request(), verdict.error, chain_.next_request_id());
}

void MongoFilter::apply(MongoAction action) {
  switch (action) {
    case MongoAction::forward: {
      const bool whole = rewrites_request_ &&
                         static_cast<uint32_t>(requests_.reader.header().length_bytes) <= mongo::hello_bytes_max;
      requests_.fate = whole ? Fate::gather : Fate::pass;
      if (!whole) pass_held(MongoSide::requests);
      return;
    }
    case MongoAction::deny:
      requests_.fate = Fate::swallow;
      return swallow_held(MongoSide::requests);
    case MongoAction::close_connection:
      return user_.close_for(MongoSide::requests,
                             {ErrorCode::cancelled, Origin::local, Retry::never, "a rule closes the MongoDB connection"});
  }
}

void MongoFilter::pass_answers() {
  if (replies_.in_message || answers_.empty()) return;
  pass_foreign(MongoSide::replies, std::exchange(answers_, {}));
}

void MongoFilter::on_timer() {
  apply(action_);
  // Ends of messages that were held up come out of the reader with the next bytes; it takes none for that.
  if (!stopped_ && requests_.reader.left_bytes() == 0 && requests_.in_message) run(MongoSide::requests, Slice());
  while (!stopped_ && !timer_.armed() && has_waiting()) {
    Waiting next = std::move(waiting_->front());
    waiting_->pop_front();
    arrived_ = next.arrived;
    run(MongoSide::requests, std::move(next.bytes));
  }
  if (!stopped_) end_if_empty(MongoSide::requests);
}

}  // namespace ringside
