"""TLS files that change while the proxy runs: what is new is used by new connections, the others stay; what is broken is not used."""

import os
import re
import shutil
import socket
import ssl
import threading
import time

import harness
import pytest
from harness import answering, cluster, http_listener, route
from tls_proxy_test import EC, TIME, client_context, common, connect, downstream, echo_head, get, openssl, over_tls, pair, server_context, sign, upstream_tls


def authority(path, name, days):
    openssl(path, "req", "-x509", "-newkey", *EC, "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={name}",
            "-days", days, "-addext", "keyUsage=critical,keyCertSign,cRLSign")


@pytest.fixture(scope="module")
def issued(tmp_path_factory):
    """Certificates to choose from: first and second for the same names, clients of two authorities, a list that revokes one."""
    path = tmp_path_factory.mktemp("issued")
    for name in ("ca", "other"):
        authority(path, name, 100)
    sign(path, "first", "DNS:server.test,IP:127.0.0.1", "-days", "20")
    sign(path, "second", "DNS:server.test,IP:127.0.0.1", "-days", "10")
    sign(path, "client", "DNS:client.test")
    (path / "index.txt").write_text("")
    (path / "ca.cnf").write_text("[ca]\ndefault_ca=x\n[x]\ndatabase=index.txt\ndefault_md=sha256\ndefault_crl_days=30\n")
    openssl(path, "ca", "-config", "ca.cnf", "-gencrl", "-keyfile", "ca.key", "-cert", "ca.pem", "-out", "empty.crl")
    openssl(path, "ca", "-config", "ca.cnf", "-revoke", "client.pem", "-keyfile", "ca.key", "-cert", "ca.pem")
    openssl(path, "ca", "-config", "ca.cnf", "-gencrl", "-keyfile", "ca.key", "-cert", "ca.pem", "-out", "revoking.crl")
    own = path / "own"
    own.mkdir()
    for name in ("pem", "key"):
        shutil.copy(path / f"other.{name}", own / f"ca.{name}")
    sign(own, "stranger", "DNS:server.test,IP:127.0.0.1")
    for name in ("pem", "key"):
        shutil.copy(own / f"stranger.{name}", path / f"stranger.{name}")
    return path


def place(issued, name, into, shown="server"):
    """By renaming over what is there, as careful programs do."""
    for kind in ("pem", "key"):
        shutil.copy(issued / f"{name}.{kind}", into / "new")
        os.rename(into / "new", into / f"{shown}.{kind}")


def serial(context, port):
    with connect(context, port) as client:
        return client.getpeercert()["serialNumber"]


def serial_of(issued, name):
    return openssl(issued, "x509", "-in", f"{name}.pem", "-noout", "-serial").decode().strip().split("=")[1]


def ask(client):
    client.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
    return harness.receive_response(client).status


class Written:
    """In place, one file after the other."""

    def __init__(self, folder):
        self.files = {kind: folder / f"server.{kind}" for kind in ("pem", "key")}

    def put(self, issued, name):
        for kind, path in self.files.items():
            path.write_bytes((issued / f"{name}.{kind}").read_bytes())


class Renamed(Written):
    def put(self, issued, name):
        for kind, path in self.files.items():
            shutil.copy(issued / f"{name}.{kind}", f"{path}.new")
            os.rename(f"{path}.new", path)


class Kubernetes(Written):
    """A mounted secret: links through ..data, which is a link to a folder and is replaced as a whole."""

    def __init__(self, folder):
        super().__init__(folder)
        self.folder, self.count = folder, 0

    def put(self, issued, name):
        self.count += 1
        version = self.folder / f"..version{self.count}"
        version.mkdir()
        for kind in ("pem", "key"):
            shutil.copy(issued / f"{name}.{kind}", version / f"server.{kind}")
        os.symlink(version.name, self.folder / "..data_tmp")
        os.rename(self.folder / "..data_tmp", self.folder / "..data")
        for kind in ("pem", "key"):
            if not self.files[kind].is_symlink():
                os.symlink(f"..data/server.{kind}", self.files[kind])
        if self.count > 1:
            shutil.rmtree(self.folder / f"..version{self.count - 1}")


class Linked(Written):
    """Links to files elsewhere, which are replaced there."""

    def __init__(self, folder):
        elsewhere = folder / "elsewhere"
        elsewhere.mkdir()
        super().__init__(elsewhere)
        self.inner = Renamed(elsewhere)
        self.files = {kind: folder / f"server.{kind}" for kind in ("pem", "key")}

    def put(self, issued, name):
        self.inner.put(issued, name)
        for kind, path in self.files.items():
            if not path.is_symlink():
                os.symlink(f"elsewhere/server.{kind}", path)


class Swapped(Written):
    """A link to a folder above the files is pointed at another folder."""

    def __init__(self, folder):
        self.folder, self.count = folder, 0
        self.files = {kind: folder / "current" / "tls" / f"server.{kind}" for kind in ("pem", "key")}

    def put(self, issued, name):
        self.count += 1
        inner = self.folder / f"release{self.count}" / "tls"
        inner.mkdir(parents=True)
        for kind in ("pem", "key"):
            shutil.copy(issued / f"{name}.{kind}", inner / f"server.{kind}")
        os.symlink(self.folder / f"release{self.count}", self.folder / "next")
        os.rename(self.folder / "next", self.folder / "current")


def tls_pair(files, **fields):
    return {"certificate_chain": {"filename": str(files["pem"])}, "private_key": {"filename": str(files["key"])}, **fields}


def serve(proxy, port, common_context, **fields):
    running = proxy([downstream(http_listener(harness.free_port(), [route()]), common_context, **fields)], [cluster("origin", port)])
    return running, running.listen_ports["http"]


@pytest.mark.parametrize("how", [Written, Renamed, Kubernetes, Linked, Swapped])
def test_new_connections_see_the_new_certificate(proxy, upstream, issued, tmp_path, how):
    files = how(tmp_path)
    files.put(issued, "first")
    running, port = serve(proxy, upstream(answering(echo_head)).port, {"tls_certificates": [tls_pair(files.files)]})
    context = client_context(issued)
    first, second = serial_of(issued, "first"), serial_of(issued, "second")
    with connect(context, port) as old:
        assert old.getpeercert()["serialNumber"] == first and ask(old) == 200
        for name, expected in (("second", second), ("first", first), ("second", second)):
            files.put(issued, name)
            harness.wait_until(lambda expected=expected: serial(context, port) == expected, "the new certificate is shown", 10)
            assert ask(old) == 200  # its connection has nothing to do with that
    assert running.stat("tls_files.update_rejected") == 0
    assert running.stat("tls_files.update_success") == 3
    assert len(re.findall(r"bootstrap\.json:\d+:\d+: changed TLS files are used from now on, good until \d{4}-", running.log)) == 3


def test_broken_files_are_not_used(proxy, upstream, issued, tmp_path):
    files = Renamed(tmp_path)
    files.put(issued, "first")
    running, port = serve(proxy, upstream(answering(echo_head)).port, {"tls_certificates": [tls_pair(files.files)]})
    context, first = client_context(issued), serial_of(issued, "first")
    breaks = [lambda: files.files["pem"].write_text("-----BEGIN CERTIFICATE-----\nno\n"),
              lambda: files.files["pem"].write_bytes((issued / "second.pem").read_bytes()),  # and the key of the first
              lambda: files.files["key"].unlink()]
    for count, break_it in enumerate(breaks, 1):
        break_it()
        harness.wait_until(lambda count=count: running.stat("tls_files.update_rejected") == count, "it is refused", 10)
        assert serial(context, port) == first
    assert "changed TLS files are not used, what was read before stays: common_tls_context.tls_certificates[0]" in running.log or \
        "what was read before stays: tls_certificates[0]" in running.log or "private_key" in running.log, running.log
    assert running.stat("tls_files.update_success") == 0
    files.put(issued, "second")
    harness.wait_until(lambda: serial(context, port) == serial_of(issued, "second"), "repaired files are used", 10)


def test_a_watched_directory(proxy, upstream, issued, tmp_path):
    """With it, as without, both files belong together: no broken state in between is seen."""
    files = Renamed(tmp_path)
    files.put(issued, "first")
    running, port = serve(proxy, upstream(answering(echo_head)).port,
                          {"tls_certificates": [tls_pair(files.files, watched_directory={"path": str(tmp_path)})]})
    for _ in range(3):
        for name in ("second", "first"):
            for kind in ("pem", "key"):
                shutil.copy(issued / f"{name}.{kind}", tmp_path / "new")
                os.rename(tmp_path / "new", files.files[kind])
                time.sleep(0.05)
            harness.wait_until(lambda name=name: serial(client_context(issued), port) == serial_of(issued, name), "it is used", 10)
    assert running.stat("tls_files.update_rejected") == 0


def test_tickets_outlive_a_new_certificate(proxy, upstream, issued, tmp_path):
    """One for the same names, that is."""
    again = tmp_path / "again"
    again.mkdir()
    for kind in ("pem", "key"):
        shutil.copy(issued / f"ca.{kind}", again)
    sign(again, "first", "DNS:server.test,IP:127.0.0.1", "-days", "20")
    files = Renamed(tmp_path)
    files.put(issued, "first")
    running, port = serve(proxy, upstream(answering(echo_head)).port, {"tls_certificates": [tls_pair(files.files)]})
    context = client_context(issued)
    with connect(context, port) as client:
        assert ask(client) == 200
        session = client.session
    files.put(again, "first")
    harness.wait_until(lambda: running.stat("tls_files.update_success") == 1, "it is used", 10)
    with connect(context, port, session) as client:
        assert ask(client) == 200 and client.session_reused


def accepted(context, port, session=None):
    try:
        with connect(context, port, session) as client:
            return ask(client) == 200
    except (OSError, ssl.SSLError, AssertionError):
        return False


def test_authorities_and_lists_change(proxy, upstream, issued, tmp_path):
    """Whoever is believed no longer is refused, with a ticket from before as well."""
    trusted, crl = tmp_path / "trusted.pem", tmp_path / "list.crl"
    trusted.write_bytes((issued / "ca.pem").read_bytes())
    crl.write_bytes((issued / "empty.crl").read_bytes())
    validation = {"trusted_ca": {"filename": str(trusted)}, "crl": {"filename": str(crl)}}
    running, port = serve(proxy, upstream(answering(echo_head)).port,
                          {"tls_certificates": [pair(issued, "first")], "validation_context": validation}, require_client_certificate=True)
    good = client_context(issued, "client")
    with connect(good, port) as client:
        assert ask(client) == 200
        session = client.session
    assert accepted(good, port, session)
    crl.write_bytes((issued / "revoking.crl").read_bytes())
    harness.wait_until(lambda: not accepted(good, port), "the client is revoked", 10)
    assert not accepted(good, port, session)
    assert not accepted(client_context(issued, "stranger"), port)
    trusted.write_bytes((issued / "other.pem").read_bytes())
    crl.write_bytes(b"")  # which must not mean that there is nothing to check
    harness.wait_until(lambda: running.stat("tls_files.update_rejected") == 1, "an empty list is refused", 10)
    assert "validation_context.crl: is empty" in running.log or "crl: is empty" in running.log
    assert not accepted(good, port) and not accepted(client_context(issued, "stranger"), port)


def test_a_cluster_believes_a_new_authority(proxy, upstream, issued, tmp_path):
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes((issued / "ca.pem").read_bytes())
    server = upstream(over_tls(server_context(issued, "stranger"), answering(echo_head)))
    target = cluster("origin", server.port, **upstream_tls({"validation_context": {"trusted_ca": {"filename": str(trusted)}}}, sni="server.test"))
    running = proxy([http_listener(harness.free_port(), [route()])], [target])
    port = running.listen_ports["http"]
    assert get(port).status == 503
    trusted.write_bytes((issued / "other.pem").read_bytes())
    harness.wait_until(lambda: get(port).status == 200, "the new authority is believed", 10)
    before = server.accepted
    trusted.write_bytes((issued / "ca.pem").read_bytes())
    harness.wait_until(lambda: running.stat("tls_files.update_success") == 2, "it is believed no longer", 10)
    assert get(port).status == 200 and server.accepted == before  # on the connection that is there
    assert running.stat("cluster.origin.upstream_cx_active") == 1


def test_no_connection_fails_while_files_change(proxy, upstream, issued, tmp_path):
    files = Renamed(tmp_path)
    files.put(issued, "first")
    running, port = serve(proxy, upstream(answering(echo_head)).port, {"tls_certificates": [tls_pair(files.files)]})
    over, failures, done = threading.Event(), [], [0]

    def knock():
        context = client_context(issued)
        while not over.is_set():
            try:
                with connect(context, port) as client:
                    assert ask(client) == 200
                done[0] += 1
            except (OSError, AssertionError) as error:
                failures.append(error)

    threads = [threading.Thread(target=knock) for _ in range(3)]
    for thread in threads:
        thread.start()
    for at in range(8):
        files.put(issued, ("second", "first")[at % 2])
        time.sleep(0.3)
    over.set()
    for thread in threads:
        thread.join()
    assert not failures and done[0] > 50
    assert running.stat("tls_files.update_success") >= 3


def test_days_until_a_certificate_expires(proxy, envoy, upstream, issued, tmp_path):
    files = Renamed(tmp_path)
    files.put(issued, "first")
    name = "server.days_until_first_cert_expiring"
    seen = []
    for start in (envoy, proxy):
        listener = downstream(http_listener(harness.free_port(), [route()]), {"tls_certificates": [tls_pair(files.files)]})
        target = cluster("origin", 1, **upstream_tls(common(issued, ca="ca")))
        running = start([listener], [target])
        harness.wait_until(lambda running=running: running.stat(name) < 1000, "it is counted", 10)
        seen.append(running.stat(name))
    assert seen == [19, 19]
    files.put(issued, "second")
    harness.wait_until(lambda: running.stat(name) == 9, "the new certificate counts", 10)
