"""Where a message ends: chunked bodies with trailers, interim responses, Expect, HTTP/1.0, answers that come early."""

import time

import harness
import pytest
from harness import cluster, connect, exchange, http_listener, ok, parse_response, read_to_end, receive_response, route, upstream_http
from origin import chunked, chunks, closing


def respond(message):
    if message.target == "/trailers":
        return chunked(b"body", headers=b"trailer: x-sum\r\n", trailers=b"x-sum: 42\r\nx-more: yes\r\n")
    if message.target == "/early-hints":
        return b"HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n" + ok(b"final")
    if message.target == "/many-interim":
        return b"HTTP/1.1 102 Processing\r\n\r\n" * 3 + ok(b"final")
    if message.target == "/100-uninvited":
        return b"HTTP/1.1 100 Continue\r\n\r\n" + ok(b"final")
    if message.target == "/http10":
        return closing(b"HTTP/1.0 200 OK\r\n\r\n", b"old style")
    if message.target == "/http10-length":
        return closing(b"HTTP/1.0 200 OK\r\ncontent-length: 3\r\n\r\nold")
    if message.target == "/chunked":
        return chunked(b"one ", b"two")
    return ok(message.body)


@pytest.fixture(scope="module")
def origin(module_origin):
    return module_origin(respond)


@pytest.fixture(scope="module")
def gateway(module_proxy, origin):
    options = {"accept_http_10": True, "default_host_for_http_10": "default.example", "enable_trailers": True}
    listeners = [
        http_listener(harness.free_port(), [route()]),
        http_listener(harness.free_port(), [route("with-trailers")], name="open", http_protocol_options=options,
                      proxy_100_continue=True),
    ]
    return module_proxy(listeners, [cluster("origin", origin.port),
                                    cluster("with-trailers", origin.port, **upstream_http(enable_trailers=True))])


@pytest.fixture
def port(gateway, origin):
    origin.forget()
    return gateway.listen_ports["http"]


@pytest.fixture
def open_port(gateway, origin):
    """The listener that takes HTTP/1.0 and trailers, and lets 100 pass."""
    origin.forget()
    return gateway.listen_ports["open"]


def post(target, *lines, body=b"", version="1.1"):
    head = [f"POST {target} HTTP/{version}", "host: a.example", *lines]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


CHUNKED = "transfer-encoding: chunked"


def test_chunked_request_is_forwarded_as_it_is(port, origin):
    with connect(port) as client:
        client.sendall(post("/", CHUNKED, body=b"4;name=value\r\nabcd\r\n0A\r\n0123456789\r\n0\r\n\r\n"))
        assert receive_response(client).body == b"abcd0123456789"
    assert origin.last.framing == "chunked"
    assert b"name=value" not in origin.last.head


def test_chunked_request_without_body(port, origin):
    with connect(port) as client:
        client.sendall(post("/", CHUNKED, body=chunks()))
        assert receive_response(client).body == b""
    assert origin.last.framing == "chunked"


def test_zero_content_length_is_kept(port, origin):
    assert parse_response(exchange(port, post("/", "content-length: 0", "connection: close"))).status == 200
    assert origin.last.header("content-length") == "0"


def test_request_trailers_are_dropped_by_default(port, origin):
    with connect(port) as client:
        client.sendall(post("/", CHUNKED, "trailer: x-sum", body=chunks(b"body", trailers=b"x-sum: 42\r\n")))
        assert receive_response(client).body == b"body"
    assert origin.last.trailers == []


def test_request_trailers_pass_when_enabled(open_port, origin):
    with connect(open_port) as client:
        client.sendall(post("/", CHUNKED, "te: trailers", body=chunks(b"body", trailers=b"X-Sum: 42\r\nx-more: \r\n")))
        assert receive_response(client).body == b"body"
    assert origin.last.trailers == [("x-sum", "42"), ("x-more", "")]


def test_response_trailers_are_dropped_by_default(port):
    with connect(port) as client:
        client.sendall(post("/trailers"))
        response = receive_response(client)
        assert response.body == b"body" and "x-sum" not in response.headers


def test_response_trailers_pass_when_enabled(open_port):
    with connect(open_port) as client:
        client.sendall(post("/trailers", "te: trailers"))
        response = receive_response(client)
        assert response.body == b"body" and response.header("x-sum") == "42" and response.header("x-more") == "yes"


@pytest.mark.parametrize("field", [b"content-length: 5", b"transfer-encoding: chunked", b"host: b.example"])
def test_trailers_that_frame_or_route_never_pass(open_port, origin, field):
    with connect(open_port) as client:
        client.sendall(post("/", CHUNKED, body=chunks(b"body", trailers=field + b"\r\n")))
        response = parse_response(read_to_end(client))
        assert response.status == 400
    assert all(message.trailers == [] for message in origin.seen)


def test_expect_is_answered_at_once_and_consumed(port, origin):
    with connect(port) as client:
        client.sendall(post("/", "expect: 100-continue", "content-length: 4"))
        interim = receive_response(client)
        assert interim.status == 100
        client.sendall(b"body")
        assert receive_response(client, already=interim.rest).body == b"body"
    assert not origin.last.has("expect")


def test_expect_passes_when_configured(gateway, upstream, proxy):
    def late_continue(connection):
        stream = connection.makefile("rb")
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += stream.readline()
        assert b"expect: 100-continue" in head.lower()
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        connection.sendall(ok(stream.read(4)))

    server = upstream(late_continue)
    running = proxy([http_listener(harness.free_port(), [route()], proxy_100_continue=True)], [cluster("origin", server.port)])
    with connect(running.listen_ports["http"]) as client:
        client.sendall(post("/", "expect: 100-continue", "content-length: 4"))
        interim = receive_response(client)
        assert interim.status == 100
        client.sendall(b"body")
        assert receive_response(client, already=interim.rest).body == b"body"


@pytest.mark.parametrize("path, interim", [("/early-hints", [103]), ("/many-interim", [102, 102, 102]), ("/100-uninvited", [])])
def test_interim_responses(port, path, interim):
    with connect(port) as client:
        client.sendall(post(path))
        seen, data = [], b""
        while True:
            response = receive_response(client, already=data)
            data = response.rest
            if response.status >= 200:
                break
            seen.append(response.status)
        assert response.body == b"final" and seen == interim


def test_http_10_is_refused_by_default(port, origin):
    response = parse_response(exchange(port, b"GET / HTTP/1.0\r\nhost: a.example\r\n\r\n"))
    assert response.status == 426 and origin.seen == []


def test_http_10_client(open_port, origin):
    data = exchange(open_port, b"GET / HTTP/1.0\r\n\r\n")
    assert data.startswith(b"HTTP/1.0 200")
    assert origin.last.header("host") == "default.example" and origin.last.start.endswith("HTTP/1.1")


def test_http_10_client_gets_no_chunks_and_no_interim(open_port):
    data = exchange(open_port, b"GET /chunked HTTP/1.0\r\nhost: a\r\n\r\n")
    response = parse_response(data)
    assert "transfer-encoding" not in response.headers and response.body == b"one two"
    data = exchange(open_port, b"GET /early-hints HTTP/1.0\r\nhost: a\r\n\r\n")
    assert parse_response(data).status == 200 and data.count(b"HTTP/1.") == 1


def test_http_10_keep_alive(open_port):
    with connect(open_port) as client:
        for _ in range(2):
            client.sendall(b"GET / HTTP/1.0\r\nhost: a\r\nconnection: keep-alive\r\n\r\n")
            response = receive_response(client)
            assert response.status == 200 and "transfer-encoding" not in response.headers


def test_http_10_with_transfer_encoding_is_refused(open_port, origin):
    response = parse_response(exchange(open_port, post("/", CHUNKED, version="1.0", body=chunks(b"body"))))
    assert response.status == 400 and origin.seen == []


@pytest.mark.parametrize("path, body", [("/http10", b"old style"), ("/http10-length", b"old")])
def test_http_10_upstream(port, path, body):
    with connect(port) as client:
        for _ in range(2):
            client.sendall(post(path))
            response = receive_response(client)
            assert response.complete and response.body == body


def test_answer_before_the_request_is_over(upstream, proxy):
    """The answer reaches the client whole; what is left of the request has nowhere to go, so both connections end."""
    ended = []

    def refuse(connection):
        stream = connection.makefile("rb")
        while stream.readline() != b"\r\n":
            pass
        connection.sendall(b"HTTP/1.1 413 Too Large\r\ncontent-length: 8\r\n\r\nno thank")
        try:
            while connection.recv(65536):
                pass
        finally:
            ended.append(True)

    server = upstream(refuse)
    running = proxy([http_listener(harness.free_port(), [route()])], [cluster("origin", server.port)])
    with connect(running.listen_ports["http"]) as client:
        client.sendall(post("/", "content-length: 1000000", body=b"x" * 1000))
        response = parse_response(read_to_end(client))
        assert response.status == 413 and response.body == b"no thank"
    harness.wait_until(lambda: ended, "the upstream connection ends")
    assert running.stat("cluster.origin.upstream_cx_active") == 0


def test_byte_by_byte_request(port, origin):
    request = post("/slow", CHUNKED, "x-a: b", "connection: close", body=chunks(b"abc", b"defg"))
    with connect(port) as client:
        for value in request:
            client.sendall(bytes([value]))
            time.sleep(0.0005)
        assert parse_response(read_to_end(client)).body == b"abcdefg"
    assert origin.last.framing == "chunked" and origin.last.header("x-a") == "b"


@pytest.mark.parametrize("response", [ok(b"abcdefg", b"x-a: b\r\n"), chunked(b"abc", b"defg", headers=b"x-a: b\r\n")])
def test_byte_by_byte_response(upstream, proxy, response):
    def drip(connection):
        stream = connection.makefile("rb")
        while stream.readline() != b"\r\n":
            pass
        for value in response:
            connection.sendall(bytes([value]))
            time.sleep(0.0005)
        connection.recv(1)

    server = upstream(drip)
    running = proxy([http_listener(harness.free_port(), [route()])], [cluster("origin", server.port)])
    with connect(running.listen_ports["http"]) as client:
        client.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        seen = receive_response(client)
        assert seen.complete and seen.body == b"abcdefg" and seen.header("x-a") == "b"
