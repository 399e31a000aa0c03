"""WebSockets that end while they begin: refusals, ends of streams and connections that cross, and the limit of connections."""

import base64
import hashlib
import re
import socket
import time

import harness
import pytest
from h2_peer import H2Client
from harness import wait_until
from websocket_h2_test import VERSIONS, H1Socket, hypercorn, open_socket, origin_of_sockets, start  # noqa: F401


def still_serves(running):
    """Whatever was left of the streams before would show by now."""
    ws = H1Socket(running.http)
    assert ws.status in (101, 403, 503)  # its connection may just be closing
    ws.close()
    assert running.process.poll() is None


@pytest.mark.parametrize("down", VERSIONS)
@pytest.mark.parametrize("how", ["stream is reset", "connection ends"])
def test_what_an_upstream_does_after_a_refusal(proxy, down, how):
    def refuse(stream):
        stream.begin(403)
        stream.send(b"", end=True)
        if how == "stream is reset":
            stream.refuse(0)
        else:
            stream.owner.socket.shutdown(socket.SHUT_RDWR)

    origin = origin_of_sockets(refuse)
    running = start(proxy, origin.port, "h2")
    for _ in range(20):
        ws = open_socket(down, running.http)
        assert ws.status in (403, 503)
        ws.close()
    still_serves(running)


@pytest.mark.parametrize("up", VERSIONS)
@pytest.mark.parametrize("answer", ["none", "403"])
def test_a_client_that_ends_its_stream_before_the_answer(proxy, hypercorn, up, answer):
    running = start(proxy, hypercorn if answer == "403" else harness.free_port(), up)
    client = H2Client(running.http)
    client.run_until(lambda: client.connection.remote_settings.enable_connect_protocol == 1)
    for _ in range(20):
        stream = client.request("CONNECT", "/refused", end=False, headers=[(":protocol", "websocket"), ("sec-websocket-version", "13")])
        client.connection.end_stream(stream.id)
        client.flush()
        client.run_until(lambda stream=stream: stream.ended or stream.reset is not None)
        # hypercorn closes its connection of HTTP/2 behind a refusal, and what was on its way is lost.
        assert stream.status in ({"h1": (403,), "h2": (403, 503)}[up] if answer == "403" else (503,))
    client.socket.close()
    assert running.process.poll() is None
    wait_until(lambda: running.stat("http.http.downstream_rq_active") == 0, "no request active")


@pytest.mark.parametrize("down", VERSIONS)
def test_both_have_ended_before_the_tunnel_begins(proxy, down):
    def agree_and_end(stream):
        time.sleep(0.05)  # the client's end is there
        stream.begin(200)
        stream.send(b"", end=True)

    origin = origin_of_sockets(agree_and_end)
    running = start(proxy, origin.port, "h2", delayed_close_timeout="0.1s")
    for _ in range(5):
        if down == "h1":
            with harness.connect(running.http) as connection:
                connection.sendall(b"GET / HTTP/1.1\r\nhost: test\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
                                   b"sec-websocket-version: 13\r\nsec-websocket-key: MTIzNDU2Nzg5MDEyMzQ1Ng==\r\n\r\n")
                connection.shutdown(socket.SHUT_WR)
                assert harness.read_to_end(connection).startswith(b"HTTP/1.1 101 ")
        else:
            client = H2Client(running.http)
            client.run_until(lambda client=client: client.connection.remote_settings.enable_connect_protocol == 1)
            stream = client.request("CONNECT", "/", end=False, headers=[(":protocol", "websocket"), ("sec-websocket-version", "13")])
            client.connection.end_stream(stream.id)
            client.flush()
            client.run_until(lambda stream=stream: stream.ended or stream.reset is not None)
            assert stream.status == 200
            client.socket.close()
    time.sleep(0.3)  # delayed_close_timeout is over
    wait_until(lambda: running.stat("http.http.downstream_cx_upgrades_active") == 0, "no upgrade active")
    assert running.process.poll() is None


def test_connections_max_bounds_upgraded_ones(proxy, hypercorn):
    running = start(proxy, hypercorn, "h1", breakers={"circuit_breakers": {"thresholds": [{"max_connections": 2}]}})
    sockets = [H1Socket(running.http) for _ in range(2)]
    assert [ws.status for ws in sockets] == [101, 101]
    assert H1Socket(running.http).status == 503
    sockets[0].close()
    wait_until(lambda: running.stat("cluster.origin.upstream_cx_active") == 1, "a place is free")
    assert H1Socket(running.http).status == 101


def test_each_byte_is_counted_once(proxy, upstream):
    """Those in one piece with a head, and the heads, are bytes of the connections like all others."""
    request = (b"GET / HTTP/1.1\r\nhost: test\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
               b"sec-websocket-version: 13\r\nsec-websocket-key: MTIzNDU2Nzg5MDEyMzQ1Ng==\r\n\r\n")
    seen = bytearray()
    said = []

    def origin(connection):
        while b"\r\n\r\n" not in seen:
            seen.extend(connection.recv(65536))
        key = re.search(rb"sec-websocket-key: ([^\r]+)", seen)[1]
        accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        said.append(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
                    b"sec-websocket-accept: " + accept + b"\r\n\r\n" + b"u" * 1000)
        connection.sendall(said[0])
        while piece := connection.recv(65536):
            seen.extend(piece)
        connection.sendall(b"v" * 2000)
        said.append(b"v" * 2000)

    server = upstream(origin)
    running = start(proxy, server.port, "h1")
    with harness.connect(running.http) as connection:
        connection.sendall(request + b"a" * 500)
        wait_until(lambda: seen.count(b"a" * 500) == 1, "the early bytes")
        connection.sendall(b"b" * 300)
        wait_until(lambda: seen.endswith(b"b" * 300), "the later bytes")
        connection.shutdown(socket.SHUT_WR)
        heard = harness.read_to_end(connection)
    assert heard.endswith(b"u" * 1000 + b"v" * 2000)
    wait_until(lambda: running.stat("http.http.downstream_cx_active") == 0, "the end")
    assert running.stat("http.http.downstream_cx_rx_bytes_total") == len(request) + 800
    assert running.stat("http.http.downstream_cx_tx_bytes_total") == len(heard)
    assert running.stat("cluster.origin.upstream_cx_tx_bytes_total") == len(seen)
    assert running.stat("cluster.origin.upstream_cx_rx_bytes_total") == sum(map(len, said))
