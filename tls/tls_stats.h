#pragma once
// The ssl.* statistics of one listener or cluster, with Envoy's names. What is negotiated appears once it was seen.
#include <cstdint>
#include <span>
#include <string_view>

#include "core/stats.h"

namespace ringside {

// clang-format off
#define RS_TLS_EVENTS(X)                                                                                     \
  X(handshake) X(connection_error) X(session_reused) X(no_certificate) X(fail_verify_no_cert)                \
  X(fail_verify_error) X(fail_verify_san) X(fail_verify_cert_hash)                                           \
  X(ocsp_staple_requests) X(ocsp_staple_responses) X(ocsp_staple_omitted) X(ocsp_staple_failed)
// X(enumerator, name)
#define RS_TLS_NEGOTIATED(X)                                                                                 \
  X(version_1_0, "versions.TLSv1") X(version_1_1, "versions.TLSv1.1")                                        \
  X(version_1_2, "versions.TLSv1.2") X(version_1_3, "versions.TLSv1.3")                                      \
  X(cipher_aes128_gcm, "ciphers.TLS_AES_128_GCM_SHA256") X(cipher_aes256_gcm, "ciphers.TLS_AES_256_GCM_SHA384")       \
  X(cipher_chacha20, "ciphers.TLS_CHACHA20_POLY1305_SHA256")                                                 \
  X(cipher_ecdsa_aes128_gcm, "ciphers.ECDHE-ECDSA-AES128-GCM-SHA256")                                        \
  X(cipher_ecdsa_aes256_gcm, "ciphers.ECDHE-ECDSA-AES256-GCM-SHA384")                                        \
  X(cipher_ecdsa_chacha20, "ciphers.ECDHE-ECDSA-CHACHA20-POLY1305")                                          \
  X(cipher_ecdsa_aes128_cbc, "ciphers.ECDHE-ECDSA-AES128-SHA") X(cipher_ecdsa_aes256_cbc, "ciphers.ECDHE-ECDSA-AES256-SHA") \
  X(cipher_rsa_aes128_gcm, "ciphers.ECDHE-RSA-AES128-GCM-SHA256")                                            \
  X(cipher_rsa_aes256_gcm, "ciphers.ECDHE-RSA-AES256-GCM-SHA384")                                            \
  X(cipher_rsa_chacha20, "ciphers.ECDHE-RSA-CHACHA20-POLY1305")                                              \
  X(cipher_rsa_aes128_cbc, "ciphers.ECDHE-RSA-AES128-SHA") X(cipher_rsa_aes256_cbc, "ciphers.ECDHE-RSA-AES256-SHA")   \
  X(cipher_plain_aes128_gcm, "ciphers.AES128-GCM-SHA256") X(cipher_plain_aes256_gcm, "ciphers.AES256-GCM-SHA384")     \
  X(cipher_plain_aes128_cbc, "ciphers.AES128-SHA") X(cipher_plain_aes256_cbc, "ciphers.AES256-SHA")          \
  X(cipher_other, "ciphers.other")                                                                           \
  X(curve_x25519, "curves.X25519") X(curve_p256, "curves.P-256") X(curve_p384, "curves.P-384")               \
  X(curve_p521, "curves.P-521") X(curve_other, "curves.other")                                               \
  X(sigalg_ecdsa_256, "sigalgs.ecdsa_secp256r1_sha256") X(sigalg_ecdsa_384, "sigalgs.ecdsa_secp384r1_sha384")         \
  X(sigalg_ecdsa_512, "sigalgs.ecdsa_secp521r1_sha512")                                                      \
  X(sigalg_pss_256, "sigalgs.rsa_pss_rsae_sha256") X(sigalg_pss_384, "sigalgs.rsa_pss_rsae_sha384")          \
  X(sigalg_pss_512, "sigalgs.rsa_pss_rsae_sha512")                                                           \
  X(sigalg_rsa_256, "sigalgs.rsa_pkcs1_sha256") X(sigalg_rsa_384, "sigalgs.rsa_pkcs1_sha384")                \
  X(sigalg_rsa_512, "sigalgs.rsa_pkcs1_sha512") X(sigalg_ed25519, "sigalgs.ed25519") X(sigalg_other, "sigalgs.other")

enum class TlsStat : uint16_t {
#define X(name, ...) name,
  RS_TLS_EVENTS(X) RS_TLS_NEGOTIATED(X)
#undef X
  count_
};

inline constexpr auto tls_stat_defs = std::to_array<StatDef>({
#define X(name) {"ssl." #name, StatKind::counter, StatShow::always},
  RS_TLS_EVENTS(X)
#undef X
#define X(name, text) {"ssl." text, StatKind::counter, StatShow::when_used},
  RS_TLS_NEGOTIATED(X)
#undef X
});
// clang-format on

constexpr std::span<const StatDef> stat_defs(TlsStat) { return tls_stat_defs; }

// The counter of what was negotiated: ("ciphers", "TLS_AES_128_GCM_SHA256"). The group's "other" when it is none of the list.
TlsStat negotiated_stat(std::string_view group, std::string_view name);

}  // namespace ringside
