"""How tunnels end when one side is slow or breaks off: what it had said is delivered, and whoever waits for its place gets it."""

import contextlib
import socket
import struct
import threading
import time

import harness
import pytest
from connect_test import connect_route
from connect_test import start as start_connect
from h2_peer import ClientStream, H2Client
from harness import cluster, http_listener, route, wait_until
from tls_proxy_test import client_context, folder, https  # noqa: F401
from tls_proxy_test import connect as connect_tls
from websocket_h2_test import HTTP, VERSIONS, H1Socket, agree, open_socket, origin_of_sockets, read_head, start
from websocket_inspection_test import ROUTER, inspection

REQUEST = (b"GET / HTTP/1.1\r\nhost: test\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
           b"sec-websocket-version: 13\r\nsec-websocket-key: MTIzNDU2Nzg5MDEyMzQ1Ng==\r\n\r\n")
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\r\n"


class SlowReader:
    """Agrees, and reads what came when it is told to."""

    def __init__(self):
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen()
        self.port = self.listener.getsockname()[1]
        self.may_read, self.bytes, self.end = threading.Event(), 0, None
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        with contextlib.suppress(OSError):
            connection, _ = self.listener.accept()
            connection.settimeout(20 * harness.SLOWNESS)
            agree(connection)
            self.may_read.wait(20 * harness.SLOWNESS)
            try:
                while piece := connection.recv(65536):
                    self.bytes += len(piece)
                self.end = "FIN"
            except OSError as error:
                self.end = repr(error)


@pytest.fixture
def slow():
    reader = SlowReader()
    yield reader
    reader.listener.close()


def settled(running, wanted):
    """All that the client sent is in kernels, or waits."""
    wait_until(lambda: running.stat("http.http.downstream_cx_rx_bytes_total") >= wanted, "the bytes of the client")


@pytest.mark.parametrize("down", VERSIONS)
def test_what_a_broken_client_had_said_is_delivered(proxy, slow, down):
    size = 1 << 20 if down == "h1" else 200_000  # within a window of HTTP/2
    running = start(proxy, slow.port)
    ws = open_socket(down, running.http)
    if down == "h1":
        ws.connection.sendall(b"m" * size)
        ws.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    else:
        ws.write(b"m" * size)
    settled(running, size)
    ws.abort()
    wait_until(lambda: running.stat("http.http.downstream_rq_rx_reset") == 1, "it broke")
    slow.may_read.set()
    wait_until(lambda: slow.end, "the end")
    assert (slow.bytes, slow.end) == (size, "FIN")
    wait_until(lambda: running.stat("cluster.origin.upstream_cx_active") == 0, "no connection upstream")


def test_a_client_of_tls_that_says_no_goodbye(proxy, slow, folder):  # noqa: F811
    running, port = https(proxy, folder, slow.port, manager={"upgrade_configs": [{"upgrade_type": "websocket"}]})
    client = connect_tls(client_context(folder), port)
    client.sendall(REQUEST)
    assert read_head(client).startswith(b"HTTP/1.1 101 ")
    client.sendall(b"m" * (1 << 20))
    settled(running, 1 << 20)
    client.close()
    wait_until(lambda: running.stat("http.http.downstream_cx_active") == 0, "it is gone")
    slow.may_read.set()
    wait_until(lambda: slow.end, "the end")
    assert (slow.bytes, slow.end) == (1 << 20, "FIN")


@pytest.mark.parametrize("idle", ["300s", "0s"])
def test_a_slow_reader_gets_all_of_a_tunnel_that_is_over(proxy, upstream, idle):
    size = 12 << 20

    def serve(connection):
        read_head(connection)
        connection.sendall(SWITCH)
        with contextlib.suppress(OSError):
            connection.sendall(b"x" * size)
            connection.shutdown(socket.SHUT_WR)
            connection.recv(1)

    running = start(proxy, upstream(serve).port, stream_idle_timeout=idle, delayed_close_timeout="0.2s")
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    client.settimeout(20 * harness.SLOWNESS)
    client.connect(("127.0.0.1", running.http))
    client.sendall(REQUEST)
    client.shutdown(socket.SHUT_WR)
    got, pause_at = 0, size - (5 << 20)
    while piece := client.recv(65536):
        got += len(piece)
        if pause_at < got < size - (1 << 20):  # where some of it is with the proxy still
            pause_at = got + (1 << 19)
            time.sleep(0.5)
    assert got > size
    client.close()


def test_who_waits_for_the_place_of_a_tunnel_gets_it(proxy, upstream):
    agreed = threading.Event()

    def serve(connection):
        head = read_head(connection)
        if b"upgrade" in head.lower():
            agreed.wait(20)
            connection.sendall(SWITCH)
        else:
            connection.sendall(harness.ok(b"served"))
        connection.recv(1)

    running = start(proxy, upstream(serve).port, breakers={"circuit_breakers": {"thresholds": [{"max_connections": 1}]}})
    with harness.connect(running.http) as first, harness.connect(running.http) as second:
        first.sendall(REQUEST)
        wait_until(lambda: running.stat("cluster.origin.upstream_rq_active") == 1, "the first is on its way")
        second.sendall(b"GET /plain HTTP/1.1\r\nhost: test\r\n\r\n")
        wait_until(lambda: running.stat("cluster.origin.upstream_rq_pending_active") == 1, "the second waits")
        agreed.set()
        assert read_head(first).startswith(b"HTTP/1.1 101 ")
        wait_until(lambda: running.stat("http.http.downstream_cx_upgrades_active") == 1, "it is a tunnel")
        assert running.stat("cluster.origin.upstream_rq_pending_active") == 1
        first.close()
        assert harness.receive_response(second).body == b"served"


def test_the_clusters_max_stream_duration_ends_a_tunnel(proxy, upstream):
    options = {"typed_extension_protocol_options": {HTTP: {
        "@type": f"type.googleapis.com/{HTTP}", "common_http_protocol_options": {"max_stream_duration": "0.3s"},
        "explicit_http_config": {"http_protocol_options": {}}}}}

    def serve(connection):
        agree(connection)
        connection.recv(1)

    listener = http_listener(harness.free_port(), [route(timeout="0s")], upgrade_configs=[{"upgrade_type": "websocket"}])
    running = proxy([listener], [cluster("origin", upstream(serve).port, **options)])
    with harness.connect(running.listen_ports["http"]) as client:
        client.sendall(REQUEST)
        assert read_head(client).startswith(b"HTTP/1.1 101 ")
        assert harness.read_to_end(client) == b""
    wait_until(lambda: running.stat("cluster.origin.upstream_rq_max_duration_reached") == 1, "it is counted")
    assert running.stat("http.http.downstream_rq_max_duration_reached") == 0


@pytest.mark.parametrize("down", VERSIONS)
def test_the_last_words_of_an_inspection_are_no_credit(proxy, down):
    """A message too large, on its way to an upstream of HTTP/2, which knows exactly what it delivered."""
    origin = origin_of_sockets(lambda stream: stream.begin(200))
    running = start(proxy, origin.port, "h2", http_filters=[inspection(max_message_bytes=100), ROUTER])
    for _ in range(3):
        ws = open_socket(down, running.http)
        ws.write(b"\x81\xfe\x03\xe8" + bytes(4) + b"x" * 1000)
        said = b""
        while piece := ws.read():
            said += piece
        assert said[:1] == b"\x88" and said[2:4] == b"\x03\xf1"  # 1009
        ws.close()
    wait_until(lambda: running.stat("http.http.downstream_cx_upgrades_active") == 0, "no upgrade active")
    assert running.process.poll() is None


def test_any_2xx_opens_the_tunnel_of_a_client_of_http2(proxy, upstream):
    def serve(connection):
        read_head(connection)
        connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
        connection.sendall(b"hello ")
        while piece := connection.recv(100):
            connection.sendall(piece)

    running = start_connect(proxy, upstream(serve).port, [connect_route()])
    client = H2Client(running.http)
    stream = ClientStream(client.connection.get_next_available_stream_id(), True)
    client.streams[stream.id] = stream
    client.connection.config.validate_outbound_headers = False  # CONNECT has no :path
    client.connection.send_headers(stream.id, [(":method", "CONNECT"), (":authority", "example.com:443")])
    client.flush()
    client.run_until(lambda: stream.body == b"hello ")
    client.connection.send_data(stream.id, b"you")
    client.flush()
    client.run_until(lambda: stream.body == b"hello you")
    assert stream.status == 204 and not stream.ended
    client.socket.close()


def test_connect_is_no_protocol_to_upgrade_to(proxy, upstream):
    server = upstream(lambda connection: connection.recv(1))
    running = start_connect(proxy, server.port, [connect_route(), route()])
    with harness.connect(running.http) as client:
        client.sendall(REQUEST.replace(b"websocket\r\n", b"connect\r\n"))
        assert harness.receive_response(client).status == 403
    assert server.accepted == 0


@pytest.mark.parametrize("down", VERSIONS)
@pytest.mark.parametrize("when", ["with its answer", "later"])
def test_an_upstream_that_has_ended_and_wants_no_more(proxy, down, when):
    """END_STREAM, then RST_STREAM with NO_ERROR: nothing broke, and nobody waits for delayed_close_timeout."""

    heard = threading.Semaphore(0)

    def leave(stream):
        stream.begin(200)
        stream.send(b"bye", end=True)
        if when == "later":
            heard.acquire(timeout=20)
        stream.refuse(0)

    origin = origin_of_sockets(leave)
    running = start(proxy, origin.port, "h2", delayed_close_timeout="600s")
    for _ in range(5):
        ws = open_socket(down, running.http)
        assert ws.status in (101, 200)
        said = b""
        while piece := ws.read():
            said += piece
        assert said == b"bye"
        heard.release()
        if down == "h1":
            ws.end()
        else:
            ws.client.connection.end_stream(ws.stream.id)
            ws.client.flush()
        wait_until(lambda: running.stat("http.http.downstream_cx_upgrades_active") == 0, "no upgrade active")
        ws.close()
    assert running.stat("http.http.downstream_rq_rx_reset") == 0
