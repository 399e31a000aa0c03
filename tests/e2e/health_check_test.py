"""Health of hosts: what checks find out, and who then gets requests. Everything that is not marked as ours alone runs against
Envoy as well, so that it says what Envoy does."""

import concurrent.futures
import json
import re
import socket
import ssl
import threading

import grpc
import harness
import peers
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from harness import address, cluster, connect, http_listener, ok, parse_response, read_message, route, tcp_listener
from tls_proxy_test import KIND, folder  # noqa: F401  (certificates)

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
TIME = 30 * harness.SLOWNESS


def check(timeout="5s", unhealthy=2, healthy=2, **fields):
    return {"timeout": timeout, "interval": "0.05s", "no_traffic_interval": "0.05s", "unhealthy_threshold": unhealthy,
            "healthy_threshold": healthy, **fields}


def http(path="/health", timeout="5s", checks=None, **fields):
    return {"health_checks": [check(timeout, http_health_check={"path": path, **fields}, **(checks or {}))]}


def endpoint(port, health_status=None, **config):
    status = {"health_status": health_status} if health_status else {}
    return {"endpoint": {"address": address(port), **({"health_check_config": config} if config else {})}, **status}


def cluster_of(name, *endpoints, **fields):
    return {"name": name, "type": "STATIC", "connect_timeout": "1s", **fields,
            "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": list(endpoints)}]}}


@pytest.fixture(params=["uring", "epoll", "envoy"])
def start(request, tmp_path, binary):
    """start(cluster) -> a ready proxy of one cluster "origin" with one HTTP listener: Ringside on both rings, and Envoy."""
    started = []

    def make(one, wait=True):
        listeners = [http_listener(harness.free_port(), [route()])]
        where = tmp_path / f"proxy{len(started)}"
        where.mkdir()
        if request.param == "envoy":
            if not peers.envoy_path():
                pytest.skip("Envoy is not installed")
            running = peers.Envoy(where, listeners, [one])
            running.listen_ports = {"http": listeners[0]["address"]["socket_address"]["port_value"]}
        else:
            request.getfixturevalue("ring_allowed")(request.param)
            config = harness.bootstrap(listeners, [one], harness.free_port())
            running = harness.Proxy(where, config, ["--ring", request.param])
            if wait:
                running.ready()
        started.append(running)
        return running

    yield make
    for running in started:
        running.check_end() if isinstance(running, harness.Proxy) else running.stop()


@pytest.fixture
def ring_allowed():
    import conftest

    def check_ring(name):
        if name == "uring" and not conftest.has_io_uring():
            pytest.skip("io_uring is not allowed here")

    return check_ring


def flags(running):
    return re.findall(r"::health_flags::(\S+)", running.admin("/clusters")[1])


def wait_flags(running, *expected):
    harness.wait_until(lambda: flags(running) == list(expected), f"health is {expected}, was {flags(running)}")


def counted(running, *names):
    return [running.stat(f"cluster.origin.health_check.{name}") for name in names]


def wait_counted(running, name, at_least):
    harness.wait_until(lambda: counted(running, name)[0] >= at_least, f"{name} is {at_least}")


def get(running):
    request = b"GET / HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n"
    return parse_response(harness.exchange(running.listen_ports["http"], request))


FAILED, LATE = "/failed_active_hc", "/failed_active_hc/active_hc_timeout"


# --- HTTP --------------------------------------------------------------------------------------------------------------


class Switch:
    """An origin whose answer to checks can be changed; other requests get its name. `heads` are those of the checks."""

    def __init__(self, upstream, name=b"one", answer=ok()):
        self.answer, self.name, self.heads, self.accepted = answer, name, [], 0
        self.port = upstream(self.serve).port

    def serve(self, connection):
        self.accepted += 1
        stream = connection.makefile("rb")
        while message := read_message(stream):
            if b" /health" not in message[0].split(b"\r\n")[0]:
                connection.sendall(ok(self.name))
                continue
            self.heads.append(message[0])
            if self.answer is None:  # nothing at all
                return
            if callable(self.answer):
                self.answer(connection)
            else:
                connection.sendall(self.answer)


def status(code, *headers):
    return b"HTTP/1.1 %d x\r\ncontent-length: 0\r\n%s\r\n" % (code, b"".join(line + b"\r\n" for line in headers))


def test_http_goes_down_and_comes_back(start, upstream):
    one, other = Switch(upstream, b"one"), Switch(upstream, b"two")
    running = start(cluster("origin", one.port, other.port, **http()))
    wait_flags(running, "healthy", "healthy")
    assert {get(running).body for _ in range(8)} == {b"one", b"two"}
    assert running.stat("cluster.origin.membership_healthy") == 2
    assert counted(running, "healthy", "failure", "network_failure") == [2, 0, 0]
    one.answer = status(503)
    wait_flags(running, FAILED, "healthy")
    assert {get(running).body for _ in range(8)} == {b"two"}
    assert running.stat("cluster.origin.membership_healthy") == 1
    assert running.stat("cluster.origin.membership_total") == 2
    assert counted(running, "healthy", "network_failure") == [1, 0]
    assert counted(running, "failure")[0] >= 1
    one.answer = ok()
    wait_flags(running, "healthy", "healthy")
    harness.wait_until(lambda: get(running).body == b"one", "it gets requests again")
    assert one.accepted <= 3 and other.accepted <= 2, "a connection for checks, and one or two for requests"


def test_http_request_as_it_stands(start, upstream):
    one = Switch(upstream)
    add = [{"header": {"key": "X-Check", "value": "yes"}}, {"header": {"key": "x-empty", "value": ""}}]
    start(cluster("origin", one.port, **http("/health?deep=1", host="check.test", request_headers_to_add=add,
                                             request_headers_to_remove=["x-none"])))
    harness.wait_until(lambda: one.heads, "a check")
    lines = one.heads[0].decode().lower().split("\r\n")
    assert lines[0] == "get /health?deep=1 http/1.1"
    assert sorted(lines[1:-2]) == ["host: check.test", "user-agent: envoy/hc", "x-check: yes"]


def test_http_method_body_and_own_host(start, upstream):
    one = Switch(upstream)
    start(cluster_of("origin", endpoint(one.port, hostname="own.test"),
                     **http(method="POST", send={"text": "6869"}, host="check.test")))
    harness.wait_until(lambda: one.heads, "a check")
    lines = one.heads[0].decode().lower().split("\r\n")
    assert lines[0].startswith("post /health")
    assert "host: own.test" in lines and "content-length: 2" in lines


def test_http_statuses(start, upstream):
    """What is expected is well; what is retriable counts; anything else is believed at once."""
    one = Switch(upstream, answer=status(204))
    running = start(cluster("origin", one.port, **http(
        checks={"unhealthy": 1000000}, expected_statuses=[{"start": 204, "end": 206}], retriable_statuses=[{"start": 500, "end": 504}])))
    wait_flags(running, "healthy")
    one.answer = status(503)
    wait_counted(running, "failure", 3)
    assert flags(running) == ["healthy"] and counted(running, "network_failure") == [0]
    one.answer = status(200)
    wait_flags(running, FAILED)


def test_http_degraded(start, upstream):
    one, other = Switch(upstream, b"one"), Switch(upstream, b"two")
    running = start(cluster("origin", one.port, other.port, **http()))
    one.answer = other.answer = status(200, b"x-envoy-degraded: 1")
    wait_flags(running, "/degraded_active_hc", "/degraded_active_hc")
    assert running.stat("cluster.origin.membership_degraded") == 2
    assert counted(running, "degraded", "healthy") == [2, 2]
    assert {get(running).body for _ in range(8)} <= {b"one", b"two"}
    _, text = running.admin("/clusters?format=json")
    hosts = json.loads(text)["cluster_statuses"][0]["host_statuses"]
    assert hosts[0]["health_status"] == {"failed_active_degraded_check": True, "eds_health_status": "HEALTHY"}
    other.answer = ok()
    wait_flags(running, "/degraded_active_hc", "healthy")


def test_http_late_and_refused(start, upstream):
    one = Switch(upstream)
    running = start(cluster("origin", one.port, **http(timeout="0.2s")))
    wait_flags(running, "healthy")
    hang = threading.Event()
    one.answer = lambda connection: hang.wait(TIME)
    wait_flags(running, LATE)
    assert counted(running, "network_failure")[0] >= 2
    _, text = running.admin("/clusters?format=json")
    assert json.loads(text)["cluster_statuses"][0]["host_statuses"][0]["health_status"] == {
        "failed_active_health_check": True, "active_hc_timeout": True, "eds_health_status": "HEALTHY"}
    one.answer = None
    hang.set()
    wait_flags(running, FAILED)
    one.answer = ok()
    wait_flags(running, "healthy")


def test_http_body_and_service_name(start, upstream):
    one = Switch(upstream, answer=ok(b"all is well", b"x-envoy-upstream-healthchecked-cluster: team-a\r\n"))
    running = start(cluster("origin", one.port, **http(
        receive=[{"text": "616c6c"}, {"binary": "d2VsbA=="}], service_name_matcher={"prefix": "TEAM", "ignore_case": True})))
    wait_flags(running, "healthy")
    assert counted(running, "verify_cluster")[0] >= 1
    one.answer = ok(b"well is all", b"x-envoy-upstream-healthchecked-cluster: team-a\r\n")
    wait_flags(running, FAILED)
    one.answer = ok(b"all is well", b"x-envoy-upstream-healthchecked-cluster: team-a\r\n")
    wait_flags(running, "healthy")
    one.answer = ok(b"all is well", b"x-envoy-upstream-healthchecked-cluster: other\r\n")
    wait_flags(running, FAILED)


def test_http_connection_per_check(start, upstream):
    one = Switch(upstream)
    running = start(cluster("origin", one.port, **http(checks={"reuse_connection": False})))
    harness.wait_until(lambda: one.accepted >= 3, "each check has a connection of its own")
    assert counted(running, "failure") == [0]


def test_http_of_nginx(start, tmp_path, peer):
    port = harness.free_port()
    down = tmp_path / "down"
    peer(peers.nginx, tmp_path, port, f"server {{ listen 127.0.0.1:{port}; keepalive_requests 2; location / {{ return 200 'nginx'; }} "
         f"location /health {{ if (-f {down}) {{ return 503; }} return 200; }} }}")
    running = start(cluster("origin", port, **http()))
    wait_flags(running, "healthy")
    wait_counted(running, "success", 6)
    assert get(running).body == b"nginx"
    assert counted(running, "failure") == [0], "that nginx closes after two requests is no failure"
    down.touch()
    wait_flags(running, FAILED)
    down.unlink()
    wait_flags(running, "healthy")


def test_http2_of_nginx(start, tmp_path, peer):
    port = harness.free_port()
    peer(peers.nginx, tmp_path, port, f"server {{ listen 127.0.0.1:{port} http2; keepalive_requests 3; location / {{ return 200; }} }}")
    running = start(cluster("origin", port, **http(codec_client_type="HTTP2")))
    wait_flags(running, "healthy")
    wait_counted(running, "success", 8)
    assert counted(running, "failure") == [0], "GOAWAY between checks is no failure"


# --- TCP ---------------------------------------------------------------------------------------------------------------


def tcp(timeout="5s", checks=None, **fields):
    return {"health_checks": [check(timeout, tcp_health_check=fields, **(checks or {}))]}


def test_tcp_connect(start, upstream):
    def serve(connection):
        seen.append(connection.recv(100))

    seen = []
    server = upstream(serve)
    running = start(cluster("origin", server.port, **tcp()))
    wait_flags(running, "healthy")
    harness.wait_until(lambda: server.accepted >= 3, "a connection for each check")
    assert counted(running, "failure") == [0]
    assert not b"".join(seen)
    server.close()
    wait_flags(running, FAILED)
    assert counted(running, "network_failure")[0] >= 2


def test_tcp_send_and_receive(start, upstream):
    """One byte at a time, with other bytes around what is expected."""
    def serve(connection):
        while connection.recv(4, socket.MSG_WAITALL) == b"PING":
            for byte in answer[0]:
                connection.sendall(bytes([byte]))

    answer = [b"+..PO..NG\r\n"]
    server = upstream(serve)
    running = start(cluster("origin", server.port, **tcp("0.5s", send={"text": "50494e47"}, receive=[{"text": "504f"}, {"text": "4e47"}])))
    wait_flags(running, "healthy")
    wait_counted(running, "success", 3)
    assert server.accepted == 1
    answer[0] = b"-NG PO"
    wait_flags(running, LATE)
    answer[0] = b"+PONG"
    wait_flags(running, "healthy")


def test_tcp_closed_between_checks_is_a_failure(start, upstream):
    def serve(connection):
        connection.recv(1)
        connection.sendall(b"y")

    running = start(cluster("origin", upstream(serve).port, **tcp(send={"text": "78"}, receive=[{"text": "79"}], checks={"unhealthy": 1})))
    wait_counted(running, "network_failure", 2)
    wait_counted(running, "success", 2)


# --- gRPC --------------------------------------------------------------------------------------------------------------


class Service:
    """A gRPC server with the standard health service."""

    def __init__(self, certificates=None, with_health=True, seen=None):
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(4), interceptors=[Recorder(seen)] if seen is not None else [])
        self.health = health.HealthServicer()
        if with_health:
            health_pb2_grpc.add_HealthServicer_to_server(self.health, self.server)
        if certificates:
            pair = tuple((certificates / name).read_bytes() for name in ("server.key", "server.pem"))
            self.port = self.server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
        else:
            self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()


class Recorder(grpc.ServerInterceptor):
    def __init__(self, seen):
        self.seen = seen

    def intercept_service(self, continuation, details):
        self.seen.append((details.method, dict(details.invocation_metadata)))
        return continuation(details)


@pytest.fixture
def service():
    started = []

    def make(*arguments, **options):
        started.append(Service(*arguments, **options))
        return started[-1]

    yield make
    for each in started:
        each.server.stop(None)


def grpc_check(timeout="5s", checks=None, **fields):
    return {"http2_protocol_options": {}, "health_checks": [check(timeout, grpc_health_check=fields, **(checks or {}))]}


def test_grpc_serving_or_not(start, service):
    one, other = service(), service()
    running = start(cluster("origin", one.port, other.port, **grpc_check()))
    wait_flags(running, "healthy", "healthy")
    one.health.set("", NOT_SERVING)
    wait_flags(running, FAILED, "healthy")
    assert counted(running, "network_failure", "healthy") == [0, 1]
    one.health.set("", SERVING)
    wait_flags(running, "healthy", "healthy")
    assert running.stat("cluster.origin.membership_healthy") == 2


def test_grpc_service_authority_and_metadata(start, service):
    seen = []
    one = service(seen=seen)
    running = start(cluster("origin", one.port, **grpc_check(
        service_name="my.Service", authority="check.test", initial_metadata=[{"header": {"key": "x-token", "value": "t"}}])))
    wait_flags(running, FAILED)  # NOT_FOUND
    one.health.set("my.Service", SERVING)
    wait_flags(running, "healthy")
    method, metadata = seen[0]
    assert method == "/grpc.health.v1.Health/Check"
    assert metadata["x-token"] == "t" and metadata["user-agent"] == "Envoy/HC"
    assert counted(running, "network_failure") == [0]


def test_grpc_unimplemented(start, service):
    running = start(cluster("origin", service(with_health=False).port, **grpc_check()))
    wait_counted(running, "failure", 3)
    assert flags(running) == [FAILED] and counted(running, "network_failure", "success") == [0, 0]


def test_grpc_server_goes_and_comes(start, service):
    one = service()
    running = start(cluster("origin", one.port, **grpc_check()))
    wait_flags(running, "healthy")
    one.server.stop(1).wait()  # GOAWAY first
    wait_flags(running, FAILED)
    assert counted(running, "network_failure")[0] >= 2


def test_grpc_over_tls(start, service, folder):  # noqa: F811
    one = service(folder)
    context = {"sni": "server.test", "common_tls_context": {"validation_context": {
        "trusted_ca": {"filename": str(folder / "ca.pem")},
        "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": "server.test"}}]}}}
    socket_of = {"transport_socket": {"name": "tls", "typed_config": {"@type": KIND + "UpstreamTlsContext", **context}}}
    running = start(cluster("origin", one.port, **grpc_check(checks={"tls_options": {"alpn_protocols": ["h2"]}}), **socket_of))
    wait_flags(running, "healthy")
    assert running.stat("cluster.origin.ssl.handshake") == 1
    one.health.set("", NOT_SERVING)
    wait_flags(running, FAILED)


def test_grpc_certificate_is_not_trusted(start, service, folder):  # noqa: F811
    one = service(folder)
    context = {"common_tls_context": {"alpn_protocols": ["h2"], "validation_context": {"trusted_ca": {"filename": str(folder / "other.pem")}}}}
    socket_of = {"transport_socket": {"name": "tls", "typed_config": {"@type": KIND + "UpstreamTlsContext", **context}}}
    running = start(cluster("origin", one.port, **grpc_check(), **socket_of))
    wait_counted(running, "network_failure", 2)
    assert flags(running) == [FAILED] and counted(running, "success") == [0]


# --- servers that do not behave ------------------------------------------------------------------------------------------

GARBAGE = b"\x00\xff\x16\x03\x01SSH-2.0-x\r\n\r\n" * 8
FRAMES = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"  # SETTINGS


def goaway(code):
    return FRAMES + b"\x00\x00\x08\x07\x00\x00\x00\x00\x00" + b"\x00\x00\x00\x00" + bytes([0, 0, 0, code])


def talking(data, then_close=False):
    """Says this whatever comes."""
    def serve(connection):
        if connection.recv(65536):
            connection.sendall(data)
        while not then_close and connection.recv(65536):
            pass

    return serve


KINDS = {"http": http, "http2": lambda timeout="5s": http(timeout=timeout, codec_client_type="HTTP2"), "grpc": grpc_check,
         "tcp": lambda timeout="5s": tcp(timeout, send={"text": "78"}, receive=[{"text": "7921"}])}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("data", [b"", GARBAGE, goaway(0), goaway(2), b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab"],
                         ids=["nothing", "garbage", "goaway", "goaway_error", "cut"])
@pytest.mark.parametrize("then_close", [False, True], ids=["stays", "closes"])
def test_hostile(start, upstream, kind, data, then_close):
    running = start(cluster("origin", upstream(talking(data, then_close)).port, **KINDS[kind](timeout="0.1s")))
    wait_counted(running, "network_failure", 3)
    assert counted(running, "success", "healthy") == [0, 0]
    assert flags(running)[0].startswith(FAILED)


def test_endless_response(start, upstream):
    """Bounded by the timeout, and nothing of it is kept."""
    def serve(connection):
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while True:
            connection.sendall(b"1000\r\n" + b"x" * 0x1000 + b"\r\n")

    running = start(cluster("origin", upstream(serve).port, **http(timeout="0.2s", receive=[{"text": "7979"}])))
    wait_counted(running, "network_failure", 3)
    assert flags(running) == [LATE]


# --- who gets requests -----------------------------------------------------------------------------------------------------


def test_configured_health(start, upstream):
    names = [b"healthy", b"unhealthy", b"draining", b"timeout", b"degraded"]
    ports = [Switch(upstream, name).port for name in names]
    statuses = [None, "UNHEALTHY", "DRAINING", "TIMEOUT", "DEGRADED"]
    running = start(cluster_of("origin", *map(endpoint, ports, statuses)))
    assert flags(running) == ["healthy", "/failed_eds_health", "/eds_status_draining", "/failed_eds_health", "/degraded_eds_health"]
    assert {get(running).body for _ in range(60)} == {b"healthy", b"degraded"}
    kinds = ["total", "healthy", "degraded", "excluded"]
    assert [running.stat(f"cluster.origin.membership_{kind}") for kind in kinds] == [5, 1, 1, 1]
    _, text = running.admin("/clusters?format=json")
    hosts = json.loads(text)["cluster_statuses"][0]["host_statuses"]
    assert [host["health_status"]["eds_health_status"] for host in hosts] == ["HEALTHY", "UNHEALTHY", "DRAINING", "UNHEALTHY", "DEGRADED"]


def test_panic(start, upstream):
    """One of three is well: too few, so that all are used."""
    one, other = Switch(upstream, b"one"), Switch(upstream, b"two", answer=status(503))
    running = start(cluster("origin", one.port, other.port, harness.free_port(), **http()))
    wait_flags(running, "healthy", FAILED, FAILED)
    assert {get(running).body for _ in range(6)} >= {b"one", b"two"}
    assert running.stat("cluster.origin.lb_healthy_panic") == 6


def test_no_panic(start, upstream):
    one = Switch(upstream, answer=status(503))
    running = start(cluster("origin", one.port, common_lb_config={"healthy_panic_threshold": {"value": 0}}, **http()))
    response = get(running)
    assert (response.status, response.body) == (503, b"no healthy upstream")
    assert running.stat("cluster.origin.lb_healthy_panic") == 0
    assert running.stat("cluster.origin.upstream_cx_none_healthy") == 1
    one.answer = ok()
    wait_flags(running, "healthy")
    harness.wait_until(lambda: get(running).status == 200, "it is back")


def test_check_goes_elsewhere_or_nowhere(start, upstream):
    """health_check_config: another port, another address, and none at all."""
    down, up = Switch(upstream, b"down", answer=status(503)), Switch(upstream, b"up")
    running = start(cluster_of("origin", endpoint(down.port, port_value=up.port), endpoint(down.port, address=address(up.port)),
                               endpoint(down.port, disable_active_health_check=True), endpoint(up.port, port_value=down.port), **http()))
    wait_flags(running, "healthy", "healthy", "healthy", FAILED)
    assert counted(running, "healthy") == [2]
    assert running.stat("cluster.origin.membership_healthy") == 3
    assert {get(running).body for _ in range(8)} == {b"down"}


# --- ours alone ------------------------------------------------------------------------------------------------------------


def test_not_ready_before_the_first_round(proxy, upstream):
    """Nothing listens before every host was asked once; /init_dump says who is waited for."""
    gate = threading.Event()
    one = Switch(upstream, answer=lambda connection: (gate.wait(TIME), connection.sendall(ok())))
    listener = http_listener(harness.free_port(), [route()])
    running = proxy([listener], [cluster("origin", one.port, **http(timeout="60s"))], wait=False)
    harness.wait_until(lambda: one.heads, "the first check is out")
    assert running.admin("/ready")[0] == 503
    assert "origin" in running.admin("/init_dump")[1]
    with pytest.raises(OSError):
        connect(running.listen_ports["http"]).close()
    gate.set()
    running.ready()
    assert get(running).body == b"one"


def test_requests_under_way_survive_and_idle_connections_close(proxy, upstream):
    """HTTP connections of a host that fails drain."""
    gate, closed, begun = threading.Event(), threading.Event(), threading.Event()
    answer = [ok()]

    def serve(connection):
        stream = connection.makefile("rb")
        while message := read_message(stream):
            if b" /health" in message[0]:
                connection.sendall(answer[0])
                continue
            begun.set()
            gate.wait(TIME)
            connection.sendall(ok(b"late"))
            if not stream.read(1):
                closed.set()
            return

    running = proxy([http_listener(harness.free_port(), [route()])], [cluster("origin", upstream(serve).port, **http())])
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        response = pool.submit(get, running)
        assert begun.wait(TIME)
        answer[0] = status(503)
        wait_flags(running, FAILED)
        gate.set()
        assert response.result().body == b"late"
    assert closed.wait(TIME)


@pytest.mark.parametrize("closes", [True, False])
def test_tcp_connections_of_a_failed_host(proxy, upstream, closes):
    checked = Switch(upstream)

    def echo(connection):
        while data := connection.recv(100):
            connection.sendall(data)

    target = cluster_of("origin", endpoint(upstream(echo).port, port_value=checked.port), **http(),
                        close_connections_on_host_health_failure=closes)
    running = proxy([tcp_listener(harness.free_port(), "origin")], [target])
    wait_flags(running, "healthy")
    with connect(running.listen_ports["tcp"]) as client:
        client.sendall(b"a")
        assert client.recv(1) == b"a"
        checked.answer = status(503)
        wait_flags(running, FAILED)
        if closes:
            assert harness.read_to_end(client) == b""
        else:
            client.sendall(b"b")
            assert client.recv(1) == b"b"


def test_workers_agree(proxy, upstream):
    """One checker for all workers: a host is asked once, and all of them hear of it."""
    one, other = Switch(upstream, b"one"), Switch(upstream, b"two")
    running = proxy([http_listener(harness.free_port(), [route()])], [cluster("origin", one.port, other.port, **http())], concurrency=4)
    assert {get(running).body for _ in range(40)} == {b"one", b"two"}
    one.answer = status(503)
    wait_flags(running, FAILED, "healthy")
    harness.wait_until(lambda: {get(running).body for _ in range(40)} == {b"two"}, "all workers know")
    assert one.accepted <= 1 + 4 + 40


REFUSED = {
    "more than one": (lambda: {"health_checks": [check(tcp_health_check={})] * 2}, "more than one health check"),
    "none": (lambda: {"health_checks": [check()]}, "needs http_health_check, tcp_health_check or grpc_health_check"),
    "no timeout": (lambda: {"health_checks": [{"interval": "1s", "unhealthy_threshold": 1, "healthy_threshold": 1, "tcp_health_check": {}}]},
                   "timeout"),
    "hex": (lambda: tcp(send={"text": "5"}), "is not hexadecimal"),
    "status": (lambda: http(expected_statuses=[{"start": 200, "end": 200}]), "is no range of statuses"),
    "body of GET": (lambda: http(send={"text": "68"}), "GET has no body to send"),
    "HTTP/3": (lambda: http(codec_client_type="HTTP3"), "HTTP3"),
    "events": (lambda: {"health_checks": [check(tcp_health_check={}, event_log_path="/tmp/x")]}, "event_log_path"),
    "socket": (lambda: {"health_checks": [check(tcp_health_check={}, transport_socket_match_criteria={"a": "b"})]},
               "transport_socket_match_criteria"),
    "gRPC without HTTP/2": (lambda: {"health_checks": [check(grpc_health_check={})]}, "needs a cluster that speaks HTTP/2"),
    "port": (lambda: {"health_checks": [check(tcp_health_check={}, alt_port=1)]}, "alt_port"),
    "panic": (lambda: {"common_lb_config": {"healthy_panic_threshold": {"value": 101}}}, "101 is not within 0 to 100"),
    "outliers": (lambda: {"outlier_detection": {}}, "outlier_detection"),
    "host header": (lambda: http(request_headers_to_add=[{"header": {"key": "host", "value": "x"}}]), "host"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(binary, tmp_path, name):
    """Each with its place and the field's name."""
    import subprocess
    make, expected = REFUSED[name]
    config = harness.bootstrap([], [cluster("origin", 1, **make())], 0)
    path = tmp_path / "bootstrap.json"
    path.write_text(json.dumps(config, indent=1))
    done = subprocess.run([binary, "--mode", "validate", "-c", path], capture_output=True, text=True, timeout=TIME)
    assert done.returncode == 1
    assert expected in done.stderr and re.search(r"bootstrap\.json:\d+:\d+", done.stderr), done.stderr


def test_alpn_of_checks(proxy, upstream, folder):  # noqa: F811
    """tls_options replaces what the cluster offers."""
    offered = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    context.set_alpn_protocols(["special", "http/1.1"])

    def serve(connection):
        with context.wrap_socket(connection, server_side=True) as tls:
            offered.append(tls.selected_alpn_protocol())
            stream = tls.makefile("rb")
            while read_message(stream):
                tls.sendall(ok())

    tls = {"transport_socket": {"name": "tls", "typed_config": {"@type": KIND + "UpstreamTlsContext", "common_tls_context": {
        "alpn_protocols": ["http/1.1"], "validation_context": {"trusted_ca": {"filename": str(folder / "ca.pem")}}}}}}
    running = proxy([http_listener(harness.free_port(), [route()])], [cluster("origin", upstream(serve).port, **tls, **http(
        checks={"tls_options": {"alpn_protocols": ["special"]}}))])
    wait_flags(running, "healthy")
    assert offered[0] == "special"
    assert get(running).status == 200
    assert offered[-1] == "http/1.1"
