"""Retries by HTTP/2: streams that an upstream did not look at, bodies that are sent again, and gRPC with its own library at both ends."""

import concurrent.futures
import hashlib
import subprocess
import threading
import time

import harness
import pytest
from h2_peer import H2Client, H2Origin
from harness import cluster, http_listener, ok, route

grpc = pytest.importorskip("grpc", reason="grpcio is not installed")

BODY = bytes(range(256)) * 3000  # more than a window


def upstream_http2():
    kind = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    return {"typed_extension_protocol_options": {kind: {
        "@type": f"type.googleapis.com/{kind}", "explicit_http_config": {"http2_protocol_options": {}}}}}


def policy(retry_on, num_retries=2, **fields):
    return {"retry_on": retry_on, "num_retries": num_retries, "retry_back_off": {"base_interval": "0.005s"}, **fields}


def gateway(proxy, port, retry_policy=None, http2=True, **action):
    action = {"timeout": "10s", **action, **({"retry_policy": retry_policy} if retry_policy else {})}
    running = proxy([http_listener(harness.free_port(), [route(**action)])], [cluster("origin", port, **(upstream_http2() if http2 else {}))])
    return running, running.listen_ports["http"]


@pytest.fixture
def h2_origin():
    started = []

    def start(respond, **options):
        started.append(H2Origin(respond, **options))
        return started[-1]

    yield start
    for server in started:
        server.close()


def leave_out(stream):
    """GOAWAY that says that this stream was not looked at."""
    with stream.owner.lock:
        payload = max(stream.id - 2, 0).to_bytes(4, "big") + bytes(4)
        stream.owner.socket.sendall(len(payload).to_bytes(3, "big") + b"\x07\x00" + bytes(4) + payload)


class Failing:
    """respond() of an origin that does `fail` with the first requests and then answers the hash of the body."""

    def __init__(self, fail, times=1):
        self.fail, self.times, self.seen = fail, times, []

    def __call__(self, stream):
        self.seen.append(stream.path)
        if len(self.seen) <= self.times:
            return self.fail(stream)
        stream.answer(200, hashlib.sha256(stream.body).hexdigest().encode())
        return None


def get_all(port, method="GET", body=b""):
    with H2Client(port) as client:
        stream = client.request(method, "/", body=body)
        client.run_until(lambda: stream.ended or stream.reset is not None)
        return stream


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_goaway_that_leaves_a_request_out(proxy, h2_origin, method):
    """It goes to another connection without a policy, and is no retry."""
    respond = Failing(leave_out)
    server = h2_origin(respond)
    running, port = gateway(proxy, server.port)
    assert get_all(port, method).status == 200
    assert (len(respond.seen), server.accepted) == (2, 2)
    assert running.stat("cluster.origin.upstream_rq_total") == 2
    assert running.stat("cluster.origin.upstream_rq_retry") == 0


def test_goaway_again_and_again(proxy, h2_origin):
    respond = Failing(leave_out, times=100)
    running, port = gateway(proxy, h2_origin(respond).port)
    stream = get_all(port)
    assert stream.status == 503 and b"remote refused stream reset" in stream.body
    assert len(respond.seen) == 2
    assert running.stat("cluster.origin.upstream_rq_active") == 0


def test_goaway_with_a_body(proxy, h2_origin):
    """What is gone cannot be sent again; with a policy it is still here."""
    respond = Failing(leave_out)
    _, port = gateway(proxy, h2_origin(respond).port)
    assert get_all(port, "POST", b"body").status == 503
    respond = Failing(leave_out)
    _, port = gateway(proxy, h2_origin(respond).port, policy("5xx", num_retries=0))
    stream = get_all(port, "POST", b"body")
    assert (stream.status, stream.body) == (200, hashlib.sha256(b"body").hexdigest().encode())


def test_refused_stream(proxy, h2_origin):
    """A refusal is the policy's business."""
    respond = Failing(lambda stream: stream.refuse())
    running, port = gateway(proxy, h2_origin(respond).port)
    assert get_all(port).status == 503 and len(respond.seen) == 1
    respond = Failing(lambda stream: stream.refuse(), times=2)
    running, port = gateway(proxy, h2_origin(respond).port, policy("refused-stream"))
    assert get_all(port, "POST", b"x").status == 200 and len(respond.seen) == 3
    assert running.stat("cluster.origin.upstream_rq_retry") == 2
    assert running.stat("cluster.origin.upstream_rq_retry_success") == 1


@pytest.mark.parametrize("down", ["--http1.1", "--http2-prior-knowledge"])
@pytest.mark.parametrize("up, early", [("h1", "late"), ("h2", "early"), ("h2", "late")])
def test_large_bodies_are_sent_again(proxy, h2_origin, origin, down, up, early):
    """Larger than any window, so that credit is given once and not twice; answered at the head, or when all of it is there."""
    if up == "h2":
        respond = Failing(lambda stream: stream.answer(503, b"not yet"), times=2)
        server = h2_origin(respond) if early == "late" else None
        if server is None:
            seen = []

            def at_head(stream):
                seen.append(stream)
                if len(seen) <= 2:
                    stream.answer(503, b"not yet")

            server = h2_origin(at_head, at="head")
            finish = answer_third(seen)
        port_of_origin = server.port
    else:
        calls = []

        def answer(message):
            calls.append(message)
            return (b"HTTP/1.1 503 X\r\ncontent-length: 3\r\n\r\nnot" if len(calls) <= 2 else ok(hashlib.sha256(message.body).hexdigest().encode()))

        port_of_origin = origin(answer).port
    running, port = gateway(proxy, port_of_origin, policy("5xx"), http2=up == "h2")
    result = subprocess.run(["curl", "-sS", "--max-time", "30", down, "--data-binary", "@-", "-H", "expect:", f"http://127.0.0.1:{port}/"],
                            input=BODY, capture_output=True, check=False)
    if up == "h2" and early == "early":
        finish.join(10)
    assert result.stdout == hashlib.sha256(BODY).hexdigest().encode(), (result.stdout[:100], result.stderr)
    assert running.stat("cluster.origin.upstream_rq_retry") == 2
    assert running.stat("cluster.origin.upstream_rq_active") == 0


def answer_third(seen):
    """Answers the third request when its body is there."""
    def wait():
        harness.wait_until(lambda: len(seen) >= 3 and len(seen[2].body) == len(BODY), "the third attempt is whole")
        seen[2].answer(200, hashlib.sha256(seen[2].body).hexdigest().encode())

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


# --- gRPC --------------------------------------------------------------------------------------------------------------


class Service(grpc.GenericRpcHandler):
    """Every method: the first `failures` calls end with `code`, the others answer what they were asked, after `delay`."""

    def __init__(self, code=grpc.StatusCode.UNAVAILABLE, failures=0, delay=0.0):
        self.code, self.failures, self.delay, self.calls = code, failures, delay, []

    def service(self, details):
        return grpc.unary_unary_rpc_method_handler(self.answer)

    def answer(self, request, context):
        self.calls.append(dict(context.invocation_metadata()))
        if len(self.calls) <= self.failures:
            context.abort(self.code, "try later")
        time.sleep(self.delay)
        return request


@pytest.fixture
def grpc_server():
    started = []

    def start(service):
        server = grpc.server(concurrent.futures.ThreadPoolExecutor(4), handlers=[service])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        started.append(server)
        return port

    yield start
    for server in started:
        server.stop(None)


def call(port, request=b"hello", timeout=20):
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=(("grpc.enable_retries", 0),)) as channel:
        return channel.unary_unary("/test.Service/Call")(request, timeout=timeout)


def failure_of(port, **options):
    with pytest.raises(grpc.RpcError) as failed:
        call(port, **options)
    return failed.value


def test_grpc_is_retried(proxy, grpc_server):
    service = Service(failures=2)
    running, port = gateway(proxy, grpc_server(service), policy("unavailable"))
    message = b"\0" * 100_000
    assert call(port, message) == message
    assert len(service.calls) == 3
    assert running.stat("cluster.origin.upstream_rq_retry") == 2
    assert running.stat("cluster.origin.upstream_rq_retry_success") == 1


def test_grpc_is_retried_no_longer(proxy, grpc_server):
    service = Service(failures=100)
    running, port = gateway(proxy, grpc_server(service), policy("unavailable"))
    error = failure_of(port)
    assert (error.code(), error.details()) == (grpc.StatusCode.UNAVAILABLE, "try later")
    assert len(service.calls) == 3
    assert running.stat("cluster.origin.upstream_rq_retry_limit_exceeded") == 1


def test_grpc_is_not_retried_for_another_status(proxy, grpc_server):
    service = Service(grpc.StatusCode.NOT_FOUND, failures=1)
    _, port = gateway(proxy, grpc_server(service), policy("unavailable"))
    assert failure_of(port).code() == grpc.StatusCode.NOT_FOUND
    assert len(service.calls) == 1


def test_grpc_is_told_why_nobody_answered(proxy, grpc_server):
    _, port = gateway(proxy, harness.free_port())
    error = failure_of(port)
    assert error.code() == grpc.StatusCode.UNAVAILABLE
    assert error.details().endswith("reset reason: remote connection failure")


def test_grpc_timeout_is_limited(proxy, grpc_server):
    service = Service(delay=3)
    _, port = gateway(proxy, grpc_server(service), max_stream_duration={"grpc_timeout_header_max": "0.4s"})
    started = time.monotonic()
    error = failure_of(port)
    assert (error.code(), error.details()) == (grpc.StatusCode.DEADLINE_EXCEEDED, "downstream duration timeout")
    assert time.monotonic() - started < 2.5
    assert service.calls, "the server was asked"


def test_grpc_tries_are_limited(proxy, grpc_server):
    """The first server is too slow: the second call is answered at once."""
    service = Service(delay=0)
    slow = []

    def answer(request, context):
        slow.append(request)
        time.sleep(2 if len(slow) == 1 else 0)
        return request

    service.answer = answer
    running, port = gateway(proxy, grpc_server(service), policy("5xx", per_try_timeout="0.3s"))
    assert call(port) == b"hello"
    assert len(slow) == 2
    assert running.stat("cluster.origin.upstream_rq_per_try_timeout") == 1
