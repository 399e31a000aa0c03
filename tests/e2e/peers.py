"""Other people's programs on loopback: Envoy, HAProxy, nginx, and what Go brings. A test that needs one which is not installed is skipped."""

import contextlib
import importlib.util
import json
import os
import shutil
import subprocess
from pathlib import Path

import harness
import pytest


def envoy_path():
    """RINGSIDE_ENVOY, or the package that requirements.txt names, or none."""
    if path := os.environ.get("RINGSIDE_ENVOY"):
        return Path(path)
    spec = importlib.util.find_spec("envoy")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / "_bin" / "envoy"
        if path.exists():
            return path
    return None


class Peer:
    """A program that runs until stop()."""

    def __init__(self, folder, command, port, **options):
        self.folder, self.port = Path(folder), port
        with open(self.folder / "peer.log", "wb") as log:
            self.process = subprocess.Popen([str(word) for word in command], cwd=folder, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=subprocess.STDOUT, **options)
        try:
            harness.wait_until(self.answers, f"{command[0]} listens", 30)
        except AssertionError:
            self.stop()
            raise AssertionError(f"{command[0]} did not start:\n" + self.log[-3000:]) from None

    @property
    def log(self):
        return (self.folder / "peer.log").read_text(errors="replace")

    def answers(self):
        assert self.process.poll() is None, f"ended with {self.process.returncode}: {self.log[-3000:]}"
        with contextlib.suppress(OSError), harness.connect(self.port):
            return True
        return False

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Envoy(Peer):
    """Envoy with the bootstrap that Ringside gets; `admin` and `stats` as harness.Proxy has them."""

    def __init__(self, folder, listeners, clusters, arguments=()):
        self.admin_port = harness.free_port()
        config = Path(folder) / "envoy.json"
        config.write_text(json.dumps(harness.bootstrap(listeners, clusters, self.admin_port)))
        super().__init__(folder, [envoy_path(), "-c", config, "--concurrency", "1", "--disable-hot-restart", "-l", "error",
                                  "--file-flush-interval-msec", "50", *arguments], self.admin_port)
        harness.wait_until(lambda: self.admin("/ready")[0] == 200, "Envoy is ready", 30)

    admin_raw = harness.Proxy.admin_raw
    admin = harness.Proxy.admin
    stats = harness.Proxy.stats
    stat = harness.Proxy.stat


def nginx(folder, port, http_lines):
    path = shutil.which("nginx", path="/usr/sbin:" + os.environ["PATH"])
    if not path:
        pytest.skip("nginx is not installed")
    config = Path(folder) / "nginx.conf"
    # The worker runs as whoever starts the test; temporary files stay in its folder.
    user = "user root;" if os.getuid() == 0 else ""
    places = "\n".join(f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    config.write_text(f"""
{user}
daemon off; master_process off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr notice;
events {{ worker_connections 1024; }}
http {{ access_log off; keepalive_requests 100000; client_max_body_size 200m; {places}
{http_lines}
}}
""")
    return Peer(folder, [path, "-c", config, "-p", folder, "-e", "stderr"], port)


def haproxy(folder, port, lines):
    path = shutil.which("haproxy", path="/usr/sbin:" + os.environ["PATH"])
    if not path:
        pytest.skip("haproxy is not installed")
    config = Path(folder) / "haproxy.cfg"
    config.write_text("global\n  maxconn 1000\ndefaults\n  mode http\n  timeout connect 5s\n  timeout client 30s\n"
                      "  timeout server 30s\n" + lines)
    return Peer(folder, [path, "-db", "-f", config], port)


def go_tool(name, package):
    path = shutil.which("go", path=os.environ["PATH"] + ":/usr/local/go/bin:/usr/lib/go/bin")
    if not path:
        pytest.skip("Go is not installed")
    program = harness.BUILD.parent / "tools" / name
    source = Path(__file__).parent / "go"
    # Its own cache of builds tells it that nothing is to be done.
    done = subprocess.run([path, "build", "-o", program, package], cwd=source, capture_output=True, text=True, check=False,
                          timeout=300, env={**os.environ, "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local"})
    if done.returncode != 0 and not program.exists():
        pytest.skip(f"go build {package}: {done.stderr[-300:]}")
    return program
