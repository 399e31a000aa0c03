"""Inspection of WebSockets with real clients and servers: what passes, what is counted, what is ended and with which code."""

import base64
import json
import os
import socket
import struct
import threading
import time

import harness
import pytest
from harness import cluster, http_listener, route, wait_until

websockets = pytest.importorskip("websockets", reason="a package of tests/e2e/requirements.txt is not installed")
from websockets.sync.client import connect as websocket_connect  # noqa: E402
from websockets.sync.server import serve  # noqa: E402

INSPECTION = "type.googleapis.com/ringside.websocket.v1.WebSocketInspection"
SWITCH = "type.googleapis.com/envoy.config.route.v3.FilterConfig"
ROUTER = {"name": "envoy.filters.http.router", "typed_config": {
    "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
LOG_FORMAT = ("%WEBSOCKET_CLOSE_CODE% %WEBSOCKET_CLOSED_BY% %WEBSOCKET_MESSAGES_RECEIVED% %WEBSOCKET_BYTES_RECEIVED% "
              "%WEBSOCKET_MESSAGES_SENT% %WEBSOCKET_BYTES_SENT% %CONNECTION_TERMINATION_DETAILS%\n")


# --- ends of connections


class EchoServer:
    """websockets' own server. `seen` holds what it got, `closed` how its connections ended: (code, reason) of the client's Close."""

    def __init__(self, **options):
        self.seen, self.closed = [], []
        self.server = serve(self.handle, "127.0.0.1", 0, max_size=None, ping_interval=None, **options)
        self.port = self.server.socket.getsockname()[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def handle(self, connection):
        try:
            for message in connection:
                self.seen.append(message)
                if message == "ping me":
                    connection.ping("from the server").wait(10)
                connection.send(message)
        except websockets.exceptions.ConnectionClosed:
            pass
        finally:
            received = connection.protocol.close_rcvd
            self.closed.append((received.code, received.reason) if received else (1006, ""))

    def close(self):
        self.server.shutdown()


@pytest.fixture
def echo():
    server = EchoServer()
    yield server
    server.close()


def frame(opcode, payload=b"", final=True, rsv=0, masked=True):
    """One frame as bytes; what is wrong with it is up to the caller."""
    head = bytes([final << 7 | rsv << 4 | opcode])
    flag = masked << 7
    if len(payload) < 126:
        head += bytes([flag | len(payload)])
    elif len(payload) < 65536:
        head += bytes([flag | 126]) + struct.pack(">H", len(payload))
    else:
        head += bytes([flag | 127]) + struct.pack(">Q", len(payload))
    if not masked:
        return head + payload
    key = os.urandom(4)
    return head + key + bytes(byte ^ key[at % 4] for at, byte in enumerate(payload))


class RawSocket:
    """A client that sends any bytes. Reads frames of a server: (opcode, final, payload)."""

    def __init__(self, port, path="/", **headers):
        self.connection = harness.connect(port)
        fields = {"host": "test", "upgrade": "websocket", "connection": "Upgrade", "sec-websocket-version": "13",
                  "sec-websocket-key": base64.b64encode(os.urandom(16)).decode(), **headers}
        lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
        self.connection.sendall(f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            byte = self.connection.recv(1)
            assert byte, f"the connection ended in the head: {head!r}"
            head += byte
        self.status = int(head.split(b" ")[1])
        self.stream = self.connection.makefile("rb")

    def send(self, *frames):
        self.connection.sendall(b"".join(frames))

    def read(self):
        """None at the end."""
        head = self.stream.read(2)
        if len(head) < 2:
            return None
        length = head[1] & 127
        assert head[1] < 128, "a server masks nothing"
        if length >= 126:
            length = int.from_bytes(self.stream.read(2 if length == 126 else 8), "big")
        return head[0] & 15, head[0] >> 7, self.stream.read(length)

    def read_close(self):
        """(code, reason) of the next frame, which is a Close, and then the connection ends."""
        opcode, _, payload = self.read()
        assert opcode == CLOSE, (opcode, payload)
        assert self.read() is None
        return int.from_bytes(payload[:2], "big"), payload[2:].decode()

    def close(self):
        self.connection.close()


# --- the proxy


def inspection(**fields):
    return {"name": "ringside.websocket", "typed_config": {"@type": INSPECTION, **fields}}


def start(proxy, port, routes=None, table=None, filters=None, **fields):
    """A proxy that inspects, with these settings. Its port is `.http`, its access log `.lines()`."""
    listen = harness.free_port()
    listener = http_listener(listen, routes or [route(timeout="0s")], http_filters=filters or [inspection(**fields), ROUTER],
                             upgrade_configs=[{"upgrade_type": "websocket"}],
                             access_log=[{"name": "log", "typed_config": {
                                 "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog", "path": "websocket.log",
                                 "log_format": {"text_format_source": {"inline_string": LOG_FORMAT}}}}])
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    manager["route_config"].update(table or {})
    running = proxy([listener], [cluster("origin", port)])
    running.http = listen
    log = running.folder / "websocket.log"
    running.lines = lambda count: wait_until(
        lambda: log.exists() and len(log.read_text().splitlines()) >= count and log.read_text().splitlines(), f"{count} lines of the log")
    return running


def url(running, path="/"):
    return f"ws://127.0.0.1:{running.http}{path}"


def client(running, path="/", **options):
    return websocket_connect(url(running, path), max_size=None, ping_interval=None, **options)


def counted(running, name="all"):
    """What is not zero, without the prefix."""
    prefix = f"http.http.websocket.{name}."
    return {key.removeprefix(prefix): value for key, value in running.stats(rf"^http\.http\.websocket\.{name}\.").items() if value}


def wait_for(running, name="all", **wanted):
    """The counters have these values, and none more is not zero."""
    wait_until(lambda: counted(running, name) == wanted, f"{wanted}, not {counted(running, name)}", 10)


# --- what passes and is counted


def test_counts_are_those_of_the_ends(proxy, echo):
    running = start(proxy, echo.port)
    messages = ["hello", "gr\u00fc\u00df dich \U0001f4a9", b"\xff\x00" * 40000, "", "x" * 126]
    with client(running, compression=None) as connection:
        for message in messages:
            connection.send(message)
            assert connection.recv() == message
        connection.send(iter(["in ", "three ", "pieces"]))
        assert connection.recv() == "in three pieces"
        assert connection.ping(b"abc").wait(10)
        wait_until(lambda: counted(running).get("cx_active") == 1, "one WebSocket")
    assert echo.seen == [*messages, "in three pieces"]
    texts = [each for each in echo.seen if isinstance(each, str)]
    text_bytes = sum(len(each.encode()) for each in texts)
    side = {"text_messages": len(texts), "text_bytes": text_bytes, "binary_messages": 1, "binary_bytes": 80000, "closes": 1, "close_bytes": 2}
    pieces = {"downstream_continuation_frames": counted(running)["downstream_continuation_frames"]}
    assert pieces["downstream_continuation_frames"] in (2, 3)  # the last one may be empty
    wait_for(running, cx_total=1, closed_by_downstream=1, close_1000=1, downstream_pings=1, downstream_ping_bytes=3, upstream_pongs=1,
             upstream_pong_bytes=3, **pieces, **{f"{who}_{key}": value for who in ("downstream", "upstream") for key, value in side.items()})
    count, size = len(echo.seen), text_bytes + 80000
    assert running.lines(1) == [f"1000 downstream {count} {size} {count} {size} -"]
    # The round trip of the Ping is a histogram; it shows after a flush.
    wait_until(lambda: "upstream_ping_rtt_us: P0(nan,1.0" not in running.admin("/stats")[1] and
               "websocket.all.upstream_ping_rtt_us: P0(" in running.admin("/stats")[1], "a round trip", 15)


def test_round_trips_of_the_servers_pings(proxy, echo):
    running = start(proxy, echo.port)
    with client(running) as connection:
        connection.send("ping me")
        assert connection.recv() == "ping me"
    wait_until(lambda: "websocket.all.downstream_ping_rtt_us: P0(" in running.admin("/stats")[1], "a round trip", 15)


def test_compressed_messages_pass(proxy, echo):
    running = start(proxy, echo.port, max_message_bytes=2000)
    with client(running) as connection:
        assert any("deflate" in extension.name for extension in connection.protocol.extensions)
        for message in ("y" * 100000, "gr\u00fc\u00df " * 50, b"\xff" * 5000):
            connection.send(message)
            assert connection.recv() == message
    seen = counted(running)
    assert seen["downstream_text_messages"] == 2 and seen["downstream_binary_messages"] == 1
    assert seen["downstream_text_bytes"] < 2000  # as on the wire


def test_text_is_checked_over_fragments(proxy, echo):
    running = start(proxy, echo.port)
    good = RawSocket(running.http)
    text = "\u20ac\U0001f4a9".encode()
    good.send(frame(TEXT, text[:1], final=False), frame(PING), *(frame(0, text[at:at + 1], final=at == 6) for at in range(1, 7)))
    assert good.read() == (PONG, 1, b"")
    assert good.read() == (TEXT, 1, text)
    good.close()
    bad = RawSocket(running.http)
    bad.send(frame(TEXT, text[:1], final=False), frame(0, b"a"))
    assert bad.read_close() == (1007, "text is not UTF-8")
    wait_until(lambda: counted(running).get("downstream_invalid_utf8") == 1, "one count")
    wait_until(lambda: (1007, "text is not UTF-8") in echo.closed, "the upstream hears of it")
    assert running.lines(2)[1] == "1007 proxy 0 1 0 0 text_is_not_UTF-8"


def test_text_may_be_anything_where_nobody_asks(proxy, echo):
    running = start(proxy, echo.port, validate_utf8=False)
    raw = RawSocket(running.http)
    raw.send(frame(TEXT, b"\xff"))
    assert raw.read_close()[0] == 1007  # the server's own
    raw.close()
    wait_for(running, cx_total=1, downstream_text_messages=1, downstream_text_bytes=1, upstream_closes=1,
             upstream_close_bytes=counted(running)["upstream_close_bytes"], closed_by_upstream=1, close_1007=1)


# --- protocol errors

BROKEN = {
    "not masked": frame(TEXT, b"a", masked=False),
    "reserved bit": frame(TEXT, b"a", rsv=4),
    "unknown opcode": frame(3, b"a"),
    "long ping": frame(PING, b"a" * 126),
    "fragmented ping": frame(PING, final=False),
    "nothing to continue": frame(0, b"a"),
    "message in a message": frame(TEXT, b"a", final=False) + frame(TEXT, b"b"),
    "length not minimal": b"\x81\xfe\x00\x05" + os.urandom(9),
    "close with half a code": frame(CLOSE, b"\x03"),
    "close with a code that may not be sent": frame(CLOSE, struct.pack(">H", 1005)),
}


@pytest.mark.parametrize("name", BROKEN)
def test_protocol_errors_of_clients(proxy, echo, name):
    running = start(proxy, echo.port)
    raw = RawSocket(running.http)
    raw.send(frame(TEXT, b"good"))
    assert raw.read() == (TEXT, 1, b"good")
    raw.send(BROKEN[name])
    code, reason = raw.read_close()
    assert code == 1002
    raw.close()
    wait_until(lambda: (1002, reason) in echo.closed, f"the upstream gets the same: {echo.closed}")
    seen = counted(running)
    assert seen["downstream_protocol_error"] == 1 and seen["closed_by_proxy"] == 1 and seen["close_1002"] == 1
    assert running.lines(1)[0].startswith("1002 proxy 1 4 1 4")


def accept_of(request):
    from websockets.utils import accept_key

    key = next(line.split(b":", 1)[1].strip() for line in request.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key"))
    return accept_key(key.decode())


def rude_server(*frames):
    """A server that agrees, sends these bytes, and keeps what it gets then."""
    got = []

    def serve_one(connection):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += connection.recv(1)
        connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
                           b"sec-websocket-accept: " + accept_of(head).encode() + b"\r\n\r\n" + b"".join(frames))
        got.append(harness.read_to_end(connection))

    upstream = harness.Upstream(serve_one)
    upstream.got = got
    return upstream


def test_protocol_errors_of_servers(proxy):
    upstream = rude_server(frame(TEXT, b"good", masked=False), frame(TEXT, b"masked"))
    running = start(proxy, upstream.port)
    with client(running) as connection:
        assert connection.recv() == "good"
        with pytest.raises(websockets.exceptions.ConnectionClosed) as closed:
            connection.recv()
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1002, "frame masked")
    wait_until(lambda: upstream.got, "the upstream is ended")
    # Its Close frame is masked, as of a client.
    bytes_got = upstream.got[0]
    key = bytes_got[2:6]
    payload = bytes(byte ^ key[at % 4] for at, byte in enumerate(bytes_got[6:]))
    assert bytes_got[:2] == bytes([0x88, 0x80 | len(payload)]) and payload == struct.pack(">H", 1002) + b"frame masked"
    assert counted(running)["upstream_protocol_error"] == 1
    upstream.close()


def test_no_close_frame_inside_of_a_frame(proxy, echo):
    """The upstream has half a frame when the other half is wrong: it gets an end, and no Close as payload."""
    running = start(proxy, echo.port)
    raw = RawSocket(running.http)
    whole = frame(TEXT, b"a" * 20 + b"\xff" * 20)
    raw.send(whole[:26])
    wait_until(lambda: running.stat("cluster.origin.upstream_cx_tx_bytes_total") > 26, "it was forwarded")
    time.sleep(0.2)
    raw.send(whole[26:])
    assert raw.read_close() == (1007, "text is not UTF-8")
    raw.close()
    wait_until(lambda: echo.closed == [(1006, "")], f"no Close frame: {echo.closed}")


def test_errors_may_be_counted_only(proxy, echo):
    running = start(proxy, echo.port, on_protocol_error="COUNT")
    raw = RawSocket(running.http)
    raw.send(frame(TEXT, b"good"), frame(3, b"bad"))
    assert raw.read() == (TEXT, 1, b"good")
    code, reason = raw.read_close()
    assert code == 1002 and reason != "unknown opcode"  # the server's own words
    raw.close()
    seen = counted(running)
    assert seen["downstream_protocol_error"] == 1 and seen["closed_by_upstream"] == 1
    assert "closed_by_proxy" not in seen


# --- limits


def test_message_size(proxy, echo):
    running = start(proxy, echo.port, max_message_bytes=1000)
    with client(running, compression=None) as connection:
        connection.send("a" * 1000)
        assert connection.recv() == "a" * 1000
        with pytest.raises(websockets.exceptions.ConnectionClosed) as closed:
            connection.send(iter(["a" * 600, "a" * 600]))
            connection.recv()
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1009, "message too big")
    assert echo.seen == ["a" * 1000]
    wait_until(lambda: echo.closed == [(1009, "message too big")], "the upstream gets the same")
    seen = counted(running)
    assert seen["limit_message_bytes"] == 1 and seen["close_1009"] == 1 and seen["closed_by_proxy"] == 1
    assert running.lines(1)[0].startswith("1009 proxy 1 1600 1 1000 message_too_big")


def test_message_size_of_servers(proxy):
    big = start_sender(["a" * 10, "b" * 2000])
    running = start(proxy, big.port, max_message_bytes=1000)
    with client(running, compression=None) as connection:
        assert connection.recv() == "a" * 10
        with pytest.raises(websockets.exceptions.ConnectionClosed) as closed:
            connection.recv()
        assert closed.value.rcvd.code == 1009
    big.server.shutdown()


def start_sender(messages):
    server = EchoServer.__new__(EchoServer)
    server.closed = []

    def handle(connection):
        for message in messages:
            connection.send(message)
        for _ in connection:
            pass

    server.server = serve(handle, "127.0.0.1", 0, compression=None, ping_interval=None)
    server.port = server.server.socket.getsockname()[1]
    threading.Thread(target=server.server.serve_forever, daemon=True).start()
    return server


def test_frame_size(proxy, echo):
    running = start(proxy, echo.port, max_frame_bytes=100)
    with client(running, compression=None) as connection:
        connection.send("a" * 100)
        assert connection.recv() == "a" * 100
        connection.send(iter(["a" * 100] * 5))
        with pytest.raises(websockets.exceptions.ConnectionClosed) as closed:
            connection.recv()  # the server answers in one frame
        assert closed.value.rcvd.code == 1009
    assert echo.seen == ["a" * 100, "a" * 500]
    raw = RawSocket(running.http)
    raw.send(frame(BINARY, b"a" * 101))
    assert raw.read_close() == (1009, "frame too big")
    raw.close()
    assert counted(running)["limit_frame_bytes"] == 2


def test_message_rate(proxy, echo):
    running = start(proxy, echo.port, client_message_rate={"messages_per_second": 5, "burst": 3})
    with client(running) as connection:
        begin = time.monotonic()
        sent = 0
        with pytest.raises(websockets.exceptions.ConnectionClosed) as closed:
            while sent < 100:
                connection.send("x")
                connection.recv()
                sent += 1
        took = time.monotonic() - begin
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "too many messages")
        assert 3 <= sent <= 3 + 5 * took + 1
    seen = counted(running)
    assert seen["limit_message_rate"] == 1 and seen["downstream_text_messages"] == sent == len(echo.seen)


def test_a_rate_that_is_kept(proxy, echo):
    running = start(proxy, echo.port, client_message_rate={"messages_per_second": 20, "burst": 2})
    with client(running) as connection:
        for _ in range(20):
            connection.send("x")
            connection.recv()
            time.sleep(0.06)
    assert "limit_message_rate" not in counted(running)


def test_silence(proxy, echo):
    running = start(proxy, echo.port, idle_timeout="1s")
    with client(running) as connection:
        for _ in range(4):
            time.sleep(0.6)
            connection.send("x")
            assert connection.recv() == "x"
        begin = time.monotonic()
        connection.ping()
        with pytest.raises(websockets.exceptions.ConnectionClosed) as closed:
            connection.recv(timeout=10)
        assert 0.8 < time.monotonic() - begin < 3 * harness.SLOWNESS
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1001, "idle")
    wait_until(lambda: echo.closed == [(1001, "idle")], "the upstream gets the same")
    assert counted(running)["limit_idle"] == 1
    assert running.lines(1) == ["1001 proxy 4 4 4 4 idle"] or running.lines(1)[0].startswith("1001 proxy 4 ")


def test_pings_may_keep_it_alive(proxy, echo):
    running = start(proxy, echo.port, idle_timeout="1s", pings_keep_alive=True)
    with client(running) as connection:
        for _ in range(5):
            time.sleep(0.6)
            assert connection.ping().wait(10)
        connection.send("still here")
        assert connection.recv() == "still here"


# --- ends


def test_close_codes_and_who_closed(proxy, echo):
    running = start(proxy, echo.port)
    for code in (1000, 1001, 1011, 3001, 3999, 4000):
        with client(running) as connection:
            connection.close(code, "bye")
    raw = RawSocket(running.http)
    raw.send(frame(CLOSE))
    assert raw.read() == (CLOSE, 1, b"")
    raw.close()
    gone = RawSocket(running.http)
    gone.connection.shutdown(socket.SHUT_RDWR)
    gone.close()
    wait_until(lambda: counted(running).get("cx_total") == 8 and "cx_active" not in counted(running), "all have ended")
    seen = counted(running)
    assert {key: value for key, value in seen.items() if key.startswith("close_1") or "xxx" in key} == {
        "close_1000": 1, "close_1001": 1, "close_1005": 1, "close_1006": 1, "close_1011": 1, "close_3xxx": 2, "close_4xxx": 1}
    assert seen["closed_by_downstream"] == 8
    codes = sorted(int(line.split(" ")[0]) for line in running.lines(8))
    assert codes == [1000, 1001, 1005, 1006, 1011, 3001, 3999, 4000]


# --- before the upgrade


def refused(running, **options):
    with pytest.raises(websockets.exceptions.InvalidStatus) as answer, client(running, **options):
        pass
    return answer.value.response.status_code


def test_origins(proxy, echo):
    running = start(proxy, echo.port, allowed_origins=[{"exact": "https://app.example.com"}, {"safe_regex": {"regex": "https://[a-z]+\\.org"}}])
    for origin in ("https://app.example.com", "https://abc.org", None):
        with client(running, origin=origin) as connection:
            connection.send("x")
            assert connection.recv() == "x"
    assert refused(running, origin="https://evil.net") == 403
    assert refused(running, origin="https://app.example.com.evil.net") == 403
    seen = counted(running)
    assert seen["rejected_origin"] == 2 and seen["cx_total"] == 3
    assert running.lines(5)[-1] == "- - - - - - -"


def test_required_origin(proxy, echo):
    running = start(proxy, echo.port, allowed_origins=[{"suffix": ".example.com"}], require_origin=True)
    assert refused(running, origin=None) == 403


def test_subprotocols(proxy):
    server = EchoServer(subprotocols=["mqtt", "chat"], select_subprotocol=lambda _, offered: offered[0] if offered else None)
    running = start(proxy, server.port, allowed_subprotocols=["chat", "v12.stomp"])
    with client(running, subprotocols=["mqtt", "chat"]) as connection:
        assert connection.subprotocol == "chat"  # the server never heard of the other
    assert refused(running, subprotocols=["mqtt"]) == 403
    assert refused(running) == 403
    assert counted(running)["rejected_subprotocol"] == 2
    server.close()


def test_malformed_handshake(proxy, echo):
    running = start(proxy, echo.port)
    assert RawSocket(running.http, sec_websocket_extensions="permessage-deflate; =").status == 400
    assert RawSocket(running.http, sec_websocket_protocol="a b").status == 400
    assert counted(running)["rejected_handshake"] == 2


def test_what_is_no_websocket_is_left_alone(proxy, echo):
    running = start(proxy, echo.port, allowed_origins=[{"exact": "https://app.example.com"}])
    response = harness.exchange(running.http, b"GET / HTTP/1.1\r\nhost: a\r\norigin: https://evil.net\r\nconnection: close\r\n\r\n")
    assert b"426 Upgrade Required" in response.split(b"\r\n")[0] or b"400" in response.split(b"\r\n")[0]  # the server's own
    assert counted(running) == {}


# --- settings by place


@pytest.mark.parametrize("disabled", ["table", "filter"])
def test_routes_have_settings_of_their_own(proxy, echo, disabled):
    def settings(**fields):
        return {"typed_per_filter_config": {"ringside.websocket": {"@type": INSPECTION, **fields}}}

    off = {"typed_per_filter_config": {"ringside.websocket": {"@type": SWITCH, "disabled": True}}}
    routes = [route(prefix="/small", timeout="0s", headers={"name": "small", **settings(max_message_bytes=10)}),
              route(prefix="/named", timeout="0s", headers={"name": "named", **settings(stat_prefix="own")}),
              route(timeout="0s")]
    # Disabled by the table, or in http_filters.
    filters = [{**inspection(max_message_bytes=5), "disabled": disabled == "filter"}, ROUTER]
    running = start(proxy, echo.port, routes=routes, table=off if disabled == "table" else {}, filters=filters)
    with client(running, "/small", compression=None) as connection:
        connection.send("x" * 10)
        assert connection.recv() == "x" * 10
        with pytest.raises(websockets.exceptions.ConnectionClosed) as closed:
            connection.send("x" * 11)
            connection.recv()
        assert closed.value.rcvd.code == 1009
    for path in ("/named", "/"):
        with client(running, path, compression=None) as connection:
            connection.send("x" * 1000)
            assert connection.recv() == "x" * 1000
    assert counted(running, "small")["limit_message_bytes"] == 1
    assert counted(running, "own")["downstream_text_bytes"] == 1000
    assert not running.stats(r"^http\.http\.websocket\.(all|named)\.")


# --- and many at once


def test_many_clients(proxy, echo):
    running = start(proxy, echo.port, idle_timeout="60s", max_message_bytes=1 << 20)
    failures, count, messages = [], 20, 50

    def run(number):
        try:
            with client(running, compression="deflate" if number % 2 else None) as connection:
                for at in range(messages):
                    message = f"{number} {at} " + "\u00e4" * (at * number % 500)
                    connection.send(message)
                    assert connection.recv() == message
        except Exception as error:  # noqa: BLE001  (whatever it is, the test fails with it)
            failures.append(repr(error))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures[:3]
    wait_until(lambda: counted(running).get("close_1000") == count, json.dumps(counted(running)))
    seen = counted(running)
    assert seen["downstream_text_messages"] == seen["upstream_text_messages"] == count * messages == len(echo.seen)
    assert seen["cx_total"] == count
