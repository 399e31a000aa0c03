#include "proxy/upgrade.h"

#include <optional>

#include "codecs/ascii.h"
#include "codecs/http_text.h"

namespace ringside {
namespace {

std::optional<bool> find(std::span<const UpgradeSpec> upgrades, std::string_view protocol) {
  for (const UpgradeSpec& upgrade : upgrades)
    if (equals_any_case(upgrade.type, protocol)) return upgrade.enabled;
  return std::nullopt;
}

}  // namespace

std::string_view allowed_upgrade(std::string_view offered, std::span<const UpgradeSpec> route, std::span<const UpgradeSpec> manager) {
  while (!offered.empty()) {
    const size_t comma = offered.find(',');
    const std::string_view protocol = http::trim(offered.substr(0, comma));
    offered = comma == std::string_view::npos ? std::string_view{} : offered.substr(comma + 1);
    std::optional<bool> enabled = find(route, protocol);
    if (!enabled) enabled = find(manager, protocol);
    if (enabled.value_or(false)) return protocol;
  }
  return {};
}

}  // namespace ringside
