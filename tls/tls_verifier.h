#pragma once
// Whether a peer is who it should be: the chain first, then names, then pins.
#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "tls/san_matcher.h"
#include "tls/tls_spec.h"
#include "tls/tls_stats.h"

struct ssl_ctx_st;
struct x509_store_ctx_st;
struct x509_st;

namespace ringside {

// What a handshake asks of its peer, and how the peer did. Lives as long as the handshake.
struct PeerCheck {
  std::string server_name;                     // client: the name that was asked for
  std::vector<std::string> subject_alt_names;  // not empty: one of these, besides what the context asks for
  bool validated = false;                      // every check that is configured was passed
  bool failed = false;
  TlsStat reason = TlsStat::fail_verify_error;  // of the failure
  std::string text;                             // the same in words
};

class TlsVerifier {
 public:
  static std::expected<TlsVerifier, TlsSpecError> make(const TlsValidationSpec& spec);

  // Puts the trusted certificates and revocation lists into `context`.
  std::expected<void, TlsSpecError> install(ssl_ctx_st& context, const TlsValidationSpec& spec) const;
  // Whether a certificate is checked at all; a client that checks none connects to anybody.
  bool checks() const { return trusts_ || has_pins() || !matchers_.empty(); }
  // Whether there is a chain that names could be believed by.
  bool trusts() const { return trusts_; }
  // Whether a peer without a certificate can be refused for that alone.
  bool demands_certificate() const { return !accept_untrusted_ && (has_pins() || !matchers_.empty()); }
  bool accept_untrusted() const { return accept_untrusted_; }
  // Runs inside the handshake. False: the peer is refused, and `check` and the store's error say why.
  bool verify(x509_store_ctx_st& store, PeerCheck& check) const;
  // Whether a certificate that was verified for an earlier session is still good at `now`.
  bool accepts_resumed(x509_st& leaf, WallTime now) const;

 private:
  bool has_pins() const { return !hashes_.empty() || !spkis_.empty(); }
  bool names_match(x509_st& leaf, PeerCheck& check) const;
  bool pins_match(x509_st& leaf) const;
  bool chain_holds(x509_store_ctx_st& store, PeerCheck& check) const;
  bool leaf_holds(x509_st& leaf, PeerCheck& check) const;

  std::vector<SanMatcher> matchers_;
  std::vector<std::string> hashes_, spkis_;  // 32 bytes each
  bool trusts_ = false;
  bool allow_expired_ = false;
  bool accept_untrusted_ = false;
  bool match_server_name_ = false;
};

}  // namespace ringside
