#include "tls/tls_callbacks.h"

#include <openssl/core_names.h>
#include <openssl/rand.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "tls/own_certificate.h"
#include "tls/tls_tickets.h"

namespace ringside {
namespace {

const TlsContext& context_of(const SSL* ssl) {
  return *static_cast<const TlsContext*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)));
}

TlsConnectionPort* port_of(const SSL* ssl) { return static_cast<TlsConnectionPort*>(SSL_get_app_data(ssl)); }

int on_verify(X509_STORE_CTX* store, void*) {
  const auto* ssl = static_cast<const SSL*>(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
  TlsConnectionPort* port = port_of(ssl);
  PeerCheck* check = port != nullptr ? port->peer_check() : nullptr;
  return check != nullptr && context_of(ssl).verifier().verify(*store, *check) ? 1 : 0;
}

// Our preference among what the client offers. Without a common protocol the handshake goes on without ALPN.
int on_alpn(SSL* ssl, const unsigned char** out, unsigned char* out_size, const unsigned char* offered, unsigned offered_size,
            void*) {
  const std::string& ours = context_of(ssl).alpn_wire();
  unsigned char* chosen = nullptr;
  const int found = SSL_select_next_proto(&chosen, out_size, reinterpret_cast<const unsigned char*>(ours.data()),
                                          static_cast<unsigned>(ours.size()), offered, offered_size);
  *out = chosen;
  return found == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

bool use_certificate(SSL* ssl, const OwnCertificate& certificate) {
  STACK_OF(X509)* chain = sk_X509_new_null();
  for (const X509Ptr& issuer : certificate.chain) sk_X509_push(chain, issuer.get());
  const bool used = SSL_use_cert_and_key(ssl, certificate.leaf.get(), certificate.key.get(), chain, 1) == 1;
  sk_X509_free(chain);
  return used;
}

// Certificates for the name that was asked for replace the default ones: the best fit of each key type.
int on_certificate(SSL* ssl, void*) {
  const char* server_name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
  if (server_name == nullptr) return 1;
  const std::vector<OwnCertificate>& own = context_of(ssl).own();
  NameFit best = NameFit::none;
  for (const OwnCertificate& certificate : own) best = std::max(best, fit_of(certificate, server_name));
  if (best == NameFit::none) return 1;
  SSL_certs_clear(ssl);
  std::vector<int> types;
  for (const OwnCertificate& certificate : own) {
    if (fit_of(certificate, server_name) != best) continue;
    if (std::find(types.begin(), types.end(), certificate.key_type) != types.end()) continue;
    types.push_back(certificate.key_type);
    if (!use_certificate(ssl, certificate)) return 0;
  }
  return 1;
}

const OwnCertificate* chosen_certificate(SSL* ssl) {
  const X509* leaf = SSL_get_certificate(ssl);
  for (const OwnCertificate& certificate : context_of(ssl).own()) {
    if (certificate.leaf.get() == leaf) return &certificate;
  }
  return nullptr;
}

// Called when the client asked for a response.
int on_ocsp_status(SSL* ssl, void*) {
  TlsConnectionPort& port = *port_of(ssl);
  port.count(TlsStat::ocsp_staple_requests);
  const OwnCertificate* certificate = chosen_certificate(ssl);
  const bool there = certificate != nullptr && !certificate->ocsp_der.empty();
  const bool valid = there && certificate->ocsp_expiry >= port.wall_now();
  const OcspPolicy policy = context_of(ssl).ocsp_policy();
  if (valid) {
    auto* copy = static_cast<unsigned char*>(OPENSSL_memdup(certificate->ocsp_der.data(), certificate->ocsp_der.size()));
    SSL_set_tlsext_status_ocsp_resp(ssl, copy, static_cast<long>(certificate->ocsp_der.size()));
    port.count(TlsStat::ocsp_staple_responses);
    return SSL_TLSEXT_ERR_OK;
  }
  if (policy == OcspPolicy::must_staple || (policy == OcspPolicy::strict && there)) {
    port.count(TlsStat::ocsp_staple_failed);
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  }
  port.count(TlsStat::ocsp_staple_omitted);
  return SSL_TLSEXT_ERR_NOACK;
}

bool key_mac(EVP_MAC_CTX* mac, const TlsTicketKey& key) {
  char digest[] = "SHA256";
  const OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, const_cast<unsigned char*>(key.hmac.data()), key.hmac.size()),
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0), OSSL_PARAM_construct_end()};
  return EVP_MAC_CTX_set_params(mac, parameters) == 1;
}

// 0: no such key, 1: use it, 2: use it and send a new ticket.
int on_ticket(SSL* ssl, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac, int seal) {
  const TlsTicketKeys& keys = context_of(ssl).ticket_keys();
  if (seal == 1) {
    const TlsTicketKey& key = keys.sealing();
    std::memcpy(name, key.name.data(), key.name.size());
    if (RAND_bytes(iv, 16) != 1) return -1;
    const bool good = EVP_EncryptInit_ex(cipher, EVP_aes_256_cbc(), nullptr, key.aes.data(), iv) == 1 && key_mac(mac, key);
    return good ? 1 : -1;
  }
  const TlsTicketKey* key = keys.find(name);
  if (key == nullptr) return 0;
  if (!key_mac(mac, *key) || EVP_DecryptInit_ex(cipher, EVP_aes_256_cbc(), nullptr, key->aes.data(), iv) != 1) return -1;
  // In TLS 1.3 a ticket is used once, so each resumption needs the next one.
  return key == &keys.sealing() && SSL_version(ssl) != TLS1_3_VERSION ? 1 : 2;
}

int on_new_session(SSL* ssl, SSL_SESSION* session) {
  TlsConnectionPort* port = port_of(ssl);
  return port != nullptr && port->on_session(*session) ? 1 : 0;
}

// NSS format, one line per write, so that several workers may append to one file.
void on_key_log(const SSL* ssl, const char* line) {
  if (TlsConnectionPort* port = port_of(ssl)) port->on_secret(line);
  if (context_of(ssl).key_log_fd() < 0) return;
  const std::string text = std::string(line) + "\n";
  [[maybe_unused]] const ssize_t written = ::write(context_of(ssl).key_log_fd(), text.data(), text.size());
}

void on_message(int sent, int, int content_type, const void* message, size_t size, SSL* ssl, void*) {
  if (sent != 0 || content_type != SSL3_RT_HANDSHAKE || size == 0) return;
  if (TlsConnectionPort* port = port_of(ssl)) port->on_handshake_message(*static_cast<const uint8_t*>(message));
}

}  // namespace

void install_callbacks(SSL_CTX& context, TlsSide side) {
  const auto& owner = *static_cast<const TlsContext*>(SSL_CTX_get_app_data(&context));
  SSL_CTX_set_cert_verify_callback(&context, on_verify, nullptr);
  SSL_CTX_set_msg_callback(&context, on_message);
  SSL_CTX_set_keylog_callback(&context, on_key_log);
  if (side == TlsSide::client) return SSL_CTX_sess_set_new_cb(&context, on_new_session);
  if (!owner.alpn_wire().empty()) SSL_CTX_set_alpn_select_cb(&context, on_alpn, nullptr);
  if (owner.own().size() > 1) SSL_CTX_set_cert_cb(&context, on_certificate, nullptr);
  SSL_CTX_set_tlsext_status_cb(&context, on_ocsp_status);
  SSL_CTX_set_tlsext_ticket_key_evp_cb(&context, on_ticket);
}

}  // namespace ringside
