#include "tests/tls/test_certificates.h"

#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include <ctime>

#include "core/check.h"

namespace ringside::testing {
namespace {

EVP_PKEY* make_key(TestKey kind) {
  switch (kind) {
    case TestKey::p256: return EVP_EC_gen("P-256");
    case TestKey::p384: return EVP_EC_gen("P-384");
    case TestKey::rsa2048: return EVP_RSA_gen(2048);
    case TestKey::rsa1024: return EVP_RSA_gen(1024);
    case TestKey::ed25519: return EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519");
  }
  return nullptr;
}

std::string text_of_bio(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  std::string text(data, static_cast<size_t>(size));
  BIO_free(bio);
  return text;
}

void add_extension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  if (value.empty()) return;
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_nconf_nid(nullptr, &context, nid, value.c_str());
  RS_CHECK(extension != nullptr);
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

std::string base64(const unsigned char* data, int size) {
  std::string text(static_cast<size_t>((size + 2) / 3 * 4), '\0');
  EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()), data, size);
  return text;
}

}  // namespace

struct TestCertificate::Parts {
  X509* certificate = X509_new();
  EVP_PKEY* key = nullptr;
  ~Parts() {
    X509_free(certificate);
    EVP_PKEY_free(key);
  }
};

namespace {

void fill(X509* certificate, EVP_PKEY* key, const LeafSpec& spec) {
  static long serial = 1000;
  X509_set_version(certificate, X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial);
  X509_gmtime_adj(X509_getm_notBefore(certificate), spec.starts_in_seconds);
  X509_gmtime_adj(X509_getm_notAfter(certificate), spec.ends_in_seconds);
  X509_set_pubkey(certificate, key);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(spec.common_name.c_str()), -1, -1, 0);
}

void extend(X509* certificate, X509* issuer, const LeafSpec& spec) {
  add_extension(certificate, issuer, NID_basic_constraints, spec.is_authority ? "critical,CA:TRUE" : "CA:FALSE");
  add_extension(certificate, issuer, NID_key_usage, spec.is_authority ? "critical,keyCertSign,cRLSign,digitalSignature" : spec.usage);
  add_extension(certificate, issuer, NID_subject_key_identifier, "hash");
  add_extension(certificate, issuer, NID_subject_alt_name, spec.is_authority ? "" : spec.names);
  add_extension(certificate, issuer, NID_ext_key_usage, spec.is_authority ? "" : spec.extended_usage);
  add_extension(certificate, issuer, NID_tlsfeature, spec.must_staple ? "status_request" : "");
}

const EVP_MD* digest_for(EVP_PKEY* key) { return EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519 ? nullptr : EVP_sha256(); }

}  // namespace

TestCertificate TestCertificate::self_signed(const LeafSpec& spec) {
  TestCertificate made;
  made.parts_ = std::make_shared<Parts>();
  X509* certificate = made.parts_->certificate;
  EVP_PKEY* key = made.parts_->key = make_key(spec.key);
  fill(certificate, key, spec);
  X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
  extend(certificate, certificate, spec);
  RS_CHECK(X509_sign(certificate, key, digest_for(key)) > 0);
  BIO* bio = BIO_new(BIO_s_mem());
  PEM_write_bio_X509(bio, certificate);
  made.pem_ = text_of_bio(bio);
  return made;
}

TestCertificate TestCertificate::authority(const std::string& name) {
  LeafSpec spec;
  spec.common_name = name;
  spec.is_authority = true;
  spec.ends_in_seconds = 7 * 24 * 3600;
  return self_signed(spec);
}

TestCertificate TestCertificate::issue(const LeafSpec& spec) const {
  TestCertificate made;
  made.parts_ = std::make_shared<Parts>();
  X509* certificate = made.parts_->certificate;
  made.parts_->key = make_key(spec.key);
  fill(certificate, made.parts_->key, spec);
  X509_set_issuer_name(certificate, X509_get_subject_name(parts_->certificate));
  extend(certificate, parts_->certificate, spec);
  RS_CHECK(X509_sign(certificate, parts_->key, digest_for(parts_->key)) > 0);
  BIO* bio = BIO_new(BIO_s_mem());
  PEM_write_bio_X509(bio, certificate);
  made.pem_ = text_of_bio(bio);
  return made;
}

std::string TestCertificate::key_pem() const {
  BIO* bio = BIO_new(BIO_s_mem());
  PEM_write_bio_PrivateKey(bio, parts_->key, nullptr, nullptr, 0, nullptr, nullptr);
  return text_of_bio(bio);
}

std::string TestCertificate::encrypted_key_pem(const std::string& password) const {
  BIO* bio = BIO_new(BIO_s_mem());
  PEM_write_bio_PKCS8PrivateKey(bio, parts_->key, EVP_aes_256_cbc(), password.data(), static_cast<int>(password.size()), nullptr,
                                nullptr);
  return text_of_bio(bio);
}

std::string TestCertificate::crl(const std::vector<TestCertificate>& revoked, long ends_in_seconds) const {
  X509_CRL* crl = X509_CRL_new();
  X509_CRL_set_version(crl, X509_CRL_VERSION_2);
  X509_CRL_set_issuer_name(crl, X509_get_subject_name(parts_->certificate));
  ASN1_TIME* time = X509_gmtime_adj(nullptr, -60);
  X509_CRL_set1_lastUpdate(crl, time);
  for (const TestCertificate& one : revoked) {
    X509_REVOKED* entry = X509_REVOKED_new();
    X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(one.parts_->certificate));
    X509_REVOKED_set_revocationDate(entry, time);
    X509_CRL_add0_revoked(crl, entry);
  }
  X509_gmtime_adj(time, ends_in_seconds);
  X509_CRL_set1_nextUpdate(crl, time);
  ASN1_TIME_free(time);
  X509_CRL_sort(crl);
  RS_CHECK(X509_CRL_sign(crl, parts_->key, EVP_sha256()) > 0);
  BIO* bio = BIO_new(BIO_s_mem());
  PEM_write_bio_X509_CRL(bio, crl);
  X509_CRL_free(crl);
  return text_of_bio(bio);
}

std::string TestCertificate::ocsp_good(const TestCertificate& leaf, long ends_in_seconds) const {
  OCSP_BASICRESP* basic = OCSP_BASICRESP_new();
  OCSP_CERTID* id = OCSP_cert_to_id(EVP_sha1(), leaf.parts_->certificate, parts_->certificate);
  ASN1_TIME* made = X509_gmtime_adj(nullptr, -7200);
  ASN1_TIME* next = X509_gmtime_adj(nullptr, ends_in_seconds);
  OCSP_basic_add1_status(basic, id, V_OCSP_CERTSTATUS_GOOD, 0, nullptr, made, next);
  RS_CHECK(OCSP_basic_sign(basic, parts_->certificate, parts_->key, EVP_sha256(), nullptr, 0) == 1);
  OCSP_RESPONSE* response = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
  unsigned char* data = nullptr;
  const int size = i2d_OCSP_RESPONSE(response, &data);
  std::string der(reinterpret_cast<char*>(data), static_cast<size_t>(size));
  OPENSSL_free(data);
  OCSP_RESPONSE_free(response);
  OCSP_BASICRESP_free(basic);
  OCSP_CERTID_free(id);
  ASN1_TIME_free(made);
  ASN1_TIME_free(next);
  return der;
}

std::string TestCertificate::sha256_hex() const {
  unsigned char digest[32];
  X509_digest(parts_->certificate, EVP_sha256(), digest, nullptr);
  std::string text;
  for (const unsigned char byte : digest) {
    char digits[3];
    std::snprintf(digits, sizeof digits, "%02x", byte);
    text += digits;
  }
  return text;
}

std::string TestCertificate::spki_base64() const {
  unsigned char* data = nullptr;
  const int size = i2d_PUBKEY(parts_->key, &data);
  unsigned char digest[32];
  EVP_Digest(data, static_cast<size_t>(size), digest, nullptr, EVP_sha256(), nullptr);
  OPENSSL_free(data);
  return base64(digest, 32);
}

TlsCertificateSpec TestCertificate::spec(const std::string& issuers) const {
  TlsCertificateSpec made;
  made.chain_pem = pem_ + issuers;
  made.private_key_pem = SecretText(key_pem());
  return made;
}

}  // namespace ringside::testing
