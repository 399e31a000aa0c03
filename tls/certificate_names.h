#pragma once
// The alternative names of a certificate, with their lengths taken from the encoding and never from a NUL.
#include <optional>
#include <string>
#include <vector>

#include "tls/tls_spec.h"

struct x509_st;

namespace ringside {

struct CertificateName {
  SanType type;  // never `any`
  std::string text;
};

// DNS, URI, IP (as text) and email names, in order. Nothing when a name holds a NUL byte or another control
// character, or when the extension is broken: such a certificate was made to be read in two ways.
std::optional<std::vector<CertificateName>> names_of(x509_st& certificate);

}  // namespace ringside
