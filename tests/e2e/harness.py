"""Real programs on loopback for the end-to-end tests: the proxy under test, scripted upstreams, raw clients.

Everything a test starts is stopped by its pid when the test ends, and a proxy that ends in any other way than by exit code 0
fails the test that started it.
"""

import contextlib
import itertools
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
BUILD = Path(os.environ.get("RINGSIDE_BUILD", ROOT / "build" / "release"))
BINARY = BUILD / "ringside"
# Sanitized builds are several times slower: deadlines in tests are multiplied by this.
SLOWNESS = 5 if os.environ.get("RINGSIDE_SANITIZED") else 1


def ports_of_this_process():
    """Without end: ports above those of the examples and below those that the kernel gives to clients; xdist's workers share none."""
    workers, worker = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1)), os.environ.get("PYTEST_XDIST_WORKER", "gw0")
    run = os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()
    low, high = 20480, min(32000, int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0]))
    ports = range(low + int(worker.removeprefix("gw")), high, workers)
    first = run * 37 % len(ports)
    return itertools.cycle([*ports[first:], *ports[:first]])


def free_port():
    """A port that nothing listens on now."""
    for port in free_port.candidates:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


free_port.candidates = ports_of_this_process()


def wait_until(condition, what, seconds=20.0):
    """Polls until condition() is true; its last value is returned."""
    deadline = time.monotonic() + seconds * SLOWNESS
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"waited {seconds * SLOWNESS} s in vain: {what}"
        time.sleep(0.01)


def address(port, host="127.0.0.1"):
    return {"socket_address": {"address": host, "port_value": port}}


def cluster(name, *ports, **fields):
    """A STATIC cluster with one endpoint per port on 127.0.0.1; keyword arguments are further fields of the message."""
    endpoints = [{"endpoint": {"address": address(port)}} for port in ports]
    return {"name": name, "type": "STATIC", "connect_timeout": "1s",
            "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]}, **fields}


def http_listener(port, routes, name="http", host="127.0.0.1", **manager_fields):
    """A listener with one connection manager, whose only virtual host takes any name."""
    manager = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "route_config": {"name": name, "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}],
        **manager_fields,
    }
    return {"name": name, "address": address(port, host), "filter_chains": [{"filters": [
        {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}]}


def route(to="origin", prefix="/", headers=None, **action):
    """One route to a cluster; `headers` are fields of the route itself, the other arguments those of its action."""
    return {"match": {"prefix": prefix}, "route": {"cluster": to, **action}, **(headers or {})}


def upstream_http(**http1):
    """A cluster's field for options of HTTP/1 upstream."""
    kind = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    return {"typed_extension_protocol_options": {kind: {
        "@type": f"type.googleapis.com/{kind}", "explicit_http_config": {"http_protocol_options": http1}}}}


def limits(**thresholds):
    """A cluster's field for its circuit breakers."""
    return {"circuit_breakers": {"thresholds": [thresholds]}}


def tcp_listener(port, cluster_name, name="tcp", **proxy_fields):
    proxy = {"@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
             "stat_prefix": name, "cluster": cluster_name, **proxy_fields}
    return {"name": name, "address": address(port), "filter_chains": [{"filters": [
        {"name": "envoy.filters.network.tcp_proxy", "typed_config": proxy}]}]}


def file_access_log(path):
    return {"name": "envoy.access_loggers.file", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog", "path": str(path)}}


def bootstrap(listeners, clusters, admin_port):
    return {"node": {"id": "test", "cluster": "test"}, "admin": {"address": address(admin_port)},
            "static_resources": {"listeners": listeners, "clusters": clusters}}


def listen_ports(config):
    """{name of the listener: its port}"""
    addresses = ((each["name"], each["address"].get("socket_address")) for each in config["static_resources"]["listeners"])
    return {name: where["port_value"] for name, where in addresses if where}


class Proxy:
    """A running ringside. `log` is its standard error so far."""

    def __init__(self, folder, config, arguments=(), expect_exit=0, environment=None, concurrency=1):
        self.folder = Path(folder)
        self.expect_exit = expect_exit
        self.admin_port = config["admin"]["address"]["socket_address"]["port_value"] if isinstance(config, dict) else None
        self.listen_ports = listen_ports(config) if isinstance(config, dict) else {}
        # The name says the language: a text that is no JSON object is YAML.
        is_json = isinstance(config, dict) or config.lstrip().startswith("{")
        self.config_path = self.folder / ("bootstrap.json" if is_json else "bootstrap.yaml")
        self.config_path.write_text(json.dumps(config, indent=1) if isinstance(config, dict) else config)
        self.log_path = self.folder / "ringside.log"
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [BINARY, "-c", self.config_path, "--concurrency", str(concurrency), "--file-flush-interval-msec", "50", *arguments],
                cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})})

    @property
    def pid(self):
        return self.process.pid

    @property
    def log(self):
        return self.log_path.read_text(errors="replace")

    def ready(self):
        def answered():
            assert self.process.poll() is None, f"ringside ended with {self.process.returncode}:\n{self.log[-4000:]}"
            with contextlib.suppress(OSError):
                return b"200 OK" in self.admin_raw("/ready").split(b"\r\n", 1)[0]
            return False

        wait_until(answered, "/ready answers 200", 30)
        return self

    def admin_raw(self, path, method="GET"):
        request = f"{method} {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
        return exchange(self.admin_port, request.encode())

    def admin(self, path, method="GET"):
        """(status, body) of an admin page."""
        response = parse_response(self.admin_raw(path, method))
        return response.status, response.body.decode()

    def stats(self, pattern=""):
        """Counters and gauges as {name: int}."""
        _, text = self.admin("/stats")
        pairs = (line.split(": ", 1) for line in text.splitlines() if ": " in line)
        return {name: int(value) for name, value in pairs if value.isdigit() and re.search(pattern, name)}

    def stat(self, name):
        return self.stats(f"^{re.escape(name)}$").get(name, 0)

    def open_fds(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def rss_bytes(self):
        return int(re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text())[1]) * 1024

    def cpu_seconds(self):
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self, how=signal.SIGTERM, seconds=30.0):
        """Ends it and returns its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            return self.process.wait(timeout=seconds * SLOWNESS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"ringside did not end within {seconds} s:\n{self.log[-4000:]}") from None

    def check_end(self):
        """Called by the fixture: no crash, no finding of a sanitizer, whatever the test looked at."""
        code = self.stop()
        assert "Sanitizer" not in self.log, self.log[-8000:]
        assert code == self.expect_exit, f"ringside ended with {code}:\n{self.log[-8000:]}"


class Upstream:
    """A TCP server on 127.0.0.1 with one thread per connection, which runs `serve(connection)`: a script of raw bytes."""

    def __init__(self, serve, backlog=128):
        self.serve = serve
        self.accepted = 0
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=backlog)
        self.port = self.listener.getsockname()[1]
        self.connections = []
        self.thread = threading.Thread(target=self.accept, daemon=True)
        self.thread.start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.accepted += 1
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections.append(connection)
            threading.Thread(target=self.run, args=(connection,), daemon=True).start()

    def run(self, connection):
        with contextlib.suppress(OSError, ValueError), connection:
            self.serve(connection)

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def read_message(stream):
    """One HTTP/1 request off a buffered binary stream, or None at its end: (head bytes, body bytes)."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = stream.readline()
        if not line:
            return None
        head += line
    fields = head.lower()
    if b"transfer-encoding: chunked" in fields:
        return head, read_chunks(stream)
    length = re.search(rb"\r\ncontent-length: *(\d+)", fields)
    return head, stream.read(int(length[1])) if length else b""


def read_chunks(stream):
    body = b""
    while True:
        size = int(stream.readline().split(b";")[0], 16)
        if size == 0:
            break
        body += stream.read(size)
        stream.readline()
    while stream.readline() not in (b"\r\n", b""):
        pass
    return body


def answering(make_response):
    """A `serve` for Upstream: keep-alive, answers each request with the bytes of make_response(head, body)."""

    def serve(connection):
        stream = connection.makefile("rb")
        while message := read_message(stream):
            connection.sendall(make_response(*message))

    return serve


def ok(body=b"ok", headers=b""):
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n%s\r\n%s" % (len(body), headers, body)


class Response:
    """A parsed response: status, headers as {lower-case name: [values]}, body without its framing, complete."""

    def __init__(self, status, headers, body, complete, rest):
        self.status, self.headers, self.body, self.complete, self.rest = status, headers, body, complete, rest

    def header(self, name):
        return ", ".join(self.headers.get(name, []))


def parse_response(data, head_request=False):
    """The first response in `data`; `rest` is what follows it. `complete` tells whether its framing says that it ended."""
    head, separator, rest = data.partition(b"\r\n\r\n")
    assert separator, f"no complete response head in {data[:500]!r}"
    lines = head.decode("latin-1").split("\r\n")
    headers = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers.setdefault(name.lower(), []).append(value.strip())
    status = int(lines[0].split(" ")[1])
    if head_request or status in (204, 304) or status < 200:
        return Response(status, headers, b"", True, rest)
    if "transfer-encoding" in headers:
        return parse_chunked(status, headers, rest)
    if "content-length" in headers:
        length = int(headers["content-length"][0])
        return Response(status, headers, rest[:length], len(rest) >= length, rest[length:])
    return Response(status, headers, rest, True, b"")


def parse_chunked(status, headers, data):
    body = b""
    while True:
        line, separator, data = data.partition(b"\r\n")
        if not separator:
            return Response(status, headers, body, False, b"")
        size = int(line.split(b";")[0], 16)
        if size == 0:
            break
        body += data[:size]
        if len(data) < size + 2:
            return Response(status, headers, body, False, b"")
        data = data[size + 2:]
    while True:
        line, separator, data = data.partition(b"\r\n")
        if not separator:
            return Response(status, headers, body, False, b"")
        if not line:
            return Response(status, headers, body, True, data)
        name, _, value = line.decode("latin-1").partition(":")
        headers.setdefault(name.lower(), []).append(value.strip())


def connect(port, seconds=20.0):
    connection = socket.create_connection(("127.0.0.1", port), timeout=seconds * SLOWNESS)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def read_to_end(connection):
    """Everything until the peer closes; a reset ends it as well."""
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(65536):
            data += piece
    return data


def exchange(port, request, seconds=20.0):
    """Sends the bytes on a new connection and reads until the proxy closes: say `connection: close` in the last request."""
    with connect(port, seconds) as connection:
        connection.sendall(request)
        return read_to_end(connection)


def receive_response(connection, head_request=False, already=b""):
    """Reads exactly one response off a connection that stays open. Final responses only delimited by close also work."""
    data = already
    while True:
        if b"\r\n\r\n" in data:
            response = parse_response(data, head_request)
            delimited = response.headers.keys() & {"content-length", "transfer-encoding"} or response.body == b""
            if response.complete and delimited:
                return response
        piece = connection.recv(65536)
        if not piece:
            return parse_response(data, head_request)
        data += piece
