#pragma once
// Everything that one thread owns: ring, wheel, pools, mailbox, and the loop that turns them.
#include <memory>

#include "core/arena.h"
#include "core/block_pool.h"
#include "core/intrusive_list.h"
#include "core/mailbox.h"
#include "core/op.h"
#include "core/ring.h"
#include "core/slab.h"
#include "core/timer_wheel.h"

namespace ringside {

class TcpTransport;

// Something with work to do once, after the handlers of this turn and before the next wait: a transport with output, say.
struct FlushTag {};
class Flushable : public Link<FlushTag> {
 public:
  virtual void on_flush() = 0;

 protected:
  ~Flushable() { unlink(); }
};

// Something that ends at the end of a turn, when no handler stands on it any more. What it still wanted to flush is forgotten.
class Retired : public Flushable {
 public:
  virtual ~Retired() = default;
  // The worker's last word. Objects that live in a slab go back to it.
  virtual void on_retired() { delete this; }
  void on_flush() override {}
};

class Worker {
 public:
  // `ring` was made with `pools` and lives as long as the worker does.
  Worker(uint32_t index, Ring& ring, BlockPools& pools);
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;
  ~Worker();

  uint32_t index() const { return index_; }
  Ring& ring() { return ring_; }
  TimerWheel& timers() { return timers_; }
  BlockPools& pools() { return pools_; }
  OutputWriter& output() { return output_; }
  // The same with large blocks, for pieces that a small one does not hold.
  OutputWriter& bulk_output() { return bulk_output_; }
  ArenaPool& arenas() { return arenas_; }
  Mailbox& mailbox() { return mailbox_; }
  // For TcpTransport::make().
  Slab<TcpTransport>& transports() { return *transports_.get(); }
  Instant now() const { return ring_.now(); }
  void arm(Timer& timer, Duration from_now) { timers_.arm(timer, ring_.now() + from_now); }

  // Calls object.on_retired() at the end of the turn.
  void retire(Retired& object) {
    object.Link<FlushTag>::unlink();
    retired_.push_back(object);
  }
  // Calls on_flush() before the next wait; again only when asked again.
  void flush_later(Flushable& item) {
    if (!item.linked()) flushes_.push_back(item);
  }

  // One turn: flushes, waits at most `wait_max`, runs completions and timers, frees what retired.
  void turn(Duration wait_max = Duration::max());
  // Turns until stop().
  void run();
  // From the worker's own thread.
  void stop() { stopping_ = true; }
  // Begins to watch the mailbox; run() does it by itself.
  void watch_mailbox();
  // Ends the mailbox watch, so that no operation is left in flight.
  void unwatch_mailbox();

 private:
  void flush_all();
  void free_retired();
  void on_mail(Cqe cqe);

  const uint32_t index_;
  Ring& ring_;
  BlockPools& pools_;
  TimerWheel timers_;
  OutputWriter output_, bulk_output_;
  ArenaPool arenas_;
  std::unique_ptr<Slab<TcpTransport>> transports_;
  Mailbox mailbox_;
  List<Flushable, FlushTag> flushes_;
  List<Retired, FlushTag> retired_;
  bool stopping_ = false;
  OpFor<Worker, &Worker::on_mail> mail_{*this};
};

}  // namespace ringside
