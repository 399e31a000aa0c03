"""WebSocket over HTTP/1 and HTTP/2 on both sides of the proxy: every pair of them, with real peers (hypercorn; h2 and wsproto as
the client), and how sockets begin, are refused and end, with scripted ones."""

import asyncio
import base64
import contextlib
import os
import random
import select
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import harness
import pytest
from harness import cluster, http_listener, route, wait_until

h2 = pytest.importorskip("h2", reason="a package of tests/e2e/requirements.txt is not installed")
pytest.importorskip("hypercorn", reason="a package of tests/e2e/requirements.txt is not installed")
pytest.importorskip("wsproto", reason="a package of tests/e2e/requirements.txt is not installed")
import h2.settings  # noqa: E402
from h2_peer import H2Client, H2Origin  # noqa: E402
from websockets.utils import accept_key  # noqa: E402
from wsproto.connection import Connection, ConnectionType  # noqa: E402
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage  # noqa: E402

HTTP = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
ALLOW = [{"upgrade_type": "websocket"}]
LOG_FORMAT = "%RESPONSE_CODE% %BYTES_RECEIVED% %BYTES_SENT% %PROTOCOL% %RESPONSE_FLAGS%\n"
AT_ONCE = 0.5 * harness.SLOWNESS
VERSIONS = ["h1", "h2"]
pairs = pytest.mark.parametrize(("down", "up"), [(down, up) for down in VERSIONS for up in VERSIONS])


# --- servers


@pytest.fixture(scope="module")
def hypercorn():
    """The port of one; it takes HTTP/1 and HTTP/2 on it."""
    port = harness.free_port()
    server = subprocess.Popen([sys.executable, "-m", "hypercorn", "--bind", f"127.0.0.1:{port}", "--keep-alive", "1", "websocket_echo_app.py:app"],
                              cwd=Path(__file__).parent, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def listening():
        assert server.poll() is None, "hypercorn ended"
        with contextlib.suppress(OSError):
            return not harness.connect(port).close()
        return False

    wait_until(listening, "hypercorn listens")
    yield port
    server.terminate()
    server.wait()


def read_head(connection):
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = connection.recv(1)
        if not byte:
            break
        head += byte
    return head


def field(head, name):
    """Of a head's bytes; None without it."""
    lines = (line.partition(b":") for line in head.split(b"\r\n")[1:])
    return next((value.strip().decode() for key, _, value in lines if key.lower() == name.encode()), None)


def agree(connection, accept=None, more=b""):
    """A server's side of the handshake; the request's head is returned."""
    head = read_head(connection)
    key = field(head, "sec-websocket-key")
    connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
                       b"sec-websocket-accept: " + (accept or accept_key(key)).encode() + b"\r\n\r\n" + more)
    return head


def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


# --- clients


class Framing:
    """wsproto on either version; a subclass has write(bytes), read() -> bytes, and b"" at the end."""

    def __init__(self):
        self.frames, self.events = Connection(ConnectionType.CLIENT), []

    def send(self, message):
        self.write(self.frames.send(TextMessage(message) if isinstance(message, str) else BytesMessage(message)))

    def next_event(self):
        while not self.events:
            data = self.read()
            assert data, "the connection ended"
            self.frames.receive_data(data)
            self.events = list(self.frames.events())
        return self.events.pop(0)

    def receive(self):
        pieces = []
        while True:
            event = self.next_event()
            assert isinstance(event, (TextMessage, BytesMessage)), event
            pieces.append(event.data)
            if event.message_finished:
                return pieces[0][:0].join(pieces) if isinstance(pieces[0], str) else b"".join(map(bytes, pieces))

    def ping(self):
        self.write(self.frames.send(Ping(b"abc")))
        return self.next_event()

    def say_goodbye(self):
        """The code of the server's answer to the close."""
        self.write(self.frames.send(CloseConnection(1000, "bye")))
        event = self.next_event()
        assert isinstance(event, CloseConnection)
        return event.code

    def close_cleanly(self, up):
        """Nothing follows the server's answer. Over HTTP/2, hypercorn does not end the stream then but closes the connection below it."""
        code = self.say_goodbye()
        with contextlib.suppress(*([ConnectionResetError] if up == "h2" else [])):
            assert self.read() == b""
        return code


class H1Socket(Framing):
    def __init__(self, port, path="/", headers=(), early=b""):
        super().__init__()
        self.connection = harness.connect(port)
        key = base64.b64encode(os.urandom(16)).decode()
        fields = [("host", "test"), ("upgrade", "websocket"), ("connection", "Upgrade"), ("sec-websocket-version", "13"),
                  ("sec-websocket-key", key), *headers]
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
        self.connection.sendall(f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode() + early)
        self.head = read_head(self.connection)
        self.status = int(self.head.split(b" ")[1]) if self.head else None
        if self.status == 101:
            assert field(self.head, "sec-websocket-accept") == accept_key(key)

    def header(self, name):
        return field(self.head, name)

    def write(self, data):
        # An echo comes while this is still going on: the kernel's buffers do not take all of it.
        self.connection.settimeout(0)
        data = memoryview(data)
        while data:
            try:
                data = data[self.connection.send(data):]
            except BlockingIOError:
                select.select([self.connection], [self.connection], [], 20 * harness.SLOWNESS)
                with contextlib.suppress(BlockingIOError):
                    self.frames.receive_data(self.connection.recv(1 << 20))
                    self.events += self.frames.events()
        self.connection.settimeout(20 * harness.SLOWNESS)

    def read(self):
        return self.connection.recv(1 << 20)

    def end(self):
        self.connection.shutdown(socket.SHUT_WR)

    def abort(self):
        reset(self.connection)

    def ended_badly(self):
        with pytest.raises(ConnectionResetError):
            self.read()
        return True

    def close(self):
        self.connection.close()


class H2Socket(Framing):
    """A stream of `client`, or of a connection of its own."""

    def __init__(self, port, path="/", headers=(), early=b"", client=None, protocol="websocket"):
        super().__init__()
        self.own = client is None
        self.client = client or H2Client(port)
        self.client.run_until(lambda: self.client.connection.remote_settings.enable_connect_protocol == 1)
        fields = [(":protocol", protocol), ("sec-websocket-version", "13"), *headers]
        self.stream = self.client.request("CONNECT", path, end=False, headers=fields, body=early)
        self.client.run_until(lambda: self.stream.status or self.stream.reset is not None)
        self.status = self.stream.status

    def header(self, name):
        return self.stream.headers.get(name)

    def write(self, data):
        connection, number = self.client.connection, self.stream.id
        while data:
            room = min(connection.local_flow_control_window(number), connection.max_outbound_frame_size)
            if room == 0:
                self.client.run_until(lambda: connection.local_flow_control_window(number) > 0)
                continue
            connection.send_data(number, data[:room])
            data = data[room:]
            self.client.flush()

    def read(self):
        self.client.run_until(lambda: self.stream.body or self.stream.ended or self.stream.reset is not None)
        data, self.stream.body = self.stream.body, b""
        return data

    def end(self):
        self.client.connection.end_stream(self.stream.id)
        self.client.flush()

    def abort(self):
        self.client.cancel(self.stream)

    def ended_badly(self):
        self.client.run_until(lambda: self.stream.ended or self.stream.reset is not None)
        assert self.stream.reset is not None and not self.stream.body
        return True

    def close(self):
        if self.own:
            self.client.socket.close()


def open_socket(down, port, path="/", **options):
    return (H1Socket if down == "h1" else H2Socket)(port, path, **options)


# --- the proxy


def http2_upstream(**http2):
    return {"typed_extension_protocol_options": {HTTP: {
        "@type": f"type.googleapis.com/{HTTP}", "explicit_http_config": {"http2_protocol_options": {"allow_connect": True, **http2}}}}}


def start(proxy, port, up="h1", routes=None, allow=ALLOW, breakers=None, **manager):
    """Its port is `.http`; `.lines(count)` waits for so many lines of its access log."""
    log = {"name": "log", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog", "path": "websocket.log",
        "log_format": {"text_format_source": {"inline_string": LOG_FORMAT}}}}
    listener = http_listener(harness.free_port(), routes or [route(timeout="0s")], upgrade_configs=allow,
                             http2_protocol_options={"allow_connect": True}, access_log=[log], **manager)
    running = proxy([listener], [cluster("origin", port, **(http2_upstream() if up == "h2" else {}), **(breakers or {}))])
    running.http = running.listen_ports["http"]
    path = running.folder / "websocket.log"

    def lines(count):
        return wait_until(lambda: path.exists() and len(path.read_text().splitlines()) >= count and path.read_text().splitlines(),
                          f"{count} lines of the log")

    running.lines = lines
    return running


def check_over(running, up, total=1):
    """All sockets are gone, and so are their upstream connections of HTTP/1, which nobody can use again."""
    wait_until(lambda: running.stat("http.http.downstream_cx_upgrades_active") == 0, "no upgrade active")
    assert running.stat("http.http.downstream_cx_upgrades_total") == total
    wait_until(lambda: running.stat("cluster.origin.upstream_rq_active") == 0, "no request active")
    if up == "h1":
        wait_until(lambda: running.stat("cluster.origin.upstream_cx_active") == 0, "no connection upstream")
        assert running.stat("cluster.origin.upstream_cx_total") == total


# --- with hypercorn


@pairs
def test_echo_and_clean_close(proxy, hypercorn, down, up):
    running = start(proxy, hypercorn, up)
    ws = open_socket(down, running.http)
    assert ws.status == (101 if down == "h1" else 200)
    if down == "h2":
        assert not {"sec-websocket-accept", "upgrade", "connection", "content-length", "transfer-encoding"} & ws.stream.headers.keys()
    for message in ("hello", "gr\u00fc\u00df \U0001f4a9", b"\xff\x00", "x" * 126, b"y" * 70000):
        ws.send(message)
        assert ws.receive() == message
    assert ws.ping() == Pong(b"abc")
    assert running.stat("http.http.downstream_cx_upgrades_active") == 1
    assert ws.close_cleanly(up) == 1000
    ws.close()
    check_over(running, up)
    code, received, sent, protocol, _ = running.lines(1)[0].split()
    assert code == "101" and protocol == ("HTTP/1.1" if down == "h1" else "HTTP/2")
    assert 70000 < int(received) < 70600 and 70000 < int(sent) < 70600


@pytest.mark.parametrize("up", VERSIONS)
def test_a_close_that_ends_the_stream(proxy, hypercorn, up):
    """As Chromium sends it, in one frame: hypercorn does not answer when an empty frame follows."""
    ws = H2Socket(start(proxy, hypercorn, up).http)
    ws.client.connection.send_data(ws.stream.id, ws.frames.send(CloseConnection(1000, "bye")), end_stream=True)
    ws.client.flush()
    assert ws.next_event().code == 1000
    ws.close()


@pairs
def test_large_messages_both_ways(proxy, hypercorn, down, up):
    running = start(proxy, hypercorn, up)
    ws = open_socket(down, running.http)
    message = random.Random(1).randbytes(1 << 20)
    for _ in range(4):
        ws.send(message)
        assert ws.receive() == message
    assert ws.close_cleanly(up) == 1000
    ws.close()
    check_over(running, up)


@pairs
def test_subprotocol(proxy, hypercorn, down, up):
    ws = open_socket(down, start(proxy, hypercorn, up).http, headers=[("sec-websocket-protocol", "chat, superchat")])
    assert ws.header("sec-websocket-protocol") == "chat"
    assert ws.close_cleanly(up) == 1000
    ws.close()


@pairs
def test_the_server_closes(proxy, hypercorn, down, up):
    running = start(proxy, hypercorn, up)
    ws = open_socket(down, running.http)
    ws.send("close")
    event = ws.next_event()
    assert (event.code, event.reason) == (4321, "as you wish")
    ws.write(ws.frames.send(event.response()))
    with contextlib.suppress(*([ConnectionResetError] if up == "h2" else [])):
        assert ws.read() == b""
    ws.close()
    check_over(running, up)


@pairs
def test_refused_by_the_upstream(proxy, hypercorn, down, up):
    running = start(proxy, hypercorn, up)
    ws = open_socket(down, running.http, "/refused")
    assert ws.status == 403
    if down == "h1":  # what comes behind it could be of the other protocol, and is no request
        assert harness.read_to_end(ws.connection) == b""
    else:
        # hypercorn closes its connection of HTTP/2 behind a refusal, and what was on its way is lost.
        assert ws.client.get("/").body == b"plain" or up == "h2"
    ws.close()
    check_over(running, "h2")


@pytest.mark.parametrize("up", VERSIONS)
def test_many_sockets_on_one_connection(proxy, hypercorn, up):
    running = start(proxy, hypercorn, up)
    with H2Client(running.http) as client:
        sockets = [H2Socket(running.http, client=client) for _ in range(20)]
        for turn in range(5):
            for number, ws in enumerate(sockets):
                ws.send(f"{turn} {number} " + "x" * (number * 500))
            assert client.get("/").body == b"plain"
            for number, ws in enumerate(sockets):
                assert ws.receive() == f"{turn} {number} " + "x" * (number * 500)
        assert running.stat("http.http.downstream_cx_upgrades_active") == 20
        assert running.stat("http.http.downstream_cx_total") == 1
        for ws in sockets[:20 if up == "h1" else 1]:  # over HTTP/2, hypercorn closes the whole connection with the first one
            assert ws.say_goodbye() == 1000
            client.connection.end_stream(ws.stream.id)
        client.flush()
        if up == "h1":
            assert client.get("/").body == b"plain"
            wait_until(lambda: running.stat("http.http.downstream_cx_upgrades_active") == 0, "all gone while the connection stays")
    check_over(running, "h2", total=20)


# --- the handshake


def test_the_key_is_made_for_upstreams_of_http1(proxy, upstream):
    heads = []

    def serve(connection):
        heads.append(agree(connection))
        connection.sendall(connection.recv(100))

    running = start(proxy, upstream(serve).port)
    for _ in range(2):
        ws = H2Socket(running.http)
        assert ws.status == 200 and ws.header("sec-websocket-accept") is None
        ws.write(b"abc")
        assert ws.read() == b"abc" and ws.read() == b""
        ws.close()
    keys = {field(head, "sec-websocket-key") for head in heads}
    assert len(keys) == 2 and all(len(base64.b64decode(key, validate=True)) == 16 for key in keys)
    assert all(head.startswith(b"GET / HTTP/1.1\r\n") and field(head, "upgrade") == "websocket" for head in heads)
    assert all("upgrade" in field(head, "connection").lower() and b":protocol" not in head for head in heads)


def test_a_lying_upstream(proxy, upstream):
    running = start(proxy, upstream(lambda connection: agree(connection, accept=accept_key("AAAA")) and connection.recv(1)).port)
    ws = H2Socket(running.http)
    assert ws.status == 502
    ws.close()
    check_over(running, "h1")


@pytest.mark.parametrize("down", VERSIONS)
def test_switched_to_another_protocol(proxy, upstream, down):
    def serve(connection):
        read_head(connection)
        connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: other\r\nconnection: Upgrade\r\n\r\n")
        connection.recv(1)

    ws = open_socket(down, start(proxy, upstream(serve).port).http)
    assert ws.status == 502
    ws.close()


def test_a_101_that_nobody_asked_for(proxy, upstream):
    def serve(connection):
        read_head(connection)
        connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\r\n")
        connection.recv(1)

    running = start(proxy, upstream(serve).port)
    assert harness.exchange(running.http, b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").startswith(b"HTTP/1.1 502 ")
    with H2Client(running.http) as client:
        assert client.get("/").status == 502


@pairs
def test_bytes_before_the_answer_keep_their_order(proxy, down, up, upstream):
    got = []
    if up == "h1":
        def serve(connection):
            head = read_head(connection)
            time.sleep(0.2)
            connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: "
                               + accept_key(field(head, "sec-websocket-key")).encode() + b"\r\n\r\nfirst")
            data = b""
            while len(data) < 10004:
                data += connection.recv(20000)
            got.append(data)
            connection.sendall(b"second")

        port = upstream(serve).port
        origin = None
    else:
        origin = origin_of_sockets(lambda stream: (time.sleep(0.2), stream.begin(200), stream.send(b"first")))
        port = origin.port
    running = start(proxy, port, up)
    ws = open_socket(down, running.http, early=b"early" * 2000)
    assert ws.status in (101, 200) and ws.read() == b"first"
    ws.write(b"last")
    if origin:
        wait_until(lambda: origin.seen[0].body == b"early" * 2000 + b"last", "all of it in order")
        origin.close()
    else:
        assert ws.read() == b"second" and got == [b"early" * 2000 + b"last"]
    ws.close()


def origin_of_sockets(respond):
    """A server of HTTP/2 that takes extended CONNECT. `seen` has its streams."""
    def take(stream):
        origin.seen.append(stream)
        respond(stream)

    origin = H2Origin(take, at="head", settings={h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL: 1})
    origin.seen = []
    return origin


def test_what_an_upstream_of_http2_is_asked(proxy):
    origin = origin_of_sockets(lambda stream: stream.begin(200))
    running = start(proxy, origin.port, "h2")
    ws = H1Socket(running.http, "/chat?a=b")
    assert ws.status == 101
    seen = origin.seen[0].headers
    assert (seen[":method"], seen[":protocol"], seen[":path"], seen[":authority"]) == ("CONNECT", "websocket", "/chat?a=b", "test")
    assert seen["sec-websocket-version"] == "13"
    assert not {"sec-websocket-key", "upgrade", "connection", "content-length", "transfer-encoding"} & seen.keys()
    ws.close()
    origin.close()


# --- who may


@pytest.mark.parametrize("down", VERSIONS)
def test_not_configured(proxy, hypercorn, down):
    running = start(proxy, hypercorn, allow=[])
    ws = open_socket(down, running.http)
    assert ws.status == 403
    ws.close()
    assert running.stat("cluster.origin.upstream_cx_total") == 0


@pytest.mark.parametrize("down", VERSIONS)
def test_routes_decide_for_themselves(proxy, hypercorn, down):
    routes = [route(prefix="/off", timeout="0s", upgrade_configs=[{"upgrade_type": "websocket", "enabled": False}]), route(timeout="0s")]
    running = start(proxy, hypercorn, routes=routes)
    for path, status in (("/off", 403), ("/", 101 if down == "h1" else 200)):
        ws = open_socket(down, running.http, path)
        assert ws.status == status, path
        ws.close()
    routes = [route(prefix="/on", timeout="0s", upgrade_configs=[{"upgrade_type": "websocket", "enabled": True}]), route(timeout="0s")]
    running = start(proxy, hypercorn, routes=routes, allow=[{"upgrade_type": "websocket", "enabled": False}])
    for path, status in (("/on", 101 if down == "h1" else 200), ("/", 403)):
        ws = open_socket(down, running.http, path)
        assert ws.status == status, path
        ws.close()


@pytest.mark.parametrize("offered", ["websocket", "WebSocket", "other, websocket"])
def test_tokens(proxy, hypercorn, offered):
    running = start(proxy, hypercorn, allow=[{"upgrade_type": "WebSocket"}, {"upgrade_type": "something"}])
    with harness.connect(running.http) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: keep-alive, Upgrade\r\nupgrade: " + offered.encode() +
                           b"\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
        assert read_head(connection).startswith(b"HTTP/1.1 101 ")


def test_other_protocols(proxy, upstream):
    """Something that is no WebSocket has no key, and is passed on all the same."""
    def serve(connection):
        head = read_head(connection)
        assert field(head, "sec-websocket-key") is None and field(head, "upgrade") == "something"
        connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: something\r\nconnection: Upgrade\r\n\r\n")
        connection.sendall(connection.recv(100).upper())

    running = start(proxy, upstream(serve).port, allow=[{"upgrade_type": "something"}])
    with harness.connect(running.http) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: something\r\n\r\n")
        assert read_head(connection).startswith(b"HTTP/1.1 101 ")
        connection.sendall(b"abc")
        assert harness.read_to_end(connection) == b"ABC"
    ws = H2Socket(running.http, protocol="something")
    assert ws.status == 200
    ws.write(b"abc")
    assert ws.read() == b"ABC"
    ws.close()


def test_connect_itself_is_refused(proxy, hypercorn):
    running = start(proxy, hypercorn)
    answer = harness.exchange(running.http, b"CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 4"), answer
    assert running.stat("cluster.origin.upstream_cx_total") == 0


# --- ends


@pytest.mark.parametrize("down", VERSIONS)
def test_an_upstream_of_http1_aborts(proxy, upstream, down):
    def serve(connection):
        agree(connection)
        connection.recv(100)
        reset(connection)

    running = start(proxy, upstream(serve).port)
    ws = open_socket(down, running.http)
    ws.write(b"abc")
    assert ws.ended_badly()
    ws.close()
    check_over(running, "h1")


@pytest.mark.parametrize("down", VERSIONS)
def test_an_upstream_of_http2_aborts(proxy, down):
    origin = origin_of_sockets(lambda stream: stream.begin(200))
    running = start(proxy, origin.port, "h2")
    ws = open_socket(down, running.http)
    origin.seen[0].refuse(h2.errors.ErrorCodes.INTERNAL_ERROR)
    assert ws.ended_badly()
    ws.close()
    check_over(running, "h2")
    origin.close()


@pytest.mark.parametrize("down", VERSIONS)
def test_clients_abort_towards_http1(proxy, upstream, down):
    got, ends = [], []

    def serve(connection):
        agree(connection)
        got.append(connection.recv(100))
        try:
            ends.append(connection.recv(100))
        except ConnectionResetError:
            ends.append("reset")

    running = start(proxy, upstream(serve).port)
    ws = open_socket(down, running.http)
    ws.write(b"abc")
    wait_until(lambda: got, "it arrived")
    ws.abort()
    wait_until(lambda: ends, "the upstream sees the end")
    assert ends == ["reset"]
    ws.close()
    check_over(running, "h1")


@pytest.mark.parametrize("down", VERSIONS)
def test_clients_abort_towards_http2(proxy, down):
    origin = origin_of_sockets(lambda stream: stream.begin(200))
    running = start(proxy, origin.port, "h2")
    ws = open_socket(down, running.http)
    ws.write(b"abc")
    wait_until(lambda: origin.seen[0].body == b"abc", "it arrived")
    ws.abort()
    wait_until(lambda: origin.resets, "a RST_STREAM")
    ws.close()
    check_over(running, "h2")
    origin.close()


@pytest.mark.parametrize("down", VERSIONS)
def test_the_upstreams_end_is_passed_on_at_once(proxy, upstream, down):
    left = []

    def serve(connection):
        agree(connection)
        connection.recv(100)
        connection.sendall(b"bye")
        left.append(time.monotonic())
        connection.shutdown(socket.SHUT_WR)
        connection.recv(100)

    running = start(proxy, upstream(serve).port)
    ws = open_socket(down, running.http)
    ws.write(b"abc")
    data = b""
    while piece := ws.read():
        data += piece
    assert data == b"bye" and time.monotonic() - left[0] < AT_ONCE
    ws.close()
    check_over(running, "h1")


@pytest.mark.parametrize("down", VERSIONS)
def test_the_end_of_a_stream_upstream_is_passed_on_at_once(proxy, down):
    origin = origin_of_sockets(lambda stream: stream.begin(200))
    running = start(proxy, origin.port, "h2")
    ws = open_socket(down, running.http)
    began = time.monotonic()
    origin.seen[0].send(b"bye", end=True)
    data = b""
    while piece := ws.read():
        data += piece
    assert data == b"bye" and time.monotonic() - began < AT_ONCE
    ws.end()
    wait_until(lambda: origin.seen[0].ended, "END_STREAM upstream")
    check_over(running, "h2")
    assert origin.resets == []
    ws.close()
    origin.close()


@pytest.mark.parametrize("down", VERSIONS)
def test_the_clients_end_leaves_the_other_direction_open(proxy, upstream, down):
    def serve(connection):
        agree(connection)
        connection.sendall(b"then " + harness.read_to_end(connection))

    running = start(proxy, upstream(serve).port)
    ws = open_socket(down, running.http)
    ws.write(b"abc")
    ws.end()
    data = b""
    while piece := ws.read():
        data += piece
    assert data == b"then abc"
    ws.close()
    check_over(running, "h1")


def test_a_connection_is_never_used_again(proxy, upstream):
    def serve(connection):
        agree(connection)
        harness.read_to_end(connection)

    server = upstream(serve)
    running = start(proxy, server.port)
    for _ in range(5):
        ws = H1Socket(running.http)
        ws.close()
    wait_until(lambda: server.accepted == 5, "one each")
    check_over(running, "h1", total=5)


@pairs
@pytest.mark.parametrize("by_route", [False, True])
def test_idle_sockets_end(proxy, hypercorn, down, up, by_route):
    options = {"routes": [route(timeout="0s", idle_timeout="0.5s")]} if by_route else {"stream_idle_timeout": "0.5s"}
    running = start(proxy, hypercorn, up, **options)
    ws = open_socket(down, running.http)
    for _ in range(5):  # is kept by what flows
        time.sleep(0.25)
        ws.send("on")
        assert ws.receive() == "on"
    began = time.monotonic()
    with contextlib.suppress(ConnectionResetError):
        while ws.read():
            pass
    assert 0.3 < time.monotonic() - began < 1.5 * harness.SLOWNESS
    ws.close()
    check_over(running, up)


# --- many that say nothing


class QuietServer:
    """One thread for any number of sockets; what comes goes back as it is."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    async def serve(self, reader, writer):
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: "
                         + accept_key(field(head, "sec-websocket-key")).encode() + b"\r\n\r\n")
            while data := await reader.read(65536):
                writer.write(data)
            writer.close()

    def run(self):
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(asyncio.start_server(self.serve, sock=self.listener))
        self.loop.run_forever()

    def close(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()


def many_idle(proxy, count):
    """Bytes of the proxy's memory for each of so many; meanwhile and afterwards, others flow."""
    server = QuietServer()
    running = start(proxy, server.port, breakers=harness.limits(max_connections=count + 50, max_requests=count + 50))
    others = [H1Socket(running.http) for _ in range(50)]
    before = running.rss_bytes()
    sockets = [H1Socket(running.http) for _ in range(count)]
    each = (running.rss_bytes() - before) / count
    assert running.stat("http.http.downstream_cx_upgrades_active") == count + 50
    for number, ws in enumerate(others * 10):
        ws.write(b"%8d" % number)
        assert ws.read() == b"%8d" % number
    for ws in sockets[::100]:
        ws.write(b"still here")
        assert ws.read() == b"still here"
    for ws in sockets + others:
        ws.close()
    check_over(running, "h1", total=count + 50)
    server.close()
    return each


@pytest.mark.release_only
def test_a_thousand_idle_sockets(proxy):
    each = many_idle(proxy, 1000)
    assert each < 8192, f"{each:.0f} bytes each"
