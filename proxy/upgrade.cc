#include "proxy/upgrade.h"

#include "codecs/ascii.h"
#include "codecs/http_text.h"

namespace ringside {
namespace {

const UpgradeSpec* find(std::span<const UpgradeSpec> upgrades, std::string_view protocol) {
  for (const UpgradeSpec& upgrade : upgrades)
    if (equals_any_case(upgrade.type, protocol)) return &upgrade;
  return nullptr;
}

}  // namespace

AllowedUpgrade allowed_upgrade(UpgradeKind kind, std::string_view offered, std::span<const UpgradeSpec> route,
                               std::span<const UpgradeSpec> manager) {
  while (!offered.empty()) {
    const size_t comma = offered.find(',');
    const std::string_view protocol = http::trim(offered.substr(0, comma));
    offered = comma == std::string_view::npos ? std::string_view{} : offered.substr(comma + 1);
    const UpgradeSpec* spec = find(route, protocol);
    if (spec == nullptr) spec = find(manager, protocol);
    if (spec != nullptr && spec->enabled && (kind == UpgradeKind::connect || !equals_any_case(protocol, "connect"))) return {protocol, spec->terminates};
  }
  return {};
}

}  // namespace ringside
