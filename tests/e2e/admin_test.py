"""The admin interface: what tools that know Envoy ask for, and the forms that they parse."""

import http.client
import json
import re
import subprocess

import harness
import pytest
from harness import answering, cluster, exchange, http_listener, ok, parse_response, route, tcp_listener


@pytest.fixture(scope="module")
def served(module_proxy):
    """A proxy that has served three requests: 200, 200 and 404, and one that it answered itself."""
    server = harness.Upstream(answering(lambda head, body: ok() if b"/found" in head
                                        else b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"))
    direct = {"match": {"prefix": "/direct"}, "direct_response": {"status": 301}}
    running = module_proxy(
        [http_listener(harness.free_port(), [direct, route()]), tcp_listener(harness.free_port(), "other:name")],
        [cluster("origin", server.port), cluster("other:name", 1, alt_stat_name="alt")])
    for path in ("found", "found", "lost", "direct"):
        exchange(running.listen_ports["http"], f"GET /{path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".encode())
    harness.wait_until(lambda: running.stat("http.http.downstream_cx_active") == 0, "all are gone")
    running.origin_port = server.port
    yield running
    server.close()


def page(running, path, method="GET"):
    client = http.client.HTTPConnection("127.0.0.1", running.admin_port, timeout=10)
    client.request(method, path)
    response = client.getresponse()
    body = response.read().decode()
    client.close()
    return response, body


def test_ready(served):
    response, body = page(served, "/ready")
    assert (response.status, body) == (200, "LIVE\n")
    assert response.headers["content-type"].startswith("text/plain")
    assert response.headers["cache-control"] == "no-cache, max-age=0"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["server"] == "envoy"


def test_not_ready_while_names_are_unknown(proxy):
    """The listeners stay closed until a STRICT_DNS cluster has its first answer; until then /ready says so, and never lies."""
    listener = http_listener(harness.free_port(), [route()])
    slow = {**cluster("origin", 1), "type": "STRICT_DNS"}
    slow["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"] = harness.address(80, "never.invalid")
    running = proxy([listener], [slow], wait=False)
    states = set()

    def live():
        try:
            status, body = running.admin("/ready")
        except (OSError, AssertionError):
            return False
        states.add((status, body))
        return status == 200

    harness.wait_until(live, "it is live at last", 30)
    assert states <= {(200, "LIVE\n"), (503, "INITIALIZING\n"), (503, "PRE_INITIALIZING\n")}


def test_health_is_failed_by_hand(served):
    assert page(served, "/healthcheck/fail", "POST")[1] == "OK\n"
    response, body = page(served, "/ready")
    assert (response.status, body) == (503, "DRAINING\n")
    assert page(served, "/healthcheck/ok", "POST")[1] == "OK\n"
    assert page(served, "/ready")[1] == "LIVE\n"


def test_server_info(served):
    response, body = page(served, "/server_info")
    info = json.loads(body)
    assert response.headers["content-type"] == "application/json"
    assert info["state"] == "LIVE" and re.fullmatch(r"\w+/\d+\.\d+\.\d+/\w+/\w+/\w+", info["version"])
    assert re.fullmatch(r"\d+s", info["uptime_current_epoch"])
    assert info["node"]["id"] == "test" and info["node"]["cluster"] == "test"
    assert info["command_line_options"]["concurrency"] == 1
    assert info["command_line_options"]["config_path"] == str(served.config_path)


def test_clusters(served):
    _, body = page(served, "/clusters")
    lines = body.splitlines()
    host = f"origin::127.0.0.1:{served.origin_port}::"
    for line in ("origin::observability_name::origin", "origin::default_priority::max_connections::1024",
                 "origin::default_priority::max_retries::3", "origin::high_priority::max_requests::1024",
                 "origin::added_via_api::false", f"{host}rq_total::3", f"{host}rq_success::3", f"{host}rq_error::0",
                 f"{host}cx_active::1", f"{host}health_flags::healthy", f"{host}weight::1", f"{host}priority::0",
                 "other:name::observability_name::alt"):
        assert line in lines, (line, body)


def test_clusters_as_json(served):
    _, body = page(served, "/clusters?format=json")
    statuses = {status["name"]: status for status in json.loads(body)["cluster_statuses"]}
    assert statuses.keys() == {"origin", "other:name"}
    host = statuses["origin"]["host_statuses"][0]
    assert host["address"]["socket_address"] == {"address": "127.0.0.1", "port_value": served.origin_port}
    assert host["health_status"]["eds_health_status"] == "HEALTHY"
    stats = {stat["name"]: stat.get("value", "0") for stat in host["stats"]}
    assert stats["rq_total"] == "3" and stats["cx_active"] == "1"


def test_listeners(served):
    _, body = page(served, "/listeners")
    assert body == "".join(f"{name}::127.0.0.1:{served.listen_ports[name]}\n" for name in ("http", "tcp"))
    _, body = page(served, "/listeners?format=json")
    statuses = json.loads(body)["listener_statuses"]
    assert [status["name"] for status in statuses] == ["http", "tcp"]
    assert statuses[0]["local_address"]["socket_address"]["port_value"] == served.listen_ports["http"]


@pytest.mark.parametrize("path", ["/quitquitquit", "/drain_listeners", "/healthcheck/fail", "/reset_counters", "/reopen_logs"])
def test_what_changes_something_needs_post(served, path):
    response, body = page(served, path)
    assert response.status == 405 and body == "Method GET not allowed, POST required."
    assert served.process.poll() is None


def test_unknown_page(served):
    response, body = page(served, "/nothing")
    assert response.status == 404 and body.startswith("invalid path. admin commands are:")
    for known in ("/ready", "/stats", "/clusters", "/listeners", "/server_info", "/quitquitquit"):
        assert known in body


@pytest.mark.parametrize("path", ["/", "/help", "/stats", "/clusters", "/ready"])
def test_head_of_a_page(served, path):
    response, body = page(served, path, "HEAD")
    assert response.status == 200 and body == ""


def test_pages_over_one_connection(served):
    client = http.client.HTTPConnection("127.0.0.1", served.admin_port, timeout=10)
    for path in ("/ready", "/stats", "/clusters", "/nothing", "/ready"):
        client.request("GET", path)
        response = client.getresponse()
        assert response.read()
    client.close()


@pytest.mark.parametrize("request_bytes", [
    b"GET / HTTP/1.1\r\n\r\n", b"GET /ready HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
    b"\x16\x03\x01\x00\x00\r\n\r\n", b"GET /" + b"x" * 100000 + b" HTTP/1.1\r\nhost: a\r\n\r\n"])
def test_nonsense_at_the_admin_port(served, request_bytes):
    data = exchange(served.admin_port, request_bytes)
    assert data == b"" or 400 <= parse_response(data).status < 500
    assert page(served, "/ready")[1] == "LIVE\n"


def test_stats_are_sorted_and_filtered(served):
    _, body = page(served, "/stats")
    names = [line.split(": ")[0] for line in body.splitlines() if ": " in line and not line.endswith(("recorded values", ")"))]
    assert names == sorted(names) and len(names) == len(set(names))
    _, body = page(served, r"/stats?filter=^cluster\.origin\.upstream_rq_(200|404)$")
    assert body == "cluster.origin.upstream_rq_200: 2\ncluster.origin.upstream_rq_404: 1\n"
    used = page(served, "/stats?usedonly")[1]
    assert "http.http.downstream_rq_total: 4" in used and "http.http.downstream_rq_timeout" not in used
    # Agents wait for these two.
    assert "server.state: 0" in used and "listener_manager.workers_started: 1" in used


def test_bad_questions_to_stats(served):
    response, body = page(served, "/stats?format=blah")
    assert response.status == 400 and body.startswith("usage: /stats?format=")
    response, body = page(served, "/stats?filter=(")
    assert response.status == 400 and "Invalid re2 regex" in body


def test_stats_as_json(served):
    _, body = page(served, "/stats?format=json")
    stats = json.loads(body)["stats"]
    values = {stat["name"]: stat["value"] for stat in stats if "name" in stat}
    assert values["http.http.downstream_rq_total"] == 4
    histograms = next(stat["histograms"] for stat in stats if "histograms" in stat)
    assert histograms["supported_quantiles"] == [0, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 100]


METRIC = re.compile(r'[a-zA-Z_:][a-zA-Z0-9_:]*\{([a-zA-Z_]\w*="(?:[^"\\\n]|\\[\\"n])*"(,[a-zA-Z_]\w*="(?:[^"\\\n]|\\[\\"n])*")*)?\} '
                    r"(\d+(\.\d+)?([eE][+-]?\d+)?|NaN|[+-]Inf)")


def test_prometheus(served):
    response, body = page(served, "/stats/prometheus")
    assert response.headers["content-type"].startswith("text/plain")
    kinds, samples = {}, set()
    for line in body.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in kinds, "one TYPE for each name"
            kinds[name] = kind
        elif line and not line.startswith("#"):
            assert METRIC.fullmatch(line), line
            series = line.rsplit(" ", 1)[0]
            assert series not in samples, "no series twice"
            samples.add(series)
            name = series.split("{")[0]
            assert name in kinds or re.sub(r"_(bucket|sum|count)$", "", name) in kinds, line
    assert kinds["envoy_cluster_upstream_rq"] == "counter"
    assert 'envoy_cluster_upstream_rq{envoy_response_code="200",envoy_cluster_name="origin"} 2' in body
    assert 'envoy_http_downstream_rq_total{envoy_http_conn_manager_prefix="http"} 4' in body
    assert 'envoy_http_downstream_rq_xx{envoy_response_code_class="2",envoy_http_conn_manager_prefix="http"} 2' in body
    assert 'le="+Inf"' in body


def test_curl_reads_the_pages(served):
    base = f"http://127.0.0.1:{served.admin_port}"
    done = subprocess.run(["curl", "-sf", f"{base}/ready", f"{base}/stats?filter=server.live", "--max-time", "10"], capture_output=True,
                          text=True, timeout=30)
    assert done.stdout == "LIVE\nserver.live: 1\n"


def test_without_admin(binary, tmp_path, ring):
    """A bootstrap without an admin section serves all the same."""
    port = harness.free_port()
    config = harness.bootstrap([http_listener(port, [{"match": {"prefix": "/"}, "direct_response": {"status": 200}}])], [], 0)
    path = tmp_path / "no_admin.json"
    del config["admin"]
    path.write_text(json.dumps(config))
    with subprocess.Popen([binary, "-c", path, "--concurrency", "1", "--ring", ring], stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        def answered():
            try:
                return exchange(port, b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").startswith(b"HTTP/1.1 200")
            except OSError:
                return False

        harness.wait_until(answered, "it serves", 30)
        process.terminate()
        assert process.wait(timeout=20) == 0
