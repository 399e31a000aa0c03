#pragma once
// What a TLS context is made of: plain values, translated from a DownstreamTlsContext or UpstreamTlsContext by control.
#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/time.h"
#include "tls/secret_text.h"

namespace ringside {

class TlsTicketKeys;

enum class TlsVersion : uint8_t { tls1_0, tls1_1, tls1_2, tls1_3 };

// Which of a certificate's names a matcher looks at. `any` is every type below it.
enum class SanType : uint8_t { any, dns, uri, ip, email };
enum class TextMatch : uint8_t { exact, prefix, suffix, contains, regex };

struct SanMatcherSpec {
  SanType type = SanType::any;
  TextMatch how = TextMatch::exact;
  std::string text;  // for regex: RE2 syntax, must match the whole name
  bool ignore_case = false;
};

enum class TrustChain : uint8_t {
  verify,            // a peer whose certificate does not stand the checks is refused
  accept_untrusted,  // it is accepted; TlsTransport::peer_validated() tells
};

// What to do with a client that asks for an OCSP response.
enum class OcspPolicy : uint8_t {
  lenient,      // staple it if there is a valid one
  strict,       // refuse the connection if the one that there is has expired
  must_staple,  // refuse the connection unless there is a valid one
};

struct TlsCertificateSpec {
  std::string chain_pem;  // the leaf first
  SecretText private_key_pem;
  SecretText password;
  std::string ocsp_staple_der;  // empty: none
};

struct TlsValidationSpec {
  std::string trusted_ca_pem;  // certificates, and CRLs if there are any
  std::string crl_pem;
  std::vector<SanMatcherSpec> subject_alt_names;  // one of them must match
  std::vector<std::string> certificate_sha256_hex;
  std::vector<std::string> spki_sha256_base64;  // of both lists together one must match
  TrustChain trust_chain = TrustChain::verify;
  bool allow_expired = false;
  bool crl_leaf_only = false;
  // Client: the certificate must be for the name that was asked for (SNI).
  bool match_server_name = false;
  int depth_max = -1;  // intermediates; -1: the library's maximum
};

struct TlsCommonSpec {
  TlsVersion version_min = TlsVersion::tls1_2;
  TlsVersion version_max = TlsVersion::tls1_3;
  std::vector<std::string> cipher_suites;  // "[a|b]" is read as a, b; empty: the defaults
  std::vector<std::string> curves;         // "X25519", "P-256"; empty: the defaults
  std::vector<std::string> alpn;           // by preference
  std::vector<TlsCertificateSpec> certificates;
  TlsValidationSpec validation;
  std::string key_log_path;  // empty: none
};

struct TlsServerSpec {
  TlsCommonSpec common;
  bool require_client_certificate = false;
  bool stateless_resumption = true;  // tickets
  // Null: random keys, which live as long as the context does.
  std::shared_ptr<const TlsTicketKeys> ticket_keys;
  Duration session_timeout = hours(2);
  OcspPolicy ocsp_policy = OcspPolicy::lenient;
  bool prefer_client_ciphers = false;
};

struct TlsClientSpec {
  TlsCommonSpec common;
  std::string server_name;  // SNI; a connection may have its own
  bool allow_renegotiation = false;
};

// Why a spec is refused: the field, by the name that it has in the configuration, and a sentence without a full stop.
struct TlsSpecError {
  std::string field;
  std::string reason;
  // "field: reason"
  std::string text() const { return field + ": " + reason; }
};

}  // namespace ringside
