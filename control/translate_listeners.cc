#include "control/translate_listeners.h"

#include <fmt/format.h>

#include <limits>
#include <map>
#include <string>
#include <utility>

#include "control/translate_common.h"
#include "control/translate_filter_chain_match.h"
#include "control/translate_http.h"
#include "control/translate_listener_filters.h"
#include "control/translate_mongo.h"
#include "control/translate_mongo_rules.h"
#include "control/translate_tls.h"
#include "mongo_proxy.pb.h"
#include "tcp_proxy.pb.h"

namespace ringside {

namespace {

namespace api = envoy::config::listener::v3;
using api::Filter, api::FilterChain, api::Listener;
using envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
using envoy::extensions::filters::network::mongo_proxy::v3::MongoProxy;
using envoy::extensions::filters::network::tcp_proxy::v3::TcpProxy;

TcpProxySpec translate_tcp_proxy(TranslateContext& context, const TcpProxy& proxy) {
  TcpProxySpec spec;
  spec.stat_prefix = proxy.stat_prefix();
  spec.cluster = proxy.cluster();
  if (spec.stat_prefix.empty()) context.missing(proxy, TcpProxy::kStatPrefixFieldNumber);
  context.check_cluster(proxy, TcpProxy::kClusterFieldNumber, spec.cluster);
  context.duration(proxy, TcpProxy::kIdleTimeoutFieldNumber, spec.idle_timeout);
  context.duration(proxy, TcpProxy::kMaxDownstreamConnectionDurationFieldNumber, spec.connection_duration_max,
                   {.value = milliseconds(1)});
  context.number(proxy, TcpProxy::kMaxConnectAttemptsFieldNumber, spec.connect_attempts_max, {.min = 1});
  spec.access_logs = translate_access_logs(context, proxy.access_log());
  return spec;
}

// What was read of a chain's filters.
struct ChainFilters {
  std::shared_ptr<const HttpManagerSpec> http;
  std::shared_ptr<TcpProxySpec> tcp;
  std::shared_ptr<MongoSpec> mongo;
  int mongo_index = 0;
  bool mongo_rules = false;
  bool read_all = true;  // what could not be read was reported, or may be left out
};

void translate_rules_filter(TranslateContext& context, const FilterChain& chain, int index, const mongo::v1::MongoRules& rules,
                            ChainFilters& into) {
  constexpr int number = FilterChain::kFiltersFieldNumber;
  if (std::exchange(into.mongo_rules, true)) context.fail(chain, number, "MongoRules is there twice", "put all rules into one", index);
  if (into.mongo == nullptr)
    context.fail(chain, number, "MongoRules must stand between MongoProxy and TcpProxy",
                 "put MongoProxy, which reads the messages, right before it", index);
  MongoSpec alone;  // so that what is wrong inside is reported, too
  translate_mongo_rules(context, rules, into.mongo != nullptr ? *into.mongo : alone);
}

void translate_filter(TranslateContext& context, const FilterChain& chain, int index, ChainFilters& into) {
  const Filter& filter = chain.filters(index);
  if (!filter.has_typed_config()) {
    into.read_all = false;
    return context.missing(filter, Filter::kTypedConfigFieldNumber);
  }
  if (const auto* manager = context.typed<HttpConnectionManager>(filter.typed_config())) {
    into.http = std::make_shared<const HttpManagerSpec>(translate_http_manager(context, *manager));
  } else if (const auto* proxy = context.typed<TcpProxy>(filter.typed_config())) {
    into.tcp = std::make_shared<TcpProxySpec>(translate_tcp_proxy(context, *proxy));
  } else if (const auto* mongo = context.typed<MongoProxy>(filter.typed_config())) {
    if (into.mongo != nullptr) context.fail(chain, FilterChain::kFiltersFieldNumber, "MongoProxy is there twice", {}, index);
    into.mongo = translate_mongo_proxy(context, *mongo);
    into.mongo_index = index;
  } else if (const auto* rules = context.typed<mongo::v1::MongoRules>(filter.typed_config())) {
    translate_rules_filter(context, chain, index, *rules, into);
  } else {
    into.read_all = false;
  }
}

// MongoProxy needs TcpProxy behind it.
void check_mongo(TranslateContext& context, const FilterChain& chain, const ChainFilters& filters) {
  constexpr int number = FilterChain::kFiltersFieldNumber;
  if (filters.http != nullptr) {
    context.fail(chain, number, "MongoProxy can stand in front of TcpProxy only", "HttpConnectionManager would read the bytes as HTTP",
                 filters.mongo_index);
  } else if (filters.tcp == nullptr && filters.read_all) {
    context.fail(chain, number, "nothing stands behind MongoProxy",
                 "add TcpProxy, which connects clients to the cluster of their server", filters.mongo_index);
  }
}

void translate_filters_of(TranslateContext& context, const FilterChain& chain, FilterChainSpec& spec) {
  constexpr int number = FilterChain::kFiltersFieldNumber;
  if (chain.filters().empty()) return context.missing(chain, number, "needs a filter", "HttpConnectionManager or TcpProxy");
  ChainFilters filters;
  bool told = false;
  for (int index = 0; index < chain.filters_size(); ++index) {
    if ((filters.http != nullptr || filters.tcp != nullptr) && !std::exchange(told, true)) {
      context.fail(chain, number, "nothing may stand behind a filter that ends the chain",
                   "HttpConnectionManager and TcpProxy both do", index);
    }
    translate_filter(context, chain, index, filters);
  }
  if (filters.mongo != nullptr && !told) check_mongo(context, chain, filters);
  if (filters.tcp != nullptr) filters.tcp->mongo = filters.mongo;
  spec.http = filters.http;
  spec.tcp = filters.tcp;
}

FilterChainSpec translate_filter_chain(TranslateContext& context, const FilterChain& chain) {
  FilterChainSpec spec;
  spec.name = chain.name();
  spec.where = context.where(chain);
  spec.match = translate_filter_chain_match(context, chain.filter_chain_match());
  translate_filters_of(context, chain, spec);
  if (chain.has_transport_socket()) spec.tls = translate_downstream_socket(context, chain.transport_socket(), spec);
  context.duration(chain, FilterChain::kTransportSocketConnectTimeoutFieldNumber, spec.handshake_timeout);
  return spec;
}

void translate_filter_chains(TranslateContext& context, const Listener& listener, ListenerSpec& spec) {
  if (listener.filter_chains().empty() && !listener.has_default_filter_chain()) {
    return context.missing(listener, Listener::kFilterChainsFieldNumber, "needs a filter chain",
                           "it says what to do with connections");
  }
  for (const FilterChain& chain : listener.filter_chains()) spec.chains.push_back(translate_filter_chain(context, chain));
  if (listener.has_default_filter_chain()) {
    const FilterChain& chain = listener.default_filter_chain();
    spec.default_chain = std::make_shared<const FilterChainSpec>(translate_filter_chain(context, chain));
    if (chain.has_filter_chain_match() && chain.filter_chain_match().ByteSizeLong() > 0) {
      context.warn(chain, FilterChain::kFilterChainMatchFieldNumber, "says nothing: the default chain takes what is left");
    }
  }
  const auto& check = context.options().check_filter_chains;
  const auto clash = check ? check(spec.chains) : std::nullopt;
  if (!clash) return;
  const FilterChain& first = listener.filter_chains(static_cast<int>(clash->first));
  const FilterChain& second = listener.filter_chains(static_cast<int>(clash->second));
  context.fail(second, second.has_filter_chain_match() ? int{FilterChain::kFilterChainMatchFieldNumber} : 0,
               fmt::format("matches connections that the filter chain at {} matches as well", context.where(first)),
               "a connection must have one chain that fits best");
}

ListenerSpec translate_listener(TranslateContext& context, const Listener& listener) {
  ListenerSpec spec;
  spec.name = listener.name();
  spec.stat_prefix = listener.stat_prefix();
  spec.where = context.where(listener);
  if (listener.has_address()) {
    spec.ipv4_compat = listener.address().socket_address().ipv4_compat();
    spec.address =
        translate_address(context, listener, Listener::kAddressFieldNumber, listener.address()).value_or(Address());
  } else {
    context.missing(listener, Listener::kAddressFieldNumber);
  }
  if (spec.name.empty()) spec.name = spec.address.text();
  context.number(listener, Listener::kPerConnectionBufferLimitBytesFieldNumber, spec.connection_buffer_bytes_max);
  if (spec.connection_buffer_bytes_max == 0) spec.connection_buffer_bytes_max = std::numeric_limits<uint32_t>::max();
  context.flag(listener, Listener::kEnableReusePortFieldNumber, spec.enable_reuse_port);
  context.flag(listener, Listener::kBindToPortFieldNumber, spec.bind_to_port);
  context.number(listener, Listener::kTcpBacklogSizeFieldNumber, spec.tcp_backlog);
  translate_filter_chains(context, listener, spec);
  translate_listener_filters(context, listener, spec);
  return spec;
}

}  // namespace

std::vector<ListenerSpec> translate_listeners(TranslateContext& context,
                                              const google::protobuf::RepeatedPtrField<Listener>& listeners) {
  std::vector<ListenerSpec> specs;
  specs.reserve(static_cast<size_t>(listeners.size()));
  std::map<std::string, const Listener*> names, addresses;
  for (const Listener& listener : listeners) {
    ListenerSpec spec = translate_listener(context, listener);
    const auto [same, fresh] = names.emplace(listener.name(), &listener);
    if (!fresh && !listener.name().empty()) {
      context.fail(
          listener, Listener::kNameFieldNumber,
          fmt::format("there is another listener \"{}\" at {}", listener.name(), context.where(*same->second)));
    }
    const bool fixed_port = !spec.address.empty() && (!spec.address.is_ip() || spec.address.port() != 0);
    if (fixed_port && spec.bind_to_port) {
      const auto [other, free] = addresses.emplace(spec.address.text(), &listener);
      if (!free) {
        context.fail(
            listener, Listener::kAddressFieldNumber,
            fmt::format("{} is taken by the listener at {}", spec.address.text(), context.where(*other->second)));
      }
    }
    specs.push_back(std::move(spec));
  }
  return specs;
}

}  // namespace ringside
