#include "control/translate_listener_filters.h"

#include <algorithm>

#include "http_inspector.pb.h"
#include "original_dst.pb.h"
#include "proxy_protocol.pb.h"
#include "tls_inspector.pb.h"

namespace ringside {

namespace {

using envoy::config::core::v3::ProxyProtocolConfig;
using envoy::config::listener::v3::Listener;
using envoy::config::listener::v3::ListenerFilter;
using envoy::extensions::filters::listener::http_inspector::v3::HttpInspector;
using envoy::extensions::filters::listener::original_dst::v3::OriginalDst;
using envoy::extensions::filters::listener::proxy_protocol::v3::ProxyProtocol;
using envoy::extensions::filters::listener::tls_inspector::v3::TlsInspector;

void translate_tls_inspector(TranslateContext& context, const TlsInspector& inspector, ListenerFilterSpec& spec) {
  context.flag(inspector, TlsInspector::kEnableJa3FingerprintingFieldNumber, spec.ja3);
  context.flag(inspector, TlsInspector::kEnableJa4FingerprintingFieldNumber, spec.ja4);
  context.number(inspector, TlsInspector::kMaxClientHelloSizeFieldNumber, spec.hello_bytes_max, {.min = 1, .max = 16 * 1024});
  spec.close_on_broken_hello = inspector.close_connection_on_client_hello_parsing_errors();
}

void translate_proxy_protocol(TranslateContext& context, const ProxyProtocol& header, ListenerFilterSpec& spec) {
  spec.header_may_be_absent = header.allow_requests_without_proxy_protocol();
  spec.stat_prefix = header.stat_prefix();
  for (const int version : header.disallowed_versions()) {
    if (version == ProxyProtocolConfig::V1) spec.version1 = false;
    if (version == ProxyProtocolConfig::V2) spec.version2 = false;
  }
  if (!spec.version1 && !spec.version2 && !spec.header_may_be_absent) {
    context.warn(header, ProxyProtocol::kDisallowedVersionsFieldNumber, "every connection is closed: no version is left");
  }
}

using Predicate = envoy::config::listener::v3::ListenerFilterChainMatchPredicate;

// The ports that a predicate is true for.
PortSet ports_of(TranslateContext& context, const Predicate& predicate) {
  PortSet ports;
  switch (predicate.rule_case()) {
    case Predicate::kOrMatch:
      for (const Predicate& rule : predicate.or_match().rules()) ports |= ports_of(context, rule);
      break;
    case Predicate::kAndMatch:
      ports.set();
      for (const Predicate& rule : predicate.and_match().rules()) ports &= ports_of(context, rule);
      break;
    case Predicate::kNotMatch: ports = ~ports_of(context, predicate.not_match()); break;
    case Predicate::kAnyMatch:
      if (predicate.any_match()) ports.set();
      break;
    case Predicate::kDestinationPortRange: {
      const auto& range = predicate.destination_port_range();
      if (range.start() >= range.end()) {
        context.fail(predicate, Predicate::kDestinationPortRangeFieldNumber, "is empty", "end is not part of the range");
      }
      for (int64_t port = std::max(range.start(), 1); port < std::min<int64_t>(range.end(), 65536); ++port) {
        ports.set(static_cast<size_t>(port));
      }
      break;
    }
    case Predicate::RULE_NOT_SET: context.missing(predicate, 0, "needs a rule"); break;
  }
  return ports;
}

// False, and reported somewhere, when it is none that we know.
bool translate_filter(TranslateContext& context, const ListenerFilter& filter, ListenerFilterSpec& spec) {
  if (!filter.has_typed_config()) {
    context.missing(filter, ListenerFilter::kTypedConfigFieldNumber);
    return false;
  }
  if (const auto* tls = context.typed<TlsInspector>(filter.typed_config())) {
    spec.kind = ListenerFilterKind::tls_inspector;
    translate_tls_inspector(context, *tls, spec);
  } else if (context.typed<HttpInspector>(filter.typed_config()) != nullptr) {
    spec.kind = ListenerFilterKind::http_inspector;
  } else if (const auto* header = context.typed<ProxyProtocol>(filter.typed_config())) {
    spec.kind = ListenerFilterKind::proxy_protocol;
    translate_proxy_protocol(context, *header, spec);
  } else if (context.typed<OriginalDst>(filter.typed_config()) != nullptr) {
    spec.kind = ListenerFilterKind::original_dst;
  } else {
    return false;
  }
  return true;
}

// Whether what a chain asks for is only known after a look at the first bytes.
bool needs_tls_inspector(const FilterChainSpec& chain, bool http_inspected) {
  const FilterChainMatchSpec& match = chain.match;
  const bool asks_client = !match.server_names.empty() || (!match.application_protocols.empty() && !http_inspected);
  return match.transport_protocol == "tls" || (match.transport_protocol.empty() && asks_client);
}

void warn_of_missing_inspector(TranslateContext& context, const Listener& listener, const ListenerSpec& spec) {
  const auto has = [&](ListenerFilterKind kind) { return std::ranges::find(spec.filters, kind, &ListenerFilterSpec::kind) != spec.filters.end(); };
  if (has(ListenerFilterKind::tls_inspector) || context.damaged(listener)) return;
  const bool http_inspected = has(ListenerFilterKind::http_inspector);
  if (std::ranges::none_of(spec.chains, [&](const FilterChainSpec& chain) { return needs_tls_inspector(chain, http_inspected); })) return;
  context.warn(listener, Listener::kFilterChainsFieldNumber,
               "a match asks what only the listener filter TlsInspector finds out: without it, it takes nothing",
               "put envoy.filters.listener.tls_inspector into listener_filters");
}

}  // namespace

void translate_listener_filters(TranslateContext& context, const Listener& listener, ListenerSpec& spec) {
  constexpr int filters_max = 16;
  if (listener.listener_filters_size() > filters_max) {
    context.fail(listener, Listener::kListenerFiltersFieldNumber, "more than 16 filters", {}, filters_max);
  }
  for (const ListenerFilter& filter : listener.listener_filters()) {
    ListenerFilterSpec made;
    if (filter.has_filter_disabled()) made.disabled_ports = std::make_shared<const PortSet>(ports_of(context, filter.filter_disabled()));
    if (translate_filter(context, filter, made)) spec.filters.push_back(std::move(made));
  }
  context.duration(listener, Listener::kListenerFiltersTimeoutFieldNumber, spec.filters_timeout);
  context.flag(listener, Listener::kUseOriginalDstFieldNumber, spec.use_original_destination);
  spec.continue_on_filters_timeout = listener.continue_on_listener_filters_timeout();
  warn_of_missing_inspector(context, listener, spec);
}

}  // namespace ringside
