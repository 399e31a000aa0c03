#pragma once
// A network of stream sockets inside the process, in virtual time, repeatable from a seed. It does all that TCP may do and
// seldom does on a loopback: latency, small windows, segments of one byte, resets, connects that are refused or never answered.
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <queue>
#include <string>
#include <string_view>
#include <vector>

#include "core/address.h"
#include "core/random.h"
#include "core/time.h"

namespace ringside::sim {

// How often what goes wrong, per million chances; and how the links are. The default is a perfect network.
struct Faults {
  // Of the network.
  Duration latency_min = microseconds(20);
  Duration latency_max = microseconds(20);
  uint32_t segment_bytes_max = 64 * 1024;
  uint32_t send_buffer_bytes = 256 * 1024;
  uint32_t receive_buffer_bytes = 256 * 1024;
  uint32_t tiny_segment = 0;       // a segment of 1 to 8 bytes
  uint32_t reset = 0;              // RST instead of a segment
  uint32_t reset_drops_input = 0;  // an RST that arrives takes unread bytes with it
  uint32_t connect_refused = 0;
  uint32_t connect_unanswered = 0;
  // Of the ring.
  uint32_t short_read = 0;          // a receive takes 1 to n bytes
  uint32_t short_write = 0;         // a send goes out in pieces
  uint32_t late_completion = 0;     // a result is reported later than it happened
  Duration late_max = milliseconds(3);
  uint32_t multishot_ends = 0;      // a multishot operation ends with a good completion
  uint32_t no_block = 0;            // a receive waits for a block although there are free ones
  uint32_t fds_exhausted = 0;       // EMFILE
  uint32_t cancel_late = 0;         // a cancel takes effect later; data may win
  uint32_t empty_turn = 0;          // a wait ends early, with nothing
  uint32_t stall = 0;               // the worker is not scheduled for a while
  Duration stall_max = milliseconds(20);
  uint32_t short_file_write = 0;
  bool shuffle = false;             // completions of one turn are reported in any order across operations

  // A random subset of the menu, each with a random strength.
  static Faults swarm(Random& random);
};

// Bytes in order, cheap to take from the front.
class ByteQueue {
 public:
  void append(std::string_view bytes) { text_ += bytes; }
  std::string_view view() const { return std::string_view(text_).substr(head_); }
  size_t size() const { return text_.size() - head_; }
  bool empty() const { return size() == 0; }
  void consume(size_t bytes) {
    head_ += bytes;
    if (head_ * 2 < text_.size()) return;
    text_.erase(0, head_);
    head_ = 0;
  }
  void clear() {
    text_.clear();
    head_ = 0;
  }

 private:
  std::string text_;
  size_t head_ = 0;
};

class Network;
class Socket;
using SocketPtr = std::shared_ptr<Socket>;

// Who owns a socket learns here that something may have changed: connected, readable, writable, ended.
class SocketUser {
 public:
  virtual void on_socket(Socket& socket) = 0;

 protected:
  ~SocketUser() = default;
};

// One end of a connection.
class Socket : public std::enable_shared_from_this<Socket> {
 public:
  explicit Socket(Network& network) : network_(network) {}

  enum class State : uint8_t { fresh, connecting, connected, closed };
  State state() const { return state_; }
  // Bytes that can be read; `ended()` tells whether FIN follows them, `error()` whether a reset happened.
  size_t readable_bytes() const { return input_.size(); }
  bool ended() const { return input_ended_ && input_.empty(); }
  int error() const { return error_; }
  bool readable() const { return !input_.empty() || ended() || error_ != 0; }
  // Takes up to `size` bytes.
  size_t read(char* out, size_t size);
  // Room in the send buffer, and how many bytes of `bytes` were taken.
  size_t writable_bytes() const;
  size_t write(std::string_view bytes);
  // FIN after what was written.
  void finish();
  // Ends with FIN; with RST when there is unread input, or when input comes later. As close(2) does.
  void close();
  // Ends with RST, at once.
  void reset();

  void set_user(SocketUser* user) { user_ = user; }
  const Address& local() const { return local_; }
  const Address& remote() const { return remote_; }
  // Bytes that this end has accepted from its user since the start.
  uint64_t written_total() const { return written_total_; }
  uint64_t read_total() const { return read_total_; }

 private:
  friend class Network;
  void pump();
  void arrive(std::string bytes);
  void arrive_end();
  void arrive_reset();
  void send_reset();
  void notify();
  Instant next_arrival(size_t bytes);

  Network& network_;
  State state_ = State::fresh;
  std::weak_ptr<Socket> peer_;
  SocketUser* user_ = nullptr;
  Address local_, remote_;
  ByteQueue input_;         // arrived, not yet read
  ByteQueue output_;        // written, not yet sent
  size_t in_transit_ = 0;   // sent, not yet arrived
  bool finishing_ = false;  // FIN after output_
  bool finished_ = false;   // FIN sent
  bool input_ended_ = false;
  int error_ = 0;
  Instant last_arrival_{};
  uint64_t written_total_ = 0;
  uint64_t read_total_ = 0;
};

// A listening socket: its queue of connections that nobody accepted yet.
class ListeningSocket {
 public:
  explicit ListeningSocket(Address address) : address_(address) {}
  std::deque<SocketPtr> pending;
  std::function<void()> on_pending;  // called whenever `pending` grew
  const Address& address() const { return address_; }
  size_t backlog = 128;

 private:
  Address address_;
};
using ListeningSocketPtr = std::shared_ptr<ListeningSocket>;

class Network {
 public:
  explicit Network(uint64_t seed) : random_(seed) {}
  Network(const Network&) = delete;
  Network& operator=(const Network&) = delete;

  Instant now() const { return now_; }
  Random& random() { return random_; }
  Faults& faults() { return faults_; }
  // From here on nothing new goes wrong; what is lost stays lost.
  void heal();
  bool chance(uint32_t per_million) { return per_million != 0 && random_.chance(per_million); }

  // `run` is called at `at`, or now when that is past. Same instant: in the order of the calls.
  void at(Instant when, std::function<void()> run);
  void after(Duration delay, std::function<void()> run) { at(now_ + delay, std::move(run)); }
  // Runs the next event if it is due by `limit`, and moves the time to it; otherwise moves the time to `limit`. False when
  // nothing was due. Instant::max(): stays where it is when there are no events.
  bool step(Instant limit);
  bool idle() const { return events_.empty(); }
  // Time that a worker spends computing.
  void spend(Duration time) { now_ += time; }

  SocketPtr make_socket();
  void connect(const SocketPtr& socket, const Address& address);
  // Null when the address is taken by a listener that does not share it. Port 0 becomes a free one.
  ListeningSocketPtr listen(Address address, bool reuse_port);
  void unlisten(const ListeningSocketPtr& listener);

  Duration latency();
  // Ends of connections that somebody still holds, or that have bytes to send: zero when all is over.
  size_t sockets_open() const { return sockets_open_; }

 private:
  friend class Socket;
  struct Listeners {
    bool reuse_port = false;
    std::vector<ListeningSocketPtr> sockets;
  };
  struct Event {
    Instant when;
    uint64_t order;
    std::function<void()> run;
    bool operator<(const Event& other) const {
      return when != other.when ? when > other.when : order > other.order;
    }
  };
  void syn(const SocketPtr& socket, const Address& address, int attempt);
  void drop_orphan(const Socket& socket);
  void refuse(const SocketPtr& socket, int error);

  Random random_;
  Faults faults_;
  Instant now_{};
  uint64_t order_ = 0;
  uint16_t next_port_ = 40000;
  size_t sockets_open_ = 0;
  // What holds sockets comes last: their end counts above.
  std::vector<SocketPtr> orphans_;              // closed by their owner, with bytes still to be sent
  std::map<std::string, Listeners> listeners_;  // by address text, so that its order does not depend on memory
  std::priority_queue<Event> events_;
};

}  // namespace ringside::sim
