// What a connection can tell about itself and its peer.
#include "core/check.h"
#include "tls/certificate_info.h"
#include "tls/own_certificate.h"
#include "tls/tls_transport.h"

namespace ringside {
namespace {

std::string_view or_empty(const char* text) { return text != nullptr ? std::string_view(text) : std::string_view(); }

std::string_view curve_name(SSL* ssl) {
  switch (SSL_get_negotiated_group(ssl)) {
    case NID_undef: return {};
    case NID_X25519: return "X25519";
    case NID_X448: return "X448";
    case NID_X9_62_prime256v1: return "P-256";
    case NID_secp384r1: return "P-384";
    case NID_secp521r1: return "P-521";
    default: return "other";
  }
}

struct SignatureName {
  int type, hash;
  std::string_view name;
};
constexpr SignatureName signature_names[] = {
    {EVP_PKEY_RSA, NID_sha1, "rsa_pkcs1_sha1"},
    {EVP_PKEY_RSA, NID_sha256, "rsa_pkcs1_sha256"},
    {EVP_PKEY_RSA, NID_sha384, "rsa_pkcs1_sha384"},
    {EVP_PKEY_RSA, NID_sha512, "rsa_pkcs1_sha512"},
    {EVP_PKEY_RSA_PSS, NID_sha256, "rsa_pss_rsae_sha256"},
    {EVP_PKEY_RSA_PSS, NID_sha384, "rsa_pss_rsae_sha384"},
    {EVP_PKEY_RSA_PSS, NID_sha512, "rsa_pss_rsae_sha512"},
    {EVP_PKEY_EC, NID_sha1, "ecdsa_sha1"},
    {EVP_PKEY_EC, NID_sha256, "ecdsa_secp256r1_sha256"},
    {EVP_PKEY_EC, NID_sha384, "ecdsa_secp384r1_sha384"},
    {EVP_PKEY_EC, NID_sha512, "ecdsa_secp521r1_sha512"},
};

std::string_view signature_name(SSL* ssl) {
  int type = NID_undef, hash = NID_undef;
  if (SSL_get_peer_signature_type_nid(ssl, &type) != 1) return {};
  if (type == EVP_PKEY_ED25519) return "ed25519";
  SSL_get_peer_signature_nid(ssl, &hash);
  for (const SignatureName& known : signature_names) {
    if (known.type == type && known.hash == hash) return known.name;
  }
  return "other";
}

std::string_view alpn_of(SSL* ssl) {
  const unsigned char* alpn = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(ssl, &alpn, &size);
  return {reinterpret_cast<const char*>(alpn), size};
}

TlsFacts facts_of(SSL* ssl) {
  return {.version = or_empty(SSL_get_version(ssl)),
          .cipher = or_empty(SSL_get_cipher_name(ssl)),
          .curve = curve_name(ssl),
          .signature = signature_name(ssl),
          .alpn = alpn_of(ssl),
          .server_name = or_empty(SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name)),
          .resumed = SSL_session_reused(ssl) == 1};
}

std::string der_of(X509* certificate) {
  unsigned char* bytes = nullptr;
  const int size = i2d_X509(certificate, &bytes);
  RS_CHECK(size > 0);
  std::string der(reinterpret_cast<const char*>(bytes), static_cast<size_t>(size));
  OPENSSL_free(bytes);
  return der;
}

X509Ptr certificate_of(const std::string& der) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(der.data());
  return X509Ptr(d2i_X509(nullptr, &bytes, static_cast<long>(der.size())));
}

const CertificateInfo* own_certificate_of(SSL* ssl, const TlsContext& context) {
  const X509* leaf = SSL_get_certificate(ssl);
  for (size_t at = 0; at < context.own().size(); ++at) {
    if (context.own()[at].leaf.get() == leaf) return &context.certificates()[at];
  }
  return nullptr;
}

}  // namespace

void TlsTransport::note_agreement() {
  const TlsFacts facts = facts_of(ssl_);
  agreement_ = std::make_unique<Agreement>(Agreement{.version = facts.version,
                                                     .cipher = facts.cipher,
                                                     .curve = facts.curve,
                                                     .signature = facts.signature,
                                                     .alpn = std::string(facts.alpn),
                                                     .server_name = std::string(facts.server_name),
                                                     .peer_der = {},
                                                     .peer = nullptr,
                                                     .own = own_certificate_of(ssl_, *context_),
                                                     .resumed = facts.resumed});
  if (X509* peer = SSL_get0_peer_certificate(ssl_)) agreement_->peer_der = der_of(peer);
}

TlsFacts TlsTransport::facts() const {
  if (agreement_ == nullptr) return ssl_ != nullptr ? facts_of(ssl_) : TlsFacts{};
  const Agreement& agreed = *agreement_;
  return {agreed.version, agreed.cipher, agreed.curve, agreed.signature, agreed.alpn, agreed.server_name, agreed.resumed};
}

std::string_view TlsTransport::alpn() const {
  if (agreement_ != nullptr) return agreement_->alpn;
  return ssl_ != nullptr ? alpn_of(ssl_) : std::string_view();
}

void TlsTransport::count_facts() {
  if (stats_ == nullptr) return;
  const TlsFacts facts = this->facts();
  count(negotiated_stat("versions", facts.version));
  count(negotiated_stat("ciphers", facts.cipher));
  if (!facts.curve.empty()) count(negotiated_stat("curves", facts.curve));
  if (!facts.signature.empty()) count(negotiated_stat("sigalgs", facts.signature));
}

const CertificateInfo* TlsTransport::peer_certificate() const {
  if (agreement_ == nullptr || agreement_->peer_der.empty()) return nullptr;
  if (agreement_->peer == nullptr)
    agreement_->peer = std::make_unique<CertificateInfo>(describe_certificate(*certificate_of(agreement_->peer_der)));
  return agreement_->peer.get();
}

bool TlsTransport::has_peer_certificate() const {
  return agreement_ != nullptr && !agreement_->peer_der.empty();
}

std::string TlsTransport::peer_pem() const {
  if (agreement_ == nullptr || agreement_->peer_der.empty()) return {};
  return certificate_pem(*certificate_of(agreement_->peer_der));
}

// A server's library keeps the leaf apart from its issuers, a client's does not.
std::string TlsTransport::peer_chain_pem() const {
  if (agreement_ != nullptr && agreement_->chain_pem != nullptr) return *agreement_->chain_pem;
  if (ssl_ == nullptr) return peer_pem();
  const STACK_OF(X509)* chain = SSL_get_peer_cert_chain(ssl_);
  std::string pem = context_->side() == TlsSide::server ? peer_pem() : std::string();
  for (int at = 0; at < sk_X509_num(chain); ++at) pem += certificate_pem(*sk_X509_value(chain, at));
  return pem;
}

// Both stacks belong to the connection, and nothing looks into them after the handshake. The leaf stays with the session.
void TlsTransport::drop_issuers() {
  for (STACK_OF(X509) * chain : {SSL_get_peer_cert_chain(ssl_), SSL_get0_verified_chain(ssl_)}) {
    while (X509* certificate = sk_X509_pop(chain)) X509_free(certificate);
  }
}

const CertificateInfo* TlsTransport::local_certificate() const {
  if (agreement_ != nullptr) return agreement_->own;
  return ssl_ != nullptr ? own_certificate_of(ssl_, *context_) : nullptr;
}

}  // namespace ringside
