#pragma once
// Ring over a simulated network and clock: deterministic from the network's seed, and able to break every promise that a kernel
// does not make. turn() never sleeps; it moves the virtual time to the next event.
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/block_pool.h"
#include "core/ring.h"
#include "tests/sim/sim_network.h"

namespace ringside::sim {

class SimRing final : public Ring, private SocketUser {
 public:
  // Descriptors count from here, so that none is a real one by accident.
  static constexpr int first_fd = 1'000'000;

  // Both outlive the ring. Faults are the network's.
  SimRing(Network& network, BlockPools& pools);
  ~SimRing() override;

  std::string_view name() const override { return "simulation"; }
  Result<int> socket(int family) override;
  Result<int> listen(const Address& address, const ListenOptions& options, int* error_number) override;
  Address local_address(int fd) override;
  Address peer_address(int fd) override;
  void shutdown_write(int fd) override;
  void reset_on_close(int fd) override { file(fd).resets = true; }
  void close(int fd) override;
  void accept_multishot(Op& op, int listener_fd) override;
  void receive_multishot(Op& op, int fd) override;
  void receive_once(Op& op, int fd, ReceiveSize size) override;
  void receive_piped(Op& op, int fd, size_t bytes_max) override;
  Slice take_received(Cqe cqe) override;
  void send(Op& op, int fd, const Buffer& bytes, Wake wake) override;
  void connect(Op& op, int fd, const Address& address) override;
  void poll_multishot(Op& op, int fd, uint32_t events) override;
  void write(Op& op, int fd, const Buffer& bytes) override;
  void cancel(Op& target) override;
  void turn(Duration wait_max) override;
  Instant now() const override { return now_; }
  WallTime wall_now() const override;
  uint64_t random() override { return network_.random().next(); }
  const RingStats& stats() const override { return stats_; }

  // --- For tests ---

  Network& network() { return network_; }
  // Descriptors that this process may have open.
  void set_fds_max(size_t fds_max) { fds_max_ = fds_max; }
  size_t fds_open() const { return files_.size(); }
  size_t operations_in_flight() const { return operations_.size(); }
  // A descriptor for write(): what is written is appended to `sink`.
  int open_file(std::string& sink);
  // Pipes with bytes in them, or held by a slice.
  size_t pipes_used() const { return pipes_.used; }
  // The last turn could have waited for ever: there is no event, and nothing to complete.
  bool stuck() const { return stuck_; }

 private:
  enum class Kind : uint8_t { accept, receive_multishot, receive_small, receive_large, receive_piped, poll, send, connect, write };
  struct File {
    SocketPtr socket;
    ListeningSocketPtr listener;
    std::string* sink = nullptr;
    bool resets = false;  // see reset_on_close()
    uint32_t input = 0;   // operation in flight
    uint32_t output = 0;
  };
  struct Operation {
    Op* op = nullptr;
    uint32_t number = 0;
    Kind kind{};
    int fd = -1;
    bool lazy = false;
    bool started = false;
    bool ended = false;    // its final completion is made, if not yet reported
    bool starved = false;  // waits for a block
    bool cancelling = false;
    bool raced = false;    // had something to show between its cancel and its end
    uint32_t unreported = 0;
    uint32_t poll_events = 0;
    const Address* address = nullptr;
    std::vector<std::string_view> pieces;  // of a send or write, as they were at the start
    size_t total_bytes = 0;
    size_t done_bytes = 0;
    size_t checksum = 0;
    size_t piped_max = 0;
    Slice piped;  // of a send: the last of its pieces
    Instant reported_until{};  // completions of one operation stay in order
  };
  struct Completion {
    uint32_t operation = 0;
    Cqe cqe;
    Block* block = nullptr;
  };

  // What a kernel's pipe is: bytes that cannot be seen from here, and leave in order.
  struct Pipe final : Block {
    std::string bytes;
    size_t drained_bytes = 0;
  };
  class Pipes final : public BlockOwner {
   public:
    void recycle(Block& block) override {
      delete &static_cast<Pipe&>(block);
      --used;
    }
    size_t used = 0;
  };

  void on_socket(Socket& socket) override;
  Operation& start(Op& op, Kind kind, int fd);
  Operation* find(uint32_t number);
  File& file(int fd);
  int allocate_fd(File file);
  template <class Run>
  void later(Duration delay, Run run);
  Duration some_delay();
  void attempt(uint32_t number);
  void attempt_later(uint32_t number, Duration delay);
  void attempt_accept(Operation& operation);
  void attempt_receive(Operation& operation);
  bool attempt_piped(Operation& operation, Socket& socket);
  void attempt_send(Operation& operation);
  void attempt_connect(Operation& operation);
  void attempt_write(Operation& operation);
  void poll_real_files();
  enum class More : uint8_t { no, yes };
  void complete(Operation& operation, int result, More more, Block* block = nullptr);
  void report(const Completion& completion);
  void starve(Operation& operation);
  void feed_starved();
  void wait(Duration wait_max);
  bool ends_wait() const;
  void shuffle(std::vector<Completion>& batch);
  void dispatch();
  void dispatch_one(const Completion& completion);

  Network& network_;
  BlockPools& pools_;
  Pipes pipes_;
  std::map<int, File> files_;
  size_t fds_max_ = 1'000'000;
  std::map<uint32_t, Operation> operations_;
  uint32_t next_operation_ = 1;
  std::vector<uint32_t> starved_;           // in order of arrival
  std::vector<Completion> completions_;     // reported in the next turn, which does not wait
  std::vector<Completion> lazy_;            // reported with whatever comes next
  std::vector<Completion> batch_;
  std::unordered_map<const Socket*, int> fds_;
  Block* received_ = nullptr;
  Instant now_{};
  bool woken_ = false;
  bool stuck_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // events outlive the ring
  RingStats stats_;
};

}  // namespace ringside::sim
