#pragma once
// Leveled lines on stderr, in Envoy's format or a given one. A line of a level that is off costs one load and a branch. A call
// site that repeats itself is cut to a few lines per second, and a reader of stderr that does not keep up loses lines instead of
// stopping a worker; both are counted.
#include <fmt/core.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <expected>
#include <optional>
#include <source_location>
#include <string>
#include <string_view>

namespace ringside {

enum class LogLevel : uint8_t { trace, debug, info, warning, error, critical, off };
// "info"; nullopt for what is none of Envoy's names (trace debug info warning|warn error critical off).
std::string_view log_level_name(LogLevel level);
std::optional<LogLevel> log_level_from(std::string_view name);

// The parts of the program, by the names of Envoy's loggers where it has one; `ring` is ours.
enum class LogComponent : uint8_t {
  main,
  config,
  upstream,
  http,
  connection,
  conn_handler,
  pool,
  admin,
  router,
  dns,
  file,
  stats,
  ring,
  count_
};
std::string_view log_component_name(LogComponent component);
std::optional<LogComponent> log_component_from(std::string_view name);

inline constexpr std::string_view log_format_default = "[%Y-%m-%d %T.%e][%t][%l][%n] [%g:%#] %v";

// --- Settings; any thread -------------------------------------------------------------------------------------------------

void log_set_level(LogLevel level);
void log_set_level(LogComponent component, LogLevel level);
LogLevel log_level(LogComponent component);
// "upstream:debug,config:trace". Nothing is changed when a part is wrong; the error is the text that Envoy prints. A logger of
// Envoy that has no counterpart here is accepted and has no effect.
std::expected<void, std::string> log_set_component_levels(std::string_view list);
// An spdlog pattern, with %j for the message escaped for JSON and %_ for the message with its newlines escaped.
void log_set_format(std::string_view pattern);
// Where lines go; 2 at first. The caller owns `fd` and keeps it open until it has set another.
void log_set_fd(int fd);
// Lines that were not written, by either cause.
uint64_t log_lines_suppressed();
// Reports call sites that were cut and have been silent since; call it now and then.
void log_flush_suppressed();

// --- Writing: use the macros ----------------------------------------------------------------------------------------------

// Lets the first lines of every second pass. Any thread; the count may be off by a few when threads meet.
class LogLimiter {
 public:
  // False: do not write. True: write, and if `*missed` is not zero, first say how many lines were not written.
  bool admit(uint64_t now_ms, uint32_t* missed);
  // Takes the number of lines missed, once the second in which they were missed is over; else 0.
  uint32_t take_missed(uint64_t now_ms);

 private:
  std::atomic<uint64_t> second_{0};
  std::atomic<uint32_t> written_{0};
  std::atomic<uint32_t> missed_{0};
};

enum class LogRate : uint8_t { limited, unlimited };

// One per call site, with static storage.
struct LogSite {
  LogComponent component;
  LogLevel level;
  LogRate rate;
  const char* file;  // as the compiler knows it
  uint32_t line;
  LogLimiter limiter = {};
  std::atomic<bool> listed{false};
  LogSite* next = nullptr;  // list of the sites that were ever cut
};

namespace log_detail {

// Read on every thread for each line, written by the control thread: the one shared mutable state besides mailbox and stats.
extern std::array<std::atomic<LogLevel>, static_cast<size_t>(LogComponent::count_)> levels;

void write(LogSite& site, fmt::string_view format, fmt::format_args arguments);

template <class... Args>
[[gnu::cold, gnu::noinline]] void format(LogSite& site, fmt::format_string<Args...> text, Args&&... args) {
  write(site, text, fmt::make_format_args(args...));
}

}  // namespace log_detail

inline bool log_enabled(LogComponent component, LogLevel level) {
  return level >= log_detail::levels[static_cast<size_t>(component)].load(std::memory_order_relaxed);
}

}  // namespace ringside

#define RS_LOG_AT(component_, level_, rate_, ...)                                                                   \
  do {                                                                                                              \
    if (::ringside::log_enabled(::ringside::LogComponent::component_, ::ringside::LogLevel::level_)) [[unlikely]] { \
      static constinit ::ringside::LogSite rs_log_site{.component = ::ringside::LogComponent::component_,           \
                                                       .level = ::ringside::LogLevel::level_,                       \
                                                       .rate = ::ringside::LogRate::rate_,                          \
                                                       .file = __FILE__,                                            \
                                                       .line = __LINE__};                                           \
      ::ringside::log_detail::format(rs_log_site, __VA_ARGS__);                                                     \
    }                                                                                                               \
  } while (false)

// RS_LOG_INFO(upstream, "{} hosts", n). Who asks for trace and debug wants every line.
#define RS_LOG_TRACE(component, ...) RS_LOG_AT(component, trace, unlimited, __VA_ARGS__)
#define RS_LOG_DEBUG(component, ...) RS_LOG_AT(component, debug, unlimited, __VA_ARGS__)
#define RS_LOG_INFO(component, ...) RS_LOG_AT(component, info, limited, __VA_ARGS__)
#define RS_LOG_WARN(component, ...) RS_LOG_AT(component, warning, limited, __VA_ARGS__)
#define RS_LOG_ERROR(component, ...) RS_LOG_AT(component, error, limited, __VA_ARGS__)
// The last words of a process: never cut, and waits for a slow reader.
#define RS_LOG_CRITICAL(component, ...) RS_LOG_AT(component, critical, unlimited, __VA_ARGS__)
// For a loop of the control thread whose every line counts, such as a list of configuration errors.
#define RS_LOG_EVERY(component, level, ...) RS_LOG_AT(component, level, unlimited, __VA_ARGS__)
