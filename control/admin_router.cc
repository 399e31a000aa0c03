// The table of admin endpoints, and what is checked before one of them is called.
#include <fmt/format.h>
#include <strings.h>

#include <array>
#include <span>

#include "control/admin_handlers.h"

namespace ringside {

namespace {

using Handler = AdminReply (*)(AdminContext&, const AdminRequest&);
enum class Method : uint8_t { any, post };  // post: it changes something

struct Parameter {
  const char* name;
  const char* help;
};

struct Endpoint {
  std::string_view path;
  Method method;
  Handler handler;
  const char* help;
  std::span<const Parameter> parameters = {};
};

constexpr Parameter clusters_parameters[] = {{"filter", "RE2 that a cluster's name must match"},
                                             {"format", "text or json"}};
constexpr Parameter listeners_parameters[] = {{"format", "text or json"}};
constexpr Parameter drain_parameters[] = {
    {"graceful", "connections are told to close; the sockets close when the drain time is over"},
    {"skip_exit", "connections are told to close; the sockets stay open"},
    {"inboundonly", "only listeners of inbound traffic"}};
constexpr Parameter logging_parameters[] = {
    {"level", "for all loggers: trace, debug, info, warning, error, critical, off"},
    {"paths", "for some loggers: name:level,name:level"},
    {"group", "for a group: name:level"}};
constexpr Parameter stats_parameters[] = {{"usedonly", "only what was ever touched"},
                                          {"filter", "RE2 that a name must match"},
                                          {"invert_filter", "RE2 that a name must not match: turns `filter` around"},
                                          {"format", "text, json, prometheus, html or active-html"},
                                          {"type", "All, Counters, Gauges, Histograms or TextReadouts"},
                                          {"histogram_buckets", "cumulative, disjoint, detailed or summary"}};
constexpr Parameter prometheus_parameters[] = {{"usedonly", "only what was ever touched"},
                                               {"filter", "RE2 that a name must match"},
                                               {"invert_filter", "turns `filter` around"},
                                               {"histogram_buckets", "cumulative or summary"}};

// Sorted, because they are shown so.
constexpr Endpoint endpoints[] = {
    {"/", Method::any, admin_home, "this table as a page"},
    {"/allocprofiler", Method::post, admin_unavailable, "not available: use perf or heaptrack"},
    {"/certs", Method::any, admin_certs, "certificates in use"},
    {"/clusters", Method::any, admin_clusters, "clusters and their hosts", clusters_parameters},
    {"/config_dump", Method::any, admin_unavailable, "not available in this version"},
    {"/contention", Method::any, admin_unavailable, "not available: workers share no locks"},
    {"/cpuprofiler", Method::post, admin_unavailable, "not available: use perf"},
    {"/drain_listeners", Method::post, admin_drain_listeners, "let connections end and accept no more",
     drain_parameters},
    {"/healthcheck/fail", Method::post, admin_healthcheck_fail, "answer health checks with a failure"},
    {"/healthcheck/ok", Method::post, admin_healthcheck_ok, "answer health checks well again"},
    {"/heap_dump", Method::any, admin_unavailable, "not available: use heaptrack"},
    {"/heapprofiler", Method::post, admin_unavailable, "not available: use heaptrack"},
    {"/help", Method::any, admin_help, "this table as text"},
    {"/hot_restart_version", Method::any, admin_hot_restart_version, "version of hot restart, which is disabled"},
    {"/init_dump", Method::any, admin_init_dump, "what the start still waits for"},
    {"/listeners", Method::any, admin_listeners, "listeners and their addresses", listeners_parameters},
    {"/logging", Method::post, admin_logging, "show and change levels of the log", logging_parameters},
    {"/memory", Method::any, admin_memory, "memory of the process"},
    {"/peak_heap_dump", Method::any, admin_unavailable, "not available: use heaptrack"},
    {"/quitquitquit", Method::post, admin_quit, "end the program"},
    {"/ready", Method::any, admin_ready, "state: 200 when LIVE, else 503"},
    {"/reopen_logs", Method::post, admin_reopen_logs, "reopen access logs"},
    {"/reset_counters", Method::post, admin_reset_counters, "all counters begin at zero again"},
    {"/runtime", Method::any, admin_runtime, "runtime values"},
    {"/runtime_modify", Method::post, admin_runtime_modify, "not available: there is no runtime layer to modify"},
    {"/server_info", Method::any, admin_server_info, "version, state, command line and node"},
    {"/stats", Method::any, admin_stats, "statistics", stats_parameters},
    {"/stats/prometheus", Method::any, admin_stats_prometheus, "statistics for Prometheus", prometheus_parameters},
    {"/stats/recentlookups", Method::any, admin_unavailable, "not available: names are not looked up"},
};

const Endpoint* find_endpoint(std::string_view path) {
  for (const Endpoint& endpoint : endpoints)
    if (endpoint.path == path) return &endpoint;
  return nullptr;
}

std::string commands() {
  std::string out = "admin commands are:\n";
  for (const Endpoint& endpoint : endpoints) {
    out += fmt::format("  {}{}: {}\n", endpoint.path, endpoint.method == Method::post ? " (POST)" : "", endpoint.help);
    for (const Parameter& parameter : endpoint.parameters)
      out += fmt::format("      {}: {}\n", parameter.name, parameter.help);
  }
  return out;
}

// --- Who asks ------------------------------------------------------------------------------------------------------------------

std::string_view without_port(std::string_view authority) {
  if (authority.starts_with('[')) return authority.substr(0, authority.find(']') + 1);
  return authority.substr(0, authority.rfind(':'));
}

bool same_text(std::string_view a, std::string_view b) {
  return a.size() == b.size() && strncasecmp(a.data(), b.data(), a.size()) == 0;
}

// A browser tells where a request comes from. What changes something is for our own page only, and only under a name that no
// foreign site can point at this address: a literal or localhost. Tools such as curl send neither field.
bool from_another_site(const AdminRequest& request) {
  const std::string_view site = request.sec_fetch_site;
  if (!site.empty() && site != "same-origin" && site != "none") return true;
  if (request.origin.empty()) return false;
  const size_t scheme_end = request.origin.find("://");
  if (scheme_end == std::string::npos) return true;  // "null"
  if (!same_text(std::string_view(request.origin).substr(scheme_end + 3), request.host)) return true;
  const std::string_view name = without_port(request.host);
  return !Address::from_ip(name, 0) && !same_text(name, "localhost");
}

}  // namespace

AdminReply answer_admin_request(AdminContext& context, const AdminRequest& request) {
  const Endpoint* endpoint = find_endpoint(request.path);
  if (endpoint == nullptr) return {.status = 404, .body = "invalid path. " + commands()};
  if (endpoint->method == Method::post) {
    if (request.method != "POST")
      return {.status = 405, .body = fmt::format("Method {} not allowed, POST required.", request.method)};
    if (from_another_site(request))
      return {.status = 403, .body = "This command is refused to pages of other sites.\n"};
  }
  return endpoint->handler(context, request);
}

AdminReply admin_help(AdminContext&, const AdminRequest&) { return {.body = commands()}; }

// Every text in it is one of ours, so nothing needs escaping.
AdminReply admin_home(AdminContext& context, const AdminRequest&) {
  std::string out =
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>Ringside admin</title>\n<style>\n"
      "body { font: 16px sans-serif; margin: 2em; }\ntd { padding: 4px 16px 4px 0; vertical-align: top; }\n"
      "tr:nth-child(odd) { background: #eee; }\nform { margin: 0; }\n</style>\n</head>\n<body>\n"
      "<h1>Ringside " RINGSIDE_VERSION "</h1>\n";
  out +=
      fmt::format("<p>{} workers on {}</p>\n<table>\n", context.port.options().concurrency, context.port.ring_name());
  for (const Endpoint& endpoint : endpoints) {
    if (endpoint.path == "/" || endpoint.handler == admin_unavailable) continue;
    const std::string_view name = endpoint.path.substr(1);
    // Relative, so that the page also works behind a proxy that adds a prefix.
    if (endpoint.method == Method::post)
      out += fmt::format(
          "<tr><td><form action=\"{0}\" method=\"post\"><button>{0}</button></form></td><td>{1}</td></tr>\n", name,
          endpoint.help);
    else
      out += fmt::format("<tr><td><a href=\"{0}\">{0}</a></td><td>{1}</td></tr>\n", name, endpoint.help);
  }
  return {.content_type = admin_html, .body = out + "</table>\n</body>\n</html>\n"};
}

}  // namespace ringside
