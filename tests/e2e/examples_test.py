"""Every example is a configuration that the program takes, and the demo of `./dev run` shows what it promises."""

import json
import socket
import subprocess
import sys
import time

import harness
import pytest

EXAMPLES = harness.ROOT / "examples"
CONFIGURATIONS = ["sidecar.yaml", "tcp_proxy.json"]


def test_no_example_is_forgotten():
    assert sorted(CONFIGURATIONS) == sorted(path.name for path in EXAMPLES.iterdir() if path.suffix in (".yaml", ".json"))


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_validates(binary, name):
    path = EXAMPLES / name
    done = subprocess.run([binary, "-c", path, "--mode", "validate"], capture_output=True, text=True, timeout=60)
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
