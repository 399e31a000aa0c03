#pragma once
// A certificate in words: for XFCC, access logs, /certs and statistics of expiry.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/time.h"

struct x509_st;

namespace ringside {

struct CertificateInfo {
  std::string subject;  // RFC 2253: "CN=a,O=b"
  std::string issuer;
  std::string serial;  // hexadecimal, lower case
  std::string sha256;  // of the whole certificate, hexadecimal, lower case
  std::vector<std::string> uri_sans, dns_sans, ip_sans, email_sans;
  WallTime not_before{}, not_after{};
};

CertificateInfo describe_certificate(x509_st& certificate);
// "-----BEGIN CERTIFICATE-----..." with newlines.
std::string certificate_pem(x509_st& certificate);
// As XFCC carries it: everything but letters, digits and "-._~" as %XX.
std::string url_encoded(std::string_view text);
std::string hex_lower(std::string_view bytes);
std::string sha256_bytes(std::string_view bytes);
WallTime expiry_of(x509_st& certificate);

}  // namespace ringside
