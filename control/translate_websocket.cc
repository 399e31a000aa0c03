#include "control/translate_websocket.h"

#include <fmt/format.h>

#include <string_view>

#include "codecs/http_text.h"
#include "control/translate_common.h"

namespace ringside {
namespace {

using Config = websocket::v1::WebSocketInspection;

// What would shut out everything is a slip, not a wish.
uint64_t translate_bytes_max(TranslateContext& context, const Config& config, int number, bool is_set, uint64_t value) {
  if (!is_set) return UINT64_MAX;
  if (value == 0) context.fail(config, number, "0 lets no message through", "leave it out for no limit");
  return value;
}

void translate_rate(TranslateContext& context, const Config::MessageRate& rate, WebSocketSpec& spec) {
  using Rate = Config::MessageRate;
  constexpr uint32_t per_second_max = 1'000'000;
  spec.client_messages_per_second = rate.messages_per_second();
  if (rate.messages_per_second() == 0) {
    context.missing(rate, Rate::kMessagesPerSecondFieldNumber, "is required, and more than 0");
  } else if (rate.messages_per_second() > per_second_max) {
    context.fail(rate, Rate::kMessagesPerSecondFieldNumber, fmt::format("at most {}", per_second_max), "leave client_message_rate out for no limit");
  }
  spec.client_message_burst = rate.messages_per_second();
  context.number(rate, Rate::kBurstFieldNumber, spec.client_message_burst, {.min = 1, .max = per_second_max});
}

void translate_subprotocols(TranslateContext& context, const Config& config, WebSocketSpec& spec) {
  constexpr int number = Config::kAllowedSubprotocolsFieldNumber;
  for (int at = 0; at < config.allowed_subprotocols_size(); ++at) {
    const std::string& name = config.allowed_subprotocols(at);
    if (!http::is_token(name)) {
      context.fail(config, number, fmt::format("\"{}\" is no name of a subprotocol", name), "names are tokens, without blanks", at);
    }
    spec.subprotocols.push_back(name);
  }
  spec.subprotocol_may_be_missing = config.allow_missing_subprotocol();
  if (config.allow_missing_subprotocol() && spec.subprotocols.empty()) {
    context.fail(config, Config::kAllowMissingSubprotocolFieldNumber, "says nothing without allowed_subprotocols",
                 "without them, a client may offer any or none");
  }
}

void translate_origins(TranslateContext& context, const Config& config, WebSocketSpec& spec) {
  for (const auto& matcher : config.allowed_origins()) spec.origins.push_back(translate_matcher(context, matcher));
  spec.origin_may_be_missing = !config.require_origin();
  if (config.require_origin() && spec.origins.empty()) {
    context.fail(config, Config::kRequireOriginFieldNumber, "says nothing without allowed_origins", "add allowed_origins");
  }
}

}  // namespace

WebSocketSpec translate_websocket(TranslateContext& context, const Config& config) {
  WebSocketSpec spec;
  spec.stat_name = config.stat_prefix();
  spec.message_bytes_max = translate_bytes_max(context, config, Config::kMaxMessageBytesFieldNumber, config.has_max_message_bytes(),
                                               config.max_message_bytes().value());
  spec.frame_bytes_max = translate_bytes_max(context, config, Config::kMaxFrameBytesFieldNumber, config.has_max_frame_bytes(),
                                             config.max_frame_bytes().value());
  if (config.has_client_message_rate()) translate_rate(context, config.client_message_rate(), spec);
  context.duration(config, Config::kIdleTimeoutFieldNumber, spec.idle_timeout, {.value = milliseconds(1)});
  spec.pings_keep_alive = config.pings_keep_alive();
  if (spec.pings_keep_alive && spec.idle_timeout == Duration{0}) {
    context.fail(config, Config::kPingsKeepAliveFieldNumber, "says nothing without idle_timeout", "add idle_timeout");
  }
  context.flag(config, Config::kValidateUtf8FieldNumber, spec.validate_utf8);
  translate_subprotocols(context, config, spec);
  translate_origins(context, config, spec);
  if (config.on_protocol_error() == Config::COUNT) spec.on_protocol_error = WebSocketSpec::OnProtocolError::count;
  return spec;
}

}  // namespace ringside
