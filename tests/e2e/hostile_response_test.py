"""Upstreams that lie, ramble or break off: the client gets an error or a broken connection, never half an answer that looks whole,
and what such an upstream said never answers anybody else's request."""

import threading

import harness
import peers
import pytest
from differential import GOLDEN, Recorded, short
from harness import cluster, connect, http_listener, parse_response, receive_response, route

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"

# Answers with a head that cannot be believed: 502 and the connection closed.
REFUSED = {
    "length and chunked": OK + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths that differ": OK + b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
    "list of lengths": OK + b"content-length: 5, 6\r\n\r\nhello!",
    "negative length": OK + b"content-length: -1\r\n\r\n",
    "length with letters": OK + b"content-length: 5a\r\n\r\nhello",
    "empty length": OK + b"content-length: \r\n\r\n",
    "length beyond 64 bits": OK + b"content-length: 99999999999999999999\r\n\r\nx",
    "unknown coding": OK + b"transfer-encoding: xchunked\r\n\r\nhello",
    "chunked twice": OK + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked before identity": OK + b"transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "chunked in HTTP/1.0": b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "space before the colon": OK + b"content-length : 5\r\n\r\nhello",
    "space before the name": OK + b" x-a: b\r\ncontent-length: 0\r\n\r\n",
    "folded field": OK + b"x-a: b\r\n c\r\ncontent-length: 0\r\n\r\n",
    "NUL in a value": OK + b"x-a: \x00\r\ncontent-length: 0\r\n\r\n",
    "CR in a value": OK + b"x-a: b\rc\r\ncontent-length: 0\r\n\r\n",
    "empty name": OK + b": b\r\ncontent-length: 0\r\n\r\n",
    "no colon": OK + b"x-a\r\ncontent-length: 0\r\n\r\n",
    "bare LF": b"HTTP/1.1 200 OK\ncontent-length: 0\n\n",
    "garbage": b"\x00\x01\x02\x03 nonsense\r\n\r\n",
    "status of two digits": b"HTTP/1.1 20 OK\r\ncontent-length: 0\r\n\r\n",
    "status of four digits": b"HTTP/1.1 2000 OK\r\ncontent-length: 0\r\n\r\n",
    "status in letters": b"HTTP/1.1 abc OK\r\ncontent-length: 0\r\n\r\n",
    "status 099": b"HTTP/1.1 099 OK\r\ncontent-length: 0\r\n\r\n",
    "status 600": b"HTTP/1.1 600 Odd\r\ncontent-length: 0\r\n\r\n",
    "version 2.0": b"HTTP/2.0 200 OK\r\ncontent-length: 0\r\n\r\n",
    "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n",
    "switch that nobody asked for": b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
    "body in 204": b"HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\nhello",
    "chunked 204": b"HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "interim with a body": b"HTTP/1.1 103 Early Hints\r\ncontent-length: 5\r\n\r\nhello" + OK + b"content-length: 0\r\n\r\n",
    "head of 100 KB": OK + b"x-large: " + b"v" * 100000 + b"\r\ncontent-length: 0\r\n\r\n",
    "200 fields": OK + b"x-many: 1\r\n" * 200 + b"content-length: 0\r\n\r\n",
    "nothing but empty lines": b"\r\n" * 50 + b"no",
}
# Closed without a word: 503.
SILENT = {"nothing": b"", "half a status line": b"HTTP/1.1 2", "half a head": OK + b"content-le", "head without end": OK + b"a: b\r\n",
          "interim only": b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"}
# A good head whose body breaks: the client sees the head and then a cut, or an error, never an end.
BROKEN = {
    "length cut short": OK + b"content-length: 10\r\n\r\nhello",
    "chunks cut inside": CHUNKED + b"a\r\nhello",
    "chunks cut between": CHUNKED + b"5\r\nhello\r\n",
    "chunks cut in a size": CHUNKED + b"5\r\nhello\r\n5",
    "last chunk cut": CHUNKED + b"5\r\nhello\r\n0\r\n",
    "trailers cut": CHUNKED + b"5\r\nhello\r\n0\r\nx-a: b\r\n",
    "bad chunk size": CHUNKED + b"5\r\nhello\r\nxyz\r\n\r\n0\r\n\r\n",
    "chunk size too long": CHUNKED + b"5\r\nhello\r\n11111111111111111\r\n",
    "chunk ended by LF": CHUNKED + b"5\r\nhello\n0\r\n\r\n",
    "chunk too long": CHUNKED + b"5\r\nhello!\r\n0\r\n\r\n",
    "negative chunk": CHUNKED + b"5\r\nhello\r\n-1\r\n\r\n0\r\n\r\n",
    "bad trailer": CHUNKED + b"5\r\nhello\r\n0\r\nx-a b\r\n\r\n",
}
ALL = REFUSED | SILENT | BROKEN


class Liar:
    """serve() of an upstream: /lie/<name> gets that answer and the end of the connection, everything else an honest one."""

    def __init__(self):
        self.connections = 0
        self.after_lie = 0

    def __call__(self, connection):
        self.connections += 1
        stream = connection.makefile("rb")
        while message := harness.read_message(stream):
            target = message[0].split(b" ")[1].decode()
            if target.startswith("/lie/"):
                connection.sendall(ALL[target[5:].replace("%20", " ")])
                return
            connection.sendall(harness.ok(b"honest"))


def configuration(port, upstream_port):
    return ([http_listener(port, [route()], delayed_close_timeout="0.05s")], [cluster("origin", upstream_port)])


@pytest.fixture(scope="module")
def liar():
    server = harness.Upstream(Liar())
    yield server
    server.close()


@pytest.fixture(scope="module")
def gateway(module_proxy, liar):
    return module_proxy(*configuration(harness.free_port(), liar.port))


def get(target, *lines):
    return "\r\n".join([f"GET {target} HTTP/1.1", "host: a.example", *lines]).encode() + b"\r\n\r\n"


def lie(port, name):
    """(response as far as it came or None, whether the connection was closed)"""
    with connect(port) as client:
        client.sendall(get("/lie/" + name.replace(" ", "%20")))
        data = b""
        client.settimeout(4 * harness.SLOWNESS)
        try:
            while piece := client.recv(65536):
                data += piece
                response = parse_response(data) if b"\r\n\r\n" in data else None
                while response and response.status < 200 and b"\r\n\r\n" in response.rest:
                    response = parse_response(response.rest)
                if response and response.status >= 200 and response.complete and "content-length" in response.headers:
                    return response, False
        except (ConnectionResetError, TimeoutError):
            pass
    if b"\r\n\r\n" not in data:
        return None, True
    response = parse_response(data)
    while response.status < 200 and b"\r\n\r\n" in response.rest:
        response = parse_response(response.rest)
    return response, True


def assert_honest(port):
    with connect(port) as client:
        for _ in range(3):
            client.sendall(get("/honest"))
            response = receive_response(client)
            assert (response.status, response.body) == (200, b"honest")


@pytest.mark.parametrize("name", REFUSED)
def test_unbelievable_head(gateway, name):
    port = gateway.listen_ports["http"]
    response, _ = lie(port, name)
    assert response.status == 502 and response.complete, (response.status, response.body)
    assert b"hello" not in response.body
    assert_honest(port)


@pytest.mark.parametrize("name", SILENT)
def test_no_answer(gateway, name):
    port = gateway.listen_ports["http"]
    response, _ = lie(port, name)
    assert response.status in ((502, 503) if name.startswith("h") else (503,)) and response.complete
    assert response.body.startswith(b"upstream connect error or disconnect/reset before headers. reset reason: ")
    assert_honest(port)


@pytest.mark.parametrize("name", BROKEN)
def test_broken_body_never_looks_whole(gateway, name):
    port = gateway.listen_ports["http"]
    response, closed = lie(port, name)
    assert response is None or response.status == 502 or not response.complete, (response.status, response.body, response.headers)
    assert closed or response.status == 502
    assert_honest(port)


def test_answer_that_was_not_asked_for(gateway, liar, upstream, proxy):
    """Bytes behind a complete answer must not become the answer to the next request."""

    def two_answers(connection):
        stream = connection.makefile("rb")
        while harness.read_message(stream):
            connection.sendall(harness.ok(b"first") + harness.ok(b"poison"))

    server = upstream(two_answers)
    running = proxy(*configuration(harness.free_port(), server.port))
    with connect(running.listen_ports["http"]) as client:
        for _ in range(5):
            client.sendall(get("/"))
            assert receive_response(client).body == b"first"
    assert server.accepted >= 5


def test_unasked_bytes_on_an_idle_connection(upstream, proxy):
    """An upstream that speaks first, or says something while its connection rests in the pool."""
    speak = threading.Event()

    def chatty(connection):
        stream = connection.makefile("rb")
        harness.read_message(stream)
        connection.sendall(harness.ok(b"fine"))
        speak.wait(5)
        connection.sendall(harness.ok(b"poison"))
        while harness.read_message(stream):
            connection.sendall(harness.ok(b"fine"))

    server = upstream(chatty)
    running = proxy(*configuration(harness.free_port(), server.port))
    with connect(running.listen_ports["http"]) as client:
        client.sendall(get("/"))
        assert receive_response(client).body == b"fine"
        speak.set()
        harness.wait_until(lambda: running.stat("cluster.origin.upstream_cx_active") == 0, "the chatty connection is dropped")
        client.sendall(get("/"))
        assert receive_response(client).body == b"fine"


def concise(response):
    """What a client makes of it. Bodies of local replies differ by design, and so does how much of a broken body arrives."""
    if response is None:
        return {"status": None}
    whole = response.complete and ("content-length" in response.headers or "transfer-encoding" in response.headers)
    return {"status": response.status, "complete": whole, **({"body": short(response.body)} if response.status == 200 and whole else {})}


@pytest.fixture(scope="module")
def recorded(request):
    return Recorded(GOLDEN, "odd_responses", request.config.getoption("--rewrite-golden"))


@pytest.mark.skipif(not peers.envoy_path(), reason="Envoy is not installed")
def test_envoy_is_as_recorded(envoy, liar, recorded):
    port = harness.free_port()
    running = envoy(*configuration(port, liar.port))

    def told(name):
        response, _ = lie(port, name)
        # A connection that the liar is closing must not get the next case.
        harness.wait_until(lambda: not any(running.stats("upstream_cx_active$").values()), "no connection is left")
        return concise(response)

    recorded.check_envoy({name: told(name) for name in ALL})


def test_compared_with_envoy(gateway, recorded):
    mine = {name: concise(lie(gateway.listen_ports["http"], name)[0]) for name in ALL}
    # Never whole where Envoy found it broken.
    for name, outcome in recorded.envoy.items():
        if not (outcome["status"] == 200 and outcome["complete"]):
            assert not (mine[name]["status"] == 200 and mine[name]["complete"]), name
    recorded.check(mine)
