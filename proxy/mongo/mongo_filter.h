#pragma once
// The MongoDB filter of one relayed connection: its bytes pass through here in both directions. Without rules and delays each
// slice goes on at once, as it came; with them a request is held from its first byte until there is a verdict on it.
#include <deque>
#include <memory>
#include <string>

#include "codecs/mongo/mongo_reader.h"
#include "core/buffer.h"
#include "core/error.h"
#include "core/timer_wheel.h"
#include "proxy/mongo/mongo_judge.h"
#include "proxy/mongo/mongo_observer.h"

namespace ringside {

class MongoChain;

// The connection, as the filter uses it. Requests go to the server, replies to the client. The filter is not called back from
// inside of these.
class MongoFilterUser {
 public:
  virtual void pass(MongoSide way, Slice bytes) = 0;
  // FIN behind what was passed.
  virtual void end(MongoSide way) = 0;
  // So many bytes that came this way are gone from memory without having been passed.
  virtual void consumed(MongoSide way, size_t bytes) = 0;
  // The listener drains: connections are to end where that costs nothing.
  virtual bool draining() const = 0;
  // When what was passed to the client has gone.
  virtual void close_after_flush() = 0;
  // Both sides.
  virtual void close_for(MongoSide culprit, Error why) = 0;

 protected:
  ~MongoFilterUser() = default;
};

class MongoFilter {
 public:
  MongoFilter(MongoChain& chain, MongoFilterUser& user, const MongoPeer& peer);
  MongoFilter(const MongoFilter&) = delete;
  MongoFilter& operator=(const MongoFilter&) = delete;

  void on_bytes(MongoSide way, Slice bytes);
  // The sender of this way will send no more.
  void on_end(MongoSide way);
  // Of `bytes` that went out this way, so many came in by it: the others are our own.
  size_t earned(MongoSide way, size_t bytes);
  // Requests wait here for their time.
  bool delays_requests() const { return timer_.armed(); }
  void set_upstream(std::string_view host) { observer_.set_upstream(host); }
  // The connection ends now: nothing is passed any more. `by_client`: it ended it, else we or the server did.
  enum class EndedBy : uint8_t { client, other };
  void stop(EndedBy by);

 private:
  // What happens to the bytes of the message under way.
  enum class Fate : uint8_t {
    pass,
    hold,     // until more is known of it
    gather,   // all of it is to be rewritten
    swallow,
  };
  struct Lane {
    Lane(MongoReaderPool& pool, const MongoReadOptions& options, MongoSide side) : reader(pool, options, side) {}
    MongoReader reader;
    Buffer held;                   // of the message under way
    uint64_t begun_at_bytes = 0;   // where the message under way begins in the stream
    uint64_t passed_bytes = 0;     // of the stream, before the slice under way
    size_t foreign_bytes = 0;      // passed this way and not taken off yet, that earn no credit
    size_t held_bytes = 0;
    Fate fate = Fate::pass;
    bool in_message = false;       // its header was read
    bool has_facts = false;
    bool undecodable = false;
    bool blind = false;
    bool ended = false;
  };
  struct Waiting {
    Slice bytes;
    Instant arrived;
  };

  Lane& lane(MongoSide way) { return way == MongoSide::requests ? requests_ : replies_; }
  void run(MongoSide way, Slice slice);
  bool step(MongoSide way, MongoStep step);
  // What `slice` has between `from` and `to`, to its fate.
  void settle(MongoSide way, Slice& slice, size_t from, size_t to);
  void hold(Lane& lane, Slice bytes);
  Slice unpinned(Slice bytes);
  void pass_held(MongoSide way);
  void swallow_held(MongoSide way);
  void pass_foreign(MongoSide way, std::string_view bytes);
  void pass_gathered(MongoSide way);

  void begin_message(MongoSide way);
  void on_facts(MongoSide way);
  void on_undecodable(MongoSide way);
  void end_message(MongoSide way);
  bool on_malformed(MongoSide way);

  void decide();
  // The same for what must be decided now, whatever its delay.
  void decide_at_once(MongoUnread why);
  void take(const MongoVerdict& verdict);
  void take_and_delay(const MongoVerdict& verdict);
  void apply(MongoAction action);
  void answer(const MongoVerdict& verdict);
  void pass_answers();
  Duration fault_delay();
  MongoVerdict judge_unread(MongoUnread why);
  enum class Place : uint8_t { first, last };
  void wait(Slice bytes, Instant arrived, Place place);
  bool has_waiting() const { return waiting_ != nullptr && !waiting_->empty(); }
  void on_timer();
  void end_if_empty(MongoSide way);

  MongoChain& chain_;
  MongoFilterUser& user_;
  Lane requests_, replies_;
  MongoObserver observer_;
  // Of the request under way.
  MongoAction action_ = MongoAction::forward;
  bool judged_ = false;
  bool rewrites_request_ = false;
  bool drains_ = false;  // the reply under way was the last one that was due
  bool stopped_ = false;
  Instant arrived_{};  // the slice under way
  std::string answer_;   // to the request that is denied
  std::string answers_;  // wait for a reply that has begun
  std::unique_ptr<std::deque<Waiting>> waiting_;  // behind a request that is delayed
  TimerFor<MongoFilter, &MongoFilter::on_timer> timer_{*this};
};

}  // namespace ringside
