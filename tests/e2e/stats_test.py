"""Statistics: the names that Envoy has, and counts that are exact, each event once, errors included."""

import contextlib
import re
import socket
import struct
import time

import harness
import peers
import pytest
from harness import answering, cluster, connect, exchange, http_listener, ok, parse_response, read_message, receive_response, route, \
    tcp_listener

GROUPS = ("http.", "cluster.", "listener.", "tcp.", "listener_manager.", "cluster_manager.", "server.")


def get(target="/", *lines):
    return "\r\n".join([f"GET {target} HTTP/1.1", "host: a.example", *lines]).encode() + b"\r\n\r\n"


CLOSE = "connection: close"


def abort(port):
    """A client that goes while its upstream thinks."""
    client = connect(port)
    client.sendall(get("/abort"))
    time.sleep(0.2)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def stir(running, ports):
    """The same events through either program, one after the other."""
    port = ports["http"]
    for target in ("/", "/dead", "/", "/404", "/500", "/direct", "/nowhere", "/die", "/half", "/nonsense", "/silent", "/dead"):
        exchange(port, get(target, CLOSE))
    exchange(port, b"nonsense\r\n\r\n")
    exchange(port, b"GET / HTTP/1.0\r\n\r\n")
    exchange(port, b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
    abort(port)
    with connect(port) as client:
        for _ in range(3):
            client.sendall(get())
            receive_response(client)
    with connect(ports["tcp"]) as client:
        client.sendall(get("/", CLOSE))
        assert b" 200 " in client.recv(1000)
    with connect(ports["tcp-dead"]) as client, contextlib.suppress(ConnectionResetError):
        client.recv(1)
    for name in ("http.http.downstream_cx_active", "cluster.origin.upstream_rq_active"):
        harness.wait_until(lambda: running.stat(name) == 0, f"{name} is 0")  # noqa: B023
    time.sleep(0.3)


def stats_of(running, ports):
    """{name: value} of all stats, ports replaced by the listener's name. Histograms have no value here, only a name."""
    _, text = running.admin("/stats")
    found = {}
    for line in text.splitlines():
        name, _, value = line.partition(": ")
        for listener, port in ports.items():
            name = name.replace(str(port), f"<{listener}>")
        name = re.sub(r"worker_\d+|main_thread", "<worker>", name)
        if name.startswith(GROUPS):
            found[name] = int(value) if value.isdigit() else None
    return found


def serve(connection):
    """The upstream of it all."""
    stream = connection.makefile("rb")
    while message := read_message(stream):
        target = message[0].split(b" ")[1][1:].decode()
        if target == "die":
            return
        if target in ("silent", "abort"):
            with contextlib.suppress(OSError):
                connection.recv(1)
            return
        if target == "half":
            return connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
        if target == "nonsense":
            return connection.sendall(b"nonsense\r\n\r\n")
        status = target if target.isdigit() else "200"
        connection.sendall(b"HTTP/1.1 %s Any\r\ncontent-length: 2\r\n\r\nok" % status.encode())


def answer(head, body):
    for status in (404, 500):
        if b"/%d" % status in head:
            return b"HTTP/1.1 %d Odd\r\ncontent-length: 0\r\n\r\n" % status
    return ok()


ROUTES = [
    {"match": {"prefix": "/dead"}, "route": {"cluster": "dead"}},
    {"match": {"prefix": "/direct"}, "direct_response": {"status": 200}},
    {"match": {"prefix": "/silent"}, "route": {"cluster": "origin", "timeout": "0.2s"}},
    *({"match": {"path": path}, "route": {"cluster": "origin"}} for path in ("/", "/404", "/500", "/die", "/half", "/nonsense", "/abort")),
]
# What two runs of one program do not agree about.
UNSTEADY = re.compile(r"bytes|server\.(memory|uptime|version|parent|total_conn|hot_restart|concurrency|dropped|compilation|seconds|stats_recent)"
                      r"|flow_control|update_|worker|http\.admin|listener\.admin|hot_restart|cluster_manager|listener_manager"
                      r"|delayed_close_timeout")
# Statistics are flushed every five seconds in either program, and histograms of requests appear with that.
FLUSH_SECONDS = 5


@pytest.mark.skipif(not peers.envoy_path(), reason="Envoy is not installed")
def test_names_and_values_are_envoys(envoy, proxy, upstream, golden):
    """Golden: names that only one of the two programs has, and counts on which they disagree after the same events."""
    server = upstream(serve)
    dead = harness.free_port()
    seen = {}
    for who, start in (("envoy", envoy), ("ringside", proxy)):
        ports = {name: harness.free_port() for name in ("http", "tcp", "tcp-dead")}
        listeners = [http_listener(ports["http"], ROUTES, delayed_close_timeout="0.05s"), tcp_listener(ports["tcp"], "origin"),
                     tcp_listener(ports["tcp-dead"], "dead", name="tcp-dead")]
        running = start(listeners, [cluster("origin", server.port), cluster("dead", dead)])
        stir(running, ports)
        time.sleep(FLUSH_SECONDS + 0.5)
        seen[who] = stats_of(running, ports)
    theirs, ours = seen["envoy"], seen["ringside"]
    values = {name: {"envoy": theirs[name], "ringside": ours[name]} for name in theirs.keys() & ours.keys()
              if theirs[name] != ours[name] and not UNSTEADY.search(name)}
    golden("stats", {"only envoy": sorted(theirs.keys() - ours.keys()), "only ringside": sorted(ours.keys() - theirs.keys()),
                     "different": values})


class Counted:
    """A proxy whose stats are read as differences."""

    def __init__(self, running):
        self.running = running
        self.start = running.stats()

    def since(self, name):
        return self.running.stat(name) - self.start.get(name, 0)

    def check(self, **expected):
        """Keys with "__" for the dots; waits, because a connection's end is counted when it is over."""
        for key, value in expected.items():
            name = key.replace("__", ".")
            harness.wait_until(lambda: self.since(name) == value, f"{name} becomes {value}, is {self.since(name)}", 20)  # noqa: B023


@pytest.fixture
def counted(proxy, upstream):
    def start(serve, routes=None, cluster_fields=None, **manager):
        server = upstream(serve) if callable(serve) else None
        port = server.port if server else serve
        running = proxy([http_listener(harness.free_port(), routes or [route()], **manager)],
                        [cluster("origin", port, **(cluster_fields or {}))])
        return Counted(running), running.listen_ports["http"]

    return start


def test_requests_are_counted_once(counted):
    stats, port = counted(answering(answer))
    with connect(port) as client:
        for target in ["/"] * 7 + ["/404"] * 3 + ["/500"] * 2:
            client.sendall(get(target))
            receive_response(client)
    stats.check(http__http__downstream_rq_total=12, http__http__downstream_rq_http1_total=12, http__http__downstream_rq_completed=12,
                http__http__downstream_rq_2xx=7, http__http__downstream_rq_4xx=3, http__http__downstream_rq_5xx=2,
                http__http__downstream_cx_total=1, http__http__downstream_cx_http1_total=1, http__http__downstream_cx_destroy=1,
                http__http__downstream_cx_destroy_remote=1, http__http__downstream_cx_active=0, http__http__downstream_rq_active=0,
                cluster__origin__upstream_rq_total=12, cluster__origin__upstream_rq_completed=12, cluster__origin__upstream_rq_200=7,
                cluster__origin__upstream_rq_404=3, cluster__origin__upstream_rq_500=2, cluster__origin__upstream_rq_2xx=7,
                cluster__origin__upstream_rq_4xx=3, cluster__origin__upstream_rq_5xx=2, cluster__origin__upstream_cx_total=1,
                cluster__origin__upstream_cx_http1_total=1, cluster__origin__upstream_cx_active=1,
                cluster__origin__upstream_rq_active=0, cluster__origin__upstream_rq_pending_active=0)
    stats.check(**{f"listener.127.0.0.1_{port}.downstream_cx_total": 1, f"listener.127.0.0.1_{port}.http.http.downstream_rq_2xx": 7})


def test_bytes_are_counted(counted):
    stats, port = counted(answering(lambda head, body: ok(b"x" * 1000)))
    request = get("/", CLOSE)
    response = exchange(port, request)
    stats.check(http__http__downstream_cx_rx_bytes_total=len(request), http__http__downstream_cx_tx_bytes_total=len(response))
    assert stats.since("cluster.origin.upstream_cx_rx_bytes_total") == len(ok(b"x" * 1000))


def test_no_route_and_direct_responses(counted):
    routes = [{"match": {"prefix": "/direct"}, "direct_response": {"status": 200}}, route(prefix="/there")]
    stats, port = counted(answering(answer), routes)
    for target in ("/nowhere", "/direct", "/there"):
        exchange(port, get(target, CLOSE))
    stats.check(http__http__no_route=1, http__http__rq_direct_response=1, http__http__downstream_rq_total=3,
                http__http__downstream_rq_4xx=1, http__http__downstream_rq_2xx=2, cluster__origin__upstream_rq_total=1)


def test_upstream_refuses(counted):
    stats, port = counted(harness.free_port())
    for _ in range(3):
        assert parse_response(exchange(port, get("/", CLOSE))).status == 503
    stats.check(cluster__origin__upstream_cx_connect_fail=3, cluster__origin__upstream_cx_total=3, cluster__origin__upstream_rq_503=3,
                cluster__origin__upstream_rq_5xx=3, http__http__downstream_rq_5xx=3, cluster__origin__upstream_rq_pending_failure_eject=3,
                cluster__origin__upstream_cx_active=0, cluster__origin__upstream_rq_pending_active=0)


def test_upstream_breaks_off(counted):
    def die(connection):
        read_message(connection.makefile("rb"))

    stats, port = counted(die)
    assert parse_response(exchange(port, get("/", CLOSE))).status == 503
    stats.check(cluster__origin__upstream_rq_total=1, cluster__origin__upstream_rq_503=1, cluster__origin__upstream_rq_rx_reset=0,
                cluster__origin__upstream_cx_destroy=1, cluster__origin__upstream_cx_destroy_remote=1,
                cluster__origin__upstream_cx_destroy_with_active_rq=1, cluster__origin__upstream_cx_destroy_remote_with_active_rq=1,
                http__http__downstream_rq_5xx=1)


def test_upstream_is_too_slow(counted):
    stats, port = counted(lambda connection: connection.recv(1000) and connection.recv(1), [route(timeout="0.2s")])
    assert parse_response(exchange(port, get("/", CLOSE))).status == 504
    stats.check(cluster__origin__upstream_rq_timeout=1, cluster__origin__upstream_rq_504=1, cluster__origin__upstream_rq_total=1,
                cluster__origin__upstream_cx_destroy_local_with_active_rq=1, http__http__downstream_rq_5xx=1)


def test_client_goes_away(counted):
    stats, port = counted(lambda connection: connection.recv(1000) and connection.recv(1))
    client = connect(port)
    client.sendall(get())
    harness.wait_until(lambda: stats.since("cluster.origin.upstream_rq_total") == 1, "the request is upstream")
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    stats.check(http__http__downstream_rq_rx_reset=1, http__http__downstream_cx_destroy_remote_active_rq=1,
                http__http__downstream_cx_destroy_active_rq=1, cluster__origin__upstream_rq_tx_reset=0,
                cluster__origin__upstream_cx_destroy_local_with_active_rq=1, http__http__downstream_rq_active=0,
                http__http__downstream_rq_completed=0)


def test_protocol_error_is_no_request(counted):
    stats, port = counted(answering(answer))
    exchange(port, b"nonsense\r\n\r\n")
    stats.check(http__http__downstream_cx_protocol_error=1, http__http__downstream_cx_total=1, cluster__origin__upstream_rq_total=0)


def test_histograms_count_every_request(counted):
    stats, port = counted(answering(answer))
    with connect(port) as client:
        for _ in range(25):
            client.sendall(get())
            receive_response(client)
    # Histograms are merged when statistics are flushed: test_histograms_wait_for_the_flush shows that Envoy does the same.
    for line in ('envoy_http_downstream_rq_time_count{envoy_http_conn_manager_prefix="http"} 25',
                 'envoy_cluster_upstream_rq_time_count{envoy_cluster_name="origin"} 25'):
        harness.wait_until(lambda: line in stats.running.admin("/stats/prometheus")[1], line)  # noqa: B023


@pytest.mark.skipif(not peers.envoy_path(), reason="Envoy is not installed")
def test_histograms_wait_for_the_flush(envoy, proxy, upstream):
    """Counters are there at once, the histograms of the same requests only when statistics are flushed: in both programs."""
    server = upstream(answering(answer))
    for start in (envoy, proxy):
        port = harness.free_port()
        running = start([http_listener(port, [route()])], [cluster("origin", server.port)])
        histogram = 'envoy_cluster_upstream_rq_time_count{envoy_cluster_name="origin"} '
        exchange(port, get("/", CLOSE))
        _, page = running.admin("/stats/prometheus")
        assert 'envoy_cluster_upstream_rq_total{envoy_cluster_name="origin"} 1\n' in page
        assert f"{histogram}1\n" not in page, "it has just started: the first flush is five seconds away"
        harness.wait_until(lambda: f"{histogram}1\n" in running.admin("/stats/prometheus")[1], "the flush")  # noqa: B023


def test_counters_can_be_reset(counted):
    stats, port = counted(answering(answer))
    exchange(port, get("/", CLOSE))
    assert stats.running.stat("http.http.downstream_rq_total") == 1
    assert stats.running.admin("/reset_counters", "POST") == (200, "OK\n")
    assert stats.running.stat("http.http.downstream_rq_total") == 0
    exchange(port, get("/", CLOSE))
    assert stats.running.stat("http.http.downstream_rq_total") == 1
