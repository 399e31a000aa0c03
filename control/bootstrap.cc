#include "control/bootstrap.h"

#include <fmt/format.h>
#include <google/protobuf/arena.h>
#include <malloc.h>

#include <memory>
#include <utility>

#include "bootstrap.pb.h"
#include "control/config_file.h"
#include "control/config_places.h"
#include "control/config_reader.h"
#include "control/config_tree.h"
#include "control/json_reader.h"
#include "control/translate_clusters.h"
#include "control/translate_common.h"
#include "control/translate_context.h"
#include "control/translate_listeners.h"
#include "control/yaml_reader.h"

namespace ringside {

namespace {

namespace api = envoy::config::bootstrap::v3;
using api::Admin, api::Bootstrap;
using Documents = std::vector<std::unique_ptr<ConfigDocument>>;

constexpr std::string_view text_source_name = "--config-yaml";
constexpr size_t arena_block_bytes = 64 * 1024;

bool begins_like_json(std::string_view text) {
  const size_t at = text.find_first_not_of(" \t\r\n");
  return at != text.npos && text[at] == '{';
}

// JSON is nearly YAML: a text that says no what it is is tried as JSON first, as YAML readers do not take all of it.
bool parse(ConfigDocument& document, ConfigErrorList& errors) {
  if (document.name().ends_with(".json")) return read_json(document, errors);
  if (begins_like_json(document.text()) && read_json(document, errors, JsonReport::no))
    return read_json(document, errors);
  return read_yaml(document, errors);
}

bool is_binary_name(std::string_view name) {
  return name.ends_with(".pb") || name.ends_with(".pb_text") || name.ends_with(".pbtxt");
}

// Adds a document for a source that could be had; whether it is well formed shows later.
void open_source(const ConfigSource& source, Documents& documents, ConfigErrorList& errors) {
  std::string name(text_source_name), text;
  if (source.kind == ConfigSource::Kind::file) {
    name = source.value;
    if (is_binary_name(name)) return errors.error_in_file(name, "protobuf files are not read, use YAML or JSON");
    auto content = read_config_file(name, config_limits::source_bytes_max);
    if (!content) return errors.error_in_file(name, content.error());
    text = *std::move(content);
  } else {
    text = source.value;
  }
  documents.push_back(
      std::make_unique<ConfigDocument>(std::move(name), std::move(text), static_cast<uint16_t>(documents.size())));
  errors.add_document(*documents.back());
}

void translate_admin(TranslateContext& context, const Admin& admin, AdminSpec& spec) {
  if (admin.has_address())
    spec.address = translate_address(context, admin, Admin::kAddressFieldNumber, admin.address());
  constexpr std::string_view thing = "an access log of the admin server", nowhere = "/dev/null";
  if (!admin.access_log_path().empty() && admin.access_log_path() != nowhere) {
    context.unsupported(admin, Admin::kAccessLogPathFieldNumber, thing, "remove the field, or write /dev/null");
  }
  for (const AccessLogSpec& log : translate_access_logs(context, admin.access_log())) {
    if (log.path == nowhere) continue;
    context.unsupported(admin, Admin::kAccessLogFieldNumber, thing, "remove the field, or write path: /dev/null");
  }
}

Specs translate(TranslateContext& context, const Bootstrap& bootstrap) {
  Specs specs;
  specs.node = translate_node(context, bootstrap.node());
  if (bootstrap.has_admin()) translate_admin(context, bootstrap.admin(), specs.admin);
  context.duration(bootstrap, Bootstrap::kStatsFlushIntervalFieldNumber, specs.stats_flush_interval,
                   {.value = milliseconds(1)});
  if (specs.stats_flush_interval > minutes(5)) {
    context.fail(bootstrap, Bootstrap::kStatsFlushIntervalFieldNumber, "must be within 0.001s to 300s");
  }
  const Bootstrap::StaticResources& resources = bootstrap.static_resources();
  if (context.damaged(resources)) context.set_clusters_incomplete();
  specs.clusters = translate_clusters(context, resources.clusters());
  specs.listeners = translate_listeners(context, resources.listeners());
  specs.tls_uses = context.take_tls();
  return specs;
}

void load(const LoadOptions& options, LoadOutcome& outcome) {
  Documents documents;
  ConfigErrorList errors;
  for (const ConfigSource& source : options.sources) open_source(source, documents, errors);

  bool readable = !errors.any();
  for (const auto& document : documents) readable &= parse(*document, errors);
  if (readable && !documents.empty()) {
    google::protobuf::ArenaOptions arena_options;
    arena_options.start_block_size = arena_block_bytes;
    google::protobuf::Arena arena(arena_options);
    uint64_t nodes = 1;
    for (const auto& document : documents) nodes += document->root()->expanded;
    ConfigPlaces places(nodes);
    auto* bootstrap = google::protobuf::Arena::CreateMessage<Bootstrap>(&arena);
    ConfigReader reader(errors, places, arena,
                        options.allow_unknown_static_fields ? UnknownFields::warn : UnknownFields::error);
    for (const auto& document : documents) reader.read(*document->root(), *bootstrap);
    TranslateContext context(options, errors, places);
    outcome.specs = translate(context, *bootstrap);
  }
  if (options.sources.empty())
    errors.error_in_file("", "there is no configuration: give -c FILE or --config-yaml TEXT");
  outcome.errors = errors.take_errors();
  outcome.warnings = errors.take_warnings();
}

}  // namespace

LoadOutcome load_bootstrap(const LoadOptions& options) {
  LoadOutcome outcome;
  load(options, outcome);
  malloc_trim(0);  // the messages took several times what the specs need, and nothing like it comes again soon
  return outcome;
}

}  // namespace ringside
