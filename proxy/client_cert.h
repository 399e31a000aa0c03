#pragma once
// What x-forwarded-client-cert says of a connection, as Envoy writes it.
#include <string>

#include "proxy/specs.h"
#include "tls/tls_transport.h"

namespace ringside {

// "By=...;Hash=...;Cert=...;Chain=...;Subject=...;URI=...;DNS=...", as far as the spec asks. The client has shown a certificate. Empty
// when the header is passed on and nothing is added.
std::string client_cert_text(const TlsTransport& tls, const ClientCertSpec& spec);

}  // namespace ringside
