"""How a cluster's bytes travel: transport_socket_matches, PROXY headers, names of TLS by request; compared with Envoy where it counts."""

import contextlib
import re
import socket
import ssl
import struct
import time

import harness
import pytest
from harness import address, answering, http_listener, ok, route, tcp_listener
from tls_proxy_test import EC, TIME, common, downstream, get, openssl, over_tls, server_context, sign, upstream_tls

RAW = {"name": "raw", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"}}
OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("sockets")
    for name in ("ca", "other"):
        openssl(path, "req", "-x509", "-newkey", *EC, "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={name}",
                "-days", "3", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    sign(path, "server", "DNS:server.test,IP:127.0.0.1")
    sign(path, "one", "DNS:one.test")
    sign(path, "two", "DNS:two.test")
    return path


def tls_socket(folder, **fields):
    return upstream_tls(common(folder, ca="ca"), **fields)["transport_socket"]


def label(**labels):
    return {"metadata": {"filter_metadata": {"envoy.transport_socket_match": labels}}}


def endpoints(*each):
    return [{"endpoint": {"address": address(port)}, **fields} for port, fields in each]


def cluster(name, localities, **fields):
    return {"name": name, "type": "STATIC", "connect_timeout": "1s", **fields,
            "load_assignment": {"cluster_name": name, "endpoints": localities}}


def naming(name):
    return lambda head, body: ok(name, b"connection: close\r\n")


# --- Matches -----------------------------------------------------------------------------------------------------------


def mixed_cluster(folder, plain, secret):
    """Endpoints with and without a sidecar; what each is reached by must be what it speaks."""
    matches = [{"name": "strict", "match": {"tls": "strict", "zone": 7}, "transport_socket": tls_socket(folder, sni="server.test")},
               {"name": "mesh", "match": {"tls": "istio"}, "transport_socket": tls_socket(folder, sni="server.test")},
               {"name": "off", "match": {"tls": "disabled"}, "transport_socket": RAW}]
    localities = [
        {"lb_endpoints": endpoints((secret, label(tls="istio")), (plain, {}), (plain, label(tls="unheard of")), (secret, label(tls="strict", zone=7)),
                                   (plain, label(tls="strict", zone="7")))},
        # The locality speaks for those that say nothing themselves, or nothing that matches.
        {**label(tls="istio"), "lb_endpoints": endpoints((secret, {}), (secret, label(tls="unheard of")), (plain, label(tls="disabled")))},
        # The endpoint comes first, even where the locality matches an entry above.
        {**label(tls="strict", zone=7), "lb_endpoints": endpoints((plain, label(tls="disabled")), (secret, {}))},
    ]
    return cluster("origin", localities, transport_socket_matches=matches)


def test_endpoints_with_and_without_tls_are_matched_as_by_envoy(proxy, envoy, upstream, folder):
    plain = upstream(answering(naming(b"plain")))
    secret = upstream(over_tls(server_context(folder), answering(naming(b"secret"))))
    seen = []
    for start in (envoy, proxy):
        listener = http_listener(harness.free_port(), [route()])
        running = start([listener], [mixed_cluster(folder, plain.port, secret.port)])
        answers = sorted(get(listener["address"]["socket_address"]["port_value"]).body for _ in range(10))
        seen.append((answers, running.stats(r"^cluster\.origin\..*total_match_count"), running.stats(r"^cluster\.origin\.ssl\.(handshake|connection_error)$")))
    theirs, ours = seen
    assert ours == theirs
    assert ours[0] == [b"plain"] * 5 + [b"secret"] * 5
    assert ours[1]["cluster.origin.mesh.total_match_count"] == 3 and ours[1]["cluster.origin.default.total_match_count"] == 3


def test_the_own_socket_is_for_the_rest(proxy, upstream, folder):
    """The other way round: TLS unless the endpoint says otherwise."""
    plain = upstream(answering(naming(b"plain")))
    secret = upstream(over_tls(server_context(folder), answering(naming(b"secret"))))
    target = cluster("origin", [{"lb_endpoints": endpoints((plain.port, label(sidecar=False)), (secret.port, label(sidecar=True)))}],
                     transport_socket=tls_socket(folder, sni="server.test"),
                     transport_socket_matches=[{"name": "plain", "match": {"sidecar": False}, "transport_socket": RAW}])
    running = proxy([http_listener(harness.free_port(), [route()])], [target])
    port = running.listen_ports["http"]
    assert sorted(get(port).body for _ in range(4)) == [b"plain"] * 2 + [b"secret"] * 2


def test_tcp_takes_the_socket_of_its_endpoint(proxy, upstream, folder):
    echo = lambda connection: connection.sendall(connection.recv(100))  # noqa: E731
    plain, secret = upstream(echo), upstream(over_tls(server_context(folder), echo))
    running = proxy([tcp_listener(harness.free_port(), "origin")], [mixed_cluster(folder, plain.port, secret.port)])
    for _ in range(10):
        with socket.create_connection(("127.0.0.1", running.listen_ports["tcp"]), timeout=TIME) as client:
            client.sendall(b"hello")
            assert client.recv(100) == b"hello"
    assert running.stat("cluster.origin.ssl.handshake") == 5


# --- PROXY headers -----------------------------------------------------------------------------------------------------


def proxy_socket(version, inner):
    return {"name": "envoy.transport_sockets.upstream_proxy_protocol", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport",
        "config": {"version": version}, "transport_socket": inner}}


def read_exactly(connection, size):
    data = b""
    while len(data) < size:
        more = connection.recv(size - len(data))
        if not more:
            raise OSError("ended early")
        data += more
    return data


def read_proxy_header(connection):
    """(source, destination) as (ip, port), or the words of a header without."""
    start = read_exactly(connection, 12)
    if start == b"\r\n\r\n\0\r\nQUIT\n":
        command, family, size = struct.unpack(">BBH", read_exactly(connection, 4))
        body = read_exactly(connection, size)
        if command == 0x20:
            return "local"
        assert command == 0x21
        kind, width = {0x11: (socket.AF_INET, 4), 0x21: (socket.AF_INET6, 16)}[family]
        ports = struct.unpack(">HH", body[2 * width:2 * width + 4])
        return tuple((socket.inet_ntop(kind, body[at * width:(at + 1) * width]), ports[at]) for at in (0, 1))
    line = start
    while not line.endswith(b"\r\n"):
        line += read_exactly(connection, 1)
    words = line.decode().split()
    assert words[0] == "PROXY"
    return ((words[2], int(words[4])), (words[3], int(words[5]))) if len(words) == 6 else " ".join(words[1:])


class Behind:
    """An origin behind a PROXY header: `serve` gets the rest; `headers` are those seen, one for each connection."""

    def __init__(self, upstream, serve):
        self.headers = []

        def run(connection):
            self.headers.append(read_proxy_header(connection))
            serve(connection)

        self.port = upstream(run).port


@pytest.mark.parametrize("version", ["V1", "V2"])
@pytest.mark.parametrize("secret", [False, True], ids=["raw", "tls"])
def test_tcp_begins_with_a_proxy_header(proxy, upstream, folder, version, secret):
    echo = lambda connection: connection.sendall(connection.recv(100))  # noqa: E731
    behind = Behind(upstream, over_tls(server_context(folder), echo) if secret else echo)
    inner = tls_socket(folder, sni="server.test") if secret else RAW
    target = cluster("origin", [{"lb_endpoints": endpoints((behind.port, {}))}], transport_socket=proxy_socket(version, inner))
    running = proxy([tcp_listener(harness.free_port(), "origin")], [target])
    port = running.listen_ports["tcp"]
    for _ in range(2):
        with socket.create_connection(("127.0.0.1", port), timeout=TIME) as client:
            client.sendall(b"hello")
            assert client.recv(100) == b"hello"
            assert behind.headers[-1] == (client.getsockname(), ("127.0.0.1", port))


@pytest.mark.parametrize("version", ["V1", "V2"])
def test_http_connections_belong_to_one_client_as_with_envoy(proxy, envoy, upstream, folder, version):
    for start in (envoy, proxy):
        behind = Behind(upstream, answering(lambda head, body: ok()))
        listener = http_listener(harness.free_port(), [route()])
        port = listener["address"]["socket_address"]["port_value"]
        start([listener], [cluster("origin", [{"lb_endpoints": endpoints((behind.port, {}))}], transport_socket=proxy_socket(version, RAW))])
        clients = [socket.create_connection(("127.0.0.1", port), timeout=TIME) for _ in range(3)]
        with contextlib.ExitStack() as stack:
            for client in clients:
                stack.enter_context(client)
            for _ in range(3):
                for client in clients:
                    client.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
                    assert harness.receive_response(client).status == 200
            assert sorted(behind.headers) == sorted((client.getsockname(), ("127.0.0.1", port)) for client in clients)


def test_a_clients_own_connection_does_not_stay_long(proxy, upstream, folder):
    behind = Behind(upstream, answering(lambda head, body: ok()))
    target = cluster("origin", [{"lb_endpoints": endpoints((behind.port, {}))}], transport_socket=proxy_socket("V1", RAW))
    running = proxy([http_listener(harness.free_port(), [route()])], [target])
    for _ in range(40):
        assert get(running.listen_ports["http"]).status == 200
    assert len(behind.headers) == 40
    harness.wait_until(lambda: running.stat("cluster.origin.upstream_cx_active") == 0, "they are closed", 12)


def test_ipv6_and_unix_clients(proxy, upstream, folder, tmp_path):
    behind = Behind(upstream, answering(lambda head, body: ok()))
    target = cluster("origin", [{"lb_endpoints": endpoints((behind.port, {}))}], transport_socket=proxy_socket("V2", RAW))
    path = str(tmp_path / "socket")
    over_unix = http_listener(1, [route()], name="unix")
    over_unix["address"] = {"pipe": {"path": path}}
    running = proxy([http_listener(harness.free_port(), [route()], host="::1"), over_unix], [target])
    with socket.create_connection(("::1", running.listen_ports["http"]), timeout=TIME) as client:
        client.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        assert harness.receive_response(client).status == 200
        assert behind.headers[-1] == (client.getsockname()[:2], ("::1", running.listen_ports["http"]))
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(TIME)
        client.connect(path)
        client.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        assert harness.receive_response(client).status == 200
    assert behind.headers[-1] == "local"


@pytest.mark.parametrize("kind", ["http", "tcp"])
def test_a_header_that_came_in_goes_out(proxy, upstream, folder, kind):
    """Two proxies behind each other: the origin learns the addresses of the first one's client."""
    reply = answering(lambda head, body: ok())
    behind = Behind(upstream, reply)
    listeners = []
    for at, target in enumerate(("inner", "origin")):
        port = harness.free_port()
        listeners.append(http_listener(port, [route(target)], name=f"l{at}") if kind == "http" else tcp_listener(port, target, name=f"l{at}"))
    inner_port = listeners[1]["address"]["socket_address"]["port_value"]
    listeners[1]["listener_filters"] = [{"name": "envoy.filters.listener.proxy_protocol", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol"}}]
    clusters = [cluster(name, [{"lb_endpoints": endpoints((port, {}))}], transport_socket=proxy_socket(version, RAW))
                for name, port, version in (("inner", inner_port, "V2"), ("origin", behind.port, "V1"))]
    running = proxy(listeners, clusters)
    with socket.create_connection(("127.0.0.1", running.listen_ports["l0"]), timeout=TIME) as client:
        client.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        assert harness.receive_response(client).status == 200
        assert behind.headers == [(client.getsockname(), ("127.0.0.1", running.listen_ports["l0"]))]


def test_an_endpoint_that_is_gone(proxy, upstream, folder):
    target = cluster("origin", [{"lb_endpoints": endpoints((harness.free_port(), {}))}], transport_socket=proxy_socket("V1", RAW))
    running = proxy([http_listener(harness.free_port(), [route()])], [target])
    assert [get(running.listen_ports["http"]).status for _ in range(30)] == [503] * 30


# --- Names by request --------------------------------------------------------------------------------------------------


class Named:
    """A TLS origin that picks its certificate by SNI, and answers with the name that it was asked for."""

    def __init__(self, upstream, folder):
        contexts = {f"{name}.test": server_context(folder, name) for name in ("one", "two", "server")}

        def serve(connection):
            asked = []

            def on_name(peer, name, context):
                asked.append(name)
                peer.context = contexts.get(name, contexts["server.test"])

            context = server_context(folder)
            context.sni_callback = on_name
            over_tls(context, answering(lambda head, body: ok(str(asked[0]).encode())))(connection)

        self.port = upstream(serve).port


def ask(client, host, headers=""):
    client.sendall(f"GET / HTTP/1.1\r\nhost: {host}\r\n{headers}\r\n".encode())
    response = harness.receive_response(client)
    return response.status, response.body if response.status == 200 else response.body[:40]


HOSTS = [("one.test", ""), ("two.test:8443", ""), ("one.test", ""), ("evil.test", ""), ("127.0.0.1", ""), ("127.0.0.1:80", ""), ("[::1]", ""), ("one.test", "x-name: two.test\r\n"),
         ("evil.test", "x-name: one.test:1\r\n"), ("one.test", "x-name:\r\n"), ("ONE.test", "")]


@pytest.mark.parametrize("names", [{"auto_sni": True}, {"auto_sni": True, "auto_san_validation": True}, {"auto_san_validation": True},
                                   {"auto_sni": True, "auto_san_validation": True, "override_auto_sni_header": "X-Name"}], ids=str)
def test_names_come_from_the_request_as_with_envoy(proxy, envoy, upstream, folder, names):
    seen = []
    for start in (envoy, proxy):
        origin = Named(upstream, folder)
        target = cluster("origin", [{"lb_endpoints": endpoints((origin.port, {}))}], transport_socket=tls_socket(folder, sni="server.test"),
                         typed_extension_protocol_options={OPTIONS: {
                             "@type": f"type.googleapis.com/{OPTIONS}", "explicit_http_config": {"http_protocol_options": {}},
                             "upstream_http_protocol_options": names}})
        listener = http_listener(harness.free_port(), [route()])
        running = start([listener], [target])
        with socket.create_connection(("127.0.0.1", listener["address"]["socket_address"]["port_value"]), timeout=TIME) as client:
            answers = [ask(client, *host)[0:2] for host in HOSTS]
        seen.append(([(status, body if status == 200 else b"") for status, body in answers],
                     running.stat("cluster.origin.ssl.fail_verify_san")))
    theirs, ours = seen
    assert ours == theirs
    assert (200, b"one.test") in ours[0] or "auto_sni" not in names


def test_a_rewritten_host_is_asked_for(proxy, upstream, folder):
    origin = Named(upstream, folder)
    target = cluster("origin", [{"lb_endpoints": endpoints((origin.port, {}))}], transport_socket=tls_socket(folder),
                     upstream_http_protocol_options={"auto_sni": True, "auto_san_validation": True})
    running = proxy([http_listener(harness.free_port(), [route(host_rewrite_literal="two.test")])], [target])
    assert get(running.listen_ports["http"]).body == b"two.test"


def test_validation_by_name_needs_an_authority(proxy, folder):
    target = cluster("origin", [{"lb_endpoints": endpoints((1, {}))}], **upstream_tls(common(folder), sni="server.test"),
                     upstream_http_protocol_options={"auto_san_validation": True})
    running = proxy([http_listener(harness.free_port(), [route()])], [target], wait=False, expect_exit=1)
    assert running.process.wait(TIME) == 1
    assert re.search(r"bootstrap\.json:\d+:\d+: .*transport_socket.*auto_san_validation", running.log), running.log
