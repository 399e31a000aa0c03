#pragma once
// One thread of the fleet: makes its ring, worker and shard, turns them, and takes them down in order.
#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "proxy/fleet.h"

namespace ringside {

class FleetWorker {
 public:
  struct Start {
    uint32_t index = 0;
    RingKind ring = RingKind::uring;
    int cpu = -1;
    ShardOptions shard;
    std::shared_ptr<const Snapshot> snapshot;
    std::vector<int> listening_fds;
  };
  FleetWorker(Start start, StatsRegistry& registry);
  ~FleetWorker();

  // Blocks until the worker accepts; false with `why` when it cannot.
  bool wait_ready(std::string* why);
  // Runs `action(Shard&)` on the worker.
  template <class Action>
  void post(Action action) {
    mailbox_->post(std::make_unique<ActionMail<Action>>(*this, std::move(action)));
  }
  // Ends the thread's loop and joins it.
  void stop();
  uint32_t connections() const { return connections_.load(std::memory_order_relaxed); }

 private:
  template <class Action>
  class ActionMail final : public Mail {
   public:
    ActionMail(FleetWorker& owner, Action action) : owner_(owner), action_(std::move(action)) {}
    void deliver() override { action_(*owner_.shard_); }

   private:
    FleetWorker& owner_;
    Action action_;
  };
  void run();
  void serve(Ring& ring, BlockPools& pools);
  void report(std::string why);
  void on_count_timer();

  Start start_;
  StatsRegistry& registry_;
  std::mutex mutex_;
  std::condition_variable ready_;
  bool is_ready_ = false;
  std::string failure_;
  // Of the worker's thread, valid between ready and the end of the thread.
  Worker* worker_ = nullptr;
  Shard* shard_ = nullptr;
  Mailbox* mailbox_ = nullptr;
  std::atomic<uint32_t> connections_{0};
  TimerFor<FleetWorker, &FleetWorker::on_count_timer> count_timer_{*this};
  std::thread thread_;
};

}  // namespace ringside
