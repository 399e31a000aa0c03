#include "control/options.h"

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <span>
#include <string_view>
#include <thread>
#include <variant>

#include "control/control_limits.h"
#include "core/log.h"

namespace ringside {

namespace {

// --- The flags -----------------------------------------------------------------------------------------------------------

// What the flags say, before it is interpreted. Numbers are kept as text so that a message can quote them.
struct Raw {
  Options options;
  std::string mode = "serve", drain_strategy = "gradual", ip_version = "v4";
  std::string disabled_extensions, ring = "auto", affinity = "off";
  std::string concurrency, file_flush_interval_msec, file_flush_min_size_kb, drain_time_s, parent_shutdown_time_s;
  std::string restart_epoch, base_id, socket_mode, max_stats, max_obj_name_len;
  std::vector<std::string> stats_tags;
  bool version = false, hot_restart_version = false, help = false;
  bool allow_unknown_fields = false, v2_config_only = false;
};

enum class Effect : uint8_t {
  full,
  none,     // accepted, with a line that says so
  removed,  // no longer in Envoy: accepted, with a line that says so
};

using Target = std::variant<bool Raw::*, std::string Raw::*, std::vector<std::string> Raw::*, bool Options::*,
                            std::string Options::*>;

struct Flag {
  const char* name;
  Target target;
  const char* kind;  // "" for a switch
  const char* help;
  char letter = 0;
  Effect effect = Effect::full;
};

constexpr const char* text = "string";
constexpr const char* number = "uint32_t";

const std::array flags{
    Flag{"config-path", &Options::config_path, text, "the bootstrap: YAML or JSON by its suffix", 'c'},
    Flag{"config-yaml", &Options::config_yaml, text,
         "YAML or JSON text, merged over the file; alone it is the whole bootstrap"},
    Flag{"mode", &Raw::mode, text, "serve (default), or validate: check the configuration and exit"},
    Flag{"concurrency", &Raw::concurrency, number, "number of workers; as many as there are CPUs when absent"},
    Flag{"ring", &Raw::ring, text, "how workers wait for the kernel: auto (default), uring or epoll"},
    Flag{"cpu-affinity", &Raw::affinity, text,
         "CPUs of the workers: a list such as 0,2,4-7, auto (one each), or off (default)"},
    Flag{"cpuset-threads", &Options::cpuset_threads, "",
         "count the CPUs that the process may use; it is so with and without this flag"},
    Flag{"log-level", &Options::log_level, text, "trace, debug, info (default), warning, error, critical or off", 'l'},
    Flag{"component-log-level", &Options::component_log_level, text,
         "levels of single loggers: upstream:debug,config:trace"},
    Flag{"log-format", &Options::log_format, text, "pattern of a line of the log, in spdlog's words"},
    Flag{"log-format-escaped", &Options::log_format_escaped, "",
         "write control characters of messages as escape sequences"},
    Flag{"log-path", &Options::log_path, text, "file for the log; stderr when absent"},
    Flag{"enable-fine-grain-logging", &Options::enable_fine_grain_logging, "", "levels by source file", 0,
         Effect::none},
    Flag{"log-stacktrace-single-entry", &Options::log_stacktrace_single_entry, "", "a stack trace is one entry", 0,
         Effect::none},
    Flag{"service-node", &Options::service_node, text, "node.id, where the bootstrap has none"},
    Flag{"service-cluster", &Options::service_cluster, text, "node.cluster, where the bootstrap has none"},
    Flag{"service-zone", &Options::service_zone, text, "node.locality.zone, where the bootstrap has none"},
    Flag{"drain-time-s", &Raw::drain_time_s, number, "how long connections may take to end when draining (600)"},
    Flag{"drain-strategy", &Raw::drain_strategy, text,
         "gradual (default): ever more connections are told to close; immediate: all at once"},
    Flag{"drain-on-sigterm", &Options::drain_on_sigterm, "",
         "SIGTERM drains before it exits; without this flag it exits at once"},
    Flag{"file-flush-interval-msec", &Raw::file_flush_interval_msec, number,
         "access logs are written at least so often (10000)"},
    Flag{"file-flush-min-size-kb", &Raw::file_flush_min_size_kb, number,
         "access logs are written when so much has gathered (64)"},
    Flag{"local-address-ip-version", &Raw::ip_version, text, "v4 (default) or v6"},
    Flag{"admin-address-path", &Options::admin_address_path, text, "file to write the bound admin address to"},
    Flag{"allow-unknown-static-fields", &Options::allow_unknown_static_fields, "",
         "unknown fields in the bootstrap are warnings"},
    Flag{"allow-unknown-fields", &Raw::allow_unknown_fields, "", "old name of --allow-unknown-static-fields"},
    Flag{"reject-unknown-dynamic-fields", &Options::reject_unknown_dynamic_fields, "",
         "unknown fields in updates are errors"},
    Flag{"ignore-unknown-dynamic-fields", &Options::ignore_unknown_dynamic_fields, "",
         "unknown fields in updates are not reported"},
    Flag{"skip-deprecated-logs", &Options::skip_deprecated_logs, "", "say nothing of deprecated fields"},
    Flag{"stats-tag", &Raw::stats_tags, text, "tag:value for every statistic", 0, Effect::none},
    Flag{"disable-extensions", &Raw::disabled_extensions, text, "names of extensions to do without", 0, Effect::none},
    Flag{"enable-core-dump", &Options::enable_core_dump, "", "leave a core file after a crash"},
    Flag{"enable-mutex-tracing", &Options::enable_mutex_tracing, "", "contention of locks", 0, Effect::none},
    Flag{"disable-hot-restart", &Options::disable_hot_restart, "", "hot restart is never used; accepted"},
    Flag{"restart-epoch", &Raw::restart_epoch, number, "hot restart: number of this program", 0, Effect::none},
    Flag{"base-id", &Raw::base_id, number, "hot restart: which family", 0, Effect::none},
    Flag{"use-dynamic-base-id", &Options::use_dynamic_base_id, "", "hot restart: choose a family", 0, Effect::none},
    Flag{"base-id-path", &Options::base_id_path, text, "hot restart: where the family is written", 0, Effect::none},
    Flag{"parent-shutdown-time-s", &Raw::parent_shutdown_time_s, number, "hot restart: when the old program ends", 0,
         Effect::none},
    Flag{"socket-path", &Options::socket_path, text, "hot restart: the socket between old and new", 0, Effect::none},
    Flag{"socket-mode", &Raw::socket_mode, text, "hot restart: permissions of that socket", 0, Effect::none},
    Flag{"skip-hot-restart-on-no-parent", &Options::skip_hot_restart_on_no_parent, "", "hot restart: go on alone", 0,
         Effect::none},
    Flag{"skip-hot-restart-parent-stats", &Options::skip_hot_restart_parent_stats, "", "hot restart: begin at zero", 0,
         Effect::none},
    Flag{"max-obj-name-len", &Raw::max_obj_name_len, number, "old flag", 0, Effect::removed},
    Flag{"max-stats", &Raw::max_stats, number, "old flag", 0, Effect::removed},
    Flag{"v2-config-only", &Raw::v2_config_only, "", "old flag", 0, Effect::removed},
    Flag{"hot-restart-version", &Raw::hot_restart_version, "", "print the version of hot restart and exit"},
    Flag{"version", &Raw::version, "", "print the version and exit"},
    Flag{"help", &Raw::help, "", "print this and exit", 'h'},
};

// --- Texts that end the program --------------------------------------------------------------------------------------------

// Breaks `words` into lines of at most 78 columns, each begun with `indent` spaces.
std::string wrapped(const std::vector<std::string>& words, size_t indent, size_t first_column) {
  constexpr size_t columns_max = 78;
  std::string lines;
  size_t column = first_column;
  for (const std::string& word : words) {
    if (column + 1 + word.size() > columns_max && column > indent) {
      lines += '\n';
      lines.append(indent, ' ');
      column = indent;
    } else if (column > indent) {
      lines += ' ';
      ++column;
    }
    lines += word;
    column += word.size();
  }
  return lines;
}

std::vector<std::string> words_of(std::string_view sentence) {
  std::vector<std::string> words;
  for (size_t at = 0; at < sentence.size();) {
    const size_t end = std::min(sentence.find(' ', at), sentence.size());
    words.emplace_back(sentence.substr(at, end - at));
    at = end + 1;
  }
  return words;
}

std::string usage_line(const std::string& program) {
  std::vector<std::string> words;
  for (const Flag& flag : flags) {
    const std::string value = *flag.kind != '\0' ? fmt::format(" <{}>", flag.kind) : "";
    const std::string name = flag.letter != 0 ? fmt::format("-{}", flag.letter) : fmt::format("--{}", flag.name);
    words.push_back(fmt::format("[{}{}]", name, value));
  }
  const std::string start = "   " + program + " ";
  return start + wrapped(words, 3 + std::min<size_t>(program.size(), 20) + 1, start.size()) + "\n";
}

std::string help_text(const std::string& program) {
  std::string out = "\nUSAGE: \n\n" + usage_line(program) + "\n\nWhere: \n\n";
  for (const Flag& flag : flags) {
    const std::string value = *flag.kind != '\0' ? fmt::format(" <{}>", flag.kind) : "";
    if (flag.letter != 0)
      out += fmt::format("   -{}{},  --{}{}\n", flag.letter, value, flag.name, value);
    else
      out += fmt::format("   --{}{}\n", flag.name, value);
    std::string help = flag.help;
    if (flag.effect == Effect::none) help += " (accepted; does nothing here)";
    if (flag.effect == Effect::removed) help += " (accepted for old scripts; does nothing)";
    out += "     " + wrapped(words_of(help), 5, 5) + "\n\n";
  }
  return out;
}

OptionsExit parse_error(const std::string& program, const std::string& argument, const std::string& what) {
  return {1, "",
          fmt::format("PARSE ERROR: Argument: {}\n             {}\n\nBrief USAGE: \n{}\n"
                      "For complete USAGE and HELP type: \n   {} --help\n\n",
                      argument, what, usage_line(program), program)};
}

OptionsExit plain_error(std::string message) { return {1, "", message + "\n"}; }

std::string argument_name(const Flag& flag) {
  return flag.letter != 0 ? fmt::format("-{} (--{})", flag.letter, flag.name) : fmt::format("--{}", flag.name);
}

// --- Reading the words -----------------------------------------------------------------------------------------------------

const Flag* flag_of_word(std::string_view word) {
  for (const Flag& flag : flags) {
    if (word.starts_with("--") && word.substr(2) == flag.name) return &flag;
    if (flag.letter != 0 && word.size() == 2 && word[0] == '-' && word[1] == flag.letter) return &flag;
  }
  return nullptr;
}

void assign(const Flag& flag, std::string value, Raw& raw) {
  const auto store = [&](auto member) {
    if constexpr (std::is_same_v<decltype(member), bool Raw::*>)
      raw.*member = true;
    else if constexpr (std::is_same_v<decltype(member), bool Options::*>)
      raw.options.*member = true;
    else if constexpr (std::is_same_v<decltype(member), std::string Options::*>)
      raw.options.*member = std::move(value);
    else if constexpr (std::is_same_v<decltype(member), std::string Raw::*>)
      raw.*member = std::move(value);
    else
      (raw.*member).push_back(std::move(value));
  };
  std::visit(store, flag.target);
}

void note_what_does_nothing(const Flag& flag, Options& options) {
  if (flag.effect == Effect::removed)
    options.notes.push_back(fmt::format("--{} is a flag of old releases: accepted, without effect", flag.name));
  if (flag.effect == Effect::none)
    options.notes.push_back(fmt::format("--{} is accepted and has no effect in this version", flag.name));
}

// "--flag value" and "-f value", as the program that is replaced has it, and "--flag=value" besides. The word after a flag that
// takes a value is the value, whatever it looks like.
std::optional<OptionsExit> read_flags(std::span<const std::string> words, Raw& raw) {
  std::vector<const Flag*> seen;
  for (size_t at = 0; at < words.size(); ++at) {
    const std::string& word = words[at];
    if (word == "--" || word == "--ignore_rest") break;
    const size_t equals = word.find('=');
    const bool joined = word.starts_with("--") && equals != std::string::npos;
    const Flag* flag = flag_of_word(joined ? word.substr(0, equals) : word);
    if (flag == nullptr || (joined && *flag->kind == '\0'))
      return parse_error(raw.options.program, word, "Couldn't find match for argument");
    const bool repeatable = std::holds_alternative<std::vector<std::string> Raw::*>(flag->target);
    const bool again = std::find(seen.begin(), seen.end(), flag) != seen.end();
    if (again && !repeatable) return parse_error(raw.options.program, argument_name(*flag), "Argument already set!");
    if (!again) note_what_does_nothing(*flag, raw.options);
    seen.push_back(flag);
    std::string value = joined ? word.substr(equals + 1) : "";
    if (*flag->kind != '\0' && !joined) {
      if (++at == words.size())
        return parse_error(raw.options.program, argument_name(*flag), "Missing a value for this argument!");
      value = words[at];
    }
    assign(*flag, std::move(value), raw);
  }
  return std::nullopt;
}

// --- Interpreting ----------------------------------------------------------------------------------------------------------

std::optional<uint32_t> parse_number(std::string_view digits) {
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
  return value;
}

std::vector<std::string> split(std::string_view list, char separator) {
  std::vector<std::string> parts;
  for (size_t at = 0; at <= list.size();) {
    const size_t end = std::min(list.find(separator, at), list.size());
    parts.emplace_back(list.substr(at, end - at));
    at = end + 1;
  }
  return parts;
}

std::optional<OptionsExit> read_numbers(Raw& raw) {
  Options& options = raw.options;
  uint32_t drain_time_s = 600, parent_shutdown_time_s = 900, flush_msec = 10000, ignored = 0;
  uint32_t concurrency = std::thread::hardware_concurrency();
  const struct {
    const char* name;
    const std::string& given;
    uint32_t& value;
  } numbers[] = {
      {"concurrency", raw.concurrency, concurrency},
      {"drain-time-s", raw.drain_time_s, drain_time_s},
      {"parent-shutdown-time-s", raw.parent_shutdown_time_s, parent_shutdown_time_s},
      {"file-flush-interval-msec", raw.file_flush_interval_msec, flush_msec},
      {"file-flush-min-size-kb", raw.file_flush_min_size_kb, options.file_flush_min_size_kb},
      {"restart-epoch", raw.restart_epoch, options.restart_epoch},
      {"base-id", raw.base_id, options.base_id},
      {"max-obj-name-len", raw.max_obj_name_len, ignored},
      {"max-stats", raw.max_stats, ignored},
  };
  for (const auto& entry : numbers) {
    if (entry.given.empty()) continue;
    const std::optional<uint32_t> value = parse_number(entry.given);
    if (!value)
      return parse_error(options.program, fmt::format("(--{})", entry.name),
                         fmt::format("Couldn't read argument value from string '{}'", entry.given));
    entry.value = *value;
  }
  options.drain_time = seconds(drain_time_s);
  options.parent_shutdown_time = seconds(parent_shutdown_time_s);
  options.file_flush_interval = milliseconds(flush_msec);
  options.concurrency = std::max(1U, concurrency);
  if (options.concurrency > limits::workers_max)
    return plain_error(fmt::format("error: --concurrency is {}, and at most {} workers are possible",
                                   options.concurrency, limits::workers_max));
  return std::nullopt;
}

std::optional<OptionsExit> read_levels(Raw& raw) {
  const std::optional<LogLevel> level = log_level_from(raw.options.log_level);
  if (!level) return plain_error(fmt::format("error: invalid log level specified '{}'", raw.options.log_level));
  raw.options.log_level = log_level_name(*level);
  return std::nullopt;
}

// "0,2,4-7"
std::optional<std::vector<int>> parse_cpus(std::string_view list) {
  std::vector<int> cpus;
  for (const std::string& part : split(list, ',')) {
    const size_t dash = part.find('-');
    const std::optional<uint32_t> first = parse_number(std::string_view(part).substr(0, dash));
    const std::optional<uint32_t> last =
        dash == std::string::npos ? first : parse_number(std::string_view(part).substr(dash + 1));
    if (!first || !last || *last < *first || *last >= CPU_SETSIZE) return std::nullopt;
    for (uint32_t cpu = *first; cpu <= *last; ++cpu) cpus.push_back(static_cast<int>(cpu));
  }
  return cpus;
}

std::optional<OptionsExit> read_threads(Raw& raw) {
  Options& options = raw.options;
  if (raw.ring == "auto")
    options.ring = RingChoice::automatic;
  else if (raw.ring == "uring")
    options.ring = RingChoice::uring;
  else if (raw.ring == "epoll")
    options.ring = RingChoice::epoll;
  else
    return plain_error(fmt::format("error: unknown ring '{}' (auto, uring or epoll)", raw.ring));

  if (raw.affinity == "off") return std::nullopt;
  if (raw.affinity == "auto") {
    options.affinity.kind = AffinityKind::automatic;
    return std::nullopt;
  }
  std::optional<std::vector<int>> cpus = parse_cpus(raw.affinity);
  if (!cpus)
    return plain_error(
        fmt::format("error: --cpu-affinity '{}' is neither auto, off, nor a list such as 0,2,4-7", raw.affinity));
  options.affinity = {AffinityKind::list, std::move(*cpus)};
  return std::nullopt;
}

std::optional<OptionsExit> read_words(Raw& raw) {
  Options& options = raw.options;
  if (raw.mode == "validate")
    options.mode = RunMode::validate;
  else if (raw.mode != "serve")
    return plain_error(fmt::format("error: unknown mode '{}'", raw.mode));
  if (raw.drain_strategy == "immediate")
    options.drain_strategy = DrainStrategy::immediate;
  else if (raw.drain_strategy != "gradual")
    return plain_error(fmt::format("error: unknown drain-strategy '{}'", raw.drain_strategy));
  if (raw.ip_version == "v6")
    options.local_address_ip_version = IpVersion::v6;
  else if (raw.ip_version != "v4")
    return plain_error(fmt::format("error: unknown IP address version '{}'", raw.ip_version));
  if (!raw.socket_mode.empty()) {
    const char* end = raw.socket_mode.data() + raw.socket_mode.size();
    const auto parsed = std::from_chars(raw.socket_mode.data(), end, options.socket_mode, 8);
    if (parsed.ec != std::errc{} || parsed.ptr != end || options.socket_mode > 0777)
      return plain_error(fmt::format("error: invalid socket-mode '{}'", raw.socket_mode));
  }
  if (!raw.disabled_extensions.empty()) options.disabled_extensions = split(raw.disabled_extensions, ',');
  if (raw.allow_unknown_fields) options.allow_unknown_static_fields = true;
  if (options.use_dynamic_base_id && options.restart_epoch > 0)
    return plain_error(
        fmt::format("error: cannot use --restart-epoch={} with --use-dynamic-base-id", options.restart_epoch));
  return std::nullopt;
}

std::optional<OptionsExit> read_stats_tags(Raw& raw) {
  const auto is_name = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  };
  for (const std::string& given : raw.stats_tags) {
    const size_t colon = given.find(':');
    if (colon == std::string::npos || colon == 0 || colon + 1 == given.size())
      return plain_error(fmt::format("error: misformatted stats-tag '{}'", given));
    const std::string name = given.substr(0, colon), value = given.substr(colon + 1);
    if (!std::all_of(name.begin(), name.end(), is_name))
      return plain_error(fmt::format("error: misformatted stats-tag '{}' contains invalid char in '{}'", given, name));
    if (value.find('.') != std::string::npos)
      return plain_error(fmt::format("error: misformatted stats-tag '{}' contains invalid char in '{}'", given, value));
    raw.options.stats_tags.emplace_back(name, value);
  }
  return std::nullopt;
}

}  // namespace

std::string version_text() { return "release/" RINGSIDE_VERSION "/Clean/RELEASE/OpenSSL"; }

std::expected<Options, OptionsExit> parse_options(int argc, const char* const* argv) {
  Raw raw;
  Options& options = raw.options;
  options.program = argc > 0 ? argv[0] : "ringside";
  std::vector<std::string> words;
  for (int at = 1; at < argc; ++at) words.emplace_back(argv[at]);
  if (auto wrong = read_flags(words, raw)) return std::unexpected(std::move(*wrong));

  if (raw.help) return std::unexpected(OptionsExit{0, help_text(options.program), ""});
  if (raw.version)
    return std::unexpected(OptionsExit{0, fmt::format("\n{}  version: {}\n\n", options.program, version_text()), ""});
  if (raw.hot_restart_version)
    return std::unexpected(OptionsExit{0, "", options.disable_hot_restart ? "disabled" : "11.104"});
  for (const auto read : {&read_numbers, &read_words, &read_threads, &read_levels, &read_stats_tags})
    if (auto wrong = read(raw)) return std::unexpected(std::move(*wrong));
  return std::move(raw.options);
}

}  // namespace ringside
