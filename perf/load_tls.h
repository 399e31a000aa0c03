#pragma once
// TLS of the load tools: version 1.3 with one curve and one cipher, so that every proxy does the same work.
#include <memory>
#include <string>

#include "core/tcp_transport.h"
#include "tls/tls_transport.h"

namespace ringside::perf {

// Paths of PEM files; empty: none.
struct TlsFiles {
  std::string chain;
  std::string key;
  std::string client_ca;  // server: clients must show a certificate that this one signed
};

enum class Resumption : uint8_t { never, always };

// What the connections of a generator have in common.
class ClientTls {
 public:
  // Null, and why, when the files cannot be used. The server's certificate is not verified: that costs as much as the rest of the
  // handshake, and who starts the load has looked at it once.
  static std::unique_ptr<ClientTls> make(const TlsFiles& files, Resumption resumption, std::string alpn,
                                         std::string* why);
  std::unique_ptr<TlsTransport> wrap(Worker& worker, std::unique_ptr<Transport> below, TlsUser& user);
  Resumption resumption() const { return sessions_ != nullptr ? Resumption::always : Resumption::never; }

 private:
  explicit ClientTls(TlsContextPtr context) : context_(std::move(context)) {}
  TlsContextPtr context_;
  std::unique_ptr<TlsSessions> sessions_;
};

// Null, and why, when the files cannot be used.
TlsContextPtr make_server_tls(const TlsFiles& files, std::string* why);

}  // namespace ringside::perf
