"""Requests that must be refused: a clear status, the connection closed, nothing complete at the upstream, the proxy unharmed."""

import socket
import time

import harness
import odd_messages
import pytest
from harness import cluster, connect, http_listener, ok, parse_response, read_to_end, receive_response, route

REFUSED = odd_messages.AMBIGUOUS | {name: odd_messages.AUTHORITIES[name] for name in (
    "no host", "two hosts", "two equal hosts", "host with userinfo", "host with a path", "host with a query", "host with a space",
    "host list", "port with letters", "port too large", "two ports", "open bracket", "host with a backslash",
    "host with non-ASCII", "absolute target with userinfo", "absolute target with a bad port", "absolute target of another scheme",
    "absolute target without authority", "target without slash", "target with a space", "target with a NUL", "target with a tab",
    "asterisk of a GET", "authority of a GET", "connect to a path")} | {name: odd_messages.START_LINES[name] for name in (
        "version 2.0", "version 1.2", "version 0.9", "lower case version", "no version", "two spaces", "tab as separator",
        "method with a colon", "garbage", "garbage without an end of line", "long method")} | {
            name: odd_messages.CHUNK_SIZES[name] for name in (
                "chunk size with 0x", "negative chunk size", "chunk size with a plus", "empty chunk size", "chunk size of letters",
                "chunk size of 17 digits", "chunk size of 16 f", "space before a chunk size", "underscore in a chunk size",
                "chunk size ended by LF", "chunk size ended by CR", "chunk data ended by LF", "chunk data not ended",
                "chunk data too long", "last chunk ended by LF", "end of trailers by LF", "chunk extension with LF",
                "chunk extension with NUL", "long chunk extension", "trailer with a NUL", "trailer without colon", "folded trailer",
                "length as trailer", "coding as trailer")}
STATUSES = {"version 2.0": (400, 426, 505), "version 1.2": (400, 426, 505), "version 0.9": (400, 426, 505),
            "no version": (400, 426, 505), "unknown coding": (400, 501)}
# A number that could be a size, and no more bytes: the honest answer is to wait for them.
MAY_WAIT = {"chunk size of 16 f"}


@pytest.fixture(scope="module")
def origin(module_origin):
    return module_origin(lambda message: ok(b"answer"), record=True)


@pytest.fixture(scope="module")
def gateway(module_proxy, origin):
    options = {"delayed_close_timeout": "0.2s"}
    listeners = [
        http_listener(harness.free_port(), [route()], **options),
        http_listener(harness.free_port(), [route()], name="tight", max_request_headers_kb=4,
                      common_http_protocol_options={"max_headers_count": 10, "headers_with_underscores_action": "REJECT_REQUEST"},
                      **options)]
    return module_proxy(listeners, [cluster("origin", origin.port)])


@pytest.fixture
def port(gateway, origin):
    """With an idle upstream connection in the pool, so that a head could be forwarded at once."""
    with connect(gateway.listen_ports["http"]) as client:
        client.sendall(odd_messages.get())
        assert receive_response(client).status == 200
    origin.forget()
    return gateway.listen_ports["http"]


def assert_refused(data, name):
    if data == b"" and name in ("garbage without an end of line", "only bare CR"):
        return
    response = parse_response(data)
    assert response.status in STATUSES.get(name, (400, 501)), data[:300]
    assert response.header("connection") == "close" and response.complete and response.rest == b""


def send_and_read(port, pieces):
    with connect(port) as client:
        try:
            for piece in pieces:
                client.sendall(piece)
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused before its end
        return read_to_end(client)


@pytest.mark.parametrize("name", REFUSED)
def test_refused(port, origin, name):
    if name in MAY_WAIT:
        with connect(port) as client:
            client.sendall(REFUSED[name])
            client.settimeout(0.3)
            try:
                client.recv(1)
            except socket.timeout:
                pass
    else:
        assert_refused(send_and_read(port, [REFUSED[name]]), name)
    assert origin.seen == [] and origin.broken == []
    assert b"smuggled" not in bytes(origin.raw)
    # The next one is served as if nothing had been.
    assert parse_response(send_and_read(port, [odd_messages.get(b"connection: close")])).body == b"answer"


def test_refused_in_any_pieces(port, origin):
    """Cut anywhere, the same verdict."""
    for name in ("content-length and chunked", "bare LF after a field", "space before the colon", "chunk size with 0x", "two hosts",
                 "chunk data not ended"):
        request = REFUSED[name]
        assert_refused(send_and_read(port, [bytes([value]) for value in request]), name)
        for at in range(1, len(request), 7):
            assert_refused(send_and_read(port, [request[:at], request[at:]]), name)
    assert origin.seen == [] and origin.broken == []


def test_good_request_before_a_bad_one_is_answered(port, origin):
    data = send_and_read(port, [odd_messages.get() + odd_messages.AMBIGUOUS["content-length and chunked"]])
    first = parse_response(data)
    assert (first.status, first.body) == (200, b"answer")
    assert_refused(first.rest, "second")
    assert len(origin.seen) == 1


def test_nothing_behind_a_bad_request_is_read(port, origin):
    data = send_and_read(port, [odd_messages.AMBIGUOUS["two lengths that differ"] + odd_messages.SMUGGLED])
    assert_refused(data, "first")
    assert origin.seen == []


TOO_MUCH = {
    "fields": (odd_messages.get(b"x-large: " + b"v" * 5000), 431),
    "many small fields": (odd_messages.get(*[b"x-%d: 1" % number for number in range(11)]), 431),
    "one long name": (odd_messages.get(b"x" * 5000 + b": 1"), 431),
    "request line": (odd_messages.get(target=b"/" + b"p" * 5000), 414),
    "underscore": (odd_messages.get(b"x_y: 1"), 400),
}


@pytest.mark.parametrize("what", TOO_MUCH)
def test_limits_of_a_head(gateway, origin, what):
    origin.forget()
    request, status = TOO_MUCH[what]
    response = parse_response(send_and_read(gateway.listen_ports["tight"], [request]))
    assert response.status == status and response.header("connection") == "close"
    assert origin.seen == []


def test_default_limits_of_a_head(port, origin):
    for request in (odd_messages.get(b"x-large: " + b"v" * 61 * 1024), odd_messages.get(*[b"x-%d: 1" % each for each in range(101)])):
        assert parse_response(send_and_read(port, [request])).status == 431
    assert origin.seen == []


def test_endless_head_is_cut(gateway, port):
    """Refused as soon as it is too large, however much follows."""
    with connect(port) as client:
        client.sendall(odd_messages.get()[:-2])
        sent = 0
        try:
            while sent < 4 * 1024 * 1024:
                sent += client.send(b"x-more: and more\r\n" * 100)
        except (BrokenPipeError, ConnectionResetError):
            pass
        data = read_to_end(client)
    assert data == b"" or parse_response(data).status == 431
    assert gateway.rss_bytes() < 400 * 1024 * 1024


def test_endless_chunk_extension_and_trailers_are_cut(port, origin):
    for start in (b"5;", b"5\r\nhello\r\n0\r\n"):
        filler = b"a" * 1000 if start == b"5;" else b"x-trailer: more\r\n" * 60
        data = send_and_read(port, [odd_messages.head(odd_messages.CHUNKED) + start] + [filler] * 100)
        assert data == b"" or parse_response(data).status in (400, 431)
    assert origin.seen == []


def test_answer_survives_unread_input(port):
    """A client that still sends when it is refused must get the answer, not a reset that destroys it."""
    with connect(port) as client:
        client.sendall(odd_messages.AMBIGUOUS["two lengths that differ"])
        time.sleep(0.05)
        try:
            client.sendall(b"x" * 200000)
        except (BrokenPipeError, ConnectionResetError):
            pass
        time.sleep(0.02)
        data = b""
        try:
            data = client.recv(65536)
        except ConnectionResetError:
            pass
    assert data.startswith(b"HTTP/1.1 400")


def test_counted_as_protocol_errors(gateway, port):
    before = gateway.stat("http.http.downstream_cx_protocol_error")
    for name in ("content-length and chunked", "NUL in a value", "garbage"):
        send_and_read(port, [REFUSED[name]])
    assert gateway.stat("http.http.downstream_cx_protocol_error") == before + 3
