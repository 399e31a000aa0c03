#include "tls/certificate_names.h"

#include <arpa/inet.h>

#include <algorithm>

#include "tls/openssl_types.h"

namespace ringside {
namespace {

bool is_control(char byte) { return static_cast<uint8_t>(byte) < 0x20 || byte == 0x7f; }

std::optional<std::string> ip_text(std::string_view bytes) {
  char text[INET6_ADDRSTRLEN];
  if (bytes.size() != 4 && bytes.size() != 16) return std::nullopt;
  const int family = bytes.size() == 4 ? AF_INET : AF_INET6;
  if (inet_ntop(family, bytes.data(), text, sizeof text) == nullptr) return std::nullopt;
  return text;
}

std::optional<CertificateName> read_name(const GENERAL_NAME& name) {
  if (name.type == GEN_IPADD) {
    const std::optional<std::string> text = ip_text(text_of(name.d.iPAddress));
    if (!text) return std::nullopt;
    return CertificateName{SanType::ip, *text};
  }
  const SanType type = name.type == GEN_DNS ? SanType::dns : name.type == GEN_URI ? SanType::uri : SanType::email;
  const std::string_view text = text_of(name.d.ia5);
  if (std::ranges::any_of(text, is_control)) return std::nullopt;
  return CertificateName{type, std::string(text)};
}

bool is_known(const GENERAL_NAME& name) {
  return name.type == GEN_DNS || name.type == GEN_URI || name.type == GEN_IPADD || name.type == GEN_EMAIL;
}

}  // namespace

std::optional<std::vector<CertificateName>> names_of(x509_st& certificate) {
  int critical = 0;
  const NamesPtr encoded(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(&certificate, NID_subject_alt_name, &critical, nullptr)));
  std::vector<CertificateName> names;
  if (encoded == nullptr) {
    if (critical != -1) return std::nullopt;  // there twice, or not readable
    return names;
  }
  for (int at = 0; at < sk_GENERAL_NAME_num(encoded.get()); ++at) {
    const GENERAL_NAME& name = *sk_GENERAL_NAME_value(encoded.get(), at);
    if (!is_known(name)) continue;
    std::optional<CertificateName> read = read_name(name);
    if (!read) return std::nullopt;
    names.push_back(std::move(*read));
  }
  return names;
}

}  // namespace ringside
