#pragma once
// One condition on the alternative names of a peer's certificate.
#include <expected>
#include <memory>
#include <string>
#include <string_view>

#include "tls/certificate_names.h"
#include "tls/tls_spec.h"

namespace re2 {
class RE2;
}

namespace ringside {

class SanMatcher {
 public:
  // The error is a sentence about `spec.text`.
  static std::expected<SanMatcher, std::string> make(const SanMatcherSpec& spec);
  SanMatcher(SanMatcher&&) noexcept;
  SanMatcher& operator=(SanMatcher&&) noexcept;
  ~SanMatcher();

  bool matches(const CertificateName& name) const;

 private:
  explicit SanMatcher(const SanMatcherSpec& spec);
  SanMatcherSpec spec_;
  std::unique_ptr<const re2::RE2> regex_;
};

// Whether a certificate with the DNS name `pattern` is one for `host`: equal without regard to case, or a wildcard that stands
// for exactly the first label.
bool dns_name_matches(std::string_view pattern, std::string_view host);

}  // namespace ringside
