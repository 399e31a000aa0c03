// What a connection can tell about itself and its peer.
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

std::string_view hash_name(int nid) {
  switch (nid) {
    case NID_sha1: return "sha1";
    case NID_sha256: return "sha256";
    case NID_sha384: return "sha384";
    case NID_sha512: return "sha512";
    default: return "other";
  }
}

std::string signature_name(SSL* ssl) {
  int type = NID_undef, hash = NID_undef;
  if (SSL_get_peer_signature_type_nid(ssl, &type) != 1) return {};
  SSL_get_peer_signature_nid(ssl, &hash);
  const std::string hashed(hash_name(hash));
  switch (type) {
    case EVP_PKEY_RSA: return "rsa_pkcs1_" + hashed;
    case EVP_PKEY_RSA_PSS: return "rsa_pss_rsae_" + hashed;
    case EVP_PKEY_ED25519: return "ed25519";
    case EVP_PKEY_EC:
      if (hash == NID_sha256) return "ecdsa_secp256r1_sha256";
      if (hash == NID_sha384) return "ecdsa_secp384r1_sha384";
      if (hash == NID_sha512) return "ecdsa_secp521r1_sha512";
      return "ecdsa_" + hashed;
    default: return "other";
  }
}

}  // namespace

TlsFacts TlsTransport::facts() const {
  TlsFacts facts;
  facts.version = or_empty(SSL_get_version(ssl_));
  facts.cipher = or_empty(SSL_get_cipher_name(ssl_));
  facts.curve = curve_name(ssl_);
  facts.signature = signature_name(ssl_);
  facts.server_name = or_empty(SSL_get_servername(ssl_, TLSEXT_NAMETYPE_host_name));
  facts.resumed = SSL_session_reused(ssl_) == 1;
  facts.alpn = alpn();
  return facts;
}

std::string_view TlsTransport::alpn() const {
  const unsigned char* alpn = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(ssl_, &alpn, &size);
  return {reinterpret_cast<const char*>(alpn), size};
}

void TlsTransport::count_facts() {
  if (stats_ == nullptr) return;
  const TlsFacts facts = this->facts();
  count(negotiated_stat("versions", facts.version));
  count(negotiated_stat("ciphers", facts.cipher));
  if (!facts.curve.empty()) count(negotiated_stat("curves", facts.curve));
  if (!facts.signature.empty()) count(negotiated_stat("sigalgs", facts.signature));
}

std::optional<CertificateInfo> TlsTransport::peer_certificate() const {
  X509* peer = SSL_get0_peer_certificate(ssl_);
  if (peer == nullptr) return std::nullopt;
  return describe_certificate(*peer);
}

std::string TlsTransport::peer_pem() const {
  X509* peer = SSL_get0_peer_certificate(ssl_);
  return peer != nullptr ? certificate_pem(*peer) : std::string();
}

// A server's library keeps the leaf apart from its issuers, a client's does not.
std::string TlsTransport::peer_chain_pem() const {
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
  const X509* leaf = SSL_get_certificate(ssl_);
  for (size_t at = 0; at < context_->own().size(); ++at) {
    if (context_->own()[at].leaf.get() == leaf) return &context_->certificates()[at];
  }
  return nullptr;
}

}  // namespace ringside
