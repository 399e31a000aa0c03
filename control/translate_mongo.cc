#include "control/translate_mongo.h"

namespace ringside {

namespace {

using envoy::extensions::filters::common::fault::v3::FaultDelay;
using envoy::extensions::filters::network::mongo_proxy::v3::MongoProxy;
using envoy::type::v3::FractionalPercent;

}  // namespace

FractionSpec translate_fraction(const FractionalPercent& fraction) {
  FractionSpec spec{.numerator = fraction.numerator()};
  switch (fraction.denominator()) {
    case FractionalPercent::TEN_THOUSAND: spec.denominator = 10'000; break;
    case FractionalPercent::MILLION: spec.denominator = 1'000'000; break;
    default: spec.denominator = 100; break;
  }
  return spec;
}

std::shared_ptr<MongoSpec> translate_mongo_proxy(TranslateContext& context, const MongoProxy& proxy) {
  auto spec = std::make_shared<MongoSpec>();
  spec->stat_prefix = proxy.stat_prefix();
  if (spec->stat_prefix.empty()) context.missing(proxy, MongoProxy::kStatPrefixFieldNumber);
  spec->access_log = proxy.access_log();
  if (proxy.has_delay()) {
    const FaultDelay& delay = proxy.delay();
    if (!delay.has_fixed_delay()) context.missing(delay, FaultDelay::kFixedDelayFieldNumber);
    context.duration(delay, FaultDelay::kFixedDelayFieldNumber, spec->delay, {.value = milliseconds(1)});
    spec->delay_part = translate_fraction(delay.percentage());
  }
  if (proxy.emit_dynamic_metadata())
    context.warn(proxy, MongoProxy::kEmitDynamicMetadataFieldNumber, "has no effect: nothing reads dynamic metadata here");
  for (int i = 0; i < proxy.commands_size(); ++i) {
    if (proxy.commands(i).empty())
      context.fail(proxy, MongoProxy::kCommandsFieldNumber, "a command must have a name", {}, i);
    spec->commands.push_back(proxy.commands(i));
  }
  if (spec->commands.empty()) spec->commands = {"delete", "insert", "update"};
  return spec;
}

}  // namespace ringside
