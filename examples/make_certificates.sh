#!/bin/sh
# Makes what mtls_sidecar.yaml needs in the given folder: an authority, and the services a and b with SPIFFE names. For trying
# things out; a mesh has an authority that knows whom it signs for.
set -eu
mkdir -p "$1"
cd "$1"
key="-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
openssl req -x509 $key -keyout ca.key -out ca.pem -subj /CN=mesh -days 30 -addext keyUsage=critical,keyCertSign 2>/dev/null
for name in a b; do
  printf 'subjectAltName=URI:spiffe://mesh/%s\nbasicConstraints=CA:FALSE\nkeyUsage=digitalSignature\n' "$name" > "$name.ext"
  openssl req $key -keyout "$name.key" -out "$name.csr" -subj "/CN=$name" 2>/dev/null
  openssl x509 -req -in "$name.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile "$name.ext" -out "$name.pem" 2>/dev/null
done
