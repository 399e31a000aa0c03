#include "proxy/fleet_worker.h"

#include <pthread.h>
#include <sched.h>

#include "core/epoll_ring.h"
#include "core/log.h"
#include "core/uring_ring.h"

namespace ringside {
namespace {

constexpr int quiet_turns_max = 2000;

void pin_to(int cpu) {
  if (cpu < 0) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<size_t>(cpu), &set);
  if (pthread_setaffinity_np(pthread_self(), sizeof set, &set) != 0)
    RS_LOG_WARN(main, "worker cannot be pinned to cpu {}", cpu);
}

}  // namespace

FleetWorker::FleetWorker(Start start, StatsRegistry& registry)
    : start_(std::move(start)), registry_(registry), thread_([this] { run(); }) {}

FleetWorker::~FleetWorker() { stop(); }

bool FleetWorker::wait_ready(std::string* why) {
  std::unique_lock lock(mutex_);
  ready_.wait(lock, [this] { return is_ready_ || !failure_.empty(); });
  *why = failure_;
  return is_ready_;
}

void FleetWorker::report(std::string why) {
  const std::lock_guard lock(mutex_);
  failure_ = std::move(why);
  is_ready_ = failure_.empty();
  ready_.notify_all();
}

void FleetWorker::run() {
  const std::string name = "wrk:" + std::to_string(start_.index);
  pthread_setname_np(pthread_self(), name.c_str());
  pin_to(start_.cpu);
  BlockPools pools;
  pools.pipes.share_descriptors(registry_.workers());
  std::string why;
  std::unique_ptr<Ring> ring;
  if (start_.ring == RingKind::uring)
    ring = make_uring_ring(pools, &why);
  else
    ring = std::make_unique<EpollRing>(pools);
  if (ring == nullptr) return report("worker " + std::to_string(start_.index) + ": io_uring: " + why);
  serve(*ring, pools);
}

void FleetWorker::serve(Ring& ring, BlockPools& pools) {
  Worker worker(start_.index, ring, pools);
  {
    Shard shard(worker, registry_, start_.shard);
    worker_ = &worker;
    shard_ = &shard;
    mailbox_ = &worker.mailbox();
    shard.adopt(start_.snapshot, start_.listening_fds);
    worker.arm(count_timer_, milliseconds(100));
    report({});
    worker.run();
    count_timer_.disarm();
    // What the kernel still holds must come back before its memory goes.
    shard.close_all();
    for (int turns = 0; turns < quiet_turns_max && !shard.quiet(); ++turns) worker.turn(milliseconds(1));
    RS_CHECK(shard.quiet());
    worker.output().reset();
    worker.bulk_output().reset();
  }
  worker.turn(Duration::zero());
}

void FleetWorker::on_count_timer() {
  connections_.store(shard_->connections(), std::memory_order_relaxed);
  worker_->arm(count_timer_, milliseconds(100));
}

void FleetWorker::stop() {
  if (!thread_.joinable()) return;
  std::string why;
  if (wait_ready(&why)) post([this](Shard&) { worker_->stop(); });
  thread_.join();
}

}  // namespace ringside
