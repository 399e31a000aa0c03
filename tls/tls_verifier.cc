#include "tls/tls_verifier.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509_vfy.h>

#include <algorithm>

#include "tls/certificate_info.h"
#include "tls/openssl_errors.h"
#include "tls/openssl_types.h"

namespace ringside {
namespace {

constexpr size_t digest_bytes = 32;

int hex_value(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  const char low = static_cast<char>(digit | 0x20);
  return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

// 64 digits, with or without colons between the bytes. Empty when it is anything else.
std::string decode_hash(std::string text) {
  if (text.size() == 3 * digest_bytes - 1) std::erase(text, ':');
  if (text.size() != 2 * digest_bytes) return {};
  std::string bytes;
  for (size_t at = 0; at < text.size(); at += 2) {
    const int high = hex_value(text[at]), low = hex_value(text[at + 1]);
    if (high < 0 || low < 0) return {};
    bytes += static_cast<char>(high * 16 + low);
  }
  return bytes;
}

std::string decode_spki(const std::string& text) {
  if (text.size() != 44 || !text.ends_with('=') || text.ends_with("==")) return {};
  std::string bytes(33, '\0');
  const int size = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(bytes.data()),
                                   reinterpret_cast<const unsigned char*>(text.data()), static_cast<int>(text.size()));
  bytes.resize(digest_bytes);
  return size == 33 ? bytes : std::string();
}

std::string at_index(std::string_view field, size_t index) {
  return "validation_context." + std::string(field) + "[" + std::to_string(index) + "]";
}

int ignore_expiry(int good, X509_STORE_CTX* store) {
  if (good == 1) return 1;
  const int error = X509_STORE_CTX_get_error(store);
  const bool time_only = error == X509_V_ERR_CERT_HAS_EXPIRED || error == X509_V_ERR_CERT_NOT_YET_VALID;
  if (time_only) X509_STORE_CTX_set_error(store, X509_V_OK);
  return time_only ? 1 : 0;
}

struct Bundle {
  std::vector<X509Ptr> certificates;
  std::vector<CrlPtr> crls;
};

// Nothing when something in it cannot be read.
std::optional<Bundle> read_bundle(std::string_view pem) {
  ERR_clear_error();
  Bundle bundle;
  const BioPtr bio = memory_bio(pem);
  STACK_OF(X509_INFO)* infos = PEM_X509_INFO_read_bio(bio.get(), nullptr, nullptr, nullptr);
  if (infos == nullptr) return std::nullopt;
  for (int at = 0; at < sk_X509_INFO_num(infos); ++at) {
    X509_INFO& info = *sk_X509_INFO_value(infos, at);
    if (info.x509 != nullptr) bundle.certificates.emplace_back(std::exchange(info.x509, nullptr));
    if (info.crl != nullptr) bundle.crls.emplace_back(std::exchange(info.crl, nullptr));
  }
  sk_X509_INFO_pop_free(infos, X509_INFO_free);
  return bundle;
}

TlsSpecError unreadable(std::string field, std::string_view what) {
  const std::string reason = take_openssl_error();
  return {std::move(field), std::string(what) + (reason.empty() ? "" : ": " + reason)};
}

std::string chain_error(X509_STORE_CTX& store) {
  const int error = X509_STORE_CTX_get_error(&store);
  return std::string("certificate verify failed: ") + X509_verify_cert_error_string(error) + " (depth " +
         std::to_string(X509_STORE_CTX_get_error_depth(&store)) + ")";
}

std::string spki_digest(X509& certificate) {
  unsigned char* data = nullptr;
  const int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(&certificate), &data);
  if (size <= 0) return {};
  std::string digest = sha256_bytes({reinterpret_cast<char*>(data), static_cast<size_t>(size)});
  OPENSSL_free(data);
  return digest;
}

std::string certificate_digest(X509& certificate) {
  std::string digest(digest_bytes, '\0');
  X509_digest(&certificate, EVP_sha256(), reinterpret_cast<unsigned char*>(digest.data()), nullptr);
  return digest;
}

std::string listing(const std::vector<CertificateName>& names) {
  std::string text;
  for (const CertificateName& name : names) text += (text.empty() ? "" : ", ") + name.text;
  return text.empty() ? "none" : text;
}

}  // namespace

std::expected<TlsVerifier, TlsSpecError> TlsVerifier::make(const TlsValidationSpec& spec) {
  TlsVerifier verifier;
  verifier.trusts_ = !spec.trusted_ca_pem.empty();
  verifier.allow_expired_ = spec.allow_expired;
  verifier.accept_untrusted_ = spec.trust_chain == TrustChain::accept_untrusted;
  verifier.match_server_name_ = spec.match_server_name;
  for (size_t at = 0; at < spec.subject_alt_names.size(); ++at) {
    std::expected<SanMatcher, std::string> matcher = SanMatcher::make(spec.subject_alt_names[at]);
    if (!matcher) return std::unexpected(TlsSpecError{at_index("match_typed_subject_alt_names", at), matcher.error()});
    verifier.matchers_.push_back(std::move(*matcher));
  }
  for (size_t at = 0; at < spec.certificate_sha256_hex.size(); ++at) {
    std::string bytes = decode_hash(spec.certificate_sha256_hex[at]);
    if (bytes.empty()) {
      return std::unexpected(TlsSpecError{at_index("verify_certificate_hash", at),
                                          "a SHA-256 has 64 hexadecimal digits, with or without colons between the bytes"});
    }
    verifier.hashes_.push_back(std::move(bytes));
  }
  for (size_t at = 0; at < spec.spki_sha256_base64.size(); ++at) {
    std::string bytes = decode_spki(spec.spki_sha256_base64[at]);
    if (bytes.empty()) {
      return std::unexpected(TlsSpecError{at_index("verify_certificate_spki", at), "a SHA-256 in base64 has 44 characters"});
    }
    verifier.spkis_.push_back(std::move(bytes));
  }
  if (spec.match_server_name && !verifier.trusts_) {
    return std::unexpected(TlsSpecError{"auto_sni_san_validation", "needs validation_context.trusted_ca"});
  }
  // Anybody can write any name into a certificate: without a chain a name means nothing.
  if (!spec.subject_alt_names.empty() && !verifier.trusts_ && !verifier.has_pins() && !verifier.accept_untrusted_) {
    return std::unexpected(TlsSpecError{"validation_context.match_typed_subject_alt_names",
                                        "needs trusted_ca, or names in a certificate of anybody's making would count"});
  }
  return verifier;
}

std::expected<void, TlsSpecError> TlsVerifier::install(ssl_ctx_st& context, const TlsValidationSpec& spec) const {
  X509_STORE& store = *SSL_CTX_get_cert_store(&context);
  bool revocation = false;
  for (const auto& [field, pem, what] : {std::tuple{"validation_context.trusted_ca", &spec.trusted_ca_pem, "certificate"},
                                         std::tuple{"validation_context.crl", &spec.crl_pem, "revocation list"}}) {
    if (pem->empty()) continue;
    const std::optional<Bundle> bundle = read_bundle(*pem);
    const bool is_ca = pem == &spec.trusted_ca_pem;
    if (!bundle) return std::unexpected(unreadable(field, "cannot be read as PEM"));
    if (is_ca ? bundle->certificates.empty() : bundle->crls.empty()) {
      return std::unexpected(TlsSpecError{field, std::string("holds no ") + what + " in PEM"});
    }
    if (is_ca) {
      for (const X509Ptr& certificate : bundle->certificates) X509_STORE_add_cert(&store, certificate.get());
    }
    for (const CrlPtr& crl : bundle->crls) X509_STORE_add_crl(&store, crl.get());
    revocation = revocation || !bundle->crls.empty();
  }
  unsigned long flags = X509_V_FLAG_PARTIAL_CHAIN;
  if (revocation) flags |= X509_V_FLAG_CRL_CHECK | (spec.crl_leaf_only ? 0UL : X509_V_FLAG_CRL_CHECK_ALL);
  X509_STORE_set_flags(&store, flags);
  if (spec.depth_max >= 0) SSL_CTX_set_verify_depth(&context, spec.depth_max);
  ERR_clear_error();
  return {};
}

bool TlsVerifier::chain_holds(x509_store_ctx_st& store, PeerCheck& check) const {
  if (!trusts_) return true;
  if (allow_expired_) X509_STORE_CTX_set_verify_cb(&store, ignore_expiry);
  if (X509_verify_cert(&store) == 1) return true;
  check.reason = TlsStat::fail_verify_error;
  check.text = chain_error(store);
  return false;
}

bool TlsVerifier::names_match(x509_st& leaf, PeerCheck& check) const {
  const std::optional<std::vector<CertificateName>> names = names_of(leaf);
  check.reason = TlsStat::fail_verify_san;
  if (!names) {
    check.text = "certificate verify failed: a subject alternative name holds a NUL or cannot be read";
    return false;
  }
  const auto has = [&](const auto& fits) { return std::ranges::any_of(*names, fits); };
  const bool listed = check.subject_alt_names.empty() || has([&](const CertificateName& name) {
                        return std::ranges::any_of(check.subject_alt_names, [&](const std::string& wanted) {
                          return name.type == SanType::dns ? dns_name_matches(name.text, wanted) : name.text == wanted;
                        });
                      });
  const bool served = !match_server_name_ || check.server_name.empty() || has([&](const CertificateName& name) {
                        return name.type == SanType::dns && dns_name_matches(name.text, check.server_name);
                      });
  const bool matched = matchers_.empty() || has([&](const CertificateName& name) {
                         return std::ranges::any_of(matchers_, [&](const SanMatcher& matcher) { return matcher.matches(name); });
                       });
  if (listed && served && matched) return true;
  check.text = "certificate verify failed: no subject alternative name is one of those expected; the certificate has: " +
               listing(*names);
  return false;
}

bool TlsVerifier::pins_match(x509_st& leaf) const {
  if (!has_pins()) return true;
  const auto has = [](const std::vector<std::string>& list, const std::string& digest) {
    return std::ranges::find(list, digest) != list.end();
  };
  return (!hashes_.empty() && has(hashes_, certificate_digest(leaf))) || (!spkis_.empty() && has(spkis_, spki_digest(leaf)));
}

bool TlsVerifier::leaf_holds(x509_st& leaf, PeerCheck& check) const {
  if (!names_match(leaf, check)) return false;
  if (pins_match(leaf)) return true;
  check.reason = TlsStat::fail_verify_cert_hash;
  check.text = "certificate verify failed: neither the certificate nor its key is one of those pinned";
  return false;
}

bool TlsVerifier::accepts_resumed(x509_st& leaf, WallTime now) const {
  return !trusts_ || allow_expired_ || accept_untrusted_ || expiry_of(leaf) >= now;
}

bool TlsVerifier::verify(x509_store_ctx_st& store, PeerCheck& check) const {
  X509* leaf = X509_STORE_CTX_get0_cert(&store);
  const bool chain = chain_holds(store, check);
  const bool holds = chain && leaf_holds(*leaf, check);
  check.failed = !holds;
  check.validated = holds && checks();
  if (holds || accept_untrusted_) {
    X509_STORE_CTX_set_error(&store, X509_V_OK);
    return true;
  }
  if (chain) X509_STORE_CTX_set_error(&store, X509_V_ERR_APPLICATION_VERIFICATION);
  return false;
}

}  // namespace ringside
