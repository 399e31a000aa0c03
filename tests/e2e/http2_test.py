"""HTTP/2 without TLS, by prior knowledge: every pair of protocols, with a client and an origin that are other people's code."""

import hashlib
import signal
import socket
import subprocess
import threading

import harness
import pytest
from harness import SLOWNESS, cluster, connect, file_access_log, http_listener, ok, receive_response, route, wait_until
from h2_peer import H2Client, H2Origin

BIG = bytes(range(256)) * 20000


def upstream_http2(**http2):
    kind = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    return {"typed_extension_protocol_options": {kind: {
        "@type": f"type.googleapis.com/{kind}", "explicit_http_config": {"http2_protocol_options": http2}}}}


def answer(method, path, body):
    """The same for both origins: status, body."""
    if path == "/hash":
        return 200, hashlib.sha256(body).hexdigest().encode()
    if path == "/big":
        return 200, BIG
    return 200, method.encode() + b" " + path.encode()


@pytest.fixture(params=["h1", "h2"])
def upstream_cluster(request, origin):
    if request.param == "h1":
        yield cluster("origin", origin(lambda m: ok(answer(m.method, m.target, m.body)[1])).port)
        return
    server = H2Origin(lambda stream: stream.answer(*answer(stream.method, stream.path, stream.body)))
    yield cluster("origin", server.port, **upstream_http2())
    server.close()


@pytest.fixture
def h2_origin():
    started = []

    def start(respond, **options):
        started.append(H2Origin(respond, **options))
        return started[-1]

    yield start
    for server in started:
        server.close()


def listener(**fields):
    return http_listener(harness.free_port(), [route(timeout="0s")], **fields)


def curl(port, path, *arguments, data=None):
    result = subprocess.run(["curl", "-sS", "--max-time", "60", *arguments, f"http://127.0.0.1:{port}{path}"], input=data,
                            capture_output=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize("version", ["--http1.1", "--http2-prior-knowledge"])
def test_pairs(proxy, upstream_cluster, version):
    running = proxy([listener()], [upstream_cluster])
    port = running.listen_ports["http"]
    assert curl(port, "/plain", version) == b"GET /plain"
    assert curl(port, "/big", version) == BIG
    digest = hashlib.sha256(BIG).hexdigest().encode()
    assert curl(port, "/hash", version, "--data-binary", "@-", "-H", "expect:", data=BIG) == digest
    assert curl(port, "/head", version, "--head").split()[1] == b"200"
    assert running.stat("http.http.downstream_cx_http2_total") == (4 if "2" in version else 0)


@pytest.mark.parametrize("codec", ["HTTP2", "AUTO"])
def test_codec_type(proxy, origin, codec):
    running = proxy([listener(codec_type=codec)], [cluster("origin", origin(lambda m: ok(b"hi")).port)])
    port = running.listen_ports["http"]
    assert curl(port, "/", "--http2-prior-knowledge") == b"hi"
    with connect(port) as client:
        client.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        if codec == "HTTP2":
            assert b"HTTP/1" not in harness.read_to_end(client)  # SETTINGS, GOAWAY
        else:
            assert receive_response(client).body == b"hi"


def test_preface_byte_by_byte(proxy, origin):
    """AUTO decides only when it must: what begins like the preface may be HTTP/1 after all."""
    running = proxy([listener()], [cluster("origin", origin(lambda m: ok(m.method.encode())).port)])
    port = running.listen_ports["http"]
    with connect(port) as client:
        for byte in b"PRI /a HTTP/1.1\r\nhost: a\r\n\r\n":
            client.sendall(bytes([byte]))
        assert receive_response(client).status in (200, 400)
    with H2Client(port, slowly=True) as client:
        assert client.get("/").body == b"GET"
    assert running.stat("http.http.downstream_cx_http1_total") == 1
    wait_until(lambda: running.stat("http.http.downstream_cx_http2_active") == 0, "the client is gone")


def test_hundred_streams_share_one_upstream(proxy, h2_origin):
    held, gate = [], threading.Event()

    def respond(stream):
        held.append(stream)
        if len(held) == 100:
            gate.set()
            for each in held:
                each.answer(200, each.path.encode())

    server = h2_origin(respond)
    running = proxy([listener()], [cluster("origin", server.port, **upstream_http2())])
    with H2Client(running.listen_ports["http"]) as client:
        streams = [client.request("GET", f"/{number}") for number in range(100)]
        client.run_until(lambda: all(stream.ended for stream in streams))
        assert [stream.body for stream in streams] == [b"/%d" % number for number in range(100)]
    assert gate.is_set() and server.accepted == 1
    assert running.stat("cluster.origin.upstream_cx_http2_total") == 1
    assert running.stat("cluster.origin.upstream_rq_total") == 100


def test_streams_max_of_the_upstream_opens_connections(proxy, h2_origin):
    held = []

    def respond(stream):
        held.append(stream)
        if len(held) == 10:
            for each in held:
                each.answer(200, b"ok")

    server = h2_origin(respond)
    running = proxy([listener()], [cluster("origin", server.port, **upstream_http2(max_concurrent_streams=4))])
    with H2Client(running.listen_ports["http"]) as client:
        streams = [client.request("GET", "/") for _ in range(10)]
        client.run_until(lambda: all(stream.ended for stream in streams))
        assert all(stream.status == 200 for stream in streams)
    assert server.accepted == 3


def test_trailers(proxy, h2_origin):
    seen = []

    def respond(stream):
        seen.append(stream.trailers)
        stream.answer(200, b"body", trailers=[("x-end", "response")])

    server = h2_origin(respond)
    running = proxy([listener()], [cluster("origin", server.port, **upstream_http2())])
    with H2Client(running.listen_ports["http"]) as client:
        stream = client.request("POST", "/", b"abc", trailers=[("x-end", "request")])
        client.run_until(lambda: stream.ended)
        assert stream.trailers == {"x-end": "response"} and stream.body == b"body"
    assert seen == [{"x-end": "request"}]


def test_early_response(proxy, h2_origin):
    server = h2_origin(lambda stream: stream.answer(403, b"no"), at="head")
    running = proxy([listener()], [cluster("origin", server.port, **upstream_http2())])
    with H2Client(running.listen_ports["http"]) as client:
        stream = client.request("POST", "/", b"part", end=False)
        client.run_until(lambda: stream.reset is not None)
        assert (stream.status, stream.body, stream.reset) == (403, b"no", 0)
        assert client.get("/").status == 403  # the connection lives


def test_client_reset_cancels_upstream(proxy, h2_origin):
    server = h2_origin(lambda stream: None)
    running = proxy([listener()], [cluster("origin", server.port, **upstream_http2())])
    with H2Client(running.listen_ports["http"]) as client:
        stream = client.request("GET", "/")
        wait_until(lambda: running.stat("cluster.origin.upstream_rq_active") == 1, "the request is upstream")
        client.cancel(stream)
        wait_until(lambda: server.resets == [8], "CANCEL at the origin")
    assert running.stat("cluster.origin.upstream_cx_active") == 1


def test_reset_by_the_upstream(proxy, h2_origin):
    server = h2_origin(lambda stream: stream.refuse() if stream.path == "/bad" else stream.answer(200, b"ok"))
    running = proxy([listener()], [cluster("origin", server.port, **upstream_http2())])
    with H2Client(running.listen_ports["http"]) as client:
        bad = client.get("/bad")
        assert bad.status == 503 and bad.body.endswith(b"remote refused stream reset")
        assert client.get("/good").status == 200
    assert server.accepted == 1


@pytest.mark.parametrize("begun", [False, True])
def test_grpc_is_cancelled_for_the_client_as_by_the_upstream(proxy, h2_origin, begun):
    """A server of gRPC says CANCEL when its clock calls the call too late: to be passed on as it is."""
    server = h2_origin(lambda stream: (begun and stream.begin(200), stream.refuse(8)))
    running = proxy([listener()], [cluster("origin", server.port, **upstream_http2())])
    with H2Client(running.listen_ports["http"]) as client:
        stream = client.request("POST", "/", headers=[("content-type", "application/grpc"), ("te", "trailers")])
        client.run_until(lambda: stream.reset is not None)
        assert stream.reset == 8 and (stream.status == 200) == begun
        other = client.request("POST", "/")
        client.run_until(lambda: other.ended or other.reset is not None)
        assert other.status == (200 if begun else 503) and other.reset != 8
    assert running.stat("cluster.origin.upstream_rq_rx_reset") == 2


def test_goaway_of_the_upstream(proxy, h2_origin):
    """The stream under way ends well; the next request gets a new connection."""
    server = h2_origin(lambda stream: (stream.goaway(), stream.answer(200, b"ok")))
    running = proxy([listener()], [cluster("origin", server.port, **upstream_http2())])
    with H2Client(running.listen_ports["http"]) as client:
        for number in range(3):
            assert client.get("/").status == 200
            wait_until(lambda: running.stat("cluster.origin.upstream_cx_active") == 0, "it is gone")
            assert server.accepted == number + 1


def test_drain_says_goaway(proxy, h2_origin):
    waiting = []
    server = h2_origin(waiting.append)
    running = proxy([listener()], [cluster("origin", server.port, **upstream_http2())],
                    arguments=["--drain-time-s", "30", "--drain-on-sigterm"])
    with H2Client(running.listen_ports["http"]) as client:
        stream = client.request("GET", "/")
        wait_until(lambda: waiting, "the request is upstream")
        running.process.send_signal(signal.SIGTERM)
        client.run_until(lambda: len(client.goaways) == 2)
        assert client.goaways == [2**31 - 1, stream.id]
        waiting[0].answer(200, b"late")
        client.run_until(lambda: stream.ended and client.closed)
        assert stream.body == b"late"


def test_slow_reader_slows_only_its_stream(proxy, upstream_cluster):
    running = proxy([listener()], [upstream_cluster])
    with H2Client(running.listen_ports["http"], connection_window=2**30) as client:
        slow = client.request("GET", "/big", greedy=False)
        client.run_until(lambda: len(slow.body) >= 65535)
        for _ in range(3):
            assert client.get("/big").body == BIG
        assert len(slow.body) == 65535
        client.read_on(slow)
        client.run_until(lambda: slow.ended)
        assert slow.body == BIG


def test_access_log_and_statistics(proxy, origin, tmp_path):
    log = tmp_path / "access.log"
    running = proxy([listener(access_log=[file_access_log(log)])], [cluster("origin", origin(lambda m: ok(b"x")).port)])
    with H2Client(running.listen_ports["http"]) as client:
        assert client.get("/logged").status == 200
        assert running.stat("http.http.downstream_cx_http2_active") == 1
    wait_until(lambda: log.exists() and '"GET /logged HTTP/2" 200' in log.read_text(), "a line in the log")
    assert running.stat("http.http.downstream_rq_http2_total") == 1
    assert running.stat("http.http.downstream_rq_http1_total") == 0
    wait_until(lambda: "http2.streams_active" in running.stats("^http2"), "the codec's statistics")


def test_idle_timeout(proxy, origin):
    running = proxy([listener(common_http_protocol_options={"idle_timeout": "0.3s"})],
                    [cluster("origin", origin(lambda m: ok(b"x")).port)])
    with H2Client(running.listen_ports["http"]) as client:
        client.get("/")
        client.run_until(lambda: client.closed)
        assert client.goaways == [1]
    assert running.stat("http.http.downstream_cx_idle_timeout") == 1


def test_protocol_error(proxy, origin):
    running = proxy([listener(codec_type="HTTP2")], [cluster("origin", origin(lambda m: ok(b"x")).port)])
    with socket.create_connection(("127.0.0.1", running.listen_ports["http"]), timeout=10 * SLOWNESS) as client:
        client.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9) * 2)
        assert b"DATA without a stream" in harness.read_to_end(client)
    wait_until(lambda: running.stat("http.http.downstream_cx_protocol_error") == 1, "it is counted")


def test_a_flood_ends_its_own_connection_and_is_told(proxy, origin):
    """Requests that are cancelled at once, in hundreds: the operator reads who did it, and the others notice nothing."""
    running = proxy([listener()], [cluster("origin", origin(lambda m: ok(b"x")).port)])
    with H2Client(running.listen_ports["http"]) as good, H2Client(running.listen_ports["http"]) as bad:
        assert good.get("/").status == 200
        peer = "{}:{}".format(*bad.socket.getsockname())
        for _ in range(600):  # in one piece: none is answered before it is cancelled
            stream_id = bad.connection.get_next_available_stream_id()
            bad.connection.send_headers(stream_id, [(":method", "GET"), (":scheme", "http"), (":authority", "test"), (":path", "/")], end_stream=True)
            bad.connection.reset_stream(stream_id)
        bad.flush()
        bad.run_until(lambda: bad.goaways or bad.closed)
        assert good.get("/").status == 200
    wait_until(lambda: running.stat("http2.inbound_reset_flood") == 1, "it is counted")
    wait_until(lambda: f"of {peer} ended: too many streams were reset" in running.log, "a line that names the client")


def test_client_that_leaves_an_answer_unread(proxy, origin):
    """Its window is used up and its FIN came: nothing can move any more, so that nothing is kept."""
    running = proxy([listener()], [cluster("origin", origin(lambda m: ok(BIG[:100000])).port)])
    with H2Client(running.listen_ports["http"]) as client:
        stream = client.request("GET", "/", greedy=False)
        client.run_until(lambda: len(stream.body) == 65535)
        client.socket.shutdown(socket.SHUT_WR)
        wait_until(lambda: running.stat("http.http.downstream_cx_active") == 0, "the connection ends", 5)
