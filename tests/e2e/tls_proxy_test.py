"""Listeners and clusters that speak TLS, against curl, openssl and Python on both legs."""

import base64
import contextlib
import hashlib
import os
import re
import socket
import ssl
import struct
import subprocess
import threading
import time

import harness
import pytest
from harness import answering, cluster, http_listener, ok, route, tcp_listener

TIME = 30 * harness.SLOWNESS
KIND = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3."
EC = ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]


def openssl(folder, *words):
    done = subprocess.run(["openssl", *map(str, words)], cwd=folder, capture_output=True, timeout=TIME, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    return done.stdout


def sign(folder, name, names, *when):
    (folder / f"{name}.ext").write_text(f"subjectAltName={names}\nkeyUsage=digitalSignature\nbasicConstraints=CA:FALSE\n")
    openssl(folder, "req", "-newkey", *EC, "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
    openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-extfile", f"{name}.ext", "-out", f"{name}.pem", *(when or ("-days", "2")))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Authorities ca and other; by ca: server, client, expired. .pem and .key of each."""
    path = tmp_path_factory.mktemp("certificates")
    for name in ("ca", "other"):
        openssl(path, "req", "-x509", "-newkey", *EC, "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={name}",
                "-days", "3", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    sign(path, "server", "DNS:localhost,DNS:server.test,IP:127.0.0.1")
    sign(path, "client", "URI:spiffe://mesh/ns/a/sa/b,DNS:client.test")
    sign(path, "expired", "DNS:localhost,DNS:server.test", "-days", "-1")
    return path


def pair(folder, name):
    return {"certificate_chain": {"filename": str(folder / f"{name}.pem")}, "private_key": {"filename": str(folder / f"{name}.key")}}


def common(folder, show=None, ca=None, sans=None, **fields):
    validation = {}
    if ca:
        validation["trusted_ca"] = {"filename": str(folder / f"{ca}.pem")}
    if sans:
        validation["match_typed_subject_alt_names"] = [{"san_type": kind, "matcher": {"exact": text}} for kind, text in sans]
    return {**({"tls_certificates": [pair(folder, show)]} if show else {}),
            **({"validation_context": validation} if validation else {}), **fields}


def downstream(listener, common_context, timeout=None, **fields):
    chain = listener["filter_chains"][0]
    chain["transport_socket"] = {"name": "envoy.transport_sockets.tls", "typed_config": {
        "@type": KIND + "DownstreamTlsContext", "common_tls_context": common_context, **fields}}
    if timeout:
        chain["transport_socket_connect_timeout"] = timeout
    return listener


def upstream_tls(common_context, **fields):
    return {"transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": {
        "@type": KIND + "UpstreamTlsContext", "common_tls_context": common_context, **fields}}}


def server_context(folder, show="server", ca=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / f"{show}.pem", folder / f"{show}.key")
    if ca:
        context.load_verify_locations(folder / f"{ca}.pem")
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(folder, show=None, ca="ca", alpn=None):
    context = ssl.create_default_context(cafile=folder / f"{ca}.pem")
    if show:
        context.load_cert_chain(folder / f"{show}.pem", folder / f"{show}.key")
    if alpn:
        context.set_alpn_protocols(alpn)
    return context


def connect(context, port, session=None, name="server.test"):
    raw = socket.create_connection(("127.0.0.1", port), timeout=TIME)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return context.wrap_socket(raw, server_hostname=name, session=session)


def over_tls(context, serve):
    """A `serve` for harness.Upstream that shakes hands first."""

    def run(connection):
        with context.wrap_socket(connection, server_side=True) as peer:
            serve(peer)
            with contextlib.suppress(OSError, ssl.SSLError):
                peer.unwrap()

    return run


def curl(folder, port, *words, path="/", ca="ca"):
    done = subprocess.run(["curl", "-sS", "--max-time", str(TIME), "--cacert", folder / f"{ca}.pem", "--resolve", f"server.test:{port}:127.0.0.1",
                           "-w", "\n%{http_code} %{http_version}", *map(str, words), f"https://server.test:{port}{path}"],
                          capture_output=True, timeout=TIME)
    return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


def get(port, path="/"):
    return harness.parse_response(harness.exchange(port, f"GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".encode()))


def get_tls(folder, port):
    with connect(client_context(folder), port) as client:
        client.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        return harness.receive_response(client)


def text_log(path, text):
    return {"name": "file", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog", "path": str(path),
        "log_format": {"text_format_source": {"inline_string": text + "\n"}}}}


def echo_head(head, body):
    return ok(head, b"x-body: %d\r\n" % len(body))


# --- Clients over TLS --------------------------------------------------------------------------------------------------


def https(proxy, folder, port, common_fields=None, timeout=None, manager=None, arguments=(), **fields):
    """A running proxy with an https listener to a plain origin; its port."""
    listener = downstream(http_listener(harness.free_port(), [route()], **(manager or {})),
                          common(folder, "server", **(common_fields or {})), timeout, **fields)
    running = proxy([listener], [cluster("origin", port)], arguments)
    return running, running.listen_ports["http"]


def test_curl_to_plain_origin(proxy, upstream, folder):
    running, port = https(proxy, folder, upstream(answering(echo_head)).port, {"alpn_protocols": ["http/1.1"]})
    code, out, err = curl(folder, port)
    assert code == 0, err
    assert "x-forwarded-proto: https" in out and out.endswith("200 1.1")
    stats = running.stats(r"^listener\..*ssl\.")
    assert next(value for name, value in stats.items() if name.endswith("ssl.handshake")) == 1
    assert any("ssl.versions.TLSv1.3" in name for name in stats) and any("ssl.ciphers." in name for name in stats)
    assert any("ssl.curves." in name for name in stats)


def test_openssl_sees_alpn_and_version(proxy, upstream, folder):
    _, port = https(proxy, folder, upstream(answering(echo_head)).port,
                    {"alpn_protocols": ["http/1.1"], "tls_params": {"tls_maximum_protocol_version": "TLSv1_2"}})
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-CAfile", folder / "ca.pem", "-alpn", "foo,http/1.1"],
                          input=b"", capture_output=True, timeout=TIME)
    assert b"ALPN protocol: http/1.1" in done.stdout, done.stdout
    assert b"TLSv1.2" in done.stdout and b"Verify return code: 0" in done.stdout


def test_keep_alive_and_resumption(proxy, upstream, folder):
    running, port = https(proxy, folder, upstream(answering(echo_head)).port)
    context = client_context(folder)
    with connect(context, port) as client:
        for _ in range(20):
            client.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            assert harness.receive_response(client).status == 200
        session = client.session
    with connect(context, port, session) as client:
        client.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        assert harness.receive_response(client).status == 200
        assert client.session_reused
    assert running.stat("http.http.downstream_cx_total") == 2
    assert sum(running.stats(r"^listener.*\.ssl\.session_reused$").values()) == 1


def test_large_bodies_both_ways(proxy, upstream, folder):
    block = os.urandom(1 << 20)

    def answer(head, body):
        return ok(block * 32, b"x-sum: %s\r\n" % hashlib.sha256(body).hexdigest().encode())

    _, port = https(proxy, folder, upstream(answering(answer)).port)
    body = folder / "body"
    body.write_bytes(block * 32)
    out = folder / "out"
    code, text, err = curl(folder, port, "--data-binary", f"@{body}", "-H", "expect:", "-o", out, "-D", "-")
    assert code == 0, err
    assert f"x-sum: {hashlib.sha256(body.read_bytes()).hexdigest()}" in text
    assert hashlib.sha256(out.read_bytes()).digest() == hashlib.sha256(block * 32).digest()


def test_client_certificate(proxy, upstream, folder, tmp_path):
    line = "%DOWNSTREAM_TLS_VERSION% %DOWNSTREAM_TLS_CIPHER% %DOWNSTREAM_PEER_URI_SAN% %DOWNSTREAM_PEER_SUBJECT% %REQUESTED_SERVER_NAME% %DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%"
    running, port = https(proxy, folder, upstream(answering(echo_head)).port, {"ca": "ca", "sans": [("URI", "spiffe://mesh/ns/a/sa/b")]},
                          require_client_certificate=True, manager={"access_log": [text_log(tmp_path / "log", line)]})
    with connect(client_context(folder, "client"), port) as client:
        client.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        assert harness.receive_response(client).status == 200
    said = harness.wait_until(lambda: (tmp_path / "log").exists() and (tmp_path / "log").read_text(), "a line")
    assert re.fullmatch(r"TLSv1\.3 TLS_\S+ spiffe://mesh/ns/a/sa/b CN=client server\.test 127\.0\.0\.1\n", said), said
    for show in (None, "server"):  # none, and one with other names
        with pytest.raises((ssl.SSLError, ConnectionError)), connect(client_context(folder, show), port) as client:
            client.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            assert client.recv(1)
            raise AssertionError("answered")
    stats = running.stats(r"^listener.*\.ssl\.fail")
    assert sum(value for name, value in stats.items() if name.endswith("fail_verify_no_cert")) == 1
    assert sum(value for name, value in stats.items() if name.endswith("fail_verify_san")) == 1
    assert running.stat("http.http.downstream_rq_total") == 1
    harness.wait_until(lambda: running.stat("http.http.downstream_cx_active") == 0, "all are gone")


def test_plain_http_to_a_tls_port(proxy, upstream, folder):
    running, port = https(proxy, folder, upstream(answering(echo_head)).port)
    answer = harness.exchange(port, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
    assert b"HTTP/" not in answer
    harness.wait_until(lambda: sum(running.stats(r"ssl\.connection_error").values()) == 1, "it is counted")
    assert running.stat("http.http.downstream_rq_total") == 0
    assert running.stat("http.http.downstream_cx_protocol_error") == 0


def test_garbage_in_the_middle_of_a_request(proxy, upstream, folder):
    """Bytes that are no record end the connection, and with it the request; nothing is left behind."""
    running, port = https(proxy, folder, upstream(answering(echo_head)).port)
    with connect(client_context(folder), port) as client:
        client.sendall(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nx")
        harness.wait_until(lambda: running.stat("http.http.downstream_rq_active") == 1, "the request is there")
        socket.socket(fileno=os.dup(client.fileno())).sendall(b"garbage, below TLS" * 100)
        harness.wait_until(lambda: running.stat("http.http.downstream_cx_active") == 0, "the connection is gone")
    harness.wait_until(lambda: running.stat("cluster.origin.upstream_cx_active") == 0, "so is the upstream's")
    assert running.stat("http.http.downstream_rq_active") == 0
    assert get_tls(folder, port).status == 200


@pytest.mark.parametrize("first", [b"", b"\x16\x03\x01\x02\x00\x01"])
def test_silent_client(proxy, upstream, folder, first):
    running, port = https(proxy, folder, upstream(answering(echo_head)).port, timeout="0.3s")
    with harness.connect(port) as client:
        client.sendall(first)
        begin = time.monotonic()
        harness.read_to_end(client)
        assert 0.2 < time.monotonic() - begin < 5 * harness.SLOWNESS
    assert sum(running.stats(r"downstream_cx_transport_socket_connect_timeout").values()) == 1
    with connect(client_context(folder), port) as client:  # who has shaken hands is not hurried
        time.sleep(0.5)
        client.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        assert harness.receive_response(client).status == 200


def test_silent_client_without_handshake_timeout(proxy, upstream, folder):
    _, port = https(proxy, folder, upstream(answering(echo_head)).port, manager={"common_http_protocol_options": {"idle_timeout": "0.3s"}})
    with harness.connect(port) as client:
        assert harness.read_to_end(client) == b""


def test_drain(proxy, upstream, folder):
    running, port = https(proxy, folder, upstream(answering(echo_head)).port, manager={"drain_timeout": "0.2s"},
                          arguments=["--drain-on-sigterm", "--drain-time-s", "5"])
    with connect(client_context(folder), port) as client:
        client.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        assert harness.receive_response(client).status == 200
        client.suppress_ragged_eofs = False
        running.process.terminate()
        assert client.recv(1) == b"", "close_notify comes before the FIN"


def test_secrets_from_everywhere(proxy, upstream, folder):
    """A chain from the environment, an encrypted key with a password in a file; the second certificate is chosen by name."""
    openssl(folder, "pkcs8", "-topk8", "-in", "server.key", "-out", "locked.key", "-passout", "pass:secret")
    (folder / "password").write_text("secret\n")
    certificates = [pair(folder, "client"), {
        "certificate_chain": {"environment_variable": "CHAIN"}, "private_key": {"inline_string": (folder / "locked.key").read_text()},
        "password": {"filename": str(folder / "password")}}]
    listener = downstream(http_listener(harness.free_port(), [route()]), {"tls_certificates": certificates})
    running = proxy([listener], [cluster("origin", upstream(answering(echo_head)).port)], environment={"CHAIN": (folder / "server.pem").read_text()})
    for name in ("server.test", "client.test"):
        with connect(client_context(folder), running.listen_ports["http"], name=name) as client:
            assert client.getpeercert()["subject"] == ((("commonName", name.split(".")[0]),),)


def test_tickets_of_another_proxy(proxy, upstream, folder):
    keys = {"keys": [{"inline_bytes": base64.b64encode(os.urandom(80)).decode()}]}
    port = upstream(answering(echo_head)).port
    first, second = (https(proxy, folder, port, session_ticket_keys=keys)[1] for _ in range(2))
    stranger = https(proxy, folder, port)[1]
    context = client_context(folder)
    with connect(context, first) as client:
        client.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        assert harness.receive_response(client).status == 200
        session = client.session
    for where, resumed in ((stranger, False), (second, True)):
        with connect(context, where, session) as client:
            assert client.session_reused is resumed


def test_clients_that_vanish_leave_nothing(proxy, upstream, folder):
    """In the handshake and in a request, by FIN and by reset, many of them."""
    running, port = https(proxy, folder, upstream(answering(echo_head)).port)
    context = client_context(folder)
    hello = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), hello, server_hostname="server.test").do_handshake()
    hello = hello.read()
    before = running.open_fds()
    for turn in range(100):
        with harness.connect(port) as client:
            client.sendall(hello[:turn * 7])
            if turn % 2:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    for turn in range(30):
        with connect(context, port) as client:
            client.sendall(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nx")
            if turn % 2:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    for name in ("http.http.downstream_cx_active", "http.http.downstream_cx_ssl_active", "http.http.downstream_rq_active",
                 "cluster.origin.upstream_rq_active"):
        harness.wait_until(lambda: running.stat(name) == 0, name)  # noqa: B023
    kept = "cluster.origin.upstream_cx_active"  # idle ones may be
    harness.wait_until(lambda: running.open_fds() <= before + running.stat(kept), "descriptors are closed")
    assert get_tls(folder, port).status == 200


def test_raw_buffer(proxy, upstream):
    listener = http_listener(harness.free_port(), [route()])
    raw = {"name": "envoy.transport_sockets.raw_buffer", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"}}
    listener["filter_chains"][0]["transport_socket"] = raw
    running = proxy([listener], [cluster("origin", upstream(answering(echo_head)).port, transport_socket=raw)])
    assert get(running.listen_ports["http"]).status == 200


# --- Origins over TLS --------------------------------------------------------------------------------------------------


def to_tls(proxy, folder, port, common_fields, tmp_path=None, manager=None, cluster_fields=None, **fields):
    logs = [text_log(tmp_path / "log", "%RESPONSE_CODE% %RESPONSE_FLAGS% %UPSTREAM_TRANSPORT_FAILURE_REASON%")] if tmp_path else []
    listener = http_listener(harness.free_port(), [route()], access_log=logs, **(manager or {}))
    running = proxy([listener], [cluster("origin", port, **(cluster_fields or {}), **upstream_tls(common(folder, **common_fields), **fields))])
    return running, running.listen_ports["http"]


def test_tls_origin(proxy, upstream, folder):
    server = upstream(over_tls(server_context(folder), answering(echo_head)))
    running, port = to_tls(proxy, folder, server.port, {"ca": "ca", "sans": [("DNS", "server.test")], "alpn_protocols": ["http/1.1"]}, sni="server.test")
    for _ in range(5):
        assert get(port).status == 200
    assert server.accepted == 1, "the connection is kept"
    assert running.stat("cluster.origin.ssl.handshake") == 1
    assert running.stat("cluster.origin.ssl.versions.TLSv1.3") == 1
    assert running.stat("cluster.origin.upstream_cx_total") == 1


def test_tls_origin_bulk(proxy, upstream, folder):
    block = os.urandom(1 << 20)

    def answer(head, body):
        return ok(body, b"x-sum: %s\r\n" % hashlib.sha256(body).hexdigest().encode())

    _, port = to_tls(proxy, folder, upstream(over_tls(server_context(folder), answering(answer))).port, {"ca": "ca"}, sni="server.test")
    body = block * 24
    with harness.connect(port, 60) as client:
        sender = threading.Thread(target=client.sendall, args=(b"POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body) + body,))
        sender.start()
        response = harness.parse_response(harness.read_to_end(client))
        sender.join()
    assert response.body == body and response.header("x-sum") == hashlib.sha256(body).hexdigest()


@pytest.mark.parametrize(("show", "fields", "reason", "stat"), [
    ("server", {"ca": "other"}, "verify", "fail_verify_error"),
    ("server", {"ca": "ca", "sans": [("DNS", "elsewhere.test")]}, "verify", "fail_verify_san"),
    ("expired", {"ca": "ca"}, "expired", "fail_verify_error"),
])
def test_a_wrong_origin_is_refused(proxy, upstream, folder, tmp_path, show, fields, reason, stat):
    asked = []
    server = upstream(over_tls(server_context(folder, show), answering(lambda head, body: asked.append(head) or ok())))
    running, port = to_tls(proxy, folder, server.port, fields, tmp_path, sni="server.test")
    response = get(port)
    assert response.status == 503 and b"remote connection failure" in response.body
    line = harness.wait_until(lambda: (tmp_path / "log").read_text(), "a line")
    assert line.startswith("503 UF TLS_error:") and reason in line.lower(), line
    assert running.stat(f"cluster.origin.ssl.{stat}") == 1
    assert running.stat("cluster.origin.upstream_cx_connect_fail") == 1
    assert running.stat("cluster.origin.upstream_cx_active") == 0 and not asked


def test_plain_origin_where_tls_is_expected(proxy, upstream, folder, tmp_path):
    running, port = to_tls(proxy, folder, upstream(lambda connection: connection.sendall(b"SSH-2.0-hello\r\n" * 10)).port, {"ca": "ca"}, tmp_path, sni="server.test")
    assert get(port).status == 503
    assert harness.wait_until(lambda: (tmp_path / "log").read_text(), "a line").startswith("503 UF ")
    assert running.stat("cluster.origin.ssl.connection_error") == 1


def test_silent_origin(proxy, upstream, folder, tmp_path):
    server = upstream(lambda connection: connection.recv(1 << 16) and connection.recv(1))
    running, port = to_tls(proxy, folder, server.port, {"ca": "ca"}, tmp_path, cluster_fields={"connect_timeout": "0.3s"}, sni="server.test")
    begin = time.monotonic()
    response = get(port)
    assert response.status == 503 and time.monotonic() - begin < 5 * harness.SLOWNESS
    assert running.stat("cluster.origin.upstream_cx_connect_timeout") == 1
    harness.wait_until(lambda: running.stat("cluster.origin.upstream_cx_active") == 0, "its connection is gone")


def test_mutual_on_both_legs(proxy, upstream, folder):
    """client -mTLS-> proxy -mTLS-> origin"""
    seen = []

    def serve(peer):
        seen.append(peer.getpeercert()["subject"])
        answering(echo_head)(peer)

    origin = upstream(over_tls(server_context(folder, ca="ca"), serve))
    listener = downstream(http_listener(harness.free_port(), [route()]), common(folder, "server", "ca"), require_client_certificate=True)
    running = proxy([listener], [cluster("origin", origin.port, **upstream_tls(
        common(folder, "client", "ca", [("DNS", "server.test")]), sni="server.test"))])
    code, out, err = curl(folder, running.listen_ports["http"], "--cert", folder / "client.pem", "--key", folder / "client.key")
    assert code == 0 and "x-forwarded-proto: https" in out, err
    assert seen == [((("commonName", "client"),),)]


def test_origin_that_wants_a_certificate(proxy, upstream, folder, tmp_path):
    """With TLS 1.3 its refusal comes after the handshake; in both versions the answer is 503."""
    for version in ("TLSv1_2", "TLSv1_3"):
        path = tmp_path / version
        path.mkdir()
        server = upstream(over_tls(server_context(folder, ca="ca"), answering(echo_head)))
        _, port = to_tls(proxy, folder, server.port, {"ca": "ca", "tls_params": {"tls_maximum_protocol_version": version}}, path, sni="server.test")
        assert get(port).status == 503
        assert re.match("503 U[FC] TLS_error:", harness.wait_until(lambda: (path / "log").read_text(), "a line"))  # noqa: B023


def test_sessions_with_the_origin_are_resumed(proxy, upstream, folder):
    server = upstream(over_tls(server_context(folder), answering(lambda head, body: ok(b"x", b"connection: close\r\n"))))
    running, port = to_tls(proxy, folder, server.port, {"ca": "ca"}, sni="server.test")
    for _ in range(3):
        assert get(port).status == 200
    assert running.stat("cluster.origin.ssl.session_reused") == 2


def test_host_name_of_the_endpoint(proxy, upstream, folder):
    names = []
    context = server_context(folder)
    context.sni_callback = lambda connection, name, _: names.append(name)
    server = upstream(over_tls(context, answering(echo_head)))
    target = cluster("origin", server.port, **upstream_tls(common(folder, ca="ca"), auto_host_sni=True, auto_sni_san_validation=True))
    target["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["hostname"] = "server.test"
    running = proxy([http_listener(harness.free_port(), [route()])], [target])
    assert get(running.listen_ports["http"]).status == 200
    assert names == ["server.test"]


# --- Bytes -------------------------------------------------------------------------------------------------------------


def echo(connection):
    while data := connection.recv(65536):
        connection.sendall(data)


def test_tcp_over_tls_both_ways(proxy, upstream, folder):
    """Bulk with a checksum, then close_notify carried through both legs."""
    server = upstream(over_tls(server_context(folder, ca="ca"), echo))
    listener = downstream(tcp_listener(harness.free_port(), "origin"), common(folder, "server", "ca"), require_client_certificate=True)
    running = proxy([listener], [cluster("origin", server.port, **upstream_tls(common(folder, "client", "ca"), sni="server.test"))])
    block = os.urandom(512 << 10)
    with connect(client_context(folder, "client"), running.listen_ports["tcp"]) as client:
        for _ in range(32):
            client.sendall(block)
            got = b""
            while len(got) < len(block):
                part = client.recv(1 << 20)
                assert part, f"{len(block) - len(got)} bytes are missing"
                got += part
            assert got == block
        client.unwrap()
    harness.wait_until(lambda: running.stat("cluster.origin.upstream_cx_active") == 0, "both legs are closed")
    assert running.stat("cluster.origin.ssl.handshake") == 1


def test_tcp_half_close_of_a_tls_client(proxy, upstream, folder):
    """close_notify becomes a FIN, and the answer still comes."""

    def serve(connection):
        data = harness.read_to_end(connection)
        connection.sendall(data[::-1] * 1000)

    running = proxy([downstream(tcp_listener(harness.free_port(), "origin"), common(folder, "server"))], [cluster("origin", upstream(serve).port)])
    with harness.connect(running.listen_ports["tcp"]) as raw:
        came, going = ssl.MemoryBIO(), ssl.MemoryBIO()  # Python's sockets cannot say close_notify and read on
        client = client_context(folder).wrap_bio(came, going, server_hostname="server.test")
        while True:
            with contextlib.suppress(ssl.SSLWantReadError):
                client.do_handshake()
                break
            raw.sendall(going.read())
            came.write(raw.recv(65536))
        client.write(b"abcdef")
        with contextlib.suppress(ssl.SSLWantReadError):
            client.unwrap()
        raw.sendall(going.read())
        came.write(harness.read_to_end(raw))
        answer = b""
        with contextlib.suppress(ssl.SSLZeroReturnError):
            while part := client.read(65536):
                answer += part
        assert answer == b"fedcba" * 1000


def test_tcp_plain_to_tls(proxy, upstream, folder):
    server = upstream(over_tls(server_context(folder), echo))
    running = proxy([tcp_listener(harness.free_port(), "origin")], [cluster("origin", server.port, **upstream_tls(common(folder, ca="ca"), sni="server.test"))])
    with harness.connect(running.listen_ports["tcp"]) as client:
        client.sendall(b"early")  # before there is an upstream connection
        assert client.recv(100) == b"early"
        client.shutdown(socket.SHUT_WR)
        assert harness.read_to_end(client) == b""


def test_tcp_refused_origin_is_tried_again_elsewhere(proxy, upstream, folder, tmp_path):
    """A handshake that fails is a connect that fails: the next endpoint gets the client."""
    bad = upstream(over_tls(server_context(folder, "expired"), echo))
    good = upstream(over_tls(server_context(folder), echo))
    listener = tcp_listener(harness.free_port(), "origin", max_connect_attempts=4)
    running = proxy([listener], [cluster("origin", bad.port, good.port, **upstream_tls(common(folder, ca="ca"), sni="server.test"))])
    for _ in range(4):
        with harness.connect(running.listen_ports["tcp"]) as client:
            client.sendall(b"hello")
            assert client.recv(100) == b"hello"
    assert running.stat("cluster.origin.upstream_cx_connect_fail") >= 1


def test_tcp_refused_origin(proxy, upstream, folder, tmp_path):
    server = upstream(over_tls(server_context(folder, "expired"), echo))
    listener = tcp_listener(harness.free_port(), "origin", access_log=[text_log(tmp_path / "log", "%RESPONSE_FLAGS% %UPSTREAM_TRANSPORT_FAILURE_REASON%")])
    running = proxy([listener], [cluster("origin", server.port, **upstream_tls(common(folder, ca="ca"), sni="server.test"))])
    with harness.connect(running.listen_ports["tcp"]) as client:
        client.sendall(b"hello")
        assert harness.read_to_end(client) == b""
    line = harness.wait_until(lambda: (tmp_path / "log").read_text(), "a line")
    assert line.startswith("UF TLS_error:"), line
    assert running.stat("cluster.origin.upstream_cx_active") == 0


def test_tcp_silent_client(proxy, upstream, folder):
    server = upstream(echo)
    running = proxy([downstream(tcp_listener(harness.free_port(), "origin"), common(folder, "server"), "0.3s")], [cluster("origin", server.port)])
    with harness.connect(running.listen_ports["tcp"]) as client:
        assert harness.read_to_end(client) == b""
    harness.wait_until(lambda: running.stat("cluster.origin.upstream_cx_active") == 0, "both legs are closed")
    assert sum(running.stats("downstream_cx_transport_socket_connect_timeout").values()) == 1


def test_tcp_silent_origin(proxy, upstream, folder):
    server = upstream(lambda connection: connection.recv(1 << 16) and connection.recv(1))
    running = proxy([tcp_listener(harness.free_port(), "origin")],
                    [cluster("origin", server.port, **{**upstream_tls(common(folder, ca="ca")), "connect_timeout": "0.3s"})])
    with harness.connect(running.listen_ports["tcp"]) as client:
        assert harness.read_to_end(client) == b""
    assert running.stat("cluster.origin.upstream_cx_connect_timeout") == 1


# --- Statistics, compared with Envoy -----------------------------------------------------------------------------------

# Of Envoy's key usage check and of secrets that come later, which are not there.
ENVOYS_ONLY = re.compile(r"ssl\.was_key_usage_invalid|_ssl_socket_factory\.|ssl\.certificate\.|secrets?")


def ssl_stats(running, port, folder):
    for _ in range(2):
        assert get_tls(folder, port).status == 200
    harness.exchange(port, b"no TLS\r\n\r\n")
    harness.wait_until(lambda: sum(running.stats(r"^listener.*ssl\.connection_error").values()) == 1, "it is counted")
    stats = running.stats(r"ssl")
    return {name.replace(str(port), "PORT"): value for name, value in stats.items() if not ENVOYS_ONLY.search(name)}


def test_ssl_stats_are_envoys(proxy, envoy, upstream, folder):
    server = upstream(over_tls(server_context(folder), answering(echo_head)))

    # Left alone, each side has its own order of ciphers, and Envoy's clusters speak TLS 1.2 at most.
    params = {"tls_params": {"tls_maximum_protocol_version": "TLSv1_2", "cipher_suites": ["ECDHE-ECDSA-AES128-GCM-SHA256"]}}

    def configuration():
        listener = downstream(http_listener(harness.free_port(), [route()]), common(folder, "server", **params))
        return [listener], [cluster("origin", server.port, **upstream_tls(common(folder, ca="ca", **params), sni="server.test"))]

    seen = []
    for start in (envoy, proxy):
        listeners, clusters = configuration()
        port = listeners[0]["address"]["socket_address"]["port_value"]
        seen.append(ssl_stats(start(listeners, clusters), port, folder))
    theirs, ours = seen
    assert ours == theirs


# --- HTTP/2 over TLS ---------------------------------------------------------------------------------------------------


def http2_cluster(name, port, **fields):
    kind = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    return cluster(name, port, typed_extension_protocol_options={kind: {
        "@type": f"type.googleapis.com/{kind}", "explicit_http_config": {"http2_protocol_options": {}}}}, **fields)


def test_http2_by_alpn_on_both_legs(proxy, upstream, folder):
    """curl -> TLS, h2 -> TLS, h2 -> HTTP/1.1: the first hop's upstream is another listener of the same program."""
    inner_port = harness.free_port()
    alpn = {"alpn_protocols": ["h2", "http/1.1"]}
    outer = downstream(http_listener(harness.free_port(), [route(cluster="inner")]), common(folder, "server", **alpn))
    inner = downstream(http_listener(inner_port, [route()], name="inner"), common(folder, "server", **alpn))
    clusters = [cluster("origin", upstream(answering(echo_head)).port),
                http2_cluster("inner", inner_port, **upstream_tls(common(folder, ca="ca"), sni="server.test"))]
    running = proxy([outer, inner], clusters)
    port = running.listen_ports["http"]
    body = os.urandom(3_000_000)
    (folder / "upload").write_bytes(body)
    code, out, err = curl(folder, port, "--http2", "-H", "expect:", "--data-binary", f"@{folder / 'upload'}")
    assert code == 0, err
    assert out.endswith("200 2") and "x-forwarded-proto: https" in out and f"x-body: {len(body)}" in curl(
        folder, port, "--http2", "-H", "expect:", "--data-binary", f"@{folder / 'upload'}", "-i")[1], out
    assert curl(folder, port, "--http1.1")[1].endswith("200 1.1")
    assert running.stat("cluster.inner.upstream_cx_http2_total") >= 1
    assert running.stat("cluster.inner.upstream_rq_200") == 3


def test_silent_client_of_an_http2_listener(proxy, upstream, folder):
    running, port = https(proxy, folder, upstream(answering(echo_head)).port, timeout="0.3s", manager={"codec_type": "HTTP2"})
    with socket.create_connection(("127.0.0.1", port), timeout=TIME) as client:
        assert client.recv(1) == b""
    assert any(value == 1 for name, value in running.stats("transport_socket_connect_timeout").items() if name.startswith("listener.1"))
