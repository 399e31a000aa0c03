#pragma once
// Fingerprints of what a client offers, by which programs can be told apart.
#include <string>

#include "tls/client_hello.h"

namespace ringside {

// MD5 of versions, suites, extensions, groups and point formats in the order of the hello; 32 hexadecimal digits.
std::string ja3_fingerprint(const ClientHello& hello);
// "t13d1516h2_8daaf6152771_b0da82dd1658": readable, and independent of the order of the extensions.
std::string ja4_fingerprint(const ClientHello& hello);

}  // namespace ringside
