"""tls/ against other people's TLS: openssl, curl, Python and Go on the other end of a real socket, in both directions.

The program is tests/tls/tls_peer.cc: an echo server, or its client.
"""

import contextlib
import hashlib
import os
import re
import select
import shutil
import socket
import ssl
import subprocess
import threading
import time

import harness
import pytest

PEER = harness.BUILD / "tls_peer"
TIME = 30 * harness.SLOWNESS


def openssl(folder, *words, data=b""):
    done = subprocess.run(["openssl", *map(str, words)], cwd=folder, input=data, capture_output=True, timeout=TIME)
    return done.returncode, (done.stdout + done.stderr).decode(errors="replace")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """ca, other, server (P-256), rsa, client: .pem and .key each."""
    folder = tmp_path_factory.mktemp("certificates")
    for name in ("ca", "other"):
        assert openssl(folder, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key",
                       "-out", f"{name}.pem", "-subj", f"/CN={name}", "-days", "3",
                       "-addext", "keyUsage=critical,keyCertSign,cRLSign")[0] == 0
    kinds = {"server": ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], "rsa": ["rsa:2048"], "client": ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]}
    for name, key in kinds.items():
        names = "URI:spiffe://mesh/ns/a/sa/b" if name == "client" else "DNS:localhost,DNS:server.test,IP:127.0.0.1"
        (folder / f"{name}.ext").write_text(f"subjectAltName={names}\nkeyUsage=digitalSignature\nbasicConstraints=CA:FALSE\n")
        assert openssl(folder, "req", "-newkey", *key, "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")[0] == 0
        assert openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
                       "-extfile", f"{name}.ext", "-out", f"{name}.pem")[0] == 0
    return folder


class Server:
    """tls_peer serve."""

    def __init__(self, folder, ring, *words, chain="server"):
        self.lines = []
        self.process = subprocess.Popen(
            [PEER, "serve", f"--ring={ring}", f"--chain={chain}.pem", f"--key={chain}.key", *words], cwd=folder, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.port = int(self.process.stdout.readline().split()[1])
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def with_word(self, word):
        return [line for line in self.lines if word in line]

    def wait(self, word, count=1):
        harness.wait_until(lambda: len(self.with_word(word)) >= count, f"{count} x {word!r} in {self.lines}")
        return self.with_word(word)[-1]

    def stats(self):
        count = len(self.with_word("stats "))
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        line = self.wait("stats ", count + 1)
        return {key: float(value) for key, value in re.findall(r"(\w+)=(\d+)", line)}

    def stop(self):
        self.process.stdin.close()
        assert self.process.wait(timeout=TIME) == 0
        self.reader.join()


@pytest.fixture
def server(certificates, ring):
    """server(words..., chain=...) -> a running Server."""
    started = []

    def start(*words, **options):
        started.append(Server(certificates, ring, *words, **options))
        return started[-1]

    yield start
    for running in started:
        running.stop()


def client_context(certificates, show=None, **fields):
    context = ssl.create_default_context(cafile=certificates / "ca.pem")
    if show:
        context.load_cert_chain(certificates / f"{show}.pem", certificates / f"{show}.key")
    for name, value in fields.items():
        setattr(context, name, value)
    return context


def connect(context, port, session=None):
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=TIME), server_hostname="localhost", session=session)


# --- openssl -----------------------------------------------------------------------------------------------------------


def s_client(certificates, port, *words, data=b"", seconds=0.5):
    """What it printed; its input stays open for a while, so that the echo can come."""
    process = subprocess.Popen(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-CAfile", "ca.pem", *words], cwd=certificates,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    for part in data if isinstance(data, list) else [data]:
        time.sleep(seconds / 5)
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(part)
            process.stdin.flush()
    time.sleep(seconds * harness.SLOWNESS)
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()
    return process.stdout.read().decode(errors="replace"), process.wait(timeout=TIME)


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
@pytest.mark.parametrize("chain", ["server", "rsa"])
def test_s_client(server, certificates, version, chain):
    running = server("--alpn=h2,http/1.1", chain=chain)
    text, _ = s_client(certificates, running.port, version, "-alpn", "http/1.1,h2", "-servername", "server.test", data=b"hello there\n")
    assert "Verify return code: 0 (ok)" in text and text.count("hello there") == 1 and "ALPN protocol: h2" in text
    assert "alpn=h2 sni=server.test resumed=no" in running.wait("handshake")
    assert running.wait("closed").endswith("| ")


def test_resumption_by_s_client(server, certificates, tmp_path):
    running = server()
    for version in ("-tls1_2", "-tls1_3"):
        session = str(tmp_path / version)
        assert "New, TLS" in s_client(certificates, running.port, version, "-sess_out", session)[0]
        assert "Reused, TLS" in s_client(certificates, running.port, version, "-sess_in", session)[0]
        assert "resumed=yes" in running.with_word("handshake")[-1]


def test_renegotiation_is_refused(server, certificates):
    running = server()
    text, _ = s_client(certificates, running.port, "-tls1_2", data=[b"before\n", b"R\n"])
    assert "RENEGOTIATING" in text and "no renegotiation" in text
    assert len(running.with_word("handshake TLS")) == 1


def test_key_updates_are_answered_and_counted(server, certificates):
    running = server()
    text, _ = s_client(certificates, running.port, "-tls1_3", data=[b"K\n", b"still here\n"])
    assert "KEYUPDATE" in text and text.count("still here") == 1
    s_client(certificates, running.port, "-tls1_3", data=[b"K\n"] * 40, seconds=0.1)
    running.wait("too many key updates")


def test_downgrades_are_refused(server, certificates):
    running = server()
    text, code = s_client(certificates, running.port, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0", seconds=0.1)
    assert "alert protocol version" in text and code != 0
    text, code = s_client(certificates, running.port, "-tls1_2", "-fallback_scsv", seconds=0.1)
    assert "inappropriate fallback" in text and code != 0
    text, code = s_client(certificates, running.port, "-tls1_2", "-cipher", "AES128-SHA", seconds=0.1)
    assert "handshake failure" in text and code != 0
    assert not running.with_word("handshake TLS")


def test_garbage_in_the_handshake(server):
    """Whatever is sent after a hello that is good: one connection ends, the server goes on."""
    running = server()
    context = ssl.create_default_context()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname="localhost").do_handshake()
    hello = outgoing.read()
    tails = [b"GET / HTTP/1.1\r\n\r\n", b"\x17\x03\x03\x00\x05hello", b"\x16\x03\x03\xff\xff" + b"x" * 70000, b"\x15\x03\x03\x00\x02\x02\x28",
             b"\x14\x03\x03\x00\x01\x02", os.urandom(3000), b""]
    for count, tail in enumerate(tails, 1):
        with socket.create_connection(("127.0.0.1", running.port), timeout=TIME) as raw:
            with contextlib.suppress(OSError):
                raw.sendall(hello + tail)
                raw.shutdown(socket.SHUT_WR)
                while raw.recv(65536):
                    pass
        running.wait("closed", count)
    assert not running.with_word("handshake TLS")


def test_connect_to_s_server(certificates, ring):
    port = harness.free_port()
    process = subprocess.Popen(["openssl", "s_server", "-accept", str(port), "-cert", "server.pem", "-key", "server.key", "-quiet", "-naccept", "4",
                                "-CAfile", "ca.pem", "-Verify", "1", "-verify_return_error"], cwd=certificates,
                               stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        words = [f"--ring={ring}", f"--port={port}", "--ca=ca.pem", "--bytes=0"]
        showing = ["--chain=client.pem", "--key=client.key"]
        harness.wait_until(lambda: subprocess.run([PEER, "connect", *words, *showing], cwd=certificates, capture_output=True).returncode == 0,
                           "s_server takes our certificate")
        done = subprocess.run([PEER, "connect", *words], cwd=certificates, capture_output=True, text=True, timeout=TIME)
        assert done.returncode == 1 and "alert certificate required" in done.stdout
        done = subprocess.run([PEER, "connect", *words[:2], "--ca=other.pem", *showing], cwd=certificates, capture_output=True, text=True, timeout=TIME)
        assert done.returncode == 1 and "self-signed certificate in certificate chain" in done.stdout
    finally:
        process.kill()
        process.wait()


# --- curl --------------------------------------------------------------------------------------------------------------


def test_curl(server, certificates):
    running = server("--alpn=http/1.1")
    done = subprocess.run(["curl", "-sS", "--http0.9", "--max-time", "1", "--cacert", "ca.pem", f"https://localhost:{running.port}/an/echo"],
                          cwd=certificates, capture_output=True, text=True, timeout=TIME)
    assert "GET /an/echo HTTP/1.1" in done.stdout  # what it sent came back
    assert "alpn=http/1.1 sni=localhost" in running.wait("handshake")


# --- Python ------------------------------------------------------------------------------------------------------------


def echoed(peer, data):
    """Sends and receives by turns, because one TLS connection is not for two threads; the hash of what came back."""
    peer.setblocking(False)
    sent, received, digest = 0, 0, hashlib.sha256()
    deadline = time.monotonic() + TIME
    while received < len(data):
        assert time.monotonic() < deadline, f"{sent} sent, {received} received of {len(data)}"
        select.select([peer], [peer] if sent < len(data) else [], [], 1)
        with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
            if sent < len(data):
                sent += peer.send(data[sent:sent + 65536])
        with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
            while part := peer.recv(65536):
                digest.update(part)
                received += len(part)
    peer.settimeout(TIME)
    return digest.hexdigest()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_python_sends_and_reads_back(server, certificates, version):
    running = server()
    data = os.urandom(1 << 20) * 20
    with connect(client_context(certificates, maximum_version=version), running.port) as peer:
        assert echoed(peer, data) == hashlib.sha256(data).hexdigest()
        peer.unwrap()  # close_notify both ways
    assert running.wait("closed").endswith("| ")


def test_an_answer_behind_the_tickets_does_not_wait(server, certificates):
    """The end of the handshake and a question in one segment: the answer meets tickets that are still being sent, and nothing
    else happens that would wake the server."""
    running = server()
    context = client_context(certificates)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with socket.create_connection(("127.0.0.1", running.port), timeout=2 * harness.SLOWNESS) as raw:

        def until_done(step):
            while True:
                with contextlib.suppress(ssl.SSLWantReadError):
                    return step()
                raw.sendall(outgoing.read())
                incoming.write(raw.recv(65536))

        until_done(session.do_handshake)
        session.write(b"question")
        assert until_done(lambda: session.read(8)) == b"question"


def test_python_with_a_certificate(server, certificates):
    running = server("--ca=ca.pem", "--require-client", "--san=spiffe://mesh/ns/a/sa/b")
    with connect(client_context(certificates, show="client"), running.port) as peer:
        peer.sendall(b"me")
        assert peer.recv(2) == b"me"
    assert "validated=yes subject=CN=client" in running.wait("handshake")
    for show, word in ((None, "peer did not return a certificate"), ("rsa", "no subject alternative name")):
        with pytest.raises(ssl.SSLError), connect(client_context(certificates, show=show), running.port) as peer:
            peer.sendall(b"me")
            peer.recv(2)
        running.wait(word)


def test_python_resumes(server, certificates):
    running = server("--ca=ca.pem", "--require-client")
    context = client_context(certificates, show="client")
    session = None
    for expected in (False, True, True):
        with connect(context, running.port, session) as peer:
            peer.sendall(b"x")
            assert peer.recv(1) == b"x"
            assert peer.session_reused == expected
            session = peer.session
    assert "resumed=yes validated=yes subject=CN=client" in running.wait("resumed=yes", 2)


def test_truncation_by_python(server, certificates):
    running = server()
    with connect(client_context(certificates), running.port) as peer:
        peer.sendall(b"x")
        assert peer.recv(1) == b"x"
        socket.socket(fileno=os.dup(peer.fileno())).shutdown(socket.SHUT_WR)  # below TLS
        running.wait("closed without close_notify | TLS_error: connection closed without close_notify")


@pytest.mark.release_only
def test_a_slow_reader_costs_little(server, certificates):
    running = server()
    with connect(client_context(certificates), running.port) as peer:
        before = running.stats()["heap"]
        peer.settimeout(1)
        with contextlib.suppress(TimeoutError, ssl.SSLWantWriteError):
            for _ in range(200):
                peer.sendall(b"x" * (1 << 20))
        assert running.stats()["heap"] - before < 4 << 20


@pytest.mark.release_only
def test_many_connections_one_after_the_other_leave_nothing(server, certificates):
    running = server()
    context = client_context(certificates)

    def rounds(count):
        for _ in range(count):
            with connect(context, running.port) as peer:
                peer.sendall(b"x")
                assert peer.recv(1) == b"x"
        harness.wait_until(lambda: len(running.with_word("closed")) == len(running.with_word("handshake TLS")), "all are closed")
        return running.stats()["heap"]

    first = rounds(50)
    assert rounds(200) - first < 64 << 10


def python_echo(context, listener):
    """An echo that knows half-closes, for one connection."""
    raw, _ = listener.accept()
    raw.settimeout(TIME)
    with contextlib.suppress(OSError), context.wrap_socket(raw, server_side=True) as peer:
        pending = b""
        peer.setblocking(False)
        ended = False
        while not ended or pending:
            select.select([] if ended else [peer], [peer] if pending else [], [], 0.05)
            with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
                if len(pending) < 1 << 20 and not ended:
                    part = peer.recv(65536)
                    pending += part
                    ended = not part
            with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
                if pending:
                    pending = pending[peer.send(pending[:65536]):]
        peer.settimeout(TIME)
        peer.unwrap()


def test_connect_to_python(certificates, ring):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=python_echo, args=(context, listener))
        thread.start()
        done = subprocess.run([PEER, "connect", f"--ring={ring}", f"--port={listener.getsockname()[1]}", "--ca=ca.pem", "--sni=server.test",
                               "--san=server.test", "--bytes=5000000"], cwd=certificates, capture_output=True, text=True, timeout=TIME)
        thread.join()
    assert "echo 5000000" in done.stdout and "validated=yes subject=CN=server" in done.stdout, done.stdout


# --- Go ----------------------------------------------------------------------------------------------------------------

GO_PEER = """
package main

import ("bytes"; "crypto/tls"; "crypto/x509"; "fmt"; "io"; "math/rand"; "os")

func must(err error) { if err != nil { fmt.Println("failed", err); os.Exit(1) } }

func main() {
  pair, err := tls.LoadX509KeyPair(os.Args[3]+".pem", os.Args[3]+".key"); must(err)
  pem, err := os.ReadFile("ca.pem"); must(err)
  pool := x509.NewCertPool(); pool.AppendCertsFromPEM(pem)
  config := &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: pool, ClientCAs: pool, ServerName: "server.test",
    ClientSessionCache: tls.NewLRUClientSessionCache(4), NextProtos: []string{"istio", "h2"}}
  if os.Args[1] == "serve" {
    config.ClientAuth = tls.RequireAndVerifyClientCert
    listener, err := tls.Listen("tcp", "127.0.0.1:0", config); must(err)
    fmt.Println(listener.Addr().String())
    for {
      conn, err := listener.Accept(); must(err)
      go func() { io.Copy(conn, conn); conn.(*tls.Conn).CloseWrite(); conn.Close() }()
    }
  }
  for round := 0; round < 3; round++ {
    conn, err := tls.Dial("tcp", os.Args[2], config); must(err)
    data := make([]byte, 3000000); rand.Read(data)
    go func() { conn.Write(data); conn.CloseWrite() }()
    back, err := io.ReadAll(conn); must(err)
    state := conn.ConnectionState()
    fmt.Println(bytes.Equal(back, data), state.DidResume, state.NegotiatedProtocol)
    conn.Close()
  }
}
"""


@pytest.fixture(scope="module")
def go_peer(tmp_path_factory):
    if not shutil.which("go"):
        pytest.skip("Go is not installed")
    folder = tmp_path_factory.mktemp("go")
    (folder / "peer.go").write_text(GO_PEER)
    done = subprocess.run(["go", "build", "-o", "peer", "peer.go"], cwd=folder, capture_output=True, text=True, timeout=240,
                          env={**os.environ, "GO111MODULE": "off", "GOFLAGS": ""})
    assert done.returncode == 0, done.stderr
    return folder / "peer"


def test_go_client(server, certificates, go_peer):
    running = server("--alpn=istio", "--ca=ca.pem", "--require-client")
    done = subprocess.run([go_peer, "connect", f"127.0.0.1:{running.port}", "client"], cwd=certificates, capture_output=True, text=True, timeout=TIME)
    assert done.stdout.split("\n")[:3] == ["true false istio", "true true istio", "true true istio"], done.stdout
    assert all(line.endswith("| ") for line in running.with_word("closed"))


def test_connect_to_go(certificates, go_peer, ring):
    process = subprocess.Popen([go_peer, "serve", "-", "server"], cwd=certificates, stdout=subprocess.PIPE, text=True)
    try:
        port = process.stdout.readline().strip().rsplit(":", 1)[1]
        done = subprocess.run([PEER, "connect", f"--ring={ring}", f"--port={port}", "--ca=ca.pem", "--sni=server.test", "--chain=client.pem",
                               "--key=client.key", "--alpn=h2", "--bytes=5000000"], cwd=certificates, capture_output=True, text=True, timeout=TIME)
        assert "echo 5000000" in done.stdout and "alpn=h2" in done.stdout, done.stdout
    finally:
        process.kill()
        process.wait()
