#pragma once
// A certificate that we show, with its key; for the sources of this folder only.
#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "core/time.h"
#include "tls/openssl_types.h"
#include "tls/tls_spec.h"

namespace ringside {

struct OwnCertificate {
  X509Ptr leaf;
  std::vector<X509Ptr> chain;
  KeyPtr key;
  int key_type = 0;                    // EVP_PKEY_RSA, EVP_PKEY_EC, ...
  std::vector<std::string> dns_names;  // the common name when it has none
  std::string ocsp_der;
  WallTime ocsp_expiry{};
};

enum class NameFit : uint8_t { none, wildcard, exact };
NameFit fit_of(const OwnCertificate& certificate, std::string_view server_name);

// `index` is the certificate's place in tls_certificates, for the error.
std::expected<OwnCertificate, TlsSpecError> load_own_certificate(const TlsCertificateSpec& spec, size_t index,
                                                                 OcspPolicy policy);

}  // namespace ringside
