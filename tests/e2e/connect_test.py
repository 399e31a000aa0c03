"""CONNECT: ended here, its bytes for an upstream of TCP, or passed on to another proxy; by HTTP/1 and by HTTP/2 on either side."""

import contextlib
import socket
import ssl
import subprocess
import threading

import harness
import pytest
from harness import cluster, http_listener, route, wait_until

pytest.importorskip("h2", reason="a package of tests/e2e/requirements.txt is not installed")
from h2_peer import ClientStream, H2Client  # noqa: E402
from websocket_h2_test import http2_upstream, read_head  # noqa: E402

ALLOW = [{"upgrade_type": "CONNECT"}]
TERMINATE = [{"upgrade_type": "CONNECT", "connect_config": {}}]


def connect_route(**action):
    return {"match": {"connect_matcher": {}}, "route": {"cluster": "origin", "timeout": "0s", **action}}


def start(proxy, port, routes, allow=ALLOW, **options):
    listener = http_listener(harness.free_port(), routes, upgrade_configs=allow, http2_protocol_options={"allow_connect": True})
    running = proxy([listener], [cluster("origin", port, **options)])
    running.http = running.listen_ports["http"]
    return running


class TcpEcho:
    """Says `banner` first, and then whatever it hears."""

    def __init__(self, banner=b""):
        self.banner, self.accepted = banner, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                self.accepted += 1
                threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with connection, contextlib.suppress(OSError):
            connection.sendall(self.banner)
            while data := connection.recv(65536):
                connection.sendall(data)

    def close(self):
        self.listener.close()


@pytest.fixture
def echo():
    server = TcpEcho(b"220 hello\r\n")
    yield server
    server.close()


def ask(port, early=b"", target=b"example.com:443"):
    connection = harness.connect(port)
    connection.sendall(b"CONNECT " + target + b" HTTP/1.1\r\nhost: " + target + b"\r\n\r\n" + early)
    return connection, read_head(connection)


def read_exactly(connection, size):
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        assert piece, data
        data += piece
    return data


def over(running):
    wait_until(lambda: running.stat("http.http.downstream_cx_upgrades_active") == 0, "no tunnel")
    wait_until(lambda: running.stat("cluster.origin.upstream_cx_active") == 0, "no connection upstream")
    wait_until(lambda: running.stat("cluster.origin.upstream_rq_active") == 0, "no request")


def test_ends_here(proxy, echo):
    running = start(proxy, echo.port, [connect_route(upgrade_configs=TERMINATE), route()])
    for round_ in range(3):
        connection, head = ask(running.http, b"early ")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n") and b"content-length" not in head and b"transfer-encoding" not in head, head
        connection.sendall(b"bytes")
        assert read_exactly(connection, 22) == b"220 hello\r\nearly bytes"
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""
        connection.close()
        assert echo.accepted == round_ + 1  # none is used again
    over(running)
    assert running.stat("http.http.downstream_cx_upgrades_total") == 3


def test_ends_here_by_http2(proxy, echo):
    running = start(proxy, echo.port, [connect_route(upgrade_configs=TERMINATE)])
    client = H2Client(running.http)
    stream = ClientStream(client.connection.get_next_available_stream_id(), True)
    client.streams[stream.id] = stream
    client.connection.config.validate_outbound_headers = False  # the package wants a path of every request
    client.connection.send_headers(stream.id, [(":method", "CONNECT"), (":authority", "example.com:443")])
    client.flush()
    client.run_until(lambda: stream.body == b"220 hello\r\n")
    assert stream.status == 200
    client.connection.send_data(stream.id, b"bytes", end_stream=True)
    client.flush()
    client.run_until(lambda: stream.ended)
    assert stream.body == b"220 hello\r\nbytes"
    client.socket.close()
    over(running)


def test_nobody_is_there(proxy):
    running = start(proxy, harness.free_port(), [connect_route(upgrade_configs=TERMINATE)])
    connection, head = ask(running.http, b"early")
    assert head.startswith(b"HTTP/1.1 503 ") and b"connection: close" in head
    connection.close()


def test_only_where_it_is_allowed(proxy, echo):
    running = start(proxy, echo.port, [connect_route(), route()], allow=[{"upgrade_type": "websocket"}])
    connection, head = ask(running.http)
    assert head.startswith(b"HTTP/1.1 403 ")
    connection.close()
    without_route = start(proxy, echo.port, [route()])
    connection, head = ask(without_route.http)
    assert head.startswith(b"HTTP/1.1 404 ")  # no route is for it: paths are none of its business
    connection.close()
    request = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
    only_connect = start(proxy, echo.port, [connect_route(upgrade_configs=TERMINATE)])
    assert harness.parse_response(harness.exchange(only_connect.http, request)).status == 404
    assert echo.accepted == 0


@pytest.mark.parametrize("status", [b"200 OK", b"204 x", b"407 no"])
def test_goes_on_to_another_proxy(proxy, status):
    seen = []
    listener = socket.create_server(("127.0.0.1", 0))

    def other():
        with contextlib.suppress(OSError):
            connection, _ = listener.accept()
            seen.append(read_head(connection))
            length = b"" if status.startswith(b"2") else b"content-length: 0\r\n"
            connection.sendall(b"HTTP/1.1 " + status + b"\r\n" + length + b"\r\n")
            if status.startswith(b"2"):
                connection.sendall(b"hello " + connection.recv(5))
            connection.recv(1)
            connection.close()

    threading.Thread(target=other, daemon=True).start()
    running = start(proxy, listener.getsockname()[1], [connect_route()])
    connection, head = ask(running.http)
    assert head.startswith(b"HTTP/1.1 " + status[:3])
    assert seen[0].startswith(b"CONNECT example.com:443 HTTP/1.1\r\nhost: example.com:443\r\n")
    if status.startswith(b"2"):
        connection.sendall(b"bytes")
        assert read_exactly(connection, 11) == b"hello bytes"
    connection.close()
    listener.close()
    if status.startswith(b"2"):
        over(running)


@pytest.mark.parametrize("up", ["h1", "h2"])
def test_curl_through_two_proxies(proxy, tls_origin, up):
    """A client that knows only HTTP's tunnels, a proxy that passes on and one that ends: TLS from end to end."""
    second = start(proxy, tls_origin.port, [connect_route(upgrade_configs=TERMINATE)])
    first = start(proxy, second.http, [connect_route()], **(http2_upstream() if up == "h2" else {}))
    done = subprocess.run(["curl", "-sk", "--proxytunnel", "--proxy", f"http://127.0.0.1:{first.http}", "https://origin.test:443/"],
                          capture_output=True, timeout=30 * harness.SLOWNESS)
    assert done.stdout == b"through the tunnel", (done.returncode, done.stderr)
    over(second)
    over(first) if up == "h1" else None


@pytest.fixture
def tls_origin(tmp_path):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=origin.test",
                    "-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem"], check=True, capture_output=True, timeout=60)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    server = TcpEcho()

    def serve(connection):
        with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as secure:
            secure.recv(65536)
            secure.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 18\r\nconnection: close\r\n\r\nthrough the tunnel")

    server.serve = serve
    yield server
    server.close()
