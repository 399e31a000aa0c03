#include "tls/tls_stats.h"

namespace ringside {

TlsStat negotiated_stat(std::string_view group, std::string_view name) {
  size_t other = static_cast<size_t>(TlsStat::version_1_3);
  for (size_t at = static_cast<size_t>(TlsStat::version_1_0); at < tls_stat_defs.size(); ++at) {
    std::string_view text = tls_stat_defs[at].name.substr(4);
    if (!text.starts_with(group) || !text.substr(group.size()).starts_with('.')) continue;
    text.remove_prefix(group.size() + 1);
    if (text == name) return static_cast<TlsStat>(at);
    if (text == "other") other = at;
  }
  return static_cast<TlsStat>(other);
}

}  // namespace ringside
