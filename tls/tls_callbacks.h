#pragma once
// What the library calls back; for the sources of this folder only.
#include "tls/openssl_types.h"
#include "tls/tls_connection_port.h"
#include "tls/tls_context.h"

namespace ringside {

// Makes `context` call back. Its app data is the TlsContext.
void install_callbacks(SSL_CTX& context, TlsSide side);

}  // namespace ringside
