// The floor under every proxy on this machine: what two receives and two sends per request cost on io_uring, with nothing between
// them. A relay on one core moves messages of fixed sizes between sockets that it knows, in batches; a peer that spins on another
// core plays clients and backend. Beside it the same four operations on one core alone, both ends of every socket in one thread,
// so that all data is warm and no wait ever sleeps.
#include <fmt/format.h>
#include <liburing.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <thread>
#include <vector>

namespace ringside::perf {
namespace {

struct Options {
  uint32_t connections = 64;
  uint32_t request_bytes = 160;
  uint32_t answer_bytes = 1200;
  double warm_up_ms = 200;
  double duration_ms = 800;
  int core = 0;
  int peer_core = 1;
};

[[noreturn]] void die(std::string_view what, int error_number) {
  fmt::print(stderr, "ringside-limit: {}: {}\n", what, std::strerror(error_number));
  std::_Exit(1);
}

int check(int result, std::string_view what) {
  if (result < 0) die(what, errno);
  return result;
}

void pin(int core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<size_t>(core), &set);
  if (const int error = pthread_setaffinity_np(pthread_self(), sizeof set, &set); error != 0) die("affinity", error);
}

int64_t clock_ns(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

// Two ends of a TCP connection over loopback.
struct Pair {
  int near = -1;
  int far = -1;
};

Pair connect_pair() {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  const int listener = check(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
  check(bind(listener, generic, size), "bind");
  check(listen(listener, 1), "listen");
  check(getsockname(listener, generic, &size), "getsockname");
  Pair pair;
  pair.far = check(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
  check(connect(pair.far, generic, size), "connect");
  pair.near = check(accept(listener, nullptr, nullptr), "accept");
  close(listener);
  for (const int fd : {pair.near, pair.far}) {
    const int on = 1;
    check(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), "TCP_NODELAY");
  }
  return pair;
}

// One request's way: from the client and back.
struct Flow {
  Pair client;   // near: ours, far: the client's
  Pair backend;  // near: ours, far: the backend's
  std::vector<char> bytes;
};

// One half of a request's way: what was received on `from` last goes to `to`, then the next message is awaited on `to`.
struct Step {
  int Pair::*send_end;
  int Pair::*receive_end;
  Pair Flow::*pair;
  uint32_t send_bytes;
  uint32_t receive_bytes;
};

class Batch {
 public:
  explicit Batch(std::vector<Flow>& flows) : flows_(flows) {
    io_uring_params parameters{};
    parameters.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL;
    const auto entries = static_cast<unsigned>(2 * flows.size());
    if (const int result = io_uring_queue_init_params(entries, &ring_, &parameters); result < 0)
      die("io_uring", -result);
    io_uring_register_ring_fd(&ring_);
  }
  ~Batch() { io_uring_queue_exit(&ring_); }
  Batch(const Batch&) = delete;
  Batch& operator=(const Batch&) = delete;

  // For every flow one send and one receive; all submitted at once, all awaited at once.
  void run(const Step& step) {
    if (step.send_bytes > 0)
      for (Flow& flow : flows_) {
        io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
        io_uring_prep_send(sqe, (flow.*step.pair).*step.send_end, flow.bytes.data(), step.send_bytes,
                           MSG_NOSIGNAL | MSG_WAITALL);
        sqe->flags = IOSQE_CQE_SKIP_SUCCESS;
        sqe->user_data = step.send_bytes;
      }
    for (Flow& flow : flows_) {
      io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
      io_uring_prep_recv(sqe, (flow.*step.pair).*step.receive_end, flow.bytes.data(), flow.bytes.size(), 0);
      sqe->user_data = step.receive_bytes;
    }
    const auto count = static_cast<unsigned>(flows_.size());
    if (const int result = io_uring_submit_and_wait(&ring_, count); result < 0) die("submit", -result);
    for (unsigned seen = 0; seen < count; ++seen) {
      io_uring_cqe* cqe = nullptr;
      if (const int result = io_uring_wait_cqe(&ring_, &cqe); result < 0) die("wait", -result);
      // Strictly one message each way: anything but a whole one is a broken measurement.
      if (cqe->res != static_cast<int>(cqe->user_data)) die("a message came in parts", cqe->res < 0 ? -cqe->res : 0);
      io_uring_cqe_seen(&ring_, cqe);
    }
  }

 private:
  std::vector<Flow>& flows_;
  io_uring ring_{};
};

struct Measured {
  uint64_t requests = 0;
  double cpu_us = 0;  // per request
};

// Runs `turn` for the warm-up and the window, and measures the window.
template <class Turn>
Measured measure(const Options& options, size_t requests_per_turn, Turn turn) {
  const auto run = [&](double milliseconds) {
    const int64_t end = clock_ns(CLOCK_MONOTONIC) + static_cast<int64_t>(milliseconds * 1e6);
    uint64_t turns = 0;
    for (; clock_ns(CLOCK_MONOTONIC) < end; ++turns) turn();
    return turns;
  };
  run(options.warm_up_ms);
  const int64_t before = clock_ns(CLOCK_THREAD_CPUTIME_ID);
  const uint64_t requests = run(options.duration_ms) * requests_per_turn;
  const int64_t used = clock_ns(CLOCK_THREAD_CPUTIME_ID) - before;
  return {requests, static_cast<double>(used) / 1e3 / static_cast<double>(requests)};
}

// Clients and backend: spins until all of its sockets have had their message.
class Peer {
 public:
  Peer(const Options& options, std::vector<Flow>& flows)
      : options_(options), flows_(flows), thread_([this] { run(); }) {}
  ~Peer() { thread_.join(); }
  void stop() { stopping_ = true; }

 private:
  void run() {
    pin(options_.peer_core);
    bytes_.resize(std::max(options_.request_bytes, options_.answer_bytes));
    for (Flow& flow : flows_) send_all(flow.client.far, options_.request_bytes);
    while (!stopping_) {
      for (Flow& flow : flows_) {
        if (!receive_all(flow.backend.far, options_.request_bytes)) return;
        send_all(flow.backend.far, options_.answer_bytes);
      }
      for (Flow& flow : flows_) {
        if (!receive_all(flow.client.far, options_.answer_bytes)) return;
        send_all(flow.client.far, options_.request_bytes);
      }
    }
  }
  // False when the run is over.
  bool receive_all(int fd, uint32_t bytes) {
    for (ssize_t result = -1; result != static_cast<ssize_t>(bytes);) {
      result = recv(fd, bytes_.data(), bytes_.size(), MSG_DONTWAIT);
      if (result < 0 && errno != EAGAIN) die("peer", errno);
      if (stopping_) return false;
    }
    return true;
  }
  void send_all(int fd, uint32_t bytes) {
    if (send(fd, bytes_.data(), bytes, MSG_NOSIGNAL) != static_cast<ssize_t>(bytes)) die("peer", errno);
  }

  const Options& options_;
  std::vector<Flow>& flows_;
  std::vector<char> bytes_;
  std::atomic<bool> stopping_ = false;
  std::thread thread_;  // last: it uses the others
};

std::vector<Flow> make_flows(const Options& options) {
  std::vector<Flow> flows(options.connections);
  for (Flow& flow : flows) {
    flow.client = connect_pair();
    flow.backend = connect_pair();
    flow.bytes.resize(std::max(options.request_bytes, options.answer_bytes));
  }
  return flows;
}

void close_flows(std::vector<Flow>& flows) {
  for (Flow& flow : flows)
    for (const int fd : {flow.client.near, flow.client.far, flow.backend.near, flow.backend.far}) close(fd);
}

Measured measure_relay(const Options& options) {
  std::vector<Flow> flows = make_flows(options);
  Measured measured;
  {
    Batch batch(flows);
    Peer peer(options, flows);
    batch.run({&Pair::near, &Pair::near, &Flow::client, 0, options.request_bytes});
    const Step to_backend = {&Pair::near, &Pair::near, &Flow::backend, options.request_bytes, options.answer_bytes};
    const Step to_client = {&Pair::near, &Pair::near, &Flow::client, options.answer_bytes, options.request_bytes};
    measured = measure(options, flows.size(), [&] {
      batch.run(to_backend);
      batch.run(to_client);
    });
    peer.stop();
  }
  close_flows(flows);
  return measured;
}

Measured measure_one_core(const Options& options) {
  std::vector<Flow> flows = make_flows(options);
  Measured measured;
  {
    Batch batch(flows);
    const Step there = {&Pair::far, &Pair::near, &Flow::client, options.request_bytes, options.request_bytes};
    const Step back = {&Pair::near, &Pair::far, &Flow::client, options.answer_bytes, options.answer_bytes};
    measured = measure(options, flows.size(), [&] {
      batch.run(there);
      batch.run(back);
    });
  }
  close_flows(flows);
  return measured;
}

Options parse(int argc, char** argv) {
  Options options;
  CLI::App app("What two receives and two sends per request cost. Prints one JSON object.");
  app.add_option("--connections", options.connections, "requests in a batch")->check(CLI::Range(1, 2048));
  app.add_option("--request", options.request_bytes, "bytes of a request")->check(CLI::Range(1, 16384));
  app.add_option("--answer", options.answer_bytes, "bytes of an answer")->check(CLI::Range(1, 16384));
  app.add_option("--warm-up-ms", options.warm_up_ms);
  app.add_option("--duration-ms", options.duration_ms);
  app.add_option("--core", options.core, "where the relay runs");
  app.add_option("--peer-core", options.peer_core, "where clients and backend run");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::exit(app.exit(error));
  }
  return options;
}

}  // namespace
}  // namespace ringside::perf

int main(int argc, char** argv) {
  using namespace ringside::perf;
  const Options options = parse(argc, argv);
  pin(options.core);
  const Measured relay = measure_relay(options);
  const Measured one_core = measure_one_core(options);
  fmt::print("{{\"relay\":{{\"requests\":{},\"cpu_us\":{:.3f}}},\"one_core\":{{\"requests\":{},\"cpu_us\":{:.3f}}}}}\n",
             relay.requests, relay.cpu_us, one_core.requests, one_core.cpu_us);
}
