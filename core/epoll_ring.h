#pragma once
// Ring on epoll, for where io_uring is forbidden: the same completions, made of readiness.
//
// Each socket is registered once, edge-triggered, for both directions; listeners and polls are level-triggered and registered
// while somebody waits for them. Sends are tried at once, receives when epoll says that bytes are there. Nothing completes
// inside the call that started it: results wait in a queue for the next turn.
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "core/block_pool.h"
#include "core/gathered_send.h"
#include "core/limits.h"
#include "core/random.h"
#include "core/ring.h"

struct epoll_event;

namespace ringside {

class EpollRing final : public Ring {
 public:
  // `pools` outlives the ring.
  explicit EpollRing(BlockPools& pools);
  EpollRing(const EpollRing&) = delete;
  EpollRing& operator=(const EpollRing&) = delete;
  ~EpollRing() override;

  std::string_view name() const override { return "epoll"; }
  Result<int> socket(int family) override;
  Result<int> listen(const Address& address, const ListenOptions& options, int* error_number) override;
  Address local_address(int fd) override;
  Address original_destination(int fd) override;
  Address peer_address(int fd) override;
  void shutdown_write(int fd) override;
  void close(int fd) override;
  void reset_on_close(int fd) override;
  bool is_delivered(int fd) const override;

  void accept_multishot(Op& op, int listener_fd) override;
  void receive_multishot(Op& op, int fd) override;
  void receive_once(Op& op, int fd, ReceiveSize size) override;
  void receive_piped(Op& op, int fd, size_t bytes_max) override;
  Slice take_received(Cqe cqe) override;
  void send(Op& op, int fd, const Buffer& bytes, Wake wake) override;
  void connect(Op& op, int fd, const Address& address) override;
  // Level-triggered: reported in each turn while the events last. After cancel() the owner may close `fd` by itself, at once.
  void poll_multishot(Op& op, int fd, uint32_t events) override;
  void write(Op& op, int fd, const Buffer& bytes) override;
  void cancel(Op& target) override;
  void turn(Duration wait_max) override;

  Instant now() const override { return now_; }
  WallTime wall_now() const override;
  uint64_t random() override { return random_.next(); }
  const RingStats& stats() const override { return stats_; }

 private:
  // What an operation waits for, in the low bits of Op::ring_tag; the fd is above them.
  enum class Kind : uint32_t { done, accept, receive_multishot, receive_small, receive_large, receive_piped, poll, send, connect };
  // A receive that finds no pipe takes a large block.
  static bool into_large(Kind kind) { return kind == Kind::receive_large || kind == Kind::receive_piped; }

  // All that an idle socket costs here. One operation per direction.
  struct Entry {
    Op* input = nullptr;   // accept, receive or poll
    Op* output = nullptr;  // connect, or a send that the socket did not take at once
    uint32_t extra = 0;    // poll: the events that came; send: index of its record
    uint32_t piped_max : 24 = 0;  // of a piped receive
    bool registered : 1 = false;
    bool readable : 1 = false;  // bytes, a connection, FIN or an error may be there
    bool writable : 1 = false;  // epoll said so since the last short send
    bool ended : 1 = false;     // FIN, RST or an error was announced: no further edge will come
    bool queued : 1 = false;    // in ready_
    bool starved : 1 = false;   // in a queue for blocks
  };
  struct Done {
    Op* op;
    int32_t result;
  };

  static uint32_t tag_of(Kind kind, int fd);
  static Kind kind_of(const Op& op);
  static int fd_of(const Op& op);

  Entry& entry(int fd);
  void forget(int fd);
  bool add(int fd, uint32_t events);
  void remove(int fd);
  bool add_socket(Op& op, int fd);
  void start(Op& op, Kind kind, int fd);
  void finish_later(Op& op, int result);
  void make_ready(int fd);
  void receive(Op& op, int fd, Kind kind);

  int wait(epoll_event* events, Duration wait_max);
  bool work_is_waiting() const;
  void mark(const epoll_event& event);
  void report_done();
  void feed_starved();
  void serve_ready();
  void serve_output(int fd);
  void finish_connect(int fd);
  void continue_send(int fd);
  void serve_input(int fd);
  void serve_accept(int fd);
  enum class From : uint8_t { ready, starved };
  void serve_receive(int fd, uint32_t blocks_max, From from);
  bool serve_piped(int fd);
  void complete(Op& op, int result, uint32_t flags);
  void complete_input(int fd, int result, uint32_t flags);
  void starve(int fd);
  std::deque<int>& starved_of(Kind kind);
  Block* take_block(Kind kind, From from);
  uint32_t new_record();
  void free_record(uint32_t index);

  BlockPools& pools_;
  int epoll_fd_;
  bool has_wait_in_nanoseconds_ = true;
  std::vector<Entry> entries_;  // by fd
  std::vector<int> ready_;      // to be served in this turn or the next
  std::vector<int> serving_;
  std::vector<Done> prompt_;  // to be reported in the next turn, which does not wait
  std::vector<Done> lazy_;    // to be reported in the next turn, whenever that comes
  std::vector<Done> reporting_;
  std::deque<int> starved_small_, starved_large_;
  Instant large_starved_since_{};
  std::vector<std::unique_ptr<GatheredSend>> records_;
  std::vector<uint32_t> records_free_;
  Block* received_ = nullptr;  // of the completion being handled
  uint64_t accept_turn_ = 0;   // the last turn that accepted
  uint32_t accept_burst_ = 1;
  Instant now_{};
  mutable WallTime wall_{};
  mutable bool wall_known_ = false;
  Random random_;
  RingStats stats_;
};

}  // namespace ringside
