// The program: reads flags and configuration, chooses the ring, and runs a Server on the control thread.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <string>

#include "control/bootstrap.h"
#include "control/control.h"
#include "control/options.h"
#include "core/epoll_ring.h"
#include "core/log.h"
#include "core/stats.h"
#include "core/uring_ring.h"
#include "core/worker.h"
#include "proxy/listener/filter_chain_table.h"
#include "proxy/observe/access_log.h"
#include "server.h"
#include "tls/kernel_tls.h"

namespace ringside {
namespace {

void print(std::FILE* stream, const std::string& text) { std::fwrite(text.data(), 1, text.size(), stream); }

// False when a flag about the log cannot be followed; it has been said.
bool set_up_log(const Options& options) {
  log_set_level(log_level_from(options.log_level).value_or(LogLevel::info));
  if (!options.component_log_level.empty()) {
    if (auto set = log_set_component_levels(options.component_log_level); !set) {
      print(stderr, set.error() + "\n");
      return false;
    }
  }
  log_set_format(options.log_format);
  if (options.log_path.empty()) return true;
  const int fd = ::open(options.log_path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) {
    print(stderr, "--log-path " + options.log_path + ": " + std::strerror(errno) + "\n");
    return false;
  }
  log_set_fd(fd);
  return true;
}

std::string check_access_log_format(std::string_view format) {
  const auto parsed = AccessLogFormat::parse(format);
  if (parsed) return {};
  return parsed.error().message + " at offset " + std::to_string(parsed.error().offset);
}

std::optional<LoadOptions::ChainClash> check_filter_chains(const std::vector<FilterChainSpec>& chains) {
  const auto table = FilterChainTable::build(chains);
  if (table) return std::nullopt;
  return LoadOptions::ChainClash{table.error().first, table.error().second};
}

std::optional<Specs> load(const Options& options) {
  LoadOptions load;
  if (options.config_path.empty() && options.config_yaml.empty()) {
    print(stderr, "At least one of --config-path or --config-yaml should be non-empty: give -c FILE\n");
    return std::nullopt;
  }
  if (!options.config_path.empty()) load.sources.push_back({ConfigSource::Kind::file, options.config_path});
  if (!options.config_yaml.empty()) load.sources.push_back({ConfigSource::Kind::text, options.config_yaml});
  load.allow_unknown_static_fields = options.allow_unknown_static_fields;
  load.service_node = options.service_node;
  load.service_cluster = options.service_cluster;
  load.service_zone = options.service_zone;
  load.check_access_log_format = check_access_log_format;
  load.check_filter_chains = check_filter_chains;
  LoadOutcome outcome = load_bootstrap(load);
  const ErrorStyle style = isatty(STDERR_FILENO) != 0 ? ErrorStyle::terminal : ErrorStyle::lines;
  if (!outcome.warnings.empty()) print(stderr, render_errors(outcome.warnings, style, "warning"));
  if (outcome.ok()) return std::move(outcome.specs);
  print(stderr, render_errors(outcome.errors, style));
  return std::nullopt;
}

// The ring of the workers; none when the one that was asked for cannot be had.
std::optional<RingKind> choose_ring(RingChoice choice) {
  if (choice == RingChoice::epoll) {
    RS_LOG_INFO(ring, "workers run on epoll (--ring epoll)");
    return RingKind::epoll;
  }
  const UringProbe probe = probe_uring();
  if (probe.supported) {
    RS_LOG_INFO(ring, "workers run on io_uring ({})", probe.detail);
    return RingKind::uring;
  }
  if (choice == RingChoice::uring) {
    RS_LOG_CRITICAL(ring, "--ring uring: io_uring cannot be used here: {}; use --ring auto, or allow the io_uring_* calls in the "
                          "seccomp profile", probe.detail);
    return std::nullopt;
  }
  RS_LOG_INFO(ring, "workers run on epoll: io_uring cannot be used here ({})", probe.detail);
  return RingKind::epoll;
}

void say_where_tls_is_done() {
  RS_LOG_INFO(main, "TLS is done in the program; the kernel {}", kernel_has_tls() ? "offers to encrypt (kTLS), which is not used"
                                                                                   : "does not offer to encrypt (kTLS)");
}

int serve(const Options& options, Specs specs, RingKind kind) {
  if (!specs.tls_uses.empty()) say_where_tls_is_done();
  BlockPools pools;
  // The control thread has little to do: epoll serves it everywhere.
  EpollRing ring(pools);
  const Instant started = ring.now();
  StatsRegistry registry(options.concurrency);
  int code = 0;
  {
    Worker worker(options.concurrency, ring, pools);
    Server server(options, std::move(specs), worker, registry, kind, started);
    if (auto served = server.run(); !served) {
      RS_LOG_CRITICAL(main, "{}", served.error());
      code = 1;
    }
  }
  RS_LOG_INFO(main, "exiting");
  return code;
}

int run(int argc, char** argv) {
  auto options = parse_options(argc, argv);
  if (!options) {
    print(stdout, options.error().out);
    print(stderr, options.error().err);
    return options.error().code;
  }
  if (!set_up_log(*options)) return 1;
  Control::block_signals();
  for (const std::string& note : options->notes) RS_LOG_EVERY(main, warning, "{}", note);
  std::optional<Specs> specs = load(*options);
  if (!specs) return 1;
  if (options->mode == RunMode::validate) {
    StatsRegistry registry(1);
    if (auto snapshot = Snapshot::build(*specs, registry, 1); !snapshot) {
      print(stderr, snapshot.error() + "\n");
      return 1;
    }
    print(stdout, "configuration '" + options->config_path + "' OK\n");
    return 0;
  }
  const std::optional<RingKind> kind = choose_ring(options->ring);
  return kind ? serve(*options, std::move(*specs), *kind) : 1;
}

}  // namespace
}  // namespace ringside

int main(int argc, char** argv) { return ringside::run(argc, argv); }
