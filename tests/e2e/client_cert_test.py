"""x-forwarded-client-cert in every mode, compared with Envoy over the same certificates."""

import socket
import ssl
import subprocess

import harness
import pytest
from harness import answering, cluster, http_listener, ok, route
from tls_proxy_test import EC, TIME, client_context, common, connect, downstream, openssl, sign

MODES = ["SANITIZE", "FORWARD_ONLY", "APPEND_FORWARD", "SANITIZE_SET", "ALWAYS_FORWARD_ONLY"]
EVERYTHING = {"subject": True, "cert": True, "chain": True, "dns": True, "uri": True}
# What a client says itself: nothing, one line, two lines with quotes, an empty one.
CLAIMS = [[], ["By=a;Hash=b"], ['Hash=1;Subject="/C=x,y"', "Hash=2"], [""]]


def sign_odd(folder, name, subject, extension, issuer="ca"):
    (folder / f"{name}.ext").write_text(extension)
    openssl(folder, "req", "-newkey", *EC, "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr", "-utf8", "-subj", subject)
    openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-CA", f"{issuer}.pem", "-CAkey", f"{issuer}.key", "-CAcreateserial",
            "-extfile", f"{name}.ext", "-out", f"{name}.pem", "-days", "2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("client_cert")
    openssl(path, "req", "-x509", "-newkey", *EC, "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=ca", "-days", "3",
            "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    sign(path, "server", "DNS:server.test,IP:127.0.0.1,URI:spiffe://mesh/ns/server/sa/one,URI:spiffe://mesh/two;x=y")
    sign(path, "client", "URI:spiffe://mesh/ns/a/sa/b,DNS:client.test")
    leaf = "keyUsage=digitalSignature\nbasicConstraints=CA:FALSE\n"
    sign_odd(path, "many", '/C=CH/O=Acme "quoted", Inc; + <x> \\\\ = #/OU=Zürich/CN= lead, and trail ',
             "subjectAltName=@names\n" + leaf + "[names]\nURI.1=spiffe://a/b;c\nURI.2=https://x/?q=1,2\nDNS.1=one.test\nemail.1=me@x.test\n"
             "DNS.2=*.two.test\nIP.1=10.0.0.1\nDNS.3=three\n")
    sign_odd(path, "bare", "/CN=bare", leaf)
    sign_odd(path, "nameless", "/", "subjectAltName=critical,DNS:only.test\n" + leaf)
    sign_odd(path, "middle", "/CN=middle", "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n")
    sign_odd(path, "below", "/CN=below/O=of a chain", "subjectAltName=URI:spiffe://mesh/below\n" + leaf, issuer="middle")
    (path / "below.pem").write_text((path / "below.pem").read_text() + (path / "middle.pem").read_text())
    return path


@pytest.fixture(scope="module")
def origin():
    upstream = harness.Upstream(answering(lambda head, body: ok(head)))
    yield upstream
    upstream.close()


def mode_listener(folder, mode, details=None, plain=False):
    manager = {"forward_client_cert_details": mode}
    if details is not None and mode in ("APPEND_FORWARD", "SANITIZE_SET"):
        manager["set_current_client_cert_details"] = details
    listener = http_listener(harness.free_port(), [route()], name=mode.lower() + ("_plain" if plain else ""), **manager)
    return listener if plain else downstream(listener, common(folder, "server", ca="ca"))


@pytest.fixture(scope="module")
def sides(module_proxy, envoy, folder, origin):
    """[(ports by name) of Envoy, of ours]"""
    ports = []
    for start in (envoy, module_proxy):
        listeners = [mode_listener(folder, mode, EVERYTHING, plain) for mode in MODES for plain in (False, True)]
        start(listeners, [cluster("origin", origin.port)])
        ports.append({each["name"]: each["address"]["socket_address"]["port_value"] for each in listeners})
    return ports


def told(head):
    return [line[line.index(b":") + 1:].strip().decode() for line in head.split(b"\r\n") if line.lower().startswith(b"x-forwarded-client-cert:")]


def ask(peer, claims):
    lines = "".join(f"x-forwarded-client-cert: {claim}\r\n" for claim in claims)
    peer.sendall(f"GET / HTTP/1.1\r\nhost: a\r\n{lines}\r\n".encode())
    response = harness.receive_response(peer)
    assert response.status == 200
    return told(response.body)


def conversation(port, context):
    """What the origin hears for each claim, all on one connection."""
    if context is None:
        with socket.create_connection(("127.0.0.1", port), timeout=TIME) as peer:
            return [ask(peer, claims) for claims in CLAIMS]
    with connect(context, port) as peer:
        return [ask(peer, claims) for claims in CLAIMS]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("show", [None, "client", "many", "bare", "nameless", "below"])
def test_every_mode_is_envoys(sides, folder, mode, show):
    theirs, ours = (conversation(ports[mode.lower()], client_context(folder, show)) for ports in sides)
    assert ours == theirs
    if mode in ("APPEND_FORWARD", "SANITIZE_SET") and show:
        assert len(ours[0]) == 1 and ours[0][0].startswith("By=spiffe://mesh/ns/server/sa/one;By="), ours
        assert ours[0][0].count("-----BEGIN") == 3  # Cert, and Chain: with ca, which the client adds, or with middle


@pytest.mark.parametrize("mode", MODES)
def test_plain_connections_are_envoys(sides, mode):
    theirs, ours = (conversation(ports[mode.lower() + "_plain"], None) for ports in sides)
    assert ours == theirs
    if mode != "ALWAYS_FORWARD_ONLY":
        assert ours == [[], [], [], []]


@pytest.mark.parametrize("mode", MODES)
def test_http2_is_envoys(sides, folder, mode):
    heard = []
    for ports in sides:
        port = ports[mode.lower()]
        done = subprocess.run(
            ["curl", "-sS", "--max-time", str(TIME), "--http2-prior-knowledge", "--cacert", folder / "ca.pem", "--cert", folder / "many.pem", "--key",
             folder / "many.key", "--resolve", f"server.test:{port}:127.0.0.1", "-H", "x-forwarded-client-cert: Hash=mine",
             f"https://server.test:{port}/"], capture_output=True, timeout=TIME)
        assert done.returncode == 0, done.stderr
        heard.append(told(done.stdout))
    assert heard[0] == heard[1]


@pytest.mark.parametrize("details", [{}, {"subject": True}, {"uri": True, "dns": True}, {"cert": True}, {"chain": True, "subject": False}])
def test_details_are_envoys(proxy, envoy, folder, origin, details):
    heard = []
    for start in (envoy, proxy):
        listener = mode_listener(folder, "SANITIZE_SET", details)
        start([listener], [cluster("origin", origin.port)])
        heard.append(conversation(listener["address"]["socket_address"]["port_value"], client_context(folder, "below")))
    assert heard[0] == heard[1]


def test_a_resumed_connection_tells_the_same(proxy, folder, origin):
    listener = mode_listener(folder, "APPEND_FORWARD", {**EVERYTHING, "chain": False})
    running = proxy([listener], [cluster("origin", origin.port)])
    port, context = running.listen_ports["append_forward"], client_context(folder, "many")
    with connect(context, port) as peer:
        first = ask(peer, [])
        session = peer.session
    with connect(context, port, session) as peer:
        assert peer.session_reused
        assert ask(peer, []) == first != []


def test_a_chain_is_told_on_every_connection(proxy, folder, origin):
    """The issuers are in no ticket: there is none."""
    running = proxy([mode_listener(folder, "SANITIZE_SET", {"chain": True})], [cluster("origin", origin.port)])
    port, context = running.listen_ports["sanitize_set"], client_context(folder, "below")
    context.maximum_version = ssl.TLSVersion.TLSv1_3
    session = None
    for _ in range(2):
        with connect(context, port, session) as peer:
            assert ask(peer, [])[0].count("-----BEGIN") == 2
            session = peer.session
            assert not peer.session_reused
