#include "control/translate_routes.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "codecs/ascii.h"
#include "codecs/authority.h"
#include "codecs/http_text.h"
#include "control/translate_common.h"
#include "control/translate_filters.h"
#include "control/translate_headers.h"
#include "control/translate_retry.h"

namespace ringside {

namespace {

namespace api = envoy::config::route::v3;
namespace pb = google::protobuf;

constexpr uint32_t direct_body_bytes_default = 4096;
constexpr uint32_t status_min = 200, status_max = 599;

// The configuration and the virtual host that a route is in, as far as it needs them.
struct RouteScope {
  uint32_t direct_body_bytes_max = direct_body_bytes_default;
  std::shared_ptr<const RetryPolicySpec> retry;
  std::optional<RequestBufferSpec> request_buffer;
};

// Of a route or a virtual host.
template <class Place>
std::optional<RequestBufferSpec> translate_request_buffer(TranslateContext& context, const Place& place) {
  if (place.has_per_request_buffer_limit_bytes() && place.has_request_body_buffer_limit()) {
    context.fail(place, Place::kPerRequestBufferLimitBytesFieldNumber, "may not stand beside request_body_buffer_limit");
  }
  if (place.has_request_body_buffer_limit())
    return RequestBufferSpec{.bytes_max = place.request_body_buffer_limit().value(), .within_connection = false};
  if (place.has_per_request_buffer_limit_bytes()) return RequestBufferSpec{.bytes_max = place.per_request_buffer_limit_bytes().value()};
  return std::nullopt;
}

void translate_match(TranslateContext& context, const api::RouteMatch& match, RouteSpec& spec) {
  using Match = api::RouteMatch;
  int number = Match::kPrefixFieldNumber;
  switch (match.path_specifier_case()) {
    case Match::kPrefix:
      spec.match_kind = PathMatchKind::prefix;
      spec.match_path = match.prefix();
      break;
    case Match::kPath:
      spec.match_kind = PathMatchKind::exact;
      spec.match_path = match.path();
      number = Match::kPathFieldNumber;
      break;
    case Match::kPathSeparatedPrefix:
      spec.match_kind = PathMatchKind::path_separated_prefix;
      spec.match_path = match.path_separated_prefix();
      number = Match::kPathSeparatedPrefixFieldNumber;
      if (spec.match_path.size() < 2 || spec.match_path.ends_with('/')) {
        context.fail(match, number, "must have at least two characters and not end in \"/\"",
                     "the separator is implied; use prefix: / for everything");
      }
      break;
    case Match::kConnectMatcher: spec.match_kind = PathMatchKind::connect; return;
    case Match::PATH_SPECIFIER_NOT_SET:
      return context.missing(match, 0, "needs prefix, path, path_separated_prefix or connect_matcher");
  }
  if (spec.match_path.find_first_of("?#") != spec.match_path.npos) {
    const std::string what = "the query is not part of what is compared: this never matches";
    spec.match_kind == PathMatchKind::path_separated_prefix ? context.fail(match, number, what)
                                                            : context.warn(match, number, what);
  }
  context.flag(match, Match::kCaseSensitiveFieldNumber, spec.case_sensitive);
}

void translate_stream_duration(TranslateContext& context, const api::RouteAction::MaxStreamDuration& duration, RouteSpec& spec) {
  using Duration = api::RouteAction::MaxStreamDuration;
  StreamDurationSpec& into = spec.stream_duration.emplace();
  const auto read = [&](bool is_there, int number, std::optional<ringside::Duration>& field) {
    if (is_there) context.duration(duration, number, field.emplace());
  };
  read(duration.has_max_stream_duration(), Duration::kMaxStreamDurationFieldNumber, into.duration_max);
  read(duration.has_grpc_timeout_header_max(), Duration::kGrpcTimeoutHeaderMaxFieldNumber, into.grpc_timeout_max);
  read(duration.has_grpc_timeout_header_offset(), Duration::kGrpcTimeoutHeaderOffsetFieldNumber, into.grpc_timeout_offset);
}

void translate_timeouts(TranslateContext& context, const api::RouteAction& action, RouteSpec& spec) {
  using Action = api::RouteAction;
  context.duration(action, Action::kTimeoutFieldNumber, spec.timeout);
  if (action.has_idle_timeout()) {
    spec.idle_timeout.emplace();
    context.duration(action, Action::kIdleTimeoutFieldNumber, *spec.idle_timeout);
  }
  if (action.has_max_stream_duration()) translate_stream_duration(context, action.max_stream_duration(), spec);
  if (action.has_max_grpc_timeout()) {
    GrpcTimeoutSpec& into = spec.grpc_timeout.emplace();
    context.duration(action, Action::kMaxGrpcTimeoutFieldNumber, into.timeout_max);
    context.duration(action, Action::kGrpcTimeoutOffsetFieldNumber, into.offset);
  } else if (action.has_grpc_timeout_offset()) {
    context.warn(action, Action::kGrpcTimeoutOffsetFieldNumber, "says nothing without max_grpc_timeout");
  }
}

void translate_route_upgrades(TranslateContext& context, const api::RouteAction& action, RouteSpec& spec) {
  using Action = api::RouteAction;
  using Config = Action::UpgradeConfig;
  spec.upgrades = translate_upgrades(context, action, Action::kUpgradeConfigsFieldNumber, action.upgrade_configs());
  for (const Config& config : action.upgrade_configs()) {
    if (!config.has_connect_config()) continue;
    if (!equals_any_case(config.upgrade_type(), "connect")) {
      context.fail(config, Config::kConnectConfigFieldNumber, "is for upgrade_type CONNECT only");
      continue;
    }
    for (UpgradeSpec& upgrade : spec.upgrades) upgrade.terminates |= equals_any_case(upgrade.type, "connect");
  }
  if (spec.match_kind == PathMatchKind::connect && !action.prefix_rewrite().empty())
    context.fail(action, Action::kPrefixRewriteFieldNumber, "a CONNECT has no path to rewrite");
}

void translate_action(TranslateContext& context, const api::RouteAction& action, RouteSpec& spec) {
  using Action = api::RouteAction;
  if (action.cluster_specifier_case() == Action::CLUSTER_SPECIFIER_NOT_SET) {
    context.missing(action, 0, "needs a cluster");
  } else {
    context.check_cluster(action, Action::kClusterFieldNumber, action.cluster());
  }
  spec.cluster = action.cluster();
  spec.prefix_rewrite = action.prefix_rewrite();
  spec.host_rewrite_literal = action.host_rewrite_literal();
  // What it makes is a path, and the other a host: no codec would send anything else.
  if (!spec.prefix_rewrite.empty() && (spec.prefix_rewrite.front() != '/' || !http::is_visible(spec.prefix_rewrite)))
    context.fail(action, Action::kPrefixRewriteFieldNumber, "must begin with \"/\" and have visible characters only");
  if (!spec.host_rewrite_literal.empty() && !http::is_authority(spec.host_rewrite_literal))
    context.fail(action, Action::kHostRewriteLiteralFieldNumber, "is not a host with an optional port");
  translate_timeouts(context, action, spec);
  translate_route_upgrades(context, action, spec);
  if (action.has_retry_policy()) spec.retry = translate_retry_policy(context, action.retry_policy());
}

DirectResponseSpec translate_direct_response(TranslateContext& context, const RouteScope& scope,
                                             const api::DirectResponseAction& action) {
  using Action = api::DirectResponseAction;
  DirectResponseSpec spec;
  if (action.status() == 0) {
    context.missing(action, Action::kStatusFieldNumber);
  } else if (action.status() < status_min || action.status() > status_max) {
    context.fail(action, Action::kStatusFieldNumber, fmt::format("must be within {} to {}", status_min, status_max));
  }
  spec.status = static_cast<uint16_t>(action.status());
  if (action.has_body()) {
    spec.body = translate_data_source(context, action.body(), scope.direct_body_bytes_max).value_or("");
  }
  return spec;
}

RouteSpec translate_route(TranslateContext& context, const RouteScope& scope, const api::Route& route) {
  RouteSpec spec;
  spec.name = route.name();
  spec.where = context.where(route);
  if (route.has_match()) {
    translate_match(context, route.match(), spec);
  } else {
    context.missing(route, api::Route::kMatchFieldNumber);
  }
  switch (route.action_case()) {
    case api::Route::kRoute: translate_action(context, route.route(), spec); break;
    case api::Route::kDirectResponse:
      spec.direct_response = translate_direct_response(context, scope, route.direct_response());
      if (spec.match_kind == PathMatchKind::connect && spec.direct_response->status / 100 == 2)
        context.fail(route.direct_response(), api::DirectResponseAction::kStatusFieldNumber,
                     "tells the client of a CONNECT that there is a tunnel: use a status of 300 or more");
      break;
    case api::Route::ACTION_NOT_SET: context.missing(route, 0, "needs route or direct_response"); break;
  }
  spec.headers = translate_header_edits(context, route);
  if (spec.retry == nullptr) spec.retry = scope.retry;
  const std::optional<RequestBufferSpec> own_buffer = translate_request_buffer(context, route);
  if (own_buffer || scope.request_buffer) spec.request_buffer = own_buffer ? *own_buffer : *scope.request_buffer;
  spec.filters = translate_filter_changes(context, route, api::Route::kTypedPerFilterConfigFieldNumber,
                                               keys_of(route.typed_per_filter_config()));
  return spec;
}

// What is wrong with a domain; empty when nothing is. "*" stands alone, or once at either end.
std::string domain_problem(std::string_view domain) {
  if (domain.empty()) return "a domain may not be empty";
  const auto stars = std::count(domain.begin(), domain.end(), '*');
  const bool at_end = domain.starts_with('*') || domain.ends_with('*');
  if (stars > 1 || (stars == 1 && !at_end)) {
    return fmt::format("\"{}\": a \"*\" may stand alone, once at the start or once at the end", domain);
  }
  if (!is_header_value(domain) || domain.find(' ') != domain.npos)
    return fmt::format("\"{}\" is not a host name", domain);
  if (domain.find("://") != domain.npos) return fmt::format("\"{}\": a domain has no scheme", domain);
  return {};
}

using DomainOwners = std::map<std::string, const api::VirtualHost*>;

void translate_domains(TranslateContext& context, const api::VirtualHost& host, DomainOwners& owners,
                       VirtualHostSpec& spec) {
  constexpr int number = api::VirtualHost::kDomainsFieldNumber;
  if (host.domains().empty()) context.missing(host, number, "needs at least one domain", "\"*\" stands for all");
  for (int i = 0; i < host.domains_size(); ++i) {
    std::string domain = lower_case(host.domains(i));
    if (const std::string wrong = domain_problem(domain); !wrong.empty()) {
      context.fail(host, number, wrong, {}, i);
      continue;
    }
    const auto [owner, fresh] = owners.emplace(domain, &host);
    if (!fresh) {
      context.fail(host, number,
                   fmt::format("domain \"{}\" is also in virtual host \"{}\"", domain, owner->second->name()),
                   fmt::format("at {}; a domain belongs to one virtual host", context.where(*owner->second)), i);
    }
    spec.domains.push_back(std::move(domain));
  }
}

VirtualHostSpec translate_virtual_host(TranslateContext& context, RouteScope scope, const api::VirtualHost& host, DomainOwners& owners) {
  VirtualHostSpec spec;
  spec.name = host.name();
  if (host.name().empty()) context.missing(host, api::VirtualHost::kNameFieldNumber);
  context.only_value(host, api::VirtualHost::kRequireTlsFieldNumber, api::VirtualHost::NONE);
  translate_domains(context, host, owners, spec);
  if (host.has_retry_policy()) scope.retry = translate_retry_policy(context, host.retry_policy());
  scope.request_buffer = translate_request_buffer(context, host);
  spec.tells_attempts_upstream = host.include_request_attempt_count();
  spec.tells_attempts_downstream = host.include_attempt_count_in_response();
  spec.tells_timeout_retry = host.include_is_timeout_retry_header();
  spec.routes.reserve(static_cast<size_t>(host.routes_size()));
  for (const api::Route& route : host.routes()) spec.routes.push_back(translate_route(context, scope, route));
  spec.headers = translate_header_edits(context, host);
  spec.filters = translate_filter_changes(context, host, api::VirtualHost::kTypedPerFilterConfigFieldNumber,
                                               keys_of(host.typed_per_filter_config()));
  return spec;
}

}  // namespace

RouteConfigSpec translate_route_config(TranslateContext& context, const api::RouteConfiguration& config) {
  using Config = api::RouteConfiguration;
  RouteConfigSpec spec;
  RouteScope scope;
  context.number(config, Config::kMaxDirectResponseBodySizeBytesFieldNumber, scope.direct_body_bytes_max);
  if (config.has_validate_clusters() && !config.validate_clusters().value()) {
    context.unsupported(config, Config::kValidateClustersFieldNumber, "validate_clusters: false",
                        "every cluster that a route names must exist");
  }
  spec.name = config.name();
  spec.most_specific_header_mutations_wins = config.most_specific_header_mutations_wins();
  spec.ignore_port_in_host_matching = config.ignore_port_in_host_matching();
  DomainOwners owners;
  std::map<std::string, const api::VirtualHost*> names;
  spec.virtual_hosts.reserve(static_cast<size_t>(config.virtual_hosts_size()));
  for (const api::VirtualHost& host : config.virtual_hosts()) {
    const auto [same, fresh] = names.emplace(host.name(), &host);
    if (!fresh && !host.name().empty()) {
      context.warn(host, api::VirtualHost::kNameFieldNumber,
                   fmt::format("there is another virtual host \"{}\" at {}", host.name(), context.where(*same->second)),
                   "their statistics are counted together");
    }
    spec.virtual_hosts.push_back(translate_virtual_host(context, scope, host, owners));
  }
  spec.headers = translate_header_edits(context, config);
  spec.filters = translate_filter_changes(context, config, Config::kTypedPerFilterConfigFieldNumber,
                                               keys_of(config.typed_per_filter_config()));
  return spec;
}

}  // namespace ringside
