#include "control/translate_filter_chain_match.h"

#include <algorithm>
#include <limits>

#include "control/translate_common.h"

namespace ringside {

namespace {

using envoy::config::listener::v3::FilterChainMatch;

constexpr uint32_t port_max = std::numeric_limits<uint16_t>::max();

void translate_server_names(TranslateContext& context, const FilterChainMatch& match, std::vector<std::string>& names) {
  int at = 0;
  for (const std::string& text : match.server_names()) {
    const std::string_view name = text.starts_with("*.") ? std::string_view(text).substr(2) : std::string_view(text);
    const bool upper = std::ranges::any_of(text, [](char byte) { return byte >= 'A' && byte <= 'Z'; });
    if (name.empty() || name.find('*') != name.npos) {
      context.fail(match, FilterChainMatch::kServerNamesFieldNumber, "is no name and no wildcard",
                   "a wildcard is *.name, and stands for a whole label or several", at);
    } else if (upper) {
      context.fail(match, FilterChainMatch::kServerNamesFieldNumber, "would match nothing: names are compared in lower case",
                   "write it in lower case", at);
    }
    names.push_back(text);
    ++at;
  }
}

void translate_ports(TranslateContext& context, const FilterChainMatch& match, FilterChainMatchSpec& spec) {
  uint32_t port = 0;
  context.number(match, FilterChainMatch::kDestinationPortFieldNumber, port, {.min = 1, .max = port_max});
  if (port != 0) spec.destination_port = static_cast<uint16_t>(port);
  int at = 0;
  for (const uint32_t source_port : match.source_ports()) {
    if (source_port == 0 || source_port > port_max) {
      context.fail(match, FilterChainMatch::kSourcePortsFieldNumber, "must be within 1 to 65535", {}, at);
    }
    spec.source_ports.push_back(static_cast<uint16_t>(source_port));
    ++at;
  }
}

SourceType source_type_of(FilterChainMatch::ConnectionSourceType type) {
  switch (type) {
    case FilterChainMatch::SAME_IP_OR_LOOPBACK: return SourceType::same_ip_or_loopback;
    case FilterChainMatch::EXTERNAL: return SourceType::external;
    default: return SourceType::any;
  }
}

}  // namespace

FilterChainMatchSpec translate_filter_chain_match(TranslateContext& context, const FilterChainMatch& match) {
  FilterChainMatchSpec spec;
  translate_ports(context, match, spec);
  spec.destinations = translate_ranges(context, match.prefix_ranges());
  translate_server_names(context, match, spec.server_names);
  spec.transport_protocol = match.transport_protocol();
  if (!spec.transport_protocol.empty() && spec.transport_protocol != "tls" && spec.transport_protocol != "raw_buffer") {
    context.warn(match, FilterChainMatch::kTransportProtocolFieldNumber, "matches nothing", "known are tls and raw_buffer");
  }
  spec.application_protocols.assign(match.application_protocols().begin(), match.application_protocols().end());
  spec.direct_sources = translate_ranges(context, match.direct_source_prefix_ranges());
  spec.source_type = source_type_of(match.source_type());
  spec.sources = translate_ranges(context, match.source_prefix_ranges());
  return spec;
}

}  // namespace ringside
