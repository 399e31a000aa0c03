#include "proxy/upstream/upstream_socket.h"

#include "core/sockets.h"
#include "core/tcp_transport.h"
#include "proxy/upstream/proxy_preamble.h"

namespace ringside {
namespace {

// Without a client (a check of the endpoint's health) it is our own connection. The room of a new socket takes a header at once; one
// that does not is broken, and is made to say so.
void send_proxy_header(ProxyProtocol version, int fd, const ConnectionTerms* terms) {
  const bool own = terms == nullptr && version == ProxyProtocol::v1;
  const Address peer = own ? sockets::local_address(fd) : terms != nullptr ? terms->peer : Address();
  const Address local = own ? sockets::peer_address(fd) : terms != nullptr ? terms->local : Address();
  if (!sockets::send_at_once(fd, proxy_preamble(version, peer, local))) sockets::shutdown_both(fd);
}

}  // namespace

UpstreamSocket::UpstreamSocket(const UpstreamSocketSpec& spec) : spec_(spec), tls_(spec.tls) {
  if (tls_ != nullptr && spec.tls_sessions_max > 0) sessions_ = std::make_unique<TlsSessions>(tls_, spec.tls_sessions_max);
}

void UpstreamSocket::adopt_tls(const TlsContextPtr& first, const TlsContextPtr& now) {
  if (spec_.tls != first) return;
  tls_ = now;
  if (sessions_ != nullptr) sessions_->renew(now);
}

std::unique_ptr<Transport> UpstreamSocket::make_transport(Worker& worker, const Connected& connected) {
  if (spec_.proxy_protocol != ProxyProtocol::none) send_proxy_header(spec_.proxy_protocol, connected.fd, connected.terms);
  auto plain = TcpTransport::make(worker, connected.fd);
  if (tls_ == nullptr) return plain;
  TlsConnectionOptions options{.user = &connected.user, .stats = &connected.stats, .sessions = sessions_.get()};
  options.alpn = connected.alpn;
  if (spec_.tls_host_name) options.server_name = connected.host.hostname();
  if (connected.terms != nullptr) {
    if (!connected.terms->server_name.empty()) options.server_name = connected.terms->server_name;
    if (!connected.terms->certificate_name.empty()) options.subject_alt_names = {connected.terms->certificate_name};
  }
  return std::make_unique<TlsTransport>(worker, tls_, std::move(plain), std::move(options));
}

}  // namespace ringside
