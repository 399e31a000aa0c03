#pragma once
// Messages that several others hold: addresses, texts from elsewhere, the node, access logs and protocol options.
#include <google/protobuf/repeated_ptr_field.h>

#include <optional>
#include <string>
#include <vector>

#include "accesslog.pb.h"
#include "control/translate_context.h"
#include "core.pb.h"
#include "matcher_string.pb.h"
#include "proxy/specs.h"

namespace ringside {

// An IP literal with its port, or a unix path; anything else is reported. `parent` and `number` are the field that holds it.
std::optional<Address> translate_address(TranslateContext& context, const google::protobuf::Message& parent, int number,
                                         const envoy::config::core::v3::Address& address);
// The port of an address; 0, and reported, when it is missing or too large.
uint16_t check_port(TranslateContext& context, const envoy::config::core::v3::SocketAddress& socket);
// The text of a source, which may be a file; nothing, and reported, when it cannot be had or is larger than `bytes_max`.
enum class FileUse : uint8_t { once, watched };
std::optional<std::string> translate_data_source(TranslateContext& context,
                                                 const envoy::config::core::v3::DataSource& source, size_t bytes_max,
                                                 FileUse use = FileUse::once);
// Something to watch must be named.
void check_directory(TranslateContext& context, const envoy::config::core::v3::WatchedDirectory& directory);
// IP addresses; what is none is reported.
std::vector<CidrSpec> translate_ranges(TranslateContext& context,
                                       const google::protobuf::RepeatedPtrField<envoy::config::core::v3::CidrRange>& ranges);
// A regular expression that is none is reported.
TextMatchSpec translate_matcher(TranslateContext& context, const envoy::type::matcher::v3::StringMatcher& matcher);
NodeSpec translate_node(TranslateContext& context, const envoy::config::core::v3::Node& node);
std::vector<AccessLogSpec> translate_access_logs(
    TranslateContext& context, const google::protobuf::RepeatedPtrField<envoy::config::accesslog::v3::AccessLog>& logs);
void translate_http_protocol(TranslateContext& context, const envoy::config::core::v3::HttpProtocolOptions& options,
                             HttpProtocolSpec& into);

void translate_http2(TranslateContext& context, const envoy::config::core::v3::Http2ProtocolOptions& options,
                     Http2Spec& into);

// What is wrong with this protocol beside the ones before it; empty: nothing.
std::string upgrade_problem(const std::string& type, const std::vector<UpgradeSpec>& before);
// upgrade_configs of a connection manager or a route: `number` in `holder`.
template <class Config>
std::vector<UpgradeSpec> translate_upgrades(TranslateContext& context, const google::protobuf::Message& holder, int number,
                                            const google::protobuf::RepeatedPtrField<Config>& configs) {
  std::vector<UpgradeSpec> upgrades;
  for (int i = 0; i < configs.size(); ++i) {
    const Config& config = configs[i];
    if (const std::string wrong = upgrade_problem(config.upgrade_type(), upgrades); !wrong.empty()) {
      context.fail(holder, number, wrong, {}, i);
      continue;
    }
    UpgradeSpec& upgrade = upgrades.emplace_back(UpgradeSpec{.type = config.upgrade_type()});
    context.flag(config, Config::kEnabledFieldNumber, upgrade.enabled);
  }
  return upgrades;
}

}  // namespace ringside
