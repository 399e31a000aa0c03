#pragma once
// Keys of session tickets. Immutable, shared by every context and worker that should resume each other's sessions.
#include <array>
#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tls/tls_spec.h"

namespace ringside {

struct TlsTicketKey {
  static constexpr size_t bytes = 80;
  std::array<unsigned char, 16> name;
  std::array<unsigned char, 32> hmac;  // HMAC-SHA256
  std::array<unsigned char, 32> aes;   // AES-256-CBC
};

class TlsTicketKeys {
 public:
  // Each key has 80 bytes: 16 of name, 32 of HMAC key, 32 of AES key. The first one seals, all of them open: to rotate, put a new
  // key in front and drop the last. `secrets` is wiped.
  static std::expected<std::shared_ptr<const TlsTicketKeys>, TlsSpecError> make(std::vector<std::string>& secrets);
  static std::shared_ptr<const TlsTicketKeys> random();
  ~TlsTicketKeys();

  const TlsTicketKey& sealing() const { return keys_.front(); }
  // Null: not one of ours.
  const TlsTicketKey* find(const unsigned char* name) const;

 private:
  TlsTicketKeys() = default;
  std::vector<TlsTicketKey> keys_;
};

}  // namespace ringside
