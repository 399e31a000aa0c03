#include <fmt/format.h>
#include <re2/re2.h>

#include <array>

#include "control/admin_handlers.h"
#include "control/admin_json.h"
#include "control/admin_query.h"

namespace ringside {

namespace {

// --- Clusters as text --------------------------------------------------------------------------------------------------------

void append_thresholds(std::string& out, const std::string& cluster, std::string_view priority,
                       const ThresholdsSpec& limits) {
  const std::pair<std::string_view, uint32_t> lines[] = {{"max_connections", limits.connections_max},
                                                         {"max_pending_requests", limits.pending_max},
                                                         {"max_requests", limits.requests_max},
                                                         {"max_retries", limits.retries_max}};
  for (const auto& [name, value] : lines)
    out += fmt::format("{}::{}_priority::{}::{}\n", cluster, priority, name, value);
}

// "/failed_active_hc/active_hc_timeout"
std::string flags_text(HealthFlags flags) {
  std::string text;
  for (size_t at = 0; at < health_flag_names.size(); ++at)
    if (flags.has(static_cast<HealthFlag>(at))) (text += '/') += health_flag_names[at];
  return text.empty() ? "healthy" : text;
}

void append_host(std::string& out, const std::string& cluster, const HostStatus& host) {
  const std::string start = fmt::format("{}::{}::", cluster, host.address.text());
  const std::pair<std::string_view, uint64_t> numbers[] = {
      {"cx_active", host.cx_active},   {"cx_connect_fail", host.cx_connect_fail},
      {"cx_total", host.cx_total},     {"rq_active", host.rq_active},
      {"rq_error", host.rq_error},     {"rq_pending_active", 0},
      {"rq_success", host.rq_success}, {"rq_timeout", host.rq_timeout},
      {"rq_total", host.rq_total}};
  for (const auto& [name, value] : numbers) out += fmt::format("{}{}::{}\n", start, name, value);
  out += fmt::format("{}hostname::{}\n", start, host.hostname);
  // Localities and outlier detection come with a later version: their values of a host without them.
  out += fmt::format("{0}health_flags::{1}\n{0}weight::{2}\n", start, flags_text(host.health), host.weight);
  out += fmt::format("{0}region::\n{0}zone::\n{0}sub_zone::\n{0}canary::false\n{0}priority::0\n", start);
  out += fmt::format("{0}success_rate::-1\n{0}local_origin_success_rate::-1\n", start);
}

void append_cluster(std::string& out, const ClusterStatus& cluster) {
  out += fmt::format("{}::observability_name::{}\n", cluster.name,
                     cluster.observability_name.empty() ? cluster.name : cluster.observability_name);
  append_thresholds(out, cluster.name, "default", cluster.thresholds);
  append_thresholds(out, cluster.name, "high", cluster.thresholds_high);
  out += fmt::format("{}::added_via_api::{}\n", cluster.name, cluster.added_via_api);
  for (const HostStatus& host : cluster.hosts) append_host(out, cluster.name, host);
}

// --- Clusters as JSON: admin.v3.Clusters ---------------------------------------------------------------------------------------

void write_address(JsonWriter& json, const Address& address) {
  json.begin_object();
  if (address.is_ip()) {
    json.key("socket_address").begin_object();
    json.key("address").text(address.ip_text());
    if (address.port() != 0) json.key("port_value").number(address.port());
  } else {
    json.key("pipe").begin_object();
    json.key("path").text(address.text());
  }
  json.end_object().end_object();
}

void write_stat(JsonWriter& json, std::string_view name, uint64_t value, std::string_view type) {
  json.begin_object();
  if (!type.empty()) json.key("type").text(type);
  if (value != 0) json.key("value").number_text(value);
  json.key("name").text(name);
  json.end_object();
}

void write_health(JsonWriter& json, HealthFlags flags) {
  constexpr std::pair<HealthFlag, std::string_view> shown[] = {
      {HealthFlag::failed_active_hc, "failed_active_health_check"},
      {HealthFlag::degraded_active_hc, "failed_active_degraded_check"},
      {HealthFlag::pending_dynamic_removal, "pending_dynamic_removal"},
      {HealthFlag::pending_active_hc, "pending_active_hc"},
      {HealthFlag::active_hc_timeout, "active_hc_timeout"}};
  json.begin_object();
  for (const auto& [flag, name] : shown)
    if (flags.has(flag)) json.key(name).boolean(true);
  std::string_view configured = "HEALTHY";
  if (flags.has(HealthFlag::degraded_eds_health)) configured = "DEGRADED";
  if (flags.has(HealthFlag::eds_status_draining)) configured = "DRAINING";
  if (flags.has(HealthFlag::failed_eds_health)) configured = "UNHEALTHY";
  json.key("eds_health_status").text(configured);
  json.end_object();
}

void write_host(JsonWriter& json, const HostStatus& host) {
  json.begin_object();
  json.key("address");
  write_address(json, host.address);
  json.key("stats").begin_array();
  write_stat(json, "cx_connect_fail", host.cx_connect_fail, "");
  write_stat(json, "cx_total", host.cx_total, "");
  write_stat(json, "rq_error", host.rq_error, "");
  write_stat(json, "rq_success", host.rq_success, "");
  write_stat(json, "rq_timeout", host.rq_timeout, "");
  write_stat(json, "rq_total", host.rq_total, "");
  write_stat(json, "cx_active", host.cx_active, "GAUGE");
  write_stat(json, "rq_active", host.rq_active, "GAUGE");
  write_stat(json, "rq_pending_active", 0, "GAUGE");
  json.end_array();
  json.key("health_status");
  write_health(json, host.health);
  json.key("weight").number(host.weight);
  if (!host.hostname.empty()) json.key("hostname").text(host.hostname);
  json.key("locality").begin_object().end_object();
  json.end_object();
}

void write_thresholds(JsonWriter& json, std::string_view priority, const ThresholdsSpec& limits) {
  json.begin_object();
  if (!priority.empty()) json.key("priority").text(priority);
  json.key("max_connections").number(limits.connections_max);
  json.key("max_pending_requests").number(limits.pending_max);
  json.key("max_requests").number(limits.requests_max);
  json.key("max_retries").number(limits.retries_max);
  json.end_object();
}

void write_cluster(JsonWriter& json, const ClusterStatus& cluster) {
  json.begin_object();
  json.key("name").text(cluster.name);
  if (cluster.added_via_api) json.key("added_via_api").boolean(true);
  if (!cluster.hosts.empty()) {
    json.key("host_statuses").begin_array();
    for (const HostStatus& host : cluster.hosts) write_host(json, host);
    json.end_array();
  }
  json.key("circuit_breakers").begin_object().key("thresholds").begin_array();
  write_thresholds(json, "", cluster.thresholds);
  write_thresholds(json, "HIGH", cluster.thresholds_high);
  json.end_array().end_object();
  json.key("observability_name").text(cluster.observability_name.empty() ? cluster.name : cluster.observability_name);
  json.end_object();
}

// --- Pages: one cluster after the other ------------------------------------------------------------------------------------------

class ClustersTextPage final : public AdminPage {
 public:
  explicit ClustersTextPage(std::vector<ClusterStatus> clusters) : clusters_(std::move(clusters)) {}
  bool render(std::string& out, size_t bytes) override {
    const size_t enough = out.size() + bytes;
    while (next_ < clusters_.size() && out.size() < enough) append_cluster(out, clusters_[next_++]);
    return next_ < clusters_.size();
  }

 private:
  std::vector<ClusterStatus> clusters_;
  size_t next_ = 0;
};

class ClustersJsonPage final : public AdminPage {
 public:
  explicit ClustersJsonPage(std::vector<ClusterStatus> clusters) : clusters_(std::move(clusters)) {
    json_.begin_object();
    if (!clusters_.empty()) json_.key("cluster_statuses").begin_array();
  }
  bool render(std::string& out, size_t bytes) override {
    while (next_ < clusters_.size() && json_.size() < bytes) write_cluster(json_, clusters_[next_++]);
    const bool more = next_ < clusters_.size();
    if (!more && !clusters_.empty()) json_.end_array();
    if (!more) json_.end_object();
    out += json_.take();
    return more;
  }

 private:
  std::vector<ClusterStatus> clusters_;
  JsonWriter json_;
  size_t next_ = 0;
};

}  // namespace

AdminReply admin_clusters(AdminContext& context, const AdminRequest& request) {
  const AdminQuery query(request.query);
  std::vector<ClusterStatus> clusters = context.port.clusters();
  if (const std::optional<std::string> filter = query.find("filter"); filter && !filter->empty()) {
    const re2::RE2 regex(*filter, re2::RE2::Quiet);
    if (!regex.ok()) return {.status = 400, .body = "Invalid re2 regex"};
    std::erase_if(clusters, [&](const ClusterStatus& cluster) { return !re2::RE2::PartialMatch(cluster.name, regex); });
  }
  if (query.find("format") == "json")
    return {.content_type = admin_json, .page = std::make_unique<ClustersJsonPage>(std::move(clusters))};
  return {.page = std::make_unique<ClustersTextPage>(std::move(clusters))};
}

AdminReply admin_listeners(AdminContext& context, const AdminRequest& request) {
  const std::vector<ListenerStatus> listeners = context.port.listeners();
  if (AdminQuery(request.query).find("format") != "json") {
    AdminReply reply;
    for (const ListenerStatus& listener : listeners)
      reply.body += fmt::format("{}::{}\n", listener.name, listener.address.text());
    return reply;
  }
  JsonWriter json;
  json.begin_object();
  if (!listeners.empty()) {
    json.key("listener_statuses").begin_array();
    for (const ListenerStatus& listener : listeners) {
      json.begin_object();
      json.key("name").text(listener.name);
      json.key("local_address");
      write_address(json, listener.address);
      json.end_object();
    }
    json.end_array();
  }
  json.end_object();
  return {.content_type = admin_json, .body = json.take()};
}

}  // namespace ringside
