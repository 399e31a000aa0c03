"""Which protocol a cluster speaks: fixed, by ALPN, or what the request came by. nginx and Go are the upstreams."""

import concurrent.futures
import re
import socket
import threading

import harness
import peers
import pytest
from h2_peer import H2Client
from harness import cluster, http_listener, route, wait_until
from tls_proxy_test import common, folder, upstream_tls  # noqa: F401  (folder is a fixture)

KIND = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
CHOICES = {
    "http1": {"explicit_http_config": {"http_protocol_options": {}}},
    "http2": {"explicit_http_config": {"http2_protocol_options": {}}},
    "auto": {"auto_config": {"http2_protocol_options": {}}},
    "downstream": {"use_downstream_protocol_config": {"http2_protocol_options": {}}},
}


def tls_cluster(folder, port, choice, **context):  # noqa: F811
    options = {"typed_extension_protocol_options": {KIND: {"@type": f"type.googleapis.com/{KIND}", **CHOICES[choice]}}}
    return cluster("origin", port, **options, **upstream_tls(common(folder, ca="ca", **context), sni="server.test"))


def listener():
    return http_listener(harness.free_port(), [route(timeout="0s")])


@pytest.fixture(params=["nginx", "nginx-http1", "go", "go-http1"])
def server(request, tmp_path, folder, peer, go_tool):  # noqa: F811
    """(its port, whether it takes HTTP/2)"""
    port, http1 = harness.free_port(), request.param.endswith("http1")
    if request.param.startswith("nginx"):
        peer(peers.nginx, tmp_path, port, f"""
            server {{ listen 127.0.0.1:{port} ssl {"" if http1 else "http2"};
                ssl_certificate {folder}/server.pem; ssl_certificate_key {folder}/server.key;
                location / {{ return 200 "$server_protocol"; }} }}""")
    else:
        tool = go_tool("tls_origin", "ringside.test/e2e/tls_origin")
        peer(peers.Peer, tmp_path, [tool, "-listen", f"127.0.0.1:{port}", "-certificate", folder / "server.pem",
                                    "-key", folder / "server.key", *(["-http1"] if http1 else [])], port)
    return port, not http1


def ask(port, version):
    if version == "h2":
        with H2Client(port) as client:
            answer = client.get("/path")
            return answer.status, answer.body
    answer = harness.parse_response(harness.exchange(port, b"GET /path HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"))
    return answer.status, answer.body


@pytest.mark.parametrize("choice", ["http1", "http2", "auto", "downstream"])
def test_what_the_upstream_is_spoken_to_in(proxy, folder, server, choice):  # noqa: F811
    port, takes_http2 = server
    running = proxy([listener()], [tls_cluster(folder, port, choice)])
    for version in ("h1", "h2", "h1", "h2"):
        http2 = {"http1": False, "http2": True, "auto": takes_http2, "downstream": version == "h2"}[choice]
        status, body = ask(running.listen_ports["http"], version)
        if http2 and not takes_http2:  # without ALPN for it, neither of them understands
            assert status in (502, 503)
            continue
        assert status == 200 and body.startswith(b"HTTP/2.0" if http2 else b"HTTP/1.1"), body
    totals = [running.stat(f"cluster.origin.upstream_cx_{name}_total") for name in ("http1", "http2")]
    if takes_http2 or choice in ("http1", "auto"):
        http2 = takes_http2 and choice != "http1"
        assert totals == [1 if choice == "downstream" or not http2 else 0, 1 if http2 else 0]


def test_many_at_once_by_alpn(proxy, folder, server):  # noqa: F811
    """One connection is dialed for all; where it turns out to take one request at a time, more follow."""
    port, takes_http2 = server
    running = proxy([listener()], [tls_cluster(folder, port, "auto")])
    with concurrent.futures.ThreadPoolExecutor(30) as pool:
        answers = list(pool.map(lambda _: ask(running.listen_ports["http"], "h1"), range(30)))
    assert {status for status, _ in answers} == {200}
    total = running.stat("cluster.origin.upstream_cx_total")
    assert total == 1 if takes_http2 else 1 <= total <= 30
    assert running.stat("cluster.origin.upstream_rq_pending_active") == 0


def offered(hello):
    return re.findall(rb"\x02(h2)|\x08(http/1\.1)|\x03(foo)", hello)


class HelloKeeper:
    """Takes connections, keeps the first bytes of each, and closes them."""

    def __init__(self):
        self.listener, self.hellos = socket.create_server(("127.0.0.1", 0)), []
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(5)
                self.hellos.append(connection.recv(4096))

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


@pytest.mark.parametrize("alpn", [{}, {"alpn_protocols": ["foo", "h2"]}])
def test_what_is_offered_as_envoy(proxy, envoy, folder, alpn):  # noqa: F811
    seen = []
    for start in (envoy, proxy):
        offers = {}
        for choice in CHOICES:
            keeper = HelloKeeper()
            outer = listener()
            start([outer], [tls_cluster(folder, keeper.port, choice, **alpn)])
            for version in ("h1", "h2"):
                ask(outer["address"]["socket_address"]["port_value"], version)
                wait_until(lambda: keeper.hellos, "a ClientHello")  # noqa: B023
                offers[choice, version] = offered(keeper.hellos.pop())
            keeper.close()
        seen.append(offers)
    assert seen[1] == seen[0]
