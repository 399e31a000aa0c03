#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "control/admin_handlers.h"
#include "control/admin_query.h"
#include "core/log.h"

namespace ringside {

namespace {

AdminReply done() { return {.body = "OK\n"}; }

std::string active_loggers() {
  std::string out = "active loggers:\n";
  for (size_t index = 0; index < static_cast<size_t>(LogComponent::count_); ++index) {
    const auto component = static_cast<LogComponent>(index);
    out += fmt::format("  {}: {}\n", log_component_name(component), log_level_name(log_level(component)));
  }
  return out + "\n";
}

// An error's first line; empty when it was done. Names of Envoy's loggers that have no counterpart are accepted.
std::string set_level(const std::string& logger, const std::string& level) {
  if (!log_level_from(level)) return "error: unknown logger level";
  if (!log_set_component_levels(logger + ":" + level)) return "error: unknown logger name";
  return {};
}

// "a:debug,b:info"
std::string set_levels(std::string_view list) {
  for (size_t at = 0; at <= list.size();) {
    const size_t end = std::min(list.find(',', at), list.size());
    const std::string part(list.substr(at, end - at));
    at = end + 1;
    const size_t colon = part.find(':');
    if (colon == std::string::npos) return "error: unknown logger level";
    if (std::string error = set_level(part.substr(0, colon), part.substr(colon + 1)); !error.empty()) return error;
  }
  return {};
}

std::string change_loggers(const AdminQuery& query) {
  if (query.all().empty()) return {};
  if (const std::optional<std::string> paths = query.find("paths"); paths && !paths->empty()) return set_levels(*paths);
  if (const std::optional<std::string> group = query.find("group"); group && !group->empty()) return set_levels(*group);
  if (const std::optional<std::string> level = query.find("level"); level && !level->empty()) {
    const std::optional<LogLevel> known = log_level_from(*level);
    if (!known) return "error: unknown logger level";
    log_set_level(*known);
    return {};
  }
  if (query.all().size() > 1) return "error: invalid argument";
  const auto& [logger, level] = query.all().front();
  return set_level(logger, level);
}

}  // namespace

AdminReply admin_quit(AdminContext&, const AdminRequest&) { return {.body = "OK\n", .shut_down_after = true}; }

AdminReply admin_drain_listeners(AdminContext& context, const AdminRequest& request) {
  const AdminQuery query(request.query);
  context.port.drain_listeners({.inbound_only = query.has("inboundonly"),
                                .graceful = query.has("graceful"),
                                .skip_exit = query.has("skip_exit")});
  return done();
}

AdminReply admin_healthcheck_fail(AdminContext& context, const AdminRequest&) {
  context.port.set_healthy(false);
  return done();
}

AdminReply admin_healthcheck_ok(AdminContext& context, const AdminRequest&) {
  context.port.set_healthy(true);
  return done();
}

AdminReply admin_reopen_logs(AdminContext& context, const AdminRequest&) {
  context.port.reopen_logs();
  return done();
}

AdminReply admin_reset_counters(AdminContext& context, const AdminRequest&) {
  context.registry.reset_counters();
  return done();
}

AdminReply admin_runtime_modify(AdminContext&, const AdminRequest&) {
  return {.status = 503, .body = "No admin layer specified"};
}

AdminReply admin_logging(AdminContext&, const AdminRequest& request) {
  const std::string error = change_loggers(AdminQuery(request.query));
  if (error.empty()) return {.body = active_loggers()};
  return {.status = 400,
          .body = error +
                  "\n\n"
                  "usage: /logging?<name>=<level> (one logger)\n"
                  "usage: /logging?paths=name1:level1,name2:level2,... (several)\n"
                  "usage: /logging?level=<level> (all)\n"
                  "levels: trace debug info warning error critical off \n" +
                  active_loggers()};
}

}  // namespace ringside
