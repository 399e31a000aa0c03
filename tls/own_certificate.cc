#include "tls/own_certificate.h"

#include <openssl/err.h>
#include <openssl/pem.h>

#include <algorithm>
#include <cstring>
#include <ctime>

#include "tls/certificate_names.h"
#include "tls/openssl_errors.h"
#include "tls/san_matcher.h"

namespace ringside {
namespace {

constexpr int rsa_bits_min = 2048;

std::string reasoned(std::string what) {
  const std::string reason = take_openssl_error();
  return reason.empty() ? what : what + ": " + reason;
}

// An encrypted key without a password must not make the library ask on the terminal.
int give_password(char* room, int size, int, void* user) {
  const std::string_view password = static_cast<const SecretText*>(user)->reveal();
  if (password.empty() || password.size() > static_cast<size_t>(size)) return -1;
  std::memcpy(room, password.data(), password.size());
  return static_cast<int>(password.size());
}

// Sets `what` when the text cannot be read.
bool read_chain(const std::string& pem, OwnCertificate& out, std::string& what) {
  ERR_clear_error();
  const BioPtr bio = memory_bio(pem);
  out.leaf.reset(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  if (out.leaf == nullptr) {
    const bool none = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    what = none ? "holds no certificate in PEM" : reasoned("cannot be read");
    return false;
  }
  while (X509* next = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) out.chain.emplace_back(next);
  const bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  if (!at_end) what = reasoned("certificate " + std::to_string(out.chain.size() + 2) + " of the chain cannot be read");
  ERR_clear_error();
  return at_end;
}

bool read_key(const TlsCertificateSpec& spec, OwnCertificate& out, std::string& what) {
  const BioPtr bio = memory_bio(spec.private_key_pem.reveal());
  out.key.reset(PEM_read_bio_PrivateKey(bio.get(), nullptr, give_password, const_cast<SecretText*>(&spec.password)));
  if (out.key == nullptr) {
    const bool encrypted = spec.private_key_pem.reveal().find("ENCRYPTED") != std::string_view::npos;
    what = !encrypted               ? reasoned("cannot be read")
           : spec.password.empty() ? "is encrypted, and there is no password"
                                   : reasoned("cannot be decrypted with this password");
    ERR_clear_error();
    return false;
  }
  out.key_type = EVP_PKEY_get_base_id(out.key.get());
  if (out.key_type == EVP_PKEY_RSA && EVP_PKEY_get_bits(out.key.get()) < rsa_bits_min) {
    what = "an RSA key needs 2048 bits or more, this one has " + std::to_string(EVP_PKEY_get_bits(out.key.get()));
    return false;
  }
  if (X509_check_private_key(out.leaf.get(), out.key.get()) == 1) return true;
  ERR_clear_error();
  what = "does not belong to the first certificate of certificate_chain";
  return false;
}

void read_dns_names(OwnCertificate& out) {
  for (CertificateName& name : names_of(*out.leaf).value_or(std::vector<CertificateName>())) {
    if (name.type == SanType::dns) out.dns_names.push_back(std::move(name.text));
  }
  if (!out.dns_names.empty()) return;
  char text[256];
  const int size = X509_NAME_get_text_by_NID(X509_get_subject_name(out.leaf.get()), NID_commonName, text, sizeof text);
  if (size > 0 && std::strlen(text) == static_cast<size_t>(size)) out.dns_names.emplace_back(text);
}

// The answer about `leaf` within a response; null when it is about others.
OCSP_SINGLERESP* find_answer(OCSP_BASICRESP& basic, X509& leaf) {
  for (int at = 0; at < OCSP_resp_count(&basic); ++at) {
    OCSP_SINGLERESP* answer = OCSP_resp_get0(&basic, at);
    ASN1_INTEGER* serial = nullptr;
    OCSP_id_get0_info(nullptr, nullptr, nullptr, &serial, const_cast<OCSP_CERTID*>(OCSP_SINGLERESP_get0_id(answer)));
    if (serial != nullptr && ASN1_INTEGER_cmp(serial, X509_get0_serialNumber(&leaf)) == 0) return answer;
  }
  return nullptr;
}

bool read_staple(const std::string& der, OwnCertificate& out, std::string& what) {
  const auto* data = reinterpret_cast<const unsigned char*>(der.data());
  const OcspResponsePtr response(d2i_OCSP_RESPONSE(nullptr, &data, static_cast<long>(der.size())));
  ERR_clear_error();
  what = "is not an OCSP response in DER";
  if (response == nullptr) return false;
  what = "is a response without an answer";
  if (OCSP_response_status(response.get()) != OCSP_RESPONSE_STATUS_SUCCESSFUL) return false;
  const OcspBasicPtr basic(OCSP_response_get1_basic(response.get()));
  ERR_clear_error();
  if (basic == nullptr) return false;
  what = "is about another certificate";
  OCSP_SINGLERESP* answer = find_answer(*basic, *out.leaf);
  if (answer == nullptr) return false;
  ASN1_GENERALIZEDTIME *made = nullptr, *next = nullptr;
  OCSP_single_get0_status(answer, nullptr, nullptr, &made, &next);
  tm parts{};
  // Without a next update it was true when it was made, and no longer.
  if (ASN1_TIME_to_tm(next != nullptr ? next : made, &parts) == 1) out.ocsp_expiry = WallTime(seconds(timegm(&parts)));
  out.ocsp_der = der;
  return true;
}

}  // namespace

NameFit fit_of(const OwnCertificate& certificate, std::string_view server_name) {
  NameFit best = NameFit::none;
  for (const std::string& name : certificate.dns_names) {
    if (!dns_name_matches(name, server_name)) continue;
    best = std::max(best, name.starts_with('*') ? NameFit::wildcard : NameFit::exact);
  }
  return best;
}

std::expected<OwnCertificate, TlsSpecError> load_own_certificate(const TlsCertificateSpec& spec, size_t index,
                                                                 OcspPolicy policy) {
  const std::string at = "tls_certificates[" + std::to_string(index) + "].";
  OwnCertificate certificate;
  std::string what;
  const auto refuse = [&](const char* field) { return std::unexpected(TlsSpecError{at + field, what}); };
  if (!read_chain(spec.chain_pem, certificate, what)) return refuse("certificate_chain");
  if (!read_key(spec, certificate, what)) return refuse("private_key");
  read_dns_names(certificate);
  if (!spec.ocsp_staple_der.empty()) {
    if (!read_staple(spec.ocsp_staple_der, certificate, what)) return refuse("ocsp_staple");
    return certificate;
  }
  const bool must_staple = X509_get_ext_by_NID(certificate.leaf.get(), NID_tlsfeature, -1) >= 0;
  what = must_staple ? "is missing: the certificate says that it must be stapled"
                     : "is missing: ocsp_staple_policy is MUST_STAPLE";
  if (must_staple || policy == OcspPolicy::must_staple) return refuse("ocsp_staple");
  return certificate;
}

}  // namespace ringside
