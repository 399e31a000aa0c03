#pragma once
// A transport socket of a cluster as one worker lives it: what a connected socket becomes.
#include <memory>

#include "core/stats.h"
#include "core/worker.h"
#include "proxy/specs.h"
#include "proxy/upstream/connection_terms.h"
#include "proxy/upstream/host.h"
#include "tls/tls_transport.h"

namespace ringside {

class UpstreamSocket {
 public:
  explicit UpstreamSocket(const UpstreamSocketSpec& spec);

  const UpstreamSocketSpec& spec() const { return spec_; }
  // From now on connections begin with `now`, if the spec says `first`.
  void adopt_tls(const TlsContextPtr& first, const TlsContextPtr& now);
  bool has_tls() const { return tls_ != nullptr; }
  struct Connected {
    int fd;  // taken over
    const Host& host;
    TlsUser& user;                 // hears of the handshake, where there is TLS
    StatBlock<TlsStat>& stats;
    const ConnectionTerms* terms;  // null: none of its own
    std::vector<std::string> alpn;  // instead of the context's, when not empty
  };
  // Plain, or a TlsTransport. A PROXY header is with the kernel already.
  std::unique_ptr<Transport> make_transport(Worker& worker, const Connected& connected);

 private:
  const UpstreamSocketSpec& spec_;
  TlsContextPtr tls_;
  std::unique_ptr<TlsSessions> sessions_;  // null: none are resumed
};

}  // namespace ringside
