"""The access log in its default format: the same line as Envoy's for the same request, with the flag that says why."""

import contextlib
import re
import socket
import struct
import threading
import time

import harness
import peers
import pytest
from differential import GOLDEN, Recorded
from harness import cluster, connect, exchange, file_access_log, http_listener, limits, ok, read_message, read_to_end, route, \
    tcp_listener

CLOSE = "connection: close"
LINE = re.compile(r'\[(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)\] "(?P<request>.*)" (?P<status>\d+) (?P<flags>\S+) '
                  r'(?P<received>\d+) (?P<sent>\d+) (?P<duration>\d+) (?P<service_time>\S+) "(?P<forwarded>[^"]*)" "(?P<agent>.*)" '
                  r'"(?P<id>[^"]*)" "(?P<host>[^"]*)" "(?P<upstream>[^"]*)"')


def get(target, *lines, method="GET"):
    return "\r\n".join([f"{method} {target} HTTP/1.1", "host: a.example", *lines]).encode() + b"\r\n\r\n"


class Backend:
    """serve() of the upstream of every case, told by the target what to do; `release` ends those that wait."""

    def __init__(self):
        self.release = threading.Event()

    def __call__(self, connection):
        stream = connection.makefile("rb")
        while message := read_message(stream):
            target = message[0].split(b" ")[1]
            if target == b"/die":
                return
            if target == b"/half":
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
                return
            if target == b"/nonsense":
                connection.sendall(b"nonsense, not HTTP\r\n\r\n")
                return
            if target == b"/hold":
                self.release.wait(10)
            if target == b"/silent":
                with contextlib.suppress(OSError):
                    connection.recv(1)
                return
            body = b"x" * 500 if target == b"/body" else b"ok"
            status = target[1:] if target[1:].isdigit() else b"200"
            connection.sendall(b"HTTP/1.1 %s Any\r\ncontent-length: %d\r\n\r\n%s" % (status, len(body), body))


def configuration(ports, log, upstream_port):
    routes = [
        {"match": {"prefix": "/direct"}, "direct_response": {"status": 418, "body": {"inline_string": "tea"}}},
        {"match": {"prefix": "/dead"}, "route": {"cluster": "dead"}},
        {"match": {"prefix": "/empty"}, "route": {"cluster": "empty"}},
        {"match": {"prefix": "/hold"}, "route": {"cluster": "narrow"}},
        {"match": {"prefix": "/silent"}, "route": {"cluster": "origin", "timeout": "0.2s"}},
        {"match": {"prefix": "/stall"}, "route": {"cluster": "origin", "timeout": "0s", "idle_timeout": "0.3s"}},
        {"match": {"prefix": "/rewritten"}, "route": {"cluster": "origin", "prefix_rewrite": "/body"}},
        *({"match": {"path": path}, "route": {"cluster": "origin"}} for path in (
            "/plain", "/body", "/404", "/503", "/die", "/half", "/nonsense", "/wait")),
    ]
    return ([http_listener(ports["http"], routes, access_log=[file_access_log(log)], delayed_close_timeout="0.05s",
                           use_remote_address=False)],
            [cluster("origin", upstream_port), cluster("dead", ports["dead"]), cluster("empty"),
             cluster("narrow", upstream_port, **limits(max_requests=1))])


def abort(port, backend):
    """The client goes while the upstream still thinks."""
    client = connect(port)
    client.sendall(get("/silent"))
    time.sleep(0.1)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def overflow(port, backend):
    with connect(port) as first:
        first.sendall(get("/hold/first", CLOSE).replace(b"/hold/first", b"/hold"))
        time.sleep(0.1)
        exchange(port, get("/hold?second", CLOSE))
        backend.release.set()
        read_to_end(first)


def stalled_upload(port, backend):
    with connect(port) as client:
        client.sendall(get("/stall", "content-length: 100", method="POST") + b"some")
        read_to_end(client)


def send(request):
    return lambda port, backend: exchange(port, request)


# What is done -> how many lines it writes.
CASES = {
    "plain": send(get("/plain", CLOSE)),
    "with the fields that are logged": send(get("/plain?q=1", CLOSE, "user-agent: curl/1", "x-forwarded-for: 8.8.8.8",
                                                "x-request-id: given").replace(b"/plain?q=1", b"/plain")),
    "query": send(get("/direct?a=b", CLOSE)),
    "upload": send(get("/plain", CLOSE, "content-length: 5", method="POST") + b"hello"),
    "chunked upload": send(get("/plain", CLOSE, "transfer-encoding: chunked", method="PUT") + b"5\r\nhello\r\n0\r\n\r\n"),
    "download": send(get("/body", CLOSE)),
    "head": send(get("/body", CLOSE, method="HEAD")),
    "404 of the upstream": send(get("/404", CLOSE)),
    "503 of the upstream": send(get("/503", CLOSE)),
    "direct response": send(get("/direct", CLOSE)),
    "rewritten": send(get("/rewritten", CLOSE)),
    "no route: NR": send(get("/nowhere", CLOSE)),
    "refused upstream: UF": send(get("/dead", CLOSE)),
    "no endpoint: UH": send(get("/empty", CLOSE)),
    "upstream dies: UC": send(get("/die", CLOSE)),
    "upstream dies in the middle: UPE": send(get("/half", CLOSE)),
    "upstream speaks nonsense: UPE": send(get("/nonsense", CLOSE)),
    "upstream is silent: UT": send(get("/silent", CLOSE)),
    "client goes away: DC": abort,
    "overflow: UO": overflow,
    "stalled upload: SI": stalled_upload,
    "garbage: DPE": send(b"nonsense\r\n\r\n"),
    "bad length: DPE": send(get("/plain", "content-length: x")),
    "no host": send(b"GET /plain HTTP/1.1\r\n\r\n"),
    "HTTP/1.0": send(b"GET /plain HTTP/1.0\r\nhost: a\r\n\r\n"),
    "quotes and controls": send(get('/direct/"quoted"', CLOSE, 'user-agent: a "b" \\ c')),
}
LINES = {"overflow: UO": 2}


def masked(line, ports, upstream_port):
    """The fields that can be compared; times only by their form."""
    match = LINE.fullmatch(line)
    if not match:
        return line
    fields = match.groupdict()
    del fields["time"], fields["duration"]
    fields["service_time"] = re.sub(r"\d+", "<ms>", fields["service_time"])
    fields["id"] = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "<id>", fields["id"])
    fields["upstream"] = fields["upstream"].replace(str(upstream_port), "<upstream>").replace(str(ports["dead"]), "<dead>")
    return fields


def run(start, folder):
    """{case: [masked lines]}"""
    log = folder / "access.log"
    backend = Backend()
    server = harness.Upstream(backend)
    ports = {"http": harness.free_port(), "dead": harness.free_port()}
    start(*configuration(ports, log, server.port))
    seen = {}
    read = 0
    try:
        for name, act in CASES.items():
            act(ports["http"], backend)
            wanted = read + LINES.get(name, 1)
            harness.wait_until(lambda: log.exists() and log.read_text().count("\n") >= wanted, f"a line for {name}")  # noqa: B023
            lines = log.read_text().splitlines()
            seen[name] = sorted((masked(line, ports, server.port) for line in lines[read:]), key=str)
            read = len(lines)
    finally:
        server.close()
    return seen


@pytest.fixture(scope="module")
def recorded(request):
    return Recorded(GOLDEN, "access_log", request.config.getoption("--rewrite-golden"))


def as_outcomes(seen):
    return {name: {"lines": lines} for name, lines in seen.items()}


@pytest.mark.skipif(not peers.envoy_path(), reason="Envoy is not installed")
def test_envoy_is_as_recorded(envoy, tmp_path, recorded):
    recorded.check_envoy(as_outcomes(run(envoy, tmp_path)))


def test_lines_are_envoys(proxy, tmp_path, recorded):
    recorded.check(as_outcomes(run(proxy, tmp_path)))


def test_flags_are_said(proxy, tmp_path):
    """The flag that an operator looks for, whatever else differs."""
    seen = run(proxy, tmp_path)
    for name, lines in seen.items():
        if ": " in name:
            flag = name.split(": ")[1]
            assert any(line["flags"] == flag for line in lines), (name, lines)
        else:
            assert all(line["flags"] in ("-", "DPE") for line in lines), (name, lines)


def test_every_request_has_one_line(proxy, upstream, tmp_path):
    log = tmp_path / "access.log"
    server = upstream(harness.answering(lambda head, body: ok()))
    running = proxy([http_listener(harness.free_port(), [route()], access_log=[file_access_log(log)])],
                    [cluster("origin", server.port)])
    with connect(running.listen_ports["http"]) as client:
        client.sendall(b"".join(get(f"/{number}") for number in range(500)))
        data = b""
        while data.count(b"HTTP/1.1 200") < 500:
            data += client.recv(65536)
    harness.wait_until(lambda: log.exists() and log.read_text().count("\n") == 500, "500 lines")
    assert [line.split(" ")[2] for line in log.read_text().splitlines()] == [f"/{number}" for number in range(500)]


def test_log_of_tcp(proxy, upstream, tmp_path):
    log = tmp_path / "access.log"
    server = upstream(lambda connection: connection.sendall(connection.recv(100)))
    running = proxy([tcp_listener(harness.free_port(), "origin", access_log=[file_access_log(log)])], [cluster("origin", server.port)])
    with connect(running.listen_ports["tcp"]) as client:
        client.sendall(b"hello")
        assert read_to_end(client) == b"hello"
    harness.wait_until(lambda: log.exists() and log.read_text(), "a line")
    match = LINE.fullmatch(log.read_text().strip())
    assert match, log.read_text()
    assert (match["request"], match["status"], match["received"], match["sent"]) == ("- - -", "0", "5", "5")
    assert match["upstream"] == f"127.0.0.1:{server.port}" and match["flags"] == "-"


def test_standard_output(proxy):
    kind = "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog"
    stdout = {"name": "envoy.access_loggers.stdout", "typed_config": {"@type": kind}}
    direct = {"match": {"prefix": "/"}, "direct_response": {"status": 200}}
    running = proxy([http_listener(harness.free_port(), [direct], access_log=[stdout])], [])
    exchange(running.listen_ports["http"], get("/to-stdout", CLOSE))
    harness.wait_until(lambda: '"GET /to-stdout HTTP/1.1" 200' in running.log, "the line on standard output")


def test_folder_that_is_not_there(proxy, tmp_path):
    """Said at start, in words, and nothing is served."""
    direct = {"match": {"prefix": "/"}, "direct_response": {"status": 200}}
    path = tmp_path / "no" / "such" / "folder.log"
    listener = http_listener(harness.free_port(), [direct], access_log=[file_access_log(path)])
    running = proxy([listener], [], wait=False, expect_exit=1)
    assert running.process.wait(timeout=20) == 1
    assert str(path) in running.log
