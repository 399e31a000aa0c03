#include <fmt/format.h>

#include <cstdio>

#include "control/admin_handlers.h"
#include "control/admin_json.h"
#include "control/server_gauges.h"

namespace ringside {

namespace {

std::string_view state_name(ServerState state) {
  switch (state) {
    case ServerState::live: return "LIVE";
    case ServerState::draining: return "DRAINING";
    case ServerState::pre_initializing: return "PRE_INITIALIZING";
    case ServerState::initializing: return "INITIALIZING";
  }
  return "";
}

// "600s", "0.200s": a Duration in protobuf's JSON.
std::string duration_text(Duration duration) {
  const auto whole = duration / seconds(1);
  const auto rest = (duration - seconds(whole)) / nanoseconds(1);
  if (rest == 0) return fmt::format("{}s", whole);
  if (rest % 1'000'000 == 0) return fmt::format("{}.{:03}s", whole, rest / 1'000'000);
  return fmt::format("{}.{:09}s", whole, rest);
}

void write_options(JsonWriter& json, const Options& options) {
  json.key("command_line_options").begin_object();
  json.key("base_id").number_text(options.base_id);
  json.key("concurrency").number(options.concurrency);
  json.key("config_path").text(options.config_path);
  json.key("config_yaml").text(options.config_yaml);
  json.key("allow_unknown_static_fields").boolean(options.allow_unknown_static_fields);
  json.key("admin_address_path").text(options.admin_address_path);
  json.key("local_address_ip_version").text(options.local_address_ip_version == IpVersion::v4 ? "v4" : "v6");
  json.key("log_level").text(options.log_level);
  json.key("component_log_level").text(options.component_log_level);
  json.key("log_format").text(options.log_format);
  json.key("log_path").text(options.log_path);
  json.key("service_cluster").text(options.service_cluster);
  json.key("service_node").text(options.service_node);
  json.key("service_zone").text(options.service_zone);
  json.key("file_flush_interval").text(duration_text(options.file_flush_interval));
  json.key("drain_time").text(duration_text(options.drain_time));
  json.key("parent_shutdown_time").text(duration_text(options.parent_shutdown_time));
  json.key("mode").text(options.mode == RunMode::serve ? "Serve" : "Validate");
  json.key("disable_hot_restart").boolean(options.disable_hot_restart);
  json.key("enable_mutex_tracing").boolean(options.enable_mutex_tracing);
  json.key("restart_epoch").number(options.restart_epoch);
  json.key("cpuset_threads").boolean(options.cpuset_threads);
  json.key("reject_unknown_dynamic_fields").boolean(options.reject_unknown_dynamic_fields);
  json.key("log_format_escaped").boolean(options.log_format_escaped);
  json.key("disabled_extensions").begin_array();
  for (const std::string& name : options.disabled_extensions) json.text(name);
  json.end_array();
  json.key("ignore_unknown_dynamic_fields").boolean(options.ignore_unknown_dynamic_fields);
  json.key("use_dynamic_base_id").boolean(options.use_dynamic_base_id);
  json.key("base_id_path").text(options.base_id_path);
  json.key("drain_strategy").text(options.drain_strategy == DrainStrategy::gradual ? "Gradual" : "Immediate");
  json.key("enable_fine_grain_logging").boolean(options.enable_fine_grain_logging);
  json.key("socket_path").text(options.socket_path);
  json.key("socket_mode").number(options.socket_mode);
  json.key("enable_core_dump").boolean(options.enable_core_dump);
  json.key("stats_tag").begin_array();
  for (const auto& [name, value] : options.stats_tags) json.text(name + ":" + value);
  json.end_array();
  json.key("skip_hot_restart_on_no_parent").boolean(options.skip_hot_restart_on_no_parent);
  json.key("skip_hot_restart_parent_stats").boolean(options.skip_hot_restart_parent_stats);
  json.key("skip_deprecated_logs").boolean(options.skip_deprecated_logs);
  json.key("file_flush_min_size").number(options.file_flush_min_size_kb);
  json.key("log_stacktrace_single_entry").boolean(options.log_stacktrace_single_entry);
  json.end_object();
}

void write_version(JsonWriter& json) {
  unsigned major = 0, minor = 0, patch = 0;
  static_cast<void>(std::sscanf(RINGSIDE_VERSION, "%u.%u.%u", &major, &minor, &patch));
  json.key("user_agent_build_version").begin_object();
  json.key("version").begin_object();
  json.key("major_number").number(major).key("minor_number").number(minor).key("patch").number(patch);
  json.end_object();
  json.key("metadata").begin_object();
  json.key("build.type").text("RELEASE").key("ssl.version").text("OpenSSL");
  json.end_object();
  json.end_object();
}

struct ExtensionName {
  const char* name;
  const char* category;
  const char* type;
};
constexpr ExtensionName extensions[] = {
    {"envoy.access_loggers.file", "envoy.access_loggers", "envoy.extensions.access_loggers.file.v3.FileAccessLog"},
    {"envoy.access_loggers.stderr", "envoy.access_loggers",
     "envoy.extensions.access_loggers.stream.v3.StderrAccessLog"},
    {"envoy.access_loggers.stdout", "envoy.access_loggers",
     "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog"},
    {"envoy.filters.http.router", "envoy.filters.http", "envoy.extensions.filters.http.router.v3.Router"},
    {"envoy.filters.network.http_connection_manager", "envoy.filters.network",
     "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"},
    {"envoy.filters.network.tcp_proxy", "envoy.filters.network",
     "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"},
};

void write_node(JsonWriter& json, const NodeSpec& node) {
  json.key("node").begin_object();
  json.key("id").text(node.id).key("cluster").text(node.cluster);
  if (!node.region.empty() || !node.zone.empty() || !node.sub_zone.empty()) {
    json.key("locality").begin_object();
    json.key("region").text(node.region).key("zone").text(node.zone).key("sub_zone").text(node.sub_zone);
    json.end_object();
  }
  json.key("user_agent_name").text("ringside");
  write_version(json);
  json.key("extensions").begin_array();
  for (const ExtensionName& extension : extensions) {
    json.begin_object();
    json.key("name").text(extension.name).key("category").text(extension.category);
    json.key("type_descriptor").text("").key("disabled").boolean(false);
    json.key("type_urls").begin_array().text(extension.type).end_array();
    json.end_object();
  }
  json.end_array();
  json.key("client_features").begin_array().end_array();
  json.key("listening_addresses").begin_array().end_array();
  json.key("dynamic_parameters").begin_object().end_object();
  json.end_object();
}

}  // namespace

AdminReply admin_ready(AdminContext& context, const AdminRequest&) {
  const ServerState state = context.port.state();
  return {.status = uint16_t{state == ServerState::live ? uint16_t{200} : uint16_t{503}},
          .body = std::string(state_name(state)) + "\n"};
}

AdminReply admin_server_info(AdminContext& context, const AdminRequest&) {
  const std::string uptime = fmt::format("{}s", context.port.uptime() / seconds(1));
  JsonWriter json;
  json.begin_object();
  json.key("version").text(version_text());
  json.key("state").text(state_name(context.port.state()));
  json.key("uptime_current_epoch").text(uptime).key("uptime_all_epochs").text(uptime);
  json.key("hot_restart_version").text("disabled");
  write_options(json, context.port.options());
  write_node(json, context.port.node());
  json.key("hot_restart_initializing").boolean(false);
  json.end_object();
  return {.content_type = admin_json, .body = json.take()};
}

AdminReply admin_memory(AdminContext&, const AdminRequest&) {
  const ProcessMemory memory = ProcessMemory::read();
  JsonWriter json;
  json.begin_object();
  json.key("allocated").number_text(memory.allocated_bytes);
  json.key("heap_size").number_text(memory.heap_bytes);
  json.key("pageheap_unmapped").number_text(0);
  json.key("pageheap_free").number_text(memory.free_bytes);
  json.key("total_thread_cache").number_text(0);
  json.key("total_physical_bytes").number_text(memory.physical_bytes);
  json.end_object();
  return {.content_type = admin_json, .body = json.take()};
}

AdminReply admin_init_dump(AdminContext& context, const AdminRequest&) {
  const std::vector<std::string> targets = context.port.unready_targets();
  JsonWriter json;
  json.begin_object();
  if (!targets.empty()) {
    json.key("unready_targets_dumps").begin_array().begin_object();
    json.key("name").text("init manager Server");
    json.key("target_names").begin_array();
    for (const std::string& target : targets) json.text(target);
    json.end_array().end_object().end_array();
  }
  json.end_object();
  return {.content_type = admin_json, .body = json.take()};
}

AdminReply admin_runtime(AdminContext&, const AdminRequest&) {
  JsonWriter json;
  json.begin_object();
  json.key("entries").begin_object().end_object();
  json.key("layers").begin_array().end_array();
  json.end_object();
  return {.content_type = admin_json, .body = json.take()};
}

AdminReply admin_hot_restart_version(AdminContext&, const AdminRequest&) { return {.body = "disabled"}; }

// There is no TLS in this version, so there are none.
AdminReply admin_certs(AdminContext&, const AdminRequest&) {
  JsonWriter json;
  json.begin_object().key("certificates").begin_array().end_array().end_object();
  return {.content_type = admin_json, .body = json.take()};
}

AdminReply admin_unavailable(AdminContext&, const AdminRequest& request) {
  return {.status = 501, .body = fmt::format("{} is not available in Ringside {}.\n", request.path, RINGSIDE_VERSION)};
}

}  // namespace ringside
