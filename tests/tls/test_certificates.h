#pragma once
// Certificates made at test time: authorities, leaves with every fault that a peer may show, revocation lists, OCSP responses.
#include <memory>
#include <string>
#include <vector>

#include "tls/tls_spec.h"

namespace ringside::testing {

enum class TestKey : uint8_t { p256, p384, rsa2048, rsa1024, ed25519 };

struct LeafSpec {
  std::string common_name = "leaf";
  // As OpenSSL's configuration writes it: "DNS:a.test,URI:spiffe://b,IP:127.0.0.1"; or "DER:3004..." for what it would not write.
  std::string names = "DNS:server.test";
  std::string extended_usage = "serverAuth,clientAuth";  // empty: no such extension
  std::string usage = "digitalSignature";
  long starts_in_seconds = -3600;
  long ends_in_seconds = 24 * 3600;
  TestKey key = TestKey::p256;
  bool is_authority = false;
  bool must_staple = false;
};

// A certificate with its key. Copies share them.
class TestCertificate {
 public:
  static TestCertificate self_signed(const LeafSpec& spec);
  static TestCertificate authority(const std::string& name);
  TestCertificate issue(const LeafSpec& spec) const;

  const std::string& pem() const { return pem_; }
  std::string key_pem() const;
  std::string encrypted_key_pem(const std::string& password) const;
  // Revokes what is listed. Signed by this certificate.
  std::string crl(const std::vector<TestCertificate>& revoked, long ends_in_seconds = 3600) const;
  // This authority's answer that `leaf` is good.
  std::string ocsp_good(const TestCertificate& leaf, long ends_in_seconds) const;
  std::string sha256_hex() const;
  std::string spki_base64() const;
  // As a server or client shows it; `issuers` follow the leaf in the chain.
  TlsCertificateSpec spec(const std::string& issuers = {}) const;

 private:
  struct Parts;
  std::shared_ptr<Parts> parts_;
  std::string pem_;
};


}  // namespace ringside::testing
