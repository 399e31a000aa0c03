#include "tls/tls_context.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/err.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "core/check.h"
#include "tls/openssl_errors.h"
#include "tls/own_certificate.h"
#include "tls/tls_callbacks.h"
#include "tls/tls_tickets.h"

namespace ringside {
namespace {

constexpr const char* default_ciphers =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-CHACHA20-POLY1305:"
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384";
// The smaller key first: it is cheaper, and nobody breaks it either.
constexpr const char* default_suites = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
constexpr const char* default_curves = "X25519:P-256";

int version_number(TlsVersion version) {
  switch (version) {
    case TlsVersion::tls1_0: return TLS1_VERSION;
    case TlsVersion::tls1_1: return TLS1_1_VERSION;
    case TlsVersion::tls1_2: return TLS1_2_VERSION;
    case TlsVersion::tls1_3: return TLS1_3_VERSION;
  }
  return TLS1_3_VERSION;
}

// The machine's openssl.cnf must not change what a configuration means.
void initialize_library() { OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, nullptr); }

std::unexpected<TlsSpecError> refuse(std::string field, std::string reason) {
  ERR_clear_error();
  return std::unexpected(TlsSpecError{std::move(field), std::move(reason)});
}

// "[a|b]", "a:b" and "a" alike: preference groups become plain order.
std::vector<std::string> split_suites(const std::vector<std::string>& suites) {
  std::vector<std::string> names;
  for (const std::string& suite : suites) {
    std::string name;
    for (const char byte : suite + "|") {
      if (byte == '[' || byte == ']') continue;
      if (byte != '|' && byte != ':') {
        name += byte;
        continue;
      }
      if (!name.empty()) names.push_back(std::exchange(name, {}));
    }
  }
  return names;
}

bool knows_suite(const std::string& name) {
  const SslCtxPtr probe(SSL_CTX_new(TLS_method()));
  SSL_CTX_set_security_level(probe.get(), 0);
  const bool known = name.starts_with("TLS_") ? SSL_CTX_set_ciphersuites(probe.get(), name.c_str()) == 1
                                              : SSL_CTX_set_cipher_list(probe.get(), name.c_str()) == 1;
  ERR_clear_error();
  return known;
}

bool knows_curve(const std::string& name) {
  const SslCtxPtr probe(SSL_CTX_new(TLS_method()));
  const bool known = SSL_CTX_set1_groups_list(probe.get(), name.c_str()) == 1;
  ERR_clear_error();
  return known;
}

bool use_certificate(SSL_CTX& context, const OwnCertificate& certificate) {
  STACK_OF(X509)* chain = sk_X509_new_null();
  for (const X509Ptr& issuer : certificate.chain) sk_X509_push(chain, issuer.get());
  const bool used = SSL_CTX_use_cert_and_key(&context, certificate.leaf.get(), certificate.key.get(), chain, 1) == 1;
  sk_X509_free(chain);
  return used;
}

}  // namespace

std::expected<std::string, std::string> alpn_wire_format(const std::vector<std::string>& protocols) {
  std::string wire;
  for (const std::string& protocol : protocols) {
    if (protocol.empty() || protocol.size() > 255) {
      return std::unexpected("a protocol's name has 1 to 255 bytes, \"" + protocol + "\" has " + std::to_string(protocol.size()));
    }
    wire += static_cast<char>(protocol.size());
    wire += protocol;
  }
  return wire;
}

TlsContext::TlsContext(TlsSide side, TlsVerifier verifier) : side_(side), verifier_(std::move(verifier)) {
  context_ = SSL_CTX_new(side == TlsSide::server ? TLS_server_method() : TLS_client_method());
  RS_CHECK(context_ != nullptr);
  SSL_CTX_set_app_data(context_, this);
  SSL_CTX_set_mode(context_, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                 SSL_MODE_NO_AUTO_CHAIN);
  SSL_CTX_set_options(context_, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                    SSL_OP_PRIORITIZE_CHACHA);
  SSL_CTX_set_session_cache_mode(context_, side == TlsSide::server
                                               ? SSL_SESS_CACHE_OFF
                                               : SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
}

TlsContext::~TlsContext() {
  SSL_CTX_free(context_);
  if (key_log_fd_ >= 0) ::close(key_log_fd_);
}

TlsContext::Done TlsContext::set_versions(const TlsCommonSpec& spec) {
  if (spec.version_min > spec.version_max) {
    return refuse("tls_params.tls_minimum_protocol_version", "is higher than tls_maximum_protocol_version");
  }
  SSL_CTX_set_min_proto_version(context_, version_number(spec.version_min));
  SSL_CTX_set_max_proto_version(context_, version_number(spec.version_max));
  // The old versions sign with SHA-1, which the library allows at its lowest level only.
  if (spec.version_min < TlsVersion::tls1_2) SSL_CTX_set_security_level(context_, 0);
  return {};
}

TlsContext::Done TlsContext::set_ciphers(const std::vector<std::string>& suites) {
  std::string old_names, new_names, unknown;
  for (const std::string& name : split_suites(suites)) {
    if (!knows_suite(name)) unknown += (unknown.empty() ? "" : ", ") + name;
    std::string& list = name.starts_with("TLS_") ? new_names : old_names;
    list += (list.empty() ? "" : ":") + name;
  }
  if (!unknown.empty()) return refuse("tls_params.cipher_suites", "this build does not know: " + unknown);
  if (SSL_CTX_set_cipher_list(context_, old_names.empty() ? default_ciphers : old_names.c_str()) != 1 ||
      SSL_CTX_set_ciphersuites(context_, new_names.empty() ? default_suites : new_names.c_str()) != 1) {
    return refuse("tls_params.cipher_suites", take_openssl_error());
  }
  return {};
}

TlsContext::Done TlsContext::set_curves(const std::vector<std::string>& curves) {
  std::string list, unknown;
  for (const std::string& curve : curves) {
    if (!knows_curve(curve)) unknown += (unknown.empty() ? "" : ", ") + curve;
    list += (list.empty() ? "" : ":") + curve;
  }
  if (!unknown.empty()) return refuse("tls_params.ecdh_curves", "this build does not know: " + unknown);
  if (SSL_CTX_set1_groups_list(context_, list.empty() ? default_curves : list.c_str()) != 1) {
    return refuse("tls_params.ecdh_curves", take_openssl_error());
  }
  return {};
}

TlsContext::Done TlsContext::set_alpn(const std::vector<std::string>& protocols) {
  std::expected<std::string, std::string> wire = alpn_wire_format(protocols);
  if (!wire) return refuse("alpn_protocols", wire.error());
  if (wire->size() > 65535) return refuse("alpn_protocols", "together the names have more than 65535 bytes");
  alpn_wire_ = std::move(*wire);
  if (side_ == TlsSide::client && !alpn_wire_.empty()) {
    SSL_CTX_set_alpn_protos(context_, reinterpret_cast<const unsigned char*>(alpn_wire_.data()),
                            static_cast<unsigned>(alpn_wire_.size()));
  }
  return {};
}

TlsContext::Done TlsContext::load_certificates(const TlsCommonSpec& spec) {
  if (side_ == TlsSide::server && spec.certificates.empty()) {
    return refuse("tls_certificates", "a server needs a certificate");
  }
  if (side_ == TlsSide::client && spec.certificates.size() > 1) {
    return refuse("tls_certificates", "a client has one certificate at most");
  }
  for (size_t at = 0; at < spec.certificates.size(); ++at) {
    std::expected<OwnCertificate, TlsSpecError> loaded = load_own_certificate(spec.certificates[at], at, ocsp_policy_);
    if (!loaded) return std::unexpected(loaded.error());
    certificate_infos_.push_back(describe_certificate(*loaded->leaf));
    own_.push_back(std::move(*loaded));
  }
  return use_defaults();
}

// The first certificate of each key type is the one for clients that ask for no name, or for none of ours.
TlsContext::Done TlsContext::use_defaults() {
  for (size_t at = 0; at < own_.size(); ++at) {
    const auto before = std::find_if(own_.begin(), own_.end(), [&](const OwnCertificate& one) {
      return one.key_type == own_[at].key_type;
    });
    if (before != own_.begin() + static_cast<ptrdiff_t>(at)) continue;
    if (!use_certificate(*context_, own_[at])) {
      return refuse(fmt::format("tls_certificates[{}].certificate_chain", at), take_openssl_error());
    }
  }
  return {};
}

TlsContext::Done TlsContext::open_key_log(const std::string& path) {
  if (path.empty()) return {};
  key_log_fd_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (key_log_fd_ < 0) return refuse("key_log.path", fmt::format("{} cannot be written: {}", path, std::strerror(errno)));
  return {};
}

void TlsContext::describe_trusted() {
  STACK_OF(X509_OBJECT)* objects = X509_STORE_get0_objects(SSL_CTX_get_cert_store(context_));
  for (int at = 0; at < sk_X509_OBJECT_num(objects); ++at) {
    X509* certificate = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(objects, at));
    if (certificate == nullptr) continue;
    trusted_infos_.push_back(describe_certificate(*certificate));
    if (side_ == TlsSide::server) SSL_CTX_add_client_CA(context_, certificate);  // names, so that a client can choose
  }
}

TlsContextResult TlsContext::make(TlsSide side, const TlsCommonSpec& spec, OcspPolicy policy,
                                  std::shared_ptr<TlsContext>& made) {
  initialize_library();
  std::expected<TlsVerifier, TlsSpecError> verifier = TlsVerifier::make(spec.validation);
  if (!verifier) return std::unexpected(verifier.error());
  made = std::shared_ptr<TlsContext>(new TlsContext(side, std::move(*verifier)));
  made->ocsp_policy_ = policy;
  Done done = made->set_versions(spec);
  if (done) done = made->set_ciphers(spec.cipher_suites);
  if (done) done = made->set_curves(spec.curves);
  if (done) done = made->set_alpn(spec.alpn);
  if (done) done = made->load_certificates(spec);
  if (done) done = made->verifier_.install(*made->context_, spec.validation);
  if (done) done = made->open_key_log(spec.key_log_path);
  if (!done) return std::unexpected(done.error());
  made->describe_trusted();
  install_callbacks(*made->context_, side);
  return made;
}

TlsContextResult TlsContext::make_server(TlsServerSpec spec) {
  std::shared_ptr<TlsContext> made;
  TlsContextResult result = make(TlsSide::server, spec.common, spec.ocsp_policy, made);
  if (!result) return result;
  if (spec.require_client_certificate && !made->verifier_.checks() && !made->verifier_.accept_untrusted()) {
    return refuse("require_client_certificate", "needs a validation_context, or no certificate would ever be accepted");
  }
  if (spec.session_timeout < seconds(1) || spec.session_timeout > hours(24 * 7)) {
    return refuse("session_timeout", "must be between 1 s and 7 days");
  }
  if (spec.prefer_client_ciphers) SSL_CTX_clear_options(made->context_, SSL_OP_CIPHER_SERVER_PREFERENCE);
  made->set_client_verify(spec.require_client_certificate);
  made->set_tickets(spec);
  made->set_session_scope(spec);
  return made;
}

TlsContextResult TlsContext::make_client(TlsClientSpec spec) {
  std::shared_ptr<TlsContext> made;
  TlsContextResult result = make(TlsSide::client, spec.common, OcspPolicy::lenient, made);
  if (!result) return result;
  if (spec.server_name.size() > 255 || spec.server_name.find('\0') != spec.server_name.npos) {
    return refuse("sni", "a host name has at most 255 characters");
  }
  made->server_name_ = spec.server_name;
  made->allow_renegotiation_ = spec.allow_renegotiation;
  if (spec.allow_renegotiation) SSL_CTX_clear_options(made->context_, SSL_OP_NO_RENEGOTIATION);
  const bool checks = made->verifier_.checks() || made->verifier_.accept_untrusted();
  SSL_CTX_set_verify(made->context_, checks ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nullptr);
  return made;
}

void TlsContext::set_client_verify(bool require) {
  int mode = SSL_VERIFY_NONE;
  if (verifier_.checks() || verifier_.accept_untrusted()) mode = SSL_VERIFY_PEER;
  if (require || verifier_.demands_certificate()) mode = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
  SSL_CTX_set_verify(context_, mode, nullptr);
}

void TlsContext::set_tickets(const TlsServerSpec& spec) {
  ticket_keys_ = spec.ticket_keys != nullptr ? spec.ticket_keys : TlsTicketKeys::random();
  SSL_CTX_set_timeout(context_, static_cast<long>(duration_cast<seconds>(spec.session_timeout).count()));
  if (spec.stateless_resumption) return;
  SSL_CTX_set_options(context_, SSL_OP_NO_TICKET);
  SSL_CTX_set_num_tickets(context_, 0);
}

// A ticket is good only where the client would have been checked in the same way: whoever we are, and whom we trust.
void TlsContext::set_session_scope(const TlsServerSpec& spec) {
  const TlsValidationSpec& validation = spec.common.validation;
  std::string scope = fmt::format("{} {} {} {} {} {}\n", spec.require_client_certificate, validation.allow_expired,
                                  validation.crl_leaf_only, static_cast<int>(validation.trust_chain), validation.depth_max,
                                  own_.size());
  const auto add = [&](std::string_view part) { scope += fmt::format("{}:{}\n", part.size(), part); };
  for (const CertificateInfo& info : certificate_infos_) {
    add(info.subject);
    for (const auto* list : {&info.dns_sans, &info.uri_sans, &info.ip_sans})
      for (const std::string& name : *list) add(name);
  }
  add(validation.trusted_ca_pem);
  add(validation.crl_pem);
  for (const SanMatcherSpec& matcher : validation.subject_alt_names) {
    add(fmt::format("{}{}{}{}", static_cast<int>(matcher.type), static_cast<int>(matcher.how), matcher.ignore_case, matcher.text));
  }
  for (const auto* list : {&validation.certificate_sha256_hex, &validation.spki_sha256_base64}) {
    add(std::to_string(list->size()));
    for (const std::string& pin : *list) add(pin);
  }
  const std::string digest = sha256_bytes(scope);
  SSL_CTX_set_session_id_context(context_, reinterpret_cast<const unsigned char*>(digest.data()),
                                 static_cast<unsigned>(digest.size()));
}

ssl_st* TlsContext::new_connection() const {
  SSL* ssl = SSL_new(context_);
  RS_CHECK(ssl != nullptr);
  if (side_ == TlsSide::server)
    SSL_set_accept_state(ssl);
  else
    SSL_set_connect_state(ssl);
  return ssl;
}

}  // namespace ringside
