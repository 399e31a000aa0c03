#pragma once
// What the connections of one listener or cluster have in common: versions, certificates, keys, whom to trust. Immutable, made
// once per spec, shared by all workers.
#include <expected>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tls/certificate_info.h"
#include "tls/tls_spec.h"
#include "tls/tls_verifier.h"

struct ssl_ctx_st;
struct ssl_st;

namespace ringside {

class TlsContext;
struct OwnCertificate;

using TlsContextPtr = std::shared_ptr<const TlsContext>;
using TlsContextResult = std::expected<TlsContextPtr, TlsSpecError>;

enum class TlsSide : uint8_t { server, client };

class TlsContext {
 public:
  // The spec is used up: its keys are wiped.
  static TlsContextResult make_server(TlsServerSpec spec);
  static TlsContextResult make_client(TlsClientSpec spec);
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;
  ~TlsContext();

  TlsSide side() const { return side_; }
  // In the order of the spec; for /certs and statistics of expiry.
  const std::vector<CertificateInfo>& certificates() const { return certificate_infos_; }
  const std::vector<CertificateInfo>& trusted() const { return trusted_infos_; }
  // Client: the SNI of a connection without its own.
  const std::string& server_name() const { return server_name_; }
  bool allows_renegotiation() const { return allow_renegotiation_; }
  const TlsVerifier& verifier() const { return verifier_; }

  // --- For the sources of this folder ---

  // A connection's state, ready to handshake.
  ssl_st* new_connection() const;
  const std::vector<OwnCertificate>& own() const { return own_; }
  const std::string& alpn_wire() const { return alpn_wire_; }
  const TlsTicketKeys& ticket_keys() const { return *ticket_keys_; }
  OcspPolicy ocsp_policy() const { return ocsp_policy_; }
  int key_log_fd() const { return key_log_fd_; }

 private:
  using Done = std::expected<void, TlsSpecError>;
  TlsContext(TlsSide side, TlsVerifier verifier);
  static TlsContextResult make(TlsSide side, const TlsCommonSpec& spec, OcspPolicy policy, std::shared_ptr<TlsContext>& made);
  Done set_versions(const TlsCommonSpec& spec);
  Done set_ciphers(const std::vector<std::string>& suites);
  Done set_curves(const std::vector<std::string>& curves);
  Done set_alpn(const std::vector<std::string>& protocols);
  Done load_certificates(const TlsCommonSpec& spec);
  Done use_defaults();
  Done open_key_log(const std::string& path);
  void describe_trusted();
  void set_client_verify(bool require);
  void set_tickets(const TlsServerSpec& spec);
  void set_session_scope(const TlsServerSpec& spec);

  const TlsSide side_;
  const TlsVerifier verifier_;
  ssl_ctx_st* context_;
  std::vector<OwnCertificate> own_;
  std::vector<CertificateInfo> certificate_infos_, trusted_infos_;
  std::shared_ptr<const TlsTicketKeys> ticket_keys_;
  std::string alpn_wire_, server_name_;
  OcspPolicy ocsp_policy_ = OcspPolicy::lenient;
  bool allow_renegotiation_ = false;
  int key_log_fd_ = -1;
};

// Protocol names as ALPN carries them: each behind its length. Nothing when one is empty or longer than 255 bytes.
std::expected<std::string, std::string> alpn_wire_format(const std::vector<std::string>& protocols);

}  // namespace ringside
