#include "core/log.h"

#ifndef SPDLOG_HEADER_ONLY
#define SPDLOG_HEADER_ONLY
#endif
#ifndef SPDLOG_FMT_EXTERNAL
#define SPDLOG_FMT_EXTERNAL
#endif
#include <poll.h>
#include <spdlog/details/log_msg.h>
#include <spdlog/pattern_formatter.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/limits.h"

namespace ringside {

namespace {

using std::string_view_literals::operator""sv;

constexpr std::array level_names = {"trace"sv, "debug"sv, "info"sv, "warning"sv, "error"sv, "critical"sv, "off"sv};
constexpr std::array component_names = {"main"sv,         "config"sv, "upstream"sv, "http"sv,   "connection"sv,
                                        "conn_handler"sv, "pool"sv,   "admin"sv,    "router"sv, "dns"sv,
                                        "file"sv,         "stats"sv,  "ring"sv};
static_assert(component_names.size() == static_cast<size_t>(LogComponent::count_));

// Loggers of Envoy 1.40 without a counterpart: deployments name them on the command line (Istio passes misc:error).
constexpr std::array foreign_components = {"a2a"sv,
                                           "ai_protocol_manager"sv,
                                           "alternate_protocols_cache"sv,
                                           "assert"sv,
                                           "aws"sv,
                                           "backtrace"sv,
                                           "basic_auth"sv,
                                           "cache_filter"sv,
                                           "client"sv,
                                           "compression"sv,
                                           "credential_injector"sv,
                                           "decompression"sv,
                                           "dubbo"sv,
                                           "dynamic_modules"sv,
                                           "envoy_bug"sv,
                                           "ext_authz"sv,
                                           "ext_proc"sv,
                                           "filter"sv,
                                           "forward_proxy"sv,
                                           "geolocation"sv,
                                           "golang"sv,
                                           "grpc"sv,
                                           "happy_eyeballs"sv,
                                           "hc"sv,
                                           "health_checker"sv,
                                           "http2"sv,
                                           "hystrix"sv,
                                           "init"sv,
                                           "io"sv,
                                           "ip_tagging"sv,
                                           "json_rpc"sv,
                                           "jwt"sv,
                                           "kafka"sv,
                                           "key_value_store"sv,
                                           "local_rate_limit"sv,
                                           "lua"sv,
                                           "matcher"sv,
                                           "mcp"sv,
                                           "misc"sv,
                                           "mongo"sv,
                                           "multi_connection"sv,
                                           "notification"sv,
                                           "oauth2"sv,
                                           "quic"sv,
                                           "quic_stream"sv,
                                           "rate_limit_quota"sv,
                                           "rbac"sv,
                                           "rds"sv,
                                           "redis"sv,
                                           "rocketmq"sv,
                                           "runtime"sv,
                                           "secret"sv,
                                           "sse"sv,
                                           "stats_sinks"sv,
                                           "tap"sv,
                                           "testing"sv,
                                           "thrift"sv,
                                           "tracing"sv,
                                           "udp"sv,
                                           "wasm"sv,
                                           "websocket"sv};

// Appends `text` with control characters, and for JSON quotes and backslashes, escaped.
void append_escaped(std::string_view text, bool json, spdlog::memory_buf_t& out) {
  constexpr std::string_view digits = "0123456789abcdef";
  const auto append = [&out](std::string_view piece) { out.append(piece.data(), piece.data() + piece.size()); };
  for (const char character : text) {
    const auto byte = static_cast<unsigned char>(character);
    if (character == '\n') {
      append("\\n");
    } else if (!json) {
      out.push_back(character);
    } else if (character == '"' || character == '\\') {
      out.push_back('\\');
      out.push_back(character);
    } else if (character == '\t') {
      append("\\t");
    } else if (character == '\r') {
      append("\\r");
    } else if (byte < 0x20) {
      append("\\u00");
      out.push_back(digits[byte >> 4]);
      out.push_back(digits[byte & 15]);
    } else {
      out.push_back(character);
    }
  }
}

template <bool json>
class EscapedMessageFlag final : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&, spdlog::memory_buf_t& out) override {
    append_escaped({message.payload.data(), message.payload.size()}, json, out);
  }
  std::unique_ptr<custom_flag_formatter> clone() const override { return std::make_unique<EscapedMessageFlag>(); }
};

std::unique_ptr<spdlog::pattern_formatter> make_formatter(std::string_view pattern) {
  auto formatter = std::make_unique<spdlog::pattern_formatter>();
  formatter->add_flag<EscapedMessageFlag<true>>('j').add_flag<EscapedMessageFlag<false>>('_');
  formatter->set_pattern(std::string(pattern));
  return formatter;
}

// Never destroyed: a thread may log until the process has ended.
struct Output {
  std::mutex mutex;  // formatter: it caches the time
  std::unique_ptr<spdlog::pattern_formatter> formatter = make_formatter(log_format_default);
  std::atomic<int> fd{STDERR_FILENO};
  std::atomic<uint64_t> suppressed{0};
  std::atomic<LogSite*> cut_sites{nullptr};
};
Output& output() {
  static Output* instance = new Output;
  return *instance;
}

// "core/log.cc" of whatever path the build used: this file knows how long the part before is.
const char* short_path(const char* file) {
  constexpr std::string_view here = __FILE__;
  constexpr std::string_view tail = "core/log.cc";
  static_assert(here.ends_with(tail));
  constexpr std::string_view root = here.substr(0, here.size() - tail.size());
  return std::string_view(file).starts_with(root) ? file + root.size() : file;
}

uint64_t monotonic_ms() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(now).count());
}

// A pipe that says POLLOUT takes a line of up to 4 KB without blocking; a longer one may wait for its reader.
bool writable(int fd) {
  pollfd poll_fd{.fd = fd, .events = POLLOUT, .revents = 0};
  return poll(&poll_fd, 1, 0) == 1 && (poll_fd.revents & POLLOUT) != 0;
}

void write_all(int fd, const char* bytes, size_t size) {
  while (size > 0) {
    const ssize_t written = ::write(fd, bytes, size);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;  // nobody left to tell
    bytes += written;
    size -= static_cast<size_t>(written);
  }
}

void emit(const LogSite& site, std::string_view text) {
  Output& out = output();
  spdlog::memory_buf_t line;
  const std::string_view name = log_component_name(site.component);
  const spdlog::details::log_msg message(spdlog::source_loc{short_path(site.file), static_cast<int>(site.line), ""},
                                         {name.data(), name.size()}, static_cast<spdlog::level::level_enum>(site.level),
                                         {text.data(), text.size()});
  {
    const std::lock_guard lock(out.mutex);
    out.formatter->format(message, line);
  }
  const int fd = out.fd.load(std::memory_order_relaxed);
  if (site.level != LogLevel::critical && !writable(fd)) {
    out.suppressed.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  write_all(fd, line.data(), line.size());
}

void emit_missed(const LogSite& site, uint32_t missed) {
  emit(site, fmt::format("{} more lines from here were not written", missed));
}

// Remembers a site for log_flush_suppressed().
void list_site(LogSite& site) {
  if (site.listed.exchange(true, std::memory_order_relaxed)) return;
  std::atomic<LogSite*>& head = output().cut_sites;
  LogSite* first = head.load(std::memory_order_relaxed);
  do {
    site.next = first;
  } while (!head.compare_exchange_weak(first, &site, std::memory_order_release, std::memory_order_relaxed));
}

}  // namespace

// --- Names ---------------------------------------------------------------------------------------------------------------

std::string_view log_level_name(LogLevel level) { return level_names[static_cast<size_t>(level)]; }

std::optional<LogLevel> log_level_from(std::string_view name) {
  if (name == "warn") return LogLevel::warning;
  const auto* found = std::ranges::find(level_names, name);
  if (found == level_names.end()) return std::nullopt;
  return static_cast<LogLevel>(found - level_names.begin());
}

std::string_view log_component_name(LogComponent component) { return component_names[static_cast<size_t>(component)]; }

std::optional<LogComponent> log_component_from(std::string_view name) {
  const auto* found = std::ranges::find(component_names, name);
  if (found == component_names.end()) return std::nullopt;
  return static_cast<LogComponent>(found - component_names.begin());
}

// --- Settings ------------------------------------------------------------------------------------------------------------

void log_set_level(LogLevel level) {
  for (auto& entry : log_detail::levels) entry.store(level, std::memory_order_relaxed);
}

void log_set_level(LogComponent component, LogLevel level) {
  log_detail::levels[static_cast<size_t>(component)].store(level, std::memory_order_relaxed);
}

LogLevel log_level(LogComponent component) {
  return log_detail::levels[static_cast<size_t>(component)].load(std::memory_order_relaxed);
}

std::expected<void, std::string> log_set_component_levels(std::string_view list) {
  std::vector<std::pair<LogComponent, LogLevel>> changes;
  for (size_t at = 0; at <= list.size();) {
    const size_t comma = std::min(list.find(',', at), list.size());
    const std::string_view part = list.substr(at, comma - at);
    at = comma + 1;
    const size_t colon = part.find(':');
    if (colon == std::string_view::npos || part.find(':', colon + 1) != std::string_view::npos)
      return std::unexpected(fmt::format("error: component log level not correctly specified '{}'", part));
    const std::string_view name = part.substr(0, colon);
    const auto level = log_level_from(part.substr(colon + 1));
    if (!level) return std::unexpected(fmt::format("error: invalid log level specified '{}'", part.substr(colon + 1)));
    const auto component = log_component_from(name);
    if (component)
      changes.emplace_back(*component, *level);
    else if (std::ranges::find(foreign_components, name) == foreign_components.end())
      return std::unexpected(fmt::format("error: invalid component specified '{}'", name));
  }
  for (const auto& [component, level] : changes) log_set_level(component, level);
  return {};
}

void log_set_format(std::string_view pattern) {
  auto formatter = make_formatter(pattern);
  const std::lock_guard lock(output().mutex);
  output().formatter = std::move(formatter);
}

void log_set_fd(int fd) { output().fd.store(fd, std::memory_order_relaxed); }

uint64_t log_lines_suppressed() { return output().suppressed.load(std::memory_order_relaxed); }

void log_flush_suppressed() {
  const uint64_t now_ms = monotonic_ms();
  for (LogSite* site = output().cut_sites.load(std::memory_order_acquire); site != nullptr; site = site->next) {
    const uint32_t missed = site->limiter.take_missed(now_ms);
    if (missed != 0) emit_missed(*site, missed);
  }
}

// --- Writing -------------------------------------------------------------------------------------------------------------

bool LogLimiter::admit(uint64_t now_ms, uint32_t* missed) {
  const uint64_t second = now_ms / 1000;
  *missed = 0;
  uint64_t current = second_.load(std::memory_order_relaxed);
  if (current != second && second_.compare_exchange_strong(current, second, std::memory_order_relaxed)) {
    written_.store(0, std::memory_order_relaxed);
    *missed = missed_.exchange(0, std::memory_order_relaxed);
  }
  if (written_.fetch_add(1, std::memory_order_relaxed) < limits::log_lines_per_second_max) return true;
  missed_.fetch_add(1, std::memory_order_relaxed);
  return false;
}

uint32_t LogLimiter::take_missed(uint64_t now_ms) {
  if (second_.load(std::memory_order_relaxed) == now_ms / 1000) return 0;
  return missed_.exchange(0, std::memory_order_relaxed);
}

namespace log_detail {

constinit std::array<std::atomic<LogLevel>, static_cast<size_t>(LogComponent::count_)> levels = {
    LogLevel::info, LogLevel::info, LogLevel::info, LogLevel::info, LogLevel::info, LogLevel::info, LogLevel::info,
    LogLevel::info, LogLevel::info, LogLevel::info, LogLevel::info, LogLevel::info, LogLevel::info};

void write(LogSite& site, fmt::string_view format, fmt::format_args arguments) {
  if (site.rate == LogRate::limited) {
    uint32_t missed = 0;
    if (!site.limiter.admit(monotonic_ms(), &missed)) {
      output().suppressed.fetch_add(1, std::memory_order_relaxed);
      return list_site(site);
    }
    if (missed != 0) emit_missed(site, missed);
  }
  fmt::memory_buffer text;
  fmt::vformat_to(fmt::appender(text), format, arguments);
  emit(site, {text.data(), text.size()});
}

}  // namespace log_detail

}  // namespace ringside
