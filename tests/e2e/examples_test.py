"""Every example is a configuration that the program takes, and the demo of `./dev run` shows what it promises."""

import importlib
import json
import socket
import subprocess
import sys
import threading
import time

import harness
import pytest

EXAMPLES = harness.ROOT / "examples"
CONFIGURATIONS = ["mongo.yaml", "mtls_sidecar.yaml", "permissive.yaml", "sidecar.yaml", "tcp_proxy.json",
                  "websocket.yaml"]


def test_no_example_is_forgotten():
    assert sorted(CONFIGURATIONS) == sorted(path.name for path in EXAMPLES.iterdir() if path.suffix in (".yaml", ".json"))


@pytest.fixture(scope="module")
def with_certificates(tmp_path_factory):
    """A folder to start in, with the certificates that examples name."""
    folder = tmp_path_factory.mktemp("examples")
    subprocess.run([EXAMPLES / "make_certificates.sh", folder / "certificates"], check=True, timeout=60)
    return folder


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_validates(binary, name, with_certificates):
    path = EXAMPLES / name
    done = subprocess.run([binary, "-c", path, "--mode", "validate"], cwd=with_certificates, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert f"configuration '{path}' OK" in done.stdout


def listening(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def demo():
    """The demo service on its fixed ports; another demo on this machine makes the test impossible, which is no failure."""
    if any(listening(port) for port in (18080, 18081, 18082, 18083, 18084, 19901)):
        pytest.skip("a demo is running on this machine")
    service = subprocess.Popen([sys.executable, EXAMPLES / "demo_service.py"], stdin=subprocess.DEVNULL)
    try:
        harness.wait_until(lambda: listening(18083), "the demo service listens")
        yield service
    finally:
        service.terminate()
        service.wait()


def test_demo_tour(binary, demo, tmp_path):
    config = (EXAMPLES / "sidecar.yaml").read_text()
    proxy = harness.Proxy(tmp_path, config)
    proxy.admin_port = 19901
    try:
        proxy.ready()
        begin = time.monotonic()
        tour = subprocess.run(
            [sys.executable, EXAMPLES / "demo_tour.py", "tour", "--access-log", tmp_path / "access.log"],
            capture_output=True, text=True, timeout=60 * harness.SLOWNESS)
        assert tour.returncode == 0, tour.stderr
        assert time.monotonic() - begin < 20 * harness.SLOWNESS
        shown = tour.stdout
        assert "127.0.0.1:18082" in shown and "127.0.0.1:18083" in shown, "both api endpoints answer in turn"
        for status, request in ((200, "GET /api/books"), (404, "GET /a/..//status/404"), (503, "GET /down"), (504, "GET /slow")):
            assert any(request in line and f" {status} " in line for line in shown.splitlines()), (request, status, shown)
        assert "http.inbound.downstream_rq_total: 208" in shown
        assert '"GET /down HTTP/1.1" 503' in shown
    finally:
        proxy.check_end()


def test_examples_need_no_other_program():
    """Ports of the examples stay on loopback: nobody exposes a demo by accident."""
    text = "".join((EXAMPLES / name).read_text() for name in CONFIGURATIONS)
    assert "0.0.0.0" not in text
    json.loads((EXAMPLES / "tcp_proxy.json").read_text())


def test_mutual_tls_between_two_services(binary, with_certificates, origin):
    """The example on free ports: who asks b through the sidecars is known by certificate, and nobody else gets in."""
    service = origin()
    ports = {name: harness.free_port() for name in ("15000", "15001", "15006")} | {"18080": service.port}
    config = (EXAMPLES / "mtls_sidecar.yaml").read_text()
    for fixed, free in ports.items():
        config = config.replace(f"port_value: {fixed}", f"port_value: {free}")
    proxy = harness.Proxy(with_certificates, config)
    proxy.admin_port = ports["15000"]
    try:
        proxy.ready()
        request = b"GET /hello HTTP/1.1\r\nhost: b\r\nx-peer: liar\r\nconnection: close\r\n\r\n"
        assert harness.parse_response(harness.exchange(ports["15001"], request)).status == 200
        assert service.seen[-1].all("x-peer") == ["spiffe://mesh/a"]
        assert service.seen[-1].header("x-forwarded-proto") == "http", "as the first hop says"
        assert b"HTTP/" not in harness.exchange(ports["15006"], request), "plain"
        stranger = ["openssl", "s_client", "-connect", f"127.0.0.1:{ports['15006']}", "-quiet", "-no_ign_eof"]
        done = subprocess.run(stranger, input=request, capture_output=True, timeout=60)
        assert b"HTTP/" not in done.stdout, "without a certificate"
        assert len(service.seen) == 1
    finally:
        proxy.check_end()


def test_one_port_for_mutual_tls_and_plain(binary, with_certificates, origin):
    """Permissive mode: who has a certificate is known by it, who has none is served all the same and cannot claim a name."""
    service = origin()
    ports = {name: harness.free_port() for name in ("15000", "15006")} | {"18080": service.port}
    config = (EXAMPLES / "permissive.yaml").read_text()
    for fixed, free in ports.items():
        config = config.replace(f"port_value: {fixed}", f"port_value: {free}")
    proxy = harness.Proxy(with_certificates, config)
    proxy.admin_port = ports["15000"]
    request = b"GET /hello HTTP/1.1\r\nhost: b\r\nx-peer: liar\r\nconnection: close\r\n\r\n"

    def over_tls(*arguments):
        command = ["openssl", "s_client", "-connect", f"127.0.0.1:{ports['15006']}", "-quiet", *arguments]
        return subprocess.run(command, cwd=with_certificates / "certificates", input=request, capture_output=True, timeout=60).stdout

    try:
        proxy.ready()
        assert harness.parse_response(harness.exchange(ports["15006"], request)).status == 200
        assert service.seen[-1].all("x-peer") == [], "plain: nobody"
        assert b"HTTP/1.1 200" in over_tls("-alpn", "istio", "-cert", "a.pem", "-key", "a.key")
        assert service.seen[-1].all("x-peer") == ["spiffe://mesh/a"]
        assert b"HTTP/" not in over_tls("-alpn", "istio"), "a sidecar without a certificate"
        assert len(service.seen) == 2
        with harness.connect(ports["15006"]) as client:
            client.sendall(b"no HTTP\r\n")
            harness.wait_until(lambda: proxy.stat("tcp.as_it_is.downstream_cx_total") == 1, "what is no HTTP is relayed")
        assert (proxy.stat("tls_inspector.tls_found"), proxy.stat("tls_inspector.tls_not_found")) == (2, 2)
        assert (proxy.stat("http.plain.downstream_rq_total"), proxy.stat("http.mutual_tls.downstream_rq_total")) == (1, 1)
        harness.wait_until(lambda: "mutual-tls 127.0.0.1" in proxy.log and "spiffe://mesh/a GET /hello 200" in proxy.log, "it is logged")
    finally:
        proxy.check_end()


def test_gateway_for_websockets(binary, tmp_path):
    """A socket at /chat is served and inspected, one elsewhere is refused, and the log says who closed."""
    server = pytest.importorskip("websockets.sync.server", reason="a package of tests/e2e/requirements.txt is not installed")
    client = importlib.import_module("websockets.sync.client")
    refusal = importlib.import_module("websockets.exceptions").InvalidStatus

    def echo(connection):
        for message in connection:
            connection.send(message)

    with server.serve(echo, "127.0.0.1", 0) as service:
        threading.Thread(target=service.serve_forever, daemon=True).start()
        ports = {name: harness.free_port() for name in ("15000", "10080")} | {"18080": service.socket.getsockname()[1]}
        config = (EXAMPLES / "websocket.yaml").read_text()
        for fixed, free in ports.items():
            config = config.replace(f"port_value: {fixed}", f"port_value: {free}")
        proxy = harness.Proxy(tmp_path, config)
        proxy.admin_port = ports["15000"]
        try:
            proxy.ready()
            with client.connect(f"ws://127.0.0.1:{ports['10080']}/chat") as socket_:
                socket_.send("hello")
                assert socket_.recv() == "hello"
            with pytest.raises(refusal) as refused:
                client.connect(f"ws://127.0.0.1:{ports['10080']}/elsewhere")
            assert refused.value.response.status_code == 403
            harness.wait_until(lambda: "closed by downstream with 1000" in proxy.log, "it is logged")
            assert proxy.stat("http.gateway.websocket.chat.cx_total") == 1
        finally:
            proxy.check_end()
            service.shutdown()
