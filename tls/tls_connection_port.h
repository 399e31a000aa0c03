#pragma once
// The connection as the library's callbacks see it: the app data of its SSL.
#include <cstdint>
#include <string_view>

#include "core/time.h"
#include "tls/tls_stats.h"
#include "tls/tls_verifier.h"

struct ssl_session_st;

namespace ringside {

class TlsConnectionPort {
 public:
  // Null once the handshake is over.
  virtual PeerCheck* peer_check() = 0;
  virtual void count(TlsStat stat) = 0;
  virtual WallTime wall_now() const = 0;
  // A session that may be resumed later. True: the reference was taken over.
  virtual bool on_session(ssl_session_st& session) = 0;
  // A handshake message arrived (RFC 8446, section 4).
  virtual void on_handshake_message(uint8_t type) = 0;
  // One line in the format of a key log: label, random, secret.
  virtual void on_secret(std::string_view line) = 0;

 protected:
  ~TlsConnectionPort() = default;
};

}  // namespace ringside
