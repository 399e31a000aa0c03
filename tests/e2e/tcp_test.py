"""tcp_proxy: bytes both ways, ends of stream both ways, and every way in which either side can go."""

import contextlib
import hashlib
import os
import socket
import struct
import threading

import harness
import pytest
from harness import cluster, connect, read_to_end, tcp_listener

BLOCK = os.urandom(1024 * 1024)
BULK_BLOCKS = 100


def relay(proxy, port, listener_fields=None, **fields):
    listener = tcp_listener(harness.free_port(), "origin", **(listener_fields or {}))
    running = proxy([listener], [cluster("origin", port, **fields)])
    return running, running.listen_ports["tcp"]


def echo(connection):
    while data := connection.recv(65536):
        connection.sendall(data)
    connection.shutdown(socket.SHUT_WR)


def reset(connection):
    """Closed by RST instead of FIN."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def test_ping_pong(proxy, upstream):
    running, port = relay(proxy, upstream(echo).port)
    with connect(port) as client:
        for number in range(100):
            client.sendall(b"ping %d" % number)
            assert client.recv(100) == b"ping %d" % number
    assert running.stat("tcp.tcp.downstream_cx_total") == 1
    harness.wait_until(lambda: running.stat("cluster.origin.upstream_cx_active") == 0, "the upstream connection is gone")


def receive_hash(connection):
    digest, size = hashlib.sha256(), 0
    while data := connection.recv(1 << 20):
        digest.update(data)
        size += len(data)
    return size, digest.hexdigest()


def bulk_hash():
    digest = hashlib.sha256()
    for _ in range(BULK_BLOCKS):
        digest.update(BLOCK)
    return BULK_BLOCKS * len(BLOCK), digest.hexdigest()


def send_bulk(connection):
    for _ in range(BULK_BLOCKS):
        connection.sendall(BLOCK)
    connection.shutdown(socket.SHUT_WR)


def test_bulk_both_ways_at_once(proxy, upstream):
    """100 MB in each direction, at the same time, each ended by its own FIN."""
    arrived = []

    def serve(connection):
        sender = threading.Thread(target=send_bulk, args=(connection,))
        sender.start()
        arrived.append(receive_hash(connection))
        sender.join()

    running, port = relay(proxy, upstream(serve).port)
    expected = bulk_hash()
    with connect(port, 60) as client:
        sender = threading.Thread(target=send_bulk, args=(client,))
        sender.start()
        assert receive_hash(client) == expected
        sender.join()
        harness.wait_until(lambda: arrived, "the upstream has read all", 30)
    assert arrived == [expected]
    assert running.rss_bytes() < 200 * 1024 * 1024 * harness.SLOWNESS


def test_client_ends_first(proxy, upstream):
    """The FIN of one direction arrives there, and the other direction goes on."""

    def serve(connection):
        size, _ = receive_hash(connection)
        connection.sendall(b"%d bytes, and an answer after the end" % size)

    _, port = relay(proxy, upstream(serve).port)
    with connect(port) as client:
        client.sendall(b"x" * 1000)
        client.shutdown(socket.SHUT_WR)
        assert read_to_end(client) == b"1000 bytes, and an answer after the end"


def test_upstream_ends_first(proxy, upstream):
    arrived = []

    def serve(connection):
        connection.sendall(b"hello and goodbye")
        connection.shutdown(socket.SHUT_WR)
        arrived.append(receive_hash(connection)[0])

    _, port = relay(proxy, upstream(serve).port)
    with connect(port) as client:
        assert read_to_end(client) == b"hello and goodbye"
        client.sendall(b"y" * 5000)
        client.shutdown(socket.SHUT_WR)
        harness.wait_until(lambda: arrived, "the upstream saw the end")
    assert arrived == [5000]


def test_server_speaks_first(proxy, upstream):
    def serve(connection):
        connection.sendall(b"220 ready\r\n")
        echo(connection)

    _, port = relay(proxy, upstream(serve).port)
    with connect(port) as client:
        assert client.recv(100) == b"220 ready\r\n"


def test_reset_by_the_client_reaches_the_upstream(proxy, upstream):
    ended = []

    def serve(connection):
        connection.sendall(b"hi")
        with contextlib.suppress(ConnectionResetError):
            while connection.recv(100):
                pass
        ended.append(True)

    running, port = relay(proxy, upstream(serve).port)
    client = connect(port)
    assert client.recv(2) == b"hi"
    reset(client)
    harness.wait_until(lambda: ended, "the upstream connection ended")
    harness.wait_until(lambda: running.stat("listener.127.0.0.1_%d.downstream_cx_active" % port) == 0, "nothing is left")


def test_reset_by_the_upstream_reaches_the_client(proxy, upstream):
    def serve(connection):
        connection.recv(10)
        reset(connection)

    _, port = relay(proxy, upstream(serve).port)
    with connect(port) as client:
        client.sendall(b"hi")
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(10) == b""


def test_refused_upstream(proxy):
    running, port = relay(proxy, harness.free_port())
    with connect(port) as client, contextlib.suppress(ConnectionResetError):
        assert client.recv(10) == b""
    harness.wait_until(lambda: running.stat("cluster.origin.upstream_cx_connect_fail") == 1, "counted")


def test_no_endpoint(proxy):
    running = proxy([tcp_listener(harness.free_port(), "origin")], [cluster("origin")])
    with connect(running.listen_ports["tcp"]) as client, contextlib.suppress(ConnectionResetError):
        assert client.recv(10) == b""
    assert running.stat("cluster.origin.upstream_cx_none_healthy") == 1


def test_idle_timeout(proxy, upstream):
    running, port = relay(proxy, upstream(echo).port, {"idle_timeout": "0.3s"})
    with connect(port) as client:
        client.sendall(b"hello")
        assert client.recv(10) == b"hello"
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(10) == b""
    assert running.stat("tcp.tcp.idle_timeout") == 1


def test_activity_puts_the_idle_timeout_off(proxy, upstream):
    _, port = relay(proxy, upstream(echo).port, {"idle_timeout": f"{2 * harness.SLOWNESS}s"})
    with connect(port) as client:
        for _ in range(8):
            client.sendall(b"hello")
            assert client.recv(10) == b"hello"
            threading.Event().wait(0.35 * harness.SLOWNESS)


def test_connection_limit(proxy, upstream):
    running, port = relay(proxy, upstream(echo).port, **harness.limits(max_connections=2))
    with connect(port) as first, connect(port) as second:
        for client in (first, second):
            client.sendall(b"x")
            assert client.recv(1) == b"x"
        with connect(port) as third, contextlib.suppress(ConnectionResetError):
            assert third.recv(1) == b""
    assert running.stat("cluster.origin.upstream_cx_overflow") == 1


def test_byte_counts(proxy, upstream):
    running, port = relay(proxy, upstream(echo).port)
    with connect(port) as client:
        client.sendall(b"x" * 12345)
        client.shutdown(socket.SHUT_WR)
        assert len(read_to_end(client)) == 12345
    harness.wait_until(lambda: running.stat("tcp.tcp.downstream_cx_rx_bytes_total") == 12345, "bytes are counted")
    assert running.stat("tcp.tcp.downstream_cx_tx_bytes_total") == 12345
    assert running.stat("cluster.origin.upstream_cx_tx_bytes_total") == 12345
    assert running.stat("cluster.origin.upstream_cx_rx_bytes_total") == 12345


def test_many_connections_do_not_mix(proxy, upstream):
    _, port = relay(proxy, upstream(echo).port)
    errors = []

    def client_of(number):
        pattern = b"<%d>" % number * 5000
        try:
            with connect(port, 30) as client:
                sender = threading.Thread(target=lambda: (client.sendall(pattern), client.shutdown(socket.SHUT_WR)))
                sender.start()
                if read_to_end(client) != pattern:
                    errors.append(number)
                sender.join()
        except OSError as error:
            errors.append((number, error))

    clients = [threading.Thread(target=client_of, args=(number,)) for number in range(64)]
    for each in clients:
        each.start()
    for each in clients:
        each.join()
    assert not errors
