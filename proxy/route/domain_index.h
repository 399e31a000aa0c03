#pragma once
// Finds the virtual host of an authority: exact domain, longest "*suffix", longest "prefix*", "*", as Envoy does.
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

namespace ringside {

enum class HostPort : bool { compare, ignore };

class DomainIndex {
 public:
  static constexpr uint32_t none = UINT32_MAX;
  // A domain of a virtual host, in lower case; the text must live as long as this.
  struct Domain {
    std::string_view text;
    uint32_t host = 0;
  };
  DomainIndex() = default;
  // The error says which domain is there twice, or makes no sense.
  static std::expected<DomainIndex, std::string> build(const std::vector<Domain>& domains, HostPort port);
  // Letters of `authority` may be of any case. `none` when no domain fits.
  uint32_t match(std::string_view authority) const;
  size_t memory_bytes() const;

 private:
  enum class Kind : uint8_t { exact, suffix, prefix };
  struct Entry {
    std::string_view text;  // without the star
    uint32_t host = 0;
    Kind kind = Kind::exact;
  };
  // Wildcards of one kind and length, longest first.
  struct WildcardLength {
    uint32_t bytes = 0;
    Kind kind = Kind::suffix;
  };
  static uint64_t hash(Kind kind, std::string_view text);
  const Entry* find(Kind kind, std::string_view text) const;
  void insert(uint32_t entry);
  std::expected<void, std::string> add(Domain domain);
  void collect_lengths();

  std::vector<Entry> entries_;
  std::vector<uint32_t> slots_;            // open addressing, a power of two: index into entries_ plus one, 0 is free
  std::vector<WildcardLength> wildcards_;  // in the order in which they are tried
  uint32_t default_host_ = none;
  HostPort port_ = HostPort::compare;
};

}  // namespace ringside
