#include "proxy/route/domain_index.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace ringside {
namespace {

// ASCII letters of eight bytes to lower case. A byte with its top bit set is no letter.
uint64_t fold_eight(uint64_t x) {
  constexpr uint64_t ones = 0x0101010101010101;
  const uint64_t low = x & (ones * 0x7f);
  const uint64_t from_a = low + ones * (0x80 - 'A');       // top bit: 'A' or above
  const uint64_t above_z = low + ones * (0x80 - 'Z' - 1);  // top bit: above 'Z'
  const uint64_t upper = (from_a & ~above_z & ~x) & (ones * 0x80);
  return x | upper >> 2;  // 0x80 >> 2 is 0x20
}

uint64_t load(const char* from, size_t bytes) {
  uint64_t value = 0;
  if (bytes > 0) std::memcpy(&value, from, bytes);
  return value;
}

__extension__ typedef unsigned __int128 Wide;

uint64_t fold_and_mix(uint64_t seed, uint64_t value) {
  const auto product = static_cast<Wide>(seed ^ fold_eight(value)) * 0x9e3779b97f4a7c15u;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

// `text` in any case is `lower_case`.
bool same_folded(std::string_view lower_case, std::string_view text) {
  if (lower_case.size() != text.size()) return false;
  size_t at = 0;
  for (; at + 8 <= text.size(); at += 8)
    if (load(lower_case.data() + at, 8) != fold_eight(load(text.data() + at, 8))) return false;
  const size_t left = text.size() - at;
  return load(lower_case.data() + at, left) == fold_eight(load(text.data() + at, left));
}

std::string_view without_port(std::string_view authority) {
  const size_t colon = authority.rfind(':');
  if (colon == std::string_view::npos) return authority;
  const size_t bracket = authority.rfind(']');
  if (bracket != std::string_view::npos && bracket > colon) return authority;  // a colon of an IPv6 literal
  return authority.substr(0, colon);
}

}  // namespace

uint64_t DomainIndex::hash(Kind kind, std::string_view text) {
  uint64_t state = fold_and_mix(static_cast<uint64_t>(kind) + 0x517cc1b727220a95, text.size());
  size_t at = 0;
  for (; at + 8 <= text.size(); at += 8) state = fold_and_mix(state, load(text.data() + at, 8));
  return fold_and_mix(state, load(text.data() + at, text.size() - at));
}

std::expected<DomainIndex, std::string> DomainIndex::build(const std::vector<Domain>& domains, HostPort port) {
  DomainIndex index;
  index.port_ = port;
  index.entries_.reserve(domains.size());
  index.slots_.resize(std::bit_ceil(domains.size() * 2 + 1));
  for (const Domain& domain : domains)
    if (auto added = index.add(domain); !added) return std::unexpected(added.error());
  index.collect_lengths();
  return index;
}

std::expected<void, std::string> DomainIndex::add(Domain domain) {
  const auto twice = [&] { return std::unexpected("domain \"" + std::string(domain.text) + "\" is there twice"); };
  if (domain.text == "*") {
    if (default_host_ != none) return twice();
    default_host_ = domain.host;
    return {};
  }
  Entry entry{domain.text, domain.host, Kind::exact};
  if (domain.text.starts_with('*')) {
    entry.kind = Kind::suffix;
    entry.text.remove_prefix(1);
  } else if (domain.text.ends_with('*')) {
    entry.kind = Kind::prefix;
    entry.text.remove_suffix(1);
  }
  if (entry.text.empty()) return std::unexpected(std::string("a domain is empty"));
  if (find(entry.kind, entry.text) != nullptr) return twice();
  entries_.push_back(entry);
  insert(static_cast<uint32_t>(entries_.size()));
  return {};
}

void DomainIndex::insert(uint32_t number) {
  const Entry& entry = entries_[number - 1];
  size_t slot = hash(entry.kind, entry.text) & (slots_.size() - 1);
  while (slots_[slot] != 0) slot = (slot + 1) & (slots_.size() - 1);
  slots_[slot] = number;
}

// All suffixes before all prefixes, the longest of each first.
void DomainIndex::collect_lengths() {
  for (const Entry& entry : entries_)
    if (entry.kind != Kind::exact) wildcards_.push_back({static_cast<uint32_t>(entry.text.size()), entry.kind});
  const auto order = [](const WildcardLength& a, const WildcardLength& b) {
    return a.kind != b.kind ? a.kind == Kind::suffix : a.bytes > b.bytes;
  };
  std::sort(wildcards_.begin(), wildcards_.end(), order);
  const auto same = [](const WildcardLength& a, const WildcardLength& b) {
    return a.kind == b.kind && a.bytes == b.bytes;
  };
  wildcards_.erase(std::unique(wildcards_.begin(), wildcards_.end(), same), wildcards_.end());
  wildcards_.shrink_to_fit();
}

const DomainIndex::Entry* DomainIndex::find(Kind kind, std::string_view text) const {
  for (size_t slot = hash(kind, text) & (slots_.size() - 1); slots_[slot] != 0;
       slot = (slot + 1) & (slots_.size() - 1)) {
    const Entry& entry = entries_[slots_[slot] - 1];
    if (entry.kind == kind && same_folded(entry.text, text)) return &entry;
  }
  return nullptr;
}

uint32_t DomainIndex::match(std::string_view authority) const {
  if (entries_.empty()) return default_host_;
  const std::string_view host = port_ == HostPort::ignore ? without_port(authority) : authority;
  if (const Entry* entry = find(Kind::exact, host)) return entry->host;
  for (const WildcardLength& wildcard : wildcards_) {
    if (wildcard.bytes >= host.size()) continue;  // the star stands for one character at least
    const std::string_view part =
        wildcard.kind == Kind::suffix ? host.substr(host.size() - wildcard.bytes) : host.substr(0, wildcard.bytes);
    if (const Entry* entry = find(wildcard.kind, part)) return entry->host;
  }
  return default_host_;
}

size_t DomainIndex::memory_bytes() const {
  return entries_.capacity() * sizeof(Entry) + slots_.capacity() * sizeof(uint32_t) +
         wildcards_.capacity() * sizeof(WildcardLength);
}

}  // namespace ringside
