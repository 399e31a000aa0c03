"""One event at a time through Envoy and through Ringside: which counters move, and what the access log says of it."""

import contextlib
import re
import socket
import struct
import time

import harness
import peers
import pytest
from differential import GOLDEN, Recorded
from harness import cluster, connect, exchange, http_listener, limits, ok, read_message, receive_response, read_to_end, route

CLOSE = "connection: close"
FORMAT = ("%REQ(:METHOD)%~%REQ(:PATH)%~%REQ(X-ENVOY-ORIGINAL-PATH)%~%REQ(:SCHEME)%~%PROTOCOL%~%RESPONSE_CODE%~%RESPONSE_FLAGS%~"
          "%RESPONSE_CODE_DETAILS%~%BYTES_RECEIVED%~%BYTES_SENT%~%REQ(:AUTHORITY)%~%UPSTREAM_HOST%~%UPSTREAM_CLUSTER%~%ROUTE_NAME%~"
          "%CONNECTION_ID%~%LISTENER_NAME%~%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%~%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%~"
          "%DOWNSTREAM_LOCAL_ADDRESS%~%REQ(X-FORWARDED-FOR)%~%REQ(X-FORWARDED-PROTO)%~%REQ(X-REQUEST-ID)%~%REQ(X-ADDED)%~"
          "%REQ(X-REMOVED)%~%REQ(X-ENVOY-EXPECTED-RQ-TIMEOUT-MS)%~%REQ(TE)%~%RESP(SERVER)%~%RESP(DATE):3%~%RESP(X-OUT)%~"
          "%RESP(CONTENT-LENGTH)%~%RESP(CONTENT-TYPE)%~%REQUEST_DURATION%~%RESPONSE_DURATION%~"
          "%UPSTREAM_TRANSPORT_FAILURE_REASON%~%CONNECTION_TERMINATION_DETAILS%")
NAMES = [re.sub(r"[%()]", "", name.replace("REQ(", "req.").replace("RESP(", "resp.")).lower() for name in FORMAT.split("~")]
# Their moment is what matters, and it is measured elsewhere; or they count what is under way.
UNCOMPARED = re.compile(r"_active$|buffered$|bytes_total$|worker|circuit_breakers|flow_control|membership|version|max_host_weight|update_|\.admin\.")


def get(target="/", *lines, method="GET", host="a.example"):
    return "\r\n".join([f"{method} {target} HTTP/1.1", *([f"host: {host}"] if host else []), *lines]).encode() + b"\r\n\r\n"


def send(request):
    return lambda port: exchange(port, request)


def reset(client):
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def client_resets(target):
    def act(port):
        client = connect(port)
        client.sendall(get(target))
        time.sleep(0.15)
        reset(client)
    return act


def client_ends(target):
    def act(port):
        with connect(port) as client:
            client.sendall(get(target))
            time.sleep(0.15)
    return act


def half_a_request(request, how):
    def act(port):
        client = connect(port)
        client.sendall(request)
        time.sleep(0.15)
        reset(client) if how == "reset" else client.close()
    return act


def stays(request, seconds=0.2):
    """A client that does not close for its part."""
    def act(port):
        client = connect(port)
        try:
            client.sendall(request)
            client.settimeout(seconds)
            with contextlib.suppress(OSError):
                while client.recv(65536):
                    pass
            time.sleep(seconds)
        finally:
            client.close()
    return act


def reads_some_and_resets(port):
    client = connect(port)
    client.sendall(get("/endless"))
    client.recv(1000)
    time.sleep(0.05)
    reset(client)


def overflow(port):
    with connect(port) as first:
        first.sendall(get("/narrow"))
        time.sleep(0.1)
        exchange(port, get("/narrow?second", CLOSE))
        receive_response(first)


def pending_overflow(port):
    with connect(port) as first, connect(port) as second:
        first.sendall(get("/slow-one"))
        time.sleep(0.1)
        second.sendall(get("/slow-one?second"))
        time.sleep(0.1)
        exchange(port, get("/slow-one?third", CLOSE))
        receive_response(first)
        receive_response(second)


def keep_alive(port):
    with connect(port) as client:
        for _ in range(3):
            client.sendall(get())
            receive_response(client)


def upload_cut(port):
    with connect(port) as client:
        client.sendall(get("/", "content-length: 100", method="POST") + b"some")
        time.sleep(0.1)
        reset(client)


def early_answer(port):
    with connect(port) as client:
        client.sendall(get("/direct", "content-length: 100", method="POST") + b"some")
        with contextlib.suppress(OSError):
            read_to_end(client)


def early_upstream_answer(port):
    with connect(port) as client:
        client.sendall(get("/early", "content-length: 100", method="POST") + b"some")
        with contextlib.suppress(OSError):
            read_to_end(client)


def head_timeout(port):
    with connect(port) as client:
        client.sendall(b"GET / HTTP/1.1\r\nhost: a")
        read_to_end(client)


EVENTS = {
    "one request": send(get("/", CLOSE)),
    "three on a connection": keep_alive,
    "with edits": send(get("/edited", CLOSE, "x-removed: 1", "x-forwarded-for: 8.8.8.8", "te: trailers")),
    "rewritten": send(get("/rewritten/on?q=1", CLOSE)),
    "host rewritten": send(get("/named", CLOSE)),
    "edits without upstream": send(get("/dead-edited", CLOSE, "x-removed: 1")),
    "edits of a direct response": send(get("/direct", CLOSE, "x-removed: 1")),
    "no route": send(get("/nowhere", CLOSE)),
    "refused upstream": send(get("/dead", CLOSE)),
    "no endpoint": send(get("/empty", CLOSE)),
    "no endpoint, with edits": send(get("/empty-edited", CLOSE, "x-removed: 1")),
    "no route, HEAD": send(get("/nowhere", CLOSE, method="HEAD")),
    "request overflow": overflow,
    "pending overflow": pending_overflow,
    "upstream dies": send(get("/die", CLOSE)),
    "upstream resets": send(get("/reset", CLOSE)),
    "upstream dies in the middle": send(get("/half", CLOSE)),
    "upstream dies in a chunk": send(get("/half-chunk", CLOSE)),
    "upstream resets in the middle": send(get("/half-reset", CLOSE)),
    "upstream speaks nonsense": send(get("/nonsense", CLOSE)),
    "upstream is silent": send(get("/silent", CLOSE)),
    "upstream stalls in the middle": send(get("/stall", CLOSE)),
    "upstream says close": send(get("/close", CLOSE)),
    "client resets while waiting": client_resets("/hold"),
    "client ends while waiting": client_ends("/hold"),
    "client resets while it receives": reads_some_and_resets,
    "client resets its upload": upload_cut,
    "client ends its upload": half_a_request(get("/", "content-length: 100", method="POST") + b"some", "end"),
    "client stalls its upload": send(get("/impatient", "content-length: 100", method="POST") + b"some"),
    "upstream is silent, idle timeout": send(get("/patient", CLOSE)),
    "trailers that are too large": send(get("/", "transfer-encoding: chunked", method="POST") + b"0\r\nx: " + 70000 * b"x"),
    "client resets in a head": half_a_request(b"GET / HTT", "reset"),
    "client ends in a head": half_a_request(b"GET / HTT", "end"),
    "client connects and goes": half_a_request(b"", "end"),
    "answered before the body came": early_answer,
    "upstream answers before the body came": early_upstream_answer,
    "head timeout": head_timeout,
    "head timeout, client stays": stays(b"GET / HTTP/1.1\r\nhost: a", 0.5),
    "garbage": send(b"nonsense\r\n\r\n"),
    "garbage, client stays": stays(b"nonsense\r\n\r\n"),
    "bad length": send(get("/", "content-length: x")),
    "no host": send(get("/", host=None)),
    "no host, client stays": stays(get("/", host=None)),
    "bad host": send(get("/", host="a b")),
    "HTTP/1.0": send(b"GET / HTTP/1.0\r\nhost: a\r\n\r\n"),
    "HTTP/1.0, client stays": stays(b"GET / HTTP/1.0\r\nhost: a\r\n\r\n"),
    "too large": send(get("/", "x-large: " + 70000 * "x")),
    "too many fields": send(get("/", *(f"x-{number}: 1" for number in range(110)))),
    "long target": send(get("/" + 70000 * "x")),
    "underscore": send(get("/", "x_under: 1")),
    "fragment": send(get("/a#b")),
    "dots out of the root": send(get("/../../a", CLOSE)),
    "escaped slash": send(get("/a%2fb", CLOSE)),
    "escaped NUL": send(get("/a%00b", CLOSE)),
    "CONNECT": send(b"CONNECT a:80 HTTP/1.1\r\nhost: a:80\r\n\r\n"),
    "CONNECT, client stays": stays(b"CONNECT a:80 HTTP/1.1\r\nhost: a:80\r\n\r\n"),
    "upgrade": send(get("/", "connection: upgrade", "upgrade: websocket")),
    "bad chunk": send(get("/", "transfer-encoding: chunked", method="POST") + b"x\r\n"),
    "bad chunk, client stays": stays(get("/", "transfer-encoding: chunked", method="POST") + b"x\r\n"),
    "bad chunk after the first": send(get("/", "transfer-encoding: chunked", method="POST") + b"3\r\nabc\r\nx\r\n"),
    "both lengths": send(get("/", "transfer-encoding: chunked", "content-length: 3", method="POST")),
    "unknown coding": send(get("/", "transfer-encoding: gzip", method="POST")),
    "close, client stays": stays(get("/", CLOSE)),
    "not found, client stays": stays(get("/nowhere", CLOSE)),
    "upstream dies in the middle, client stays": stays(get("/half")),
    "two field lines of forwarded for": send(get("/", CLOSE, "x-forwarded-for: 1.1.1.1, 2.2.2.2", "x-forwarded-for: 10.1.1.1")),
    "te with other codings": send(get("/", CLOSE, "te: gzip, trailers;q=0.5")),
}
LINES = {"request overflow": 2, "pending overflow": 3, "three on a connection": 3, "client connects and goes": 0}


def serve(connection):
    stream = connection.makefile("rb")
    while message := read_message(stream):
        target = message[0].split(b" ")[1][1:].decode()
        if target == "die":
            return
        if target == "reset":
            return reset(connection)
        if target == "hold":
            connection.recv(1)
            return
        if target == "silent":
            with contextlib.suppress(OSError):
                connection.recv(1)
            return
        if target == "half":
            return connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
        if target == "half-chunk":
            return connection.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n10\r\nhalf")
        if target == "half-reset":
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
            time.sleep(0.1)
            return reset(connection)
        if target == "stall":
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
            with contextlib.suppress(OSError):
                connection.recv(1)
            return
        if target == "endless":
            with contextlib.suppress(OSError):
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n" + bytes(100000000))
            return
        if target == "nonsense":
            return connection.sendall(b"nonsense\r\n\r\n")
        if target in ("narrow", "slow-one"):
            time.sleep(0.4)
        if target == "close":
            return connection.sendall(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nuntil the end")
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")


def serve_early(connection):
    connection.recv(1000)
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
    with contextlib.suppress(OSError):
        connection.recv(1000)


def added(key, value):
    return {"header": {"key": key, "value": value}}


EDITS = {"request_headers_to_add": [added("x-added", "1")], "request_headers_to_remove": ["x-removed"],
         "response_headers_to_add": [added("x-out", "1")]}


def configuration(log, ports, upstream_port, early_port):
    kind = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"
    access_log = {"name": "envoy.access_loggers.file", "typed_config": {
        "@type": kind, "path": str(log), "log_format": {"text_format_source": {"inline_string": FORMAT + "\n"}}}}
    routes = [
        {"match": {"prefix": "/direct"}, "direct_response": {"status": 418, "body": {"inline_string": "tea"}}, **EDITS},
        {**route("dead", "/dead-edited"), **EDITS, "name": "dead route"},
        route("dead", "/dead"), {"match": {"path": "/empty"}, "route": {"cluster": "empty"}}, route("narrow", "/narrow"), route("slow", "/slow-one"),
        {**route("origin", "/edited"), **EDITS, "name": "edited route"},
        {**route("empty", "/empty-edited"), **EDITS}, route("origin", "/impatient", timeout="0s", idle_timeout="0.2s"),
        route("origin", "/patient", prefix_rewrite="/silent", timeout="0s", idle_timeout="0.2s"),
        route("origin", "/rewritten", prefix_rewrite="/to"), route("origin", "/named", host_rewrite_literal="new.example"),
        route("origin", "/silent", timeout="0.2s"), route("origin", "/stall", timeout="0.2s"), route("early", "/early"),
        *({"match": {"path": f"/{path}"}, "route": {"cluster": "origin"}} for path in
          ("", "die", "reset", "half", "half-chunk", "half-reset", "nonsense", "close", "hold", "endless", "a"))]
    listener = http_listener(ports["http"], routes, access_log=[access_log], delayed_close_timeout="0.1s", normalize_path=True,
                             path_with_escaped_slashes_action="REJECT_REQUEST", request_headers_timeout="0.3s",
                             common_http_protocol_options={"headers_with_underscores_action": "REJECT_REQUEST"})
    warm = http_listener(ports["warm"], [route()], name="warm")
    return [listener, warm], [cluster("origin", upstream_port), cluster("dead", ports["dead"]), cluster("empty"),
                              cluster("early", early_port), cluster("narrow", upstream_port, **limits(max_requests=1)),
                              cluster("slow", upstream_port, **limits(max_connections=1, max_pending_requests=1, max_requests=100))]


def moved(before, after, ports):
    """{name: by how much} of what the event moved."""
    changes = {name: value - before.get(name, 0) for name, value in after.items() if value != before.get(name, 0)}
    named = {name.replace(str(ports["http"]), "<port>"): value for name, value in changes.items()}
    # What Envoy still had to close of an earlier event's other listener is not this event's.
    named = {name: value for name, value in named.items() if not re.match(r"listener\.127\.0\.0\.1_\d+\.", name)}
    return {name: value for name, value in named.items() if name.startswith(("http.http.", "cluster.", "listener.")) and not UNCOMPARED.search(name)}


def masked(line, ports, upstream_port, early_port):
    values = dict(zip(NAMES, line.split("~")))
    for name, value in values.items():
        value = re.sub(r"\A[0-9a-f]{8}-[0-9a-f-]{27}\Z", "<id>", value)
        value = value.replace(f":{upstream_port}", ":<upstream>").replace(f":{early_port}", ":<early>").replace(f":{ports['dead']}", ":<dead>").replace(f":{ports['http']}", ":<port>")
        if name in ("connection_id", "request_duration", "response_duration"):
            value = re.sub(r"\A\d+\Z", "<number>", value)
        if name == "resp.date:3":
            value = re.sub(r"\A[A-Z][a-z]{2}\Z", "<day>", value)
        if name == "bytes_sent" and len(value) > 5:  # as many as the client let come
            value = "<many>"
        values[name] = value if len(value) < 100 else f"{value[:10]}... {len(value)} bytes"
    return {name: value for name, value in values.items() if value != "-"} if len(values) == len(NAMES) else {"line": line}


def run(start, folder, upstream):
    log = folder / "access.log"
    server, early = upstream(serve), upstream(serve_early)
    ports = {name: harness.free_port() for name in ("http", "warm", "dead")}
    running = start(*configuration(log, ports, server.port, early.port))
    seen, read = {}, 0
    for name, act in EVENTS.items():
        exchange(ports["warm"], get("/", CLOSE))  # so that there is an idle connection to the origin, whatever went before
        before = running.stats()
        answer = act(ports["http"])
        harness.wait_until(lambda: not any(value for stat, value in running.stats("downstream_cx_active$").items() if "http.http" in stat), name)
        wanted = read + LINES.get(name, 1)
        with contextlib.suppress(AssertionError):
            harness.wait_until(lambda: log.exists() and log.read_text().count("\n") >= wanted, name, 0.3)  # noqa: B023
        time.sleep(0.06)
        lines = log.read_text().splitlines() if log.exists() else []
        entry = {"counters": moved(before, running.stats(), ports),
                 "log": sorted((masked(line, ports, server.port, early.port) for line in lines[read:]), key=str)}
        if answer is not None:
            head, _, body = answer.partition(b"\r\n\r\n")
            head = re.sub(rb"date: [^\r]*", b"date: *", head)
            head = re.sub(rb"service-time: \d+", b"service-time: *", head)
            start_line, *fields = head.decode("latin-1").split("\r\n")
            entry["answer"] = [start_line, *sorted(fields), body.decode("latin-1")]
        seen[name] = entry
        read = len(lines)
    return seen


@pytest.fixture(scope="module")
def recorded(request):
    return Recorded(GOLDEN, "events", request.config.getoption("--rewrite-golden"))


@pytest.mark.skipif(not peers.envoy_path(), reason="Envoy is not installed")
def test_envoy_is_as_recorded(envoy, upstream, tmp_path, recorded):
    recorded.check_envoy(run(envoy, tmp_path, upstream))


def test_events_are_told_as_envoy_tells_them(proxy, upstream, tmp_path, recorded):
    recorded.check(run(proxy, tmp_path, upstream))
