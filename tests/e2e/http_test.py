"""HTTP/1.1 as ordinary clients speak it: methods, keep-alive, pipelining, bodies, targets, what is refused by name."""

import http.client
import socket

import harness
import pytest
from harness import cluster, connect, exchange, http_listener, ok, parse_response, receive_response, route
from origin import chunked, chunks, closing


def respond(message):
    path = message.target.partition("?")[0]
    if path == "/204":
        return b"HTTP/1.1 204 No Content\r\n\r\n"
    if path == "/304":
        return b'HTTP/1.1 304 Not Modified\r\netag: "a"\r\ncontent-length: 5\r\n\r\n'
    if path == "/head":
        return b"HTTP/1.1 200 OK\r\ncontent-length: 4321\r\n\r\n"
    if path == "/chunked":
        return chunked(b"one ", b"two ", b"three")
    if path == "/until-close":
        return closing(b"HTTP/1.1 200 OK\r\n\r\n", b"to the end")
    if path == "/reason":
        return b"HTTP/1.1 299 \r\ncontent-length: 0\r\n\r\n"
    return ok(b"%s %s %s" % (message.method.encode(), message.target.encode(), message.body))


@pytest.fixture(scope="module")
def origin(module_origin):
    return module_origin(respond)


@pytest.fixture(scope="module")
def gateway(module_proxy, origin):
    return module_proxy([http_listener(harness.free_port(), [route()])], [cluster("origin", origin.port)])


@pytest.fixture
def port(gateway, origin):
    origin.forget()
    return gateway.listen_ports["http"]


def get(target, *lines, method="GET", body=b""):
    head = [f"{method} {target} HTTP/1.1", "host: a.example", *lines]
    return "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + body


@pytest.mark.parametrize("method", ["GET", "DELETE", "OPTIONS", "PATCH", "POST", "PUT", "TRACE", "PROPFIND"])
def test_methods(port, origin, method):
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    body = b"payload" if method in ("PATCH", "POST", "PUT") else None
    client.request(method, "/a?b=c", body=body)
    response = client.getresponse()
    assert response.status == 200
    assert response.read() == b"%s /a?b=c %s" % (method.encode(), body or b"")
    assert origin.last.method == method
    client.close()


def test_head_has_no_body_and_keeps_the_length(port, origin):
    with connect(port) as client:
        client.sendall(get("/head", method="HEAD"))
        response = receive_response(client, head_request=True)
        assert (response.status, response.header("content-length"), response.rest) == (200, "4321", b"")
        client.sendall(get("/after"))
        assert receive_response(client).body == b"GET /after "
    assert [message.method for message in origin.seen] == ["HEAD", "GET"]


@pytest.mark.parametrize("path, status", [("/204", 204), ("/304", 304)])
def test_statuses_without_body(port, path, status):
    with connect(port) as client:
        client.sendall(get(path))
        response = receive_response(client)
        assert response.status == status and response.rest == b""
        assert "transfer-encoding" not in response.headers
        if status == 204:
            assert "content-length" not in response.headers
        client.sendall(get("/after"))
        assert receive_response(client).body == b"GET /after "


def test_keep_alive_on_both_sides(port, origin):
    before = origin.accepted
    with connect(port) as client:
        for number in range(10):
            client.sendall(get(f"/{number}"))
            assert receive_response(client).body == b"GET /%d " % number
    assert origin.accepted - before <= 1


def test_pipelined_requests_are_answered_in_order(port, origin):
    with connect(port) as client:
        client.sendall(b"".join(get(f"/{number}", method="HEAD" if number % 5 == 4 else "GET") for number in range(20)))
        data = b""
        for number in range(20):
            response = receive_response(client, head_request=number % 5 == 4, already=data)
            data = response.rest
            assert response.status == 200
            if number % 5 != 4:
                assert response.body == b"GET /%d " % number
        assert data == b""
    assert [message.target for message in origin.seen] == [f"/{number}" for number in range(20)]


def test_pipelined_bodies(port, origin):
    requests = [get("/a", "content-length: 5", method="POST", body=b"first"),
                get("/b", "transfer-encoding: chunked", method="POST", body=chunks(b"sec", b"ond")),
                get("/c"),
                get("/d", "content-length: 70000", method="PUT", body=b"x" * 70000),
                get("/e", "connection: close")]
    data = exchange(port, b"".join(requests))
    for expected in (b"POST /a first", b"POST /b second", b"GET /c ", b"PUT /d " + b"x" * 70000, b"GET /e "):
        response = parse_response(data)
        assert response.complete and response.body == expected
        data = response.rest
    assert data == b""
    assert [message.framing for message in origin.seen] == ["length", "chunked", "none", "length", "none"]


def test_close_is_honoured(port):
    response = parse_response(exchange(port, get("/", "connection: close")))
    assert response.status == 200 and response.header("connection") == "close"


def test_half_close_after_a_request_still_gets_the_answer(port):
    with connect(port) as client:
        client.sendall(get("/late"))
        client.shutdown(socket.SHUT_WR)
        response = parse_response(harness.read_to_end(client))
        assert response.complete and response.body == b"GET /late "


def test_empty_lines_before_a_request(port):
    with connect(port) as client:
        client.sendall(get("/a"))
        receive_response(client)
        client.sendall(b"\r\n" + get("/b"))
        assert receive_response(client).body == b"GET /b "


def test_chunked_response(port):
    with connect(port) as client:
        client.sendall(get("/chunked"))
        response = receive_response(client)
        assert response.header("transfer-encoding") == "chunked" and response.body == b"one two three"
        client.sendall(get("/after"))
        assert receive_response(client).body == b"GET /after "


def test_body_until_close_becomes_chunked(port):
    with connect(port) as client:
        client.sendall(get("/until-close"))
        response = receive_response(client)
    assert response.header("transfer-encoding") == "chunked" and response.complete and response.body == b"to the end"


def test_response_without_reason(port):
    assert parse_response(exchange(port, get("/reason", "connection: close"))).status == 299


@pytest.mark.parametrize("target, host, forwarded", [
    ("http://b.example/path?q", "b.example", "/path?q"),
    ("http://b.example:8080/path", "b.example:8080", "/path"),
    ("http://b.example", "b.example", "/"),
    ("http://b.example?q", "b.example", "/?q"),
    ("HTTP://b.example/", "b.example", "/"),
])
def test_absolute_form(port, origin, target, host, forwarded):
    response = parse_response(exchange(port, get(target, "connection: close")))
    assert response.status == 200
    assert (origin.last.header("host"), origin.last.target) == (host, forwarded)


def test_options_of_the_server(port, origin):
    response = parse_response(exchange(port, get("*", "connection: close", method="OPTIONS")))
    # Envoy has no route for a target that is no path.
    assert response.status in (200, 404)
    assert all(message.target == "*" for message in origin.seen)


def test_field_names_are_forwarded_in_lower_case_with_their_values(port, origin):
    raw = get("/", "connection: close", "X-Mixed-CASE:  Value with  Spaces \t", "x-empty:", "x-list: a", "X-List: b", "x-bytes: \xe4")
    assert parse_response(exchange(port, raw)).status == 200
    head = origin.last.head.lower()
    assert b"\r\nx-mixed-case: value with  spaces\r\n" in head
    assert b"\r\nx-empty:" in head
    assert origin.last.all("x-list") in (["a", "b"], ["a,b"], ["a, b"])
    assert origin.last.header("x-bytes") == "\xe4"


def test_hundred_header_fields_pass(port, origin):
    fields = [f"x-{number}: {number}" for number in range(90)]
    assert parse_response(exchange(port, get("/", "connection: close", *fields))).status == 200
    assert sum(name.startswith("x-") and name[2:].isdigit() for name, _ in origin.last.headers) == 90


def test_large_head_passes(port, origin):
    value = "v" * 50000
    assert parse_response(exchange(port, get("/" + "p" * 5000, "connection: close", f"x-large: {value}"))).status == 200
    assert origin.last.header("x-large") == value and len(origin.last.target) == 5001


@pytest.mark.parametrize("token", ["websocket", "something/1.2"])
def test_upgrade_is_refused_and_said_so(port, origin, token):
    response = parse_response(exchange(port, get("/", "connection: upgrade", f"upgrade: {token}",
                                                 "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==", "sec-websocket-version: 13")))
    assert response.status == 403 and b"upgrade" in response.body
    assert origin.seen == []


def test_upgrade_to_h2c_is_ignored(port, origin):
    response = parse_response(exchange(port, get("/", "connection: Upgrade, HTTP2-Settings, close", "upgrade: h2c",
                                                 "http2-settings: AAMAAABkAAQAAP__")))
    assert response.status == 200
    assert not origin.last.has("upgrade") and not origin.last.has("http2-settings")


def test_connect_is_refused(port, origin):
    response = parse_response(exchange(port, b"CONNECT b.example:443 HTTP/1.1\r\nhost: b.example:443\r\n\r\nhello"))
    assert 400 <= response.status < 500
    assert origin.seen == []


def test_http2_preface_is_refused_where_codec_type_is_http1(proxy, origin):
    origin.forget()
    running = proxy([http_listener(harness.free_port(), [route()], codec_type="HTTP1")], [cluster("origin", origin.port)])
    data = exchange(running.listen_ports["http"], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
    assert data == b"" or parse_response(data).status in (400, 426, 505)
    assert origin.seen == []
