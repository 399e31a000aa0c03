"""The certificates of a run: P-256, made when it begins, by the command `openssl`."""

import subprocess
from pathlib import Path

CLIENT_SIDE_NAME = "bench.test"   # whom clients believe to talk to
BACKEND_NAME = "backend.test"     # whom proxies believe to talk to
DAYS = 30

# name -> what it is good for. All are signed by `ca`.
LEAVES = {
    "proxy": (f"DNS:{CLIENT_SIDE_NAME}", "serverAuth"),        # what a proxy shows to clients
    "backend": (f"DNS:{BACKEND_NAME}", "serverAuth"),          # what the backend shows to a proxy
    "client": ("DNS:client.test", "clientAuth"),               # what the load shows to a proxy
    "upstream": ("DNS:proxy.test", "clientAuth"),              # what a proxy shows to the backend
}


class Certificates:
    """`x.pem`, `x.key` and, for HAProxy, both of them in `x.both.pem`, in one folder."""

    def __init__(self, folder):
        self.folder = Path(folder)

    def chain(self, name):
        return self.folder / f"{name}.pem"

    def key(self, name):
        return self.folder / f"{name}.key"

    def both(self, name):
        return self.folder / f"{name}.both.pem"

    @property
    def authority(self):
        return self.chain("ca")

    def make(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        self._make("ca", ["basicConstraints = critical, CA:TRUE", "keyUsage = critical, keyCertSign"], [])
        signed = ["-CA", self.chain("ca"), "-CAkey", self.key("ca")]
        for name, (subject, use) in LEAVES.items():
            self._make(name, ["basicConstraints = CA:FALSE", f"subjectAltName = {subject}", "keyUsage = critical, digitalSignature",
                              f"extendedKeyUsage = {use}"], signed)
            self.both(name).write_text(self.chain(name).read_text() + self.key(name).read_text())
        return self

    def _make(self, name, extensions, signed):
        # A file of our own, because the distribution's adds extensions.
        settings = self.folder / f"{name}.cnf"
        settings.write_text("\n".join(["[req]", "distinguished_name = who", "prompt = no", "x509_extensions = what", "[who]",
                                       f"CN = ringside bench {name}", "[what]", *extensions, ""]))
        command = ["openssl", "req", "-x509", "-config", settings, "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-sha256",
                   "-nodes", "-days", DAYS, "-keyout", self.key(name), "-out", self.chain(name), *signed]
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
        if done.returncode != 0:
            raise OSError(f"openssl makes no certificate: {done.stderr.strip().splitlines()[-1:]}")
        settings.unlink()
