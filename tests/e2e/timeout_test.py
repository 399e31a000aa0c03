"""Everything that may take too long, and what the client is told then."""

import contextlib
import socket
import threading
import time

import harness
import pytest
from harness import answering, cluster, connect, exchange, http_listener, limits, ok, parse_response, read_message, read_to_end, \
    receive_response, route

PREFIX = b"upstream connect error or disconnect/reset before headers. "


def gateway(proxy, port, routes=None, cluster_fields=None, **manager):
    running = proxy([http_listener(harness.free_port(), routes or [route()], **manager)],
                    [cluster("origin", port, **(cluster_fields or {}))])
    return running, running.listen_ports["http"]


def get(target="/", *lines):
    return "\r\n".join([f"GET {target} HTTP/1.1", "host: a.example", *lines]).encode() + b"\r\n\r\n"


CLOSE = "connection: close"


class Silent:
    """serve() of an upstream that takes a request and says nothing, until its peer goes."""

    def __init__(self):
        self.asked, self.left = threading.Event(), threading.Event()

    def __call__(self, connection):
        read_message(connection.makefile("rb"))
        self.asked.set()
        with contextlib.suppress(OSError):
            connection.recv(1)
        self.left.set()


def test_route_timeout(proxy, upstream):
    silent = Silent()
    running, port = gateway(proxy, upstream(silent).port, [route(timeout="0.3s")])
    with connect(port) as client:
        client.sendall(get())
        response = receive_response(client)
        assert (response.status, response.body) == (504, b"upstream request timeout")
        assert silent.left.wait(20 * harness.SLOWNESS), "the upstream request is given up"
        client.sendall(get())  # the client's connection lives on
        assert receive_response(client).status == 504
    assert running.stat("cluster.origin.upstream_rq_timeout") == 2


def test_route_timeout_in_the_middle_of_a_response(proxy, upstream):
    def stall(connection):
        read_message(connection.makefile("rb"))
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello")
        connection.recv(1)

    _, port = gateway(proxy, upstream(stall).port, [route(timeout="0.3s")])
    response = parse_response(exchange(port, get()))
    assert response.status == 200 and not response.complete


def test_no_route_timeout_when_it_is_zero(proxy, upstream):
    def slow(message_head, body):
        time.sleep(0.5)
        return ok()

    _, port = gateway(proxy, upstream(answering(slow)).port, [route(timeout="0s")])
    assert parse_response(exchange(port, get("/", CLOSE))).status == 200


def test_stalled_upload(proxy, upstream):
    """stream_idle_timeout while the client owes its body: 408, and the upstream is let go."""
    silent = Silent()
    running, port = gateway(proxy, upstream(silent).port, stream_idle_timeout="0.4s")
    with connect(port) as client:
        client.sendall(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nsome")
        response = parse_response(read_to_end(client))
    assert response.status == 408 and response.body == b"stream timeout"
    assert running.stat("http.http.downstream_rq_idle_timeout") == 1
    harness.wait_until(lambda: running.stat("cluster.origin.upstream_rq_active") == 0, "nothing is left upstream")


def test_stream_idle_timeout_of_a_route(proxy, upstream):
    silent = Silent()
    _, port = gateway(proxy, upstream(silent).port, [route(timeout="0s", idle_timeout="0.3s")])
    response = parse_response(exchange(port, get("/", CLOSE)))
    assert response.status in (408, 504) and response.body == b"stream timeout"


def test_slow_head(proxy, upstream):
    running, port = gateway(proxy, upstream(answering(lambda head, body: ok())).port, request_headers_timeout="0.4s")
    with connect(port) as client:
        for value in b"GET / HTTP/1.1\r\nhost: ":
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                client.send(bytes([value]))
            time.sleep(0.05)
        response = parse_response(read_to_end(client))
    assert response.status == 408 and response.header("connection") == "close"
    assert running.stat("http.http.downstream_rq_header_timeout") == 1


def test_many_slow_heads_hold_up_nobody(proxy, upstream):
    running, port = gateway(proxy, upstream(answering(lambda head, body: ok())).port, request_headers_timeout="1s")
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(connect(port)) for _ in range(300)]
        for client in slow:
            client.sendall(b"GET / HTTP/1.1\r\nhost: a\r\nx-")
        for _ in range(20):
            assert parse_response(exchange(port, get("/", CLOSE))).status == 200
        for client in slow:
            assert b" 408 " in read_to_end(client)[:20]
    assert running.stat("http.http.downstream_rq_header_timeout") == 300


def test_request_timeout(proxy, upstream):
    running, port = gateway(proxy, upstream(Silent()).port, request_timeout="0.4s")
    with connect(port) as client:
        client.sendall(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\n")
        for _ in range(20):
            with contextlib.suppress(OSError):
                client.send(b"x")
            time.sleep(0.03)
        response = parse_response(read_to_end(client))
    assert (response.status, response.body) == (408, b"request timeout")
    assert running.stat("http.http.downstream_rq_timeout") == 1


def test_idle_connection_is_closed(proxy, upstream):
    running, port = gateway(proxy, upstream(answering(lambda head, body: ok())).port,
                            common_http_protocol_options={"idle_timeout": "0.4s"})
    with connect(port) as client, connect(port) as mute:
        client.sendall(get())
        assert receive_response(client).status == 200
        assert client.recv(1) == b"" and mute.recv(1) == b""
    assert running.stat("http.http.downstream_cx_idle_timeout") == 2


def test_max_connection_duration(proxy, upstream):
    running, port = gateway(proxy, upstream(answering(lambda head, body: ok())).port, drain_timeout="0.2s",
                            common_http_protocol_options={"max_connection_duration": "0.4s"})
    with connect(port) as client:
        client.sendall(get())
        assert receive_response(client).status == 200
        assert read_to_end(client) == b""
    assert running.stat("http.http.downstream_cx_max_duration_reached") == 1


def test_max_stream_duration(proxy, upstream):
    running, port = gateway(proxy, upstream(Silent()).port, common_http_protocol_options={"max_stream_duration": "0.3s"})
    response = parse_response(exchange(port, get("/", CLOSE)))
    assert response.status in (408, 504)
    assert running.stat("http.http.downstream_rq_max_duration_reached") == 1


def test_max_requests_per_connection(proxy, upstream):
    running, port = gateway(proxy, upstream(answering(lambda head, body: ok())).port,
                            common_http_protocol_options={"max_requests_per_connection": 3})
    with connect(port) as client:
        for number in range(3):
            client.sendall(get())
            response = receive_response(client)
            assert response.header("connection") == ("close" if number == 2 else "")
        assert client.recv(1) == b""
    assert running.stat("http.http.downstream_cx_max_requests_reached") == 1


def test_connect_timeout(proxy):
    """A listener whose queue is full takes no further connection: the SYN goes unanswered."""
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(3):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filler.connect(full.getsockname())
        time.sleep(0.05)
        running, port = gateway(proxy, full.getsockname()[1], cluster_fields={"connect_timeout": "0.3s"})
        response = parse_response(exchange(port, get("/", CLOSE)))
        assert response.status == 503 and response.body == PREFIX + b"reset reason: connection timeout"
        assert running.stat("cluster.origin.upstream_cx_connect_timeout") == 1
        assert running.stat("cluster.origin.upstream_cx_connect_fail") == 1


def test_refused_upstream(proxy):
    running, port = gateway(proxy, harness.free_port())
    response = parse_response(exchange(port, get("/", CLOSE)))
    assert response.status == 503
    assert response.body == PREFIX + b"reset reason: remote connection failure"
    assert running.stat("cluster.origin.upstream_cx_connect_fail") == 1


def test_no_endpoint(proxy):
    running = proxy([http_listener(harness.free_port(), [route()])], [cluster("origin")])
    response = parse_response(exchange(running.listen_ports["http"], get("/", CLOSE)))
    assert (response.status, response.body) == (503, b"no healthy upstream")
    assert running.stat("cluster.origin.upstream_cx_none_healthy") == 1


def test_upstream_idle_timeout(proxy, upstream):
    server = upstream(answering(lambda head, body: ok()))
    kind = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    fields = {"typed_extension_protocol_options": {kind: {
        "@type": f"type.googleapis.com/{kind}", "common_http_protocol_options": {"idle_timeout": "0.3s"},
        "explicit_http_config": {"http_protocol_options": {}}}}}
    running, port = gateway(proxy, server.port, cluster_fields=fields)
    with connect(port) as client:
        client.sendall(get())
        assert receive_response(client).status == 200
        harness.wait_until(lambda: running.stat("cluster.origin.upstream_cx_active") == 0, "the pool lets go")
        assert running.stat("cluster.origin.upstream_cx_idle_timeout") == 1
        client.sendall(get())
        assert receive_response(client).status == 200


# As in Envoy, requests are limited when they get their connection: the one that is too many has made another.
@pytest.mark.parametrize("threshold, stat, connections", [
    ({"max_requests": 1}, "upstream_rq_active_overflow", 2),
    ({"max_connections": 1, "max_pending_requests": 1}, "upstream_rq_pending_overflow", 1)])
def test_circuit_breakers(proxy, upstream, threshold, stat, connections):
    """What is beyond the limit is answered at once; what is within waits its turn and is served."""
    go_on = threading.Event()

    def hold(head, body):
        go_on.wait(10)
        return ok(b"served")

    server = upstream(answering(hold))
    running, port = gateway(proxy, server.port, cluster_fields=limits(**threshold))
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(port)) for _ in range(1 + threshold.get("max_pending_requests", 0))]
        for number, client in enumerate(clients):
            client.sendall(get())
            harness.wait_until(lambda: running.stat("http.http.downstream_rq_active") == number + 1, "the request is in")  # noqa: B023
        harness.wait_until(lambda: server.accepted == 1, "the first one is upstream")
        response = parse_response(exchange(port, get("/", CLOSE)))
        assert response.status == 503 and response.body == PREFIX + b"reset reason: overflow"
        assert response.header("x-envoy-overloaded") == "true"
        go_on.set()
        for client in clients:
            assert receive_response(client).body == b"served"
    assert running.stat(f"cluster.origin.{stat}") == 1
    assert server.accepted == connections
    assert running.stat("cluster.origin.upstream_rq_active") == 0
