#include "proxy/downstream.h"

#include <algorithm>
#include <cstring>

#include "core/transport.h"
#include "proxy/client_cert.h"
#include "proxy/listener/live_chain.h"

namespace ringside {

Downstream::Downstream(LiveChain& listener, const Address& peer, uint64_t id) : listener_(listener), id_(id) {
  if (peer.is_ip()) std::memcpy(&peer_, peer.data(), std::min<size_t>(peer.size(), sizeof peer_));
}

Worker& Downstream::worker() const { return listener_.worker(); }

Address Downstream::peer_address() const {
  if (peer_.sin6_family == AF_UNSPEC) return {};
  const socklen_t size = peer_.sin6_family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
  return Address::from_sockaddr(reinterpret_cast<const sockaddr*>(&peer_), size);
}

Address Downstream::direct_peer_address() const {
  const ConnectionFacts* const facts = transport().facts_before();
  return facts != nullptr && !facts->direct_peer.empty() ? facts->direct_peer : peer_address();
}

Address Downstream::local_address_of(const Transport& transport) const {
  const Address& bound = listener_.spec().address;
  const ConnectionFacts* const facts = transport.facts_before();
  const bool told = facts != nullptr && !facts->local.empty();
  return bound.is_ip() && !bound.is_wildcard() && !told ? bound : transport.local_address();
}

const std::string* Downstream::client_cert() {
  if (client_cert_ != nullptr) return client_cert_.get();
  const TlsTransport* const tls = listener_.tls_of(transport());
  if (tls == nullptr || !tls->has_peer_certificate()) return nullptr;
  client_cert_ = std::make_unique<const std::string>(client_cert_text(*tls, listener_.http().spec().client_cert));
  return client_cert_.get();
}

}  // namespace ringside
