#pragma once
// The command line: Envoy's flags with Envoy's defaults, messages and exit codes, and a few of our own.
#include <cstdint>
#include <expected>
#include <string>
#include <utility>
#include <vector>

#include "core/time.h"

namespace ringside {

enum class RunMode : uint8_t { serve, validate };
enum class RingChoice : uint8_t { automatic, uring, epoll };
enum class DrainStrategy : uint8_t { gradual, immediate };
enum class IpVersion : uint8_t { v4, v6 };
// off: threads run wherever the system puts them; automatic: worker n on the n-th CPU that the process may use.
enum class AffinityKind : uint8_t { off, automatic, list };

struct CpuAffinity {
  AffinityKind kind = AffinityKind::off;
  std::vector<int> cpus;  // of `list`: worker n runs on cpus[n % size]
};

struct Options {
  std::string program;  // argv[0]

  // Configuration
  std::string config_path;
  std::string config_yaml;  // merged over the file
  RunMode mode = RunMode::serve;
  bool allow_unknown_static_fields = false;
  bool reject_unknown_dynamic_fields = false;
  bool ignore_unknown_dynamic_fields = false;
  bool skip_deprecated_logs = false;
  std::string service_node, service_cluster, service_zone;  // where the bootstrap has none
  std::vector<std::pair<std::string, std::string>> stats_tags;
  std::vector<std::string> disabled_extensions;

  // Threads
  uint32_t concurrency = 1;  // at least 1; the CPUs that the process may use when the flag is absent
  bool cpuset_threads = false;
  RingChoice ring = RingChoice::automatic;
  CpuAffinity affinity;

  // Log of the program itself
  std::string log_level = "info";   // one of core/log's names
  std::string component_log_level;  // unchecked: for log_set_component_levels()
  std::string log_format = "[%Y-%m-%d %T.%e][%t][%l][%n] [%g:%#] %v";
  bool log_format_escaped = false;
  std::string log_path;  // empty: stderr
  bool enable_fine_grain_logging = false;
  bool log_stacktrace_single_entry = false;

  // Access logs
  Duration file_flush_interval = seconds(10);
  uint32_t file_flush_min_size_kb = 64;

  // Draining and exit
  Duration drain_time = seconds(600);
  DrainStrategy drain_strategy = DrainStrategy::gradual;
  bool drain_on_sigterm = false;
  bool enable_core_dump = false;

  // Admin
  std::string admin_address_path;  // the bound address is written there
  IpVersion local_address_ip_version = IpVersion::v4;

  // Hot restart: read and shown by /server_info, of no effect.
  uint32_t base_id = 0;
  bool use_dynamic_base_id = false;
  std::string base_id_path;
  uint32_t restart_epoch = 0;
  Duration parent_shutdown_time = seconds(900);
  bool disable_hot_restart = false;
  std::string socket_path = "@envoy_domain_socket";
  uint32_t socket_mode = 0;
  bool skip_hot_restart_on_no_parent = false;
  bool skip_hot_restart_parent_stats = false;
  bool enable_mutex_tracing = false;

  // One line each, to be logged as warnings: flags that were accepted and do nothing.
  std::vector<std::string> notes;
};

// The program ends here: print both texts as they are, exit with `code`.
struct OptionsExit {
  int code = 0;
  std::string out;
  std::string err;
};

// `argv` as main got it. The words "--" or "--ignore_rest" end the flags.
std::expected<Options, OptionsExit> parse_options(int argc, const char* const* argv);

// "<revision>/0.1.0/Clean/RELEASE/OpenSSL", the shape that scripts look for.
std::string version_text();

}  // namespace ringside
