// The servers behind a proxy under load, as a program of their own. `--help` lists the options.
#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>

#include "perf/control_lines.h"
#include "perf/load_options.h"

int main(int argc, char** argv) {
  using namespace ringside;
  const perf::BackendOptions options = perf::parse_backend_options(argc, argv);
  std::string why;
  BlockPools pools;
  const std::unique_ptr<Ring> ring = perf::make_ring(options.ring, pools, &why);
  if (ring == nullptr) {
    fmt::print(stderr, "no ring: {}\n", why);
    return 1;
  }
  Worker worker(0, *ring, pools);
  const perf::Pattern pattern;
  perf::Backend backend(worker, pattern);
  if (!perf::open_services(backend, options.services, options.backend_tls, &why)) {
    fmt::print(stderr, "{}\n", why);
    return 1;
  }
  perf::ControlLines control(worker);
  control.start();
  fmt::print("{{\"event\":\"listening\"}}\n");
  std::fflush(stdout);
  control.wait_end();
  fmt::print("{{\"requests\":{},\"connections\":{},\"bad_messages\":{}}}\n", backend.requests(), backend.connections(),
             backend.bad_messages());
  std::fflush(stdout);
  std::_Exit(backend.bad_messages() > 0 ? 2 : 0);  // as in the load generator: nothing is taken apart
}
