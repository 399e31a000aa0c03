#pragma once
// What an upstream connection is made for, where that is more than an endpoint. Exchanges share connections only on the same terms.
#include <string>

#include "core/address.h"

namespace ringside {

struct ConnectionTerms {
  std::string server_name = {};       // of TLS; empty: as the transport socket says
  std::string certificate_name = {};  // the certificate must have it; empty: as the transport socket says
  bool raw = false;  // never speaks HTTP: each goes to a tunnel
  Address peer = {}, local = {};      // of the client's connection, for a PROXY header; empty: no client's
  // Equal for equal terms only.
  std::string key() const;
};

}  // namespace ringside
