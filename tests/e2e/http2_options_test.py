"""Http2ProtocolOptions, on both legs, with clients and origins that look at single frames."""

import socket
import threading
import time

import harness
import hpack
import pytest
from h2_peer import H2Client, H2Origin
from harness import SLOWNESS, cluster, http_listener, ok, route, wait_until
from http2_test import upstream_http2

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY = 0, 1, 3, 4, 6, 7
ACK = 1
REQUEST = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/")]


def frame(kind, flags=0, stream=0, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def headers(stream, fields, flags=5):
    return frame(HEADERS, flags, stream, hpack.Encoder().encode(fields))


def frames(connection):
    """(kind, flags, stream, payload) of each frame, until the peer closes."""
    data = b""
    while True:
        while len(data) >= 9 and len(data) >= 9 + (size := int.from_bytes(data[:3], "big")):
            yield data[3], data[4], int.from_bytes(data[5:9], "big"), data[9:9 + size]
            data = data[9 + size:]
        try:
            piece = connection.recv(65536)
        except ConnectionResetError:
            return
        if not piece:
            return
        data += piece


def raw_client(port, sent=b""):
    connection = socket.create_connection(("127.0.0.1", port), timeout=20 * SLOWNESS)
    connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS) + sent)
    return connection


def pairs(payload):
    return {int.from_bytes(payload[at:at + 2], "big"): int.from_bytes(payload[at + 2:at + 6], "big") for at in range(0, len(payload), 6)}


def listener(**http2):
    return http_listener(harness.free_port(), [route(timeout="0s")], codec_type="HTTP2", http2_protocol_options=http2)


@pytest.fixture
def raw_origin(upstream):
    """start(serve) -> its port, what it saw; serve(connection, each frame) after SETTINGS were sent."""

    def start(serve, settings=b""):
        seen = []

        def run(connection):
            preface = b""
            while len(preface) < 24:
                preface += connection.recv(24 - len(preface))
            connection.sendall(frame(SETTINGS, payload=settings))
            for each in frames(connection):
                seen.append(each)
                serve(connection, each)

        return upstream(run).port, seen

    return start


# --- PINGs -------------------------------------------------------------------------------------------------------------


def test_keepalive_ends_a_client_that_is_silent(proxy, origin):
    keepalive = {"interval": "0.1s", "timeout": "0.3s", "interval_jitter": {"value": 0}}
    running = proxy([listener(connection_keepalive=keepalive)], [cluster("origin", origin(lambda m: ok(b"x")).port)])
    with H2Client(running.listen_ports["http"]) as client:  # whose package answers by itself
        until = time.monotonic() + 0.6
        client.run_until(lambda: time.monotonic() > until)
        assert client.get("/").status == 200
    wait_until(lambda: running.stat("http.http.downstream_cx_active") == 0, "it is gone")
    begin = time.monotonic()
    with raw_client(running.listen_ports["http"]) as silent:
        assert [kind for kind, *_ in frames(silent)].count(PING) == 1  # to its end
    assert time.monotonic() - begin >= 0.39
    wait_until(lambda: running.stat("http2.keepalive_timeout") == 1, "it is counted")
    assert running.stat("http.http.downstream_cx_destroy_local") == 1


def test_keepalive_ends_an_upstream_that_is_silent(proxy, raw_origin):
    port, seen = raw_origin(lambda connection, each: None)
    keepalive = {"interval": "0.2s", "timeout": "0.3s"}
    running = proxy([listener()], [cluster("origin", port, **upstream_http2(connection_keepalive=keepalive))])
    with H2Client(running.listen_ports["http"]) as client:
        answer = client.get("/")
        assert answer.status == 503 and answer.body.endswith(b"connection termination")
    wait_until(lambda: running.stat("cluster.origin.http2.keepalive_timeout") == 1, "it is counted")
    assert [kind for kind, *_ in seen].count(PING) == 1
    assert running.stat("cluster.origin.upstream_cx_destroy_local_with_active_rq") == 1


def test_upstream_that_answers_pings_lives(proxy, raw_origin):
    def serve(connection, each):
        kind, flags, stream, payload = each
        if kind == PING:
            connection.sendall(frame(PING, ACK, 0, payload))
        if kind == HEADERS:
            connection.sendall(headers(stream, [(":status", "204")]))

    port, seen = raw_origin(serve)
    keepalive = {"interval": "0.05s", "timeout": "5s"}
    running = proxy([listener()], [cluster("origin", port, **upstream_http2(connection_keepalive=keepalive))])
    with H2Client(running.listen_ports["http"]) as client:
        assert client.get("/").status == 204
        wait_until(lambda: [kind for kind, *_ in seen].count(PING) >= 5, "PINGs on an idle connection")
        assert client.get("/").status == 204
    assert running.stat("cluster.origin.upstream_cx_total") == 1


def test_idle_upstream_is_asked_before_a_request(proxy, raw_origin):
    def serve(connection, each):
        kind, flags, stream, payload = each
        if kind == PING:
            connection.sendall(frame(PING, ACK, 0, payload))
        if kind == HEADERS:
            connection.sendall(headers(stream, [(":status", "204")]))

    port, seen = raw_origin(serve)
    keepalive = {"timeout": "5s", "connection_idle_interval": "0.3s"}
    running = proxy([listener()], [cluster("origin", port, **upstream_http2(connection_keepalive=keepalive))])
    with H2Client(running.listen_ports["http"]) as client:
        client.get("/")
        client.get("/")
        time.sleep(0.4)
        client.get("/")
    assert [kind for kind, *_ in seen if kind in (HEADERS, PING)] == [HEADERS, HEADERS, PING, HEADERS]


# --- SETTINGS ----------------------------------------------------------------------------------------------------------

OPTIONS = {"hpack_table_size": 8192, "max_concurrent_streams": 7, "initial_stream_window_size": 100000,
           "initial_connection_window_size": 200000, "custom_settings_parameters": [{"identifier": 300, "value": 5}]}


def test_settings_on_both_legs_as_envoy(proxy, envoy, raw_origin):
    """What it announces of its own accord besides (the list of headers, server push) may differ."""

    def serve(connection, each):
        if each[0] == HEADERS:
            connection.sendall(headers(each[2], [(":status", "204")]))

    seen = []
    for start in (envoy, proxy):
        port, upstream_frames = raw_origin(serve)
        outer = listener(**OPTIONS)
        start([outer], [cluster("origin", port, **upstream_http2(**OPTIONS))])
        with raw_client(outer["address"]["socket_address"]["port_value"], headers(1, REQUEST)) as client:
            greeting = next(payload for kind, flags, _, payload in frames(client) if kind == SETTINGS and not flags)
            wait_until(lambda: any(each[0] == HEADERS for each in upstream_frames), "the request is upstream")  # noqa: B023
        upstream_settings = next(payload for kind, flags, _, payload in upstream_frames if kind == SETTINGS and not flags)
        windows = [payload for kind, _, stream, payload in upstream_frames if kind == 8 and stream == 0]
        down, up = pairs(greeting), pairs(upstream_settings)
        seen.append(([down.get(key) for key in (1, 3, 4, 300)], [up.get(key) for key in (1, 4, 300)], windows[:1]))
    assert seen[1] == seen[0]


# --- What HTTP forbids --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("one", [False, True])
def test_invalid_message_ends_the_stream_or_the_connection(proxy, origin, one):
    held = threading.Event()

    def respond(message):
        held.wait(10)
        return ok(b"x")

    running = proxy([listener(override_stream_error_on_invalid_http_message=one)], [cluster("origin", origin(respond).port)])
    bad = headers(3, [*REQUEST, ("connection", "close")])
    with raw_client(running.listen_ports["http"], headers(1, REQUEST) + bad) as client:
        came = []
        for kind, _, stream, _ in frames(client):
            if kind in (HEADERS, RST_STREAM, GOAWAY):
                came.append((kind, stream))
                held.set()
            if (HEADERS, 1) in came:
                break
    assert came == ([(RST_STREAM, 3), (HEADERS, 1)] if one else [(GOAWAY, 0)])
    wait_until(lambda: running.stat("http2.rx_messaging_error") == 1, "it is counted")
    assert running.stat("http.http.downstream_cx_protocol_error") == (0 if one else 1)


def test_upstream_hears_what_it_did_wrong(proxy, raw_origin):
    port, seen = raw_origin(lambda connection, each: connection.sendall(frame(DATA)) if each[0] == HEADERS else None)
    running = proxy([listener()], [cluster("origin", port, **upstream_http2())])
    with H2Client(running.listen_ports["http"]) as client:
        answer = client.get("/")
        assert answer.status == 502 and answer.body.endswith(b"protocol error")
    wait_until(lambda: any(kind == GOAWAY and b"DATA without a stream" in payload for kind, _, _, payload in seen), "GOAWAY")
    wait_until(lambda: running.stat("cluster.origin.upstream_cx_active") == 0, "it is closed")
    assert running.stat("cluster.origin.upstream_cx_protocol_error") == 1


@pytest.mark.release_only
def test_one_byte_frames_in_front_of_a_closed_window(proxy, raw_origin):
    """A window holds 262144 frames of one byte: each may not cost the block that it was received in."""
    port, seen = raw_origin(lambda connection, each: None, settings=(4).to_bytes(2, "big") + bytes(4))
    running = proxy([listener()], [cluster("origin", port, **upstream_http2())])
    post = [(":method", "POST"), *REQUEST[1:]]
    with raw_client(running.listen_ports["http"], headers(1, post, flags=4)) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        wait_until(lambda: any(kind == HEADERS for kind, *_ in seen), "the request is upstream")
        before = running.rss_bytes()
        for _ in range(30000):
            client.sendall(frame(DATA, 0, 1, b"x"))  # mostly a segment each
        wait_until(lambda: running.stat("cluster.origin.http2.pending_send_bytes") == 30000, "they wait")
        grown = running.rss_bytes() - before
    assert grown < 8 * 1024 * 1024, f"{grown / 1024 / 1024:.1f} MB"
