#include "tls/tls_tickets.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include <cstring>

#include "core/check.h"

namespace ringside {

static_assert(sizeof(TlsTicketKey) == TlsTicketKey::bytes);

std::expected<std::shared_ptr<const TlsTicketKeys>, TlsSpecError> TlsTicketKeys::make(std::vector<std::string>& secrets) {
  const std::shared_ptr<TlsTicketKeys> keys(new TlsTicketKeys());
  std::expected<std::shared_ptr<const TlsTicketKeys>, TlsSpecError> result = keys;
  keys->keys_.reserve(secrets.size());  // growing would leave copies behind
  if (secrets.empty()) result = std::unexpected(TlsSpecError{"session_ticket_keys.keys", "there must be at least one key"});
  for (size_t at = 0; at < secrets.size(); ++at) {
    if (secrets[at].size() != TlsTicketKey::bytes) {
      result = std::unexpected(TlsSpecError{"session_ticket_keys.keys[" + std::to_string(at) + "]",
                                            "a key has 80 bytes, this one has " + std::to_string(secrets[at].size())});
      break;
    }
    keys->keys_.resize(at + 1);
    std::memcpy(&keys->keys_[at], secrets[at].data(), TlsTicketKey::bytes);
  }
  for (std::string& secret : secrets) wipe(secret);
  return result;
}

std::shared_ptr<const TlsTicketKeys> TlsTicketKeys::random() {
  const std::shared_ptr<TlsTicketKeys> keys(new TlsTicketKeys());
  keys->keys_.resize(1);
  RS_CHECK(RAND_bytes(reinterpret_cast<unsigned char*>(keys->keys_.data()), TlsTicketKey::bytes) == 1);
  return keys;
}

TlsTicketKeys::~TlsTicketKeys() { OPENSSL_cleanse(keys_.data(), keys_.size() * sizeof(TlsTicketKey)); }

const TlsTicketKey* TlsTicketKeys::find(const unsigned char* name) const {
  for (const TlsTicketKey& key : keys_) {
    if (std::memcmp(key.name.data(), name, key.name.size()) == 0) return &key;
  }
  return nullptr;
}

}  // namespace ringside
