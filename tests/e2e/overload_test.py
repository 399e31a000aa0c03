"""Peers that do not read, go away, die or never stop: each costs its own share and disturbs nobody else."""

import contextlib
import socket
import struct
import threading
import time

import harness
import pytest
from harness import answering, cluster, connect, exchange, http_listener, ok, parse_response, read_message, read_to_end, \
    receive_response, route, tcp_listener

MEGABYTE = 1024 * 1024


def gateway(proxy, port, **manager):
    running = proxy([http_listener(harness.free_port(), [route(timeout="0s")], **manager), tcp_listener(harness.free_port(), "origin")],
                    [cluster("origin", port)])
    return running, running.listen_ports["http"]


def get(target="/", *lines):
    return "\r\n".join([f"GET {target} HTTP/1.1", "host: a.example", *lines]).encode() + b"\r\n\r\n"


CLOSE = "connection: close"


def slow_reader(port):
    """A socket with little room, so that the proxy is the one who must wait."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
    client.settimeout(30 * harness.SLOWNESS)
    client.connect(("127.0.0.1", port))
    return client


def large_or_small(head, body):
    return ok(b"x" * (12 * MEGABYTE)) if b"/large" in head else ok(b"small")


def assert_served(port, times=20):
    for _ in range(times):
        assert parse_response(exchange(port, get("/", CLOSE))).body == b"small"


@pytest.mark.parametrize("listener", ["http", "tcp"])
def test_clients_that_never_read(proxy, upstream, listener):
    """Forty downloads of 12 MB that nobody takes: memory stays within the buffers of the connections, others are served."""
    running, port = gateway(proxy, upstream(answering(large_or_small)).port)
    assert_served(port, 2)
    before = running.rss_bytes()
    with contextlib.ExitStack() as stack:
        for _ in range(40):
            client = stack.enter_context(slow_reader(running.listen_ports[listener]))
            client.sendall(get("/large"))
        time.sleep(0.5)
        assert_served(port)
        growth = running.rss_bytes() - before
        busy = running.cpu_seconds()
        time.sleep(0.5)
        assert running.cpu_seconds() - busy < 0.3 * harness.SLOWNESS, "waiting must cost nothing"
    if harness.SLOWNESS == 1:
        assert growth < 40 * 3 * MEGABYTE, f"{growth / MEGABYTE:.0f} MB for 40 clients"
    harness.wait_until(lambda: running.stat("cluster.origin.upstream_cx_active") <= 1, "their upstreams are gone")
    assert_served(port, 2)


def test_slow_readers_get_everything(proxy, upstream):
    """Back-pressure delays, it does not lose."""
    _, port = gateway(proxy, upstream(answering(large_or_small)).port)
    with slow_reader(port) as client:
        client.sendall(get("/large", CLOSE))
        time.sleep(0.3)
        response = parse_response(read_to_end(client))
        assert response.complete and len(response.body) == 12 * MEGABYTE


def test_upload_to_an_upstream_that_never_reads(proxy, upstream):
    def deaf(connection):
        if b"/small" in connection.recv(65536):
            connection.sendall(ok(b"small"))
        threading.Event().wait(8)

    running, port = gateway(proxy, upstream(deaf).port)
    before = running.rss_bytes()
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            client = stack.enter_context(connect(port))
            client.setblocking(False)
            client.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 50000000\r\n\r\n")
            sent = 0
            deadline = time.monotonic() + 0.1
            while sent < 20 * MEGABYTE and time.monotonic() < deadline:
                with contextlib.suppress(BlockingIOError):
                    sent += client.send(b"x" * 65536)
        assert parse_response(exchange(port, get("/small", CLOSE))).body == b"small"
        if harness.SLOWNESS == 1:
            assert running.rss_bytes() - before < 20 * 3 * MEGABYTE


def test_pipelining_without_reading(proxy, upstream):
    """Thousands of requests in a row from one who takes no answer: the proxy stops reading."""
    running, port = gateway(proxy, upstream(answering(lambda head, body: ok(b"small" * 200))).port)
    before = running.rss_bytes()
    with slow_reader(port) as client:
        client.setblocking(False)
        sent = 0
        deadline = time.monotonic() + 2
        while sent < 8 * MEGABYTE and time.monotonic() < deadline:
            try:
                sent += client.send(get("/pipelined") * 200)
            except BlockingIOError:
                time.sleep(0.01)
        if harness.SLOWNESS == 1:
            assert running.rss_bytes() - before < 16 * MEGABYTE
    assert parse_response(exchange(port, get("/", CLOSE))).status == 200


def test_abort_reaches_the_upstream_at_once(proxy, upstream):
    asked, left = threading.Event(), threading.Event()

    def wait_for_the_end(connection):
        read_message(connection.makefile("rb"))
        asked.set()
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(1) == b""
        left.set()

    running, port = gateway(proxy, upstream(wait_for_the_end).port)
    for how in ("fin", "rst"):
        asked.clear()
        left.clear()
        client = connect(port)
        client.sendall(get())
        assert asked.wait(20 * harness.SLOWNESS)
        if how == "rst":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        if how == "fin":
            # A FIN alone may come from a client that still reads; it is the reset of the answer's bytes that tells.
            left.wait(0.2)
            continue
        assert left.wait(20 * harness.SLOWNESS), "the upstream hears of it"
    harness.wait_until(lambda: running.stat("http.http.downstream_rq_rx_reset") >= 1, "counted")


@pytest.mark.parametrize("framing", [b"content-length: 100000\r\n", b"transfer-encoding: chunked\r\n"])
@pytest.mark.parametrize("how", ["fin", "rst"])
def test_upstream_that_dies_in_the_middle(proxy, upstream, framing, how):
    """The client sees a broken answer, never a whole one."""

    def die(connection):
        read_message(connection.makefile("rb"))
        connection.sendall(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n" + b"7d0\r\n" + b"x" * 2000 + b"\r\n")
        time.sleep(0.05)
        if how == "rst":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    running, port = gateway(proxy, upstream(die).port)
    response = parse_response(exchange(port, get()))
    assert response.status == 200 and not response.complete
    assert running.stat("cluster.origin.upstream_cx_destroy_remote_with_active_rq") == 1
    assert running.stat("cluster.origin.upstream_cx_active") == 0


def test_upstream_that_dies_before_the_answer(proxy, upstream):
    def die(connection):
        read_message(connection.makefile("rb"))

    _, port = gateway(proxy, upstream(die).port)
    response = parse_response(exchange(port, get("/", CLOSE)))
    assert response.status == 503
    assert response.body.endswith(b"reset reason: connection termination")


def test_stale_pooled_connection(proxy, upstream):
    """An upstream that closes between two requests: the next request goes over a new connection."""

    def once(connection):
        read_message(connection.makefile("rb"))
        connection.sendall(ok(b"small"))

    running, port = gateway(proxy, upstream(once).port)
    with connect(port) as client:
        for _ in range(5):
            client.sendall(get())
            assert receive_response(client).body == b"small"
            harness.wait_until(lambda: running.stat("cluster.origin.upstream_cx_active") == 0, "the pool noticed")


def test_clients_that_abort_everywhere(proxy, upstream):
    """Resets after every part of a request; afterwards nothing is left open and everything works."""
    server = upstream(answering(large_or_small))
    running, port = gateway(proxy, server.port)
    assert_served(port, 1)
    request = b"POST /large HTTP/1.1\r\nhost: a\r\ncontent-length: 20\r\n\r\n0123456789"
    for round_number in range(200):
        client = connect(port)
        client.sendall(request[:1 + round_number % len(request)])
        if round_number % 3:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
    for _ in range(20):
        with slow_reader(port) as client:
            client.sendall(get("/large"))
            client.recv(100)
    harness.wait_until(lambda: running.stat("http.http.downstream_cx_active") == 0, "all downstream connections are gone")
    harness.wait_until(lambda: running.stat("cluster.origin.upstream_rq_active") == 0, "all upstream requests are gone")
    assert_served(port)
