#include "tls/record_keys.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include <cstring>
#include <utility>

#include "core/check.h"

namespace ringside {
namespace {

struct Suite {
  const char* name;    // of the suite
  const char* cipher;
  uint8_t key_bytes;
};
constexpr Suite suites[] = {{"TLS_AES_128_GCM_SHA256", "AES-128-GCM", 16},
                            {"TLS_AES_256_GCM_SHA384", "AES-256-GCM", 32},
                            {"TLS_CHACHA20_POLY1305_SHA256", "ChaCha20-Poly1305", 32}};

const Suite& facts_of(RecordSuite suite) { return suites[static_cast<size_t>(suite)]; }

// Fetched once: a fetch takes a lock and costs as much as a short record.
const EVP_CIPHER* cipher_of(RecordSuite suite) {
  static EVP_CIPHER* const fetched[] = {EVP_CIPHER_fetch(nullptr, suites[0].cipher, nullptr),
                                        EVP_CIPHER_fetch(nullptr, suites[1].cipher, nullptr),
                                        EVP_CIPHER_fetch(nullptr, suites[2].cipher, nullptr)};
  return fetched[static_cast<size_t>(suite)];
}

// Ready but for the key: to look a digest up by its name costs as much as to use it.
EVP_MAC_CTX* make_hmac(const char* digest) {
  EVP_MAC* const hmac = EVP_MAC_fetch(nullptr, "HMAC", nullptr);
  EVP_MAC_CTX* const made = EVP_MAC_CTX_new(hmac);
  EVP_MAC_free(hmac);
  const OSSL_PARAM parameters[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, const_cast<char*>(digest), 0),
                                   OSSL_PARAM_construct_end()};
  constexpr uint8_t none[1] = {};  // without any key it could not be copied
  RS_CHECK(made != nullptr && EVP_MAC_init(made, none, sizeof none, parameters) == 1);
  return made;
}

const EVP_MAC_CTX* hmac_of(RecordSuite suite) {
  static EVP_MAC_CTX* const sha256 = make_hmac("SHA256");
  static EVP_MAC_CTX* const sha384 = make_hmac("SHA384");
  return suite == RecordSuite::aes256_gcm_sha384 ? sha384 : sha256;
}

// HKDF-Expand-Label with an empty context (RFC 8446, section 7.1). Nothing here is longer than the hash, so that one step is all.
class LabelExpander {
 public:
  LabelExpander(RecordSuite suite, const TrafficSecret& secret) : mac_(EVP_MAC_CTX_dup(hmac_of(suite))) {
    RS_CHECK(mac_ != nullptr && EVP_MAC_init(mac_, secret.data(), secret.size(), nullptr) == 1);
  }
  LabelExpander(const LabelExpander&) = delete;
  LabelExpander& operator=(const LabelExpander&) = delete;
  ~LabelExpander() { EVP_MAC_CTX_free(mac_); }

  void expand(std::string_view label, uint8_t* out, size_t size) {
    constexpr std::string_view prefix = "tls13 ";
    uint8_t info[64] = {0, static_cast<uint8_t>(size), static_cast<uint8_t>(prefix.size() + label.size())};
    size_t length = 3;
    for (const std::string_view part : {prefix, label}) {
      std::memcpy(info + length, part.data(), part.size());
      length += part.size();
    }
    info[length++] = 0;  // the context
    info[length++] = 1;  // the step
    uint8_t made[EVP_MAX_MD_SIZE];
    size_t made_bytes = 0;
    const bool again = !std::exchange(used_, true) || EVP_MAC_init(mac_, nullptr, 0, nullptr) == 1;  // with the same key
    const bool good = again && EVP_MAC_update(mac_, info, length) == 1 && EVP_MAC_final(mac_, made, &made_bytes, sizeof made) == 1;
    RS_CHECK(good && made_bytes >= size);
    std::memcpy(out, made, size);
    OPENSSL_cleanse(made, sizeof made);
  }

 private:
  EVP_MAC_CTX* mac_;
  bool used_ = false;
};

int digit_of(char byte) {
  if (byte >= '0' && byte <= '9') return byte - '0';
  if (byte >= 'a' && byte <= 'f') return byte - 'a' + 10;
  return -1;
}

}  // namespace

std::optional<RecordSuite> record_suite(std::string_view name) {
  for (size_t at = 0; at < std::size(suites); ++at) {
    if (name == suites[at].name) return static_cast<RecordSuite>(at);
  }
  return std::nullopt;
}

TrafficSecret::~TrafficSecret() { OPENSSL_cleanse(bytes_.data(), bytes_.size()); }

bool TrafficSecret::set_hex(std::string_view hex) {
  size_ = 0;
  if (hex.size() % 2 != 0 || hex.size() > 2 * bytes_max) return false;
  for (size_t at = 0; at < hex.size(); at += 2) {
    const int high = digit_of(hex[at]), low = digit_of(hex[at + 1]);
    if (high < 0 || low < 0) return false;
    bytes_[at / 2] = static_cast<uint8_t>(high * 16 + low);
  }
  size_ = static_cast<uint8_t>(hex.size() / 2);
  return true;
}

RecordKeys::RecordKeys(RecordSuite suite, Use use, const TrafficSecret& secret, uint64_t sequence)
    : cipher_(EVP_CIPHER_CTX_new()), sequence_(sequence), secret_(secret), suite_(suite), use_(use) {
  RS_CHECK(cipher_ != nullptr);
  install();
}

RecordKeys::~RecordKeys() {
  EVP_CIPHER_CTX_free(cipher_);  // wipes the key
  OPENSSL_cleanse(base_nonce_.data(), base_nonce_.size());
}

void RecordKeys::install() {
  const Suite& suite = facts_of(suite_);
  uint8_t key[32];
  LabelExpander expander(suite_, secret_);
  expander.expand("key", key, suite.key_bytes);
  expander.expand("iv", base_nonce_.data(), base_nonce_.size());
  const int done = EVP_CipherInit_ex(cipher_, cipher_of(suite_), nullptr, key, nullptr, use_ == Use::seal ? 1 : 0);
  OPENSSL_cleanse(key, sizeof key);
  RS_CHECK(done == 1);
}

void RecordKeys::advance() {
  TrafficSecret next = secret_;
  LabelExpander(suite_, secret_).expand("traffic upd", next.data(), next.size());
  secret_ = next;
  sequence_ = 0;
  install();
}

void RecordKeys::begin(const char* header, size_t header_bytes) {
  std::array<uint8_t, nonce_bytes> nonce = base_nonce_;
  for (size_t at = 0; at < 8; ++at) nonce[nonce_bytes - 1 - at] ^= static_cast<uint8_t>(sequence_ >> (8 * at));
  ++sequence_;
  int size = 0;
  const bool good = EVP_CipherInit_ex(cipher_, nullptr, nullptr, nullptr, nonce.data(), -1) == 1 &&
                    EVP_CipherUpdate(cipher_, nullptr, &size, reinterpret_cast<const uint8_t*>(header),
                                     static_cast<int>(header_bytes)) == 1;
  RS_CHECK(good);
}

void RecordKeys::update(char* to, const char* from, size_t bytes) {
  int size = 0;
  RS_CHECK(EVP_CipherUpdate(cipher_, reinterpret_cast<uint8_t*>(to), &size, reinterpret_cast<const uint8_t*>(from),
                            static_cast<int>(bytes)) == 1);
}

void RecordKeys::seal_end(char* tag) {
  uint8_t rest[EVP_MAX_BLOCK_LENGTH];
  int size = 0;
  RS_CHECK(EVP_CipherFinal_ex(cipher_, rest, &size) == 1 &&
           EVP_CIPHER_CTX_ctrl(cipher_, EVP_CTRL_AEAD_GET_TAG, tag_bytes, tag) == 1);
}

bool RecordKeys::open_end(const char* tag) {
  uint8_t rest[EVP_MAX_BLOCK_LENGTH];
  int size = 0;
  return EVP_CIPHER_CTX_ctrl(cipher_, EVP_CTRL_AEAD_SET_TAG, tag_bytes, const_cast<char*>(tag)) == 1 &&
         EVP_CipherFinal_ex(cipher_, rest, &size) == 1;
}

}  // namespace ringside
