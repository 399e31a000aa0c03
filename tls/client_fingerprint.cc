#include "tls/client_fingerprint.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>

#include "tls/certificate_info.h"

namespace ringside {
namespace {

constexpr uint16_t server_name_extension = 0;
constexpr uint16_t alpn_extension = 16;

std::vector<uint16_t> without_grease(std::vector<uint16_t> values) {
  std::erase_if(values, is_grease);
  return values;
}

template <class List>
std::string joined(const List& values, std::string_view format, std::string_view separator) {
  std::string text;
  for (const auto value : values) {
    if (!text.empty()) text += separator;
    text += fmt::format(fmt::runtime(format), value);
  }
  return text;
}

// The first twelve digits of a SHA-256, as JA4 has them.
std::string short_hash(const std::string& text) {
  if (text.empty()) return "000000000000";
  return hex_lower(sha256_bytes(text)).substr(0, 12);
}

std::string_view version_digits(const ClientHello& hello) {
  const std::vector<uint16_t> versions = without_grease(hello.versions);
  switch (versions.empty() ? hello.version : *std::ranges::max_element(versions)) {
    case 0x0304: return "13";
    case 0x0303: return "12";
    case 0x0302: return "11";
    case 0x0301: return "10";
    case 0x0300: return "s3";
    default: return "00";
  }
}

bool is_alphanumeric(char byte) {
  return (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
}

// First and last character of the first protocol; of its hexadecimal form when they are not letters or digits.
std::string alpn_mark(const ClientHello& hello) {
  if (hello.alpn.empty()) return "00";
  const std::string& name = hello.alpn.front();
  if (is_alphanumeric(name.front()) && is_alphanumeric(name.back())) return {name.front(), name.back()};
  const std::string hex = hex_lower(name);
  return {hex.front(), hex.back()};
}

}  // namespace

std::string ja3_fingerprint(const ClientHello& hello) {
  const std::string text = fmt::format("{},{},{},{},{}", hello.version, joined(without_grease(hello.cipher_suites), "{}", "-"),
                                       joined(without_grease(hello.extensions), "{}", "-"),
                                       joined(without_grease(hello.groups), "{}", "-"), joined(hello.point_formats, "{}", "-"));
  unsigned char digest[16];
  EVP_Digest(text.data(), text.size(), digest, nullptr, EVP_md5(), nullptr);
  return hex_lower({reinterpret_cast<const char*>(digest), sizeof digest});
}

std::string ja4_fingerprint(const ClientHello& hello) {
  std::vector<uint16_t> suites = without_grease(hello.cipher_suites), extensions = without_grease(hello.extensions);
  const std::string head = fmt::format("t{}{}{:02}{:02}{}", version_digits(hello), hello.server_name.empty() ? 'i' : 'd',
                                       std::min<size_t>(suites.size(), 99), std::min<size_t>(extensions.size(), 99),
                                       alpn_mark(hello));
  std::ranges::sort(suites);
  std::ranges::sort(extensions);
  std::erase_if(extensions, [](uint16_t type) { return type == server_name_extension || type == alpn_extension; });
  std::string tail = joined(extensions, "{:04x}", ",");
  const std::string signatures = joined(without_grease(hello.signature_algorithms), "{:04x}", ",");
  if (!tail.empty() && !signatures.empty()) tail += "_" + signatures;
  return head + "_" + short_hash(joined(suites, "{:04x}", ",")) + "_" + short_hash(tail);
}

}  // namespace ringside
