// Load generator for HTTP/1.1, HTTP/2, gRPC, WebSocket, MongoDB and TCP, with the backend in its own thread when asked for. `--help` lists the options.
#include <fmt/format.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstdlib>
#include <sstream>

#include "perf/control_lines.h"
#include "perf/load_mongo.h"
#include "perf/load_options.h"
#include "perf/load_tcp.h"
#include "perf/load_ws.h"
#include "perf/process_cpu.h"

namespace ringside::perf {
namespace {

constexpr Duration ready_timeout = seconds(20);

void print_line(const std::string& line) {
  fmt::print("{}\n", line);
  std::fflush(stdout);
}

// Ends without taking anything apart: the kernel closes ten thousand sockets faster than we could one by one.
[[noreturn]] void finish(int code) {
  std::fflush(stdout);
  std::_Exit(code);
}

[[noreturn]] void give_up(std::string_view why) {
  print_line(fmt::format("{{\"event\":\"error\",\"error\":{}}}", json_string(why)));
  finish(1);
}

std::unique_ptr<Load> make_h2_load(Worker& worker, const Pattern& pattern, const LoadOptions& options) {
  if (options.mode == Mode::http) return std::make_unique<ClosedH2Load>(worker, pattern, options.http, options.h2);
  if (options.mode == Mode::http_idle) return std::make_unique<IdleH2Load>(worker, pattern, options.http, options.h2);
  give_up("--protocol h2 goes with --mode http and http-idle");
}

WsLoadOptions ws_options(const LoadOptions& options) {
  return {.target = options.http.target,
          .connections = options.http.connections,
          .depth = options.depth,
          .message_bytes = options.message_bytes,
          .shape = options.http.shape,
          .tls = options.http.tls};
}

MongoLoadOptions mongo_options(const LoadOptions& options) {
  return {.target = options.http.target,
          .connections = options.http.connections,
          .depth = options.depth,
          .find = options.find,
          .tls = options.http.tls};
}

std::unique_ptr<Load> make_load(Worker& worker, const Pattern& pattern, const LoadOptions& options) {
  if (options.protocol == Protocol::h2) return make_h2_load(worker, pattern, options);
  const HttpLoadOptions& http = options.http;
  switch (options.mode) {
    case Mode::http: return std::make_unique<ClosedHttpLoad>(worker, pattern, http);
    case Mode::http_open:
      return std::make_unique<OpenHttpLoad>(worker, pattern, http,
                                            ArrivalSchedule(options.arrivals, options.rate_per_second, options.seed));
    case Mode::http_churn: return std::make_unique<ChurnHttpLoad>(worker, pattern, http);
    case Mode::http_idle: return std::make_unique<IdleHttpLoad>(worker, pattern, http);
    case Mode::ws: return std::make_unique<PingWsLoad>(worker, pattern, ws_options(options));
    case Mode::ws_idle: return std::make_unique<IdleWsLoad>(worker, pattern, ws_options(options));
    case Mode::mongo: return std::make_unique<MongoLoad>(worker, mongo_options(options));
    case Mode::ping:
      if (options.message_bytes > Pattern::period_bytes) give_up("--message of a ping is 65521 at most");
      return std::make_unique<PingLoad>(worker, pattern, http.target, http.connections, options.message_bytes);
    case Mode::bulk_down: return std::make_unique<BulkLoad>(worker, pattern, http.target, http.connections, Flow::down);
    case Mode::bulk_up: return std::make_unique<BulkLoad>(worker, pattern, http.target, http.connections, Flow::up);
  }
  return nullptr;
}

std::vector<pid_t> read_pids(const std::string& line) {
  std::istringstream words(line);
  std::string word;
  std::vector<pid_t> pids;
  words >> word;
  if (word != "go") give_up(fmt::format("\"{}\" where \"go [pid...]\" was due", line));
  for (pid_t pid = 0; words >> pid;) pids.push_back(pid);
  return pids;
}

class Run {
 public:
  Run(Worker& worker, Backend& backend, const LoadOptions& options, std::vector<pid_t> pids)
      : worker_(worker), backend_(backend), options_(options), proxy_(std::move(pids)), own_({getpid()}) {}

  void open(Load& load) {
    load.start();
    const Instant deadline = worker_.now() + ready_timeout;
    while (!load.ready()) {
      worker_.turn(milliseconds(10));
      if (load.counts.failures() > 0) give_up(fmt::format("{{{}}}", load.counts.json_members()));
      if (worker_.now() > deadline) give_up("the connections were not there after 20 s");
    }
  }

  void turn_until(Load& load, Instant edge) {
    while (worker_.now() < edge) worker_.turn(std::min(load.drive(worker_.now()), edge - worker_.now()));
  }

  void measure(Load& load) {
    turn_until(load, worker_.now() + options_.warm_up);
    const uint64_t sunk_before = backend_.sunk_bytes();
    proxy_.begin();
    own_.begin();
    const Instant begin = worker_.now();
    load.counts.measure(true);
    turn_until(load, begin + options_.duration);
    load.counts.moved(backend_.sunk_bytes() - sunk_before);
    load.counts.measure(false);
    elapsed_ = worker_.now() - begin;
    proxy_.end();
    own_.end();
    load.check_stalled(worker_.now(), options_.patience);
  }

  std::string result(const Load& load) const {
    return fmt::format(
        "{{\"event\":\"result\",\"ring\":{},\"seconds\":{:.6f},{},\"proxy\":{{{}}},\"generator\":{{{}}},"
        "\"backend_connections\":{},\"backend_bad_messages\":{}}}",
        json_string(worker_.ring().name()), static_cast<double>(elapsed_.count()) / 1e9, load.counts.json_members(),
        proxy_.json_members(), own_.json_members(), backend_.connections(), backend_.bad_messages());
  }

 private:
  Worker& worker_;
  Backend& backend_;
  const LoadOptions& options_;
  ProcessWatch proxy_;
  ProcessWatch own_;
  Duration elapsed_{};
};

std::unique_ptr<ClientTls> make_client_tls(const LoadOptions& options) {
  if (!options.tls) return nullptr;
  std::string why;
  std::unique_ptr<ClientTls> tls = ClientTls::make(options.tls_files, options.resumption,
                                                   options.protocol == Protocol::h2 ? "h2" : "http/1.1", &why);
  if (tls == nullptr) give_up(why);
  return tls;
}

[[noreturn]] void run(LoadOptions options) {
  prctl(PR_SET_TIMERSLACK, 1UL);  // the schedule of an open loop is finer than the usual 50 us of slack
  std::string why;
  BlockPools pools;
  const std::unique_ptr<Ring> ring = make_ring(options.ring, pools, &why);
  if (ring == nullptr) give_up(fmt::format("no ring: {}", why));
  Worker worker(0, *ring, pools);
  const Pattern pattern;
  Backend backend(worker, pattern);
  if (!open_services(backend, options.services, options.backend_tls, &why)) give_up(why);
  const std::unique_ptr<ClientTls> tls = make_client_tls(options);

  ControlLines control(worker);
  std::vector<pid_t> pids;
  if (options.hold) {
    control.start();
    print_line("{\"event\":\"listening\"}");
    std::string line;
    if (!control.wait_line(&line)) finish(0);
    pids = read_pids(line);
  }
  Run run(worker, backend, options, std::move(pids));
  options.http.tls = tls.get();
  const std::unique_ptr<Load> load = make_load(worker, pattern, options);
  run.open(*load);
  if (options.mode == Mode::http_idle || options.mode == Mode::ws_idle) {
    print_line(fmt::format("{{\"event\":\"idle\",\"connections\":{}}}", options.http.connections));
    if (!options.hold) control.start();
    control.wait_end();
  } else {
    run.measure(*load);
  }
  print_line(run.result(*load));
  finish(load->counts.failures() + backend.bad_messages() > 0 ? 2 : 0);
}

}  // namespace
}  // namespace ringside::perf

int main(int argc, char** argv) { ringside::perf::run(ringside::perf::parse_load_options(argc, argv)); }
