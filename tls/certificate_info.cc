#include "tls/certificate_info.h"

#include <openssl/asn1.h>
#include <openssl/pem.h>

#include <ctime>

#include "tls/certificate_names.h"
#include "tls/openssl_types.h"

namespace ringside {
namespace {

std::string take_text(BIO& bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(&bio, &data);
  return size > 0 ? std::string(data, static_cast<size_t>(size)) : std::string();
}

std::string name_text(const X509_NAME* name) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  if (bio == nullptr || X509_NAME_print_ex(bio.get(), name, 0, XN_FLAG_RFC2253) < 0) return {};
  return take_text(*bio);
}

std::string serial_text(const ASN1_INTEGER* serial) {
  const std::string_view bytes = text_of(serial);
  std::string text = hex_lower(bytes);
  return text.empty() ? "00" : text;
}

WallTime wall_time(const ASN1_TIME* time) {
  tm parts{};
  if (time == nullptr || ASN1_TIME_to_tm(time, &parts) != 1) return {};
  return WallTime(seconds(timegm(&parts)));
}

std::string der_of(X509& certificate) {
  unsigned char* data = nullptr;
  const int size = i2d_X509(&certificate, &data);
  if (size <= 0) return {};
  std::string der(reinterpret_cast<char*>(data), static_cast<size_t>(size));
  OPENSSL_free(data);
  return der;
}

}  // namespace

std::string hex_lower(std::string_view bytes) {
  static constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const char byte : bytes) {
    text += digits[static_cast<uint8_t>(byte) >> 4];
    text += digits[static_cast<uint8_t>(byte) & 15];
  }
  return text;
}

std::string sha256_bytes(std::string_view bytes) {
  std::string digest(32, '\0');
  EVP_Digest(bytes.data(), bytes.size(), reinterpret_cast<unsigned char*>(digest.data()), nullptr, EVP_sha256(), nullptr);
  return digest;
}

std::string certificate_pem(x509_st& certificate) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  if (bio == nullptr || PEM_write_bio_X509(bio.get(), &certificate) != 1) return {};
  return take_text(*bio);
}

std::string url_encoded(std::string_view text) {
  static constexpr std::string_view digits = "0123456789ABCDEF";
  std::string out;
  out.reserve(text.size() + text.size() / 8);
  for (const char byte : text) {
    const bool plain = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') ||
                       byte == '-' || byte == '.' || byte == '_' || byte == '~';
    if (plain) {
      out += byte;
      continue;
    }
    out += '%';
    out += digits[static_cast<uint8_t>(byte) >> 4];
    out += digits[static_cast<uint8_t>(byte) & 15];
  }
  return out;
}

WallTime expiry_of(x509_st& certificate) { return wall_time(X509_get0_notAfter(&certificate)); }

CertificateInfo describe_certificate(x509_st& certificate) {
  CertificateInfo info;
  info.subject = name_text(X509_get_subject_name(&certificate));
  info.issuer = name_text(X509_get_issuer_name(&certificate));
  info.serial = serial_text(X509_get0_serialNumber(&certificate));
  info.sha256 = hex_lower(sha256_bytes(der_of(certificate)));
  info.not_before = wall_time(X509_get0_notBefore(&certificate));
  info.not_after = expiry_of(certificate);
  for (CertificateName& name : names_of(certificate).value_or(std::vector<CertificateName>())) {
    std::vector<std::string>* lists[] = {nullptr, &info.dns_sans, &info.uri_sans, &info.ip_sans, &info.email_sans};
    lists[static_cast<size_t>(name.type)]->push_back(std::move(name.text));
  }
  return info;
}

}  // namespace ringside
